//! Everything at once: all classes, every kind of lock, timed waits, interrupts that take locks, callouts, cyclics, and a script,
//! different for every seed, that moves CPUs and threads about.
//!
//! # Invariants
//! - The kernel is only looked at between two steps of virtual time, when no CPU moves.
//! - The script ends by undoing what it did; from then on the machine has CPUs enough, so a thread that makes no progress is lost.

use std::ptr;
use umpire_shared::work::IntrRef;
use umpire_shared::work::Workload;
use umpire_shared::work::compute::{Mode, Periodic, Spin};
use umpire_shared::work::locks::{CvHerd, LockChain, Nested, Part, RwHow, RwMix, SemaMix};
use umpire_shared::work::network::SoftRing;
use umpire_shared::work::placement::Pinned;
use umpire_shared::work::timing::{SignalWait, Table, TimedWait, TimeoutUser};

use crate::bench::draw::Draw;
use crate::bench::{Bench, MS, Program, name, queue, side_by_side};
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::Disp;
use umpire_kernel::sys::cpu::flag;
use umpire_kernel::sys::thread::{lms, role, ts};
use umpire_kernel::{Cpu, Kernel, Kthread};
use umpire_shared::program::class::{FSS, FX, IA, RT, SDC, SYS, TS};
use umpire_shared::program::{Interrupt, NO_CHANGE, Verb, binding};
use umpire_shared::{program, tunable};
use umpire_sim::SimState;

/// CPUs of the machine: three of them may be busy with the threads that never rest.
const NCPUS: u32 = 4;
/// When the last event of the random part begins.
const EVENTS_UNTIL: u64 = 150 * MS;
/// When the script has certainly undone everything: each CPU that is busy costs it 50 ms.
const CALM: u64 = 4000 * MS;
/// How long a thread may take for one turn after that.
const TURN: u64 = 250 * MS;

/// Tunables of which each seed has one value; usual values are the most frequent. With `kpreemptpri` at 100 the thread that never
/// leaves the kernel would starve the script, as in illumos #1532.
const SETTINGS: &[(usize, &[i64])] = &[
    (tunable::KPREEMPTPRI, &[99, 99, 99, 60, 0]),
    (tunable::KPQPRI, &[-1, -1, -1, 99, 30]),
    (tunable::INTRCNT_LIMIT, &[0, 0, 16, 2]),
    (tunable::CPU_NO_QUIESCE, &[0, 0, 1]),
    (tunable::HALT_IDLE, &[1, 1, 1, 1, 1, 1, 1, 0]),
    (tunable::LBOLT_HYBRID, &[0, 0, 1]),
    (tunable::RECHOOSE_INTERVAL, &[3, 3, 0]),
    (tunable::NOSTEAL_NSEC, &[100_000, 100_000, 0]),
    (tunable::CLOCK_TICK_THRESHOLD, &[0, 1, 1]),
    (tunable::CLOCK_TICK_NCPUS, &[32, 2, 1]),
];

impl Draw {
    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

fn worker(name: &str, class: u32, pri: i32, work: impl Into<Workload>) -> program::Thread {
    let mut t = program::Thread::named(name, pri, work);
    t.class = class;
    t.lwp = class != SYS;
    t.duty_cycle = 50;
    t
}

/// The threads. Those that rest ask for at most a third of the machine, and the last three never rest. So one CPU has nothing to
/// do now and then, and takes what waits behind the one of the three that no thread preempts.
fn workers() -> Vec<program::Thread> {
    vec![
        worker(
            "chain_ts0",
            TS,
            5,
            LockChain { second: Some(1), third: Some(2), hold_us: 40, think_us: 10, ..LockChain::defaults() },
        ),
        worker(
            "chain_ts1",
            TS,
            30,
            LockChain { first: 1, second: Some(2), hold_us: 30, think_us: 10, ..LockChain::defaults() },
        ),
        worker(
            "chain_rt",
            RT,
            10,
            LockChain { second: Some(2), hold_us: 20, rest_ticks: 2, ..LockChain::defaults() },
        ),
        worker("chain_sys", SYS, 70, LockChain { first: 1, hold_us: 30, ..LockChain::defaults() }),
        worker(
            "chain_fx",
            FX,
            40,
            LockChain { first: 2, second: Some(3), hold_us: 30, ..LockChain::defaults() },
        ),
        worker("rw_ts", TS, 20, RwMix { hold_us: 60, ..RwMix::defaults() }),
        worker(
            "rw_sys",
            SYS,
            99,
            RwMix { mode: RwHow::Writer, hold_us: 20, rest_ticks: 2, ..RwMix::defaults() },
        ),
        worker("rw_fx", FX, 10, RwMix { mode: RwHow::StarveWriter, hold_us: 40, ..RwMix::defaults() }),
        worker(
            "rw_fss",
            FSS,
            30,
            RwMix {
                mode: RwHow::Writer,
                hold_us: 20,
                nested: Nested::MutexInside,
                mutex: 3,
                ..RwMix::defaults()
            },
        ),
        worker("sema_fss", FSS, 29, SemaMix { hold_us: 50, ..SemaMix::defaults() }),
        worker("sema_ia", IA, 40, SemaMix { hold_us: 50, think_us: 10, ..SemaMix::defaults() }),
        worker("herd_call", TS, 50, CvHerd { part: Part::Caller, hold_us: 5, ..CvHerd::defaults() }),
        worker("herd_ts", TS, 10, CvHerd::defaults()),
        worker("herd_rt", RT, 0, CvHerd::defaults()),
        worker("timed", FX, 50, TimedWait { timeout_us: 700, ..TimedWait::defaults() }),
        worker("periodic_sdc", SDC, 98, Periodic { busy_us: 200, ..Periodic::defaults() }),
        worker("periodic_sys", SYS, 60, Periodic::defaults()),
        worker("ring", SYS, 99, SoftRing::defaults(IntrRef(0))),
        worker("ring_high", SYS, 98, SoftRing::defaults(IntrRef(3))),
        worker(
            "timeout_rt",
            SYS,
            61,
            TimeoutUser { delay_us: 900, run_us: 5, signal: 2, ..TimeoutUser::defaults() },
        ),
        worker(
            "timeout_n",
            SYS,
            62,
            TimeoutUser {
                table: Table::Normal,
                delay_us: 1500,
                run_us: 5,
                signal: 3,
                ..TimeoutUser::defaults()
            },
        ),
        worker("signal", SYS, 63, SignalWait { signal: 4, limit_us: 700, long_us: 2000 }),
        worker("pinned", TS, 0, Pinned { hold_us: 60, think_us: 40, ..Pinned::defaults() }),
        worker("spin_ts", TS, 10, Spin { mode: Mode::User, ..Spin::defaults() }),
        worker("spin_fss", FSS, 10, Spin { mode: Mode::User, ..Spin::defaults() }),
    ]
}

fn device(name: &str, cpu: u32, pil: u32, rate_hz: u64, cost_ns: u64, lock: i32) -> Interrupt {
    Interrupt { cost_ns, lock, ..Interrupt::named(name, cpu, pil, rate_hz) }
}

/// The machine and its load, with this seed's script.
fn load(seed: u64) -> Program {
    let mut p = Program::new(NCPUS)
        .tunable(tunable::HZ, 1000)
        .project("one", 1)
        .project("two", 3)
        .pset("a", 1 << 3)
        .pset("b", 0)
        .device(device("nic0", 0, 6, 1500, 2000, -1))
        .device(device("disk", 1, 9, 900, 8000, 3))
        .device(device("lock0", 2, 4, 700, 8000, 0))
        .device(device("high", 2, 12, 400, 1500, -1))
        .device(device("low", 1, 2, 500, 3000, 2));
    let mut draw = Draw(seed);
    for (n, values) in SETTINGS {
        p = p.tunable(*n, draw.of(values));
    }
    if draw.below(3) == 0 {
        p = p.topology(2, 1, 2);
    }
    let lgroups = draw.of(&[1, 2, 2, 4]);
    p = p.lgroups(lgroups);
    let workers = workers();
    let nthreads = workers.len() as u64;
    for (n, mut t) in workers.into_iter().enumerate() {
        t.project = n as u32 % 2;
        t.lgroup = draw.below(u64::from(lgroups) + 1) as i32 - 1;
        p = p.thread(t);
    }
    let mut at = 5 * MS;
    let mut caps = Draw(!seed);
    while at < EVENTS_UNTIL {
        p = random_event(p, at, nthreads, &mut draw);
        if caps.below(4) == 0 {
            let percent = caps.of(&[0, 1, 5, 30, 150]);
            let verb = caps.of(&[Verb::Cap, Verb::ZoneCap]);
            p = p.event(at, verb, caps.below(2) as u32, &[percent]);
        }
        at += draw.below(4 * MS);
    }
    undo(p, EVENTS_UNTIL, nthreads)
}

fn random_event(p: Program, at: u64, nthreads: u64, draw: &mut Draw) -> Program {
    let thread = draw.below(nthreads) as u32;
    let cpu = draw.below(u64::from(NCPUS)) as u32;
    match draw.below(16) {
        0..=2 => p.event(at, Verb::Offline, cpu, &[draw.below(2) as i64]),
        3..=4 => p.event(at, Verb::Online, cpu, &[]),
        5..=7 => {
            let to = draw.below(u64::from(NCPUS) + 1) as i64 - 1;
            let kind = draw.of(&[binding::AFFINITY, binding::HARD, binding::SOFT, binding::SOFT]);
            p.event(at, Verb::Bind, thread, &[to, i64::from(kind)])
        }
        8 => p.event(at, Verb::PsetAssign, cpu, &[draw.below(3) as i64]),
        9..=10 => p.event(at, Verb::PsetBind, thread, &[draw.below(3) as i64]),
        11..=13 => {
            let class = if u64::from(thread) < nthreads - 3 { draw.of(&[TS, IA, FX, FSS, RT]) } else { TS };
            let pri = if class == RT { draw.below(20) } else { draw.below(60) } as i64;
            p.event(at, Verb::Priocntl, thread, &[i64::from(class), pri])
        }
        14 => p.event(at, Verb::Pause, 0, &[20_000]),
        _ => {
            let upri = draw.below(41) as i64 - 20;
            p.event(at, Verb::Priocntl, thread, &[NO_CHANGE, NO_CHANGE, upri])
        }
    }
}

/// Puts every CPU online and everything into the default partition; no thread is bound or capped then.
fn undo(mut p: Program, at: u64, nthreads: u64) -> Program {
    for project in 0..2 {
        p = p.event(at, Verb::Cap, project, &[0]).event(at, Verb::ZoneCap, project, &[0]);
    }
    for t in 0..nthreads as u32 {
        p = p.event(at, Verb::Bind, t, &[-1, i64::from(binding::HARD)]);
        p = p.event(at, Verb::Bind, t, &[-1, i64::from(binding::AFFINITY)]);
        p = p.event(at, Verb::PsetBind, t, &[0]);
    }
    for cpu in 0..NCPUS {
        p = p.event(at, Verb::Online, cpu, &[]);
        p = p.event(at, Verb::PsetAssign, cpu, &[0]);
    }
    // Otherwise it might be preempted while it is weakly bound, and wait a second for its relief behind one of the other two.
    p = p.event(at, Verb::Priocntl, nthreads as u32 - 3, &[i64::from(FX), 60]);
    p
}

/// Checks facts 2.17, 1 to 4 and 8, of a queue. False if its lock is held: then it is not looked at.
fn check_queue(kernel: &Kernel, dp: &Disp, what: &str) -> bool {
    queue::check_queue(dp, what, |t, pri| check_waiting(kernel, dp, t, pri, what))
}

/// Checks that a thread on a queue belongs there, by its bindings and its partition.
fn check_waiting(kernel: &Kernel, dp: &Disp, t: &Kthread, pri: i32, what: &str) {
    let who = format!("{what}: thread {} {}", t.t_did, name(t));
    let bound = t.t_weakbound_cpu.get().or_else(|| t.t_bound_cpu.get());
    match (dp.disp_cpu.get(), bound) {
        (None, bound) => {
            assert!(bound.is_none(), "{who} is bound and on the kp queue");
            assert!(ptr::eq(&t.part().cp_kp_queue, dp), "{who} is on another partition's kp queue");
        }
        (Some(cp), Some(bound)) => {
            assert!(ptr::eq(cp, bound), "{who} waits for CPU {} but is bound", cp.cpu_id)
        }
        (Some(cp), None) => {
            assert!(t.part().has_online(cp), "{who} waits for CPU {}, not its partition's", cp.cpu_id);
            let is_low = pri < kernel.k_disp.kpqpri.get() || kernel.k_ncpus == 1;
            assert!(is_low, "{who} belongs on the kp queue");
        }
    }
}

/// Checks facts 2.17, 5, and that interrupt words agree with each other.
fn check_cpu(cp: &Cpu, what: &str) {
    let (active, base) = (cp.cpu_intr_actv.get(), u32::from(cp.cpu_base_spl.get()));
    assert!(
        base == 0 || active >> base & 1 == 1,
        "{what}: cpu {} base {base}, active {active:#x}",
        cp.cpu_id
    );
    let Some(t) = cp.cpu_thread.get().filter(|t| is_settled(cp, t)) else { return };
    let who = format!("{what}: thread {} {}", t.t_did, name(t));
    assert_eq!(i32::from(cp.cpu_dispatch_pri.get()), t.pri(), "{who}: cpu_dispatch_pri of cpu {}", cp.cpu_id);
    // A thread that has chosen itself keeps both until it goes on.
    let still_waits = t.t_mstate.get() == lms::WAIT_CPU;
    assert!(t.t_waitrq.get() == 0 || still_waits, "{who} runs and waits");
    assert!(t.t_disp_queue.is(&cp.cpu_disp) && t.t_cpu.is(cp), "{who} is elsewhere");
}

/// True if `t` was chosen here, runs, and no CPU is changing it: in transition its lock is not the CPU's.
fn is_settled(cp: &Cpu, t: &Kthread) -> bool {
    cp.cpu_dispthread.is(t)
        && t.t_state.get() == ts::ONPROC
        && t.t_lockp.is(&cp.cpu_thread_lock)
        && !cp.cpu_thread_lock.is_held()
}

/// Checks that a thread inherits only from waiters: `t_epri` is the best of `t_prioinv`, as far as that can be read now.
fn check_inheritance(t: &Kthread, what: &str) {
    if t.lockp().is_held() || t.t_state.get() == ts::FREE {
        return;
    }
    let mut best = 0;
    let mut at = t.t_prioinv.get();
    while let Some(ts) = at {
        assert!(ts.ts_inheritor.is(t), "{what}: thread {} {} inherits another's", t.t_did, name(t));
        best = best.max(ts.ts_epri.get());
        at = ts.ts_prioinv.get();
    }
    // A priority is lent only if it was better than t_pri then, so the record may be more than t_epri, never less.
    assert!(
        t.t_epri.get() <= best,
        "{what}: thread {} {} has {} of {best}",
        t.t_did,
        name(t),
        t.t_epri.get()
    );
}

/// Checks that a home is of the thread's partition and has a CPU, unless the partition has none.
fn check_home(kernel: &Kernel, t: &Kthread, what: &str) {
    let who = format!("{what}: thread {} {}", t.t_did, name(t));
    let home = t.lpl();
    assert!(
        kernel.lpls_of(t.part()).iter().any(|lpl| ptr::eq(lpl, home)),
        "{who} lives in another partition"
    );
    assert!(home.lpl_ncpu.get() != 0 || t.part().cp_ncpus.get() == 0, "{who} lives where no CPU is");
}

fn check(kernel: &Kernel, what: &str) -> bool {
    if !kernel.k_cpu_ops.pause.cp_paused.is_null() {
        // The script is moving a CPU and every thread on it.
        return false;
    }
    let mut is_all = true;
    for part in kernel.partitions() {
        is_all &= check_queue(kernel, &part.cp_kp_queue, &format!("{what} kp {}", part.cp_id));
    }
    for cp in &kernel.k_cpus {
        is_all &= check_queue(kernel, &cp.cpu_disp, &format!("{what} cpu {}", cp.cpu_id));
        check_cpu(cp, what);
    }
    for t in kernel.threads() {
        check_inheritance(t, what);
    }
    for t in kernel.scenario_threads() {
        check_home(kernel, t, what);
    }
    let running: Vec<*const Kthread> =
        kernel.k_cpus.iter().filter_map(|c| c.cpu_thread.get()).map(ptr::from_ref).collect();
    for (n, t) in running.iter().enumerate() {
        assert!(!running[..n].contains(t), "{what}: one thread on two CPUs");
    }
    is_all
}

/// CPUs with the threads that may not run there; one that stays there shows a binding that the kernel does not enforce.
fn misplaced(kernel: &Kernel) -> Vec<(u32, u32)> {
    let is_wrong = |cp: &Cpu, t: &Kthread| {
        let bound = t.t_weakbound_cpu.get().or_else(|| t.t_bound_cpu.get());
        bound.map_or_else(|| !t.part().has_online(cp), |b| !ptr::eq(b, cp))
            && t.t_role.get() == role::SCENARIO
    };
    let of = |cp: &Cpu| {
        cp.cpu_thread.get().filter(|t| is_settled(cp, t) && is_wrong(cp, t)).map(|t| (cp.cpu_id, t.t_did))
    };
    kernel.k_cpus.iter().filter_map(of).collect()
}

/// What every CPU and thread does, for a failure's text.
fn picture(kernel: &Kernel) -> String {
    let mut text = String::new();
    for cp in &kernel.k_cpus {
        text += &format!(
            "cpu {} flags {:#x} thread {:?} disp {:?} pri {} base {} actv {:#x} runq {} kprunrun {}\n",
            cp.cpu_id,
            cp.cpu_flags.get(),
            cp.cpu_thread.get().map(|t| t.t_did),
            cp.cpu_dispthread.get().map(|t| t.t_did),
            cp.cpu_dispatch_pri.get(),
            cp.cpu_base_spl.get(),
            cp.cpu_intr_actv.get(),
            cp.cpu_disp.disp_nrunnable.get(),
            cp.cpu_kprunrun.get(),
        );
    }
    for t in kernel.k_threads.iter().filter(|t| !matches!(t.t_state.get(), ts::FREE | ts::STOPPED)) {
        text += &format!(
            "{} {:12} state {:#x} class {} pri {} epri {} cpu {} part {} bound {:?} sobj {} progress {} preempt {}\n",
            t.t_did,
            name(t),
            t.t_state.get(),
            t.t_cid.get(),
            t.t_pri.get(),
            t.t_epri.get(),
            t.t_cpu.get().map_or(99, |c| c.cpu_id),
            t.t_cpupart.get().map_or(99, |p| p.cp_id),
            t.t_bound_cpu.get().map(|c| c.cpu_id),
            t.t_sobj.get(),
            t.t_progress.get(),
            t.t_preempt.get(),
        );
    }
    for (n, e) in kernel
        .k_events
        .iter()
        .enumerate()
        .filter(|(_, e)| e.ev_began_ns.get() != 0 && e.ev_ended_ns.get() == 0)
    {
        text += &format!("event {n} verb {} target {} has not ended\n", e.ev_verb.get(), e.ev_target.get());
    }
    text
}

/// Runs to a time, and shows the machine if it ends before that.
fn run(sim: &mut Bench, to: u64) {
    let state = sim.run_until(to);
    assert_eq!(state, SimState::Running, "seed {}\n{}", sim.seed, picture(sim.kernel()));
}

fn look_until(sim: &mut Bench, from: u64, to: u64, step: u64, what: &str) -> u32 {
    let mut looks = 0;
    let mut suspects = Vec::new();
    let mut now = from;
    while now < to {
        now += step;
        run(sim, now);
        let kernel = sim.kernel();
        looks += u32::from(check(kernel, &format!("{what} at {now}")));
        let wrong = misplaced(kernel);
        if let Some(both) = wrong.iter().find(|w| suspects.contains(*w)) {
            panic!("{what} at {now}: CPU and thread {both:?} do not belong together\n{}", picture(kernel));
        }
        suspects = wrong;
    }
    looks
}

/// Everybody's work in turns, the callouts' included.
fn progress(kernel: &Kernel) -> Vec<u64> {
    let mut all: Vec<u64> = kernel.scenario_threads().iter().map(|t| t.t_progress.get()).collect();
    all.extend(kernel.k_intr.devices.iter().map(|d| d.dev_count.get()));
    all
}

fn is_script_over(kernel: &Kernel) -> bool {
    kernel.k_events.last().is_some_and(|e| e.ev_ended_ns.get() != 0)
}

fn stress(seed: u64) {
    let what = format!("seed {seed}");
    let mut sim = load(seed).boot(seed);
    let mut now = 0;
    let mut looks = 0;
    while !is_script_over(sim.kernel()) {
        assert!(now < CALM, "{what}: the script hangs\n{}", picture(sim.kernel()));
        looks += look_until(&mut sim, now, now + 20 * MS, MS / 2, &what);
        now += 20 * MS;
    }
    assert!(looks > 100, "{what}: only {looks} looks found every lock free");
    let kernel = sim.kernel();
    assert!(
        kernel.k_cpus.iter().all(|cp| cp.cpu_flags.get() & (flag::OFFLINE | flag::QUIESCED) == 0),
        "{what}"
    );
    let before = progress(kernel);
    run(&mut sim, now + TURN);
    let kernel = sim.kernel();
    let after = progress(kernel);
    let lost: Vec<usize> = (0..before.len()).filter(|&n| after[n] == before[n]).collect();
    assert!(lost.is_empty(), "{what}: {lost:?} (threads, then devices) do not get on\n{}", picture(kernel));
    let ticks = kernel.k_clock.clock_ticks.get();
    let due = (now + TURN) / MS;
    assert!((due - 20..=due + 1).contains(&ticks), "{what}: {ticks} ticks of {due}");
}

#[test]
fn whole_kernel_under_a_random_script_loses_nobody_and_keeps_its_invariants() {
    let only = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    side_by_side::for_each(only.map_or(0..100, |s: u64| s..s + 1), stress);
}
