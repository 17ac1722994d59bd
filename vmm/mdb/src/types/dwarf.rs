//! One pass over the debug information: every type that has values.
//!
//! # Invariants
//! - Only types are read: of functions and what is in them only the shapes of the entries are, to get past them.
//! - Malformed debug information is an error, never a hang: each entry is passed once.

use std::borrow::Cow;

use gimli::{AttributeValue, DwAt, DwTag, EndianSlice, LittleEndian, constants as dw};
use object::{Object, ObjectSection};

use super::{Encoding, Member, Shape, Struct, Type, TypeId, Types, Variants};

type Slice<'d> = EndianSlice<'d, LittleEndian>;

/// Why the types of an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TypesError {
    /// Not an ELF file.
    #[error("reading the guest image as ELF: {0}; give the image that the guest was booted from")]
    NotElf(#[from] object::Error),
    /// No types.
    #[error(
        "looking for types in the guest image: it has no .debug_info; build it with full debug information (debug = 2)"
    )]
    NoDebugInfo,
    /// Debug information that does not parse.
    #[error("reading the types of the guest image: {0}; rebuild the guest image")]
    Dwarf(#[from] gimli::Error),
}

/// What an entry says that matters of types.
#[derive(Default)]
struct Said {
    name: Option<String>,
    size: u64,
    of: Option<usize>,
    offset: u64,
    value: Option<u64>,
    encoding: Option<gimli::DwAte>,
    is_declaration: bool,
}

/// What an enclosing entry is.
enum Open {
    /// A namespace, or anything else that types may be in.
    Path(String),
    /// A type with members.
    Type(TypeId),
    /// The part of a structure that its variants are in.
    Variants(TypeId),
    /// A variant.
    Variant(TypeId, Option<u64>),
    /// Something without members.
    Other,
}

impl Types {
    /// Reads every type of an ELF image.
    ///
    /// # Errors
    /// [`TypesError`] if the image is none, or has no debug information, or one that does not parse.
    pub fn from_elf(image: &[u8]) -> Result<Types, TypesError> {
        let file = object::File::parse(image)?;
        if file.section_by_name(".debug_info").is_none() {
            return Err(TypesError::NoDebugInfo);
        }
        let sections = gimli::DwarfSections::load(|id| match file.section_by_name(id.name()) {
            Some(section) => section.uncompressed_data(),
            None => Ok(Cow::Borrowed(&[][..])),
        })?;
        let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
        let mut pass =
            Pass { dwarf: &dwarf, types: Types::default(), places: Vec::new(), targets: Vec::new() };
        let mut units = dwarf.units();
        while let Some(header) = units.next()? {
            pass.unit(&dwarf.unit(header)?)?;
        }
        Ok(pass.finish())
    }
}

struct Pass<'p, 'd> {
    dwarf: &'p gimli::Dwarf<Slice<'d>>,
    types: Types,
    /// Types by their entry's place in the section, which is passed from its beginning to its end.
    places: Vec<(usize, TypeId)>,
    /// Places that types name, by the number that stands for each until the end of the pass.
    targets: Vec<Option<usize>>,
}

impl<'d> Pass<'_, 'd> {
    fn unit(&mut self, unit: &gimli::Unit<Slice<'d>>) -> Result<(), gimli::Error> {
        let base = unit.debug_info_offset().map_or(0, |offset| offset.0);
        let mut entries = unit.entries_raw(None)?;
        let mut open: Vec<Open> = Vec::new();
        while !entries.is_empty() {
            let at = base + entries.next_offset().0;
            let depth = usize::try_from(entries.next_depth()).unwrap_or(0);
            open.truncate(depth);
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            let tag = abbreviation.tag();
            if !matters(tag) {
                entries.skip_attributes(abbreviation.attributes())?;
                // What a function is called is a part of the path of the types in it, but nothing asks for those.
                open.resize_with(depth + 1, || Open::Other);
                continue;
            }
            let mut said = Said::default();
            for spec in abbreviation.attributes() {
                let attribute = entries.read_attribute(*spec)?;
                self.hear(unit, base, attribute.name(), attribute.value(), &mut said)?;
            }
            let opened = self.entry(tag, at, said, &open);
            open.resize_with(depth, || Open::Other);
            open.push(opened);
        }
        Ok(())
    }

    fn hear(
        &self,
        unit: &gimli::Unit<Slice<'d>>,
        base: usize,
        name: DwAt,
        value: AttributeValue<Slice<'d>>,
        said: &mut Said,
    ) -> Result<(), gimli::Error> {
        let number = |value: &AttributeValue<Slice<'d>>| match value {
            AttributeValue::Sdata(n) => Some(*n as u64),
            value => value.udata_value(),
        };
        match name {
            dw::DW_AT_name => {
                let text = self.dwarf.attr_string(unit, value)?;
                said.name = Some(text.to_string_lossy().into_owned());
            }
            dw::DW_AT_byte_size => said.size = number(&value).unwrap_or(0),
            dw::DW_AT_data_member_location => said.offset = number(&value).unwrap_or(0),
            dw::DW_AT_count | dw::DW_AT_discr_value | dw::DW_AT_const_value => said.value = number(&value),
            dw::DW_AT_declaration => said.is_declaration = true,
            dw::DW_AT_encoding => {
                if let AttributeValue::Encoding(encoding) = value {
                    said.encoding = Some(encoding);
                }
            }
            dw::DW_AT_type => {
                said.of = match value {
                    AttributeValue::UnitRef(offset) => Some(base + offset.0),
                    AttributeValue::DebugInfoRef(offset) => Some(offset.0),
                    _ => None,
                };
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes one entry, whose enclosing ones are `open`.
    fn entry(&mut self, tag: DwTag, at: usize, said: Said, open: &[Open]) -> Open {
        let name = said.name.clone().unwrap_or_default();
        match tag {
            dw::DW_TAG_namespace => return Open::Path(name),
            dw::DW_TAG_member => {
                let of = self.target(said.of);
                self.member(Member { name, offset: said.offset, of }, open.last());
                return Open::Other;
            }
            dw::DW_TAG_variant_part => {
                let Some(&Open::Type(owner)) = open.last() else { return Open::Other };
                if let Shape::Struct(of) = &mut self.types.all[owner.0 as usize].shape {
                    of.variants.get_or_insert_default();
                }
                return Open::Variants(owner);
            }
            dw::DW_TAG_variant => {
                let Some(&Open::Variants(owner)) = open.last() else { return Open::Other };
                return Open::Variant(owner, said.value);
            }
            dw::DW_TAG_enumerator => {
                if let Some(&Open::Type(owner)) = open.last()
                    && let Shape::Enum { names, .. } = &mut self.types.all[owner.0 as usize].shape
                {
                    names.push((name, said.value.unwrap_or(0)));
                }
                return Open::Other;
            }
            dw::DW_TAG_subrange_type => {
                if let Some(&Open::Type(owner)) = open.last()
                    && let Shape::Array(_, count) = &mut self.types.all[owner.0 as usize].shape
                {
                    *count = said.value.unwrap_or(0);
                }
                return Open::Other;
            }
            _ => {}
        }
        if said.is_declaration {
            return Open::Other;
        }
        let of = said.of.map(|of| self.target(Some(of)));
        let shape = match tag {
            dw::DW_TAG_base_type => Shape::Base(encoding(said.encoding)),
            dw::DW_TAG_pointer_type => Shape::Pointer(of),
            dw::DW_TAG_structure_type => Shape::Struct(Struct::default()),
            dw::DW_TAG_union_type => Shape::Union(Vec::new()),
            dw::DW_TAG_enumeration_type => {
                Shape::Enum { is_signed: name.starts_with("i"), names: Vec::new() }
            }
            dw::DW_TAG_array_type => Shape::Array(self.target(said.of), 0),
            dw::DW_TAG_subroutine_type => Shape::Opaque,
            _ => Shape::Alias(of),
        };
        let size = if tag == dw::DW_TAG_pointer_type { 8 } else { said.size };
        let id = TypeId(self.types.all.len() as u32);
        let is_variant = open.iter().any(|one| matches!(one, Open::Type(_)));
        self.types.all.push(Type { name, module: self.module(open), size, is_variant, shape });
        self.places.push((at, id));
        Open::Type(id)
    }

    fn member(&mut self, member: Member, owner: Option<&Open>) {
        let (Some(Open::Type(id)) | Some(Open::Variants(id)) | Some(Open::Variant(id, _))) = owner else {
            return;
        };
        match (&mut self.types.all[id.0 as usize].shape, owner) {
            (Shape::Struct(of), Some(Open::Type(_))) => of.members.push(member),
            (Shape::Struct(of), Some(Open::Variants(_))) => {
                of.variants.get_or_insert_default().tag = Some(member)
            }
            (Shape::Struct(of), Some(Open::Variant(_, value))) => {
                of.variants.get_or_insert_default().each.push((*value, member));
            }
            (Shape::Union(members), Some(Open::Type(_))) => members.push(member),
            _ => {}
        }
    }

    /// The path of what is in these entries.
    fn module(&self, open: &[Open]) -> String {
        let parts = open.iter().filter_map(|one| match one {
            Open::Path(name) => Some(name.as_str()),
            Open::Type(id) => Some(self.types.all[id.0 as usize].name.as_str()),
            _ => None,
        });
        parts.collect::<Vec<_>>().join("::")
    }

    /// A type that stands for one whose place is known; the end of the pass puts the right one there.
    fn target(&mut self, place: Option<usize>) -> TypeId {
        self.targets.push(place);
        TypeId(self.targets.len() as u32 - 1)
    }

    /// Puts the types where places stood for them.
    fn finish(self) -> Types {
        let Pass { mut types, places, targets, .. } = self;
        let nothing = TypeId(types.all.len() as u32);
        let (name, module) = ("()".to_owned(), String::new());
        types.all.push(Type { name, module, size: 0, is_variant: false, shape: Shape::Opaque });
        let right = |id: &mut TypeId| {
            let place = targets.get(id.0 as usize).copied().flatten();
            let known = place.and_then(|place| places.binary_search_by_key(&place, |(at, _)| *at).ok());
            *id = known.map_or(nothing, |n| places[n].1);
        };
        for of in &mut types.all {
            match &mut of.shape {
                Shape::Pointer(Some(to)) | Shape::Alias(Some(to)) | Shape::Array(to, _) => right(to),
                Shape::Union(members) => members.iter_mut().for_each(|m| right(&mut m.of)),
                Shape::Struct(Struct { members, variants }) => {
                    members.iter_mut().for_each(|m| right(&mut m.of));
                    members.sort_by_key(|m| m.offset);
                    if let Some(Variants { tag, each }) = variants {
                        tag.iter_mut().chain(each.iter_mut().map(|(_, m)| m)).for_each(|m| right(&mut m.of));
                    }
                }
                _ => {}
            }
        }
        // An array has no name of its own: it is called as Rust would call it, arrays of arrays from the inside out.
        for _ in 0..2 {
            for n in 0..types.all.len() {
                if let Shape::Array(of, count) = types.all[n].shape {
                    types.all[n].name = format!("[{}; {count}]", types.get(of).shown());
                }
            }
        }
        for n in 0..types.all.len() {
            let name = types.all[n].name.clone();
            types.by_name.entry(name).or_default().push(TypeId(n as u32));
        }
        types
    }
}

fn matters(tag: DwTag) -> bool {
    matches!(
        tag,
        dw::DW_TAG_namespace
            | dw::DW_TAG_base_type
            | dw::DW_TAG_pointer_type
            | dw::DW_TAG_structure_type
            | dw::DW_TAG_union_type
            | dw::DW_TAG_enumeration_type
            | dw::DW_TAG_array_type
            | dw::DW_TAG_subroutine_type
            | dw::DW_TAG_typedef
            | dw::DW_TAG_const_type
            | dw::DW_TAG_volatile_type
            | dw::DW_TAG_member
            | dw::DW_TAG_variant_part
            | dw::DW_TAG_variant
            | dw::DW_TAG_enumerator
            | dw::DW_TAG_subrange_type
    )
}

fn encoding(said: Option<gimli::DwAte>) -> Encoding {
    match said {
        Some(dw::DW_ATE_signed | dw::DW_ATE_signed_char) => Encoding::Signed,
        Some(dw::DW_ATE_boolean) => Encoding::Bool,
        Some(dw::DW_ATE_UTF) => Encoding::Char,
        Some(dw::DW_ATE_float) => Encoding::Float,
        _ => Encoding::Unsigned,
    }
}
