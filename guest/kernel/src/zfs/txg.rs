//! Transaction groups (`txg.c`), and what the sync of one writes (`spa_sync`).
//!
//! # Invariants
//! - Three groups at most are alive: one open, one quiescing or quiesced, one syncing. `tx_sync_lock` guards which, what holds them, and
//!   their dirty pages.
//! - A page is dirty in the group that was open when it came, and is written by that group's sync.
//! - The sync waits for every I/O that it has begun: an I/O whose end nobody works at keeps every later group from the disk.

use core::sync::atomic::{AtomicU32, AtomicU64};

use super::vdev_disk::vdev_disk_open;
use super::zio::zio_flag;
use super::zvol::take_dirty;
use super::{NO_PAGE, zio_create, zio_nowait, zio_wait};
use crate::cell::{Cell, Counter};
use crate::disp::MINCLSYSPRI;
use crate::platform;
use crate::sync::{Condvar, Mutex, cv_broadcast, cv_wait, mutex_enter, mutex_exit};
use crate::sys::NANOSEC;
use crate::sys::thread::Start;
use crate::taskq::lwp_kernel_create;
use crate::time::callout::cv_timedwait;
use umpire_shared::sys::zio::{DAEMON_NAMES, zio_priority, zio_type};
use umpire_shared::tunable;

/// Groups whose state is kept (`TXG_SIZE`).
pub(super) const TXG_SIZE: usize = 4;

static TXG_SYNC: Start = Start(txg_sync_thread);
static TXG_QUIESCE: Start = Start(txg_quiesce_thread);

/// `tx_state_t`.
#[repr(C)]
#[derive(Debug)]
pub struct Txg {
    /// See the invariants.
    pub tx_sync_lock: Mutex,
    /// The group that takes changes.
    pub tx_open_txg: AtomicU64,
    /// The group that waits to be synced; 0 for none.
    pub tx_quiesced_txg: AtomicU64,
    /// The group that is being synced; 0 for none.
    pub tx_syncing_txg: AtomicU64,
    /// The last group that was.
    pub tx_synced_txg: AtomicU64,
    /// The last group that somebody wants synced.
    pub tx_sync_txg_waiting: AtomicU64,
    /// The first group that somebody wants open.
    pub tx_quiesce_txg_waiting: AtomicU64,
    /// Where the sync thread waits for a reason.
    pub tx_sync_more_cv: Condvar,
    /// Where others wait for a sync to be over.
    pub tx_sync_done_cv: Condvar,
    /// Where the quiesce thread waits for a reason.
    pub tx_quiesce_more_cv: Condvar,
    /// Where others wait for a group to be quiesced, and the next one to be open.
    pub tx_quiesce_done_cv: Condvar,
    /// Where the quiesce thread waits for a group's holds.
    pub tc_cv: Condvar,
    /// Who holds each group.
    pub tc_count: [AtomicU32; TXG_SIZE],
}

impl Txg {
    pub(super) fn new() -> Txg {
        Txg {
            tx_sync_lock: Mutex::new(),
            tx_open_txg: AtomicU64::new(1),
            tx_quiesced_txg: AtomicU64::new(0),
            tx_syncing_txg: AtomicU64::new(0),
            tx_synced_txg: AtomicU64::new(0),
            tx_sync_txg_waiting: AtomicU64::new(0),
            tx_quiesce_txg_waiting: AtomicU64::new(0),
            tx_sync_more_cv: Condvar::new(),
            tx_sync_done_cv: Condvar::new(),
            tx_quiesce_more_cv: Condvar::new(),
            tx_quiesce_done_cv: Condvar::new(),
            tc_cv: Condvar::new(),
            tc_count: Default::default(),
        }
    }

    /// Waits until this group, or a later one, is open. Called with the lock, which it drops meanwhile (`txg_wait_open`).
    #[inline(never)]
    pub(super) fn txg_wait_open(&'static self, txg: u64) {
        self.tx_quiesce_txg_waiting.set(self.tx_quiesce_txg_waiting.get().max(txg));
        while self.tx_open_txg.get() < txg {
            cv_broadcast(&self.tx_quiesce_more_cv);
            cv_wait(&self.tx_quiesce_done_cv, &self.tx_sync_lock);
        }
    }

    /// Has the open group synced soon. Called with the lock (`txg_kick`).
    pub(super) fn txg_kick(&'static self) {
        let open = self.tx_open_txg.get();
        if self.tx_sync_txg_waiting.get() < open {
            self.tx_sync_txg_waiting.set(open);
            cv_broadcast(&self.tx_sync_more_cv);
        }
    }
}

fn txg() -> &'static Txg {
    &platform::kernel().k_zfs.txg
}

/// Waits until a group is on the disk (`txg_wait_synced`); 0 for the one that is open.
pub fn txg_wait_synced(of: u64) {
    let tx = txg();
    mutex_enter(&tx.tx_sync_lock);
    let of = if of == 0 { tx.tx_open_txg.get() } else { of };
    tx.tx_sync_txg_waiting.set(tx.tx_sync_txg_waiting.get().max(of));
    while tx.tx_synced_txg.get() < of {
        cv_broadcast(&tx.tx_sync_more_cv);
        cv_wait(&tx.tx_sync_done_cv, &tx.tx_sync_lock);
    }
    mutex_exit(&tx.tx_sync_lock);
}

/// Begins the two threads. At boot.
pub(super) fn txg_sync_start() {
    for (name, start) in DAEMON_NAMES.into_iter().zip([&TXG_SYNC, &TXG_QUIESCE]) {
        lwp_kernel_create(name, MINCLSYSPRI, start);
    }
}

/// Syncs a group when one is wanted, and at least every `zfs_txg_timeout` seconds.
fn txg_sync_thread() {
    let tx = txg();
    vdev_disk_open();
    loop {
        mutex_enter(&tx.tx_sync_lock);
        let timeout = platform::kernel().tunable(tunable::ZFS_TXG_TIMEOUT) as u64 * NANOSEC;
        let deadline = platform::now() + timeout;
        while tx.tx_quiesced_txg.get() == 0 && tx.tx_synced_txg.get() >= tx.tx_sync_txg_waiting.get() {
            if cv_timedwait(&tx.tx_sync_more_cv, &tx.tx_sync_lock, deadline) {
                break;
            }
        }
        while tx.tx_quiesced_txg.get() == 0 {
            let next = tx.tx_open_txg.get() + 1;
            tx.tx_quiesce_txg_waiting.set(tx.tx_quiesce_txg_waiting.get().max(next));
            cv_broadcast(&tx.tx_quiesce_more_cv);
            cv_wait(&tx.tx_quiesce_done_cv, &tx.tx_sync_lock);
        }
        let of = tx.tx_quiesced_txg.get();
        tx.tx_quiesced_txg.set(0);
        tx.tx_syncing_txg.set(of);
        cv_broadcast(&tx.tx_quiesce_more_cv);
        mutex_exit(&tx.tx_sync_lock);
        spa_sync(of);
        mutex_enter(&tx.tx_sync_lock);
        tx.tx_synced_txg.set(of);
        tx.tx_syncing_txg.set(0);
        cv_broadcast(&tx.tx_sync_done_cv);
        mutex_exit(&tx.tx_sync_lock);
    }
}

/// Closes the open group when the next one is wanted, waits for who holds it, and hands it to the sync thread.
fn txg_quiesce_thread() {
    let tx = txg();
    mutex_enter(&tx.tx_sync_lock);
    loop {
        while tx.tx_quiesced_txg.get() != 0 || tx.tx_open_txg.get() >= tx.tx_quiesce_txg_waiting.get() {
            cv_wait(&tx.tx_quiesce_more_cv, &tx.tx_sync_lock);
        }
        let of = tx.tx_open_txg.get();
        tx.tx_open_txg.bump();
        while tx.tc_count[of as usize % TXG_SIZE].get() != 0 {
            cv_wait(&tx.tc_cv, &tx.tx_sync_lock);
        }
        tx.tx_quiesced_txg.set(of);
        cv_broadcast(&tx.tx_sync_more_cv);
        cv_broadcast(&tx.tx_quiesce_done_cv);
    }
}

/// Writes a group's pages, waits for them, and then writes the uberblock.
#[inline(never)]
fn spa_sync(of: u64) {
    let root = zio_create(None, zio_type::NULL, zio_priority::ASYNC_WRITE, 0, NO_PAGE);
    while let Some(page) = take_dirty(of) {
        zio_nowait(zio_create(Some(root), zio_type::WRITE, zio_priority::ASYNC_WRITE, 0, page));
    }
    zio_wait(root);
    let flags = zio_flag::CONFIG_WRITER;
    zio_wait(zio_create(None, zio_type::WRITE, zio_priority::SYNC_WRITE, flags, NO_PAGE));
}
