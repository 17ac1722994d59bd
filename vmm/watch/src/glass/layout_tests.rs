//! Tests of the layout, on bytes made by hand and on the guest image that is built in.
//!
//! # Invariants
//! - Nothing here says where a field of the real kernel lies.

use super::*;
use umpire_machine::GUEST_IMAGE;

#[test]
fn from_elf_bytes_that_are_no_elf_returns_error() {
    for bytes in [&b""[..], b"\x7fELF", &[0x7f; 4096]] {
        let error = Layout::from_elf(bytes).expect_err("invariant: these bytes are no image");
        assert!(error.to_string().contains("rebuild the guest image"), "{error}");
    }
}

#[test]
fn from_elf_built_in_image_finds_every_field() {
    let layout = Layout::from_elf(&GUEST_IMAGE).expect("invariant: the image is of this source tree");

    assert_eq!(layout.levels.count, umpire_shared::sys::disp::NPRI);
    assert_eq!(layout.queue.qactmap.count, QACTMAP_WORDS);
    assert!(layout.queue.maxrunpri.is_signed() && layout.cpu.dispatch_pri.is_signed());
    assert!(!layout.queue.nrunnable.is_signed());
    assert!(layout.cpu_disp as u64 <= layout.sizes.cpu);
}

#[test]
fn from_elf_image_cut_or_spoiled_anywhere_never_panics() {
    for cut in (0..GUEST_IMAGE.len()).step_by(GUEST_IMAGE.len() / 50 + 1) {
        let _ = Layout::from_elf(&GUEST_IMAGE[..cut]);
    }
    let mut spoiled = GUEST_IMAGE.to_vec();
    // A fixed pseudo-random sequence: what fails once fails always.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..40 {
        for _ in 0..200 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let at = (state >> 20) as usize % spoiled.len();
            spoiled[at] = (state >> 12) as u8;
        }
        let _ = Layout::from_elf(&spoiled);
    }
}
