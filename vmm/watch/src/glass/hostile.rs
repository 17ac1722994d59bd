//! A guest that writes whatever it likes, for tests of those who look at it.
//!
//! # Invariants
//! - Compiled for tests only. Every image follows from its number.

use super::fake::FakeKernel;
use umpire_machine::memory::GuestMemory;

/// Images of a test.
const IMAGES: u64 = 2_000;

/// How many images a test is to make; `UMPIRE_IMAGES` asks for more.
pub(crate) fn images() -> u64 {
    std::env::var("UMPIRE_IMAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(IMAGES)
}

/// Numbers that follow from a seed (Marsaglia's xorshift).
pub(crate) struct Numbers(u64);

impl Numbers {
    /// Those of a seed.
    pub(crate) fn of(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next one below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Overwrites up to 400 words of a kernel's memory.
pub(crate) fn overwrite(kernel: &FakeKernel, numbers: &mut Numbers) {
    let (begin, len) = kernel.memory.ranges()[0];
    for _ in 0..1 + numbers.below(400) {
        let at = begin + (numbers.below(len - 8) & !7);
        kernel.memory.put_u64(at, word(numbers, begin, len));
    }
}

/// A word that a hostile guest may write: an address of its memory, one beside it, a number that is too great, or any.
fn word(numbers: &mut Numbers, begin: u64, len: u64) -> u64 {
    match numbers.below(6) {
        0 => begin + (numbers.below(len) & !7),
        1 => begin + (numbers.below(len) & !0xff),
        2 => begin.wrapping_add(numbers.next() % (4 * len)),
        3 => u64::MAX - numbers.below(64),
        4 => 1 << numbers.below(64),
        _ => numbers.next(),
    }
}
