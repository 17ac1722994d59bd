//! Taking CPUs offline and bringing them back, at rest and under load.
//!
//! # Invariants
//! - The kernel is only looked at between two steps of virtual time.

use crate::bench::{Bench, MS, Program, SECOND, load, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::cpu::flag;
use umpire_kernel::{Cpu, Kthread};
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::program::{Interrupt, Thread, Verb, binding};
use umpire_shared::work::ThreadRef;
use umpire_shared::work::compute::{LockMix, Mode, Periodic, Spin};
use umpire_shared::work::levels::PilHold;
use umpire_shared::work::locks::LockChain;
use umpire_shared::work::placement::Pinned;
use umpire_shared::work::timing::ProcLook;
use umpire_shared::{errno, tunable};

const OFF: Verb = Verb::Offline;
const ON: Verb = Verb::Online;
const HOUR_US: u64 = 3_600_000_000;

/// Errno of event `n`, which is over.
#[track_caller]
fn errno_of(sim: &Bench, n: usize) -> u32 {
    let e = &sim.kernel().k_events[n];
    assert_ne!(e.ev_ended_ns.get(), 0, "seed {}: event {n} is not over", sim.seed);
    e.ev_errno.get()
}

fn spinner(cpu: i32, kind: u32) -> Thread {
    let mut t = thread("spin", TS, 20, cpu, Spin::defaults());
    t.binding = kind;
    t
}

/// Threads on a CPU's queue that may run elsewhere.
fn unbound_on(cp: &Cpu) -> usize {
    let mut count = 0;
    for dq in &cp.cpu_disp.disp_q {
        let mut at: Option<&Kthread> = dq.dq_first.get();
        while let Some(t) = at {
            count += usize::from(!t.is_bound());
            at = t.t_link.get();
        }
    }
    count
}

#[test]
fn events_of_a_cpu_that_goes_and_comes_can_be_traced() {
    let p = load::fair(3).event(20 * MS, OFF, 1, &[]).event(60 * MS, ON, 1, &[]);
    let mut sim = p.traced().boot(1);
    sim.run_until_ok(100 * MS);
    assert_eq!((errno_of(&sim, 0), errno_of(&sim, 1)), (0, 0));
    let since = 60 * MS;
    assert!(sim.take_trace().iter().any(|e| e.time_ns > since && e.cpu == 1), "CPU 1 works again");
}

#[test]
fn offline_under_load_loses_no_thread_and_leaves_none_behind() {
    for seed in 0..10 {
        let mut sim = load::fair(4).event(100 * MS, OFF, 1, &[]).event(700 * MS, ON, 1, &[]).boot(seed);
        sim.run_until_ok(300 * MS);
        assert_eq!(errno_of(&sim, 0), 0, "seed {seed}");
        let cp = &sim.kernel().k_cpus[1];
        let gone = flag::OFFLINE | flag::QUIESCED;
        assert_eq!(cp.cpu_flags.get() & (gone | flag::ENABLE), gone, "seed {seed}");
        assert!(!sim.kernel().cp_default().has_online(cp), "seed {seed}");
        assert_eq!(unbound_on(cp), 0, "seed {seed}: left behind");
        let (switches, ran) = (cp.cpu_stats.pswitch.get(), sim.ran_ns(1));
        sim.run_until_ok(600 * MS);
        let cp = &sim.kernel().k_cpus[1];
        assert_eq!(cp.cpu_stats.pswitch.get(), switches, "seed {seed}: something ran on an offline CPU");
        assert!(sim.ran_ns(1) < ran + 5 * MS, "seed {seed}: an offline CPU spins");
        sim.run_until_ok(SECOND);
        assert_eq!(errno_of(&sim, 1), 0, "seed {seed}");
        let cp = &sim.kernel().k_cpus[1];
        assert_eq!(cp.cpu_flags.get() & (gone | flag::ENABLE), flag::ENABLE, "seed {seed}");
        assert!(sim.ran_ns(1) > ran + 200 * MS, "seed {seed}: work did not come back");
        let before: Vec<u64> = sim.kernel().scenario_threads().iter().map(|t| t.t_progress.get()).collect();
        sim.run_until_ok(2 * SECOND);
        for (t, before) in sim.kernel().scenario_threads().iter().zip(before) {
            assert!(t.t_progress.get() > before, "seed {seed}: thread {} stands still", t.t_did);
        }
    }
}

#[test]
fn offline_of_the_last_cpu_returns_ebusy() {
    let mut sim = Program::new(2)
        .event(20 * MS, OFF, 1, &[])
        .event(30 * MS, OFF, 0, &[1])
        .event(40 * MS, OFF, 1, &[])
        .event(50 * MS, OFF, 7, &[])
        .boot(1);
    sim.run_until_ok(200 * MS);
    assert_eq!([0, 1, 2, 3].map(|n| errno_of(&sim, n)), [0, errno::EBUSY, 0, errno::EINVAL]);
    let mut alone = Program::new(1).event(20 * MS, OFF, 0, &[]).boot(1);
    alone.run_until_ok(200 * MS);
    assert_eq!(errno_of(&alone, 0), errno::EBUSY);
}

#[test]
fn offline_with_a_bound_thread_depends_on_the_binding() {
    // Binding, forced, errno.
    let cases = [
        (binding::AFFINITY, 0, errno::EBUSY),
        (binding::AFFINITY, 1, errno::EBUSY),
        (binding::HARD, 0, errno::EBUSY),
        (binding::HARD, 1, 0),
        (binding::SOFT, 0, 0),
    ];
    for (kind, forced, expected) in cases {
        for seed in 0..20 {
            let mut sim =
                Program::new(2).thread(spinner(1, kind)).event(50 * MS, OFF, 1, &[forced]).boot(seed);
            sim.run_until_ok(300 * MS);
            let what = format!("binding {kind} forced {forced} seed {seed}");
            assert_eq!(errno_of(&sim, 0), expected, "{what}");
            let kernel = sim.kernel();
            let (t, cp) = (&kernel.scenario_threads()[0], &kernel.k_cpus[1]);
            assert_eq!(cp.is_offline(), expected == 0, "{what}");
            assert_eq!(t.t_bound_cpu.is_null(), expected == 0, "{what}");
            // EBUSY puts everything back as it was.
            assert_eq!(cp.cpu_flags.get() & flag::ENABLE != 0, expected != 0, "{what}");
            assert!(
                kernel.k_disp.cpu_inmotion.is_null() && kernel.k_cpu_ops.weakbindingbarrier.get() == 0,
                "{what}"
            );
            let before = t.t_progress.get();
            sim.run_until_ok(400 * MS);
            assert!(sim.kernel().scenario_threads()[0].t_progress.get() > before, "{what}: it stands still");
        }
    }
}

#[test]
fn offline_waits_for_weak_bindings_and_then_succeeds() {
    for seed in 0..60 {
        let mut p = Program::new(3).event(50 * MS, OFF, 1, &[]).event(150 * MS, ON, 1, &[]);
        for _ in 0..6 {
            let pinned =
                thread("pinned", TS, 30, -1, Pinned { hold_us: 3000, think_us: 500, ..Pinned::defaults() });
            p = p.thread(pinned);
        }
        // The workload panics if a weak binding does not hold.
        let mut sim = p.boot(seed);
        sim.run_until_ok(SECOND);
        assert_eq!([0, 1].map(|n| errno_of(&sim, n)), [0, 0], "seed {seed}");
    }
}

#[test]
fn offline_with_a_weak_binding_for_ever_returns_ebusy() {
    for seed in 0..20 {
        let mut hog = thread("hog", TS, 30, 1, Pinned { hold_us: HOUR_US, ..Pinned::defaults() });
        hog.binding = binding::SOFT;
        let mut sim = Program::new(2).thread(hog).event(50 * MS, OFF, 1, &[]).boot(seed);
        sim.run_until_ok(500 * MS);
        assert_eq!(errno_of(&sim, 0), errno::EBUSY, "seed {seed}");
        assert!(!sim.kernel().k_cpus[1].is_offline(), "seed {seed}");
    }
}

#[test]
fn offline_and_online_again_and_again_terminates() {
    for seed in 0..20 {
        let mut p = load::fair(4);
        for n in 0..10 {
            p = p.event((50 + 20 * n) * MS, if n % 2 == 0 { OFF } else { ON }, 1 + (n as u32 / 2) % 2, &[]);
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(800 * MS);
        for n in 0..10 {
            assert_eq!(errno_of(&sim, n), 0, "seed {seed}: event {n}");
        }
        assert_eq!(sim.kernel().cp_default().cp_ncpus.get(), 4, "seed {seed}");
        assert_eq!(sim.kernel().online_cpus(), 0b1111, "seed {seed}");
    }
}

#[test]
fn offline_cpu_that_is_not_quiesced_wakes_for_what_is_bound_to_it() {
    for seed in 0..100 {
        let mut sim = Program::new(2)
            .tunable(tunable::CPU_NO_QUIESCE, 1)
            .event(50 * MS, OFF, 1, &[])
            .event(100 * MS, Verb::Pause, 0, &[0])
            .boot(seed);
        sim.run_until_ok(200 * MS);
        let kernel = sim.kernel();
        let flags = kernel.k_cpus[1].cpu_flags.get();
        assert_eq!(flags & (flag::OFFLINE | flag::QUIESCED), flag::OFFLINE, "seed {seed}");
        // The pause thread is bound there. Without a wake-up of its own it would wait for the CPU's next timer.
        assert_eq!(errno_of(&sim, 1), 0, "seed {seed}");
        let e = &kernel.k_events[1];
        let took = e.ev_ended_ns.get() - e.ev_began_ns.get();
        assert!(took < MS / 10, "seed {seed}: {took} ns");
    }
}

#[test]
fn offline_of_the_script_s_own_cpu_moves_the_script() {
    for seed in 0..50 {
        // One of the two is the script's CPU.
        let mut sim = Program::new(3)
            .thread(spinner(-1, 0))
            .event(50 * MS, OFF, 1, &[])
            .event(80 * MS, ON, 1, &[])
            .event(110 * MS, OFF, 2, &[])
            .boot(seed);
        sim.run_until_ok(300 * MS);
        assert_eq!([0, 1, 2].map(|n| errno_of(&sim, n)), [0; 3], "seed {seed}");
    }
}

#[test]
fn offline_of_the_clock_s_cpu_keeps_the_clock_ticking() {
    for seed in 0..20 {
        let mut sim = Program::new(2).thread(spinner(-1, 0)).event(50 * MS, OFF, 0, &[]).boot(seed);
        sim.run_until_ok(SECOND);
        assert_eq!(errno_of(&sim, 0), 0, "seed {seed}");
        let before = sim.kernel().lbolt.get();
        sim.run_until_ok(2 * SECOND);
        assert!(sim.kernel().lbolt.get() > before + 95, "seed {seed}");
        assert!(sim.kernel().scenario_threads()[0].t_progress.get() > 30_000, "seed {seed}");
    }
}

#[test]
fn bound_system_thread_comes_back_with_its_cpu() {
    for seed in 0..20 {
        let periodic = thread("periodic", SYS, 60, 1, Periodic::defaults());
        let mut sim = Program::new(2)
            .thread(periodic)
            .event(50 * MS, OFF, 1, &[])
            .event(300 * MS, Verb::Bind, 0, &[-1, i64::from(binding::AFFINITY)])
            .event(350 * MS, OFF, 1, &[])
            .boot(seed);
        sim.run_until_ok(600 * MS);
        let got = [0, 1, 2].map(|n| errno_of(&sim, n));
        assert_eq!(got, [errno::EBUSY, 0, 0], "seed {seed}: bound, unbound, gone");
        assert!(sim.kernel().scenario_threads()[0].t_progress.get() > 25, "seed {seed}");
    }
}

/// CPU 2's handler wants a mutex whose owner, on CPU 0, has lost its CPU for good.
fn blocked_handler(no_quiesce: i64) -> Program {
    let owner = thread("owner", TS, 10, 0, LockMix { hold_us: HOUR_US, ..LockMix::defaults() });
    let hog = thread(
        "hog",
        SYS,
        99,
        0,
        LockChain { first: 15, hold_us: HOUR_US, after_us: 10_000, ..LockChain::defaults() },
    );
    let disk = Interrupt { lock: 0, start_ns: 30 * MS, ..Interrupt::named("disk", 2, 5, 100) };
    // The spinner keeps the script from sleeping on CPU 2, whose handler masks what would wake it.
    let p = Program::new(3).thread(owner).thread(hog).thread(spinner(2, binding::SOFT)).device(disk);
    p.tunable(tunable::PRIORITY_INHERITANCE, 0).tunable(tunable::CPU_NO_QUIESCE, no_quiesce)
}

#[test]
fn offline_under_a_handler_that_waits_is_refused_unless_the_cpu_need_not_be_quiesced() {
    for (no_quiesce, expected) in [(0, errno::EBUSY), (1, 0)] {
        for seed in 0..20 {
            let mut sim = blocked_handler(no_quiesce).event(80 * MS, OFF, 2, &[]).boot(seed);
            sim.run_until_ok(79 * MS);
            let active = sim.kernel().k_cpus[2].cpu_intr_actv.get();
            assert_eq!(active, 1 << 5, "seed {seed}: the handler waits");
            sim.run_until_ok(400 * MS);
            assert_eq!(errno_of(&sim, 0), expected, "no_quiesce {no_quiesce} seed {seed}");
            let flags = sim.kernel().k_cpus[2].cpu_flags.get();
            assert_eq!(flags & flag::OFFLINE != 0, expected == 0, "no_quiesce {no_quiesce} seed {seed}");
            assert_eq!(flags & flag::QUIESCED, 0, "no_quiesce {no_quiesce} seed {seed}");
        }
    }
}

#[test]
fn handler_that_waits_goes_to_another_partition_with_its_cpu() {
    for seed in 0..20 {
        // The spinner, softly bound, would keep the CPU where it is.
        let p = blocked_handler(0).pset("apart", 0).event(80 * MS, Verb::PsetAssign, 2, &[1]);
        let mut sim = p.boot(seed);
        sim.run_until_ok(79 * MS);
        let active = sim.kernel().k_cpus[2].cpu_intr_actv.get();
        assert_eq!(active, 1 << 5, "seed {seed}: the handler waits");
        sim.run_until_ok(400 * MS);
        assert_eq!(errno_of(&sim, 0), 0, "seed {seed}");
    }
}

#[test]
fn who_stays_bound_is_waited_for_five_hundredths_of_a_second() {
    let mut pinned = thread("pinned", TS, 30, 1, Pinned { hold_us: HOUR_US, ..Pinned::defaults() });
    pinned.binding = binding::SOFT;
    let p = Program::new(2).tunable(tunable::HZ, 1000).thread(pinned).event(50 * MS, OFF, 1, &[]);
    let mut sim = p.boot(1);
    sim.run_until_ok(400 * MS);
    assert_eq!(errno_of(&sim, 0), errno::EBUSY);
    let event = &sim.kernel().k_events[0];
    let waited = event.ev_ended_ns.get() - event.ev_began_ns.get();
    // Five delays of ten ticks; the first begins within a tick, and each may end a little late.
    assert!((48 * MS..57 * MS).contains(&waited), "{waited} ns");
}

#[test]
fn offline_does_not_end_while_the_clock_s_cpu_masks_what_ends_its_delay() {
    for seed in 0..20 {
        let mut pinned = thread("pinned", TS, 30, 1, Pinned { hold_us: HOUR_US, ..Pinned::defaults() });
        pinned.binding = binding::SOFT;
        // It is worse than the other thread, so that the script runs, and sleeps, on the clock's CPU.
        let stuck = thread(
            "stuck",
            TS,
            10,
            0,
            PilHold { pil: 11, hold_us: 400_000, after_us: 55_000, ..PilHold::defaults() },
        );
        let mut sim = Program::new(2).thread(pinned).thread(stuck).event(50 * MS, OFF, 1, &[]).boot(seed);
        sim.run_until_ok(400 * MS);
        let event = &sim.kernel().k_events[0];
        assert_ne!(event.ev_began_ns.get(), 0, "seed {seed}");
        assert_eq!(event.ev_ended_ns.get(), 0, "seed {seed}: it waits for the clock's CPU");
        sim.run_until_ok(700 * MS);
        assert_eq!(errno_of(&sim, 0), errno::EBUSY, "seed {seed}");
    }
}

/// The clock's CPU is to go offline while `clock()` waits for a process lock. The holder of that lock waits for the CPU on which
/// the script runs that takes the clock's CPU offline.
#[test]
fn offline_under_a_clock_that_waits_for_a_starved_holder_returns_ebusy_and_loses_no_tick() {
    let mut begun = 0;
    for seed in 0..20 {
        // It runs, so the clock needs its process lock to charge it.
        let mut process = thread("process", TS, 30, 0, Spin { mode: Mode::User, ..Spin::defaults() });
        process.binding = binding::SOFT;
        // It holds that lock from 30 ms on, for a second of CPU 1's time.
        let reader = thread(
            "reader",
            TS,
            10,
            1,
            ProcLook {
                at: ThreadRef(0),
                hold_us: 1_000_000,
                think_us: 0,
                rest_ticks: 1_000_000,
                after_us: 30_000,
            },
        );
        // The offline does not wait for the clock's interrupt thread, as it would if it had to quiesce the CPU.
        let mut sim = Program::new(2)
            .thread(process)
            .thread(reader)
            .tunable(tunable::PRIORITY_INHERITANCE, 0)
            .tunable(tunable::CPU_NO_QUIESCE, 1)
            .event(50 * MS, OFF, 0, &[])
            .event(2500 * MS, OFF, 0, &[])
            .boot(seed);
        sim.run_until_ok(600 * MS);
        let kernel = sim.kernel();
        assert!(kernel.k_clock.clock_ticks.get() < 6, "seed {seed}: the clock waits");
        if kernel.k_events[0].ev_began_ns.get() == 0 {
            // The script slept on the clock's CPU: its callout is behind the level that the clock keeps up.
            continue;
        }
        begun += 1;
        assert_eq!(errno_of(&sim, 0), errno::EBUSY, "seed {seed}");
        assert!(!kernel.k_cpus[0].is_offline(), "seed {seed}");
        sim.run_until_ok(2700 * MS);
        assert_eq!(errno_of(&sim, 1), 0, "seed {seed}: the holder has let go");
        let ticks = sim.kernel().k_clock.clock_ticks.get();
        assert!((266..=270).contains(&ticks), "seed {seed}: {ticks} ticks in 2.7 s");
    }
    assert!(begun >= 10, "the script began under {begun} of 20 seeds");
}
