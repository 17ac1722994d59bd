//! Workloads of the memory system, as far as the dispatcher sees them.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

choices! {
    /// What comes between two chunks of a reap.
    Between { Nothing "nothing", Kpreempt "kpreempt" }
}

workloads! {
    Memory, memory_workloads;

    /// long kernel work in chunks, as the reap of a kmem cache
    reap Reap {
        /// us of work a chunk
        chunk_us: number(1..=1_000_000) = 1000,
        /// chunks before it rests
        chunks: number(1..=1_000_000) = 500,
        /// kpreempt: kpreempt(KPREEMPT_SYNC) after each chunk, as since illumos #7232
        between: choice(Between) = Nothing,
        /// clock ticks of sleep after the last chunk; 0 for none
        rest_ticks: number(0..=1_000_000) = 1,
    }

    /// asks a writer for a page and scans in the kernel until it is written; panics if that takes too long
    page_scanner PageScanner
    needs {
        /// who writes pages: a thread that runs squeue
        writer: thread,
    }
    {
        /// us between two looks
        scan_us: number(1..=1_000_000) = 50,
        /// ms without a page before it panics (pageout_deadman_seconds)
        deadman_ms: number(1..=3_600_000) = 90_000,
        /// us of scanning before it asks for the next page
        between_us: number(0..=1_000_000) = 1_000,
    }
}
