//! Processor sets: which threads run where, which kp queue they use, and moves of CPUs and threads.
//!
//! # Invariants
//! - Where threads ran is read from the trace: an `OnCpu` outside a thread's set is a breach.

use crate::bench::{Bench, MS, Program, SECOND, name, thread};
use umpire_kernel::cell::Cell;
use umpire_shared::errno;
use umpire_shared::event::Kind;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::program::{Thread, Verb, binding};
use umpire_shared::work::compute::{Mode, Periodic, Spin};

/// CPUs 2 and 3.
const SET: u64 = 0b1100;

fn spinner(pset: u32) -> Thread {
    let mut t = thread("spin", TS, 20, -1, Spin { mode: Mode::User, chunk_us: 200, ..Spin::defaults() });
    t.pset = pset;
    t
}

fn sleeper(class: u32, pri: i32, pset: u32) -> Thread {
    let mut t = thread("periodic", class, pri, -1, Periodic { busy_us: 300, ..Periodic::defaults() });
    t.pset = pset;
    t
}

/// CPUs that each scenario thread was switched to since the last look, a bit each.
fn cpus_used(sim: &Bench) -> Vec<u64> {
    let first = sim.kernel().k_ncpus;
    let mut used = vec![0; sim.kernel().scenario_threads().len()];
    for e in sim.take_trace().iter().filter(|e| e.kind == Kind::OnCpu) {
        if let Some(used) = e.thread.checked_sub(first).and_then(|n| used.get_mut(n as usize)) {
            *used |= 1 << e.cpu;
        }
    }
    used
}

#[track_caller]
fn errno_of(sim: &Bench, n: usize) -> u32 {
    let e = &sim.kernel().k_events[n];
    assert_ne!(e.ev_ended_ns.get(), 0, "seed {}: event {n} is not over", sim.seed);
    e.ev_errno.get()
}

/// Six busy threads and twelve sleepers, half of each in the set if there is one; the sleepers at 99 use the kp queues.
fn two_worlds(is_divided: bool) -> Program {
    let mut p = Program::new(4).traced();
    if is_divided {
        p = p.pset("set", SET);
    }
    let set = u32::from(is_divided);
    for n in 0..3 {
        p = p.thread(spinner(0)).thread(spinner(set));
        p = p.thread(sleeper(SYS, 99, 0)).thread(sleeper(SYS, 99, set));
        p = p.thread(sleeper(TS, 30 + n, 0)).thread(sleeper(TS, 30 + n, set));
    }
    p
}

#[test]
fn threads_of_a_set_run_in_it_and_no_others_do() {
    for seed in 0..40 {
        let mut sim = two_worlds(true).boot(seed);
        sim.run_until_ok(300 * MS);
        for (n, used) in cpus_used(&sim).into_iter().enumerate() {
            let own = if n % 2 == 1 { SET } else { !SET };
            assert!(used != 0 && used & !own == 0, "seed {seed}: thread {n} ran on {used:#b}");
        }
        let kernel = sim.kernel();
        for part in kernel.partitions() {
            assert!(part.cp_kp_queue.disp_enqueues.get() > 50, "seed {seed}: kp queue {}", part.cp_id);
        }
    }
}

#[test]
fn threads_without_a_set_use_every_cpu() {
    // The red twin: what the sets keep apart mixes without them.
    for seed in 0..20 {
        let mut sim = two_worlds(false).boot(seed);
        sim.run_until_ok(300 * MS);
        let strays = cpus_used(&sim).into_iter().enumerate();
        let strays = strays.filter(|(n, used)| used & if n % 2 == 1 { !SET } else { SET } != 0).count();
        assert!(strays > 3, "seed {seed}: only {strays} threads ran on both sides");
    }
}

#[test]
fn a_full_set_is_not_helped_by_idle_cpus_outside() {
    for seed in 0..20 {
        let mut p = Program::new(4).pset("set", 0b1000);
        for _ in 0..4 {
            p = p.thread(spinner(1));
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(SECOND);
        assert!(sim.ran_ns(3) > 950 * MS, "seed {seed}");
        for cpu in 0..3 {
            assert!(sim.ran_ns(cpu) < 20 * MS, "seed {seed}: CPU {cpu} ran {} ns", sim.ran_ns(cpu));
        }
    }
}

#[test]
fn thread_moved_to_a_set_runs_there_from_then_on() {
    for seed in 0..40 {
        let mut sim = Program::new(4)
            .traced()
            .pset("set", SET)
            .thread(spinner(0))
            .thread(sleeper(TS, 30, 0))
            .event(50 * MS, Verb::PsetBind, 0, &[1])
            .event(50 * MS, Verb::PsetBind, 1, &[1])
            .event(150 * MS, Verb::PsetBind, 0, &[0])
            .boot(seed);
        sim.run_until_ok(100 * MS);
        cpus_used(&sim);
        sim.run_until_ok(145 * MS);
        let used = cpus_used(&sim);
        assert!(used.iter().all(|used| used & !SET == 0), "seed {seed}: {used:?}");
        let here = sim.kernel().scenario_threads()[0].cpu().cpu_id;
        assert!(SET >> here & 1 == 1, "seed {seed}: it is on CPU {here}");
        sim.run_until_ok(250 * MS);
        let back = sim.kernel().scenario_threads()[0].cpu().cpu_id;
        assert!(SET >> back & 1 == 0, "seed {seed}: it is on CPU {back}");
        assert_eq!([0, 1, 2].map(|n| errno_of(&sim, n)), [0; 3], "seed {seed}");
    }
}

#[test]
fn cpu_moved_to_a_set_takes_its_load_along_and_gives_it_back() {
    for seed in 0..40 {
        let mut p = Program::new(4).traced().pset("set", SET);
        for _ in 0..4 {
            p = p.thread(spinner(0)).thread(spinner(1)).thread(sleeper(SYS, 99, 0));
        }
        let p = p.event(50 * MS, Verb::PsetAssign, 1, &[1]).event(250 * MS, Verb::PsetAssign, 1, &[0]);
        let mut sim = p.boot(seed);
        sim.run_until_ok(100 * MS);
        assert_eq!(errno_of(&sim, 0), 0, "seed {seed}");
        cpus_used(&sim);
        sim.run_until_ok(240 * MS);
        for (n, used) in cpus_used(&sim).into_iter().enumerate() {
            let own: u64 = if n % 3 == 1 { 0b1110 } else { 0b0001 };
            assert_eq!(used & !own, 0, "seed {seed}: thread {n} ran on {used:#b}");
        }
        let kernel = sim.kernel();
        let (zero, set) = (kernel.cp_default(), &kernel.k_parts.parts[1]);
        assert_eq!((zero.cp_ncpus.get(), zero.cp_onln.get()), (1, 0b0001), "seed {seed}");
        assert_eq!((set.cp_ncpus.get(), set.cp_onln.get()), (3, 0b1110), "seed {seed}");
        // The CPU's own threads have come along.
        for t in kernel.threads().filter(|t| t.t_bound_cpu.is(&kernel.k_cpus[1])) {
            let has_home =
                t.t_lpl.get().is_some_and(|lpl| core::ptr::eq(lpl, &raw const kernel.lpls_of(set)[0]));
            assert!(t.t_cpupart.is(set) && has_home, "seed {seed}: {} has stayed behind", name(t));
        }
        sim.run_until_ok(500 * MS);
        assert_eq!(errno_of(&sim, 1), 0, "seed {seed}");
        assert_eq!(sim.kernel().cp_default().cp_onln.get(), 0b0011, "seed {seed}");
        assert!(sim.kernel().k_cpus[1].cpu_stats.pswitch.get() > 20, "seed {seed}");
    }
}

#[test]
fn moves_that_may_not_be_return_an_errno_and_change_nothing() {
    let mut bound = spinner(0);
    (bound.cpu, bound.binding) = (1, binding::HARD);
    let mut daemon = sleeper(TS, 30, 0);
    daemon.lwp = false;
    let mut sim = Program::new(4)
        .pset("full", 0b1000)
        .pset("empty", 0)
        .thread(bound)
        .thread(spinner(1))
        .thread(sleeper(SYS, 60, 0))
        .thread(daemon)
        .event(20 * MS, Verb::PsetAssign, 1, &[1])
        .event(90 * MS, Verb::PsetAssign, 3, &[0])
        .event(90 * MS, Verb::PsetBind, 0, &[1])
        .event(90 * MS, Verb::PsetBind, 1, &[2])
        .event(90 * MS, Verb::PsetBind, 2, &[1])
        .event(90 * MS, Verb::Offline, 3, &[])
        .event(90 * MS, Verb::Bind, 1, &[0, i64::from(binding::HARD)])
        .event(90 * MS, Verb::Bind, 2, &[0, i64::from(binding::HARD)])
        .event(90 * MS, Verb::PsetBind, 3, &[1])
        .boot(3);
    sim.run_until_ok(400 * MS);
    let got: Vec<u32> = (0..9).map(|n| errno_of(&sim, n)).collect();
    let (busy, inval, perm) = (errno::EBUSY, errno::EINVAL, errno::EPERM);
    // A thread bound to the CPU; the last CPU of a set with threads; a bound thread; an empty set; class SYS; the last CPU
    // of a set; a CPU outside the set; class SYS; a thread of the kernel's own process.
    assert_eq!(got, [busy, busy, busy, inval, perm, busy, inval, perm, perm]);
    let kernel = sim.kernel();
    assert_eq!(kernel.partitions().map(|p| p.cp_onln.get()).collect::<Vec<_>>(), [0b0111, 0b1000, 0]);
}
