//! A guest that writes whatever it likes: a pass over it ends within its budget, and says when that was not enough.
//!
//! # Invariants
//! - What is bounded is counted in reads, bytes and samples, never in time. Every image follows from its number.

use super::tests::{EVERYTHING, RAN};
use super::*;
use crate::glass::fake::FakeKernel;
use crate::glass::hostile::{images, overwrite};
use crate::glass::metered::{BYTES, READS};
use fastrand::Rng;
use umpire_machine::memory::GuestMemory;
use umpire_shared::sys::mutex::WAITERS;
use umpire_shared::sys::sobject::sobj;

/// Reads and bytes of a pass over a sound kernel of the largest size, as a share of the budget.
const SHARE: u64 = 8;

/// Passes over a kernel, of which some words are overwritten before each.
fn torment(seed: u64) -> (u64, u64) {
    let mut rng = Rng::with_seed(seed);
    let kernel = FakeKernel::new(2, 8);
    kernel.fill(Some(1), &[(5, 99), (3, 99), (4, 59)]);
    // Some images are hostile from the first look on, some only after the kernel was found.
    let mut sampler = Sampler::new(kernel.glass(), EVERYTHING);
    if rng.bool() {
        let _found = sampler.pass(&RAN, 1);
    }
    let mut most = (0, 0);
    for n in 0..4 {
        overwrite(&kernel, &mut rng);
        let seen = sampler.pass(&RAN, 2 + n);
        if let Ok(Some(seen)) = seen {
            let threads = seen.arena.map_or(0, |arena| arena.count as usize);
            assert!(seen.queues().all(|(_, queue)| queue.threads.len() <= threads), "image {seed}");
            assert!(seen.owners.len() <= roster::total(16, 4096) as usize + 64, "image {seed}");
        }
        let (reads, bytes) = sampler.spent();
        assert!(reads <= READS && bytes <= BYTES, "image {seed}: {reads} reads, {bytes} bytes");
        most = (reads.max(most.0), bytes.max(most.1));
    }
    most
}

#[test]
fn pass_over_any_image_ends_within_its_budget() {
    let images = images();
    let mut most = (0, 0);
    for seed in 1..=images {
        let (reads, bytes) = torment(seed);
        most = (reads.max(most.0), bytes.max(most.1));
    }
    // Else the images are too tame to show anything.
    assert!(most.0 > 1_000, "the worst of {images} images took {most:?}");
    println!("{images} images; the worst took {} reads and {} bytes", most.0, most.1);
}

#[test]
fn pass_over_chains_that_share_and_circle_ends_soon_and_the_chains_are_torn() {
    const CHAINS: u64 = 0x12_0000;
    const TURNSTILES: u64 = 0x11_0000;
    const MUTEX: u64 = 0x13_f000;
    let kernel = FakeKernel::new(2, 8);
    let (k, l) = (&kernel.layout.root, &kernel.layout);
    let (chains, turnstiles) = (512, 64);
    let words =
        [(k.chains, CHAINS), (k.nchains, chains), (k.turnstiles, TURNSTILES), (k.nturnstiles, turnstiles)];
    words.iter().for_each(|&(field, value)| kernel.set(0x10_0000, field, value));
    kernel.memory.put_u64(MUTEX, kernel.thread_at(2) | WAITERS as u64);
    let turnstile = |n: u64| TURNSTILES + n * l.sizes.turnstile;
    for n in 0..turnstiles {
        kernel.set(turnstile(n), l.turnstile.sobj, MUTEX);
        kernel.set(turnstile(n), l.turnstile.kind, u64::from(sobj::MUTEX));
        kernel.set(turnstile(n), l.turnstile.next, turnstile((n + 1) % turnstiles));
        kernel.memory.put_u64(turnstile(n) + l.turnstile.writer.offset as u64, kernel.thread_at(6));
    }
    // Every chain leads into the same circle.
    for n in 0..chains {
        kernel.set(CHAINS + n * l.sizes.chain, l.chain.first, turnstile(n % turnstiles));
    }
    let mut sampler = Sampler::new(kernel.glass(), Needs { owners: true, ..Needs::NOTHING });

    let seen = sampler.pass(&RAN, 1).expect("the root is right").expect("it is up");

    assert_eq!(seen.owners.len() as u64, turnstiles, "each once");
    assert_eq!(u64::from(seen.torn_chains), chains - 1, "the first chain has them all");
    let (reads, _) = sampler.spent();
    assert!(reads < 48 * chains, "{reads}");
}

#[test]
fn pass_that_was_cut_says_so_and_the_next_has_its_own_budget() {
    let budget = Budget::default();
    budget.begin();
    let kernel = FakeKernel::new(2, 8);
    let metered = Metered { memory: &*kernel.memory, budget: &budget };
    let (begin, _) = kernel.memory.ranges()[0];
    let read = (0..=READS).filter(|_| metered.read_u64(begin).is_some()).count() as u64;
    assert_eq!((read, budget.is_cut()), (READS, true));
    assert!(budget.begin(), "the one before was cut");
    assert_eq!((metered.read_u64(begin).is_some(), budget.is_cut()), (true, false));
    // One read of more bytes than there are left is one too many as well.
    assert!(!metered.copy(begin, &mut vec![0; BYTES as usize + 1]) && budget.is_cut());
}

#[test]
fn pass_over_a_sound_kernel_takes_a_small_share_of_the_budget() {
    let kernel = FakeKernel::new(2, 8);
    kernel.fill(Some(1), &[(5, 99), (3, 99), (4, 59)]);
    let mut sampler = Sampler::new(kernel.glass(), EVERYTHING);
    assert!(matches!(sampler.pass(&RAN, 7), Ok(Some(_))));
    let (reads, bytes) = sampler.spent();
    assert!(reads * SHARE < READS && bytes * SHARE < BYTES && !sampler.is_cut(), "{reads} {bytes}");
}
