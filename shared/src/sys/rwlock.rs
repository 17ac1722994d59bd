//! `sys/rwlock_impl.h`: the word of a reader/writer lock.
//!
//! # Invariants
//! - Numbers are Solaris's.

flags! {
    /// Bits of `rw_wwwh`.
    rw: usize, "RW_" {
        /// A thread waits.
        HAS_WAITERS = 1;
        /// A writer waits: readers queue up behind it.
        WRITE_WANTED = 2;
        /// Held by a writer, whose address is in [`OWNER`].
        WRITE_LOCKED = 4;
        /// One reader; readers are counted in this unit.
        READ_LOCK = 8;
    } masks {
        /// The bits that say that it is held.
        LOCKED = !(HAS_WAITERS | WRITE_WANTED);
        /// The bits that name the writer, or count the readers.
        OWNER = !(READ_LOCK - 1);
    }
}
