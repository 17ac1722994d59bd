//! Tests of the sampler, on a kernel made of bytes.
//!
//! # Invariants
//! - What a test spoils, it spoils in the fake kernel's memory, as a broken guest would.

use super::*;
use crate::glass::WalkEnd;
use crate::glass::fake::FakeKernel;
use umpire_shared::roster;
use umpire_shared::sys::cyclic::handler;
use umpire_shared::sys::mutex::WAITERS;
use umpire_shared::sys::sobject::sobj;
use umpire_shared::sys::thread::ts;

pub(super) const RAN: [CpuReading; 2] =
    [CpuReading { ran_ns: 5, is_ready: false, host_cpu: None, steal_ns: 0, guest_ns: None }; 2];

pub(super) const EVERYTHING: Needs = Needs {
    runners: true,
    placements: true,
    cyclics: true,
    interrupts: true,
    owners: true,
    workers: true,
    taskqs: true,
    memory: true,
    streams: true,
    stacks: true,
    times_every_ns: 1,
    accounts_every_ns: 1,
};

/// One pass over a kernel of two CPUs whose CPU 1 has three threads.
fn kernel() -> FakeKernel {
    let kernel = FakeKernel::new(2, 8);
    kernel.fill(Some(1), &[(5, 99), (3, 99), (4, 59)]);
    kernel
}

fn pass(kernel: &FakeKernel) -> Snapshot {
    let mut sampler = Sampler::new(kernel.glass(), EVERYTHING);
    let seen = sampler.pass(&RAN, 7).expect("invariant: the fake kernel's root is right");
    seen.expect("invariant: the fake kernel is up").clone()
}

#[test]
fn pass_sound_queue_returns_its_threads_best_first() {
    let seen = pass(&kernel());

    let queue = &seen.cpus[1].queue;
    assert_eq!(queue.verdict, Verdict::Clean);
    let threads: Vec<_> = queue.threads.iter().map(|t| (t.index, t.level, t.waitrq)).collect();
    assert_eq!(threads, [(5, 99, 1005), (3, 99, 1003), (4, 59, 1004)]);
    assert_eq!((queue.maxrunpri, queue.max_unbound_pri, queue.nrunnable), (99, -1, 3));
    assert_eq!(seen.name_of(5), "worker/5");
    assert!(seen.cpus[0].queue.threads.is_empty());
    assert_eq!(seen.queues().count(), kernel().ncpus() as usize + 1);
}

#[test]
fn pass_thread_on_a_level_without_its_bit_is_still_seen() {
    let kernel = kernel();
    let map = kernel.layout.queue.qactmap.offset as u64;
    kernel.memory.put_u64(kernel.queue_at(Some(1)) + map, 0);

    let seen = pass(&kernel);

    let level = seen.cpus[1].queue.levels[1];
    assert_eq!((level.pri, level.bit, level.walked), (59, false, 1));
}

#[test]
fn pass_thread_bound_in_either_way_is_bound() {
    let kernel = kernel();
    let t = &kernel.layout.queued;
    for (thread, field) in [(5, t.bound_strongly), (3, t.bound_weakly)] {
        for both in [t.bound_strongly, t.bound_weakly] {
            kernel.set(kernel.thread_at(thread), both, 0);
        }
        // Of a pointer any byte counts.
        kernel.set(kernel.thread_at(thread), field, 0x100);
    }
    kernel.set(kernel.thread_at(4), t.bound_strongly, 0);

    let seen = pass(&kernel);

    let bound: Vec<_> = seen.cpus[1].queue.threads.iter().map(|t| (t.index, t.bound)).collect();
    assert_eq!(bound, [(5, true), (3, true), (4, false)]);
}

#[test]
fn pass_queue_that_runs_in_a_circle_ends_and_says_so() {
    let kernel = kernel();
    kernel.set(kernel.thread_at(3), kernel.layout.queued.link, kernel.thread_at(5));

    let seen = pass(&kernel);

    let queue = &seen.cpus[1].queue;
    assert_eq!(queue.levels[0].end, WalkEnd::Repeated(5));
    assert_eq!(queue.threads.len(), 3);
}

#[test]
fn pass_locked_queue_keeps_what_was_seen_before_and_is_stale() {
    let kernel = kernel();
    let mut sampler = Sampler::new(kernel.glass(), EVERYTHING);
    let first = sampler.pass(&RAN, 1);
    assert!(matches!(first, Ok(Some(_))));
    kernel.memory.put_u64(kernel.queue_at(Some(1)), 9);
    kernel.set(kernel.cpu_at(1), kernel.layout.cpu.runrun, 1);

    let seen = sampler.pass(&RAN, 2);

    let Ok(Some(seen)) = seen else { panic!("the fake kernel is up") };
    assert_eq!(seen.cpus[1].queue.verdict, Verdict::Stale);
    assert_eq!(seen.cpus[1].queue.threads.len(), 3);
    assert!(seen.cpus[1].runrun, "a CPU's own words need no generation");
    let unread: Vec<u64> = seen.queues().map(|(_, queue)| queue.unread).collect();
    assert_eq!(unread, [0, 1, 0]);
    assert_eq!(sampler.counts().stale, 1);
}

#[test]
fn pass_root_that_is_no_kernel_returns_error_naming_what_was_found() {
    let kernel = kernel();
    kernel.set(0x10_0000, kernel.layout.root.nthreads, 1_000_000);

    let error =
        Sampler::new(kernel.glass(), EVERYTHING).pass(&RAN, 1).expect_err("invariant: too many threads");

    assert!(error.to_string().contains("1000000 threads"), "{error}");
}

#[test]
fn pass_any_byte_of_the_kernel_wrong_never_panics_and_ends() {
    let kernel = kernel();
    let mut sampler = Sampler::new(kernel.glass(), EVERYTHING);
    // A fixed pseudo-random sequence: what fails once fails always.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..20_000 {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let at = 0x10_0000 + (state >> 33) % 0x12_000;
        kernel.memory.put(at, &[(state >> 25) as u8]);
        let _ = sampler.pass(&RAN, round);
    }
    assert_eq!(sampler.snapshot().cpus.len(), 2);
}

/// The only turnstile of a kernel: thread 2 owns its mutex, thread 6 waits for it.
fn with_turnstile() -> FakeKernel {
    const CHAINS: u64 = 0x13_0000;
    const TURNSTILE: u64 = CHAINS + 0x100;
    const MUTEX: u64 = CHAINS + 0x200;
    let kernel = kernel();
    let (k, l) = (&kernel.layout.root, &kernel.layout);
    let words = [(k.chains, CHAINS), (k.nchains, 4), (k.turnstiles, TURNSTILE), (k.nturnstiles, 1)];
    words.iter().for_each(|&(field, value)| kernel.set(0x10_0000, field, value));
    kernel.set(CHAINS + 2 * l.sizes.chain, l.chain.first, TURNSTILE);
    kernel.set(TURNSTILE, l.turnstile.sobj, MUTEX);
    kernel.set(TURNSTILE, l.turnstile.kind, u64::from(sobj::MUTEX));
    kernel.memory.put_u64(TURNSTILE + l.turnstile.writer.offset as u64, kernel.thread_at(6));
    kernel.memory.put_u64(MUTEX, kernel.thread_at(2) | WAITERS as u64);
    kernel.set(kernel.thread_at(2), l.party.own, 10);
    kernel.set(kernel.thread_at(2), l.party.epri, 30);
    kernel.set(kernel.thread_at(6), l.party.own, 60);
    kernel
}

#[test]
fn pass_lock_with_an_owner_and_a_waiter_returns_both() {
    let seen = pass(&with_turnstile());

    let owners: Vec<_> = seen.owners.iter().map(|o| (o.owner, o.owner_pri, o.waiter, o.waiter_pri)).collect();
    assert_eq!(owners, [(Some(2), 30, 6, 60)]);
    assert_eq!(seen.torn_chains, 0);
}

#[test]
fn pass_chain_that_is_locked_or_runs_in_a_circle_ends_and_is_told() {
    let locked = with_turnstile();
    locked.memory.put_u64(0x13_0000 + 2 * locked.layout.sizes.chain, 7);
    let circle = with_turnstile();
    circle.set(0x13_0100, circle.layout.turnstile.next, 0x13_0100);

    let seen = pass(&locked);
    assert_eq!((seen.owners.len(), seen.torn_chains), (0, 1));
    assert_eq!(pass(&circle).owners.len(), 1);
}

#[test]
fn pass_runner_and_cyclics_and_times_are_read_if_needed() {
    let kernel = kernel();
    let (cpu, l) = (kernel.cpu_at(1), &kernel.layout);
    kernel.set(cpu, l.cpu.thread, kernel.thread_at(2));
    kernel.set(cpu, l.switches.pswitch, 9);
    kernel.set(kernel.thread_at(2), l.runner.preempt, 3);
    kernel.set(kernel.thread_at(2), l.runner.waitrq, 5);
    kernel.memory.put_u64(kernel.thread_at(2) + l.times.in_user_ns.offset as u64, 500);
    let unmet = kernel.thread_at(7);
    kernel.memory.put(unmet + l.name.name.offset as u64, b"unmet");
    kernel.memory.put_u64(unmet + l.times.epri.offset as u64, 99);
    let second = cpu + (l.cyclics.offset + l.cyclics.stride) as u64;
    kernel.set(second, l.cyclic.handler, u64::from(handler::CLOCK));
    kernel.set(second, l.cyclic.pend, 4);

    let seen = pass(&kernel);

    let runner = &seen.cpus[1].runner;
    assert_eq!((runner.index, runner.pswitch, runner.preempt, runner.waitrq), (Some(2), 9, 3, 5));
    let cyclics: Vec<_> = seen.cpus[1].cyclics.iter().map(|c| (c.slot, c.pend)).collect();
    assert_eq!(cyclics, [(1, 4)]);
    assert_eq!((seen.has_times, seen.times.len(), seen.times[2].ran_ns), (true, 8, 500));
    assert_eq!((seen.names[7].as_str(), seen.times[7].effective_pri()), ("unmet", 99));
    let mut nothing = Sampler::new(kernel.glass(), Needs::default());
    let Ok(Some(seen)) = nothing.pass(&RAN, 7) else { panic!("the fake kernel is up") };
    assert_eq!((seen.cpus[1].runner.index, seen.cpus[1].cyclics.len(), seen.times.len()), (None, 0, 0));
}

#[test]
fn pass_workers_are_the_scenario_s_threads() {
    let kernel = FakeKernel::new(2, roster::total(2, 3));
    let t = &kernel.layout.worker;
    kernel.fill(None, &[(3, 99)]);
    kernel.set(kernel.thread_at(3), t.progress, 12);
    kernel.set(kernel.thread_at(3), t.epri, 109);
    kernel.set(kernel.thread_at(4), t.state, u64::from(ts::SLEEP));
    kernel.set(kernel.thread_at(4), t.bound_cpu, kernel.cpu_at(1));

    let seen = pass(&kernel);

    let workers: Vec<_> =
        seen.workers.iter().map(|w| (w.index, w.progress, w.pri, w.cpu, w.is_at_work())).collect();
    assert_eq!(workers, [(2, 0, 0, None, false), (3, 12, 109, None, true), (4, 0, 0, Some(1), true)]);
    assert_eq!(seen.name_of(3), "worker/3");
}

#[test]
fn times_are_read_early_and_ever_less_often_and_then_as_often_as_is_needed() {
    let (mut read, mut at) = (None, Vec::new());
    for now_ms in 5..400 {
        let now_ns = now_ms * 1_000_000;
        if times_are_due(read, now_ns, 100_000_000) {
            read = Some((read.map_or(now_ns, |(first, _)| first), now_ns));
            at.push(now_ms - 5);
        }
    }

    assert_eq!(at, [0, 1, 2, 4, 8, 16, 32, 64, 100, 200, 300]);
}
