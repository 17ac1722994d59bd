//! Workloads of the memory system, as far as the dispatcher sees them: long kernel work and a scanner that waits for a write.
//!
//! # Invariants
//! - Neither ever leaves the kernel; the scenario names what lets other threads run.

use crate::turn::{US, progress, rest, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::disp::kpreempt_sync;
use umpire_kernel::kmem::{
    self, KmemOps, NO_OPS, buf_at, buf_number, km, kmem_alloc, kmem_cache_create, kmem_free, raw_alloc,
    raw_free,
};
use umpire_kernel::net::packet::Chain;
use umpire_kernel::net::squeue::{SQ_FILL, squeue_enter};
use umpire_kernel::net::squeue_of;
use umpire_kernel::streams::strwrite::allocb_wait;
use umpire_kernel::time::callout::sleep_until;
use umpire_kernel::vm::{anon_reserve, anon_touch};
use umpire_kernel::{Kthread, platform};
use umpire_shared::NAME_LEN;
use umpire_shared::work::memory::{
    AnonUser, Between, Km, KmemReap, KmemUser, Memory, PageScanner, Reap, Source, Touch,
};

umpire_shared::memory_workloads!();

/// The reap of a large cache (illumos #7232): many chunks of kernel work, and between two of them, since the fix, an explicit
/// point at which a better thread goes first.
fn reap(t: &'static Kthread, Reap { chunk_us, chunks, between, rest_ticks }: Reap) {
    loop {
        for _ in 0..chunks {
            platform::spin(chunk_us * US);
            match between {
                Between::Nothing => {}
                Between::Kpreempt => kpreempt_sync(),
            }
            progress(t);
        }
        rest(rest_ticks);
    }
}

/// What takes a buffer of `kmem_reap` apart: for as many us as its first word says.
const SLOW: &KmemOps = &KmemOps {
    constructor: |_, _, _| true,
    destructor: |_, buf| platform::spin(buf_at(buf, 8)[0].get() * US),
};
/// Bytes of such a buffer.
const REAPED: u32 = 1024;

/// The reap of a large cache (illumos #7232): a long task of the kernel, which lets others run every `kmem_reap_preempt_bytes`.
fn kmem_reap(t: &'static Kthread, KmemReap { buffers, destructor_us, rest_ticks }: KmemReap) {
    let mut name = [0; NAME_LEN];
    let cache = kmem_cache_create(t.name(&mut name), REAPED, SLOW);
    let cache = cache.unwrap_or_else(|| panic!("kmem_reap: there are too many caches"));
    loop {
        let mut last = 0;
        for _ in 0..buffers {
            let Some(buf) = raw_alloc(cache, km::NOSLEEP) else { break };
            buf[0].set(destructor_us);
            buf[1].set(last);
            last = u64::from(buf_number(buf)) + 1;
        }
        while last != 0 {
            let buf = buf_at(last as u32 - 1, REAPED);
            last = buf[1].get();
            raw_free(cache, buf);
        }
        kmem::kmem_reap();
        progress(t);
        rest(rest_ticks);
    }
}

/// Takes buffers and gives them back. Those that it has are linked by their first words, so that it needs no memory for that.
fn kmem_user(t: &'static Kthread, p: KmemUser) {
    let nap = |us: u64| {
        if us != 0 {
            sleep_until(platform::now() + us * US);
        }
    };
    nap(p.after_us);
    let (size, mut name) = (p.size as u32, [0; NAME_LEN]);
    let cache = (p.from == Source::Cache).then(|| {
        let cache = kmem_cache_create(t.name(&mut name), size, NO_OPS);
        cache.unwrap_or_else(|| panic!("kmem_user: there are too many caches"))
    });
    let flags = if p.how == Km::Sleep { km::SLEEP } else { km::NOSLEEP };
    loop {
        // One more than the number of the last buffer, as in the buffers themselves: 0 is none.
        let mut last = 0;
        for _ in 0..p.buffers {
            let Some(buf) = cache.map_or_else(|| kmem_alloc(size, flags), |cp| raw_alloc(cp, flags)) else {
                continue;
            };
            buf[0].set(last);
            last = u64::from(buf_number(buf)) + 1;
        }
        nap(p.hold_us);
        while last != 0 {
            let buf = buf_at(last as u32 - 1, size);
            last = buf[0].get();
            match cache {
                Some(cp) => raw_free(cp, buf),
                None => kmem_free(buf, size),
            }
        }
        progress(t);
        nap(p.rest_us);
    }
}

/// Uses more memory than there may be.
fn anon_user(t: &'static Kthread, AnonUser { pages, touch, us, pace_us }: AnonUser) {
    let first = anon_reserve(pages as u32);
    loop {
        for n in 0..pages as u32 {
            anon_touch(first + n, touch == Touch::Write);
            platform::spin(us * US);
            progress(t);
            if pace_us != 0 {
                sleep_until(platform::now() + pace_us * US);
            }
        }
    }
}

/// The page scanner of illumos #1532, update 6: scans, asks a writer for a page and scans on until it is written. The pageout deadman
/// panics when that takes too long.
fn page_scanner(t: &'static Kthread, p: PageScanner) {
    let PageScanner { writer, scan_us, deadman_ms, between_us } = p;
    let queue = squeue_of(thread(writer));
    loop {
        platform::spin(between_us * US);
        let wanted = queue.sq_processed.get() + 1;
        squeue_enter(queue, Chain::one(allocb_wait(0)), SQ_FILL);
        let began = platform::now();
        while queue.sq_processed.get() < wanted {
            platform::spin(scan_us * US);
            let waited_ms = (platform::now() - began) / (1000 * US);
            assert!(waited_ms < deadman_ms, "pageout_deadman: no page was written for {waited_ms} ms");
        }
        progress(t);
    }
}
