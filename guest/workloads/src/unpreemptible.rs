//! A workload that may not be preempted in the kernel, though interrupts come in.
//!
//! # Invariants
//! - `t_preempt` stays raised for good, so nothing but sleeping would give its CPU up, and it never sleeps.

use crate::{US, progress};
use umpire_kernel::thread::kpreempt_disable;
use umpire_kernel::{Kthread, platform};

/// Computes in the kernel for ever with preemption disabled: no `kpreemptpri` helps, and the clock goes on ticking.
pub(crate) fn nopreempt_loop(t: &'static Kthread) {
    let [after_us, chunk_us] = [0, 1].map(|n| t.arg(n));
    platform::spin(after_us * US);
    kpreempt_disable();
    loop {
        platform::spin(chunk_us * US);
        progress(t);
    }
}
