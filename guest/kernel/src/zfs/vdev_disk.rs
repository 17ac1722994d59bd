//! The pool's disk: it takes one I/O at a time and interrupts when it is done (`vdev_disk.c`, and a driver below it).
//!
//! # Invariants
//! - `vd_lock` guards the queue. The first of the queue is what the disk works at, and its cyclic is armed for when that will be done.
//! - The cyclic stands for the hardware: it counts, and makes the disk's level pending on its CPU. The handler, on an interrupt thread,
//!   gives the I/O that is done to a task queue, and no more.
//!
//! ```text
//!   CPU A: vdev_disk_intr                     CPU B: vdev_disk_io_start
//!   vd_lock: takes the first, none is left
//!                                             vd_lock: the queue is empty: puts it in, arms the cyclic
//!   zio_interrupt(the one that is done)
//! ```

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::Zio;
use super::zio::zio_interrupt;
use crate::cell::{Cell, Counter};
use crate::lock::SharedPtr;
use crate::platform;
use crate::sync::{Mutex, mutex_enter, mutex_exit};
use crate::time::cyclic::{
    CY_HIGH_LEVEL, CycFunc, CycHandler, CyclicId, ON_DEMAND, anywhere, cyclic_add_at, cyclic_reprogram,
    handler,
};
use umpire_shared::tunable;

/// The level that the disk interrupts at.
pub const DISK_PIL: u32 = 5;

/// The disk.
#[repr(C)]
#[derive(Debug)]
pub struct VdevDisk {
    /// Guards the queue.
    pub vd_lock: Mutex,
    /// What it works at.
    pub vd_first: SharedPtr<Zio>,
    /// The last of its queue.
    pub vd_last: SharedPtr<Zio>,
    /// I/Os that it has.
    pub vd_queued: AtomicU32,
    /// Interrupts that have not been handled. The cyclic counts up at level 14, the handler takes them all.
    pub vd_pend: AtomicU32,
    /// I/Os done.
    pub vd_done: AtomicU64,
    /// Its cyclic, as a word; 0 before the pool's thread has begun.
    pub vd_cyclic: AtomicU64,
}

/// The disk's cyclic.
static DISK: CycFunc = CycFunc { number: handler::DISK, run: |_| assert_disk(), moved: anywhere };

impl VdevDisk {
    pub(super) fn new() -> VdevDisk {
        VdevDisk {
            vd_lock: Mutex::new(),
            vd_first: SharedPtr::null(),
            vd_last: SharedPtr::null(),
            vd_queued: AtomicU32::new(0),
            vd_pend: AtomicU32::new(0),
            vd_done: AtomicU64::new(0),
            vd_cyclic: AtomicU64::new(0),
        }
    }
}

/// Gives the disk its cyclic. From a thread, before the first I/O.
pub(super) fn vdev_disk_open() {
    let kernel = platform::kernel();
    let cpu = kernel.tunable_at_boot(tunable::DISK_CPU) as u32;
    let cp = &kernel.k_cpus[(cpu % kernel.k_ncpus) as usize];
    mutex_enter(&kernel.k_cpu_ops.cpu_lock);
    let id = cyclic_add_at(cp, CycHandler { func: &DISK, arg: 0, level: CY_HIGH_LEVEL }, ON_DEMAND, 0);
    mutex_exit(&kernel.k_cpu_ops.cpu_lock);
    kernel.k_zfs.vdev.vd_cyclic.set(id.expect("vdev_disk_open: too many cyclics on one CPU").word());
}

/// Takes an I/O (`vdev_disk_io_start`).
pub(super) fn vdev_disk_io_start(zio: &'static Zio) {
    let vd = &platform::kernel().k_zfs.vdev;
    mutex_enter(&vd.vd_lock);
    zio.io_next.set(None);
    match vd.vd_last.get() {
        Some(last) => last.io_next.set(Some(zio)),
        None => {
            vd.vd_first.set(Some(zio));
            begin(vd);
        }
    }
    vd.vd_last.set(Some(zio));
    vd.vd_queued.bump();
    mutex_exit(&vd.vd_lock);
}

/// The disk's interrupt (`vdev_disk_io_intr`). True if it was the disk's.
pub fn vdev_disk_intr(_: u32) -> bool {
    let vd = &platform::kernel().k_zfs.vdev;
    if vd.vd_pend.get() == 0 || vd.vd_pend.swap(0, Ordering::AcqRel) == 0 {
        return false;
    }
    platform::spin(platform::kernel().tunable(tunable::INTR_COST_NSEC) as u64);
    mutex_enter(&vd.vd_lock);
    let zio = vd.vd_first.get().expect("invariant: a disk that interrupts has worked at something");
    vd.vd_first.set(zio.io_next.get());
    vd.vd_queued.drop_one();
    vd.vd_done.bump();
    if vd.vd_first.is_null() {
        vd.vd_last.set(None);
    } else {
        begin(vd);
    }
    mutex_exit(&vd.vd_lock);
    zio_interrupt(zio);
    true
}

/// The disk begins with the first of its queue. Called with `vd_lock`.
fn begin(vd: &VdevDisk) {
    let ns = platform::kernel().tunable(tunable::DISK_USEC) as u64 * 1000;
    cyclic_reprogram(CyclicId::from_word(vd.vd_cyclic.get()), platform::now() + ns);
}

/// The hardware is done.
fn assert_disk() {
    platform::kernel().k_zfs.vdev.vd_pend.fetch_add(1, Ordering::AcqRel);
    platform::post(DISK_PIL);
}
