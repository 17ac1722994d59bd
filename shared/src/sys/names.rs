//! Numbers that print as names: one of several values, or a set of bits.
//!
//! # Invariants
//! - Nothing here allocates, and nothing is looked up while the kernel runs: the kernel uses the constants alone.
//! - Tables are checked where they are declared, by the compiler ([`Values::new`], [`Flags::new`]).

use core::fmt;

/// A number and the name that it prints as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// The value, or the bit.
    pub value: u64,
    /// The whole name: `TS_ONPROC`.
    pub name: &'static str,
}

/// The names of a field that holds one of several values.
#[derive(Debug, Clone, Copy)]
pub struct Values {
    prefix: &'static str,
    names: &'static [Name],
}

impl Values {
    /// Names that begin with `prefix`. In a constant, two that are equal in name or value do not compile.
    pub const fn new(prefix: &'static str, names: &'static [Name]) -> Values {
        assert_distinct(names);
        Values { prefix, names }
    }

    /// Every name, in the order of its declaration.
    pub const fn all(&self) -> &'static [Name] {
        self.names
    }

    /// The name of a value; `None` if it is none of these.
    pub fn name(&self, value: u64) -> Option<&'static str> {
        self.names.iter().find(|n| n.value == value).map(|n| n.name)
    }

    /// The name of a value without its prefix: `ONPROC`.
    pub fn short(&self, value: u64) -> Option<&'static str> {
        self.name(value).map(|name| short(name, self.prefix))
    }

    /// The value of a name, which may lack its prefix.
    pub fn value(&self, name: &str) -> Option<u64> {
        value(self.names, self.prefix, name)
    }

    /// What prints a value: `TS_ONPROC`, or `0x3` if it has no name.
    pub fn shown(&self, value: u64) -> ShownValue {
        ShownValue { name: self.name(value), value }
    }
}

/// A value that prints as its name; see [`Values::shown`].
#[derive(Debug, Clone, Copy)]
pub struct ShownValue {
    name: Option<&'static str>,
    value: u64,
}

impl fmt::Display for ShownValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => f.pad(name),
            None => write!(f, "{:#x}", self.value),
        }
    }
}

/// The names of a field that holds a set of bits.
#[derive(Debug, Clone, Copy)]
pub struct Flags {
    prefix: &'static str,
    names: &'static [Name],
}

impl Flags {
    /// Bits whose names begin with `prefix`. In a constant, two that are equal, or one that is no single bit, do not compile.
    pub const fn new(prefix: &'static str, names: &'static [Name]) -> Flags {
        assert_distinct(names);
        let mut n = 0;
        while n < names.len() {
            assert!(names[n].value.is_power_of_two(), "a flag is one bit");
            n += 1;
        }
        Flags { prefix, names }
    }

    /// Every bit that has a name, in the order of its declaration.
    pub const fn all(&self) -> &'static [Name] {
        self.names
    }

    /// The names of the bits that are set: `CPU_RUNNING`, `CPU_READY`.
    pub fn names(&self, bits: u64) -> impl Iterator<Item = &'static str> + use<> {
        self.names.iter().filter(move |n| bits & n.value != 0).map(|n| n.name)
    }

    /// These names without their prefix: `RUNNING`, `READY`.
    pub fn shorts(&self, bits: u64) -> impl Iterator<Item = &'static str> + use<> {
        let prefix = self.prefix;
        self.names(bits).map(move |name| short(name, prefix))
    }

    /// The bit of a name, which may lack its prefix.
    pub fn value(&self, name: &str) -> Option<u64> {
        value(self.names, self.prefix, name)
    }

    /// What prints a set of bits: `CPU_RUNNING|CPU_READY`, with bits that have no name as a number, and `0` for none.
    pub fn shown(&self, bits: u64) -> ShownFlags {
        ShownFlags { flags: *self, bits }
    }
}

/// A set of bits that prints as their names; see [`Flags::shown`].
#[derive(Debug, Clone, Copy)]
pub struct ShownFlags {
    flags: Flags,
    bits: u64,
}

impl fmt::Display for ShownFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.flags.names.iter().fold(self.bits, |rest, n| rest & !n.value);
        let mut between = "";
        for name in self.flags.names(self.bits) {
            write!(f, "{between}{name}")?;
            between = "|";
        }
        match rest {
            0 if self.bits == 0 => f.write_str("0"),
            0 => Ok(()),
            _ => write!(f, "{between}{rest:#x}"),
        }
    }
}

fn short(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

fn value(names: &[Name], prefix: &str, name: &str) -> Option<u64> {
    let is_it = |n: &&Name| n.name == name || n.name.strip_prefix(prefix) == Some(name);
    names.iter().find(is_it).map(|n| n.value)
}

const fn assert_distinct(names: &[Name]) {
    let mut n = 0;
    while n < names.len() {
        let mut m = n + 1;
        while m < names.len() {
            assert!(names[n].value != names[m].value, "two names of a table have the same value");
            assert!(!is_equal(names[n].name, names[m].name), "a name stands twice in a table");
            m += 1;
        }
        n += 1;
    }
}

const fn is_equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut n = 0;
    while n < a.len() {
        if a[n] != b[n] {
            return false;
        }
        n += 1;
    }
    true
}

/// Declares a module of constants of which a field holds one: the constants, `NAMES` to print them, `COUNT` of them.
macro_rules! values {
    ($(#[$doc:meta])* $module:ident: $type:ty, $prefix:literal { $($(#[$about:meta])* $id:ident = $value:expr;)* }) => {
        vocabulary!(Values $(#[$doc])* $module: $type, $prefix { $($(#[$about])* $id = $value;)* });
    };
}

/// Declares a module of constants of which a field may hold several, a bit each: the constants, `NAMES` to print them. The
/// constants that follow `masks` are sets of bits, which print as their bits.
macro_rules! flags {
    ($(#[$doc:meta])* $module:ident: $type:ty, $prefix:literal { $($(#[$about:meta])* $id:ident = $value:expr;)* }
     $(masks { $($(#[$mask_about:meta])* $mask:ident = $bits:expr;)* })?) => {
        vocabulary!(
            Flags $(#[$doc])* $module: $type, $prefix { $($(#[$about])* $id = $value;)* }
            $($($(#[$mask_about])* $mask = $bits;)*)?
        );
    };
}

macro_rules! vocabulary {
    ($kind:ident $(#[$doc:meta])* $module:ident: $type:ty, $prefix:literal { $($(#[$about:meta])* $id:ident = $value:expr;)* }
     $($(#[$mask_about:meta])* $mask:ident = $bits:expr;)*) => {
        $(#[$doc])*
        pub mod $module {
            $($(#[$about])* pub const $id: $type = $value;)*
            $($(#[$mask_about])* pub const $mask: $type = $bits;)*
            /// How these print.
            pub const NAMES: crate::sys::$kind = crate::sys::$kind::new($prefix, &[
                $(crate::sys::Name { value: $id as u64, name: concat!($prefix, stringify!($id)) },)*
            ]);
            /// How many there are.
            pub const COUNT: usize = NAMES.all().len();
        }
    };
}

/// Declares a module of numbers from 0 on that scenario files write as words: the constants, and `NAMES`, the words by number.
macro_rules! words {
    ($(#[$doc:meta])* $module:ident { $($(#[$about:meta])* $id:ident = $word:literal;)* }) => {
        $(#[$doc])*
        pub mod $module {
            #[allow(clippy::upper_case_acronyms)]
            #[repr(u32)]
            enum Number { $($id),* }
            $($(#[$about])* pub const $id: u32 = Number::$id as u32;)*
            /// The words by number.
            pub const NAMES: &[&str] = &[$($word),*];
        }
    };
}

#[cfg(test)]
mod tests {
    extern crate std;

    use crate::sys::cpuvar::flag;
    use crate::sys::thread::ts;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn a_value_prints_as_its_name_and_reads_back() {
        assert_eq!(ts::NAMES.name(u64::from(ts::ONPROC)), Some("TS_ONPROC"));
        assert_eq!(ts::NAMES.short(u64::from(ts::ONPROC)), Some("ONPROC"));
        assert_eq!(ts::NAMES.name(3), None);
        assert_eq!(ts::NAMES.shown(u64::from(ts::FREE)).to_string(), "TS_FREE");
        assert_eq!(ts::NAMES.shown(3).to_string(), "0x3");
        for name in ts::NAMES.all() {
            assert_eq!(ts::NAMES.value(name.name), Some(name.value), "{name:?}");
            assert_eq!(ts::NAMES.name(name.value), Some(name.name), "{name:?}");
        }
        assert_eq!(ts::NAMES.value("RUN"), Some(u64::from(ts::RUN)));
        assert_eq!(ts::NAMES.value("TS_"), None);
    }

    #[test]
    fn bits_print_as_their_names_and_unknown_ones_as_a_number() {
        let bits = u64::from(flag::RUNNING | flag::READY);
        assert_eq!(flag::NAMES.shown(bits).to_string(), "CPU_RUNNING|CPU_READY");
        assert_eq!(flag::NAMES.shown(bits | 0x8000).to_string(), "CPU_RUNNING|CPU_READY|0x8000");
        assert_eq!(flag::NAMES.shown(0x8000).to_string(), "0x8000");
        assert_eq!(flag::NAMES.shown(0).to_string(), "0");
        assert_eq!(flag::NAMES.shorts(bits).collect::<Vec<_>>(), ["RUNNING", "READY"]);
        for name in flag::NAMES.all() {
            assert_eq!(flag::NAMES.value(name.name), Some(name.value), "{name:?}");
            assert_eq!(flag::NAMES.names(name.value).collect::<Vec<_>>(), [name.name]);
        }
    }
}
