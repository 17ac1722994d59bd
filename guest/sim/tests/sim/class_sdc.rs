//! SDC: duty cycles, breaks of a processor set, pruning, and giving way to equals in the kernel.
//!
//! # Invariants
//! - An SDC thread's time on CPU is counted in turns of a kernel-resident spinner: every turn costs the same.

use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::thread::ts;
use umpire_kernel::time::callout::delay;
use umpire_kernel::{Kthread, platform};
use umpire_shared::program::class::{SDC, SYS, TS};
use umpire_shared::work::compute::{Mode, Periodic, Spin};
use umpire_shared::{mutant, program, tunable};

/// A kernel-resident spinner of class SDC.
fn zio(duty_cycle: u32, cpu: i32) -> program::Thread {
    let mut t = thread("zio", SDC, 0, cpu, Spin { chunk_us: 100, ..Spin::defaults() });
    (t.lwp, t.duty_cycle) = (true, duty_cycle);
    t
}

/// A user-mode spinner.
fn user(cpu: i32) -> program::Thread {
    thread("user", TS, 30, cpu, Spin { mode: Mode::User, chunk_us: 100, ..Spin::defaults() })
}

fn nth(sim: &Bench, n: usize) -> &Kthread {
    &sim.kernel().scenario_threads()[n]
}

/// What thread 0 gets of CPU 0, in per cent, from second 1 to 5, beside a user thread.
fn percent(p: Program, duty_cycle: u32) -> u64 {
    let mut sim = p.thread(zio(duty_cycle, 0)).thread(user(0)).boot(1);
    sim.run_until_ok(SECOND);
    let before = nth(&sim, 0).t_progress.get();
    sim.run_until_ok(5 * SECOND);
    (nth(&sim, 0).t_progress.get() - before) * 100 * 100_000 / (4 * SECOND)
}

#[test]
fn a_thread_gets_its_duty_cycle() {
    for target in [20, 50, 80] {
        let got = percent(Program::new(1), target);
        assert!(got.abs_diff(u64::from(target)) <= 8, "target {target}: {got} %");
    }
    let greedy = percent(Program::new(1).mutant(mutant::SDC_NEVER_SINKS), 20);
    assert!(greedy > 80, "{greedy} % without the rule");
}

#[test]
fn a_processor_set_takes_a_break_beyond_90_per_cent() {
    // Targets of 100 never sink by themselves.
    for (max_dc, has_breaks) in [(90, true), (100, false)] {
        let p = Program::new(2).tunable(tunable::SYSDC_MAX_PSET_DC, max_dc);
        let p = (0..2).fold(p, |p, cpu| p.thread(zio(100, cpu)).thread(user(cpu)));
        let mut sim = p.boot(1);
        let mut low = 0;
        for look in 1..=200 {
            sim.run_until_ok(look * 20 * MS + 15 * MS);
            low += u32::from(nth(&sim, 0).t_pri.get() == 0);
        }
        let breaks = sim.kernel().k_class.sdc.sdc_psets[0].sdc_breaks.get();
        // A break lasts 4 updates, and 36 without one follow: one break in 40 updates.
        assert_eq!(breaks >= 4, has_breaks, "{breaks} breaks in 200 updates");
        assert!(breaks <= 6, "{breaks} breaks in 200 updates");
        assert!(u64::from(low) >= 3 * breaks, "{low} looks at 0 in {breaks} breaks");
        // Of 40,000 turns: the user thread has those of the breaks, a tenth of the updates, or only the moments at which a
        // target of 100 per cent was reached.
        let used = nth(&sim, 1).t_progress.get();
        assert_eq!(used > 2_500, has_breaks, "the user thread had {used} turns");
    }
}

/// A thread that runs for 50 ms, sleeps for 15 ticks, and so on.
fn sleeper() -> Bench {
    let mut sim = Program::new(1).thread(zio(80, 0)).boot(1);
    sim.run_instead(|_| {
        loop {
            platform::spin(50 * MS);
            delay(15);
        }
    });
    sim
}

#[test]
fn a_sleeper_is_pruned_on_the_second_update_and_comes_back_once() {
    let mut sim = sleeper();
    let mut asleep = 0;
    let mut pruned_after = Vec::new();
    for look in 0..200 {
        sim.run_until_ok(look * 10 * MS + 5 * MS);
        let t = nth(&sim, 0);
        let is_active = t.t_cldata.sdc.sdc_is_active.get() != 0;
        if t.t_state.get() == ts::SLEEP {
            asleep += 1;
            if !is_active && asleep > 0 {
                pruned_after.push(asleep);
                asleep = i32::MIN / 2;
            }
        } else {
            asleep = 0;
            assert!(is_active, "awake at look {look} and on no list");
        }
    }
    assert!(pruned_after.len() >= 8, "{pruned_after:?}");
    // The pruning does not come after 100 ms, as sysdc_prune_interval_msec says, but on the second update, 2 to 4 ticks later.
    assert!(pruned_after.iter().all(|n| (2..=5).contains(n)), "{pruned_after:?}");
}

/// Turns that a kernel-resident thread of `class` at 98 leaves to a SYS 98 thread on the same CPU.
fn turns_of_an_equal(class: u32) -> u64 {
    let mut hog = zio(100, 0);
    (hog.class, hog.pri) = (class, 98);
    let equal = thread("equal", SYS, 98, 0, Periodic::defaults());
    // No breaks: no thread sinks here.
    let p = Program::new(1).tunable(tunable::SYSDC_MAX_PSET_DC, 100).tunable(tunable::KPREEMPTPRI, 100);
    let mut sim = p.thread(hog).thread(equal).boot(1);
    sim.run_until_ok(SECOND);
    nth(&sim, 1).t_progress.get()
}

#[test]
fn sdc_gives_way_in_the_kernel_to_an_equal_and_sys_does_not() {
    let with = turns_of_an_equal(SDC);
    assert!(with > 20, "{with} turns beside SDC");
    let without = turns_of_an_equal(SYS);
    assert!(without < 3, "{without} turns beside SYS");
}

#[test]
fn a_wake_up_brings_the_priority_that_the_duty_cycle_allows_at_once() {
    let mut sim = sleeper();
    sim.run_until_ok(150 * MS);
    let state = |sim: &Bench| nth(sim, 0).t_state.get();
    assert_eq!((state(&sim), nth(&sim, 0).t_pri.get()), (ts::SLEEP, 0), "it had more than 80 per cent");
    // From now on it may have all there is.
    nth(&sim, 0).t_cldata.sdc.sdc_target_dc.set(u8::MAX);
    let awake = (151..400).find(|&ms| {
        sim.run_until_ok(ms * MS);
        state(&sim) != ts::SLEEP
    });
    assert_eq!((awake.is_some(), nth(&sim, 0).t_pri.get()), (true, 98), "no update is waited for");
}

#[test]
fn a_thread_that_ends_leaves_the_class() {
    let mut sim = Program::new(1).thread(zio(80, 0)).thread(zio(80, 0)).boot(1);
    sim.run_instead(|t| t.t_did == 1);
    sim.run_until_ok(100 * MS);
    let t = nth(&sim, 0);
    assert_eq!((t.t_state.get(), u32::from(t.t_cid.get()), t.t_pri.get()), (ts::ZOMB, SYS, 99));
    assert_eq!(sim.kernel().k_class.sdc.sdc_nthreads.get(), 1);
    assert_eq!(t.t_cldata.sdc.sdc_is_active.get(), 0, "on no list");
}

#[test]
fn a_time_that_seems_to_go_back_begins_a_new_base() {
    let mut sim = Program::new(1).thread(zio(80, 0)).boot(1);
    sim.run_until_ok(55 * MS);
    // It never waits, so it has waited less than this by the next update, and has run for more.
    let base = nth(&sim, 0).t_cldata.sdc.sdc_base_r.get() + MS;
    nth(&sim, 0).t_cldata.sdc.sdc_base_r.set(base);
    sim.run_until_ok(85 * MS);
    assert!(nth(&sim, 0).t_cldata.sdc.sdc_base_r.get() < base);
}

#[test]
fn update_that_is_a_callout_starves_with_the_callout_threads() {
    // The threads of callout_taskq are at 99: they preempt a hog at 60, and wait for one at 99.
    for (by_callout, hog, is_late) in [(0, 60, false), (0, 99, false), (1, 60, false), (1, 99, true)] {
        let hog_thread = thread("hog", SYS, hog, 0, Spin::defaults());
        let p = Program::new(1).tunable(tunable::CLASS_CALLOUTS, by_callout);
        let mut sim = p.thread(zio(50, 0)).thread(hog_thread).boot(1);
        sim.run_until_ok(SECOND);
        let last = sim.kernel().k_class.sdc.sdc_psets[0].sdc_last_update.get();
        assert_eq!(last < 500 * MS, is_late, "class_callouts = {by_callout}, behind {hog}: last at {last}");
    }
}
