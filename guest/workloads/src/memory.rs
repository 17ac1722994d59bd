//! Workloads of the memory system, as far as the dispatcher sees them: long kernel work and a scanner that waits for a write.
//!
//! # Invariants
//! - Neither ever leaves the kernel; what lets others in is named in the scenario.

use crate::{US, progress};
use umpire_kernel::cell::Cell;
use umpire_kernel::disp::kpreempt_sync;
use umpire_kernel::mailbox;
use umpire_kernel::time::callout::delay;
use umpire_kernel::{Kthread, platform};

/// The reap of a large cache (illumos #7232): many chunks of kernel work, and between two of them, since the fix, an explicit
/// point at which whoever is better goes first.
pub(crate) fn reap(t: &'static Kthread) {
    let [chunk_us, chunks, preemption_point, rest_ticks] = [0, 1, 2, 3].map(|n| t.arg(n));
    loop {
        for _ in 0..chunks {
            platform::spin(chunk_us * US);
            if preemption_point != 0 {
                kpreempt_sync();
            }
            progress(t);
        }
        if rest_ticks != 0 {
            delay(rest_ticks);
        }
    }
}

/// The page scanner of illumos #1532, update 6: scans, asks a writer for a page and scans on until it is written. The pageout deadman
/// panics when that takes too long.
pub(crate) fn page_scanner(t: &'static Kthread) {
    let [writer, scan_us, deadman_ms, between_us] = [0, 1, 2, 3].map(|n| t.arg(n));
    let queue = &platform::kernel().k_mailboxes[writer as usize];
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
