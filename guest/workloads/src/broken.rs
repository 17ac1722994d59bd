//! Workloads that break the kernel, so that the referee can be seen to notice and to survive.
//!
//! # Invariants
//! - Each does its harm from safe code, through the kernel's own objects.

use crate::turn::{US, progress};
use umpire_kernel::cell::Cell;
use umpire_kernel::kmem::{buf_at, buf_number, km, kmem_alloc, kmem_free};
use umpire_kernel::{Kthread, platform, spl};
use umpire_shared::work::broken::{Broken, Corrupt, Harm, KmemMisuse, Misuse, Overflow, Panic, PilLoop};

umpire_shared::broken_workloads!();

/// Raises the priority level and spins there.
fn pil_loop(t: &'static Kthread, PilLoop { pil, after_us }: PilLoop) {
    platform::spin(after_us * US);
    spl::splr(pil as u32);
    loop {
        platform::spin(50 * US);
        progress(t);
    }
}

/// Panics the kernel.
fn panic(_t: &'static Kthread, Panic { after_us }: Panic) {
    platform::spin(after_us * US);
    panic!("workload panic: asked for by the scenario");
}

/// Runs off the end of its stack.
fn overflow(t: &'static Kthread, Overflow { after_us }: Overflow) {
    platform::spin(after_us * US);
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

/// Misuses a buffer, and then uses the allocator as others do.
fn kmem_misuse(t: &'static Kthread, KmemMisuse { what, after_us }: KmemMisuse) {
    const SIZE: u32 = 256;
    platform::spin(after_us * US);
    let alloc = || kmem_alloc(SIZE, km::SLEEP).expect("invariant: who may sleep gets memory");
    let buf = alloc();
    if what == Misuse::Overrun {
        buf_at(buf_number(buf), SIZE + 8)[SIZE as usize / 8].set(1);
    }
    kmem_free(buf, SIZE);
    match what {
        Misuse::FreeTwice => kmem_free(buf, SIZE),
        _ => buf[1].set(1),
    }
    loop {
        kmem_free(alloc(), SIZE);
        progress(t);
        platform::spin(50 * US);
    }
}

/// Breaks the dispatcher's data of the CPU it runs on.
fn corrupt(t: &'static Kthread, Corrupt { what, after_us }: Corrupt) {
    platform::spin(after_us * US);
    spl::splhigh();
    let dp = &platform::cpu().cpu_disp;
    match what {
        Harm::RunQueueCycle => {
            // Levels 1 to 59 all hold one thread that is its own successor, and no lock is held.
            for pri in 1..60 {
                dp.disp_q[pri].dq_first.set(Some(t));
            }
            t.t_link.set(Some(t));
            dp.disp_qactmap[0].set(u64::MAX >> 4);
        }
        Harm::HeldLock => dp.disp_lock.enter_high(),
    }
    loop {
        platform::spin(50 * US);
        progress(t);
    }
}
