//! Workloads of the memory system, as far as the dispatcher sees them.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

choices! {
    /// What comes between two chunks of a reap.
    Between { Nothing "nothing", Kpreempt "kpreempt" }

    /// How memory is asked for.
    Km { Sleep "sleep", NoSleep "nosleep" }

    /// Where it comes from.
    Source { Cache "cache", Heap "heap" }

    /// How a page is touched.
    Touch { Write "write", Read "read" }
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

    /// fills a cache with buffers, frees them, and reaps: each goes back to its slab by a destructor. A turn is a reap
    kmem_reap KmemReap
    {
        /// buffers, of 1024 bytes
        buffers: number(1..=65_536) = 1000,
        /// us that the destructor takes for one
        destructor_us: number(0..=1_000_000) = 200,
        /// clock ticks of sleep after the reap; 0 for none
        rest_ticks: number(0..=1_000_000) = 1,
    }

    /// takes memory and gives it back, again and again; a turn is one of these times
    kmem_user KmemUser
    {
        /// bytes of a buffer
        size: number(8..=1_048_576) = 256,
        /// buffers that it has at a time
        buffers: number(1..=65_536) = 64,
        /// cache: kmem_cache_alloc from a cache of its own, called as the thread; heap: kmem_alloc, which above 8192 bytes takes pages
        from: choice(Source) = Cache,
        /// sleep: KM_SLEEP; nosleep: KM_NOSLEEP, and goes without what it does not get
        how: choice(Km) = Sleep,
        /// us for which it keeps them, asleep
        hold_us: number(0..=60_000_000) = 1_000,
        /// us of sleep behind that
        rest_us: number(0..=60_000_000) = 1_000,
        /// us before it begins, asleep
        after_us: number(0..=60_000_000) = 10_000,
    }

    /// touches pages of its own, one after the other, again and again; needs zpool = 1. A turn is a page, which it may have to wait for, and to read from swap
    anon_user AnonUser
    {
        /// pages that it has; more than there are, and some are in swap
        pages: number(1..=65_536) = 256,
        /// write: changes each page, so that it has to be written before it is taken away; read: only looks
        touch: choice(Touch) = Write,
        /// us of work a page
        us: number(0..=1_000_000) = 5,
        /// us of sleep after a page, by a realtime callout; 0 for none
        pace_us: number(0..=60_000_000) = 0,
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
