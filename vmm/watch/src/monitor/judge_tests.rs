//! Tests of all monitors together: what a recording says when it is judged again, and what a pass allocates.
//!
//! # Invariants
//! - Queues, names and stacks come from a fake guest's memory through the glass; what its CPUs do is written into the
//!   snapshots by hand.

use allocation_counter::measure;
use umpire_shared::sys::cpuvar::{disp_flag, flag};
use umpire_shared::sys::cyclic::{CY_LOCK_LEVEL, handler};
use umpire_shared::sys::sobject::sobj;
use umpire_shared::sys::thread::ts;

use super::*;
use crate::glass::fake::FakeKernel;
use crate::glass::{CacheSample, StreamSample};
use crate::glass::{CyclicSample, OwnerSample, ThreadTime, WorkerSample};
use crate::monitor::bench::MS;
use crate::monitor::gap::Clocks;
use crate::monitor::{Excuse, Promise, Takes};

const NTHREADS: u32 = 12;

/// Three CPUs. Threads 0, 3 and 6, which run, were on a queue before and have names from there.
fn guest() -> FakeKernel {
    let kernel = FakeKernel::new(3, NTHREADS);
    kernel.fill(Some(1), &[(5, 99), (3, 20), (6, 10), (0, 0)]);
    kernel.fill(Some(0), &[(4, 10)]);
    kernel.fill(Some(1), &[(5, 99)]);
    kernel.fill(None, &[(7, 60)]);
    kernel
}

/// A bound of every monitor. What a promise is about is off by more than `limit_ns` of each window.
pub(super) fn bounds(limit_ns: u64) -> Vec<BoundSpec> {
    let promise = Promise {
        tolerance_percent: if limit_ns == u64::MAX { 100 } else { 5 },
        window_ns: 10 * MS,
        duty_percent: Some(50),
    };
    let bound = |monitor: MonitorKind| match monitor.declaration().takes {
        Takes::Limit => BoundSpec { monitor, threads: None, limit_ns, promise: None, is_standing: false },
        Takes::Promise => BoundSpec {
            monitor,
            threads: None,
            limit_ns: promise.limit_ns(),
            promise: Some(promise),
            is_standing: false,
        },
    };
    MonitorKind::ALL.map(bound).into()
}

/// What pass `n` sees: until pass 60 nearly every rule is broken. CPU 0 idles beside work and keeps the clock, CPU 1 runs thread
/// 3 while better ones wait, CPU 2 runs thread 6, which it was asked to take off. After that no rule is.
fn pass(sampler: &mut Sampler, n: u64) -> Snapshot {
    let readings = [CpuReading { ran_ns: n * MS, ..CpuReading::default() }; 3];
    let seen = sampler.pass(&readings, n * MS).expect("invariant: the fake kernel's root is right");
    let mut seen = seen.expect("invariant: the fake kernel is up").clone();
    let arena = seen.arena.expect("invariant: the fake kernel is up");
    seen.lbolt = n;
    seen.kpreemptpri = 60;
    for (cpu, idle) in seen.cpus.iter_mut().zip(0..) {
        (cpu.id, cpu.idle_thread) = (idle, arena.address_of(idle));
        (cpu.thread, cpu.dispthread, cpu.dispatch_pri) = (cpu.idle_thread, cpu.idle_thread, -1);
    }
    if n >= 60 {
        seen.clock_ticks = n;
        seen.kpreemptpri = 100;
        seen.cpus.iter_mut().for_each(|cpu| {
            cpu.disp_flags = disp_flag::HALTED;
            cpu.queue.threads.clear();
        });
        return seen;
    }
    for (cpu, thread, pri) in [(1, 3, 20), (2, 6, 10)] {
        let cpu = &mut seen.cpus[cpu];
        (cpu.thread, cpu.dispthread, cpu.dispatch_pri) =
            (arena.address_of(thread), arena.address_of(thread), pri);
        cpu.runner.index = Some(thread);
    }
    seen.cpus[0].dispthread = arena.address_of(3);
    seen.cpus[1].runner.waitrq = 7;
    seen.cpus[2].kprunrun = true;
    seen.cpus[1].flags = flag::READY;
    seen.cpus[1].interrupts.pending = 1 << 14;
    seen.cpus[1].spin_for = 0x500;
    seen.cpus[1].interrupts.pokes = n;
    seen.cpus[2].cyclics = vec![CyclicSample {
        slot: 2,
        handler: handler::CLOCK,
        level: CY_LOCK_LEVEL,
        pend: 3,
        ..CyclicSample::default()
    }];
    seen.kps[0].nrunnable += 1;
    seen.owners = vec![OwnerSample {
        turnstile: 3,
        sobj: 0x500,
        kind: sobj::MUTEX,
        owner: Some(6),
        owner_pri: 10,
        owner_own: 10,
        waiter: 5,
        waiter_pri: 60,
        waiter_own: 60,
        waiter_cpu: seen.cpus[1].addr,
    }];
    // Thread 3 inherits what nobody lends, and is bound to another CPU.
    seen.workers =
        vec![WorkerSample { index: 3, state: ts::ONPROC, epri: 20, pri: 20, ..WorkerSample::default() }];
    seen.cpus[1].placement.bound = Some(2);
    seen.accounts[3].since_ns = n * MS;
    seen.has_times = true;
    seen.times = vec![ThreadTime { cpu: seen.cpus[1].addr, ..ThreadTime::default() }; NTHREADS as usize];
    seen.times[3].ran_ns = n * MS;
    seen.times[5].waited_ns = n * MS;
    // A stream that delivers what it gets, and a thread with room on its stack.
    seen.streams =
        vec![StreamSample { head: 0x900, sent: n, delivered: n, is_whole: true, ..StreamSample::default() }];
    // A cache that has buffers.
    seen.caches = vec![CacheSample { addr: 0x5000, name: umpire_shared::pack_name("busy"), buftotal: 10 }];
    (seen.solo_entries, seen.stacks_seen) = (n, 1);
    seen
}

/// A pass, and what was asked for and taken in it.
type Recorded = (Snapshot, Vec<(Exhibits, Evidence)>);

#[test]
fn a_recording_that_is_judged_again_without_a_glass_gives_the_same_findings_and_sentences() {
    let kernel = guest();
    let glass = kernel.glass();
    let mut live = Bounds::new(bounds(20 * MS));
    let mut sampler = Sampler::new(Arc::clone(&glass), live.needs());
    let mut recording: Vec<Recorded> = Vec::new();
    let mut said_at_once = vec![String::new(); MonitorKind::ALL.len()];
    for n in 1..100 {
        let seen = pass(&mut sampler, n);
        let mut taken = Vec::new();
        let is_broken = live.observe(&seen, |exhibits| {
            let evidence = Evidence::take(&glass, &seen, exhibits);
            taken.push((exhibits.clone(), evidence.clone()));
            evidence
        });
        assert_eq!(is_broken, !taken.is_empty());
        for finding in live.findings(&seen).into_iter().filter(|f| f.violated_at_ns == Some(seen.now_ns)) {
            said_at_once[finding.bound] = finding.sentence;
        }
        recording.push((seen, taken));
    }
    let (last, _) = recording.last().expect("invariant: passes were recorded").clone();
    let findings = live.findings(&last);
    drop((live, sampler, glass, kernel));

    let mut again = Bounds::new(bounds(20 * MS));
    for (seen, taken) in recording {
        let mut taken = taken.into_iter();
        again.observe(&seen, |exhibits| {
            let (asked, evidence) = taken.next().expect("no breach that the recording has not");
            assert_eq!(*exhibits, asked);
            evidence
        });
        assert_eq!(taken.next(), None, "every breach that the recording has");
    }

    assert_eq!(again.findings(&last), findings);
    let said: Vec<_> = findings.iter().map(|finding| finding.sentence.clone()).collect();
    assert_eq!(said, said_at_once, "a sentence is the same whenever it is made");
    let broken: Vec<_> = findings.iter().filter(|finding| !finding.held).collect();
    assert!(broken.len() >= 16, "what the recording shows: {broken:?}");
    for finding in broken {
        assert!(!finding.sentence.is_empty(), "{finding:?}");
        assert!(!finding.sentence.contains("unknown thread"), "{}", finding.sentence);
        assert!(finding.picture.is_some(), "{finding:?}");
    }
    let waits =
        "worker/4 (SYS 10, bound to cpu 0) waited 21.0 ms of cpu 0's own time behind its idle thread: ";
    assert!(said[0].starts_with(waits), "{}", said[0]);
    let runs = "cpu 1 ran worker/3 (SYS 20, bound to cpu 1) for 21.0 ms of its own time although worker/5 ";
    assert!(said.iter().any(|sentence| sentence.starts_with(runs)), "{said:#?}");
}

#[test]
fn every_monitor_judges_something_of_a_busy_guest_and_nothing_of_one_in_which_nothing_is() {
    let glass = guest().glass();
    let mut busy = Bounds::new(bounds(u64::MAX));
    let mut sampler = Sampler::new(glass, busy.needs());
    let passes: Vec<Snapshot> = (1..50).map(|n| pass(&mut sampler, n)).collect();
    let mut empty = Bounds::new(bounds(u64::MAX));
    for seen in &passes {
        busy.observe(seen, |_| Evidence::default());
        let bare = Snapshot { seq: seen.seq, now_ns: seen.now_ns, has_times: true, ..Snapshot::default() };
        empty.observe(&bare, |_| Evidence::default());
    }

    for (busy, empty) in busy.findings(&passes[0]).iter().zip(empty.findings(&passes[0])) {
        assert!(!busy.judged.is_nothing(), "{:?} judged nothing of a busy guest", busy.monitor);
        assert!(empty.judged.is_nothing(), "{:?} judged {:?} of nothing", empty.monitor, empty.judged);
    }
}

/// What breaks in 30 passes of which half come before 1.6 s in which nobody looked while wall time, the vCPUs and the guest's clocks
/// ran on. `clocks` are the judge's, or none if the gap is to be seen as time like any other.
fn broken_around_a_gap(mut clocks: Option<Clocks>) -> (Vec<MonitorKind>, u64) {
    let glass = guest().glass();
    let mut bounds = Bounds::new(bounds(100 * MS));
    let mut sampler = Sampler::new(glass, bounds.needs());
    for n in 1..=30 {
        let mut seen = pass(&mut sampler, n);
        let at_ns = (if n > 15 { n + 1600 } else { n }) * MS;
        // Nothing is wrong with the shares of a window that was seen.
        seen.times[3].ran_ns = n * MS / 2 + (at_ns - n * MS);
        seen.times[3].waited_ns = n * MS / 2;
        seen.times[5].ran_ns = n * MS / 2;
        seen.times[5].waited_ns = n * MS / 2 + (at_ns - n * MS);
        let readings = [CpuReading { ran_ns: at_ns, ..CpuReading::default() }; 3];
        (seen.now_ns, seen.readings) = (at_ns, readings.to_vec());
        if let Some(clocks) = &mut clocks {
            if clocks.step(&readings, at_ns) {
                bounds.skip();
            }
            (seen.now_ns, seen.readings) = (clocks.now_ns(), clocks.readings().to_vec());
        }
        bounds.observe(&seen, |_| Evidence::default());
    }
    let broken = MonitorKind::ALL.into_iter().filter(|&kind| bounds.has_broken(kind)).collect();
    (broken, bounds.excuses().count(Excuse::SamplingGap))
}

#[test]
fn a_gap_in_sampling_is_charged_to_nobody_by_any_monitor_and_counted_once() {
    let (accusers, _) = broken_around_a_gap(None);
    assert!(accusers.len() >= 15, "who accuses if the gap is time like any other: {accusers:?}");

    assert_eq!(broken_around_a_gap(Some(Clocks::for_passes_every(MS))), (Vec::new(), 1));
}

#[test]
fn a_monitor_that_has_met_every_cpu_and_thread_allocates_nothing() {
    let glass = guest().glass();
    let everything = Bounds::new(bounds(u64::MAX)).needs();
    let mut sampler = Sampler::new(glass, everything);
    let passes: Vec<Snapshot> = (1..50).map(|n| pass(&mut sampler, n)).collect();
    for spec in bounds(u64::MAX) {
        let kind = spec.monitor;
        let mut bound = Bounds::new(vec![spec]);
        let mut observe =
            |seen: &Snapshot| assert!(!bound.observe(seen, |_| Evidence::default()), "{kind:?}");
        let (warm, rest) = passes.split_at(25);
        warm.iter().for_each(&mut observe);

        let allocated = measure(|| rest.iter().for_each(&mut observe));

        assert_eq!(allocated.count_total, 0, "{kind:?}");
    }
}

#[test]
fn a_quiet_pass_over_a_guest_whose_threads_have_been_met_allocates_nothing() {
    let mut judge = Judge::new(guest().glass(), bounds(u64::MAX), MS);
    let mut pass = |n: u64| {
        let readings = [CpuReading { ran_ns: n * MS, ..CpuReading::default() }; 3];
        assert_eq!(judge.pass(&readings, n * MS).ok(), Some(PassEnd::Quiet));
    };
    (1..25).for_each(&mut pass);

    let allocated = measure(|| (25..50).for_each(&mut pass));

    assert_eq!(allocated.count_total, 0);
}

/// What `latency` says of a thread that comes to its queue while the host keeps the sampler off for 6 ms in the middle of its look at
/// 10 ms, and that waits for 1 ms until the next look. `takes_back` is false for a judge that does not.
fn latency_of_a_look_that_the_host_interrupts(takes_back: bool) -> PassEnd {
    let kernel = FakeKernel::new(3, NTHREADS);
    let latency = bounds(5 * MS).into_iter().find(|bound| bound.monitor.name() == "latency");
    let mut judge = Judge::new(kernel.glass(), latency.into_iter().collect(), MS);
    let look = |judge: &mut Judge, n: u64| {
        let readings = [CpuReading { ran_ns: n * MS, ..CpuReading::default() }; 3];
        judge.look(&readings, n * MS).expect("invariant: the fake kernel's root is right");
    };
    for n in 1..10 {
        look(&mut judge, n);
        assert!(!judge.takes_back(10_000));
        assert_eq!(judge.judge(), PassEnd::Quiet);
    }
    // The clocks are read at 10 ms, and the queue at 16 ms.
    kernel.fill(Some(1), &[(5, 60)]);
    look(&mut judge, 10);
    if takes_back {
        assert!(judge.takes_back(6 * MS) && judge.may_look_again());
        look(&mut judge, 16);
        assert!(!judge.takes_back(10_000));
    }
    assert_eq!(judge.judge(), PassEnd::Quiet);
    look(&mut judge, 17);
    let end = judge.judge();
    assert_eq!(judge.counts().samples, 11);
    end
}

#[test]
fn a_look_that_the_host_interrupts_is_taken_back_and_charges_nobody_with_what_came_before() {
    assert_eq!(latency_of_a_look_that_the_host_interrupts(true), PassEnd::Quiet);
    assert_eq!(latency_of_a_look_that_the_host_interrupts(false), PassEnd::Violated);
}
