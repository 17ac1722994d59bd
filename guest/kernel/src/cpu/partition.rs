//! Partitions (`cpupart.c`): CPUs that share a kp queue, and the threads that may run on them.
//!
//! # Invariants
//! - Every CPU is in one partition, every thread too; an unbound thread is put only on queues of its own partition.
//! - `cp_cpus`, `cp_onln` and `cp_ncpus`, and with them the lists of its locality groups, change under `cpu_lock` with every other CPU
//!   paused. Code that may not be preempted reads them without a lock; other code reads a hint that the next enqueue corrects.
//! - The default partition, and a partition with threads in it, always has a CPU online.

use super::bind::{
    break_bindings, is_well_placed, leave_cpu, rehome_threads, wait_for_bound, weakbinding_start,
    weakbinding_stop,
};
use super::pause::{pause_cpus, start_cpus};
use crate::cell::Cell;
use crate::disp::{disp_cpu_inactive, thread_unlock};
use crate::lgrp::{lgrp_change_part, lgrp_part_add_cpu, lgrp_set_online};
use crate::lock::thread_lock;
use crate::platform;
use crate::sys::lgrp::root;
use crate::sys::thread::{lwp, role, ts};
use crate::sys::{Cpu, Cpupart, Kthread};
use umpire_shared::program::class;
use umpire_shared::{errno, mutant};

impl Cpupart {
    /// Takes a CPU out. Called with the CPUs paused.
    fn remove(&self, cp: &Cpu) {
        self.deactivate(cp);
        self.cp_cpus.set(self.cp_cpus.get() & !(1 << cp.cpu_id));
    }

    /// Puts a CPU of this partition on the lists that the dispatcher walks (`cpu_add_active`).
    pub(super) fn activate(&self, cp: &Cpu) {
        self.set_online(self.cp_onln.get() | 1 << cp.cpu_id);
        lgrp_set_online(cp, true);
    }

    /// Takes a CPU off those lists (`cpu_remove_active`).
    pub(super) fn deactivate(&self, cp: &Cpu) {
        self.set_online(self.cp_onln.get() & !(1 << cp.cpu_id));
        lgrp_set_online(cp, false);
    }

    fn set_online(&self, cpus: u64) {
        self.cp_onln.set(cpus);
        self.cp_ncpus.set(cpus.count_ones());
    }

    /// True if a thread that has not ended may run only here. The kernel's own threads for each CPU do not count.
    fn has_threads(&'static self) -> bool {
        platform::kernel().threads().any(|t| {
            t.t_cpupart.is(self)
                && matches!(t.t_role.get(), role::SCENARIO | role::SCRIPT)
                && !matches!(t.t_state.get(), ts::FREE | ts::ZOMB)
        })
    }
}

/// Adds a CPU to a partition; online unless its flags say otherwise. Called at boot and with the CPUs paused.
pub(crate) fn cpupart_add_cpu(part: &'static Cpupart, cp: &'static Cpu) {
    part.cp_cpus.set(part.cp_cpus.get() | 1 << cp.cpu_id);
    cp.cpu_part.set(Some(part));
    lgrp_part_add_cpu(part, cp);
    if !cp.is_offline() {
        part.activate(cp);
    }
}

/// Moves a CPU to another partition (`cpupart.c cpupart_attach_cpu`, `cpupart_move_cpu`). The caller holds `cpu_lock` and
/// is at level 0; it may sleep meanwhile. Returns an errno, 0 for success.
///
/// EBUSY: it is the last CPU online of the default partition or of one with threads, or a thread is bound to it.
pub fn cpupart_attach_cpu(part: &'static Cpupart, cp: &'static Cpu) -> u32 {
    let kernel = platform::kernel();
    let old = cp.part();
    if core::ptr::eq(old, part) {
        return 0;
    }
    let is_last = old.has_online(cp) && old.cp_ncpus.get() == 1;
    if is_last && (old.cp_id == 0 || old.has_threads()) {
        return errno::EBUSY;
    }
    if let Err(busy) = break_bindings(cp, false) {
        return busy;
    }
    kernel.k_disp.cpu_inmotion.set(Some(cp));
    weakbinding_stop();
    let moved = loop {
        if wait_for_bound(cp, true).is_err() {
            break errno::EBUSY;
        }
        pause_cpus(Some(cp));
        if super::bind::has_bound_threads(cp, true) {
            start_cpus();
            continue;
        }
        move_paused(old, part, cp);
        start_cpus();
        break 0;
    };
    kernel.k_disp.cpu_inmotion.set(None);
    weakbinding_start();
    moved
}

/// Every other CPU is paused and no thread that counts is bound to `cp` (`has_bound_threads`).
fn move_paused(old: &'static Cpupart, new: &'static Cpupart, cp: &'static Cpu) {
    old.remove(cp);
    if old.cp_ncpus.get() != 0 {
        rehome_threads(cp);
        disp_cpu_inactive(cp);
    }
    for t in platform::kernel().threads() {
        if t.t_bound_cpu.is(cp) && t.t_role.get() != role::SCENARIO {
            t.t_cpupart.set(Some(new));
            t.t_lpl.set(Some(root(new)));
        }
    }
    cpupart_add_cpu(new, cp);
}

/// Moves a thread to another partition (`cpupart.c cpupart_bind_thread`). The caller holds `cpu_lock`. Returns an errno,
/// 0 for success.
///
/// EPERM: threads of class SYS, which are those of process 0, and of class SDC stay where they are. ESRCH: it has ended.
/// EINVAL: the partition has no CPU online. EBUSY: it is bound to a CPU, other than softly.
pub fn cpupart_bind_thread(t: &'static Kthread, part: &'static Cpupart) -> u32 {
    let cid = u32::from(t.t_cid.get());
    // A thread without an LWP is one of the kernel's own process, whatever its class.
    if cid == class::SYS || cid == class::SDC || t.lwp_state.get() == lwp::NONE {
        return errno::EPERM;
    }
    if part.cp_ncpus.get() == 0 {
        return errno::EINVAL;
    }
    thread_lock(t);
    let refused = match t.t_state.get() {
        ts::FREE | ts::ZOMB => errno::ESRCH,
        _ if t.t_cpupart.is(part) => 0,
        _ if t.t_affinitycnt.get() != 0 || !super::bind::unbind_soft(t) => errno::EBUSY,
        _ => {
            t.t_cpupart.set(Some(part));
            lgrp_change_part(t, part);
            if !is_well_placed(t) && !platform::kernel().is_mutant(mutant::PSET_UNHEEDED) {
                leave_cpu(t);
            }
            0
        }
    };
    thread_unlock(t);
    refused
}
