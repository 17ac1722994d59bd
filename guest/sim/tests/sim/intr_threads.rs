//! Interrupt threads: which threads they pin, at which priority they run, and what happens when they block.
//!
//! # Invariants
//! - The kernel is looked at between two steps of virtual time; every look finds that pool, levels and base agree.

use crate::bench::{Bench, MS, Program, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::thread::{role, ts};
use umpire_kernel::{Cpu, Kernel, Kthread};
use umpire_shared::event::Kind;
use umpire_shared::program::Interrupt;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::sys::machlock::LOCK_LEVEL;
use umpire_shared::work::IntrRef;
use umpire_shared::work::compute::{LockMix, Spin};
use umpire_shared::work::network::SoftRing;
use umpire_shared::{roster, tunable};

const US: u64 = 1000;
/// Priority of an interrupt thread of level 0, if there were one.
const INTR_PRI: i32 = 99;
const NO_LOCK: i32 = -1;

fn device(name: &str, cpu: u32, pil: u32, rate_hz: u64, cost_us: u64, lock: i32) -> Interrupt {
    Interrupt { cost_ns: cost_us * US, lock, ..Interrupt::named(name, cpu, pil, rate_hz) }
}

fn hog(cpu: i32) -> umpire_shared::program::Thread {
    thread("hog", TS, 30, cpu, Spin { chunk_us: 50, ..Spin::defaults() })
}

fn lock_mix(cpu: i32, hold_us: u64, think_us: u64) -> umpire_shared::program::Thread {
    thread("lock_mix", TS, 30, cpu, LockMix { hold_us, think_us, ..LockMix::defaults() })
}

fn cpu(sim: &Bench, n: usize) -> &Cpu {
    &sim.kernel().k_cpus[n]
}

/// A CPU's interrupt threads.
fn intr_threads<'a>(kernel: &'a Kernel, cp: &Cpu) -> &'a [Kthread] {
    let first = roster::intr_thread(kernel.k_ncpus, kernel.k_nthreads, cp.cpu_id, 0) as usize;
    &kernel.k_threads[first..][..roster::INTR_THREADS as usize]
}

/// The levels that a CPU's interrupt threads are handling, bit `n` for level `n`; `which` chooses among the threads.
fn levels(kernel: &Kernel, cp: &Cpu, which: impl Fn(&Kthread) -> bool) -> u32 {
    let busy = intr_threads(kernel, cp).iter().filter(|t| t.t_state.get() != ts::FREE && which(t));
    busy.fold(0, |bits, t| {
        let bit = 1 << t.t_pil.get();
        assert_eq!(bits & bit, 0, "two threads handle level {}", t.t_pil.get());
        bits | bit
    })
}

/// What must be true of a CPU at any moment.
fn check(kernel: &Kernel, what: &str) {
    for cp in &kernel.k_cpus {
        let what = format!("{what} cpu {}", cp.cpu_id);
        let low = (2 << LOCK_LEVEL) - 1;
        assert_eq!(cp.cpu_intr_actv.get() & low, levels(kernel, cp, |_| true), "{what}: active levels");
        let passive = levels(kernel, cp, |t| t.t_intr.is_null());
        assert_eq!(u32::from(cp.cpu_base_spl.get()), (passive | 1).ilog2(), "{what}: base level");
        let mut pooled = 0;
        let mut at = cp.cpu_intr_thread.get();
        while let Some(t) = at {
            assert_eq!((t.t_role.get(), t.t_state.get()), (role::INTR, ts::FREE), "{what}: in the pool");
            pooled += 1;
            at = t.t_link.get();
        }
        let busy = cp.cpu_intr_actv.get() & low;
        assert_eq!(pooled + busy.count_ones(), roster::INTR_THREADS, "{what}: threads are lost");
        check_chain(cp, &what);
    }
}

/// The thread that runs pins one of a lower level, which pins one of a lower level still; at the bottom is the thread that the
/// dispatcher chose.
fn check_chain(cp: &Cpu, what: &str) {
    let mut at = cp.cpu_thread.get();
    let mut level = 16;
    while let Some(pinned) = at.and_then(|t| t.t_intr.get()) {
        let t = at.expect("it pins somebody");
        assert!(u32::from(t.t_pil.get()) < level, "{what}: level {} on top of {level}", t.t_pil.get());
        assert_eq!(t.pri(), INTR_PRI + i32::from(t.t_pil.get()), "{what}: its priority");
        assert_eq!(pinned.t_lock.get(), 1, "{what}: a pinned thread's context is nobody else's");
        level = u32::from(t.t_pil.get());
        at = Some(pinned);
    }
}

#[test]
fn an_interrupt_thread_pins_whom_it_interrupts_and_leaves_the_dispatcher_alone() {
    for seed in 0..4 {
        let p = Program::new(2).thread(hog(0)).device(device("nic0", 0, 6, 1000, 200, NO_LOCK));
        let mut sim = p.boot(seed);
        let mut seen = 0;
        for look in 1..=1000 {
            sim.run_until_ok(5 * MS + look * 50 * US);
            check(sim.kernel(), &format!("seed {seed}"));
            let (cp, hog) = (cpu(&sim, 0), &sim.kernel().scenario_threads()[0]);
            let it = cp.cpu_thread.get().expect("somebody runs");
            if it.t_role.get() != role::INTR || it.t_pil.get() != 6 || !it.t_intr.is(hog) {
                continue;
            }
            seen += 1;
            assert_eq!(it.pri(), INTR_PRI + 6);
            assert!(cp.cpu_dispthread.is(hog), "seed {seed}: the dispatcher's choice is still the hog");
            assert_eq!(i32::from(cp.cpu_dispatch_pri.get()), hog.pri());
            assert_eq!(cp.cpu_base_spl.get(), 0, "seed {seed}: an ordinary interrupt leaves the base alone");
        }
        assert!(seen > 100, "seed {seed}: a fifth of the time is the handler's, {seen} looks of 1000 saw it");
        let stats = &cpu(&sim, 0).cpu_stats;
        assert!(stats.intrthread.get() >= 50);
        assert_eq!((stats.intrblk.get(), stats.intrunpin.get()), (0, 0));
    }
}

#[test]
fn a_higher_level_pins_the_thread_of_a_lower_one() {
    let mut nested = 0;
    for seed in 0..4 {
        let late = Interrupt { start_ns: 5 * MS + 100 * US, ..device("nic9", 0, 9, 1000, 100, NO_LOCK) };
        let early = Interrupt { start_ns: 5 * MS, ..device("nic5", 0, 5, 1000, 300, NO_LOCK) };
        let mut sim = Program::new(1).thread(hog(0)).device(late).device(early).boot(seed);
        for look in 1..=500 {
            sim.run_until_ok(5 * MS + look * 50 * US);
            check(sim.kernel(), &format!("seed {seed}"));
            let top = cpu(&sim, 0).cpu_thread.get();
            let below = top.and_then(|t| t.t_intr.get());
            let is_nested = top.is_some_and(|t| t.t_pil.get() == 9)
                && below.is_some_and(|t| t.t_pil.get() == 5)
                && below.and_then(|t| t.t_intr.get()).is_some_and(|t| t.t_role.get() == role::SCENARIO);
            nested += u32::from(is_nested);
        }
    }
    assert!(nested > 100, "{nested} looks of 2000 saw level 9 on 5 on the hog");
}

/// A device of level 9 that needs a mutex, which a thread of the same CPU holds for 3 ms a turn, beside devices of levels 5 and
/// 10. `lock` is what the device takes: `NO_LOCK` for the twin that never blocks.
fn blocking(lock: i32) -> Program {
    Program::new(2)
        .thread(lock_mix(0, 3000, 50))
        .device(device("disk", 0, 9, 97, 10, lock))
        .device(device("nic5", 0, 5, 2000, 2, NO_LOCK))
        .device(device("nic10", 0, 10, 2000, 2, NO_LOCK))
}

#[test]
fn a_handler_that_blocks_lets_the_pinned_owner_run_and_masks_its_level_meanwhile() {
    let (mut blocked_looks, mut unmasked) = (0, 0);
    for seed in 0..4 {
        let mut sim = blocking(0).traced().boot(seed);
        let mut before = (0, [0; 3]);
        for look in 1..=4000 {
            sim.run_until_ok(look * 50 * US);
            let kernel = sim.kernel();
            check(kernel, &format!("seed {seed}"));
            let base = kernel.k_cpus[0].cpu_base_spl.get();
            let counts = [0, 1, 2].map(|n| kernel.k_intr.devices[n].dev_count.get());
            if (before.0, base) == (9, 9) {
                blocked_looks += 1;
                assert_eq!(counts[1], before.1[1], "seed {seed}: level 5 was handled under a base of 9");
                unmasked += counts[2] - before.1[2];
            }
            before = (base, counts);
        }
        let kernel = sim.kernel();
        let [disk, nic5, nic10] = before.1;
        assert!(disk >= 17, "seed {seed}: level 9 was handled {disk} times");
        assert!(nic5 > 380 && nic10 > 380, "seed {seed}: {nic5} and {nic10}: what was masked is owed");
        assert!(kernel.k_work.locks[0].m_blocks.get() >= 10, "seed {seed}");
        let stats = &kernel.k_cpus[0].cpu_stats;
        assert!(stats.intrblk.get() >= 20, "seed {seed}: {} halves of a block", stats.intrblk.get());
        // The handler that was woken waited for its turn on its own CPU.
        let first = roster::intr_thread(2, 1, 0, 0);
        let is_its = |did: u32| (first..first + roster::INTR_THREADS).contains(&did);
        let trace = sim.take_trace();
        let left = trace.iter().filter(|e| e.kind == Kind::OffCpu && e.cpu == 0).count() as u64;
        let switches = cpu(&sim, 0).cpu_stats.pswitch.get();
        assert!(switches.abs_diff(left) <= 1, "seed {seed}: {switches} switches, {left} times one was left");
        let back: Vec<u32> =
            trace.iter().filter(|e| e.kind == Kind::OnCpu && is_its(e.thread)).map(|e| e.cpu).collect();
        assert!(back.len() >= 10 && back.iter().all(|&cpu| cpu == 0), "seed {seed}: {back:?}");
    }
    assert!(blocked_looks > 1000, "{blocked_looks} steps began and ended with the handler blocked");
    assert!(unmasked > 50, "level 10 was handled {unmasked} times meanwhile");
}

#[test]
fn a_handler_that_does_not_block_never_raises_the_base() {
    let mut sim = blocking(NO_LOCK).boot(1);
    for look in 1..=2000 {
        sim.run_until_ok(look * 50 * US);
        assert_eq!(cpu(&sim, 0).cpu_base_spl.get(), 0);
    }
    assert_eq!(cpu(&sim, 0).cpu_stats.intrblk.get(), 0);
}

#[test]
fn a_handler_blocked_by_another_cpu_s_sleeper_comes_back_where_it_was() {
    // The owner is preempted on CPU 1 while it holds the mutex, so the handler on CPU 0 cannot spin for it.
    let mut blocked = 0;
    for seed in 0..8 {
        let ring = thread("ring", SYS, 99, 1, SoftRing { cost_us: 400, ..SoftRing::defaults(IntrRef(1)) });
        let p = Program::new(2).thread(lock_mix(1, 500, 20)).thread(ring).thread(hog(0));
        let p = p.device(device("disk", 0, 7, 900, 5, 0)).device(device("nic", 1, 6, 1000, 2, NO_LOCK));
        let mut sim = p.boot(seed);
        for look in 1..=1000 {
            sim.run_until_ok(look * 100 * US);
            check(sim.kernel(), &format!("seed {seed}"));
        }
        blocked += cpu(&sim, 0).cpu_stats.intrblk.get() / 2;
        let handled = sim.kernel().k_intr.devices[0].dev_count.get();
        assert!(handled > 30, "seed {seed}: {handled} handled");
    }
    assert!(blocked > 50, "{blocked} blocks in eight runs");
}

#[test]
fn the_clock_charges_whom_it_pins_and_nobody_who_is_pinned_under_another_handler() {
    for (on, is_charged) in [(None, true), (Some(0), false), (Some(1), false)] {
        let pinned_on = on.unwrap_or(0);
        let mut p = Program::new(2).thread(hog(pinned_on as i32));
        if let Some(cpu) = on {
            // It is a storm: each handler takes longer than the time to the next interrupt.
            let storm = device("storm", cpu, 5, 5000, 300, NO_LOCK);
            p = p.device(Interrupt { start_ns: 100 * MS, ..storm });
        }
        let mut sim = p.boot(1);
        sim.run_until_ok(150 * MS);
        let then = sim.kernel().scenario_threads()[0].t_lbolt.get();
        sim.run_until_ok(450 * MS);
        let t = &sim.kernel().scenario_threads()[0];
        let ticks = t.t_lbolt.get() - then;
        assert_eq!(ticks > 25, is_charged, "storm on {on:?}: {ticks} ticks");
        assert_eq!(ticks == 0, !is_charged, "storm on {on:?}: {ticks} ticks");
        assert!(sim.kernel().lbolt.get() > 40, "the clock itself goes on");
    }
}

#[test]
fn devices_at_every_level_with_locks_between_them_keep_pool_levels_and_base_in_agreement() {
    let (mut blocked, mut deepest) = (0, 0);
    for seed in 0..200 {
        let mut p = Program::new(2).tunable(tunable::INTRCNT_LIMIT, if seed % 2 == 0 { 0 } else { 3 });
        p = p.thread(lock_mix(0, 200, 30)).thread(lock_mix(-1, 40, 60)).thread(hog(1));
        for pil in [1, 3, 5, 7, 9, 10] {
            let lock = if pil % 4 == 1 { 0 } else { NO_LOCK };
            // The phases differ with each seed, so that every device meets every other.
            let rate = 500 + u64::from(pil) * (130 + seed % 17);
            let start_ns = 100 * US + seed * u64::from(pil) % 7 * 90 * US;
            let dev = device("dev", pil % 3 / 2, pil, rate, 3 + 6 * u64::from(pil), lock);
            p = p.device(Interrupt { start_ns, ..dev });
        }
        p = p.device(device("high", 0, 12, 700, 3, NO_LOCK));
        let mut sim = p.boot(seed);
        for look in 1..=40 {
            sim.run_until_ok(look * 251 * US);
            check(sim.kernel(), &format!("seed {seed}"));
            let depth = |cp: &Cpu| levels(sim.kernel(), cp, |_| true).count_ones();
            deepest = deepest.max(sim.kernel().k_cpus.iter().map(depth).max().unwrap_or(0));
        }
        blocked += sim.kernel().k_cpus.iter().map(|c| c.cpu_stats.intrblk.get()).sum::<u64>();
        for dev in &sim.kernel().k_intr.devices {
            assert!(dev.dev_count.get() > 0, "seed {seed}: level {} was never handled", dev.dev_pil);
        }
    }
    assert!(blocked > 2000 && deepest >= 3, "{blocked} blocks, {deepest} levels at once");
}
