//! The source of every choice: a small generator (SplitMix64), so that a seed means the same for ever.
//!
//! # Invariants
//! - Nothing else in the simulator is random.

use std::cell::Cell;

/// A stream of pseudo-random numbers.
#[derive(Debug)]
pub(crate) struct Rng(Cell<u64>);

impl Rng {
    /// The stream of this seed.
    pub(crate) fn new(seed: u64) -> Rng {
        // Neighbouring seeds must have nothing in common.
        let rng = Rng(Cell::new(seed ^ 0x6a09_e667_f3bc_c908));
        rng.next();
        rng
    }

    /// The next number.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    #[inline]
    pub(crate) fn below(&self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
}
