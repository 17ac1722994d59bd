//! The class of `docs/write-a-class.md`, at work.
//!
//! # Invariants
//! - The class is built into the kernel for tests only, behind the last one of Solaris.

use crate::bench::{Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::class::CLASSES;
use umpire_shared::program::class::{FX, NAMES};
use umpire_shared::work::compute::{Mode, Periodic, Spin};

/// Turns of an FX thread and of two background threads in 2 s on one CPU; the FX thread works `busy_us` a tick.
fn turns(busy_us: u64) -> [u64; 3] {
    let mut busy = thread("busy", FX, 30, -1, Periodic { busy_us, mode: Mode::User, ..Periodic::defaults() });
    busy.lwp = true;
    let mut spin = thread("bg", NAMES.len() as u32, 0, -1, Spin { mode: Mode::User, ..Spin::defaults() });
    spin.lwp = true;
    let mut sim = Program::new(1).thread(busy).thread(spin).thread(spin).boot(1);
    sim.run_until_ok(2 * SECOND);
    [0, 1, 2].map(|n| sim.kernel().scenario_threads()[n].t_progress.get())
}

#[test]
fn every_class_has_the_name_that_scenarios_use() {
    let names: Vec<_> = CLASSES.iter().map(|ops| ops.cl_name).collect();
    assert_eq!(names[..NAMES.len()], *NAMES);
    assert_eq!(names[NAMES.len()..], ["BG"]);
}

#[test]
fn background_threads_share_what_is_left() {
    let [busy, one, other] = turns(100);
    assert!(busy > 90, "{busy} turns");
    assert!(one > 5_000 && other > 5_000, "{one} and {other} turns");
    assert!(one.abs_diff(other) < one / 10, "{one} and {other} turns");
}

#[test]
fn background_threads_get_nothing_beside_a_thread_that_never_sleeps() {
    let [_, one, other] = turns(10_000_000);
    assert!(one + other < 5, "{one} and {other} turns");
}
