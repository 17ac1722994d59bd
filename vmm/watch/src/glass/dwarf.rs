//! The guest's types as its DWARF tells them: one lookup by name, then the types that this one leads to.
//!
//! # Invariants
//! - Only what is asked for is parsed: a scan by name stops at the type it finds, and its members' types are
//!   parsed when a path follows them.
//! - Every loop over debugging entries is bounded by the section; a malformed section is an error, never a hang.

use std::borrow::Cow;
use std::collections::HashMap;

use gimli::{AttributeValue, DwAt, EndianSlice, LittleEndian, UnitHeader, UnitOffset, constants as dw};
use object::{Object, ObjectSection};

use super::error::GlassError;

type Slice<'d> = EndianSlice<'d, LittleEndian>;
type Unit<'d> = gimli::Unit<Slice<'d>>;
type Entry<'d> = gimli::DebuggingInformationEntry<Slice<'d>>;

/// Arrays of arrays of arrays that are followed at most.
const MAX_DIMENSIONS: usize = 8;

/// Where a type stands in the debug information.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TypeAt {
    unit: usize,
    offset: UnitOffset,
}

/// What a type is, as far as a reader of raw memory cares.
#[derive(Debug, Clone)]
pub(super) enum Type {
    /// A number.
    Base { size: u64, signed: bool },
    /// A pointer.
    Pointer { to: Option<TypeAt> },
    /// A structure.
    Struct { name: String, size: u64, members: Vec<Member> },
    /// An array of known length.
    Array { element: TypeAt, count: u64 },
    /// Something that the glass never looks into.
    Other { what: &'static str },
}

/// A member of a structure.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub name: String,
    pub offset: u64,
    pub of: TypeAt,
}

/// The sections of an ELF file that gimli asks for, decompressed if need be.
pub(super) fn sections(image: &[u8]) -> Result<gimli::DwarfSections<Cow<'_, [u8]>>, GlassError> {
    let not_elf = |e: object::Error| GlassError::NotElf { found: e.to_string() };
    let file = object::File::parse(image).map_err(not_elf)?;
    if file.section_by_name(".debug_info").is_none() {
        return Err(GlassError::NoDebugInfo);
    }
    gimli::DwarfSections::load(|id| match file.section_by_name(id.name()) {
        Some(section) => section.uncompressed_data(),
        None => Ok(Cow::Borrowed(&[][..])),
    })
    .map_err(not_elf)
}

/// A view of the sections that gimli can parse.
pub(super) fn borrow<'d>(sections: &'d gimli::DwarfSections<Cow<'_, [u8]>>) -> gimli::Dwarf<Slice<'d>> {
    sections.borrow(|section| EndianSlice::new(section, LittleEndian))
}

/// Types by name and by reference.
pub(super) struct Types<'d> {
    dwarf: gimli::Dwarf<Slice<'d>>,
    headers: Vec<UnitHeader<Slice<'d>>>,
    units: HashMap<usize, Unit<'d>>,
    known: HashMap<TypeAt, Type>,
}

impl<'d> Types<'d> {
    pub(super) fn new(dwarf: gimli::Dwarf<Slice<'d>>) -> Result<Types<'d>, GlassError> {
        let mut headers = Vec::new();
        let mut all = dwarf.units();
        while let Some(header) = all.next().map_err(|e| failed("listing the units", e))? {
            headers.push(header);
        }
        Ok(Types { dwarf, headers, units: HashMap::new(), known: HashMap::new() })
    }

    /// Finds the definition of `namespace::name`. Units of the crate that the namespace begins with come first: the
    /// definition is nearly always there.
    pub(super) fn find(&mut self, namespace: &[&str], name: &str) -> Result<TypeAt, GlassError> {
        let failed = |e| failed(&format!("looking for {name}"), e);
        let mut later = Vec::new();
        for unit in 0..self.headers.len() {
            let own = self.unit(unit).map_err(failed)?.name.is_some_and(|n| contains(n, namespace[0]));
            if !own {
                later.push(unit);
            } else if let Some(at) = self.scan(unit, namespace, name).map_err(failed)? {
                return Ok(at);
            }
        }
        for unit in later {
            if let Some(at) = self.scan(unit, namespace, name).map_err(failed)? {
                return Ok(at);
            }
        }
        Err(GlassError::MissingType { name: name.into(), namespace: namespace.join("::") })
    }

    /// The type at a place, parsed once.
    pub(super) fn get(&mut self, at: TypeAt) -> Result<Type, GlassError> {
        if let Some(known) = self.known.get(&at) {
            return Ok(known.clone());
        }
        let parsed = self.parse(at).map_err(|e| failed("reading a type", e))?;
        self.known.insert(at, parsed.clone());
        Ok(parsed)
    }

    /// Bytes that a value of this type takes; 0 if the debug information does not say.
    pub(super) fn size(&mut self, at: TypeAt) -> Result<u64, GlassError> {
        let (mut at, mut factor) = (at, 1_u64);
        for _ in 0..MAX_DIMENSIONS {
            let size = match self.get(at)? {
                Type::Base { size, .. } | Type::Struct { size, .. } => size,
                Type::Pointer { .. } => 8,
                Type::Other { .. } => 0,
                Type::Array { element, count } => {
                    factor = factor.saturating_mul(count);
                    at = element;
                    continue;
                }
            };
            return Ok(size.saturating_mul(factor));
        }
        Ok(0)
    }

    fn unit(&mut self, n: usize) -> gimli::Result<&Unit<'d>> {
        if !self.units.contains_key(&n) {
            let unit = self.dwarf.unit(self.headers[n])?;
            self.units.insert(n, unit);
        }
        self.units.get(&n).ok_or(gimli::Error::MissingUnitDie)
    }

    /// One pass over a unit, reading attributes only where the names could match.
    fn scan(&mut self, n: usize, namespace: &[&str], name: &str) -> gimli::Result<Option<TypeAt>> {
        self.unit(n)?;
        let unit = &self.units[&n];
        let mut entries = unit.entries_raw(None)?;
        // Components of `namespace` that enclose the current entry.
        let mut enclosing = 0_usize;
        while !entries.is_empty() {
            let offset = entries.next_offset();
            let level = usize::try_from(entries.next_depth()).unwrap_or(0);
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            enclosing = enclosing.min(level.saturating_sub(1));
            let is_in_step = level == enclosing + 1;
            let wanted = match abbreviation.tag() {
                dw::DW_TAG_namespace if is_in_step => namespace.get(enclosing).copied(),
                dw::DW_TAG_structure_type if is_in_step && enclosing == namespace.len() => Some(name),
                _ => None,
            };
            let Some(wanted) = wanted else {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            };
            let mut matches = false;
            let mut is_declaration = false;
            for spec in abbreviation.attributes() {
                let attribute = entries.read_attribute(*spec)?;
                match attribute.name() {
                    dw::DW_AT_name => {
                        let found = self.dwarf.attr_string(unit, attribute.value())?;
                        matches = found.slice() == wanted.as_bytes();
                    }
                    dw::DW_AT_declaration => is_declaration = true,
                    _ => {}
                }
            }
            if matches && abbreviation.tag() == dw::DW_TAG_namespace {
                enclosing += 1;
            } else if matches && !is_declaration {
                return Ok(Some(TypeAt { unit: n, offset }));
            }
        }
        Ok(None)
    }

    fn parse(&mut self, at: TypeAt) -> gimli::Result<Type> {
        self.unit(at.unit)?;
        let unit = &self.units[&at.unit];
        let entry = unit.entry(at.offset)?;
        Ok(match entry.tag() {
            dw::DW_TAG_base_type => {
                let signed = matches!(
                    entry.attr_value(dw::DW_AT_encoding),
                    Some(AttributeValue::Encoding(dw::DW_ATE_signed | dw::DW_ATE_signed_char))
                );
                Type::Base { size: number(&entry, dw::DW_AT_byte_size), signed }
            }
            dw::DW_TAG_pointer_type => Type::Pointer { to: self.reference(at.unit, &entry) },
            dw::DW_TAG_structure_type => self.parse_struct(at.unit, &entry)?,
            dw::DW_TAG_array_type => self.parse_array(at.unit, &entry)?,
            dw::DW_TAG_typedef | dw::DW_TAG_const_type | dw::DW_TAG_volatile_type => {
                match self.reference(at.unit, &entry) {
                    // A chain of these that leads back to itself cannot come out of a compiler; one level is enough.
                    Some(to) if to != at => self.parse_plain(to)?,
                    _ => Type::Other { what: "an alias" },
                }
            }
            dw::DW_TAG_enumeration_type => Type::Other { what: "an enumeration" },
            dw::DW_TAG_union_type => Type::Other { what: "a union" },
            _ => Type::Other { what: "not plain data" },
        })
    }

    fn parse_plain(&mut self, at: TypeAt) -> gimli::Result<Type> {
        self.unit(at.unit)?;
        let is_alias = matches!(
            self.units[&at.unit].entry(at.offset)?.tag(),
            dw::DW_TAG_typedef | dw::DW_TAG_const_type | dw::DW_TAG_volatile_type
        );
        if is_alias { Ok(Type::Other { what: "an alias" }) } else { self.parse(at) }
    }

    fn parse_struct(&self, n: usize, entry: &Entry<'d>) -> gimli::Result<Type> {
        let unit = &self.units[&n];
        let mut members = Vec::new();
        let mut tree = unit.entries_tree(Some(entry.offset()))?;
        let mut children = tree.root()?.children();
        while let Some(child) = children.next()? {
            let child = child.entry();
            if child.tag() == dw::DW_TAG_member
                && let Some(of) = self.reference(n, child)
            {
                let offset = number(child, dw::DW_AT_data_member_location);
                members.push(Member { name: self.name(unit, child)?, offset, of });
            }
        }
        Ok(Type::Struct { name: self.name(unit, entry)?, size: number(entry, dw::DW_AT_byte_size), members })
    }

    fn parse_array(&self, n: usize, entry: &Entry<'d>) -> gimli::Result<Type> {
        let Some(element) = self.reference(n, entry) else {
            return Ok(Type::Other { what: "an array of nothing" });
        };
        let mut tree = self.units[&n].entries_tree(Some(entry.offset()))?;
        let mut children = tree.root()?.children();
        while let Some(child) = children.next()? {
            let child = child.entry();
            if child.tag() == dw::DW_TAG_subrange_type {
                return Ok(Type::Array { element, count: number(child, dw::DW_AT_count) });
            }
        }
        Ok(Type::Other { what: "an array without a length" })
    }

    fn name(&self, unit: &Unit<'d>, entry: &Entry<'d>) -> gimli::Result<String> {
        match entry.attr_value(dw::DW_AT_name) {
            Some(value) => Ok(self.dwarf.attr_string(unit, value)?.to_string_lossy().into_owned()),
            None => Ok(String::new()),
        }
    }

    /// What `DW_AT_type` points to, in this unit or, after link-time optimisation, in another.
    fn reference(&self, n: usize, entry: &Entry<'d>) -> Option<TypeAt> {
        match entry.attr_value(dw::DW_AT_type)? {
            AttributeValue::UnitRef(offset) => Some(TypeAt { unit: n, offset }),
            AttributeValue::DebugInfoRef(target) => {
                self.headers.iter().enumerate().find_map(|(unit, header)| {
                    target.to_unit_offset(header).map(|offset| TypeAt { unit, offset })
                })
            }
            _ => None,
        }
    }
}

fn number(entry: &Entry<'_>, name: DwAt) -> u64 {
    entry.attr_value(name).and_then(|value| value.udata_value()).unwrap_or(0)
}

fn contains(unit_name: Slice<'_>, krate: &str) -> bool {
    unit_name.slice().windows(krate.len()).any(|w| w == krate.as_bytes())
}

fn failed(attempt: &str, source: gimli::Error) -> GlassError {
    GlassError::Dwarf { attempt: attempt.into(), source }
}
