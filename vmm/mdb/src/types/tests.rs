//! The types of the built-in guest, by name and by path.
//!
//! # Invariants
//! - Compiled for tests only.

use std::sync::LazyLock;

use umpire_machine::GUEST_IMAGE;

use super::*;

static TYPES: LazyLock<Types> =
    LazyLock::new(|| Types::from_elf(&GUEST_IMAGE).expect("invariant: the built-in image has types"));

#[track_caller]
fn found(name: &str) -> String {
    TYPES.get(TYPES.find(name).unwrap_or_else(|e| panic!("{e}"))).path()
}

#[test]
fn find_by_the_names_of_rust_and_of_c_is_the_same() {
    for name in
        ["Kthread", "kthread_t", "struct kthread", "thread::Kthread", "umpire_kernel::sys::thread::Kthread"]
    {
        assert_eq!(found(name), "umpire_kernel::sys::thread::Kthread", "{name}");
    }
    assert_eq!(found("callout_table_t"), "umpire_kernel::time::callout::CalloutTable");
    assert_eq!(found("tsproc_t"), "umpire_kernel::class::ClassData");
    assert_eq!(found("kmutex_t"), "umpire_kernel::sync::mutex::Mutex");
    assert_eq!(found("int"), "i32");
}

#[test]
fn find_what_is_not_there_names_what_is_near() {
    let failure = TYPES.find("kthred_t").expect_err("no such type");
    assert!(failure.message.starts_with("failed to look up type kthred_t: no such type"), "{failure}");
    assert!(failure.message.contains("Kthread"), "{failure}");
}

#[test]
fn every_c_name_means_a_type() {
    let missing: Vec<_> = C_NAMES.iter().filter(|(c, _)| TYPES.find(c).is_err()).collect();
    // The guest uses no plain number of these.
    let of_numbers = |name: &str| ["i8", "i16", "u16", "usize", "bool"].contains(&name);
    assert!(missing.iter().all(|(_, rust)| of_numbers(rust)), "{missing:?}");
}

fn place(from: &str, path: &str) -> (u64, String) {
    let mut at = (0, TYPES.find(from).expect("a type"));
    for step in steps(path).expect("a path") {
        match TYPES.step(at.1, &step).unwrap_or_else(|e| panic!("{e}")) {
            Place::Inside(offset, of) => at = (at.0 + offset, of),
            behind => panic!("{behind:?}"),
        }
    }
    (at.0, TYPES.get(TYPES.unwrapped(at.1)).name.clone())
}

#[test]
fn step_reaches_members_and_elements_through_cells() {
    assert_eq!(place("Kthread", "t_link").1, "*mut umpire_kernel::sys::thread::Kthread");
    let (first, of) = place("Cpu", "cpu_disp.disp_q[0].dq_sruncnt");
    let (second, _) = place("Cpu", "cpu_disp.disp_q[1].dq_sruncnt");
    assert_eq!((second - first, of.as_str()), (TYPES.size(TYPES.find("DispQ").expect("a type")), "u32"));
}

#[test]
fn step_that_is_wrong_names_what_is_near() {
    let thread = TYPES.find("Kthread").expect("a type");
    let of = |step: Step| TYPES.step(thread, &step).expect_err("no such step").message;
    assert_eq!(
        of(Step::Member("t_pr".into())),
        "failed to find member t_pr of Kthread (near it: t_pri, t_epri, t_preempt)"
    );
    assert_eq!(of(Step::Element(1)), "failed to take an element: Kthread is no array");
    assert!(steps("a..b").is_err() && steps("a[").is_err() && steps("a[x]").is_err());
    assert!(steps(&"a.".repeat(1000)).is_err());
}

#[test]
fn slice_behind_a_box_is_known() {
    let kernel = TYPES.find("Kernel").expect("a type");
    let Ok(Place::Inside(_, cpus)) = TYPES.step(kernel, &Step::Member("k_cpus".into())) else {
        panic!("a member")
    };
    let (_, _, element) = TYPES.slice(cpus).expect("a slice");
    assert_eq!(TYPES.get(element).name, "Cpu");
}

#[test]
fn option_has_a_tag_and_two_variants() {
    let (_, of) = TYPES.iter().find(|(_, of)| of.name == "Option<i32>").expect("the guest has one");
    let Shape::Struct(Struct { variants: Some(variants), .. }) = &of.shape else { panic!("{of:?}") };
    let names: Vec<&str> = variants.each.iter().map(|(_, m)| m.name.as_str()).collect();
    assert_eq!(names, ["None", "Some"]);
    assert!(variants.tag.is_some());
}

#[test]
fn short_paths_leave_the_last_part_of_each() {
    assert_eq!(short_paths("SharedPtr<umpire_kernel::sys::thread::Kthread>"), "SharedPtr<Kthread>");
    assert_eq!(short_paths("&[core::option::Option<(u8, a::B)>]"), "&[Option<(u8, B)>]");
    assert_eq!(short_paths("u32"), "u32");
}

#[test]
fn image_that_is_none_is_an_error() {
    assert!(matches!(Types::from_elf(b"no"), Err(TypesError::NotElf(_))));
}
