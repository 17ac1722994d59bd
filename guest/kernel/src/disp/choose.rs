//! Choosing a CPU for a thread: `cpu_score` and `disp_lowpri_cpu`.
//!
//! # Invariants
//! - Reads other CPUs' words without locks: the answer is a good guess, and what follows corrects a bad one.
//! - The result is online, and so not quiesced, and in the thread's partition, unless that has no CPU.
//! - `cpu_inmotion` is the last resort.
//!
//! # What is not here
//! SMT exclusion.

use crate::cell::Cell;
use crate::platform;
use crate::sys::{Cpu, Kthread};

/// Worse than any priority (`SHRT_MAX`).
const WORST: i32 = i16::MAX as i32;

/// The CPU where `t`, at `pri`, would displace the least, starting to look at `hint` (`disp.c disp_lowpri_cpu`).
///
/// The best of the CPUs of its home is taken if `pri` beats what waits or runs there. Else the best of the parent's CPUs, those of
/// the home left out, is taken under the same condition: an idle CPU far away is better than a queue at home. If that fails
/// too, the best CPU at home is taken.
pub fn disp_lowpri_cpu(hint: &'static Cpu, t: &'static Kthread, pri: i32) -> &'static Cpu {
    let mut besthome = (i32::MAX, hint);
    let mut done = 0;
    let mut level = Some(t.lpl());
    while let Some(lpl) = level {
        let mut best = (i32::MAX, hint);
        for leaf in lpl.leaves(!done, 0) {
            let first = if leaf.has_online(hint) { hint.cpu_id } else { 0 };
            for cp in leaf.ring(first) {
                let score = cpu_score(cp, t);
                if score < best.0 {
                    best = (score, cp);
                    if score / 2 == -1 {
                        return cp;
                    }
                }
            }
        }
        if pri > best.0 / 2 {
            return best.1;
        }
        // A CPU in motion is not chosen as long as there is another.
        if besthome.0 >= WORST && best.0 < besthome.0 {
            besthome = best;
        }
        done |= lpl.lpl_rset.get();
        level = lpl.next_level();
    }
    besthome.1
}

/// How much it would hurt to put `t` on `cp`: twice the best priority there, so that SMT may add one later
/// (`disp.c cpu_score`). The CPU in motion comes last even for the thread that runs there: `thread_nomigrate` waits for it
/// to leave.
fn cpu_score(cp: &'static Cpu, t: &'static Kthread) -> i32 {
    let is_own = core::ptr::eq(t, platform::curthread()) && t.t_cpu.is(cp);
    let base = if platform::kernel().k_disp.cpu_inmotion.is(cp) {
        WORST
    } else if is_own {
        -2
    } else {
        2 * i32::from(cp.cpu_dispatch_pri.get())
    };
    base.max(2 * i32::from(cp.cpu_disp.disp_maxrunpri.get())).max(2 * i32::from(cp.cpu_chosen_level.get()))
}
