//! Pages: the arena underneath the slabs (`vmem.c`), `freemem`, and who has to wait for it (`vm_page.c page_create_throttle`).
//!
//! # Invariants
//! - `vm_lock` guards which pages are used and everything that is counted here. It is the last of the allocator's locks.
//! - An allocation that may sleep leaves `throttlefree` pages, and waits as long as there are no more; one that may not leaves as many,
//!   and fails. Who makes memory free (`KM_PUSHPAGE`, or a thread with `t_pushpage`) may go down to the last page.
//! - A waiter looks again at each free, and at least every [`LOOK_AGAIN_NS`]: what another CPU's magazines hold is not free before they
//!   are reaped, which the waiter does.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use super::reap::kmem_reap;
use super::{PAGESIZE, km};
use crate::cell::{Cell, Counter};
use crate::platform;
use crate::sync::{Condvar, Mutex, cv_broadcast, cv_wait, mutex_enter, mutex_exit};
use crate::time::callout::cv_reltimedwait;
use umpire_shared::{mutant, tunable};

/// How long a waiter waits at most before it reaps again.
const LOOK_AGAIN_NS: u64 = 10_000_000;

/// The arena of pages, and the thresholds of free memory, in pages.
#[repr(C)]
#[derive(Debug)]
pub struct Vmem {
    /// Guards what follows.
    pub vm_lock: Mutex,
    /// Where waiters for memory wait.
    pub vm_cv: Condvar,
    /// Those that wait.
    pub vm_waiters: AtomicU32,
    /// The most pages that one of them wants; 0 if nobody waits.
    pub vm_wanted: AtomicU64,
    /// Pages that nobody has (`freemem`). Written under the lock, read without: a threshold is passed a little earlier or later.
    pub freemem: AtomicU64,
    /// Pages that there are (`physmem`).
    pub physmem: u64,
    /// Below it memory is looked for.
    pub lotsfree: u64,
    /// There should be as much on average.
    pub desfree: u64,
    /// Below it memory is short.
    pub minfree: u64,
    /// Below it allocations wait.
    pub throttlefree: u64,
    /// Left to who makes memory free.
    pub pageout_reserve: u64,
    /// Allocations.
    pub vm_alloc: AtomicU64,
    /// Frees.
    pub vm_free: AtomicU64,
    /// Times that an allocation had to wait.
    pub vm_wait: AtomicU64,
    /// Allocations that failed.
    pub vm_fail: AtomicU64,
    /// Where the next search begins.
    vm_rotor: AtomicU32,
    /// Which pages are used.
    vm_used: Box<[AtomicBool]>,
}

impl Vmem {
    /// So many pages, all free, with thresholds as `vm_pageout.c setupclock` derives them. Its bounds of 16 MB and 2 GB are left out:
    /// this is less memory than the lower one.
    pub fn new(pages: u32, tunables: &[i64; tunable::COUNT]) -> Vmem {
        let or = |n: usize, derived: u64| u64::try_from(tunables[n]).unwrap_or(derived);
        let physmem = u64::from(pages);
        let lotsfree = or(tunable::LOTSFREE, physmem / 64);
        let desfree = or(tunable::DESFREE, lotsfree / 2);
        let minfree = or(tunable::MINFREE, desfree / 4 * 3);
        let throttlefree = or(tunable::THROTTLEFREE, minfree);
        Vmem {
            vm_lock: Mutex::new(),
            vm_cv: Condvar::new(),
            vm_waiters: AtomicU32::new(0),
            vm_wanted: AtomicU64::new(0),
            freemem: AtomicU64::new(physmem),
            physmem,
            lotsfree,
            desfree,
            minfree,
            throttlefree,
            pageout_reserve: or(tunable::PAGEOUT_RESERVE, throttlefree / 4 * 3),
            vm_alloc: AtomicU64::new(0),
            vm_free: AtomicU64::new(0),
            vm_wait: AtomicU64::new(0),
            vm_fail: AtomicU64::new(0),
            vm_rotor: AtomicU32::new(0),
            vm_used: (0..pages).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// True if there is more than `throttlefree`: whoever can do without a thread or a page now should.
    pub fn is_plenty(&self) -> bool {
        self.freemem.get() > self.throttlefree
    }

    /// Takes `n` pages that follow each other, if there are any: first fit from where the last search ended. Called with the lock.
    fn take(&self, n: u32) -> Option<u32> {
        let pages = self.vm_used.len() as u32;
        let from = self.vm_rotor.get();
        let page = self.find(from, pages, n).or_else(|| self.find(0, pages.min(from + n), n))?;
        for used in &self.vm_used[page as usize..][..n as usize] {
            used.set(true);
        }
        self.vm_rotor.set((page + n) % pages);
        self.freemem.set(self.freemem.get() - u64::from(n));
        Some(page)
    }

    /// The first of `n` free pages between two places.
    fn find(&self, from: u32, to: u32, n: u32) -> Option<u32> {
        let mut run = 0;
        for page in from..to {
            run = if self.vm_used[page as usize].get() { 0 } else { run + 1 };
            if run == n {
                return Some(page + 1 - n);
            }
        }
        None
    }

    /// True if `n` pages may be taken by who asks with these flags.
    fn may_take(&self, n: u32, flags: u32) -> bool {
        let makes_free = flags & km::PUSHPAGE != 0 || platform::curthread().t_pushpage.get() != 0;
        let is_exempt = makes_free || platform::kernel().is_mutant(mutant::NO_THROTTLE);
        let left = if is_exempt { 0 } else { self.throttlefree };
        self.freemem.get() >= u64::from(n) + left
    }
}

/// `freemem`: pages that nobody has.
pub fn freemem() -> u64 {
    platform::kernel().k_kmem.kmem_vmem.freemem.get()
}

/// Takes so many pages that follow each other (`vmem_alloc`); `flags` are of [`km`]. `None` if there are none and the caller must not
/// sleep.
///
/// # Panics
/// If there are not so many in all.
pub fn vmem_alloc(pages: u32, flags: u32) -> Option<u32> {
    let vm = &platform::kernel().k_kmem.kmem_vmem;
    assert!(
        u64::from(pages) + vm.throttlefree <= vm.physmem,
        "vmem_alloc: {pages} pages of {} with {} that stay free: give the scenario more `memory`",
        vm.physmem,
        vm.throttlefree
    );
    mutex_enter(&vm.vm_lock);
    let (mut waited, mut has_reaped) = (false, false);
    loop {
        if vm.may_take(pages, flags)
            && let Some(page) = vm.take(pages)
        {
            vm.vm_alloc.bump();
            mutex_exit(&vm.vm_lock);
            return Some(page);
        }
        if flags & km::NOSLEEP != 0 {
            vm.vm_fail.bump();
            mutex_exit(&vm.vm_lock);
            return None;
        }
        if !waited {
            waited = true;
            vm.vm_wait.bump();
        }
        // Also if there are enough pages, and none that follow each other: another reap at once would find no more than this one did.
        if has_reaped {
            wait_for_pages(vm, pages);
        } else {
            mutex_exit(&vm.vm_lock);
            kmem_reap();
            mutex_enter(&vm.vm_lock);
        }
        has_reaped = !has_reaped;
    }
}

/// Sleeps until pages are given back, and not for long. Called with the lock, which it drops meanwhile.
fn wait_for_pages(vm: &'static Vmem, pages: u32) {
    vm.vm_waiters.bump();
    vm.vm_wanted.set(vm.vm_wanted.get().max(u64::from(pages)));
    if platform::kernel().is_mutant(mutant::MEMORY_UNSIGNALLED) {
        cv_wait(&vm.vm_cv, &vm.vm_lock);
    } else {
        // Whether it was woken or the time is up, it looks again.
        let _ = cv_reltimedwait(&vm.vm_cv, &vm.vm_lock, LOOK_AGAIN_NS);
    }
    vm.vm_waiters.drop_one();
    if vm.vm_waiters.get() == 0 {
        vm.vm_wanted.set(0);
    }
}

/// Gives pages back (`vmem_free`).
///
/// # Panics
/// If one of them is free already.
pub fn vmem_free(page: u32, pages: u32) {
    let vm = &platform::kernel().k_kmem.kmem_vmem;
    mutex_enter(&vm.vm_lock);
    for used in &vm.vm_used[page as usize..][..pages as usize] {
        assert!(used.get(), "vmem_free({:#x}): freed twice", u64::from(page) * PAGESIZE);
        used.set(false);
    }
    vm.freemem.set(vm.freemem.get() + u64::from(pages));
    vm.vm_free.bump();
    if vm.vm_waiters.get() != 0 && !platform::kernel().is_mutant(mutant::MEMORY_UNSIGNALLED) {
        cv_broadcast(&vm.vm_cv);
    }
    mutex_exit(&vm.vm_lock);
}
