//! Paging: pages of user memory, the clock hand that looks for some to give back, and the thread that writes them (`vm_pageout.c`).
//!
//! | file | what |
//! |---|---|
//! | `anon.rs` | anonymous memory: who touches a page, and gets it back from swap (`vm_anon.c`, as little of it as paging needs) |
//! | `pageout.rs` | `pageout`: takes requests and writes pages; its deadman |
//! | `scanner.rs` | `pageout_scanner`: two hands go round the pages |
//! | `schedpaging.rs` | four times a second: how far and how long the scanner may go |
//!
//! # Invariants
//! - Lock order: `page_lock`, `push_lock`, `pageout_lock`; below all of them those of the memory allocator, whose pages these are. None is
//!   held while a page is written, read, or allocated.
//! - A page that somebody has is in one slot of anonymous memory, and that slot holds its number. While it is on its way to swap it is
//!   busy, and neither is changed.
//!
//! # What is not here
//! One scanner, not up to sixteen. Pages of files, and `fsflush` for them. Address spaces: a slot belongs to the thread that took it.

use alloc::boxed::Box;
use core::sync::atomic::AtomicU32;

use crate::disp::MAXCLSYSPRI;
use crate::platform;
use crate::sync::{Condvar, Mutex};
use crate::sys::Places;
use crate::sys::thread::Start;
use crate::taskq::lwp_kernel_create;
use umpire_shared::program::Header;
use umpire_shared::sys::kmem::PAGESIZE;
use umpire_shared::sys::zio::DAEMON_NAMES;
use umpire_shared::tunable;

mod anon;
mod pageout;
mod scanner;
mod schedpaging;

pub use anon::{Page, anon_reserve, anon_touch, p};
pub use pageout::{Pageout, pageout_deadman, pvn_write_done};
pub use scanner::Scanner;

/// Slots of anonymous memory for each page.
const SLOTS_PER_PAGE: u32 = 4;

static PAGEOUT: Start = Start(pageout::pageout);
static SCANNER: Start = Start(scanner::pageout_scanner);

/// What paging keeps; nothing without a pool to swap to.
#[repr(C)]
#[derive(Debug)]
pub struct VmState {
    /// Guards pages and slots.
    pub page_lock: Mutex,
    /// Where threads wait for a page that is on its way to swap.
    pub page_cv: Condvar,
    /// The pages, by number.
    pub pages: Box<[Page]>,
    /// Slots of anonymous memory; see `anon.rs`.
    pub anon: Box<[AtomicU32]>,
    /// Slots that somebody has.
    pub anon_resv: AtomicU32,
    /// Who writes pages.
    pub pageout: Pageout,
    /// Who looks for some.
    pub scanner: Scanner,
}

impl VmState {
    /// No page in use.
    pub fn new(header: &Header) -> VmState {
        let is_there = header.tunables[tunable::ZPOOL] != 0;
        let pages = if is_there { (header.memory / PAGESIZE) as u32 } else { 0 };
        VmState {
            page_lock: Mutex::new(),
            page_cv: Condvar::new(),
            pages: (0..pages).map(|_| Page::new()).collect(),
            anon: (0..pages * SLOTS_PER_PAGE).map(|_| AtomicU32::new(anon::EMPTY)).collect(),
            anon_resv: AtomicU32::new(0),
            pageout: Pageout::new(header),
            scanner: Scanner::new(),
        }
    }

    /// True if there is paging.
    pub fn is_there(&self) -> bool {
        !self.pages.is_empty()
    }

    /// Gives places to what is slept on.
    pub fn number_places(&self, places: &Places) {
        if self.is_there() {
            places.add(&"k_vm", core::slice::from_ref(self));
        }
    }
}

/// Begins pageout and its scanner, if there is something to swap to (`main.c`, `pageout_init`). At boot, after the pool.
pub fn vm_init() {
    if !platform::kernel().k_vm.is_there() {
        return;
    }
    let [.., pageout, scanner] = DAEMON_NAMES;
    lwp_kernel_create(pageout, MAXCLSYSPRI - 1, &PAGEOUT);
    lwp_kernel_create(scanner, MAXCLSYSPRI - 2, &SCANNER);
    schedpaging::schedpaging_start();
}
