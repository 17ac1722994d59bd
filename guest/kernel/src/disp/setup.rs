//! The preemption thresholds, from the tunables (`disp.c dispinit`, `disp_setup`).
//!
//! # Invariants
//! - `kpqpri` takes its value before `only_intr_kpreempt` changes `kpreemptpri`, as in disp.c: it keeps what it had.

use core::sync::atomic::AtomicI32;

use super::NPRI;
use crate::cell::Cell;
use crate::kernel::Kernel;
use crate::lock::SharedPtr;
use crate::sys::Cpu;
use umpire_shared::tunable;

/// The values by which the dispatcher decides.
#[repr(C)]
#[derive(Debug, Default)]
pub struct DispState {
    /// `kpreemptpri` after dispinit.
    pub kpreemptpri: AtomicI32,
    /// `kpqpri` after dispinit.
    pub kpqpri: AtomicI32,
    /// `upreemptpri`.
    pub upreemptpri: AtomicI32,
    /// The CPU that is about to go offline or to another partition.
    pub cpu_inmotion: SharedPtr<Cpu>,
}

impl DispState {
    /// Before [`disp_setup`].
    pub fn new() -> DispState {
        DispState::default()
    }
}

/// Derives `kpreemptpri`, `kpqpri` and `upreemptpri`: at boot, and when one of their tunables changes.
pub fn disp_setup(kernel: &Kernel) {
    let mut kpreemptpri = kernel.tunable_at_boot(tunable::KPREEMPTPRI) as i32;
    let kpqpri = kernel.tunable_at_boot(tunable::KPQPRI) as i32;
    kernel.k_disp.kpqpri.set(if kpqpri == -1 { kpreemptpri } else { kpqpri });
    if kernel.tunable_at_boot(tunable::ONLY_INTR_KPREEMPT) != 0 {
        kpreemptpri = kernel.intr_pri() + 1;
    }
    kernel.k_disp.kpreemptpri.set(kpreemptpri);
    kernel.k_disp.upreemptpri.set(kernel.tunable_at_boot(tunable::UPREEMPTPRI) as i32);
    debug_assert!(kernel.v_nglobpris.get() <= NPRI as i32, "a level for every priority");
}
