//! Objects as text: numbers as mdb shows them, structures a member a line, and what C has no form for as a Rust reader would write
//! it.
//!
//! # Invariants
//! - Atomics, cells and newtypes are seen through: what is shown is what is inside.
//! - Text is bounded: arrays by their limit, structures by their depth, and the whole by [`MAX_BYTES`].

use std::fmt::Write;

use crate::lang::Failure;
use crate::object::Object;
use crate::types::{Encoding, Shape, Struct, TypeId, Variants};

/// Bytes of text that one object may take.
const MAX_BYTES: usize = 2 << 20;
/// Structures within structures that are shown.
const MAX_DEPTH: usize = 24;

/// How objects are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    /// `-a`: the address in front of each.
    pub(crate) addresses: bool,
    /// `-t`: its type in front of each.
    pub(crate) types: bool,
    /// `-T`: and what that type is when all other names of it are taken away.
    pub(crate) base_types: bool,
    /// `-d`: numbers are decimal.
    pub(crate) decimal: bool,
    /// `-n`: pointers are not symbols.
    pub(crate) raw_pointers: bool,
    /// `-h`: what lies between members is shown.
    pub(crate) holes: bool,
    /// `-c`: characters of an array of them.
    pub(crate) chars: usize,
    /// `-l`: elements of any other array.
    pub(crate) elements: u64,
    /// `-s`: structures within structures.
    pub(crate) depth: usize,
}

impl Default for Printer {
    fn default() -> Printer {
        Printer {
            addresses: false,
            types: false,
            base_types: false,
            decimal: false,
            raw_pointers: false,
            holes: false,
            chars: 1024,
            elements: 32,
            depth: MAX_DEPTH,
        }
    }
}

impl Printer {
    /// `name = value`, or the value alone if it has no name; several lines for a structure.
    pub(crate) fn shown(&self, name: &str, object: &Object<'_>) -> Result<String, Failure> {
        let mut out = String::new();
        self.labelled(&mut out, name, object, 0)?;
        Ok(out)
    }

    /// Writes `name = value` at a depth.
    fn labelled(
        &self,
        out: &mut String,
        name: &str,
        object: &Object<'_>,
        depth: usize,
    ) -> Result<(), Failure> {
        out.push_str(&"    ".repeat(depth));
        if self.addresses {
            let _ = write!(out, "{:x} ", object.addr());
        }
        if self.types || self.base_types {
            let types = object.view().types();
            let _ = write!(out, "{} ", types.get(object.of()).shown());
            let inner = types.seen_through(object.of());
            if self.base_types && inner != object.of() {
                let _ = write!(out, "({}) ", types.get(inner).shown());
            }
        }
        if !name.is_empty() {
            let _ = write!(out, "{name} = ");
        }
        self.value(out, object, depth)
    }

    fn value(&self, out: &mut String, object: &Object<'_>, depth: usize) -> Result<(), Failure> {
        let types = object.view().types();
        if let Some((_, _, element)) = types.slice(object.of()) {
            return slice(out, object, element);
        }
        let inner = types.seen_through(object.of());
        let object = object.inside(0, inner)?;
        match &types.get(inner).shape {
            Shape::Base(encoding) => {
                *out += &self.number(object.number()?, types.get(inner).size, *encoding);
            }
            Shape::Enum { names, .. } => {
                let value = object.number()?;
                let name = names.iter().find(|(_, number)| *number == value);
                let name = name.map_or("???", |(name, _)| name);
                let _ =
                    write!(out, "{} ({name})", self.number(value, types.get(inner).size, Encoding::Unsigned));
            }
            Shape::Pointer(_) => *out += &self.pointer(&object)?,
            Shape::Struct(Struct { variants: Some(variants), .. }) => {
                self.variant(out, &object, variants, depth)?
            }
            Shape::Struct(Struct { members, .. }) | Shape::Union(members) if members.is_empty() => {
                *out += "{}"
            }
            Shape::Struct(Struct { .. }) | Shape::Union(_) if depth >= self.depth => *out += "{ ... }",
            Shape::Struct(Struct { members, .. }) | Shape::Union(members) => {
                *out += "{\n";
                let mut end = 0;
                for member in members {
                    if self.holes && member.offset > end {
                        let _ = writeln!(
                            out,
                            "{}<<HOLE: {} bytes>>",
                            "    ".repeat(depth + 1),
                            member.offset - end
                        );
                    }
                    end = end.max(member.offset + types.size(member.of));
                    let name = member.name.trim_start_matches("__");
                    self.labelled(out, name, &object.inside(member.offset, member.of)?, depth + 1)?;
                    out.push('\n');
                    if out.len() > MAX_BYTES {
                        let message =
                            format!("the object takes more than {MAX_BYTES} bytes of text; name the member");
                        return Err(Failure::new(message));
                    }
                }
                *out += &"    ".repeat(depth);
                out.push('}');
            }
            Shape::Array(..) => self.array(out, &object, depth)?,
            Shape::Alias(_) | Shape::Opaque => *out += "()",
        }
        Ok(())
    }

    /// A number as `printf` has it with `%#x`, or as Rust has it if C has no form for it.
    pub(crate) fn number(&self, value: u64, size: u64, encoding: Encoding) -> String {
        let cut = if size >= 8 { value } else { value & ((1 << (8 * size)) - 1) };
        match encoding {
            Encoding::Bool => match cut {
                0 => "false".to_owned(),
                1 => "true".to_owned(),
                other => format!("{other:#x} (no bool)"),
            },
            Encoding::Char => match u32::try_from(cut).ok().and_then(char::from_u32) {
                Some(c) => format!("{c:?}"),
                None => format!("{cut:#x} (no char)"),
            },
            Encoding::Float if size == 4 => format!("{:e}", f32::from_bits(cut as u32)),
            Encoding::Float => format!("{:e}", f64::from_bits(cut)),
            Encoding::Signed if self.decimal => format!("0t{}", value as i64),
            _ if self.decimal => format!("0t{cut}"),
            _ if cut == 0 => "0".to_owned(),
            _ => format!("{cut:#x}"),
        }
    }

    fn pointer(&self, object: &Object<'_>) -> Result<String, Failure> {
        let value = object.number()?;
        let name = object.view().name_of(value).filter(|_| !self.raw_pointers && value != 0);
        Ok(name.unwrap_or_else(|| if value == 0 { "0".to_owned() } else { format!("{value:#x}") }))
    }

    /// `None`, `Some(7)`, `Await { of = 1, count = 2 }`.
    fn variant(
        &self,
        out: &mut String,
        object: &Object<'_>,
        variants: &Variants,
        depth: usize,
    ) -> Result<(), Failure> {
        let Some(member) = object.variant(variants) else {
            *out += "(no variant has this tag)";
            return Ok(());
        };
        *out += &member.name;
        let types = object.view().types();
        let held = object.inside(member.offset, member.of)?;
        let Shape::Struct(Struct { members, .. }) = &types.get(types.resolved(member.of)).shape else {
            return Ok(());
        };
        if members.is_empty() {
            return Ok(());
        }
        let is_tuple = members.iter().all(|m| m.name.starts_with("__"));
        *out += if is_tuple { "(" } else { " { " };
        for (n, field) in members.iter().enumerate() {
            if n > 0 {
                *out += ", ";
            }
            if !is_tuple {
                let _ = write!(out, "{} = ", field.name);
            }
            self.value(out, &held.inside(field.offset, field.of)?, depth)?;
        }
        *out += if is_tuple { ")" } else { " }" };
        Ok(())
    }

    fn array(&self, out: &mut String, array: &Object<'_>, depth: usize) -> Result<(), Failure> {
        let types = array.view().types();
        let all = array.elements()?;
        let element = types.get(types.seen_through(all.of));
        if element.shape == Shape::Base(Encoding::Unsigned) && element.size == 1 && is_text(array.bytes()) {
            let text: String =
                array.bytes().iter().take_while(|b| **b != 0).take(self.chars).map(|b| *b as char).collect();
            let _ = write!(out, "[ {text:?} ]");
            return Ok(());
        }
        let is_flat = matches!(element.shape, Shape::Base(_) | Shape::Pointer(_) | Shape::Enum { .. });
        *out += if is_flat { "[ " } else { "[\n" };
        let shown = all.count.min(self.elements);
        for n in 0..shown {
            let one = array.inside(n * all.stride, all.of)?;
            let more = if n + 1 < all.count { "," } else { "" };
            if is_flat {
                self.value(out, &one, depth)?;
                *out += &format!("{more} ");
            } else {
                self.labelled(out, "", &one, depth + 1)?;
                *out += &format!("{more}\n");
            }
        }
        if shown < all.count {
            *out += &if is_flat { "... ".to_owned() } else { format!("{}...\n", "    ".repeat(depth + 1)) };
        }
        if !is_flat {
            *out += &"    ".repeat(depth);
        }
        out.push(']');
        Ok(())
    }
}

/// A slice behind a pointer: a text as it is, anything else as where and how many.
fn slice(out: &mut String, object: &Object<'_>, element: TypeId) -> Result<(), Failure> {
    let view = object.view();
    let all = object.elements()?;
    if view.types().get(object.of()).name == "&str" {
        let mut text = vec![0; all.count.min(1024) as usize];
        // In the simulator a text of the program lies outside of what the glass may read.
        if view.read(all.base, &mut text).is_ok() || view.image().bytes_at(all.base, &mut text) {
            let _ = write!(out, "{:?}", String::from_utf8_lossy(&text));
            return Ok(());
        }
    }
    let _ = write!(out, "{:#x} [{}; {}]", all.base, view.types().get(element).shown(), all.count);
    Ok(())
}

/// True for bytes that are a text, with nothing but NULs behind it.
fn is_text(bytes: &[u8]) -> bool {
    let len = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    len > 0
        && bytes[..len].iter().all(|b| b.is_ascii_graphic() || *b == b' ')
        && bytes[len..].iter().all(|b| *b == 0)
}
