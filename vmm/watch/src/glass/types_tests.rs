//! Tests of the layout, on bytes made by hand and on the guest image that is built in.
//!
//! # Invariants
//! - Nothing here says where a field of the real kernel lies.

use super::*;
use umpire_machine::GUEST_IMAGE;

#[test]
fn get_each_size_and_sign_returns_the_value() {
    let copy = [0xff, 0xfe, 0xff, 0xff, 0xff, 1, 2, 3, 4, 0xfb];
    let get = |offset, size, signed| Field { offset, size, signed }.get(&copy);

    assert_eq!(get(0, 2, true) as i64, -257);
    assert_eq!(get(0, 2, false), 0xfeff);
    assert_eq!(get(5, 4, false), 0x0403_0201);
    assert_eq!(get(9, 1, true) as i64, -5);
    assert_eq!(get(1, 8, false), 0x0403_0201_ffff_fffe);
}

#[test]
fn get_field_outside_the_copy_returns_zero() {
    assert_eq!(Field { offset: 7, size: 2, signed: false }.get(&[0xff; 8]), 0);
    assert_eq!(Field { offset: usize::MAX, size: 8, signed: true }.get(&[0xff; 8]), 0);
}

#[test]
fn from_elf_bytes_that_are_no_elf_returns_error() {
    for bytes in [&b""[..], b"\x7fELF", &[0x7f; 4096]] {
        let error = Layout::from_elf(bytes).expect_err("invariant: these bytes are no image");
        assert!(error.to_string().contains("rebuild the guest image"), "{error}");
    }
}

#[test]
fn from_elf_built_in_image_finds_every_field() {
    let layout = Layout::from_elf(GUEST_IMAGE).expect("invariant: the image is of this source tree");

    assert_eq!(layout.disp.levels.count, umpire_shared::sys::disp::NPRI);
    assert_eq!(layout.disp.levels.stride, layout.level.size);
    assert!(layout.disp.maxrunpri.signed && layout.cpu.dispatch_pri.signed);
    assert!(layout.thread_prefix >= layout.thread.waitrq.end());
    assert!(layout.cpu_disp + layout.disp.size <= layout.cpu.size);
}

/// Asks for a field of the real `Kernel`.
fn field_of_kernel(path: &str) -> Result<Field, GlassError> {
    let sections = dwarf::sections(GUEST_IMAGE)?;
    let mut types = Types::new(dwarf::borrow(&sections))?;
    let root = types.find(ROOT.0, ROOT.1)?;
    number(&mut types, root, path)
}

#[test]
fn number_field_that_is_missing_returns_error_with_the_nearest_name() {
    let error = field_of_kernel("kpremptpri").expect_err("invariant: there is no such field");

    let text = error.to_string();
    assert!(
        text.contains("field kpremptpri of Kernel") && text.contains("nearest name is kpreemptpri"),
        "{text}"
    );
}

#[test]
fn number_field_of_another_kind_returns_error_naming_both() {
    let text = |path| field_of_kernel(path).expect_err("invariant: these are no numbers").to_string();

    assert!(text("k_cpus.data_ptr").contains("is a pointer where a number was expected"));
    assert!(text("k_tunables").contains("is an array of"), "{}", text("k_tunables"));
    assert!(text("lbolt.nonsense").contains("nonsense"), "{}", text("lbolt.nonsense"));
}

#[test]
fn find_type_that_is_missing_returns_error_naming_it() {
    let sections = dwarf::sections(GUEST_IMAGE).expect("invariant: the image has debug information");
    let mut types = Types::new(dwarf::borrow(&sections)).expect("invariant: the image parses");

    let error = types.find(ROOT.0, "Colonel").expect_err("invariant: there is no such type");

    assert!(error.to_string().contains("type Colonel in namespace umpire_kernel::kernel"), "{error}");
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
