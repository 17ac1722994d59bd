//! `pageout_scanner`: two hands go round the pages, the front one forgetting that they were touched, the back one taking those that were
//! not touched since (`vm_pageout.c pageout_scanner`, `checkpage`).
//!
//! # Invariants
//! - It runs in the kernel and gives its CPU to nobody before its round is over: when there is enough memory, when it has seen as many
//!   pages as `schedpaging` said, or when its time is up, at which it looks every [`PAGES_POLL`] pages.
//! - A page is looked at under `page_lock`, which it holds for one page at a time.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use super::anon::{NO_SLOT, p};
use super::pageout::{free_page, queue_io_request};
use crate::cell::{Cell, Counter};
use crate::kmem::{freemem, vmem_free};
use crate::platform;
use crate::sync::{Condvar, Mutex, cv_wait, mutex_enter, mutex_exit};
use umpire_shared::tunable;

/// Pages between two looks at the time (`PAGES_POLL_MASK` + 1).
const PAGES_POLL: u64 = 1024;
/// Pages whose cost is taken at once.
const STEP: u64 = 64;

/// What the scanner keeps.
#[repr(C)]
#[derive(Debug)]
pub struct Scanner {
    /// Guards what `schedpaging` says.
    pub pageout_lock: Mutex,
    /// Where the scanner waits (`proc_pageout->p_cv`).
    pub p_cv: Condvar,
    /// Pages that it may look at (`desscan`).
    pub desscan: AtomicU64,
    /// ns that it may take (`pageout_ticks`).
    pub budget_ns: AtomicU64,
    /// Non-zero from the wake-up until the round has begun.
    pub is_wanted: AtomicU8,
    /// Where the front hand is.
    pub fronthand: AtomicU32,
    /// Pages looked at (`pageout_scan`).
    pub scan: AtomicU64,
    /// Rounds that ended for want of time (`pageout_timeouts`).
    pub pageout_timeouts: AtomicU64,
    /// Pages that were clean, and freed at once.
    pub dfree: AtomicU64,
}

impl Scanner {
    pub(super) fn new() -> Scanner {
        Scanner {
            pageout_lock: Mutex::new(),
            p_cv: Condvar::new(),
            desscan: AtomicU64::new(0),
            budget_ns: AtomicU64::new(0),
            is_wanted: AtomicU8::new(0),
            fronthand: AtomicU32::new(0),
            scan: AtomicU64::new(0),
            pageout_timeouts: AtomicU64::new(0),
            dfree: AtomicU64::new(0),
        }
    }
}

/// Where the scanner begins.
pub(super) fn pageout_scanner() {
    let vm = &platform::kernel().k_vm;
    let sc = &vm.scanner;
    loop {
        vm.pageout.signal();
        mutex_enter(&sc.pageout_lock);
        while sc.is_wanted.get() == 0 {
            cv_wait(&sc.p_cv, &sc.pageout_lock);
        }
        sc.is_wanted.set(0);
        let (most, budget) = (sc.desscan.get(), sc.budget_ns.get());
        mutex_exit(&sc.pageout_lock);
        scan(most, budget);
    }
}

/// One round of the hands.
#[inline(never)]
fn scan(most: u64, budget_ns: u64) {
    let kernel = platform::kernel();
    let (sc, lotsfree) = (&kernel.k_vm.scanner, kernel.k_kmem.kmem_vmem.lotsfree);
    let pages = kernel.k_vm.pages.len() as u32;
    let spread = (pages / 2).max(1);
    let step_ns = STEP * kernel.tunable(tunable::PAGE_SCAN_NSEC) as u64;
    let began = platform::now();
    let mut seen = 0;
    while seen < most && freemem() < lotsfree {
        let front = sc.fronthand.get();
        checkpage(front, true);
        checkpage((front + pages - spread) % pages, false);
        sc.fronthand.set((front + 1) % pages);
        sc.scan.bump();
        seen += 1;
        if seen % STEP == 0 {
            platform::spin(step_ns);
        }
        if seen % PAGES_POLL == 0 && platform::now() - began > budget_ns {
            sc.pageout_timeouts.bump();
            return;
        }
    }
}

/// Looks at one page, with one hand (`checkpage`).
fn checkpage(n: u32, is_front: bool) {
    let vm = &platform::kernel().k_vm;
    let page = &vm.pages[n as usize];
    // Without the lock: a page that nobody has is none of the scanner's, and one that gets an owner now was just touched.
    if page.p_slot.get() == NO_SLOT {
        return;
    }
    mutex_enter(&vm.page_lock);
    let is_candidate = page.p_slot.get() != NO_SLOT && !page.has(p::BUSY);
    let mut is_freed = false;
    if is_candidate && is_front {
        page.p_nrm.set(page.p_nrm.get() & !p::REF);
    } else if is_candidate && !page.has(p::REF) {
        if !page.has(p::MOD) {
            free_page(n);
            is_freed = true;
        } else if queue_io_request(n) {
            page.p_nrm.set(page.p_nrm.get() | p::BUSY);
        }
    }
    mutex_exit(&vm.page_lock);
    if is_freed {
        vm.scanner.dfree.bump();
        vmem_free(n, 1);
    }
}
