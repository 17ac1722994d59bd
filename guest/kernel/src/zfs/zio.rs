//! An I/O and its stages (`zio.c`).
//!
//! # Invariants
//! - One thread at a time executes an I/O. It hands it over by giving it to a task queue or to the disk, and touches it no more.
//! - A thread that goes on after interrupts never does what may block: such a stage is given to the queue that issues.
//! - An I/O with children is done when they are. Its count of them and `io_stalled` are guarded by its `io_lock`: whoever takes the last
//!   child away when the parent has got to its end executes the parent.
//!
//! ```text
//!   the parent's thread: done()               the last child's thread: notify_parent()
//!   io_lock: children == 1: io_stalled = 1
//!                                             io_lock: children = 0, stalled: takes that back
//!                                             executes the parent
//! ```
//! - Memory for an I/O may come from what is left to who makes memory free: who executes one has `t_pushpage`.

use core::sync::atomic::{AtomicU8, AtomicU32};

use super::NO_PAGE;
use super::spa::{has_queue, is_of_interrupts, spa_taskq_dispatch_ent};
use super::vdev_disk::vdev_disk_io_start;
use crate::cell::{Cell, Counter};
use crate::kmem::km;
use crate::lock::SharedPtr;
use crate::platform;
use crate::sync::{Condvar, Mutex, cv_broadcast, cv_wait, mutex_enter, mutex_exit};
use crate::taskq::{TaskFunc, TaskqEnt};
use umpire_shared::sys::zio::{zio_priority, zio_taskq, zio_type};

/// What the task queues call; the argument is the I/O's address.
pub(super) static ZIO_EXECUTE: TaskFunc = TaskFunc(execute_task);

/// ns of compressing and checksumming a page.
const COMPRESS_NS: u64 = 20_000;

/// Stages, in their order (`enum zio_stage`).
pub mod stage {
    /// Created.
    pub const OPEN: u32 = 1 << 0;
    /// Goes on in a thread that issues.
    pub const ISSUE_ASYNC: u32 = 1 << 1;
    /// Compresses and checksums.
    pub const WRITE_COMPRESS: u32 = 1 << 2;
    /// Finds a place on the disk.
    pub const DVA_ALLOCATE: u32 = 1 << 3;
    /// Gives one back.
    pub const DVA_FREE: u32 = 1 << 4;
    /// Claims one.
    pub const DVA_CLAIM: u32 = 1 << 5;
    /// Ready.
    pub const READY: u32 = 1 << 6;
    /// To the disk.
    pub const VDEV_IO_START: u32 = 1 << 7;
    /// Back from there.
    pub const VDEV_IO_DONE: u32 = 1 << 8;
    /// Tells its parent and its waiter.
    pub const DONE: u32 = 1 << 9;
    /// Those that may block.
    pub const BLOCKING: u32 = DVA_ALLOCATE | DVA_CLAIM | VDEV_IO_START;
}

/// `io_flags`.
pub mod zio_flag {
    /// Writes the pool's configuration: served by the queues of no type (`ZIO_FLAG_CONFIG_WRITER`).
    pub const CONFIG_WRITER: u32 = 1 << 0;
}

/// `zio_t`.
#[repr(C)]
#[derive(Debug)]
pub struct Zio {
    /// Its entry for task queues (`io_tqent`).
    pub io_tqent: TaskqEnt,
    /// One of [`zio_type`].
    pub io_type: AtomicU8,
    /// One of [`zio_priority`].
    pub io_priority: AtomicU8,
    /// Bits of `zio_flag`.
    pub io_flags: AtomicU32,
    /// The stage that it is in.
    pub io_stage: AtomicU32,
    /// The stages that it goes through.
    pub io_pipeline: AtomicU32,
    /// The page that it writes, or [`NO_PAGE`].
    pub io_page: AtomicU32,
    /// The I/O that is not done before this one.
    pub io_parent: SharedPtr<Zio>,
    /// Next in the disk's queue.
    pub io_next: SharedPtr<Zio>,
    /// Guards what follows.
    pub io_lock: Mutex,
    /// Where its waiter waits.
    pub io_cv: Condvar,
    /// Children that are not done.
    pub io_children: AtomicU32,
    /// Non-zero while it is at its end and its children are not.
    pub io_stalled: AtomicU8,
    /// Non-zero if somebody waits for it, and frees it.
    pub io_waiter: AtomicU8,
    /// Non-zero once it is done.
    pub io_is_done: AtomicU8,
}

impl Zio {
    pub(super) fn new() -> Zio {
        Zio {
            io_tqent: TaskqEnt::new(),
            io_type: AtomicU8::new(zio_type::NULL),
            io_priority: AtomicU8::new(zio_priority::SYNC_READ),
            io_flags: AtomicU32::new(0),
            io_stage: AtomicU32::new(stage::OPEN),
            io_pipeline: AtomicU32::new(0),
            io_page: AtomicU32::new(NO_PAGE),
            io_parent: SharedPtr::null(),
            io_next: SharedPtr::null(),
            io_lock: Mutex::new(),
            io_cv: Condvar::new(),
            io_children: AtomicU32::new(0),
            io_stalled: AtomicU8::new(0),
            io_waiter: AtomicU8::new(0),
            io_is_done: AtomicU8::new(0),
        }
    }
}

/// Makes an I/O of one of [`zio_type`] and [`zio_priority`], with a parent that waits for it or without.
pub fn zio_create(parent: Option<&'static Zio>, ty: u8, priority: u8, flags: u32, page: u32) -> &'static Zio {
    let cache = &platform::kernel().k_zfs.zio_cache;
    // What writes memory to the disk must not wait for memory: this stands for the I/Os that illumos has in reserve.
    let zio = cache.alloc(km::SLEEP | km::PUSHPAGE).expect("invariant: who may sleep gets an I/O");
    zio.io_type.set(ty);
    zio.io_priority.set(priority);
    zio.io_flags.set(flags);
    zio.io_stage.set(stage::OPEN);
    zio.io_pipeline.set(pipeline(ty, flags));
    zio.io_page.set(page);
    zio.io_parent.set(parent);
    zio.io_next.set(None);
    zio.io_children.set(0);
    zio.io_stalled.set(0);
    zio.io_waiter.set(0);
    zio.io_is_done.set(0);
    if let Some(parent) = parent {
        mutex_enter(&parent.io_lock);
        parent.io_children.bump();
        mutex_exit(&parent.io_lock);
    }
    zio
}

/// Begins an I/O that nobody waits for but its parent; it frees itself.
pub fn zio_nowait(zio: &'static Zio) {
    zio_execute(zio);
}

/// Begins an I/O and waits until it is done.
#[inline(never)]
pub fn zio_wait(zio: &'static Zio) {
    zio.io_waiter.set(1);
    zio_execute(zio);
    mutex_enter(&zio.io_lock);
    while zio.io_is_done.get() == 0 {
        cv_wait(&zio.io_cv, &zio.io_lock);
    }
    mutex_exit(&zio.io_lock);
    platform::kernel().k_zfs.zio_cache.free(zio);
}

/// The disk is done with it: the rest is for a thread (`zio_interrupt`). From the disk's interrupt.
pub(super) fn zio_interrupt(zio: &'static Zio) {
    zio_taskq_dispatch(zio, zio_taskq::INTERRUPT, false);
}

/// Gives an I/O to a queue (`zio_taskq_dispatch`).
fn zio_taskq_dispatch(zio: &'static Zio, kind: u8, at_front: bool) {
    let is_configuration = zio.io_flags.get() & zio_flag::CONFIG_WRITER != 0;
    let ty = if is_configuration { zio_type::NULL } else { zio.io_type.get() };
    let is_urgent = matches!(zio.io_priority.get(), zio_priority::NOW | zio_priority::SYNC_WRITE);
    let kind = if is_urgent && has_queue(ty, kind + 1) { kind + 1 } else { kind };
    spa_taskq_dispatch_ent(ty, kind, zio, at_front);
}

fn execute_task(arg: usize) {
    let zios = &platform::kernel().k_zfs.zio_cache.objects;
    zio_execute(&zios[(arg - zios.as_ptr().addr()) / size_of::<Zio>()]);
}

/// Takes an I/O from stage to stage until somebody else has it, or it is done (`zio_execute`).
#[inline(never)]
fn zio_execute(zio: &'static Zio) {
    let t = platform::curthread();
    let before = t.t_pushpage.get();
    t.t_pushpage.set(1);
    while advance(zio) {}
    t.t_pushpage.set(before);
}

/// One stage. False if the I/O is not this thread's any more.
fn advance(zio: &'static Zio) -> bool {
    let pipeline = zio.io_pipeline.get();
    let behind = pipeline & !(zio.io_stage.get() | (zio.io_stage.get() - 1));
    let next = 1 << behind.trailing_zeros();
    if next & stage::BLOCKING != 0 && is_of_interrupts(platform::curthread()) {
        zio_taskq_dispatch(zio, zio_taskq::ISSUE, next == stage::VDEV_IO_START);
        return false;
    }
    zio.io_stage.set(next);
    match next {
        stage::ISSUE_ASYNC => {
            zio_taskq_dispatch(zio, zio_taskq::ISSUE, false);
            false
        }
        stage::WRITE_COMPRESS => {
            platform::spin(COMPRESS_NS);
            true
        }
        stage::VDEV_IO_START => {
            vdev_disk_io_start(zio);
            false
        }
        stage::DONE => {
            done(zio);
            false
        }
        _ => true,
    }
}

/// At its end: waits for its children, or tells its parent and its waiter (`zio_done`).
fn done(zio: &'static Zio) {
    mutex_enter(&zio.io_lock);
    let is_early = zio.io_children.get() != 0;
    zio.io_stalled.set(u8::from(is_early));
    mutex_exit(&zio.io_lock);
    if is_early {
        return;
    }
    let state = &platform::kernel().k_zfs;
    // A read-modify-write: threads of several queues end I/Os of one type at a time.
    state.zio_done[usize::from(zio.io_type.get())].fetch_add(1, core::sync::atomic::Ordering::Relaxed);
    if zio.io_page.get() != NO_PAGE {
        (state.page_done)(zio.io_page.get());
    }
    let parent = zio.io_parent.get();
    if zio.io_waiter.get() != 0 {
        mutex_enter(&zio.io_lock);
        zio.io_is_done.set(1);
        cv_broadcast(&zio.io_cv);
        mutex_exit(&zio.io_lock);
    } else {
        state.zio_cache.free(zio);
    }
    if let Some(parent) = parent {
        notify_parent(parent);
    }
}

fn notify_parent(parent: &'static Zio) {
    mutex_enter(&parent.io_lock);
    parent.io_children.drop_one();
    let is_last = parent.io_children.get() == 0 && parent.io_stalled.get() != 0;
    if is_last {
        parent.io_stalled.set(0);
    }
    mutex_exit(&parent.io_lock);
    if is_last {
        // Back one stage, so that the end is reached again.
        parent.io_stage.set(stage::VDEV_IO_DONE);
        zio_execute(parent);
    }
}

/// The stages of a type (`ZIO_WRITE_PIPELINE` and its like). What writes the configuration writes to a place that it knows.
fn pipeline(ty: u8, flags: u32) -> u32 {
    let io = stage::READY | stage::VDEV_IO_START | stage::VDEV_IO_DONE | stage::DONE;
    match ty {
        zio_type::READ => io,
        zio_type::WRITE if flags & zio_flag::CONFIG_WRITER != 0 => io,
        zio_type::WRITE => stage::ISSUE_ASYNC | stage::WRITE_COMPRESS | stage::DVA_ALLOCATE | io,
        zio_type::FREE => stage::ISSUE_ASYNC | stage::DVA_FREE | stage::DONE,
        zio_type::CLAIM => stage::DVA_CLAIM | stage::DONE,
        zio_type::IOCTL | zio_type::TRIM => stage::VDEV_IO_START | stage::VDEV_IO_DONE | stage::DONE,
        _ => stage::READY | stage::DONE,
    }
}
