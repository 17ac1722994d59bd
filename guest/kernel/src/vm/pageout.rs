//! `pageout`: writes the pages that the scanner has found (`vm_pageout.c pageout`), and what panics when it does not.
//!
//! # Invariants
//! - `push_lock` guards the list of requests, which is last in, first out, and what is counted of it.
//! - A page of the list is busy until it has been written and freed, or was found in use again.
//! - pageout makes memory free, so that it and the threads that write for it may use what is left to them (`pageout_reserve`).

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use super::anon::{NO_SLOT, SWAPPED, p};
use crate::cell::{Cell, Counter};
use crate::kmem::vmem_free;
use crate::platform;
use crate::sync::{Condvar, Mutex, cv_broadcast, cv_signal, cv_wait, mutex_enter, mutex_exit};
use crate::zfs::zvol_putpage;
use umpire_shared::program::Header;
use umpire_shared::tunable;

/// Requests that there may be at a time (`async_list_size`).
const ASYNC_LIST_SIZE: u32 = 8192;

/// What `pageout` keeps.
#[repr(C)]
#[derive(Debug)]
pub struct Pageout {
    /// Guards the list.
    pub push_lock: Mutex,
    /// Where `pageout` waits.
    pub push_cv: Condvar,
    /// The first request: a page's number.
    pub push_list: AtomicU32,
    /// Requests on the list.
    pub push_list_size: AtomicU32,
    /// Pages that a wake-up may write (`max_pushes`).
    pub max_pushes: u32,
    /// Pages that it has written since it was woken.
    pub pushes: AtomicU32,
    /// Pages that it has written (`pageout_pushes`).
    pub pageout_pushes: AtomicU64,
    /// Non-zero while it writes one (`pageout_pushing`).
    pub pageout_pushing: AtomicU8,
    /// Pages that are on the disk, and free.
    pub pgpgout: AtomicU64,
    /// What the deadman saw of `pageout_pushes`.
    pub pageout_last_pushes: AtomicU64,
    /// Seconds for which that has been the same write (`pageout_stucktime`).
    pub pageout_stucktime: AtomicU32,
}

impl Pageout {
    pub(super) fn new(header: &Header) -> Pageout {
        Pageout {
            push_lock: Mutex::new(),
            push_cv: Condvar::new(),
            push_list: AtomicU32::new(NO_SLOT),
            push_list_size: AtomicU32::new(0),
            max_pushes: (header.tunables[tunable::MAXPGIO] as u32 / 4).max(1),
            pushes: AtomicU32::new(0),
            pageout_pushes: AtomicU64::new(0),
            pageout_pushing: AtomicU8::new(0),
            pgpgout: AtomicU64::new(0),
            pageout_last_pushes: AtomicU64::new(0),
            pageout_stucktime: AtomicU32::new(0),
        }
    }

    /// Wakes `pageout` if there is something to write (`cv_signal_pageout`).
    pub(super) fn signal(&'static self) {
        if self.push_list.get() != NO_SLOT {
            mutex_enter(&self.push_lock);
            self.pushes.set(0);
            cv_signal(&self.push_cv);
            mutex_exit(&self.push_lock);
        }
    }
}

/// Asks for a page to be written (`queue_io_request`). False: there are too many requests already. Called with `page_lock`.
pub(super) fn queue_io_request(n: u32) -> bool {
    let vm = &platform::kernel().k_vm;
    let po = &vm.pageout;
    mutex_enter(&po.push_lock);
    let has_room = po.push_list_size.get() < ASYNC_LIST_SIZE;
    if has_room {
        vm.pages[n as usize].p_next.set(po.push_list.get());
        po.push_list.set(n);
        po.push_list_size.bump();
        cv_signal(&po.push_cv);
    }
    mutex_exit(&po.push_lock);
    has_room
}

/// Where `pageout` begins.
pub(super) fn pageout() {
    platform::curthread().t_pushpage.set(1);
    let vm = &platform::kernel().k_vm;
    let po = &vm.pageout;
    loop {
        mutex_enter(&po.push_lock);
        while po.push_list.get() == NO_SLOT || po.pushes.get() > po.max_pushes {
            cv_wait(&po.push_cv, &po.push_lock);
        }
        let n = po.push_list.get();
        po.push_list.set(vm.pages[n as usize].p_next.get());
        po.push_list_size.drop_one();
        po.pushes.bump();
        mutex_exit(&po.push_lock);
        po.pageout_pushing.set(1);
        zvol_putpage(n);
        po.pageout_pushing.set(0);
        po.pageout_pushes.bump();
    }
}

/// A page is in swap: whoever owned it will have to read it, and it is free (`pvn_write_done`).
pub fn pvn_write_done(n: u32) {
    let vm = &platform::kernel().k_vm;
    mutex_enter(&vm.page_lock);
    free_page(n);
    mutex_exit(&vm.page_lock);
    vm.pageout.pgpgout.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
    vmem_free(n, 1);
}

/// Takes a page out of its slot. Called with `page_lock`.
pub(super) fn free_page(n: u32) {
    let vm = &platform::kernel().k_vm;
    let page = &vm.pages[n as usize];
    let was_busy = page.has(p::BUSY);
    vm.anon[page.p_slot.get() as usize].set(SWAPPED);
    page.p_slot.set(NO_SLOT);
    page.p_nrm.set(0);
    if was_busy {
        cv_broadcast(&vm.page_cv);
    }
}

/// Once a second, from `clock()`: panics if the same write has been going on for `pageout_deadman_seconds` (`pageout_deadman`).
///
/// # Panics
/// See there.
pub fn pageout_deadman() {
    let kernel = platform::kernel();
    let most = kernel.tunable(tunable::PAGEOUT_DEADMAN_SECONDS) as u32;
    if !kernel.k_vm.is_there() || most == 0 {
        return;
    }
    let po = &kernel.k_vm.pageout;
    let pushes = po.pageout_pushes.get();
    if po.pageout_pushing.get() == 0 || po.pageout_last_pushes.get() != pushes {
        po.pageout_last_pushes.set(pushes);
        po.pageout_stucktime.set(0);
        return;
    }
    po.pageout_stucktime.bump();
    let stuck = po.pageout_stucktime.get();
    assert!(
        stuck < most,
        "pageout_deadman: stuck pushing the same page for {stuck} seconds (freemem is {})",
        kernel.k_kmem.kmem_vmem.freemem.get()
    );
}
