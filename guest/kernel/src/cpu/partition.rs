//! Partitions (`cpupart.c`): CPUs that share a kp queue, and the threads that may run on them.
//!
//! # Invariants
//! - Every CPU is in one partition, every thread too; an unbound thread is put only on queues of its own.
//! - `cp_cpus`, `cp_onln` and `cp_ncpus`, and with them the lists of its locality groups, change under `cpu_lock` with every other CPU paused. Who may not be preempted
//!   reads them without a lock; who may be, reads a hint that the next enqueue corrects.
//! - The default partition, and a partition with threads in it, always has a CPU online.

use core::sync::atomic::{AtomicU32, AtomicU64};

use super::Cpu;
use super::bind::{
    break_bindings, is_well_placed, leave_cpu, rehome_threads, wait_for_bound, weakbinding_start,
    weakbinding_stop,
};
use super::lgrp::{lgrp_change_part, lgrp_part_add_cpu, lgrp_set_online, root};
use super::pause::{pause_cpus, start_cpus};
use crate::cell::Cell;
use crate::disp::{Disp, disp_cpu_inactive};
use crate::kernel::Kernel;
use crate::lock::{thread_lock, thread_unlock};
use crate::platform;
use crate::thread::{Kthread, role, ts};
use umpire_shared::errno;
use umpire_shared::program::class;

/// `cpupart_t`: CPUs that share a queue for threads that preempt the kernel.
#[repr(C)]
#[derive(Debug)]
pub struct Cpupart {
    /// Threads at `kpqpri` or better that are bound to no CPU.
    pub cp_kp_queue: Disp,
    /// 0 for the default partition, else its place among the scenario's processor sets plus one.
    pub cp_id: u32,
    /// CPUs that are online.
    pub cp_ncpus: AtomicU32,
    /// The CPUs in it, a bit each, offline ones included.
    pub cp_cpus: AtomicU64,
    /// Those of them that are online (`cp_cpulist`).
    pub cp_onln: AtomicU64,
    /// CPUs that are halted, a bit each.
    pub cp_haltset: AtomicU64,
    /// Accumulated by `clock()`: threads on the kp queue.
    pub cp_nrunnable_cum: AtomicU64,
    /// Accumulated once a second: threads on its CPUs' queues.
    pub cp_nrunnable: AtomicU64,
    /// Accumulated once a second: its CPUs that run a thread.
    pub cp_nrunning: AtomicU64,
    /// Clock ticks that `cp_nrunnable_cum` covers.
    pub cp_updates: AtomicU64,
}

impl Cpupart {
    /// An empty partition, number `id`.
    pub fn new(id: u32) -> Cpupart {
        Cpupart {
            cp_kp_queue: Disp::new(),
            cp_id: id,
            cp_ncpus: AtomicU32::new(0),
            cp_cpus: AtomicU64::new(0),
            cp_onln: AtomicU64::new(0),
            cp_haltset: AtomicU64::new(0),
            cp_nrunnable_cum: AtomicU64::new(0),
            cp_nrunnable: AtomicU64::new(0),
            cp_nrunning: AtomicU64::new(0),
            cp_updates: AtomicU64::new(0),
        }
    }

    /// True if `cp` is in it and online.
    #[inline(always)]
    pub fn has_online(&self, cp: &Cpu) -> bool {
        self.cp_onln.get() >> cp.cpu_id & 1 != 0
    }

    /// Its online CPUs, each once, in the order of the ring (`cpu_next_part`): from CPU `first` on, or from the next one
    /// after it.
    #[inline(always)]
    pub fn ring(&self, first: u32) -> Ring {
        Ring::new(self.cp_onln.get(), first)
    }

    /// Adds a CPU; online unless its flags say otherwise. Called at boot and with the CPUs paused.
    pub(crate) fn add(&'static self, cp: &'static Cpu) {
        self.cp_cpus.set(self.cp_cpus.get() | 1 << cp.cpu_id);
        cp.cpu_part.set(Some(self));
        lgrp_part_add_cpu(self, cp);
        if !cp.is_offline() {
            self.activate(cp);
        }
    }

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

    /// True if a thread that has not ended may run only here, the kernel's own threads for each CPU apart.
    fn has_threads(&'static self) -> bool {
        platform::kernel().k_threads.iter().any(|t| {
            t.t_cpupart.is(self)
                && matches!(t.t_role.get(), role::SCENARIO | role::SCRIPT)
                && !matches!(t.t_state.get(), ts::FREE | ts::ZOMB)
        })
    }
}

/// CPUs of a set, once round from a given one.
#[derive(Debug, Clone, Copy)]
pub struct Ring {
    /// Those at or after the first, still to come.
    later: u64,
    /// Those before it.
    earlier: u64,
}

impl Ring {
    /// The CPUs of `set`, a bit each, starting at number `first`, which is less than 64.
    #[inline(always)]
    pub fn new(set: u64, first: u32) -> Ring {
        let before = (1 << (first & 63)) - 1;
        Ring { later: set & !before, earlier: set & before }
    }
}

impl Iterator for Ring {
    type Item = &'static Cpu;

    #[inline(always)]
    fn next(&mut self) -> Option<&'static Cpu> {
        if self.later == 0 {
            self.later = core::mem::take(&mut self.earlier);
        }
        if self.later == 0 {
            return None;
        }
        let id = self.later.trailing_zeros();
        self.later &= self.later - 1;
        Some(&platform::kernel().k_cpus[id as usize])
    }
}

impl Kernel {
    /// Every partition, the default one first.
    pub fn partitions(&self) -> impl Iterator<Item = &Cpupart> {
        core::iter::once(&self.cp_default).chain(self.k_psets.iter())
    }

    /// The partition of this number, 0 for the default one.
    pub fn partition(&self, id: usize) -> Option<&Cpupart> {
        if id == 0 { Some(&self.cp_default) } else { self.k_psets.get(id - 1) }
    }

    /// CPUs online, a bit each.
    pub fn online_cpus(&self) -> u64 {
        self.partitions().fold(0, |all, part| all | part.cp_onln.get())
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
    kernel.cpu_inmotion.set(Some(cp));
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
    kernel.cpu_inmotion.set(None);
    weakbinding_start();
    moved
}

/// Every other CPU is paused and nobody is bound to `cp`.
fn move_paused(old: &'static Cpupart, new: &'static Cpupart, cp: &'static Cpu) {
    old.remove(cp);
    if old.cp_ncpus.get() != 0 {
        rehome_threads(cp);
        disp_cpu_inactive(cp);
    }
    for t in &platform::kernel().k_threads {
        if t.t_bound_cpu.is(cp) && t.t_role.get() != role::SCENARIO {
            t.t_cpupart.set(Some(new));
            t.t_lpl.set(Some(root(new)));
        }
    }
    new.add(cp);
}

/// Moves a thread to another partition (`cpupart.c cpupart_bind_thread`). The caller holds `cpu_lock`. Returns an errno,
/// 0 for success.
///
/// EPERM: threads of process 0, in class SYS or without an LWP, and of class SDC stay where they are. ESRCH: it has ended.
/// EINVAL: the partition has no CPU online. EBUSY: it is bound to a CPU, other than softly.
pub fn cpupart_bind_thread(t: &'static Kthread, part: &'static Cpupart) -> u32 {
    let cid = u32::from(t.t_cid.get());
    if cid == class::SYS || cid == class::SDC {
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
            if !is_well_placed(t) {
                leave_cpu(t);
            }
            0
        }
    };
    thread_unlock(t);
    refused
}
