//! `sys/klwp.h`: where a light-weight process is.
//!
//! # Invariants
//! - Numbers are Solaris's; `NONE` is Umpire's, for a thread that has no LWP.

values! {
    /// Values of `lwp_state`.
    lwp: u8, "LWP_" {
        /// No LWP at all.
        NONE = 0;
        /// In user mode: interrupts return to user.
        USER = 1;
        /// In the kernel.
        SYS = 2;
    }
}
