//! Choosing a CPU for a thread: `cpu_score` and `disp_lowpri_cpu`.
//!
//! # Invariants
//! - Reads other CPUs' words without locks: the answer is a good guess, and what follows corrects a bad one.
//! - The result is never a `QUIESCED` or `OFFLINE` CPU.
//!
//! # What is not here
//! Locality groups, SMT exclusion and `cpu_inmotion`: one leaf holds every CPU for now.

use crate::cell::Cell;
use crate::cpu::{Cpu, flag};
use crate::platform;
use crate::thread::Kthread;

/// The CPU where `t` at `pri` would displace the least, starting to look at `hint` (`disp.c disp_lowpri_cpu`).
pub fn disp_lowpri_cpu(hint: &'static Cpu, t: &'static Kthread, pri: i32) -> &'static Cpu {
    let cpus = &platform::kernel().k_cpus;
    let first = hint.cpu_id as usize;
    let mut best = (i32::MAX, hint);
    for k in 0..cpus.len() {
        let cp = &cpus[(first + k) % cpus.len()];
        if cp.cpu_flags.get() & (flag::QUIESCED | flag::OFFLINE) != 0 {
            continue;
        }
        let score = cpu_score(cp, t);
        if score < best.0 {
            best = (score, cp);
            if score / 2 == -1 {
                break;
            }
        }
    }
    // With a single leaf there is no parent to look further in, whether or not `pri` beats the best score.
    let _ = pri;
    best.1
}

/// How much it would hurt to put `t` on `cp`: twice the best priority there, so that SMT may add one later
/// (`disp.c cpu_score`).
fn cpu_score(cp: &'static Cpu, t: &'static Kthread) -> i32 {
    let is_own = core::ptr::eq(t, platform::curthread()) && t.t_cpu.is(cp);
    let base = if is_own { -2 } else { 2 * i32::from(cp.cpu_dispatch_pri.get()) };
    base.max(2 * i32::from(cp.cpu_disp.disp_maxrunpri.get())).max(2 * i32::from(cp.cpu_chosen_level.get()))
}
