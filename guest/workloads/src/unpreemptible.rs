//! A workload that may not be preempted in the kernel, though interrupts come in.
//!
//! # Invariants
//! - `t_preempt` stays raised for good, so the thread could give up its CPU only by sleeping, and it never sleeps.

use crate::turn::{US, progress};
use umpire_kernel::disp::kpreempt_disable;
use umpire_kernel::{Kthread, platform};
use umpire_shared::work::unpreemptible::{NopreemptLoop, Unpreemptible};

umpire_shared::unpreemptible_workloads!();

/// Computes in the kernel for ever with preemption disabled: no `kpreemptpri` helps, and the clock goes on ticking.
fn nopreempt_loop(t: &'static Kthread, NopreemptLoop { after_us, chunk_us }: NopreemptLoop) {
    platform::spin(after_us * US);
    kpreempt_disable();
    loop {
        platform::spin(chunk_us * US);
        progress(t);
    }
}
