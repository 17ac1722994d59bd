//! Leaving an interrupt thread that has blocked, for the thread that it pins (`thread_intr.c`).
//!
//! # Invariants
//! - `cpu_base_spl` changes here: when an interrupt thread is left for the thread that it pins, and when one that was left so ends.

use super::jump;
use crate::cell::{Cell, Counter};
use crate::sys::{Cpu, Kthread};
use crate::{platform, probe};
use umpire_shared::event::Kind;

/// Leaves an interrupt thread that cannot go on, for the thread that it pins (`thread_unpin`, `intr_passivate`). Returns, at
/// `DISP_LEVEL` or above, when the dispatcher chooses `it` as it chooses any thread.
#[cold]
pub(crate) fn thread_unpin(it: &'static Kthread, pinned: &'static Kthread) {
    platform::set_pil(15);
    let cp = platform::cpu();
    assert!(!cp.on_intr(), "swtch: thread {} blocks in a high-level interrupt handler", it.t_did);
    cp.cpu_stats.pswitch.bump();
    cp.cpu_stats.intrblk.bump();
    it.t_intr.set(None);
    set_base_spl(cp);
    probe::fire(Kind::OffCpu, it, u64::from(pinned.t_did));
    jump(cp, it, pinned);
}

/// Makes the highest level that is active the floor from now on (`set_base_spl`).
pub(crate) fn set_base_spl(cp: &Cpu) {
    let active = cp.cpu_intr_actv.get();
    cp.cpu_base_spl.set((active | 1).ilog2() as u8);
}
