//! Microstates: they add up at every moment, and say what a thread really did.
//!
//! # Invariants
//! - The kernel is only looked at between two steps of virtual time; sums are exact there, shares are bounds.

use std::sync::atomic::AtomicU64;
use umpire_shared::work::compute::{LockMix, Mode, Periodic, Spin};

use crate::bench::{Bench, MS, Program, SECOND, load, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::mstate::cms;
use umpire_kernel::sys::thread::{lms, ts};
use umpire_kernel::{Cpu, Kernel, Kthread};
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::{mutant, program, tunable};

const KERNEL: Mode = Mode::Kernel;
const USER: Mode = Mode::User;

/// How far the clocks of two CPUs may be apart: a stall and a wake-up.
const APART_NS: u64 = 20_000;

fn sum(accounts: &[AtomicU64]) -> u64 {
    accounts.iter().map(Cell::get).sum()
}

/// What an outside reader finds wrong with a thread's microstates at `now`.
fn fault_of(kernel: &Kernel, t: &Kthread, now: u64) -> Option<String> {
    let (begin, start, state) = (t.t_ms_start.get(), t.t_mstart.get(), t.t_mstate.get());
    if begin + sum(&t.t_acct) != start {
        return Some(format!("thread {}: {} ns are missing", t.t_did, start as i64 - sum(&t.t_acct) as i64));
    }
    if start > now + APART_NS {
        return Some(format!("thread {}: its stay begins at {start}, after {now}", t.t_did));
    }
    // While its lock is `transition_lock`, one CPU alone moves it from one place to another, and its state is between two.
    let is_settled = !t.t_lockp.is(&kernel.transition_lock);
    let fits = match t.t_state.get() {
        ts::RUN => state == lms::WAIT_CPU,
        // Between its release and its place on a run queue the thread is in transition, and the same holds.
        ts::WAIT => state == lms::WAIT_CPU,
        ts::SLEEP if is_settled => state == lms::SLEEP || state == lms::USER_LOCK,
        ts::STOPPED if is_settled => state == lms::STOPPED,
        _ => true,
    };
    (!fits).then(|| format!("thread {} in state {:#x} has microstate {state}", t.t_did, t.t_state.get()))
}

fn fault_of_cpu(cp: &Cpu, now: u64) -> Option<String> {
    let ms = &cp.cpu_ms;
    let (start, total) = (ms.cpu_mstate_start.get(), sum(&ms.cpu_acct));
    let stay = (now + APART_NS).saturating_sub(start);
    let in_state =
        |n: usize| ms.cpu_acct[n].get() + if n == usize::from(ms.cpu_mstate.get()) { stay } else { 0 };
    let has_too_much = (0..cms::COUNT).find(|&n| ms.cpu_intracct[n].get() > in_state(n));
    if start != total {
        return Some(format!("CPU {}: {start} ns, but {total} in its states", cp.cpu_id));
    }
    has_too_much.map(|n| format!("CPU {}: interrupts took more of state {n} than there was", cp.cpu_id))
}

/// The first fault that a hundred looks find in 20 ms of a program.
fn first_fault(program: &Program, seed: u64) -> Option<String> {
    let mut sim = program.boot(seed);
    let mut before = vec![[0; lms::COUNT]; sim.kernel().k_threads.len()];
    for look in 1..=100 {
        let now = look * MS / 5 + seed % 100;
        sim.run_until_ok(now);
        let kernel = sim.kernel();
        for (t, before) in kernel.k_threads.iter().zip(&mut before) {
            let acct = t.t_acct.each_ref().map(Cell::get);
            if acct.iter().zip(before.iter()).any(|(now, before)| now < before) {
                return Some(format!("thread {}: an account went back", t.t_did));
            }
            *before = acct;
        }
        let of_threads = kernel.k_threads.iter().find_map(|t| fault_of(kernel, t, now));
        let fault = of_threads.or_else(|| kernel.k_cpus.iter().find_map(|cp| fault_of_cpu(cp, now)));
        if fault.is_some() {
            return fault;
        }
    }
    None
}

#[test]
fn microstates_of_a_mixed_load_add_up_at_every_look() {
    for seed in 0..100 {
        let program = load::mixed(1 + seed as u32 % 4);
        assert_eq!(first_fault(&program, seed), None, "seed {seed}");
    }
}

#[test]
fn microstates_of_a_capped_load_add_up_at_every_look() {
    for seed in 0..50 {
        let mut program = Program::new(1 + seed as u32 % 3).tunable(tunable::HZ, 1000);
        program = program.project("capped", 1).cap(5);
        for n in 0..6 {
            let mut t = spinner(TS, 20 + n, USER);
            t.cpu = -1;
            program = program.thread(t);
        }
        assert_eq!(first_fault(&program, seed), None, "seed {seed}");
        let mut sim = program.boot(seed);
        sim.run_until_ok(20 * MS);
        let waiting = sim.kernel().scenario_threads().iter().filter(|t| t.t_state.get() == ts::WAIT).count();
        assert!(waiting > 0, "seed {seed}: nobody is capped");
    }
}

#[test]
fn microstates_without_waits_for_a_cpu_do_not_add_up() {
    for seed in 0..20 {
        let program = load::mixed(1 + seed as u32 % 4).mutant(mutant::LOST_WAIT_CPU);
        let fault = first_fault(&program, seed);
        assert!(fault.as_ref().is_some_and(|f| f.contains("missing")), "seed {seed}: {fault:?}");
    }
}

fn spinner(class: u32, pri: i32, mode: Mode) -> program::Thread {
    thread("spin", class, pri, 0, Spin { mode, chunk_us: 100, ..Spin::defaults() })
}

/// Parts of a thousand of its life that a scenario thread has spent in a state, the current stay included.
fn permille(sim: &Bench, n: usize, state: u8, now: u64) -> u64 {
    let t = &sim.kernel().scenario_threads()[n];
    let stay = if t.t_mstate.get() == state { now.saturating_sub(t.t_mstart.get()) } else { 0 };
    (t.t_acct[usize::from(state)].get() + stay) * 1000 / (now - t.t_ms_start.get())
}

#[test]
fn a_lone_user_spinner_is_in_user_mode_and_one_in_the_kernel_is_not() {
    for seed in 0..20 {
        for (mode, state) in [(USER, lms::USER), (KERNEL, lms::SYSTEM)] {
            let mut sim = Program::new(1).thread(spinner(TS, 30, mode)).boot(seed);
            sim.run_until_ok(SECOND);
            let share = permille(&sim, 0, state, SECOND);
            assert!(share > 980, "seed {seed}: {share} of 1000 in state {state}");
        }
    }
}

#[test]
fn a_thread_behind_a_better_one_waits_for_a_cpu() {
    for seed in 0..20 {
        let p = Program::new(1).thread(spinner(SYS, 70, KERNEL)).thread(spinner(TS, 10, USER));
        let mut sim = p.boot(seed);
        sim.run_until_ok(SECOND);
        let [ran, waited] = [(0, lms::SYSTEM), (1, lms::WAIT_CPU)].map(|(n, s)| permille(&sim, n, s, SECOND));
        assert!(ran > 980 && waited > 980, "seed {seed}: {ran} and {waited} of 1000");
    }
}

#[test]
fn a_sleeper_sleeps_and_who_waits_for_a_mutex_waits_for_a_lock() {
    for seed in 0..20 {
        let mut p = Program::new(2);
        let sleeper = thread("sleeper", TS, 30, 1, Periodic { sleep_ticks: 2, ..Periodic::defaults() });
        p = p.thread(sleeper);
        // The better thread comes each tick, preempts the other wherever it is, and finds the mutex taken.
        for (class, pri, hold_us, rest_ticks) in [(SYS, 99, 100, 1), (TS, 10, 5000, 0)] {
            let user = thread(
                "lock_user",
                class,
                pri,
                0,
                LockMix { hold_us, think_us: 10, rest_ticks, ..LockMix::defaults() },
            );
            p = p.thread(user);
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(2 * SECOND);
        let slept = permille(&sim, 0, lms::SLEEP, 2 * SECOND);
        let [locked, rested] = [lms::USER_LOCK, lms::SLEEP].map(|s| permille(&sim, 1, s, 2 * SECOND));
        let [never_locked, never_slept] =
            [lms::USER_LOCK, lms::SLEEP].map(|s| permille(&sim, 2, s, 2 * SECOND));
        assert!(slept > 800, "seed {seed}: slept {slept} of 1000");
        assert!(locked > 100 && rested > 300, "seed {seed}: {locked} for the lock, {rested} asleep");
        assert_eq!((never_locked, never_slept), (0, 0), "seed {seed}: who holds it waits for neither");
    }
}

#[test]
fn interrupts_are_charged_to_the_cpu_and_not_taken_from_the_thread() {
    for seed in 0..20 {
        let p = Program::new(1).tunable(tunable::INTR_COST_NSEC, 300_000);
        let mut sim = p.thread(spinner(TS, 30, USER)).interrupt("nic0", 0, 6, 1000).boot(seed);
        sim.run_until_ok(SECOND);
        let share = permille(&sim, 0, lms::USER, SECOND);
        let taken = sum(&sim.kernel().k_cpus[0].cpu_ms.cpu_intracct);
        assert!(share > 980, "seed {seed}: the pinned thread's state goes on, {share} of 1000");
        assert!((280 * MS..320 * MS).contains(&taken), "seed {seed}: interrupts took {taken} ns");
    }
}
