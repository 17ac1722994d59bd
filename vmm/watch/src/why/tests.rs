//! Tests of the walk, on a fake kernel whose memory a test writes as it likes.
//!
//! # Invariants
//! - The sentences of real stalls are tested where there is a real kernel: `tests/runs/why.rs`.

use super::*;
use crate::glass::fake::FakeKernel;
use crate::glass::{Needs, Sampler};
use umpire_shared::sys::sobject::sobj;

const THREADS: u32 = 40;

fn kernel() -> FakeKernel {
    FakeKernel::new(1, THREADS)
}

fn why(kernel: &FakeKernel, thread: u32) -> Why {
    let glass = kernel.glass();
    let mut sampler = Sampler::new(glass.clone(), Needs::default());
    sampler.pass(&[], 1).expect("a kernel");
    Why::of(&glass, sampler.snapshot(), thread)
}

/// Has a thread wait for mutex `n`, which `owner` has.
fn block(kernel: &FakeKernel, thread: u32, n: u64, owner: u32) {
    kernel.memory.put_u64(kernel.mutex_at(n), kernel.thread_at(owner) | 1);
    kernel.sleep(thread, kernel.mutex_at(n), sobj::MUTEX);
}

fn threads(why: &Why) -> Vec<u32> {
    why.links.iter().map(|link| link.thread).collect()
}

#[test]
fn why_follows_the_owners_of_locks_to_the_one_that_everything_hangs_on() {
    let kernel = kernel();
    block(&kernel, 1, 0, 2);
    block(&kernel, 2, 3, 5);

    let why = why(&kernel, 1);

    assert_eq!((threads(&why), why.circle.len(), why.is_cut), (vec![1, 2, 5], 0, false));
    let Stall::Blocked { lock, hold, .. } = &why.links[1].stall else { panic!("{why:?}") };
    assert_eq!((&*lock.path, *hold), ("k_work.locks[3]", Hold::Mutex(Some(5))));
    assert!(why.sentence().contains("is blocked on mutex 0, which an unknown thread"), "{}", why.sentence());
}

#[test]
fn why_names_a_circle_as_a_deadlock_whether_it_begins_in_it_or_leads_to_it() {
    let kernel = kernel();
    block(&kernel, 1, 0, 2);
    block(&kernel, 2, 1, 3);
    block(&kernel, 3, 2, 2);

    for (from, met) in [(1, vec![1, 2, 3]), (2, vec![2, 3])] {
        let why = why(&kernel, from);
        assert_eq!((threads(&why), &*why.circle), (met, &[2, 3][..]));
        let sentence = why.sentence();
        assert!(sentence.ends_with("deadlock: thread 2 waits for thread 3 waits for thread 2"), "{sentence}");
    }
    block(&kernel, 4, 3, 4);
    assert_eq!(why(&kernel, 4).circle, [4]);
}

#[test]
fn why_of_a_thread_that_does_not_exist_says_nothing() {
    let none = why(&kernel(), THREADS);
    assert_eq!((none.links.len(), none.sentence()), (0, String::new()));
}

#[test]
fn why_of_nonsense_ends_and_never_panics() {
    let kernel = kernel();
    // A generator of Lehmer's, so that the test is the same each time.
    let mut random: u64 = 0x2545_f491_4f6c_dd1d;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for _ in 0..3000 {
        let thread = draw(THREADS.into()) as u32;
        let field = kernel.thread_at(thread) + 8 * draw(0x240 / 8);
        let value = match draw(4) {
            0 => kernel.thread_at(draw(THREADS.into()) as u32),
            1 => kernel.mutex_at(draw(4)),
            2 => draw(64),
            _ => u64::MAX - draw(1000),
        };
        kernel.memory.put_u64(field, value);
        kernel.memory.put_u64(kernel.mutex_at(draw(4)), kernel.thread_at(draw(THREADS.into()) as u32));
        let why = why(&kernel, draw(THREADS.into()) as u32);
        assert!(why.links.len() <= MAX_LINKS && why.sentence().len() < 10_000, "{why:?}");
        let _rows = json::records(&why);
    }
}
