//! The guest image: the one built in, and what the machine must know of any image before it loads it.
//!
//! # Invariants
//! - An image that would load over the fixed map, beyond memory, or elsewhere than it was linked is refused
//!   before a byte of it is copied. No image, however broken, panics the VMM.

use std::borrow::Cow;
use std::io::Cursor;
use std::sync::LazyLock;

use linux_loader::loader::{KernelLoader, elf};
use object::elf::{EM_X86_64, ET_EXEC, PT_LOAD};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{LittleEndian, Object, ObjectSymbol};
use umpire_shared::boot::IMAGE;

use super::memory::GuestRam;

/// The guest that was built with this program: an ELF file with all its debug information. A program that was built for distribution
/// has it compressed, and unpacks it once, when it is first asked for.
pub static GUEST_IMAGE: LazyLock<Cow<'static, [u8]>> = LazyLock::new(|| unpacked(EMBEDDED));

static EMBEDDED: &[u8] = include_bytes!(env!("UMPIRE_GUEST_ELF"));

#[cfg(not(is_image_compressed))]
fn unpacked(image: &'static [u8]) -> Cow<'static, [u8]> {
    Cow::Borrowed(image)
}

#[cfg(is_image_compressed)]
fn unpacked(image: &'static [u8]) -> Cow<'static, [u8]> {
    let size = zstd::zstd_safe::get_frame_content_size(image).ok().flatten();
    let size = size.expect("invariant: build.rs compressed it in one piece, which says its size") as usize;
    Cow::Owned(zstd::bulk::decompress(image, size).expect("invariant: build.rs compressed it"))
}

/// The symbol of the first of the gate's vector stubs.
const GATE_SYMBOL: &str = "gate_vectors";
/// The symbol of the first byte above the gate.
const GATE_END_SYMBOL: &str = "gate_end";
/// First address that no image may reach.
const IMAGE_LIMIT: u64 = 256 << 20;

/// Why an image cannot be booted.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Not a readable ELF file.
    #[error(
        "cannot read the guest image: {0}; it must be a 64-bit little-endian ELF file, as guest/image builds it"
    )]
    Format(#[from] object::Error),
    /// Another kind of ELF file.
    #[error(
        "cannot boot the guest image: it is of ELF type {kind} for machine {machine}; it must be a static \
         executable (2) for x86-64 (62): link it with guest/image/kernel.ld and --no-pie"
    )]
    Kind {
        /// `e_type`.
        kind: u16,
        /// `e_machine`.
        machine: u16,
    },
    /// A segment that cannot be loaded where it was linked.
    #[error(
        "cannot load the segment of the guest image at {addr:#x} (physical {paddr:#x}, {memsz:#x} bytes): segments must be \
         linked and loaded at the same address between {IMAGE:#x} and {IMAGE_LIMIT:#x}"
    )]
    Segment {
        /// `p_vaddr`.
        addr: u64,
        /// `p_paddr`.
        paddr: u64,
        /// `p_memsz`.
        memsz: u64,
    },
    /// Nothing to load.
    #[error("cannot boot the guest image: it has nothing to load; link it with guest/image/kernel.ld")]
    Empty,
    /// A symbol or entry outside the loaded image.
    #[error(
        "cannot boot the guest image: {what} is not inside it (found {found:#x?}); build it from guest/image"
    )]
    Outside {
        /// Which address.
        what: &'static str,
        /// Where it points, if it exists at all.
        found: Option<u64>,
    },
    /// linux-loader did not load it.
    #[error("cannot load the guest image: {0}; rebuild it from guest/image")]
    Load(#[from] linux_loader::loader::Error),
}

/// Something that can be put into a guest's memory and started.
pub(super) trait Bootable: Sync {
    /// What the machine must know of it before there is memory.
    fn facts(&self) -> Result<Facts, ImageError>;

    /// Copies it into memory that has room for it.
    fn load(&self, ram: &GuestRam) -> Result<(), ImageError>;
}

/// An image as an ELF file's bytes.
#[derive(Debug)]
pub(super) struct ElfImage<'a>(pub &'a [u8]);

impl Bootable for ElfImage<'_> {
    fn facts(&self) -> Result<Facts, ImageError> {
        Facts::of(self.0)
    }

    fn load(&self, ram: &GuestRam) -> Result<(), ImageError> {
        elf::Elf::load(ram.mapping(), None, &mut Cursor::new(self.0), None)?;
        Ok(())
    }
}

/// What the machine must know of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// Address of the first instruction.
    pub entry: u64,
    /// First address above the image.
    pub end: u64,
    /// Address of the gate's first vector stub.
    pub gate_vectors: u64,
    /// First address above the gate's text.
    pub gate_end: u64,
}

impl Facts {
    /// Reads and checks an image.
    ///
    /// # Errors
    /// An [`ImageError`] for an image that would not boot.
    fn of(bytes: &[u8]) -> Result<Facts, ImageError> {
        let file = ElfFile64::<LittleEndian>::parse(bytes)?;
        let header = file.elf_header();
        let (kind, machine) = (header.e_type(LittleEndian), header.e_machine(LittleEndian));
        if (kind, machine) != (ET_EXEC, EM_X86_64) {
            return Err(ImageError::Kind { kind: kind.0, machine: machine.0 });
        }
        let mut end = 0;
        for segment in file.elf_program_headers() {
            if segment.p_type(LittleEndian) == PT_LOAD && segment.p_memsz(LittleEndian) != 0 {
                end = end.max(segment_end(segment)?);
            }
        }
        if end == 0 {
            return Err(ImageError::Empty);
        }
        let inside = |what, found: Option<u64>| {
            found.filter(|addr| (IMAGE..end).contains(addr)).ok_or(ImageError::Outside { what, found })
        };
        let symbol = |name| file.symbols().find(|s| s.name() == Ok(name)).map(|s| s.address());
        Ok(Facts {
            entry: inside("its entry point", Some(header.e_entry(LittleEndian)))?,
            end,
            gate_vectors: inside("the symbol gate_vectors", symbol(GATE_SYMBOL))?,
            gate_end: inside("the symbol gate_end", symbol(GATE_END_SYMBOL))?,
        })
    }
}

/// First address above a segment that lies where it may.
fn segment_end(segment: &impl ProgramHeader<Endian = LittleEndian, Word = u64>) -> Result<u64, ImageError> {
    let addr = segment.p_vaddr(LittleEndian);
    let paddr = segment.p_paddr(LittleEndian);
    let memsz = segment.p_memsz(LittleEndian);
    let end = addr.checked_add(memsz).filter(|&end| end <= IMAGE_LIMIT);
    match end {
        Some(end) if addr == paddr && addr >= IMAGE && segment.p_filesz(LittleEndian) <= memsz => Ok(end),
        _ => Err(ImageError::Segment { addr, paddr, memsz }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_the_built_in_image_lie_inside_it() {
        let facts = Facts::of(&GUEST_IMAGE).expect("the image that was built boots");
        assert!(facts.entry >= IMAGE && facts.entry < facts.end);
        assert!(facts.gate_vectors >= IMAGE && facts.gate_vectors < facts.end);
    }

    #[test]
    fn facts_of_garbage_and_of_cut_images_are_errors() {
        assert!(matches!(Facts::of(b"not an ELF"), Err(ImageError::Format(_))));
        assert!(matches!(Facts::of(&[]), Err(ImageError::Format(_))));
        for len in (0..4096.min(GUEST_IMAGE.len())).step_by(7) {
            assert!(Facts::of(&GUEST_IMAGE[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn facts_of_an_image_linked_low_or_far_up_name_the_segment() {
        for addr in [0x1000_u64, 1 << 40, u64::MAX - 16] {
            let mut bytes = GUEST_IMAGE.to_vec();
            let phoff = u64::from_le_bytes(bytes[32..40].try_into().expect("8 bytes")) as usize;
            let load = (0..8).map(|n| phoff + 56 * n).find(|&at| bytes[at] == 1).expect("a PT_LOAD");
            bytes[load + 16..load + 24].copy_from_slice(&addr.to_le_bytes());
            bytes[load + 24..load + 32].copy_from_slice(&addr.to_le_bytes());
            assert!(matches!(Facts::of(&bytes), Err(ImageError::Segment { .. })), "{addr:#x}");
        }
    }

    #[test]
    fn facts_of_a_relocatable_image_say_what_it_must_be() {
        let mut bytes = GUEST_IMAGE.to_vec();
        bytes[16] = 3;
        let error = Facts::of(&bytes).expect_err("ET_DYN");
        assert!(matches!(error, ImageError::Kind { kind: 3, machine: 62 }), "{error}");
    }
}
