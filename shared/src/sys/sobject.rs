//! `sys/sobject.h`: what a thread sleeps on.
//!
//! # Invariants
//! - Numbers are Solaris's.

values! {
    /// Kinds of synchronisation objects, as `t_sobj` and a turnstile's `ts_sobj_type` have them.
    sobj: u8, "SOBJ_" {
        /// Nothing.
        NONE = 0;
        /// A mutex.
        MUTEX = 1;
        /// An rwlock.
        RWLOCK = 2;
        /// A condition variable, or anything else that is waited for without an object.
        CV = 3;
        /// A semaphore.
        SEMA = 4;
    }
}
