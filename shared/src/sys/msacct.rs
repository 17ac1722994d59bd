//! `sys/msacct.h`: what a thread's time is charged to.
//!
//! # Invariants
//! - The numbers are indexes of `t_acct`, from 0 and without a gap.

values! {
    /// Microstates of a thread.
    lms: u8, "LMS_" {
        /// Running in user mode.
        USER = 0;
        /// Running in the kernel.
        SYSTEM = 1;
        /// Running in a trap other than a system call.
        TRAP = 2;
        /// Waiting for a text page.
        TFAULT = 3;
        /// Waiting for a data page.
        DFAULT = 4;
        /// Waiting for a kernel page.
        KFAULT = 5;
        /// Waiting for a lock: a mutex or rwlock.
        USER_LOCK = 6;
        /// Asleep otherwise.
        SLEEP = 7;
        /// On a run queue, or on the wait queue of a CPU cap.
        WAIT_CPU = 8;
        /// Stopped.
        STOPPED = 9;
    }
}

/// True for a microstate in which the thread has a CPU.
pub const fn is_running(state: u8) -> bool {
    matches!(state, lms::USER | lms::SYSTEM | lms::TRAP)
}
