//! The preemption thresholds, from the tunables (`disp.c dispinit`, `disp_setup`).
//!
//! # Invariants
//! - `kpqpri` takes its value before `only_intr_kpreempt` changes `kpreemptpri`, as in disp.c: it keeps what it had.

use super::NPRI;
use crate::cell::Cell;
use crate::kernel::Kernel;
use umpire_shared::tunable;

/// Derives `kpreemptpri`, `kpqpri` and `upreemptpri`: at boot, and when one of their tunables changes.
pub fn disp_setup(kernel: &Kernel) {
    let mut kpreemptpri = kernel.tunable_at_boot(tunable::KPREEMPTPRI) as i32;
    let kpqpri = kernel.tunable_at_boot(tunable::KPQPRI) as i32;
    kernel.kpqpri.set(if kpqpri == -1 { kpreemptpri } else { kpqpri });
    if kernel.tunable_at_boot(tunable::ONLY_INTR_KPREEMPT) != 0 {
        kpreemptpri = kernel.intr_pri() + 1;
    }
    kernel.kpreemptpri.set(kpreemptpri);
    kernel.upreemptpri.set(kernel.tunable_at_boot(tunable::UPREEMPTPRI) as i32);
    debug_assert!(kernel.v_nglobpris.get() <= NPRI as i32, "a level for every priority");
}
