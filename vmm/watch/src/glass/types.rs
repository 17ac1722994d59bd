//! The guest's types as a layout asks for them: members by path, through the types that wrap them.
//!
//! # Invariants
//! - What wraps a number without adding to it (`AtomicU64`, `SharedPtr`, a lock of one word) is looked through.
//! - A path is followed no deeper than [`MAX_DEPTH`].

use std::collections::HashMap;

use gimli::{EndianSlice, LittleEndian};

use super::dwarf::{Type, TypeAt, Types};
use super::error::GlassError;
use super::guest::{Guest, Kind, List, Member, Origin, Structure};
use super::record::Field;
use super::typed::{Node, TypeId, TypeTable};

/// Where the kernel's root structure is defined.
pub(super) const ROOT: (&[&str], &str) = (&["umpire_kernel", "kernel"], "Kernel");
/// Wrappers of wrappers that are looked through at most.
const MAX_WRAPPERS: usize = 8;
/// Steps that a path may have at most.
const MAX_DEPTH: usize = 8;
/// Types that are read at most.
const MAX_TYPES: usize = 4096;

/// A guest known by its debug information.
pub(super) struct GuestTypes<'d> {
    types: Types<'d>,
    found: HashMap<Structure, TypeAt>,
}

impl<'d> GuestTypes<'d> {
    /// Knows what the sections say.
    ///
    /// # Errors
    /// [`GlassError::Dwarf`] if they do not parse.
    pub(super) fn new(
        dwarf: gimli::Dwarf<EndianSlice<'d, LittleEndian>>,
    ) -> Result<GuestTypes<'d>, GlassError> {
        Ok(GuestTypes { types: Types::new(dwarf)?, found: HashMap::new() })
    }

    /// Where a structure's type stands. No structure is found through itself, so this ends.
    fn at(&mut self, of: Structure) -> Result<TypeAt, GlassError> {
        if let Some(&at) = self.found.get(&of) {
            return Ok(at);
        }
        let at = match of.origin() {
            Origin::Root => self.types.find(ROOT.0, ROOT.1)?,
            Origin::Behind((from, path)) => {
                let owner = self.at(from)?;
                pointee(&mut self.types, owner, path)?
            }
            Origin::Within((from, path)) => {
                let owner = self.at(from)?;
                structure(&mut self.types, owner, path)?.1
            }
            Origin::Element((from, path)) => {
                let owner = self.at(from)?;
                elements(&mut self.types, owner, path)?.1
            }
        };
        self.found.insert(of, at);
        Ok(at)
    }
}

impl Guest for GuestTypes<'_> {
    fn size(&mut self, of: Structure) -> Result<usize, GlassError> {
        let at = self.at(of)?;
        Ok(self.types.size(at)? as usize)
    }

    fn field(
        &mut self,
        of: Structure,
        kind: Kind,
        path: &str,
        count: usize,
        _natural: (usize, bool),
    ) -> Result<Field, GlassError> {
        let (owner, types) = (self.at(of)?, &mut self.types);
        match kind {
            Kind::number => number(types, owner, path),
            Kind::pointer => pointer(types, owner, path),
            Kind::array => numbers(types, owner, path, count),
        }
    }

    fn place(&mut self, (of, path): Member) -> Result<usize, GlassError> {
        let owner = self.at(of)?;
        Ok(structure(&mut self.types, owner, path)?.0)
    }

    fn list(&mut self, (of, path): Member) -> Result<List, GlassError> {
        let owner = self.at(of)?;
        Ok(elements(&mut self.types, owner, path)?.0)
    }

    fn table(&mut self) -> Result<TypeTable, GlassError> {
        let root = self.at(Structure::Kernel)?;
        let mut all = Interned { at: vec![root], ids: HashMap::from([(root, TypeId(0))]) };
        let mut nodes = Vec::new();
        while let Some(&at) = all.at.get(nodes.len()) {
            nodes.push(node(&mut self.types, at, &mut all)?);
        }
        Ok(TypeTable::new(nodes))
    }
}

/// The types that have a number by now, in its order.
struct Interned {
    at: Vec<TypeAt>,
    ids: HashMap<TypeAt, TypeId>,
}

impl Interned {
    /// The number of a type. One beyond [`MAX_TYPES`] has a number that stands for nothing.
    fn id(&mut self, at: TypeAt) -> TypeId {
        let next = TypeId(self.at.len() as u32);
        if self.at.len() == MAX_TYPES {
            return self.ids.get(&at).copied().unwrap_or(TypeId(u32::MAX));
        }
        *self.ids.entry(at).or_insert_with(|| {
            self.at.push(at);
            next
        })
    }
}

/// A type as the table has it. What it leads to gets a number.
fn node(types: &mut Types<'_>, at: TypeAt, all: &mut Interned) -> Result<Node, GlassError> {
    Ok(match types.get(at)? {
        Type::Base { size, signed } => Node::Number { size: size as usize, signed },
        Type::Pointer { to } => Node::Pointer { to: to.map(|to| all.id(to)) },
        Type::Array { element, count } => {
            Node::Array { stride: types.size(element)?, element: all.id(element), count }
        }
        Type::Struct { name, size, members } => {
            let find = |name| members.iter().find(|member| member.name == name);
            if let (Some(data), Some(len)) = (find("data_ptr"), find("length"))
                && let Type::Pointer { to: Some(element) } = types.get(data.of)?
            {
                let (data, len) = (data.offset, len.offset);
                Node::Slice { stride: types.size(element)?, element: all.id(element), data, len }
            } else {
                let members = members.into_iter().map(|m| (m.name, m.offset, all.id(m.of))).collect();
                Node::Struct { name, size, members }
            }
        }
        Type::Other { .. } => Node::Other,
    })
}

fn number(types: &mut Types<'_>, owner: TypeAt, path: &str) -> Result<Field, GlassError> {
    let (offset, of) = locate(types, owner, path)?;
    match unwrapped(types, of)? {
        Type::Base { size: size @ (1 | 2 | 4 | 8), signed } => {
            Ok(Field::new(offset, size as usize, signed, 1))
        }
        found => Err(retyped(types, owner, path, "a number", &found)),
    }
}

fn pointer(types: &mut Types<'_>, owner: TypeAt, path: &str) -> Result<Field, GlassError> {
    let (offset, of) = locate(types, owner, path)?;
    match unwrapped(types, of)? {
        Type::Pointer { .. } => Ok(Field::new(offset, 8, false, 1)),
        found => Err(retyped(types, owner, path, "a pointer", &found)),
    }
}

/// An array of `count` numbers.
fn numbers(types: &mut Types<'_>, owner: TypeAt, path: &str, count: usize) -> Result<Field, GlassError> {
    let (offset, of) = locate(types, owner, path)?;
    let found = types.get(of)?;
    if let Type::Array { element, count: there } = found
        && there == count as u64
        && let Type::Base { size: size @ (1 | 2 | 4 | 8), signed } = unwrapped(types, element)?
        && types.size(element)? == size
    {
        return Ok(Field::new(offset, size as usize, signed, count));
    }
    Err(retyped(types, owner, path, "an array of as many numbers", &found))
}

fn structure(types: &mut Types<'_>, owner: TypeAt, path: &str) -> Result<(usize, TypeAt), GlassError> {
    let (offset, of) = locate(types, owner, path)?;
    match types.get(of)? {
        Type::Struct { .. } => Ok((offset, of)),
        found => Err(retyped(types, owner, path, "a structure", &found)),
    }
}

/// An array, and what its elements are.
fn elements(types: &mut Types<'_>, owner: TypeAt, path: &str) -> Result<(List, TypeAt), GlassError> {
    let (offset, of) = locate(types, owner, path)?;
    match types.get(of)? {
        Type::Array { element, count } => {
            let stride = types.size(element)? as usize;
            Ok((List { offset, stride, count: count as usize }, element))
        }
        found => Err(retyped(types, owner, path, "an array", &found)),
    }
}

fn pointee(types: &mut Types<'_>, owner: TypeAt, path: &str) -> Result<TypeAt, GlassError> {
    let (_, of) = locate(types, owner, path)?;
    match unwrapped(types, of)? {
        Type::Pointer { to: Some(to) } => Ok(to),
        found => Err(retyped(types, owner, path, "a pointer to a structure", &found)),
    }
}

/// Offset and type of the member that `path` names, each step by name or, in an array, by number.
fn locate(types: &mut Types<'_>, owner: TypeAt, path: &str) -> Result<(usize, TypeAt), GlassError> {
    let mut at = owner;
    let mut offset = 0;
    for step in path.split('.').take(MAX_DEPTH) {
        let found = types.get(at)?;
        if let Type::Array { element, count } = found
            && let Some(n) = step.parse().ok().filter(|n| *n < count)
        {
            offset = types.size(element)?.wrapping_mul(n).wrapping_add(offset as u64) as usize;
            at = element;
            continue;
        }
        let Type::Struct { name, members, .. } = &found else {
            return Err(retyped(types, owner, path, "a structure on the way", &found));
        };
        let Some(member) = members.iter().find(|m| m.name == step) else {
            let nearest = members.iter().max_by(|a, b| {
                strsim::jaro_winkler(&a.name, step).total_cmp(&strsim::jaro_winkler(&b.name, step))
            });
            return Err(GlassError::MissingField {
                owner: name.clone(),
                field: step.into(),
                nearest: nearest.map(|m| m.name.clone()),
            });
        };
        offset = member.offset.wrapping_add(offset as u64) as usize;
        at = member.of;
    }
    Ok((offset, at))
}

/// The type behind structures that hold one thing of their own size at offset 0, and nothing else.
fn unwrapped(types: &mut Types<'_>, mut at: TypeAt) -> Result<Type, GlassError> {
    for _ in 0..MAX_WRAPPERS {
        let Type::Struct { size, members, .. } = types.get(at)? else { break };
        let mut inner = None;
        for member in members {
            let member_size = types.size(member.of)?;
            if member_size == size && member.offset == 0 && inner.is_none() {
                inner = Some(member.of);
            } else if member_size != 0 {
                return types.get(at);
            }
        }
        let Some(of) = inner else { break };
        at = of;
    }
    types.get(at)
}

fn retyped(
    types: &mut Types<'_>,
    owner: TypeAt,
    path: &str,
    expected: &'static str,
    found: &Type,
) -> GlassError {
    let owner = match types.get(owner) {
        Ok(Type::Struct { name, .. }) => name,
        _ => "a type without a name".into(),
    };
    let found = match found {
        Type::Base { size, .. } => format!("a number of {size} bytes"),
        Type::Pointer { .. } => "a pointer".into(),
        Type::Struct { name, .. } => format!("a structure {name}"),
        Type::Array { count, .. } => format!("an array of {count}"),
        Type::Other { what } => (*what).into(),
    };
    GlassError::Retyped { owner, field: path.into(), expected, found }
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
