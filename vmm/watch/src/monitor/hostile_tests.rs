//! Every monitor at a guest that writes whatever it likes: none panics, whatever it finds.
//!
//! # Invariants
//! - Every image follows from its number. What is found of it is not judged: a guest may lie as it likes.

use std::panic::catch_unwind;

use super::tests::bounds;
use super::*;
use crate::glass::fake::FakeKernel;
use crate::glass::hostile::{Numbers, images, overwrite};
use crate::monitor::bench::MS;

/// Passes over an image.
const PASSES: u64 = 6;

/// Judges a kernel of which some words are overwritten before each pass.
fn torment(seed: u64) -> usize {
    let mut numbers = Numbers::of(seed);
    let kernel = FakeKernel::new(2 + numbers.below(2) as u32, 8);
    kernel.fill(Some(1), &[(5, 99), (3, 99), (4, 59)]);
    let limit_ns = [0, MS, u64::MAX][numbers.below(3) as usize];
    let mut judge = Judge::new(kernel.glass(), bounds(limit_ns), MS);
    let (mut now_ns, mut readings) = (0, [CpuReading::default(); 3]);
    for _ in 0..PASSES {
        now_ns += 1 + numbers.below(20 * MS);
        for reading in &mut readings {
            reading.ran_ns += numbers.below(20 * MS);
            reading.is_ready = numbers.below(2) == 0;
            reading.guest_ns = (numbers.below(2) == 0).then(|| numbers.next());
        }
        let _end = judge.pass(&readings, now_ns);
        overwrite(&kernel, &mut numbers);
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
