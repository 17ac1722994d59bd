//! Where two parts of the kernel meet: each test here was red once, because one of the two parts did not know of the other.
//!
//! # Invariants
//! - A test says which two parts it is about, and its seeds make it fail on the old code.

use std::cell::Cell as StdCell;
use std::rc::Rc;
use umpire_shared::work::IntrRef;
use umpire_shared::work::compute::{LockMix, Periodic, Spin};
use umpire_shared::work::network::SoftRing;

use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::cpu::bind::{thread_affinity_clear, thread_affinity_set};
use umpire_kernel::disp::{kpreempt_disable, kpreempt_enable, kpreempt_sync, thread_yield};
use umpire_kernel::platform;
use umpire_kernel::sync::{mutex_enter, mutex_exit};
use umpire_kernel::sys::Disp;
use umpire_kernel::time::callout::delay;
use umpire_kernel::time::cyclic::cyclic_juggle;
use umpire_shared::program::class::{RT, SYS, TS};
use umpire_shared::program::{Interrupt, Verb, binding};
use umpire_shared::{NAME_LEN, tunable};

fn device(name: &str, cpu: u32, pil: u32, rate_hz: u64, cost_ns: u64, lock: i32) -> Interrupt {
    Interrupt { cost_ns, lock, ..Interrupt::named(name, cpu, pil, rate_hz) }
}

/// Interrupt threads and stealing. A handler that has blocked ends in the dispatcher, which looks for other CPUs' work with
/// interrupts open. The thread is back in the pool by then, and the next interrupt must not use it while it still runs:
///
/// ```text
///   the interrupt thread that ends           the next interrupt of the same CPU
///   puts itself back into the pool
///   looks for other CPUs' work
///                                            takes a thread from the pool: not that one
///   leaves its stack
/// ```
#[test]
fn interrupt_thread_that_ends_after_a_block_is_not_taken_before_it_has_left() {
    let mut blocked = 0;
    for seed in 0..10 {
        let owner =
            thread("owner", SYS, 70, 0, LockMix { hold_us: 100, think_us: 50, ..LockMix::defaults() });
        let above = thread("above", SYS, 99, 0, Periodic { busy_us: 200, ..Periodic::defaults() });
        let mut sim = Program::new(2)
            .tunable(tunable::HZ, 1000)
            .thread(owner)
            .thread(above)
            .device(device("blocks", 1, 6, 3000, 1000, 0))
            .device(device("often", 1, 2, 40_000, 500, -1))
            .boot(seed);
        sim.run_until_ok(200 * MS);
        let stats = &sim.kernel().k_cpus[1].cpu_stats;
        blocked += stats.intrblk.get();
    }
    assert!(blocked > 10, "only {blocked} handlers blocked");
}

/// Interrupt threads and the walk along a blocking chain. The owner may be an interrupt thread that ends while the walk has it
/// locked; it must keep the same lock:
///
/// ```text
///   CPU that walks                           CPU of the owner
///   locks the owner
///                                            the owner, an interrupt thread, ends
///   unlocks the owner: by the lock that it took
/// ```
#[test]
fn interrupt_thread_that_ends_keeps_the_lock_that_a_walk_holds() {
    for seed in 0..10 {
        let mut p = Program::new(4)
            .tunable(tunable::HZ, 1000)
            .device(device("owner", 0, 8, 30_000, 4000, 0))
            .device(device("above", 0, 9, 37_000, 3000, -1));
        for cpu in 1..4 {
            let mix = thread("mix", TS, 30, cpu, LockMix { hold_us: 0, think_us: 1, ..LockMix::defaults() });
            p = p.thread(mix);
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(200 * MS);
        let blocks = sim.kernel().k_work.locks[0].m_blocks.get();
        assert!(blocks > 100, "seed {seed}: {blocks} blocks");
    }
}

/// Bindings and the kp queue. A thread that waits there and is bound to the CPU it last ran on must leave that queue: CPUs take
/// no bound thread from it, and those that see it not empty would look for ever.
#[test]
fn thread_on_the_kp_queue_that_is_bound_waits_for_its_cpu_from_then_on() {
    for seed in 0..10 {
        for kind in [binding::HARD, binding::AFFINITY] {
            for cpu in 0..2 {
                bind_on_kp_queue(seed, cpu, kind);
            }
        }
    }
}

fn bind_on_kp_queue(seed: u64, cpu: i64, kind: u32) {
    // The script has CPU 2 to itself; the thread waits in the set of the other two, which are busy when it is bound.
    let mut p = Program::new(3).tunable(tunable::HZ, 1000).pset("busy", 0b11);
    for n in 0..2 {
        let mut hog =
            thread("hog", RT, 50, n, Periodic { busy_us: 20_000, sleep_ticks: 3, ..Periodic::defaults() });
        hog.pset = 1;
        p = p.thread(hog);
    }
    let mut waits = thread("waits", RT, 10, -1, Spin { chunk_us: 50, ..Spin::defaults() });
    waits.lwp = true;
    waits.pset = 1;
    let mut sim = p.thread(waits).event(15 * MS, Verb::Bind, 2, &[cpu, i64::from(kind)]).boot(seed);
    sim.run_until_ok(18 * MS);
    let before = sim.kernel().scenario_threads()[2].t_progress.get();
    sim.run_until_ok(100 * MS);
    let t = &sim.kernel().scenario_threads()[2];
    let what = format!("seed {seed} cpu {cpu} kind {kind}");
    assert!(t.t_progress.get() > before, "{what}: it never ran again");
    assert!(t.t_bound_cpu.get().is_some_and(|b| t.t_cpu.is(b)), "{what}: it is not bound, or runs elsewhere");
}

/// Bindings and run queues. A thread may wait on the queue of another CPU than the one it last ran on. If it is then bound to the
/// CPU it last ran on, it moves to that CPU's queue.
#[test]
fn thread_on_another_queue_that_is_bound_to_its_last_cpu_waits_for_that_one() {
    for seed in 0..20 {
        let mut p = Program::new(3).tunable(tunable::HZ, 1000).tunable(tunable::RECHOOSE_INTERVAL, 0);
        for _ in 0..12 {
            let periodic = thread("periodic", TS, 20, -1, Periodic { busy_us: 700, ..Periodic::defaults() });
            p = p.thread(periodic);
        }
        for at in 0..60 {
            let (t, cpu) = ((at * 5 % 12) as u32, if at % 4 == 3 { -1 } else { (at % 3) as i64 });
            p = p.event((5 + at) * MS, Verb::Bind, t, &[cpu, i64::from(binding::HARD)]);
        }
        let mut sim = p.boot(seed);
        for look in 1..300 {
            sim.run_until_ok(look * MS / 4);
            for cp in &sim.kernel().k_cpus {
                check_bindings(&cp.cpu_disp, cp.cpu_id, seed);
            }
        }
    }
}

fn check_bindings(dp: &Disp, cpu: u32, seed: u64) {
    for dq in dp.disp_q.iter().filter(|_| !dp.disp_lock.is_held()) {
        let mut at = dq.dq_first.get();
        while let Some(t) = at {
            let is_fine = t.t_bound_cpu.get().is_none_or(|b| b.cpu_id == cpu);
            assert!(is_fine, "seed {seed}: thread {} is bound and waits for CPU {cpu}", t.t_did);
            at = t.t_link.get();
        }
    }
}

/// Four CPUs, of which the last does nothing but send device 0 to another CPU, again and again.
fn juggled(dev: Interrupt) -> Program {
    let juggler = thread("juggler", SYS, 60, 3, Spin::defaults());
    Program::new(4).tunable(tunable::HZ, 1000).thread(juggler).device(dev)
}

fn boot_juggled(p: &Program, seed: u64) -> Bench {
    let mut sim = p.boot(seed);
    sim.run_instead(|t| {
        if t.name(&mut [0; NAME_LEN]) != "juggler" {
            return false;
        }
        loop {
            let kernel = platform::kernel();
            // The device must not come here: it might leave the juggler no time.
            kernel.k_cpus[3].cpu_cyclic.cyp_online.set(0);
            // The cyclics of the CPU's callouts are bound to it, so the answer is always no.
            cyclic_juggle(&kernel.k_cpus[kernel.k_intr.devices[0].dev_cpu.get() as usize]);
            platform::spin(20_000);
        }
    });
    sim
}

/// Devices and juggling. Two CPUs serve a device that moves in the middle of its handler; each interrupt is handled once.
#[test]
fn device_that_moves_while_its_handler_runs_is_handled_once_an_interrupt() {
    for seed in 0..10 {
        // Bursts as long as the time between them, so that the old CPU still works when the new one begins.
        let dev = Interrupt { burst: 100, ..device("busy", 0, 5, 100_000, 90, -1) };
        let mut sim = boot_juggled(&juggled(dev), seed);
        for look in 1..=10 {
            sim.run_until_ok(look * 2 * MS);
            let dev = &sim.kernel().k_intr.devices[0];
            let (handled, pending) = (dev.dev_count.get(), dev.dev_pend.get());
            let due = look * 2 * 100 * 100;
            assert!(pending < 1_000_000, "seed {seed}: {pending} pending");
            assert!(handled + u64::from(pending) <= due + 100, "seed {seed}: {handled} handled, {due} due");
        }
    }
}

/// High-level cyclics and juggling. A cyclic that is taken away while its handler runs is not due a second time for the same time.
#[test]
fn high_level_cyclic_that_moves_while_it_runs_is_not_run_twice() {
    for seed in 0..10 {
        let mut sim = boot_juggled(&juggled(device("quick", 0, 5, 50_000, 0, -1)), seed);
        sim.run_until_ok(SECOND / 4);
        let dev = &sim.kernel().k_intr.devices[0];
        let all = dev.dev_count.get() + u64::from(dev.dev_pend.get());
        assert!(all <= 12_502, "seed {seed}: {all} interrupts in a quarter of a second at 50 kHz");
        assert!(all > 12_000, "seed {seed}: {all} interrupts");
    }
}

/// Bindings and `disp_ratify`. A flag tells a thread to leave that is bound elsewhere while its CPU is choosing it. The choice
/// clears that flag, so it must see the binding:
///
/// ```text
///   CPU that chooses the thread              CPU that binds it
///   takes it from its queue
///                                            binds it elsewhere
///                                            sets the flag of the choosing CPU
///   disp_ratify: clears the flag
///   looks at the binding: puts it back
/// ```
#[test]
fn thread_that_is_bound_elsewhere_while_it_is_chosen_does_not_stay() {
    for seed in 0..10 {
        let chosen = thread("chosen", SYS, 70, 0, Spin::defaults());
        let binder = thread("binder", SYS, 70, 2, Spin::defaults());
        let mut sim = Program::new(3).thread(chosen).thread(binder).boot(seed);
        let rounds = Rc::new(StdCell::new((0_u32, 0_u32)));
        let shared = Rc::clone(&rounds);
        sim.run_instead(move |t| {
            let kernel = platform::kernel();
            if t.name(&mut [0; NAME_LEN]) == "chosen" {
                loop {
                    if shared.get().0.is_multiple_of(2) {
                        thread_yield();
                    }
                    platform::spin(100);
                }
            }
            let chosen = &kernel.scenario_threads()[0];
            // Takes back what the scenario's binding has counted.
            thread_affinity_clear(chosen);
            loop {
                let (round, wrong) = shared.get();
                let to = &kernel.k_cpus[(round / 2 % 2) as usize];
                thread_affinity_set(chosen, to);
                // It does not go to the dispatcher by itself from here on.
                shared.set((round + 1, wrong));
                platform::spin(20_000);
                let is_wrong = !chosen.t_cpu.is(to);
                shared.set((round + 2, wrong + u32::from(is_wrong)));
                thread_affinity_clear(chosen);
                platform::spin(5_000 + u64::from(round) * 7 % 1000);
            }
        });
        sim.run_until_ok(100 * MS);
        let (round, wrong) = rounds.get();
        assert!(round > 2000, "seed {seed}: {round} rounds");
        assert_eq!(wrong, 0, "seed {seed}: it stayed, in {round} rounds");
    }
}

/// The base level and migration. A thread that reads or sets its level on a CPU whose interrupt thread is blocked may be moved in
/// the middle of it, and must not take that CPU's base along.
#[test]
fn thread_that_moves_leaves_the_base_level_of_its_cpu_behind() {
    let mut based = 0;
    for seed in 0..10 {
        // These two send the third thread from one CPU to the other.
        let above = [0, 1].map(|n| {
            let mut above = thread(
                "above",
                SYS,
                99,
                n,
                SoftRing { cost_us: 1, ..SoftRing::defaults(IntrRef(1 + n as u32)) },
            );
            above.pset = 1;
            above
        });
        let mut moved = thread("moved", SYS, 60, -1, Spin::defaults());
        moved.pset = 1;
        let mut sim = Program::new(3)
            .pset("two", 0b11)
            .tunable(tunable::HZ, 1000)
            .tunable(tunable::NOSTEAL_NSEC, 0)
            .thread(moved)
            .thread(thread("owner", SYS, 70, 2, Spin::defaults()))
            .thread(above[0])
            .thread(above[1])
            .device(device("blocks", 0, 5, 1000, 1000, 0))
            .device(device("wakes0", 2, 6, 20_000, 500, -1))
            .device(device("wakes1", 2, 6, 17_000, 500, -1))
            .boot(seed);
        let seen = Rc::new(StdCell::new(0));
        let shared = Rc::clone(&seen);
        sim.run_instead(move |t| {
            let kernel = platform::kernel();
            match t.name(&mut [0; NAME_LEN]) {
                "owner" => loop {
                    // It sleeps while it holds the mutex, so that the handler must wait.
                    mutex_enter(&kernel.k_work.locks[0]);
                    delay(2);
                    mutex_exit(&kernel.k_work.locks[0]);
                    delay(1);
                },
                "moved" => loop {
                    kpreempt_sync();
                    kpreempt_disable();
                    let (level, base) = (platform::pil(), platform::cpu().cpu_base_spl.get());
                    shared.set(shared.get() + u32::from(base == 5));
                    assert_eq!(level, u32::from(base), "the thread has another CPU's base level");
                    kpreempt_enable();
                },
                _ => false,
            }
        });
        sim.run_until_ok(25 * MS);
        based += seen.get();
        assert!(sim.kernel().k_cpus[0].cpu_stats.intrblk.get() > 5, "seed {seed}");
    }
    assert!(based > 1000, "it was on the CPU with the base only {based} times");
}
