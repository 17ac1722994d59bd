//! The volume that pageout swaps to (`zvol.c`), and how much may be dirty (`dsl_pool.c`, `dmu_tx_assign`).
//!
//! # Invariants
//! - What is dirty is guarded by `tx_sync_lock`. A page is dirty in one group, from [`zvol_putpage`] until its write is begun.
//! - Who makes a page dirty while too much is waits for the next group to be open, and that is not before the one that is being synced
//!   is done with: so pageout waits for its own pages.

use alloc::boxed::Box;
use core::sync::atomic::AtomicU32;

use super::txg::TXG_SIZE;
use super::{NO_PAGE, zio_create, zio_wait};
use crate::cell::{Cell, Counter};
use crate::platform;
use crate::sync::{cv_broadcast, mutex_enter, mutex_exit};
use umpire_shared::program::Header;
use umpire_shared::sys::kmem::PAGESIZE;
use umpire_shared::sys::zio::{zio_priority, zio_type};
use umpire_shared::tunable;

/// Per cent of what may be dirty from which a group is synced at once (`zfs_dirty_data_sync_pct`).
const DIRTY_SYNC_PCT: u32 = 20;

/// The volume, and what is dirty of it.
#[repr(C)]
#[derive(Debug)]
pub struct Zvol {
    /// Pages that may be dirty in one group (`zfs_dirty_data_max`).
    pub dirty_max: u32,
    /// Pages that are, by group.
    pub dirty: [AtomicU32; TXG_SIZE],
    /// The first dirty page of each group, or [`NO_PAGE`].
    dirty_first: [AtomicU32; TXG_SIZE],
    /// The page behind each page.
    dirty_next: Box<[AtomicU32]>,
}

impl Zvol {
    /// A volume for so many pages of memory.
    pub(super) fn new(pages: u32, header: &Header) -> Zvol {
        let most = u64::try_from(header.tunables[tunable::ZFS_DIRTY_DATA_MAX]);
        let most = most.map_or(pages / 10, |bytes| (bytes / PAGESIZE) as u32);
        Zvol {
            dirty_max: most.max(1),
            dirty: Default::default(),
            dirty_first: core::array::from_fn(|_| AtomicU32::new(NO_PAGE)),
            dirty_next: (0..pages).map(|_| AtomicU32::new(NO_PAGE)).collect(),
        }
    }
}

/// Writes a page: puts it into the open group, waiting for one that has room (`zvol_strategy`, `dmu_tx_assign`). It is on the disk when
/// `page_done` has been called for it.
#[inline(never)]
pub fn zvol_putpage(page: u32) {
    let state = &platform::kernel().k_zfs;
    let (tx, zv) = (&state.txg, &state.zvol);
    mutex_enter(&tx.tx_sync_lock);
    let n = loop {
        let open = tx.tx_open_txg.get();
        let n = open as usize % TXG_SIZE;
        if zv.dirty[n].get() < zv.dirty_max {
            break n;
        }
        tx.txg_kick();
        tx.txg_wait_open(open + 1);
    };
    tx.tc_count[n].bump();
    zv.dirty[n].bump();
    zv.dirty_next[page as usize].set(zv.dirty_first[n].get());
    zv.dirty_first[n].set(page);
    if zv.dirty[n].get() * 100 >= zv.dirty_max * DIRTY_SYNC_PCT {
        tx.txg_kick();
    }
    tx.tc_count[n].drop_one();
    cv_broadcast(&tx.tc_cv);
    mutex_exit(&tx.tx_sync_lock);
}

/// Reads a page and waits for it.
pub fn zvol_read() {
    zio_wait(zio_create(None, zio_type::READ, zio_priority::SYNC_READ, 0, NO_PAGE));
}

/// Takes a dirty page of a group that is being synced.
pub(super) fn take_dirty(txg: u64) -> Option<u32> {
    let state = &platform::kernel().k_zfs;
    let (zv, n) = (&state.zvol, txg as usize % TXG_SIZE);
    mutex_enter(&state.txg.tx_sync_lock);
    let page = zv.dirty_first[n].get();
    if page != NO_PAGE {
        zv.dirty_first[n].set(zv.dirty_next[page as usize].get());
        zv.dirty[n].drop_one();
    }
    mutex_exit(&state.txg.tx_sync_lock);
    (page != NO_PAGE).then_some(page)
}
