//! Plain reads and writes of atomics, for fields that a lock guards.
//!
//! # Invariants
//! - `get` and `set` are relaxed: they never tear, and they order nothing. The lock that guards the
//!   field orders it, or the place that uses it says why no order is needed.
//! - `bump` is a load and a store, not a read-modify-write: for counters with one writer.

use core::sync::atomic::{
    AtomicBool, AtomicI16, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
    Ordering,
};

/// An atomic used as a guarded cell.
pub trait Cell {
    /// What it holds.
    type Value: Copy;
    /// The value, without ordering.
    fn get(&self) -> Self::Value;
    /// Stores a value, without ordering.
    fn set(&self, value: Self::Value);
}

/// A [`Cell`] that counts.
pub trait Counter: Cell {
    /// Adds one. Only for counters with one writer at a time.
    fn bump(&self);
    /// Takes one away. Only for counters with one writer at a time.
    fn drop_one(&self);
}

macro_rules! cell {
    ($($atomic:ty => $value:ty),*) => {$(
        impl Cell for $atomic {
            type Value = $value;
            #[inline(always)]
            fn get(&self) -> $value { self.load(Ordering::Relaxed) }
            #[inline(always)]
            fn set(&self, value: $value) { self.store(value, Ordering::Relaxed) }
        }
    )*};
}

macro_rules! counter {
    ($($atomic:ty),*) => {$(
        impl Counter for $atomic {
            #[inline(always)]
            fn bump(&self) { self.set(self.get().wrapping_add(1)) }
            #[inline(always)]
            fn drop_one(&self) { self.set(self.get().wrapping_sub(1)) }
        }
    )*};
}

cell!(AtomicBool => bool, AtomicU8 => u8, AtomicU16 => u16, AtomicU32 => u32, AtomicU64 => u64,
      AtomicUsize => usize, AtomicI16 => i16, AtomicI32 => i32, AtomicI64 => i64);
counter!(AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicI32, AtomicI64);
