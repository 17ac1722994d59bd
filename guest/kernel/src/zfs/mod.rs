//! ZFS as the dispatcher sees it: who does which part of an I/O, and who waits for it.
//!
//! | file | what |
//! |---|---|
//! | `spa.rs` | a pool's task queues, by type of I/O and by what is left to do (`spa.c`) |
//! | `zio.rs` | an I/O, and the stages that it goes through (`zio.c`) |
//! | `vdev_disk.rs` | the disk: one I/O at a time, and an interrupt when it is done (`vdev_disk.c`) |
//! | `txg.rs` | transaction groups: open, quiescing, syncing (`txg.c`), and what a sync writes (`spa_sync`) |
//! | `zvol.rs` | the volume that pageout swaps to (`zvol.c`), and the limit of what is dirty (`dsl_pool.c`) |
//!
//! # Invariants
//! - There is one pool, `rpool`, or none: the tunable `zpool` says.
//! - Lock order: `tx_sync_lock`, `io_lock`, `vd_lock`, then those of task queues. None is held while an I/O's function runs.
//! - An I/O is on one list: a task queue's, by the entry in it, or the disk's.
//!
//! # What is not here
//! Blocks, checksums, devices beside the one, the vdev queue's classes (the disk takes I/O in the order in which it comes), the intent
//! log. A transaction group holds pages, not blocks.

use core::sync::atomic::AtomicU64;

use crate::kmem::{NO_OPS, Objects};
use crate::platform;
use crate::sys::Places;
use umpire_shared::program::Header;
use umpire_shared::sys::kmem::PAGESIZE;
use umpire_shared::tunable;

mod spa;
mod txg;
mod vdev_disk;
mod zio;
mod zvol;

pub use spa::Spa;
pub use txg::{Txg, txg_wait_synced};
pub use vdev_disk::{DISK_PIL, VdevDisk, vdev_disk_intr};
pub use zio::{Zio, zio_create, zio_nowait, zio_wait};
pub use zvol::{Zvol, zvol_putpage, zvol_read};

/// "No page".
pub const NO_PAGE: u32 = u32::MAX;
/// I/Os that there may be at a time.
const MAX_ZIOS: u32 = 1024;

/// What the pool keeps; nothing without one.
#[repr(C)]
#[derive(Debug)]
pub struct ZfsState {
    /// I/Os (`zio_cache`).
    pub zio_cache: Objects<Zio>,
    /// The pool.
    pub spa: Spa,
    /// Its disk.
    pub vdev: VdevDisk,
    /// Its transaction groups.
    pub txg: Txg,
    /// Its volume.
    pub zvol: Zvol,
    /// Called when a page has been written (`pvn_write_done`); fixed at boot, as pages are a floor above.
    pub page_done: fn(u32),
    /// I/Os that are done, by type.
    pub zio_done: [AtomicU64; umpire_shared::sys::zio::ZIO_TYPES],
    is_there: bool,
}

impl ZfsState {
    /// A pool that has not been begun, or none.
    pub fn new(header: &Header, page_done: fn(u32)) -> ZfsState {
        let is_there = header.tunables[tunable::ZPOOL] != 0;
        let pages = (header.memory / PAGESIZE) as u32;
        ZfsState {
            zio_cache: Objects::new(if is_there { MAX_ZIOS } else { 0 }, |_| Zio::new()),
            spa: Spa::new(is_there),
            vdev: VdevDisk::new(),
            txg: Txg::new(),
            zvol: Zvol::new(if is_there { pages } else { 0 }, header),
            page_done,
            zio_done: Default::default(),
            is_there,
        }
    }

    /// True if there is a pool.
    pub fn is_there(&self) -> bool {
        self.is_there
    }

    /// Gives places to what is slept on.
    pub fn number_places(&self, places: &Places) {
        if self.is_there {
            places.add(&"zio_cache", &self.zio_cache.objects);
            places.add(&"k_zfs", core::slice::from_ref(self));
        }
    }
}

/// Begins the pool, if there is one: its queues, and the threads of its transaction groups (`spa_activate`, `txg_sync_start`). At boot,
/// after task queues.
pub fn zfs_init() {
    let state = &platform::kernel().k_zfs;
    if !state.is_there() {
        return;
    }
    state.zio_cache.init("zio_cache", NO_OPS);
    spa::spa_taskqs_init();
    txg::txg_sync_start();
}
