//! Tests of the sampler, on a kernel made of bytes.
//!
//! # Invariants
//! - What a test spoils, it spoils in the fake kernel's memory, as a broken guest would.

use super::*;
use crate::glass::WalkEnd;
use crate::glass::fake::FakeKernel;

const RAN: [CpuReading; 2] = [CpuReading { ran_ns: 5, is_ready: false }; 2];

/// One pass over a kernel of two CPUs whose CPU 1 has three threads.
fn kernel() -> FakeKernel {
    let kernel = FakeKernel::new(2, 8);
    kernel.fill(Some(1), &[(5, 99), (3, 99), (4, 59)]);
    kernel
}

fn pass(kernel: &FakeKernel) -> Snapshot {
    let mut sampler = Sampler::new(kernel.glass());
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
    let map = kernel.layout.disp.qactmap.offset as u64;
    kernel.memory.put_u64(kernel.queue_at(Some(1)) + map, 0);

    let seen = pass(&kernel);

    let level = seen.cpus[1].queue.levels[1];
    assert_eq!((level.pri, level.bit, level.walked), (59, false, 1));
}

#[test]
fn pass_queue_that_runs_in_a_circle_ends_and_says_so() {
    let kernel = kernel();
    kernel.set(kernel.thread_at(3), kernel.layout.thread.link, kernel.thread_at(5));

    let seen = pass(&kernel);

    let queue = &seen.cpus[1].queue;
    assert_eq!(queue.levels[0].end, WalkEnd::Repeated(5));
    assert_eq!(queue.threads.len(), 3);
}

#[test]
fn pass_locked_queue_keeps_what_was_seen_before_and_is_stale() {
    let kernel = kernel();
    let mut sampler = Sampler::new(kernel.glass());
    let first = sampler.pass(&RAN, 1);
    assert!(matches!(first, Ok(Some(_))));
    kernel.memory.put_u64(kernel.queue_at(Some(1)), 9);
    kernel.set(kernel.cpu_at(1), kernel.layout.cpu.runrun, 1);

    let seen = sampler.pass(&RAN, 2);

    let Ok(Some(seen)) = seen else { panic!("the fake kernel is up") };
    assert_eq!(seen.cpus[1].queue.verdict, Verdict::Stale);
    assert_eq!(seen.cpus[1].queue.threads.len(), 3);
    assert!(seen.cpus[1].runrun, "a CPU's own words need no generation");
    assert_eq!(sampler.counts().stale, 1);
}

#[test]
fn pass_root_that_is_no_kernel_returns_error_naming_what_was_found() {
    let kernel = kernel();
    kernel.set(0x10_0000, kernel.layout.kernel.nthreads, 1_000_000);

    let error = Sampler::new(kernel.glass()).pass(&RAN, 1).expect_err("invariant: too many threads");

    assert!(error.to_string().contains("1000000 threads"), "{error}");
}

#[test]
fn pass_any_byte_of_the_kernel_wrong_never_panics_and_ends() {
    let kernel = kernel();
    let mut sampler = Sampler::new(kernel.glass());
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
