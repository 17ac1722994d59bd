//! `sys/thread.h`: a thread's state and flags, and what a thread is there for.
//!
//! # Invariants
//! - Numbers are Solaris's; [`role`] is Umpire's own.

values! {
    /// Values of `t_state`.
    ts: u32, "TS_" {
        /// Not in use.
        FREE = 0x00;
        /// Waits for an event.
        SLEEP = 0x01;
        /// On a run queue.
        RUN = 0x02;
        /// On a CPU, or chosen to be.
        ONPROC = 0x04;
        /// Ended.
        ZOMB = 0x08;
        /// Not to be run yet.
        STOPPED = 0x10;
        /// On the wait queue of its project's CPU cap.
        WAIT = 0x20;
    }
}

flags! {
    /// Bits of `t_flag`.
    tflag: u16, "T_" {
        /// An interrupt thread.
        INTR_THREAD = 0x0001;
    }
}

flags! {
    /// Bits of `t_proc_flag`.
    pflag: u16, "TP_" {
        /// Is to stop when it is next about to go to user mode, and until it is let go again.
        PRSTOP = 0x0010;
    }
}

flags! {
    /// Bits of `t_schedflag`.
    schedflag: u16, "TS_" {
        /// Loaded: may run.
        LOAD = 0x0001;
        /// Not to be swapped.
        DONT_SWAP = 0x0002;
        /// Its project is at its cap: the thread goes to the cap's wait queue when it is about to return to user mode.
        PROJWAITQ = 0x0020;
        /// Likewise for its zone.
        ZONEWAITQ = 0x0040;
        /// Match run-queue lengths at every priority.
        RUNQMATCH = 0x4000;
    } masks {
        /// Its project or its zone is at its cap.
        ANYWAITQ = PROJWAITQ | ZONEWAITQ;
    }
}

values! {
    /// What a thread is there for: decides where it begins.
    role: u8, "ROLE_" {
        /// Runs a workload of the scenario.
        SCENARIO = 0;
        /// Idles.
        IDLE = 1;
        /// Handles interrupts of level 1 to `LOCK_LEVEL`.
        INTR = 2;
        /// Keeps its CPU from running anything else while the CPUs are paused.
        PAUSE = 3;
        /// Runs what normal callouts call.
        CALLOUT = 4;
        /// Makes the scenario's events happen.
        SCRIPT = 5;
        /// Does what STREAMS leave to it.
        STREAMS = 6;
        /// Runs tasks of a task queue.
        TASKQ = 7;
        /// A part of the kernel that has a thread of its own: pageout, its scanner, txg sync and quiesce.
        DAEMON = 8;
    }
}
