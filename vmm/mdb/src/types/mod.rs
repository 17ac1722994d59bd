//! The guest's types, as its debug information has them.
//!
//! | file | what |
//! |---|---|
//! | `dwarf.rs` | one pass over the debug information |
//! | `find.rs` | types by name: as Rust has them, by a part of their path, or as C has them |
//! | `path.rs` | members by path: `cpu_disp.disp_q[99].dq_first->t_pri` |
//!
//! # Invariants
//! - What is here owns its data and can be shared by threads.
//! - A [`TypeId`] is of the [`Types`] that gave it.
//! - A type that leads to itself is never followed without a bound.

mod dwarf;
mod find;
mod path;

use std::collections::HashMap;

pub use dwarf::TypesError;
pub use find::C_NAMES;
pub use path::{Place, Step, steps};

/// Wrappers of wrappers that are looked through at most.
const MAX_WRAPPERS: usize = 8;

/// A type of one set of [`Types`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(u32);

/// A type.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    /// Its name, without a path: `Kthread`, `SharedPtr<umpire_kernel::sys::thread::Kthread>`. Empty if it has none.
    pub name: String,
    /// The modules that it is in: `umpire_kernel::sys::thread`. Empty for what the language itself has.
    pub module: String,
    /// Bytes of a value; 0 where the debug information does not say.
    pub size: u64,
    /// True if it is what a variant of an enumeration holds: its name alone does not mean it.
    pub is_variant: bool,
    /// What it is.
    pub shape: Shape,
}

/// What a type is.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// A number, a truth value or a character.
    Base(Encoding),
    /// A pointer or a reference.
    Pointer(Option<TypeId>),
    /// A structure, a tuple, or an enumeration with data.
    Struct(Struct),
    /// An enumeration without data.
    Enum {
        /// True if its numbers have a sign.
        is_signed: bool,
        /// The numbers, by name.
        names: Vec<(String, u64)>,
    },
    /// A union.
    Union(Vec<Member>),
    /// An array of known length.
    Array(TypeId, u64),
    /// Another name of a type.
    Alias(Option<TypeId>),
    /// Code, and what else has no values.
    Opaque,
}

/// How the bits of a number are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is called as what it is")]
pub enum Encoding {
    Unsigned,
    Signed,
    Bool,
    Char,
    Float,
}

/// A structure.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Struct {
    /// Its members, by offset.
    pub members: Vec<Member>,
    /// If it is an enumeration with data: its variants.
    pub variants: Option<Variants>,
}

/// A member of a structure.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name; `__0` for the first one of a tuple.
    pub name: String,
    /// Bytes from the beginning of the structure.
    pub offset: u64,
    /// Its type.
    pub of: TypeId,
}

/// The variants of an enumeration with data.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Variants {
    /// What tells which variant a value is; none if there is but one.
    pub tag: Option<Member>,
    /// The variants: the value of the tag, none for the one that all other values mean, and what the variant holds.
    pub each: Vec<(Option<u64>, Member)>,
}

/// Every type of an image.
#[derive(Debug, Default)]
pub struct Types {
    all: Vec<Type>,
    by_name: HashMap<String, Vec<TypeId>>,
}

impl Types {
    /// A type.
    pub fn get(&self, id: TypeId) -> &Type {
        &self.all[id.0 as usize]
    }

    /// Every type.
    pub fn iter(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        self.all.iter().enumerate().map(|(n, of)| (TypeId(n as u32), of))
    }

    /// The type without other names of it, and bytes of its values.
    pub fn resolved(&self, mut id: TypeId) -> TypeId {
        for _ in 0..MAX_WRAPPERS {
            match self.get(id).shape {
                Shape::Alias(Some(of)) => id = of,
                _ => break,
            }
        }
        id
    }

    /// Bytes of a value.
    pub fn size(&self, id: TypeId) -> u64 {
        let of = self.get(self.resolved(id));
        match of.shape {
            Shape::Array(element, count) => {
                // Arrays of arrays: each level of a compiler's output names a type that was there before it.
                let one = match self.get(element).shape {
                    Shape::Array(inner, n) => self.get(inner).size.saturating_mul(n),
                    _ => self.get(self.resolved(element)).size,
                };
                one.saturating_mul(count)
            }
            _ => of.size,
        }
    }

    /// The one member that a value consists of, if it consists of one.
    fn only_member(&self, id: TypeId) -> Option<&Member> {
        let of = self.get(id);
        let Shape::Struct(Struct { members, variants: None }) = &of.shape else { return None };
        let mut sized = members.iter().filter(|m| self.size(m.of) != 0);
        let only = sized.next()?;
        (sized.next().is_none() && only.offset == 0 && self.size(only.of) == of.size).then_some(only)
    }

    /// What a value is when everything that merely wraps it is taken away: atomics, cells, newtypes, and structures of one
    /// member.
    pub fn unwrapped(&self, id: TypeId) -> TypeId {
        let mut id = self.resolved(id);
        for _ in 0..MAX_WRAPPERS {
            match self.only_member(id) {
                Some(only) => id = self.resolved(only.of),
                None => break,
            }
        }
        id
    }

    /// As [`Types::unwrapped`], but a structure that has a name for its one member is kept: what a reader sees of an atomic, a cell
    /// or a newtype is what is inside.
    pub fn seen_through(&self, id: TypeId) -> TypeId {
        let mut id = self.resolved(id);
        for _ in 0..MAX_WRAPPERS {
            let is_of_the_language = ["core", "alloc", "std"].contains(&self.get(id).krate());
            match self.only_member(id) {
                Some(only) if is_of_the_language || only.name == "__0" => id = self.resolved(only.of),
                _ => break,
            }
        }
        id
    }

    /// Element and length of a slice behind a fat pointer: offsets of the pointer and of the length, and the element's type.
    pub fn slice(&self, id: TypeId) -> Option<(u64, u64, TypeId)> {
        let Shape::Struct(Struct { members, variants: None }) = &self.get(self.resolved(id)).shape else {
            return None;
        };
        let named = |name: &str| members.iter().find(|m| m.name == name);
        let (data, length) = (named("data_ptr")?, named("length")?);
        match self.get(self.unwrapped(data.of)).shape {
            Shape::Pointer(Some(element)) => Some((data.offset, length.offset, element)),
            _ => None,
        }
    }
}

impl Type {
    /// The crate that it is of; empty for what the language itself has.
    pub fn krate(&self) -> &str {
        self.module.split("::").next().unwrap_or_default()
    }

    /// Its name with its path.
    pub fn path(&self) -> String {
        if self.module.is_empty() { self.name.clone() } else { format!("{}::{}", self.module, self.name) }
    }

    /// Its name as a reader would say it: parts of paths inside of `<` and `>` are left out as well.
    pub fn shown(&self) -> String {
        short_paths(&self.name)
    }
}

/// `SharedPtr<umpire_kernel::sys::thread::Kthread>` as `SharedPtr<Kthread>`.
pub fn short_paths(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut word = String::new();
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
        } else if c == ':' && chars.peek() == Some(&':') && !word.is_empty() {
            chars.next();
            word.clear();
        } else {
            out += &std::mem::take(&mut word);
            out.push(c);
        }
    }
    out + &word
}

#[cfg(test)]
mod tests;
