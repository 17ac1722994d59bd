//! A guest that writes whatever it likes, for tests of those who look at it.
//!
//! # Invariants
//! - Compiled for tests only. Every image follows from its number.

use super::fake::FakeKernel;
use fastrand::Rng;
use umpire_machine::memory::GuestMemory;

/// Images of a test.
const IMAGES: u64 = 2_000;

/// How many images a test is to make; `UMPIRE_IMAGES` asks for more.
pub(crate) fn images() -> u64 {
    std::env::var("UMPIRE_IMAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(IMAGES)
}

/// Overwrites up to 400 words of a kernel's memory.
pub(crate) fn overwrite(kernel: &FakeKernel, rng: &mut Rng) {
    let (begin, len) = kernel.memory.ranges()[0];
    for _ in 0..1 + rng.u64(..400) {
        let at = begin + (rng.u64(..len - 8) & !7);
        kernel.memory.put_u64(at, word(rng, begin, len));
    }
}

/// A word that a hostile guest may write: an address of its memory, one beside it, a number that is too great, or any.
fn word(rng: &mut Rng, begin: u64, len: u64) -> u64 {
    match rng.u8(..6) {
        0 => begin + (rng.u64(..len) & !7),
        1 => begin + (rng.u64(..len) & !0xff),
        2 => begin.wrapping_add(rng.u64(..) % (4 * len)),
        3 => u64::MAX - rng.u64(..64),
        4 => 1 << rng.u8(..64),
        _ => rng.u64(..),
    }
}
