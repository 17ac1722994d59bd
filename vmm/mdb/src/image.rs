//! A guest's image: its types, its symbols, and the bytes that the linker put at its addresses.
//!
//! # Invariants
//! - Nothing of a running guest is in here: one image serves every target that runs it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind, SymbolSection};
use umpire_machine::GUEST_IMAGE;
use umpire_watch::glass::short_path;

use crate::types::{Types, TypesError};

/// What a symbol names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// A function.
    Code,
    /// A variable or a constant.
    Data,
    /// A label, or what the linker script defines.
    Label,
}

/// A symbol of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElfSymbol {
    /// Its address.
    pub value: u64,
    /// Bytes.
    pub size: u64,
    /// What it names.
    pub of: Names,
    /// True if other units of the image see it.
    pub is_global: bool,
    /// Its name without crate, module and hash.
    pub name: String,
    /// Crate and module, with dots between them; empty for assembly.
    pub module: String,
}

/// An image, understood.
#[derive(Debug)]
pub struct GuestImage {
    types: Types,
    symbols: Vec<ElfSymbol>,
    by_name: HashMap<String, Vec<usize>>,
    bytes: Cow<'static, [u8]>,
    segments: Vec<(u64, Range<usize>)>,
}

impl GuestImage {
    /// Reads an image.
    ///
    /// # Errors
    /// [`TypesError`] if it is no ELF file, or has no debug information that can be read.
    pub fn read(bytes: impl Into<Cow<'static, [u8]>>) -> Result<GuestImage, TypesError> {
        let bytes = bytes.into();
        let types = Types::from_elf(&bytes)?;
        let file = object::File::parse(&*bytes)?;
        let mut symbols: Vec<ElfSymbol> = file.symbols().filter_map(|s| symbol(&s)).collect();
        symbols.sort_by(|a, b| (a.value, &a.name).cmp(&(b.value, &b.name)));
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (n, symbol) in symbols.iter().enumerate() {
            by_name.entry(symbol.name.clone()).or_default().push(n);
        }
        let segments = file.segments().map(|s| {
            let (start, len) = s.file_range();
            (s.address(), start as usize..start.saturating_add(len) as usize)
        });
        let segments =
            segments.filter(|(_, range)| range.end <= bytes.len() && range.start <= range.end).collect();
        Ok(GuestImage { types, symbols, by_name, segments, bytes })
    }

    /// Reads the image that was built with this program.
    ///
    /// # Errors
    /// As [`GuestImage::read`].
    pub fn built_in() -> Result<GuestImage, TypesError> {
        GuestImage::read(&**GUEST_IMAGE)
    }

    /// Its types.
    pub fn types(&self) -> &Types {
        &self.types
    }

    /// Its symbols, by address.
    pub fn symbols(&self) -> &[ElfSymbol] {
        &self.symbols
    }

    /// The symbols that a name means: `swtch`, or `` swtch`swtch `` and `` disp.swtch`swtch `` if several modules have one.
    pub fn named(&self, name: &str) -> Vec<&ElfSymbol> {
        let (module, name) = name.rsplit_once('`').unwrap_or(("", name));
        let all = self.by_name.get(name).map_or(&[][..], Vec::as_slice).iter().map(|&n| &self.symbols[n]);
        let is_in = |s: &&ElfSymbol| {
            module.is_empty()
                || s.module == module
                || s.module.strip_suffix(module).is_some_and(|front| front.ends_with('.'))
        };
        all.filter(is_in).collect()
    }

    /// The symbol of data or of a function that this address is in.
    pub fn symbol_at(&self, addr: u64) -> Option<&ElfSymbol> {
        let next = self.symbols.partition_point(|s| s.value <= addr);
        self.symbols[..next].iter().rev().take(16).find(|s| addr - s.value < s.size.max(1))
    }

    /// Copies the bytes that the linker put at an address; false if there are none.
    pub fn bytes_at(&self, addr: u64, out: &mut [u8]) -> bool {
        let found = self.segments.iter().find_map(|(start, range)| {
            let at = usize::try_from(addr.checked_sub(*start)?).ok()?;
            self.bytes[range.clone()].get(at..)?.get(..out.len())
        });
        if let Some(bytes) = found {
            out.copy_from_slice(bytes);
        }
        found.is_some()
    }
}

fn symbol(s: &object::Symbol<'_, '_>) -> Option<ElfSymbol> {
    let of = match s.kind() {
        SymbolKind::Text => Names::Code,
        SymbolKind::Data => Names::Data,
        SymbolKind::Label | SymbolKind::Unknown => Names::Label,
        _ => return None,
    };
    let mangled = s.name().ok().filter(|name| !name.is_empty())?;
    if matches!(s.section(), SymbolSection::Undefined) {
        return None;
    }
    let full = format!("{:#}", rustc_demangle::demangle(mangled));
    let name = short_path(&full);
    let module =
        full.strip_suffix(name.as_str()).unwrap_or_default().trim_end_matches("::").replace("::", ".");
    Some(ElfSymbol { value: s.address(), size: s.size(), of, is_global: s.is_global(), name, module })
}

impl ElfSymbol {
    /// Its name with its module, which no other symbol of the same name has.
    pub fn qualified(&self) -> String {
        if self.module.is_empty() { self.name.clone() } else { format!("{}`{}", self.module, self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> GuestImage {
        GuestImage::built_in().expect("invariant: the built-in image can be read")
    }

    #[test]
    fn named_finds_a_function_whatever_module_it_is_in() {
        let image = image();
        let [swtch] = image.named("swtch")[..] else { panic!("one function swtch") };
        assert_eq!(swtch.qualified(), "umpire_kernel.disp.swtch`swtch");
        for name in ["swtch`swtch", "disp.swtch`swtch", "umpire_kernel.disp.swtch`swtch"] {
            assert_eq!(image.named(name), [swtch], "{name}");
        }
        assert!(image.named("wtch`swtch").is_empty());
        assert_eq!(image.symbol_at(swtch.value + 1), Some(swtch));
    }

    #[test]
    fn named_lists_every_function_of_a_name() {
        let image = image();
        let all = image.named("OPS");
        assert!(all.len() > 1 && all.iter().any(|s| s.module == "umpire_kernel.class.ts"), "{all:?}");
    }

    #[test]
    fn bytes_of_the_text_are_those_of_the_file() {
        let image = image();
        let swtch = image.named("swtch")[0];
        let mut code = [0; 4];
        assert!(image.bytes_at(swtch.value, &mut code));
        assert_ne!(code, [0; 4]);
        assert!(!image.bytes_at(8, &mut code));
        assert!(!image.bytes_at(u64::MAX, &mut code));
    }
}
