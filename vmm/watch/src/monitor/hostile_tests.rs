//! Every monitor at a guest that writes whatever it likes: none panics, whatever it finds.
//!
//! # Invariants
//! - Every image follows from its number. What is found of it is not judged: a guest may lie as it likes.

use std::panic::catch_unwind;

use fastrand::Rng;

use super::tests::bounds;
use super::*;
use crate::glass::fake::FakeKernel;
use crate::glass::hostile::{images, overwrite};
use crate::monitor::bench::MS;

/// Passes over an image.
const PASSES: u64 = 6;

/// Judges a kernel of which some words are overwritten before each pass.
fn torment(seed: u64) -> usize {
    let mut rng = Rng::with_seed(seed);
    let kernel = FakeKernel::new(rng.u32(2..4), 8);
    kernel.fill(Some(1), &[(5, 99), (3, 99), (4, 59)]);
    let limit_ns = [0, MS, u64::MAX][rng.usize(..3)];
    let mut judge = Judge::new(kernel.glass(), bounds(limit_ns), MS);
    let (mut now_ns, mut readings) = (0, [CpuReading::default(); 3]);
    for _ in 0..PASSES {
        now_ns += 1 + rng.u64(..20 * MS);
        for reading in &mut readings {
            reading.ran_ns += rng.u64(..20 * MS);
            reading.is_ready = rng.bool();
            reading.host_cpu = rng.bool().then(|| rng.u32(..3));
            reading.guest_ns = (rng.bool()).then(|| rng.u64(..));
        }
        let _end = judge.pass(&readings, now_ns);
        overwrite(&kernel, &mut rng);
    }
    judge.findings().iter().filter(|finding| !finding.held).count()
}

#[test]
fn judge_of_any_image_panics_at_nothing() {
    let (mut broken, mut panicked) = (0, Vec::new());
    for seed in 1..=images() {
        match catch_unwind(|| torment(seed)) {
            Ok(bounds) => broken += bounds,
            Err(_) => panicked.push(seed),
        }
    }
    let some = &panicked[..panicked.len().min(5)];
    assert!(panicked.is_empty(), "{} images make a monitor panic: {some:?}", panicked.len());
    // Else the images are too tame to show anything.
    assert!(broken > 1_000, "{broken} bounds were broken");
}
