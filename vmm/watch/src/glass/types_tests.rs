//! Tests of paths, on the guest image that is built in.
//!
//! # Invariants
//! - Nothing here says where a field of the real kernel lies.

use super::*;
use crate::glass::dwarf;
use umpire_machine::GUEST_IMAGE;

/// Asks for a field of the real `Kernel`.
fn field_of_kernel(kind: Kind, path: &str, count: usize) -> Result<Field, GlassError> {
    let sections = dwarf::sections(&GUEST_IMAGE)?;
    let mut types = GuestTypes::new(dwarf::borrow(&sections))?;
    types.field(Structure::Kernel, kind, path, count, (8, false))
}

#[test]
fn number_field_that_is_missing_returns_error_with_the_nearest_name() {
    let error =
        field_of_kernel(Kind::number, "k_disp.kpremptpri", 1).expect_err("invariant: there is no such field");

    let text = error.to_string();
    assert!(
        text.contains("field kpremptpri of DispState") && text.contains("nearest name is kpreemptpri"),
        "{text}"
    );
}

#[test]
fn number_field_of_another_kind_returns_error_naming_both() {
    let text = |path| {
        let found = field_of_kernel(Kind::number, path, 1);
        found.expect_err("invariant: these are no numbers").to_string()
    };

    assert!(text("k_cpus.data_ptr").contains("is a pointer where a number was expected"));
    assert!(text("k_tunables").contains("is an array of"), "{}", text("k_tunables"));
    assert!(text("lbolt.nonsense").contains("nonsense"), "{}", text("lbolt.nonsense"));
}

#[test]
fn find_type_that_is_missing_returns_error_naming_it() {
    let sections = dwarf::sections(&GUEST_IMAGE).expect("invariant: the image has debug information");
    let mut types = Types::new(dwarf::borrow(&sections)).expect("invariant: the image parses");

    let error = types.find(ROOT.0, "Colonel").expect_err("invariant: there is no such type");

    assert!(error.to_string().contains("type Colonel in namespace umpire_kernel::kernel"), "{error}");
}

#[test]
fn field_of_an_array_is_found_by_its_number_and_within_it_only() {
    let offset = |kind, path: &str, count| field_of_kernel(kind, path, count).map(|field| field.offset);
    let all = umpire_shared::tunable::COUNT;
    let begin = offset(Kind::array, "k_tunables", all).expect("invariant: the kernel has so many tunables");

    assert_eq!(offset(Kind::number, "k_tunables.2", 1).ok(), Some(begin + 16));
    assert_eq!(offset(Kind::number, &format!("k_tunables.{}", all - 1), 1).ok(), Some(begin + 8 * (all - 1)));
    for (kind, path, count) in [
        (Kind::array, "k_tunables", all + 1),
        (Kind::array, "k_tunables", all - 1),
        (Kind::array, "lbolt", 1),
        (Kind::pointer, "lbolt", 1),
    ] {
        assert!(
            matches!(offset(kind, path, count), Err(GlassError::Retyped { .. })),
            "{kind:?} {path} {count}"
        );
    }
    assert!(offset(Kind::number, &format!("k_tunables.{all}"), 1).is_err(), "past the end");
    assert!(offset(Kind::number, "k_tunables.x", 1).is_err(), "no number");
}
