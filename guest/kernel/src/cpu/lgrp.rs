//! Locality groups (`lgrp.c`): CPUs that are near to each other, and the home that each thread has among them.
//!
//! CPU `n` of `ncpus` is in leaf `n * lgroups / ncpus`.
//! A partition has one [`Lpl`] for each leaf and a root above them; on a machine of one group the root is the leaf.
//!
//! ```text
//!   partition 0:   root (lgrpid 0)           partition 1:   root
//!                  /    \                                   /    \
//!             leaf 1    leaf 2                         leaf 1    leaf 2
//!             CPU 0 1   CPU 2                          (empty)   CPU 3
//! ```
//!
//! # Invariants
//! - `lpl_cpus`, `lpl_ncpu`, `lpl_rset`, `lpl_nrset` and `cpu_lpl` change at boot, and under `cpu_lock` with every other CPU paused.
//!   A paused CPU runs its pause thread, so nobody who may not be preempted is in the middle of a walk then: he sees the
//!   lists of one moment. Who may be preempted reads a hint, as with a partition's lists. So relaxed reads suffice; what the
//!   pauser wrote is visible to who runs after the pause by the semaphores and flags of `start_cpus`.
//! - `lpl_cpus` are the leaf's CPUs that are online; the root's are `cp_onln`. `lpl_rset` are the leaves that have any.
//! - `t_lpl` is one of `t_cpupart`'s, and changes with it, under the thread's lock or with the CPUs paused.
//! - A thread's home has a CPU online, unless its partition has none.
//!
//! # What is not here
//! More than two levels, latencies, memory. `lgrp_expand_proc`: a process is one thread here and has no second home to spread to.
//! A thread whose home has come back online stays where it was moved to.

use core::sync::atomic::{AtomicU32, AtomicU64};

use super::partition::Ring;
use super::{Cpu, Cpupart};
use crate::cell::Cell;
use crate::kernel::Kernel;
use crate::lock::SharedPtr;
use crate::platform;
use crate::thread::Kthread;
use umpire_shared::mutant;

mod load;

pub use load::{LGRP_LOADAVG_THREAD_MAX, lgrp_load_update, lgrp_loadavg, loadavg_aged, loadavg_factor};

/// `lpl_lgrpid` of a root (`sys/lgrp.h`). A leaf's is its number plus one.
pub const LGRP_ROOTID: u32 = 0;

/// `lpl_t`: what a locality group has in a partition.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Lpl {
    /// Its CPUs that are online, a bit each: the ring `cpu_next_lpl` of a leaf.
    pub lpl_cpus: AtomicU64,
    /// Leaves under it that have a CPU online, itself if it is one: bit `n` for leaf `n` of the partition (`lpl_rset`).
    pub lpl_rset: AtomicU64,
    /// The group that holds this one; null for the root.
    pub lpl_parent: SharedPtr<Lpl>,
    /// How many `lpl_cpus` are.
    pub lpl_ncpu: AtomicU32,
    /// How many `lpl_rset` are.
    pub lpl_nrset: AtomicU32,
    /// Runnable threads a CPU, lately: fixed point with 16 fraction bits.
    pub lpl_loadavg: AtomicU32,
    /// [`LGRP_ROOTID`], or the leaf's number plus one.
    pub lpl_lgrpid: u32,
    /// Its number among the partition's leaves; 0 for the root.
    lpl_leaf: u32,
    /// Where the partition's leaf 0 is in `k_lpls`.
    lpl_leaves: u32,
}

impl Lpl {
    /// True for the group of the whole partition.
    #[inline(always)]
    pub fn is_root(&self) -> bool {
        self.lpl_lgrpid == LGRP_ROOTID
    }

    /// True if `cp` is online in it.
    #[inline(always)]
    pub fn has_online(&self, cp: &Cpu) -> bool {
        self.lpl_cpus.get() >> cp.cpu_id & 1 != 0
    }

    /// Its CPUs, each once, from number `first` on, or from the next one after it.
    #[inline(always)]
    pub fn ring(&self, first: u32) -> Ring {
        Ring::new(self.lpl_cpus.get(), first)
    }

    /// Those of its leaves that are in `set`, a bit each, leaf `first` or the next one after it first.
    #[inline(always)]
    pub(crate) fn leaves(&self, set: u64, first: u32) -> impl Iterator<Item = &'static Lpl> + use<> {
        let leaf0 = self.lpl_leaves;
        let set = set & self.lpl_rset.get();
        let before = (1 << first) - 1;
        let mut parts = [set & !before, set & before];
        core::iter::from_fn(move || {
            let part = if parts[0] != 0 { &mut parts[0] } else { &mut parts[1] };
            if *part == 0 {
                return None;
            }
            let leaf = part.trailing_zeros();
            *part &= *part - 1;
            Some(&platform::kernel().k_lpls[(leaf0 + leaf) as usize])
        })
    }

    /// Its CPUs but for `cp`, leaf by leaf: `cp`'s own first, and in that the one after `cp` first.
    pub(crate) fn others(&self, cp: &'static Cpu) -> impl Iterator<Item = &'static Cpu> + use<> {
        let own = cp.lpl();
        let rings = self.leaves(u64::MAX, own.lpl_leaf).map(move |leaf| {
            let first = if core::ptr::eq(leaf, own) { cp.cpu_id + 1 } else { 0 };
            leaf.ring(first)
        });
        rings.flatten().filter(move |other| !core::ptr::eq(*other, cp))
    }

    /// Where a search goes on that has found nothing here.
    #[inline(always)]
    pub(crate) fn next_level(&self) -> Option<&'static Lpl> {
        self.lpl_parent.get().filter(|_| !platform::kernel().is_mutant(mutant::LEAF_ONLY))
    }

    /// Group number `n` of a kernel with so many locality groups, without its CPUs.
    pub(crate) fn new(lgroups: u32, n: u32) -> Lpl {
        let size = lpls_a_partition(lgroups);
        let (root, place) = (n / size * size, n % size);
        Lpl {
            lpl_cpus: AtomicU64::new(0),
            lpl_rset: AtomicU64::new(0),
            lpl_parent: SharedPtr::null(),
            lpl_ncpu: AtomicU32::new(0),
            lpl_nrset: AtomicU32::new(0),
            lpl_loadavg: AtomicU32::new(0),
            lpl_lgrpid: place,
            lpl_leaf: place.saturating_sub(1),
            lpl_leaves: root + u32::from(size > 1),
        }
    }

    fn set_cpus(&self, cpus: u64) {
        self.lpl_cpus.set(cpus);
        self.lpl_ncpu.set(cpus.count_ones());
    }

    fn set_leaf(&self, leaf: u32, has_cpus: bool) {
        let rset = self.lpl_rset.get() & !(1 << leaf) | u64::from(has_cpus) << leaf;
        self.lpl_rset.set(rset);
        self.lpl_nrset.set(rset.count_ones());
    }

    /// It and those that hold it.
    fn lineage(&'static self) -> impl Iterator<Item = &'static Lpl> {
        core::iter::successors(Some(self), |lpl| lpl.lpl_parent.get())
    }
}

/// How many groups each partition has: the leaves and a root, or one that is both.
pub(crate) fn lpls_a_partition(lgroups: u32) -> u32 {
    if lgroups > 1 { lgroups + 1 } else { 1 }
}

impl Kernel {
    /// A partition's groups, the root first.
    pub fn lpls_of(&self, part: &Cpupart) -> &[Lpl] {
        let size = lpls_a_partition(self.k_nlgrps) as usize;
        &self.k_lpls[part.cp_id as usize * size..][..size]
    }

    /// The locality group of a CPU.
    pub fn lgroup_of(&self, cp: &Cpu) -> u32 {
        cp.cpu_id * self.k_nlgrps / self.k_ncpus
    }

    /// Leaf number `lgroup` of a partition.
    fn leaf(&self, part: &Cpupart, lgroup: u32) -> &Lpl {
        let lpls = self.lpls_of(part);
        &lpls[lgroup as usize + usize::from(lpls.len() > 1)]
    }
}

/// Puts every leaf under its root, at boot (`lpl_topo_bootstrap`).
pub(crate) fn lgrp_init(kernel: &'static Kernel) {
    for part in kernel.partitions() {
        if let [root, leaves @ ..] = kernel.lpls_of(part) {
            for leaf in leaves {
                leaf.lpl_parent.set(Some(root));
            }
        }
    }
}

/// Tells a CPU that is put into a partition its leaf (`lgrp_part_add_cpu`). At boot, or with the CPUs paused.
pub(super) fn lgrp_part_add_cpu(part: &Cpupart, cp: &Cpu) {
    let kernel = platform::kernel();
    cp.cpu_lpl.set(Some(kernel.leaf(part, kernel.lgroup_of(cp))));
}

/// Puts a CPU into its groups' lists, or takes it out. At boot, or with the CPUs paused.
pub(super) fn lgrp_set_online(cp: &Cpu, is_online: bool) {
    let leaf = cp.lpl();
    for lpl in leaf.lineage() {
        lpl.set_cpus(lpl.lpl_cpus.get() & !(1 << cp.cpu_id) | u64::from(is_online) << cp.cpu_id);
    }
    let has_cpus = leaf.lpl_ncpu.get() != 0;
    for lpl in leaf.lineage() {
        lpl.set_leaf(leaf.lpl_leaf, has_cpus);
    }
}

/// A home in `part` for a thread that may live anywhere there (`lgrp_choose`): of the leaves that have a CPU the one with the
/// lowest load, of equals the first. The root if none has.
pub fn lgrp_choose(part: &Cpupart) -> &'static Lpl {
    let root = root(part);
    root.leaves(u64::MAX, 0).min_by_key(|leaf| leaf.lpl_loadavg.get()).unwrap_or(root)
}

/// The home of a new thread: leaf number `wanted` if that is one with a CPU; else, for a thread without an LWP, the root, for
/// one that is bound to a CPU that CPU's leaf, and for any other what [`lgrp_choose`] says.
pub(crate) fn lgrp_home(part: &Cpupart, wanted: i32, has_lwp: bool, bound: Option<&Cpu>) -> &'static Lpl {
    let kernel = platform::kernel();
    let wanted = u32::try_from(wanted).ok().filter(|&n| n < kernel.k_nlgrps).map(|n| kernel.leaf(part, n));
    match (wanted.filter(|leaf| leaf.lpl_ncpu.get() != 0), bound) {
        (Some(leaf), _) => leaf,
        (None, _) if !has_lwp => root(part),
        (None, Some(cp)) => cp.lpl(),
        (None, None) => lgrp_choose(part),
    }
}

/// The root of a partition: the home of threads that have none.
pub(crate) fn root(part: &Cpupart) -> &'static Lpl {
    &platform::kernel().lpls_of(part)[0]
}

/// Gives a thread, locked or with the CPUs paused, another home (`lgrp_move_thread`). Its load is counted there from now on,
/// before the clock sees it: else all that are created at once would find the same leaf empty.
pub fn lgrp_move_thread(t: &'static Kthread, to: &'static Lpl) {
    if let Some(from) = t.t_lpl.get() {
        load::anticipate(from, load::Anticipated::Leaves);
    }
    t.t_lpl.set(Some(to));
    load::anticipate(to, load::Anticipated::Comes);
}

/// A home in another partition for a thread, which is locked or the CPUs paused: the root for who had that, else one to
/// choose.
pub(super) fn lgrp_change_part(t: &'static Kthread, part: &'static Cpupart) {
    let to = if t.lpl().is_root() { root(part) } else { lgrp_choose(part) };
    lgrp_move_thread(t, to);
}
