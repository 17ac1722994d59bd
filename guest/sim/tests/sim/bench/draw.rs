//! Choices that a test makes itself, different for every seed (splitmix64).
//!
//! # Invariants
//! - The same seed draws the same, whatever the simulator draws beside it.

/// A source of choices, begun with its seed.
pub struct Draw(pub u64);

impl Draw {
    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ x >> 31) % n
    }
}
