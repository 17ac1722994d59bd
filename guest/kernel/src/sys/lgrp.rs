//! Locality groups (`sys/lgrp.h`): CPUs that are near to each other. How threads get their homes there is in `lgrp/`.
//!
//! CPU `n` of `ncpus` is in leaf `n * lgroups / ncpus`.
//! A partition has one [`Lpl`] for each leaf and a root above them; on a machine of one group the root is the leaf.
//!
//! # Invariants
//! - Those of `lgrp/mod.rs`: the lists change at boot, and under `cpu_lock` with every other CPU paused.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64};

use super::part::Ring;
use super::{Cpu, Cpupart};
use crate::cell::Cell;
use crate::kernel::Kernel;
use crate::lock::SharedPtr;
use crate::platform;
use umpire_shared::mutant;

/// The locality groups.
#[repr(C)]
#[derive(Debug)]
pub struct LgrpState {
    /// Locality groups that the CPUs divide into.
    pub nlgrps: u32,
    /// What the groups have in the partitions: one partition after the other, its root first.
    pub lpls: Box<[Lpl]>,
}

impl LgrpState {
    /// So many locality groups in each of so many partitions.
    pub fn new(nlgrps: u32, partitions: u32) -> LgrpState {
        let total = lpls_a_partition(nlgrps) * partitions;
        LgrpState { nlgrps, lpls: (0..total).map(|n| Lpl::new(nlgrps, n)).collect() }
    }
}

/// `lpl_lgrpid` of a root (`sys/lgrp.h`). A leaf's is its number plus one.
pub const LGRP_ROOTID: u32 = 0;

/// `lpl_t`: what a locality group has in a partition.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Lpl {
    /// Its CPUs that are online, a bit each: the ring `cpu_next_lpl` of a leaf.
    pub lpl_cpus: AtomicU64,
    /// Leaves under it that have a CPU online, or itself if it is a leaf that has: bit `n` for leaf `n` of the partition (`lpl_rset`).
    pub lpl_rset: AtomicU64,
    /// The group that holds this one; null for the root.
    pub lpl_parent: SharedPtr<Lpl>,
    /// How many `lpl_cpus` are.
    pub lpl_ncpu: AtomicU32,
    /// How many `lpl_rset` are.
    pub lpl_nrset: AtomicU32,
    /// Runnable threads for each CPU in recent time: fixed point with 16 fraction bits.
    pub lpl_loadavg: AtomicU32,
    /// [`LGRP_ROOTID`], or the leaf's number plus one.
    pub lpl_lgrpid: u32,
    /// Its number among the partition's leaves; 0 for the root.
    pub(crate) lpl_leaf: u32,
    /// Where the partition's leaf 0 is in `lpls`.
    pub(crate) lpl_leaves: u32,
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
            Some(&platform::kernel().k_lgrp.lpls[(leaf0 + leaf) as usize])
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

    /// The group where a search goes on that has found nothing here.
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

    pub(crate) fn set_cpus(&self, cpus: u64) {
        self.lpl_cpus.set(cpus);
        self.lpl_ncpu.set(cpus.count_ones());
    }

    pub(crate) fn set_leaf(&self, leaf: u32, has_cpus: bool) {
        let rset = self.lpl_rset.get() & !(1 << leaf) | u64::from(has_cpus) << leaf;
        self.lpl_rset.set(rset);
        self.lpl_nrset.set(rset.count_ones());
    }

    /// It and those that hold it.
    pub(crate) fn lineage(&'static self) -> impl Iterator<Item = &'static Lpl> {
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
        let size = lpls_a_partition(self.k_lgrp.nlgrps) as usize;
        &self.k_lgrp.lpls[part.cp_id as usize * size..][..size]
    }

    /// The locality group of a CPU.
    pub fn lgroup_of(&self, cp: &Cpu) -> u32 {
        cp.cpu_id * self.k_lgrp.nlgrps / self.k_ncpus
    }

    /// Leaf number `lgroup` of a partition.
    pub(crate) fn leaf(&self, part: &Cpupart, lgroup: u32) -> &Lpl {
        let lpls = self.lpls_of(part);
        &lpls[lgroup as usize + usize::from(lpls.len() > 1)]
    }
}

/// The root of a partition: the home of threads that have none.
pub(crate) fn root(part: &Cpupart) -> &'static Lpl {
    &platform::kernel().lpls_of(part)[0]
}
