//! Workloads about where threads run.
//!
//! # Invariants
//! - Each checks what it was promised and panics if the promise was not kept.

use crate::{US, progress};
use umpire_kernel::cpu::bind::{thread_allowmigrate, thread_nomigrate};
use umpire_kernel::thread::{kpreempt_disable, kpreempt_enable};
use umpire_kernel::time::callout::delay;
use umpire_kernel::{Kthread, platform};

/// `how = "nopreempt"`.
const NOPREEMPT: u64 = 1;
/// Pieces that the work is done in, with a look at the CPU after each.
const PIECES: u64 = 8;

/// Computes where it may not be moved, rests where it may.
pub(crate) fn pinned(t: &'static Kthread) {
    let [how, hold_us, think_us, rest_ticks] = [0, 1, 2, 3].map(|n| t.arg(n));
    let (pin, unpin): (fn(), fn()) = if how == NOPREEMPT {
        (kpreempt_disable, kpreempt_enable)
    } else {
        (thread_nomigrate, thread_allowmigrate)
    };
    loop {
        pin();
        let home = platform::cpu().cpu_id;
        for _ in 0..PIECES {
            platform::spin(hold_us * US / PIECES);
            let here = platform::cpu().cpu_id;
            assert!(here == home, "workload pinned: on CPU {home}, then on CPU {here}");
        }
        unpin();
        platform::spin(think_us * US);
        progress(t);
        if rest_ticks != 0 {
            delay(rest_ticks);
        }
    }
}
