//! Workloads of the memory system, as far as the dispatcher sees them: long kernel work and a scanner that waits for a write.
//!
//! # Invariants
//! - Neither ever leaves the kernel; the scenario names what lets other threads run.

use crate::turn::{US, progress, rest, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::disp::kpreempt_sync;
use umpire_kernel::work::mailbox;
use umpire_kernel::{Kthread, platform};
use umpire_shared::work::memory::{Between, Memory, PageScanner, Reap};

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

/// The page scanner of illumos #1532, update 6: scans, asks a writer for a page and scans on until it is written. The pageout deadman
/// panics when that takes too long.
fn page_scanner(t: &'static Kthread, p: PageScanner) {
    let PageScanner { writer, scan_us, deadman_ms, between_us } = p;
    let queue = mailbox::mailbox_of(thread(writer));
    loop {
        platform::spin(between_us * US);
        let wanted = queue.mb_taken.get() + 1;
        mailbox::post(queue, 1);
        let began = platform::now();
        while queue.mb_taken.get() < wanted {
            platform::spin(scan_us * US);
            let waited_ms = (platform::now() - began) / (1000 * US);
            assert!(waited_ms < deadman_ms, "pageout_deadman: no page was written for {waited_ms} ms");
        }
        progress(t);
    }
}
