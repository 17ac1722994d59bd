//! Workloads that break the kernel, so that the referee can be seen to notice and to survive.
//!
//! # Invariants
//! - Each does its harm from safe code, through the kernel's own objects.

use crate::{US, progress};
use umpire_kernel::cell::Cell;
use umpire_kernel::intr::spl;
use umpire_kernel::{Kthread, platform};

/// Raises the priority level and spins there.
pub(crate) fn pil_loop(t: &'static Kthread) {
    platform::spin(t.arg(1) * US);
    spl::splr(t.arg(0) as u32);
    loop {
        platform::spin(50 * US);
        progress(t);
    }
}

/// Panics the kernel.
pub(crate) fn panic(t: &'static Kthread) {
    platform::spin(t.arg(0) * US);
    panic!("workload panic: asked for by the scenario");
}

/// Runs off the end of its stack.
pub(crate) fn overflow(t: &'static Kthread) {
    platform::spin(t.arg(0) * US);
    let depth = recurse(t, 1);
    panic!("workload overflow: came back from depth {depth}");
}

#[inline(never)]
fn recurse(t: &'static Kthread, depth: u64) -> u64 {
    if depth == u64::MAX {
        return 0;
    }
    let frame = [depth; 64];
    progress(t);
    let below = recurse(t, core::hint::black_box(depth + 1));
    core::hint::black_box(&frame);
    below + frame[63]
}

/// Breaks the dispatcher's data of the CPU it runs on.
pub(crate) fn corrupt(t: &'static Kthread) {
    const RUN_QUEUE_CYCLE: u64 = 0;
    platform::spin(t.arg(1) * US);
    spl::splhigh();
    let dp = &platform::cpu().cpu_disp;
    if t.arg(0) == RUN_QUEUE_CYCLE {
        // Levels 1 to 59 all hold one thread that is its own successor, and nobody's lock is held.
        for pri in 1..60 {
            dp.disp_q[pri].dq_first.set(Some(t));
        }
        t.t_link.set(Some(t));
        dp.disp_qactmap[0].set(u64::MAX >> 4);
    } else {
        dp.disp_lock.enter_high();
    }
    loop {
        platform::spin(50 * US);
        progress(t);
    }
}
