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
//!   A paused CPU runs its pause thread, so no code that may not be preempted is in the middle of a walk then: it sees the
//!   lists of one moment. Code that may be preempted reads a hint, as with a partition's lists. So relaxed reads suffice; the
//!   semaphores and flags of `start_cpus` make what the pauser wrote visible to the threads that run after the pause.
//! - `lpl_cpus` are the leaf's CPUs that are online; the root's are `cp_onln`. `lpl_rset` are the leaves that have any.
//! - `t_lpl` is one of `t_cpupart`'s, and changes with it, under the thread's lock or with the CPUs paused.
//! - A thread's home has a CPU online, unless its partition has none.
//!
//! # What is not here
//! More than two levels, latencies, memory. `lgrp_expand_proc`: a process is one thread here and has no second home to spread to.
//! A thread whose home has come back online stays where it was moved to.

use crate::cell::Cell;
use crate::kernel::Kernel;
use crate::platform;
use crate::sys::lgrp::root;
use crate::sys::{Cpu, Cpupart, Kthread, Lpl};

mod load;

pub use load::{LGRP_LOADAVG_THREAD_MAX, lgrp_load_update, lgrp_loadavg, loadavg_aged, loadavg_factor};

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
/// lowest load, of equal ones the first. The root if no leaf has a CPU.
pub fn lgrp_choose(part: &Cpupart) -> &'static Lpl {
    let root = root(part);
    root.leaves(u64::MAX, 0).min_by_key(|leaf| leaf.lpl_loadavg.get()).unwrap_or(root)
}

/// The home of a new thread: leaf number `wanted` if that is one with a CPU; else the root for a thread without an LWP, the CPU's
/// leaf for a thread that is bound to a CPU, and for any other thread the leaf that [`lgrp_choose`] names.
pub(crate) fn lgrp_home(part: &Cpupart, wanted: i32, has_lwp: bool, bound: Option<&Cpu>) -> &'static Lpl {
    let kernel = platform::kernel();
    let wanted =
        u32::try_from(wanted).ok().filter(|&n| n < kernel.k_lgrp.nlgrps).map(|n| kernel.leaf(part, n));
    match (wanted.filter(|leaf| leaf.lpl_ncpu.get() != 0), bound) {
        (Some(leaf), _) => leaf,
        (None, _) if !has_lwp => root(part),
        (None, Some(cp)) => cp.lpl(),
        (None, None) => lgrp_choose(part),
    }
}

/// Gives a thread, locked or with the CPUs paused, another home (`lgrp_move_thread`). Its load is counted there from now on,
/// before the clock sees it: else all threads that are created at once would find the same leaf empty.
pub fn lgrp_move_thread(t: &'static Kthread, to: &'static Lpl) {
    if let Some(from) = t.t_lpl.get() {
        load::anticipate(from, load::Anticipated::Leaves);
    }
    t.t_lpl.set(Some(to));
    load::anticipate(to, load::Anticipated::Comes);
}

/// Gives a thread, locked or with the CPUs paused, a home in another partition: the root if its home was a root, else the leaf that
/// [`lgrp_choose`] names.
pub(super) fn lgrp_change_part(t: &'static Kthread, part: &'static Cpupart) {
    let to = if t.lpl().is_root() { root(part) } else { lgrp_choose(part) };
    lgrp_move_thread(t, to);
}
