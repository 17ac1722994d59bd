//! Workloads about where threads run.
//!
//! # Invariants
//! - Each checks what the kernel promised it, and panics if the promise was not kept.

use crate::turn::{US, progress, rest};
use umpire_kernel::cpu::bind::{thread_allowmigrate, thread_nomigrate};
use umpire_kernel::disp::{kpreempt_disable, kpreempt_enable};
use umpire_kernel::{Kthread, platform};
use umpire_shared::work::placement::{How, Pinned, Placement};

umpire_shared::placement_workloads!();

/// The number of pieces in which the work is done, with a look at the CPU after each.
const PIECES: u64 = 8;

/// Computes where it may not be moved, rests where it may.
fn pinned(t: &'static Kthread, Pinned { how, hold_us, think_us, rest_ticks }: Pinned) {
    let (pin, unpin): (fn(), fn()) = match how {
        How::Nomigrate => (thread_nomigrate, thread_allowmigrate),
        How::Nopreempt => (kpreempt_disable, kpreempt_enable),
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
        rest(rest_ticks);
    }
}
