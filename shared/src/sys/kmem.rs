//! The memory allocator's numbers (`sys/kmem.h`, `sys/kmem_impl.h`).
//!
//! # Invariants
//! - A flag has the value that illumos gives it.

/// Bytes of a page (`PAGESIZE`).
pub const PAGESIZE: u64 = 4096;
/// Bytes of memory that a scenario has if it gives no other number.
pub const MEMORY_DEFAULT: u64 = 1 << 20;
/// Least and most bytes that it may give.
pub const MEMORY_RANGE: (u64, u64) = (256 << 10, 256 << 20);

/// How an allocation may fail.
pub mod km {
    /// Sleeps until there is memory; never fails.
    pub const SLEEP: u32 = 0x0000;
    /// Fails at once where it would sleep.
    pub const NOSLEEP: u32 = 0x0001;
    /// May use what is kept for who makes memory free.
    pub const PUSHPAGE: u32 = 0x0004;
}

flags! {
    /// What a cache is checked for (`KMF_*`): the bits of the tunable `kmem_flags`.
    kmf: u32, "KMF_" {
        /// Who allocated or freed a buffer last is kept.
        AUDIT = 0x0000_0001;
        /// What is free has a pattern, and is looked at when it is handed out.
        DEADBEEF = 0x0000_0002;
        /// A word behind each buffer has a pattern, and is looked at when the buffer is freed.
        REDZONE = 0x0000_0004;
    }
}

/// What a free buffer is filled with.
pub const FREE_PATTERN: u64 = 0xdead_beef_dead_beef;
/// What a buffer is filled with when it is handed out.
pub const UNINITIALIZED_PATTERN: u64 = 0xbadd_cafe_badd_cafe;
/// What stands behind a buffer.
pub const REDZONE_PATTERN: u64 = 0xfeed_face_feed_face;
