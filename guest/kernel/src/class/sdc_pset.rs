//! What SDC keeps for all its threads: the lists of those that are awake, and the breaks that it owes each processor set.
//!
//! # Invariants
//! - `sdc_is_active` changes with the thread locked. It is set as long as the thread is on a list, the one that its number
//!   chooses, and until `sysdc_update`, which takes whole lists, has come to it: nothing puts it on a list twice.
//! - `sdc_lock` guards its list. It is a leaf: it is taken under a thread's lock, and nothing is taken under it.
//! - Only `sysdc_update`, of which one runs at a time, takes threads off, and only it writes the words of a partition.
//!
//! # What is not here
//! The prepending without a lock of `sysdc.c`: it saves an atomic operation a wake-up.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::cell::Cell;
use crate::lock::{DispLock, SharedPtr, disp_lock_enter, disp_lock_exit_nopreempt};
use crate::platform;
use crate::sys::Kthread;
use umpire_shared::tunable;

/// Lists of threads (`SYSDC_NLISTS`).
const LISTS: usize = 8;

/// One list of threads that are awake, or were two updates ago.
#[repr(C)]
#[derive(Debug, Default)]
struct SdcList {
    sdc_lock: DispLock,
    sdc_first: SharedPtr<Kthread>,
}

/// `sysdc_pset_t`: a partition.
#[repr(C)]
#[derive(Debug, Default)]
pub struct SdcPset {
    /// ns that its SDC threads were on a CPU at `sysdc_maxpri` since the last update.
    pub sdc_onproc_time: AtomicU64,
    /// `gethrtime` of the last update.
    pub sdc_last_update: AtomicU64,
    /// Updates that the break still lasts.
    pub sdc_should_break: AtomicU32,
    /// Updates for which no new break may begin.
    pub sdc_nobreak: AtomicU32,
    /// Breaks so far.
    pub sdc_breaks: AtomicU64,
}

/// Everything that SDC keeps beside its threads.
#[repr(C)]
#[derive(Debug)]
pub struct Sdc {
    lists: [SdcList; LISTS],
    /// Threads of the class.
    pub sdc_nthreads: AtomicU32,
    /// Partitions, the default one first.
    pub sdc_psets: Box<[SdcPset]>,
}

impl Sdc {
    /// No thread, and so many processor sets.
    pub fn new(psets: usize) -> Sdc {
        Sdc {
            lists: Default::default(),
            sdc_nthreads: AtomicU32::new(0),
            sdc_psets: (0..=psets).map(|_| SdcPset::default()).collect(),
        }
    }
}

/// Puts a locked thread on its list, unless it is there.
pub(super) fn activate(t: &'static Kthread) {
    let d = &t.t_cldata.sdc;
    if d.sdc_is_active.get() == 0 {
        d.sdc_is_active.set(1);
        let list = &platform::kernel().k_class.sdc.lists[t.t_did as usize % LISTS];
        list.sdc_lock.enter_high();
        d.sdc_next.set(list.sdc_first.get());
        list.sdc_first.set(Some(t));
        list.sdc_lock.exit_high();
    }
}

/// Takes all threads off their lists, one after the other, and shows them to `keep`, which locks them itself.
pub(super) fn take_each(mut keep: impl FnMut(&'static Kthread)) {
    for list in &platform::kernel().k_class.sdc.lists {
        disp_lock_enter(&list.sdc_lock);
        let mut at = list.sdc_first.get();
        list.sdc_first.set(None);
        disp_lock_exit_nopreempt(&list.sdc_lock);
        while let Some(t) = at {
            at = t.t_cldata.sdc.sdc_next.get();
            keep(t);
        }
    }
}

/// True while `t`'s partition is on a break.
pub(super) fn is_on_break(t: &Kthread) -> bool {
    pset_of(t).sdc_should_break.get() != 0
}

/// Notes that a thread was on a CPU for so many ns at the best priority.
pub(super) fn add_onproc(t: &Kthread, ns: u64) {
    let pset = pset_of(t);
    pset.sdc_onproc_time.set(pset.sdc_onproc_time.get() + ns);
}

/// Decides about a partition's break by what its threads have used since the last update (`sysdc_update_pset`).
pub(super) fn update_psets(now: u64) {
    let kernel = platform::kernel();
    for (n, pset) in kernel.k_class.sdc.sdc_psets.iter().enumerate() {
        let is_here = |cp: &&crate::sys::Cpu| cp.part().cp_id as usize == n;
        let ncpus = kernel.k_cpus.iter().filter(is_here).count() as u64;
        update_pset(pset, ncpus, now);
    }
}

fn update_pset(pset: &SdcPset, ncpus: u64, now: u64) {
    let max_dc = platform::kernel().tunable(tunable::SYSDC_MAX_PSET_DC) as u64;
    let available = now.saturating_sub(pset.sdc_last_update.get()) * ncpus;
    let used = pset.sdc_onproc_time.get();
    pset.sdc_last_update.set(now);
    pset.sdc_onproc_time.set(0);
    if pset.sdc_should_break.get() != 0 {
        pset.sdc_should_break.set(pset.sdc_should_break.get() - 1);
    } else if pset.sdc_nobreak.get() != 0 {
        pset.sdc_nobreak.set(pset.sdc_nobreak.get() - 1);
    } else if max_dc < 100 && available != 0 && used * 100 / available > max_dc {
        let updates = super::sdc::updates(tunable::SYSDC_BREAK_MSEC);
        pset.sdc_should_break.set(updates);
        pset.sdc_nobreak.set((u64::from(updates) * max_dc / (100 - max_dc)) as u32);
        pset.sdc_breaks.set(pset.sdc_breaks.get() + 1);
    }
}

fn pset_of(t: &Kthread) -> &'static SdcPset {
    &platform::kernel().k_class.sdc.sdc_psets[t.part().cp_id as usize]
}
