//! Addresses in the guest to names in its source.
//!
//! # Invariants
//! - The table of functions is built once; a name is demangled when it is first asked for, file and line whenever they are.
//! - An address that belongs to no function has no name; it is never given its neighbour's.

use std::fmt;
use std::sync::OnceLock;

use object::{Object, ObjectSymbol, SymbolKind};

use super::dwarf;
use super::error::GlassError;

/// A function and a distance into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// The function's name as mdb would show it: without crate, module and hash.
    pub name: String,
    /// Bytes from its beginning.
    pub offset: u64,
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            0 => f.write_str(&self.name),
            // mdb prints small numbers the same in any base, and then leaves the 0x out.
            n @ 1..=9 => write!(f, "{}+{n}", self.name),
            n => write!(f, "{}+{n:#x}", self.name),
        }
    }
}

/// A place in the source; one address has several if functions were inlined there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeLine {
    /// The function, named as in [`Symbol`].
    pub function: String,
    /// The source file, if known.
    pub file: Option<String>,
    /// The line, if known.
    pub line: Option<u32>,
}

/// The functions of a guest image.
#[derive(Debug)]
pub struct Symbols {
    image: &'static [u8],
    /// By beginning.
    functions: Vec<Function>,
}

/// A function of the image.
#[derive(Debug)]
struct Function {
    start: u64,
    /// Bytes; 0 if the image does not say.
    len: u64,
    mangled: &'static str,
    /// Its short name, once somebody has asked: few of them are ever on a stack, and those are on a thousand.
    short: OnceLock<String>,
}

impl Function {
    fn new(start: u64, len: u64, mangled: &'static str) -> Function {
        Function { start, len, mangled, short: OnceLock::new() }
    }

    fn name(&self) -> &str {
        self.short.get_or_init(|| short_name(self.mangled))
    }
}

impl Symbols {
    /// Reads the symbol table of a guest image.
    ///
    /// # Errors
    /// [`GlassError::NotElf`] if it is no ELF file.
    pub fn from_elf(image: &'static [u8]) -> Result<Symbols, GlassError> {
        let file = object::File::parse(image).map_err(|e| GlassError::NotElf { found: e.to_string() })?;
        let mut functions: Vec<_> = file
            .symbols()
            .filter(|s| s.is_definition() && matches!(s.kind(), SymbolKind::Text | SymbolKind::Label))
            .filter_map(|s| s.name().ok().map(|name| Function::new(s.address(), s.size(), name)))
            .collect();
        // If an address has two names, the one with a length is the function's.
        functions.sort_by_key(|f| (f.start, f.len == 0));
        functions.dedup_by_key(|f| f.start);
        Ok(Symbols { image, functions })
    }

    /// The function that this address is in.
    pub fn lookup(&self, addr: u64) -> Option<Symbol> {
        let next = self.functions.partition_point(|f| f.start <= addr);
        let of = self.functions.get(next.checked_sub(1)?)?;
        let end = match of.len {
            // Functions in assembly often have no length: they go up to the next one.
            0 => self.functions.get(next).map_or(of.start.saturating_add(1), |f| f.start),
            len => of.start.saturating_add(len),
        };
        (addr < end).then(|| Symbol { name: of.name().to_owned(), offset: addr - of.start })
    }

    /// `name+0x1e6`, or the number itself if it is in no function.
    pub fn name(&self, addr: u64) -> String {
        self.lookup(addr).map_or_else(|| format!("{addr:#x}"), |symbol| symbol.to_string())
    }

    /// The name of frame number `place` of a stack, innermost 0, which goes on at `pc`. From frame 1 on that is where a call
    /// returns to: a call that never returns may be the last instruction of its function, and what follows is another's.
    pub fn frame_name(&self, place: usize, pc: u64) -> String {
        match self.lookup(pc.saturating_sub(1)) {
            Some(symbol) if place > 0 => Symbol { offset: symbol.offset + 1, ..symbol }.to_string(),
            _ => self.name(pc),
        }
    }

    /// The source lines behind each address, innermost inlined function first; empty where nothing is known.
    ///
    /// # Errors
    /// [`GlassError`] if the image's debug information cannot be read.
    pub fn code_lines(&self, addrs: &[u64]) -> Result<Vec<Vec<CodeLine>>, GlassError> {
        let failed = |source| GlassError::Dwarf { attempt: "looking for source lines".into(), source };
        let sections = dwarf::sections(self.image)?;
        let context = addr2line::Context::from_dwarf(dwarf::borrow(&sections)).map_err(failed)?;
        let mut all = Vec::with_capacity(addrs.len());
        for &addr in addrs {
            let mut lines = Vec::new();
            let mut frames = context.find_frames(addr).skip_all_loads().map_err(failed)?;
            while let Some(frame) = frames.next().map_err(failed)? {
                let function = frame.function.as_ref().and_then(|f| f.raw_name().ok());
                let location = frame.location.as_ref();
                lines.push(CodeLine {
                    function: function.map_or_else(|| "?".into(), |name| short_name(&name)),
                    file: location.and_then(|l| l.file).map(str::to_owned),
                    line: location.and_then(|l| l.line),
                });
            }
            all.push(lines);
        }
        Ok(all)
    }
}

/// The last part of a path, with what is needed to tell closures apart, without hash and type arguments.
pub fn short_name(mangled: &str) -> String {
    short_path(&format!("{:#}", rustc_demangle::demangle(mangled)))
}

/// The same of a name that has been demangled, without its hash.
pub fn short_path(full: &str) -> String {
    let mut parts = components(full);
    while parts.len() > 1 && parts.last().is_some_and(|last| last.starts_with('<')) {
        parts.pop();
    }
    let named = parts.iter().rposition(|part| !part.starts_with('{')).unwrap_or(0);
    parts[named..].join("::")
}

/// Splits a path at the `::` that are not inside brackets.
fn components(path: &str) -> Vec<&str> {
    let bytes = path.as_bytes();
    let mut parts = Vec::new();
    let (mut depth, mut start, mut at) = (0_i32, 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'<' | b'(' | b'[' | b'{' => depth += 1,
            b'>' if at > 0 && bytes[at - 1] == b'-' => {}
            b'>' | b')' | b']' | b'}' => depth -= 1,
            b':' if depth == 0 && bytes[at..].starts_with(b"::") => {
                parts.push(&path[start..at]);
                at += 1;
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(&path[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_machine::GUEST_IMAGE;

    #[track_caller]
    fn check(mangled: &str, expect: &str) {
        assert_eq!(short_name(mangled), expect);
    }

    #[test]
    fn short_plain_path_returns_last_part() {
        check("_ZN13umpire_kernel4disp5swtch5swtch17h0123456789abcdefE", "swtch");
        check("umpire_switch", "umpire_switch");
    }

    #[test]
    fn short_closure_returns_its_function_too() {
        check(
            "_ZN16umpire_workloads3run28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE",
            "run::{{closure}}",
        );
    }

    #[test]
    fn short_trait_method_returns_method() {
        check(
            "_ZN76_$LT$umpire_kernel..lock..SharedPtr$LT$T$GT$$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE",
            "fmt",
        );
    }

    #[test]
    fn display_offset_is_written_as_mdb_writes_it() {
        let at = |offset| Symbol { name: "swtch".into(), offset }.to_string();

        assert_eq!(at(0), "swtch");
        assert_eq!(at(8), "swtch+8");
        assert_eq!(at(0x1e6), "swtch+0x1e6");
    }

    #[test]
    fn lookup_address_behind_a_function_returns_none() {
        let functions = [(0x1000, 0x10, "a"), (0x2000, 0, "b"), (0x2010, 4, "c")];
        let functions = functions.map(|(start, len, name)| Function::new(start, len, name)).into();
        let symbols = Symbols { image: &[], functions };

        assert_eq!(symbols.name(0x100f), "a+0xf");
        assert_eq!(symbols.frame_name(1, 0x1010), "a+0x10");
        assert_eq!(symbols.frame_name(0, 0x1010), "0x1010");
        assert_eq!(symbols.frame_name(1, 0x1011), "0x1011");
        assert_eq!(symbols.lookup(0x1010), None);
        assert_eq!(symbols.name(0x2004), "b+4");
        assert_eq!(symbols.name(0x3000), "0x3000");
        assert_eq!(symbols.lookup(0xfff), None);
    }

    #[test]
    fn from_elf_built_in_image_names_functions_and_their_lines() {
        let symbols = Symbols::from_elf(&GUEST_IMAGE).expect("invariant: the image is of this source tree");
        let start = symbols
            .functions
            .iter()
            .find(|f| f.name() == "swtch")
            .expect("invariant: the kernel has a function swtch")
            .start;

        let lines = symbols.code_lines(&[start, 0]).expect("invariant: the image has debug information");

        assert_eq!(symbols.name(start + 1), "swtch+1");
        let outermost = lines[0].last().expect("invariant: its first instruction has a line");
        assert_eq!(outermost.function, "swtch");
        assert!(outermost.file.as_ref().is_some_and(|f| f.ends_with("swtch.rs")), "{outermost:?}");
        assert!(lines[1].is_empty());
    }
}
