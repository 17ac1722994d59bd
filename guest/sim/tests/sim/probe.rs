//! The sched provider's probes: every one fires, with the arguments that it promises, in the order of its CPU's time.
//!
//! # Invariants
//! - Events are judged by their order for each thread and each CPU, not by the kernel's words.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use umpire_shared::work::compute::{Mode, Periodic, Spin};
use umpire_shared::work::levels::PilHold;
use umpire_shared::work::locks::LockChain;

use crate::bench::streams::{PLAIN, Proc, QUEUED, boot, hook, program, stream, tagged};
use crate::bench::{MS, Program, load, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::streams::allocb::freemsg;
use umpire_kernel::streams::putnext::putnext;
use umpire_kernel::streams::putq::{getq, putq};
use umpire_kernel::streams::queue::Queue;
use umpire_kernel::streams::strlock::{freezestr, unfreezestr};
use umpire_kernel::taskq::{TQ_SLEEP, TaskFunc, taskq_create, taskq_dispatch, taskq_wait, tqflag};
use umpire_kernel::time::callout::sleep_until;
use umpire_kernel::time::cyclic::handler;
use umpire_shared::errno;
use umpire_shared::event::{Kind, cause, queue_cpu, raised_of, set_of, why};
use umpire_shared::program::Verb;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::sys::cpuvar::flag;
use umpire_shared::tunable;
use umpire_sim::TraceRecord;

fn trace_of(program: Program, seed: u64) -> Vec<TraceRecord> {
    let mut sim = program.traced().boot(seed);
    sim.run_until_ok(50 * MS);
    sim.take_trace()
}

/// A project at its cap.
fn capped() -> Program {
    let t = thread("capped", TS, 20, -1, Spin { mode: Mode::User, ..Spin::defaults() });
    Program::new(1).tunable(tunable::HZ, 1000).project("capped", 1).cap(10).thread(t)
}

/// An owner of a mutex that a better thread wants, and a level that is held over several ticks.
fn held_up() -> Program {
    let low = LockChain { hold_us: 3000, rest_ticks: 0, ..LockChain::defaults() };
    let high = LockChain { hold_us: 100, after_us: 1000, ..LockChain::defaults() };
    let hold = PilHold { pil: 10, hold_us: 5000, times: 3, ..PilHold::defaults() };
    Program::new(3)
        .tunable(tunable::HZ, 1000)
        .thread(thread("low", TS, 0, 0, low))
        .thread(thread("high", SYS, 99, 1, high))
        .thread(thread("hold", SYS, 60, 0, hold))
}

/// A task of a static queue and one of a dynamic queue.
fn tasks() -> Vec<TraceRecord> {
    static NOTHING: TaskFunc = TaskFunc(|_| ());
    let main = thread("main", SYS, 60, -1, Spin::defaults());
    let program = Program::new(2).pool(48).tunable(tunable::HZ, 1000).thread(main);
    let mut sim = program.traced().boot(1);
    let first = sim.kernel().k_ncpus;
    sim.run_instead(move |t| {
        if t.t_did != first {
            return false;
        }
        for kind in [0, tqflag::DYNAMIC] {
            let tq = taskq_create("tasks", 1, 60, 4, 8, tqflag::PREPOPULATE | kind);
            taskq_dispatch(tq, &NOTHING, 0, TQ_SLEEP);
            taskq_wait(tq);
        }
        sleep_until(u64::MAX / 2);
        true
    });
    sim.run_until_ok(100 * MS);
    sim.take_trace()
}

/// A CPU that goes offline and comes back, by events of which another one fails.
fn scripted() -> Program {
    Program::new(3)
        .thread(thread("idler", TS, 20, -1, Spin::defaults()))
        .event(10 * MS, Verb::Offline, 2, &[])
        .event(11 * MS, Verb::Offline, 9, &[])
        .event(12 * MS, Verb::Online, 2, &[])
}

/// Messages to a driver with a service procedure, some of them while the stream is frozen.
fn messages() -> Vec<TraceRecord> {
    hook(|at, proc, qp, mp| match (at, proc, mp) {
        (1, Proc::Wput, Some(mp)) => assert!(putq(qp, mp)),
        (_, _, Some(mp)) => putnext(qp, mp),
        (1, Proc::Wsrv, None) => std::iter::from_fn(|| getq(qp)).for_each(freemsg),
        _ => {}
    });
    let head: Rc<RefCell<Option<&'static Queue>>> = Rc::default();
    let mut sim = boot(&program(2, &[(60, 0), (60, 1)]).traced(), 1, move |n| {
        if n == 0 {
            let wq = stream(&[&PLAIN, &QUEUED]).wrq();
            *head.borrow_mut() = Some(wq);
            putnext(wq, tagged(0, 0));
            freezestr(wq.stream());
            sleep_until(3 * MS);
            unfreezestr(wq.stream());
            return;
        }
        sleep_until(2 * MS);
        putnext(head.borrow().expect("the stream is there"), tagged(1, 0));
    });
    sim.run_until_ok(10 * MS);
    sim.take_trace()
}

#[test]
fn message_that_is_parked_is_drained_and_then_put() {
    let trace = messages();
    let parked = trace.iter().position(|e| e.kind == Kind::StrPark).expect("the stream was frozen");
    let of_it = trace[parked..].iter().filter(|e| e.arg == trace[parked].arg).map(|e| e.kind);
    let told: Vec<Kind> = of_it.take(3).collect();
    assert_eq!(told, [Kind::StrPark, Kind::StrDrain, Kind::StrPut]);
}

#[test]
fn events_and_the_states_of_cpus_are_told_in_their_order() {
    let kinds = [Kind::EventBegin, Kind::EventEnd, Kind::CpuState];
    let story: Vec<(Kind, u64, u64)> = trace_of(scripted(), 1)
        .iter()
        .filter(|e| kinds.contains(&e.kind))
        .map(|e| (e.kind, e.arg >> 32, e.arg & u64::from(u32::MAX)))
        .collect();
    let up = u64::from(flag::RUNNING | flag::READY | flag::EXISTS | flag::ENABLE);
    let down = u64::from(flag::RUNNING | flag::READY | flag::EXISTS | flag::OFFLINE | flag::QUIESCED);
    let expected = [
        (Kind::EventBegin, 0, 0),
        (Kind::CpuState, 2, down),
        (Kind::EventEnd, 0, 0),
        (Kind::EventBegin, 0, 1),
        (Kind::EventEnd, errno::EINVAL.into(), 1),
        (Kind::EventBegin, 0, 2),
        (Kind::CpuState, 2, up),
        (Kind::EventEnd, 0, 2),
    ];
    assert_eq!(story, expected);
}

#[test]
fn priority_is_set_for_a_reason_and_a_flag_raised_for_one() {
    let mut causes = HashSet::new();
    let mut whys = HashSet::new();
    let mut sim = load::mixed(2).traced().boot(1);
    sim.run_until_ok(300 * MS);
    let mut pri: HashMap<u32, i32> = HashMap::new();
    for e in sim.take_trace() {
        match e.kind {
            Kind::SetPri => {
                let (to, cause) = set_of(e.arg);
                assert_ne!(
                    pri.insert(e.thread, to),
                    Some(to),
                    "told of who has it already, at {}",
                    e.time_ns
                );
                causes.insert(cause);
            }
            Kind::RunrunRaise | Kind::KprunrunRaise => {
                let (cpu, why, for_pri) = raised_of(e.arg);
                assert!(cpu < 2, "no such CPU, at {}", e.time_ns);
                assert_eq!(why == why::ENQUEUE, for_pri >= 0 && why != why::SURRENDER, "at {}", e.time_ns);
                whys.insert(why);
            }
            _ => {}
        }
    }
    assert!(causes.contains(&cause::TICK), "{causes:?}");
    assert!(whys.contains(&why::ENQUEUE) && whys.contains(&why::SURRENDER), "{whys:?}");
}

#[test]
fn high_level_interrupts_nest_and_end_on_the_cpu_where_they_began() {
    for seed in 0..4 {
        let mut open: HashMap<u32, Vec<u64>> = HashMap::new();
        let mut high = 0;
        for e in trace_of(held_up(), seed) {
            let levels = open.entry(e.cpu).or_default();
            match e.kind {
                Kind::IntrBegin => {
                    assert!(levels.last().is_none_or(|below| *below < e.arg), "seed {seed} at {}", e.time_ns);
                    high += u32::from(e.arg > 10);
                    levels.push(e.arg);
                }
                Kind::IntrEnd => assert_eq!(levels.pop(), Some(e.arg), "seed {seed} at {}", e.time_ns),
                _ => {}
            }
        }
        assert!(high > 50, "seed {seed}: {high}");
    }
}

#[test]
fn callouts_are_no_earlier_than_they_were_due() {
    let sleeper = Periodic { busy_us: 50, sleep_ticks: 1, ..Periodic::defaults() };
    let program = Program::new(1).tunable(tunable::HZ, 1000).thread(thread("sleeper", SYS, 60, 0, sleeper));
    let trace = trace_of(program, 1);
    let late: Vec<u64> = trace.iter().filter(|e| e.kind == Kind::CalloutStart).map(|e| e.arg).collect();
    let ended = trace.iter().filter(|e| e.kind == Kind::CalloutEnd).count();
    assert!(late.len() > 20 && late.len() - ended <= 1, "{} began, {ended} ended", late.len());
    // A normal callout waits for a thread of `callout_taskq`, and a machine with nothing else to do has one at once.
    assert!(late.iter().all(|&ns| ns < MS), "{late:?}");
}

#[test]
fn every_probe_fires_in_a_mixed_load() {
    let mut seen = HashSet::new();
    // This is long enough for the quantum of a low priority to end: a priority changes only then.
    let mut sim = load::mixed(2).traced().boot(1);
    sim.run_until_ok(300 * MS);
    seen.extend(sim.take_trace().iter().map(|e| e.kind.name()));
    for seed in 0..4 {
        seen.extend(trace_of(bursty(), seed).iter().map(|e| e.kind.name()));
    }
    seen.extend(trace_of(held_up(), 1).iter().map(|e| e.kind.name()));
    seen.extend(trace_of(capped(), 1).iter().map(|e| e.kind.name()));
    seen.extend(tasks().iter().map(|e| e.kind.name()));
    seen.extend(trace_of(scripted(), 1).iter().map(|e| e.kind.name()));
    seen.extend(messages().iter().map(|e| e.kind.name()));
    for number in 1.. {
        let Some(kind) = Kind::from_number(number) else { break };
        assert!(seen.contains(kind.name()), "{} never fired", kind.name());
    }
}

#[test]
fn nothing_is_recorded_or_counted_unless_somebody_wants_it() {
    let mut sim = load::mixed(2).boot(1);
    sim.run_until_ok(50 * MS);
    assert!(sim.take_trace().is_empty());
    assert!(sim.kernel().k_cpus.iter().all(|cp| cp.cpu_stats.dtrace_probes.get() == 0));
}

#[test]
fn off_cpu_names_the_thread_that_is_on_cpu_next() {
    for seed in 0..8 {
        let ncpus = 1 + seed as u32 % 4;
        let trace = trace_of(load::mixed(ncpus), seed);
        for cpu in 0..ncpus {
            let mut own = trace.iter().filter(|e| e.cpu == cpu);
            let mut time = 0;
            let mut next = None;
            let story = own.all(|e| {
                let is_later = e.time_ns >= time;
                time = e.time_ns;
                let follows = match e.kind {
                    Kind::OffCpu => next.replace(e.arg).is_none(),
                    Kind::OnCpu => next.take().is_none_or(|did| did == u64::from(e.thread)),
                    _ => true,
                };
                is_later && follows
            });
            assert!(story, "seed {seed} CPU {cpu} at {time}");
        }
    }
}

#[test]
fn no_thread_is_on_cpu_before_it_is_off_the_other() {
    for seed in 0..8 {
        let mut at: HashMap<u32, (u32, u64)> = HashMap::new();
        for e in trace_of(load::mixed(4), seed) {
            match e.kind {
                Kind::OnCpu => {
                    let before = at.insert(e.thread, (e.cpu, e.time_ns));
                    assert_eq!(before, None, "seed {seed}: thread {} at {}", e.thread, e.time_ns);
                }
                Kind::OffCpu => _ = at.remove(&e.thread),
                _ => {}
            }
        }
    }
}

#[test]
fn a_thread_is_dequeued_from_the_queue_that_it_was_put_on() {
    for seed in 0..8 {
        let mut on: HashMap<u32, u64> = HashMap::new();
        let (mut pairs, mut kp) = (0, 0);
        for e in trace_of(load::mixed(1 + seed as u32 % 4), seed) {
            match e.kind {
                Kind::Enqueue => {
                    let before = on.insert(e.thread, e.arg >> 32);
                    assert_eq!(before, None, "seed {seed}: thread {} is queued twice", e.thread);
                    kp += u32::from(queue_cpu(e.arg).is_none());
                }
                Kind::Dequeue => {
                    assert_eq!(on.remove(&e.thread), Some(e.arg >> 32), "seed {seed}: thread {}", e.thread);
                    pairs += 1;
                }
                _ => {}
            }
        }
        assert!(pairs > 100, "seed {seed}: {pairs} pairs");
        // With one CPU the partition's queue is not used.
        assert_eq!(kp > 0, seed % 4 != 0, "seed {seed}: {kp} on the kp queue");
    }
}

#[test]
fn who_sleeps_is_woken_before_it_sleeps_again() {
    for seed in 0..8 {
        let mut asleep = HashSet::new();
        let mut wakeups = 0;
        for e in trace_of(load::mixed(2), seed) {
            match e.kind {
                Kind::Sleep => assert!(asleep.insert(e.thread), "seed {seed}: thread {}", e.thread),
                // A timeout takes a sleeper off its queue without the probe: the sleeper is then seen on a run queue.
                Kind::Wakeup => {
                    assert!(asleep.contains(&e.thread), "seed {seed}: thread {} was awake", e.thread);
                    wakeups += 1;
                }
                Kind::Enqueue => _ = asleep.remove(&e.thread),
                _ => {}
            }
        }
        assert!(wakeups > 50, "seed {seed}: {wakeups}");
    }
}

/// LWPs that compute for some milliseconds and sleep for some ticks, so that one CPU idles while another has a queue.
fn bursty() -> Program {
    let mut p = Program::new(3).tunable(tunable::NOSTEAL_NSEC, 500_000);
    for n in 0..8 {
        let t = thread(
            "bursty",
            TS,
            20 + n,
            -1,
            Periodic {
                busy_us: 1000 + 1300 * n as u64,
                sleep_ticks: 1 + n as u64 % 3,
                ..Periodic::defaults()
            },
        );
        p = p.thread(t);
    }
    p
}

#[test]
fn flags_are_raised_before_they_are_taken_and_cleared_once_each_time() {
    for seed in 0..8 {
        let mut is_set = [[false; 2]; 4];
        let (mut raised, mut taken, mut cleared) = (0, 0, 0);
        for e in trace_of(load::mixed(1 + seed as u32 % 4), seed) {
            let flag =
                usize::from(matches!(e.kind, Kind::KprunrunRaise | Kind::KprunrunClear | Kind::KprunrunTake));
            let Some(of_cpu) = is_set.get_mut(e.arg as u32 as usize) else { continue };
            let is_set = &mut of_cpu[flag];
            match e.kind {
                // Two CPUs may raise a flag at a time.
                Kind::RunrunRaise | Kind::KprunrunRaise => {
                    *is_set = true;
                    raised += 1;
                }
                Kind::RunrunTake | Kind::KprunrunTake => {
                    assert_eq!(e.arg, u64::from(e.cpu), "seed {seed}: another CPU's flag at {}", e.time_ns);
                    assert!(*is_set, "seed {seed}: taken and not raised at {}", e.time_ns);
                    taken += 1;
                }
                Kind::RunrunClear | Kind::KprunrunClear => {
                    assert_eq!(e.arg, u64::from(e.cpu), "seed {seed}: another CPU's flag at {}", e.time_ns);
                    *is_set = false;
                    cleared += 1;
                }
                _ => {}
            }
        }
        assert!(raised > 20 && taken > 10 && cleared > 20, "seed {seed}: {raised} {taken} {cleared}");
    }
}

#[test]
fn what_is_lent_is_given_back_by_who_releases() {
    let trace = trace_of(held_up(), 1);
    let low = 3;
    let of_low = trace.iter().filter(|e| e.thread == low);
    let story: Vec<(Kind, u64)> = of_low
        .filter(|e| matches!(e.kind, Kind::ChangeEpri | Kind::Release))
        .map(|e| (e.kind, e.arg))
        .collect();
    assert!(story.len() >= 9, "{story:?}");
    for turn in story.chunks_exact(3) {
        assert_eq!(turn, [(Kind::ChangeEpri, 99), (Kind::Release, 1), (Kind::ChangeEpri, 0)]);
    }
}

#[test]
fn tick_that_was_held_off_is_replayed() {
    let trace = trace_of(held_up(), 1);
    let count = |kind| trace.iter().filter(|e| e.kind == kind && e.arg == u64::from(handler::CLOCK)).count();
    let (fired, replayed) = (count(Kind::CyclicFire), count(Kind::CyclicReplay));
    assert!(replayed >= 6, "{replayed} replayed");
    assert!((48..=50).contains(&(fired + replayed)), "{fired} fired, {replayed} replayed");
}

#[test]
fn nosteal_says_from_whom_and_how_young_and_never_fires_without_the_rule() {
    for (nosteal_ns, fires) in [(500_000, true), (0, false)] {
        let mut count = 0;
        for seed in 0..8 {
            let p = bursty().tunable(tunable::NOSTEAL_NSEC, nosteal_ns);
            for e in trace_of(p, seed).iter().filter(|e| e.kind == Kind::NoSteal) {
                let (victim, age) = (e.arg >> 32, e.arg & u64::from(u32::MAX));
                assert!(victim < 3 && victim != u64::from(e.cpu), "seed {seed}: {} robs {victim}", e.cpu);
                assert!(age as i64 <= nosteal_ns, "seed {seed}: {age} ns");
                count += 1;
            }
        }
        assert_eq!(count > 0, fires, "{count} with nosteal_nsec {nosteal_ns}");
    }
}
