//! Anonymous memory: slots, each of which has a page, or a place in swap, or nothing yet.
//!
//! # Invariants
//! - A slot is touched by its own thread alone; the scanner and pageout take its page away, under `page_lock`.
//! - A thread that finds no memory waits as every allocation does, below `throttlefree` (`page_create_throttle`).

use core::sync::atomic::{AtomicU8, AtomicU32};

use super::VmState;
use crate::cell::Cell;
use crate::kmem::{km, vmem_alloc};
use crate::platform;
use crate::sync::{cv_wait, mutex_enter, mutex_exit};
use crate::zfs::zvol_read;

/// A slot that has never been touched; any other that is neither this nor [`SWAPPED`] is the number of its page.
pub(super) const EMPTY: u32 = u32::MAX;
/// A slot whose page has been written to swap.
pub(super) const SWAPPED: u32 = u32::MAX - 1;
/// "No slot".
pub(super) const NO_SLOT: u32 = u32::MAX;

/// Bits of `p_nrm`, and one that is Umpire's: busy is illumos's `p_selock`.
pub mod p {
    /// Touched since the front hand passed (`P_REF`).
    pub const REF: u8 = 1;
    /// Written since it came from swap, or never was there (`P_MOD`).
    pub const MOD: u8 = 2;
    /// On its way to swap.
    pub const BUSY: u8 = 4;
}

/// A page of memory (`page_t`), if user memory has it.
#[repr(C)]
#[derive(Debug)]
pub struct Page {
    /// The slot that it is in.
    pub p_slot: AtomicU32,
    /// The next request to write a page.
    pub p_next: AtomicU32,
    /// Whether it was touched, was changed, is being written.
    pub p_nrm: AtomicU8,
}

impl Page {
    pub(super) fn new() -> Page {
        let p_next = AtomicU32::new(NO_SLOT);
        Page { p_slot: AtomicU32::new(NO_SLOT), p_next, p_nrm: AtomicU8::new(0) }
    }

    pub(super) fn has(&self, bits: u8) -> bool {
        self.p_nrm.get() & bits != 0
    }
}

/// Reserves so many slots: the number of the first (`anon_resv`).
///
/// # Panics
/// If there are not so many left: the scenario's threads ask for more memory than there is swap.
pub fn anon_reserve(slots: u32) -> u32 {
    let vm = &platform::kernel().k_vm;
    mutex_enter(&vm.page_lock);
    let first = vm.anon_resv.get();
    let all = vm.anon.len() as u32;
    assert!(
        first + slots <= all,
        "anon_reserve: {slots} pages of {all} with {first} taken: no swap space, give the scenario more `memory`"
    );
    vm.anon_resv.set(first + slots);
    mutex_exit(&vm.page_lock);
    first
}

/// Touches a slot, and changes it if `is_write`: with its page, which it may have to wait for, and to read. True if it had to be read
/// from swap.
pub fn anon_touch(slot: u32, is_write: bool) -> bool {
    let vm: &'static VmState = &platform::kernel().k_vm;
    let cell = &vm.anon[slot as usize];
    let bits = if is_write { p::REF | p::MOD } else { p::REF };
    mutex_enter(&vm.page_lock);
    loop {
        let at = cell.get();
        if at == EMPTY || at == SWAPPED {
            break;
        }
        let page = &vm.pages[at as usize];
        if !page.has(p::BUSY) {
            page.p_nrm.set(page.p_nrm.get() | bits);
            mutex_exit(&vm.page_lock);
            return false;
        }
        cv_wait(&vm.page_cv, &vm.page_lock);
    }
    let is_swapped = cell.get() == SWAPPED;
    mutex_exit(&vm.page_lock);
    let n = vmem_alloc(1, km::SLEEP).expect("invariant: who may sleep gets a page");
    if is_swapped {
        zvol_read();
    }
    mutex_enter(&vm.page_lock);
    let page = &vm.pages[n as usize];
    page.p_slot.set(slot);
    // What has never been written to swap is not there.
    page.p_nrm.set(if is_swapped { bits } else { bits | p::MOD });
    cell.set(n);
    mutex_exit(&vm.page_lock);
    is_swapped
}
