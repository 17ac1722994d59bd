//! What the tests of CPU caps have in common: spinners of projects, how long they have run, and which threads wait for a cap.
//!
//! # Invariants
//! - CPU time is what the microstates say.

use super::{Bench, MS, Program, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::thread::{lms, ts};
use umpire_kernel::time::callout::delay;
use umpire_kernel::{Kthread, platform};
use umpire_shared::program;
use umpire_shared::program::QUANTUM_DEFAULT;
use umpire_shared::program::class::SYS;
use umpire_shared::work::compute::{Mode, Spin};

/// Mode of a [`spinner`] that stays in the kernel.
pub const KERNEL: Mode = Mode::Kernel;
/// Mode of one in user mode.
pub const USER: Mode = Mode::User;

/// A spinner of a project.
pub fn spinner(class: u32, pri: i32, cpu: i32, project: u32, mode: Mode) -> program::Thread {
    let mut t = thread("spinner", class, pri, cpu, Spin { mode, chunk_us: 100, ..Spin::defaults() });
    t.lwp = true;
    t.project = project;
    t.quantum = QUANTUM_DEFAULT;
    t
}

/// ns that a thread has been on CPUs.
pub fn ran(t: &Kthread, now: u64) -> u64 {
    let running = [lms::USER, lms::SYSTEM];
    let stay = if running.contains(&t.t_mstate.get()) { now.saturating_sub(t.t_mstart.get()) } else { 0 };
    running.iter().map(|&state| t.t_acct[usize::from(state)].get()).sum::<u64>() + stay
}

/// How many threads wait for a cap.
pub fn waiters(sim: &Bench) -> usize {
    sim.kernel().scenario_threads().iter().filter(|t| t.t_state.get() == ts::WAIT).count()
}

/// Runs `change` in a thread of class SYS from 100 ms on, as soon as some thread waits. Returns how many wait at 400 ms.
pub fn waiting_after(p: Program, seed: u64, change: fn()) -> (usize, Bench) {
    let mut sim = p.thread(thread("admin", SYS, 98, -1, Spin::defaults())).boot(seed);
    sim.run_instead(move |t| {
        let is_admin = u32::from(t.t_cid.get()) == SYS;
        if is_admin {
            delay(100);
            let kernel = platform::kernel();
            let waits = || kernel.scenario_threads().iter().any(|t| t.t_state.get() == ts::WAIT);
            while !waits() {
                delay(1);
            }
            change();
        }
        is_admin
    });
    sim.run_until_ok(400 * MS);
    let admin = sim.kernel().scenario_threads().last().map(|t| t.t_state.get());
    assert_eq!(admin, Some(ts::ZOMB), "seed {seed}: the admin came to its end");
    (waiters(&sim), sim)
}
