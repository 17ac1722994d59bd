//! A pool's task queues (`spa.c spa_taskqs_init`, `spa_taskq_dispatch_ent`).
//!
//! # Invariants
//! - They are in the order of [`ZIO_TASKQS`], and never change.
//! - With `zio_taskq_sysdc` their threads are of class SDC with `zio_taskq_basedc`; without they are of class SYS at maxclsyspri, those
//!   that begin writes one lower, so that they do not keep others from ending theirs.

use alloc::boxed::Box;

use super::Zio;
use super::zio::ZIO_EXECUTE;
use crate::disp::{MAXCLSYSPRI, MINCLSYSPRI};
use crate::lock::SharedPtr;
use crate::platform;
use crate::sys::Kthread;
use crate::taskq::{Taskq, TaskqSpec, taskq_create_at_boot, taskq_dispatch_ent, tq, tqflag};
use umpire_shared::sys::zio::{
    ZIO_QUEUE_NAMES, ZIO_QUEUES, ZIO_TASKQ_MINALLOC, ZIO_TASKQ_TYPES, ZIO_TASKQS, ZIO_TYPES, Zti,
    queues_before, zio_taskq, zio_type,
};
use umpire_shared::tunable;

/// The pool (`spa_t`).
#[repr(C)]
#[derive(Debug)]
pub struct Spa {
    /// Its queues (`spa_zio_taskq`).
    pub spa_zio_taskq: Box<[SharedPtr<Taskq>]>,
}

impl Spa {
    pub(super) fn new(is_there: bool) -> Spa {
        let n = if is_there { ZIO_QUEUES } else { 0 };
        Spa { spa_zio_taskq: (0..n).map(|_| SharedPtr::null()).collect() }
    }

    /// The queues of a type and a kind.
    fn queues(&self, ty: u8, kind: u8) -> &[SharedPtr<Taskq>] {
        let (ty, kind) = (usize::from(ty), usize::from(kind));
        &self.spa_zio_taskq[queues_before(ty, kind) as usize..][..ZIO_TASKQS[ty][kind].queues() as usize]
    }
}

/// Begins every queue. At boot.
pub(super) fn spa_taskqs_init() {
    for ty in 0..ZIO_TYPES {
        for kind in 0..ZIO_TASKQ_TYPES {
            let cells = platform::kernel().k_zfs.spa.queues(ty as u8, kind as u8);
            let names = &ZIO_QUEUE_NAMES[queues_before(ty, kind) as usize..];
            for (cell, name) in cells.iter().zip(names) {
                cell.set(Some(create(name, ty, kind)));
            }
        }
    }
}

fn create(name: &str, ty: usize, kind: usize) -> &'static Taskq {
    let kernel = platform::kernel();
    let is_sysdc = kernel.tunable_at_boot(tunable::ZIO_TASKQ_SYSDC) != 0;
    let is_batch = ZIO_TASKQS[ty][kind] == Zti::Batch;
    let begins_writes = ty == usize::from(zio_type::WRITE) && kind == usize::from(zio_taskq::ISSUE);
    let mut flags = if is_batch { tqflag::THREADS_CPU_PCT } else { 0 };
    if is_sysdc {
        flags |= tqflag::DUTY_CYCLE | if is_batch { tqflag::DC_BATCH } else { 0 };
    }
    taskq_create_at_boot(&TaskqSpec {
        name,
        instance: None,
        nthreads: match ZIO_TASKQS[ty][kind] {
            Zti::Fixed(_, threads) => threads,
            _ => kernel.tunable_at_boot(tunable::ZIO_TASKQ_BATCH_PCT) as u32,
        },
        pri: match is_sysdc {
            true => MINCLSYSPRI,
            false => MAXCLSYSPRI - i32::from(begins_writes),
        },
        minalloc: ZIO_TASKQ_MINALLOC,
        maxalloc: i32::MAX as u32,
        dc: if is_sysdc { kernel.tunable_at_boot(tunable::ZIO_TASKQ_BASEDC) as u32 } else { 0 },
        flags,
    })
}

/// Gives an I/O to a queue of its type; of several, to one by the time (`spa_taskq_dispatch_ent`). The entry is the I/O's own: this
/// neither allocates nor fails.
pub(super) fn spa_taskq_dispatch_ent(ty: u8, kind: u8, zio: &'static Zio, at_front: bool) {
    let queues = platform::kernel().k_zfs.spa.queues(ty, kind);
    let n = if queues.len() > 1 { platform::now() as usize % queues.len() } else { 0 };
    let queue = queues[n].get().expect("invariant: boot has begun the queues");
    let flags = if at_front { tq::FRONT } else { 0 };
    taskq_dispatch_ent(queue, &ZIO_EXECUTE, core::ptr::from_ref(zio).addr(), flags, &zio.io_tqent);
}

/// True if a type has queues of a kind.
pub(super) fn has_queue(ty: u8, kind: u8) -> bool {
    ZIO_TASKQS[usize::from(ty)][usize::from(kind)] != Zti::None
}

/// True for a thread of a queue that goes on after interrupts (`zio_taskq_member`).
pub(super) fn is_of_interrupts(t: &Kthread) -> bool {
    let Some(own) = t.t_taskq.get() else { return false };
    let spa = &platform::kernel().k_zfs.spa;
    (0..ZIO_TYPES as u8).any(|ty| spa.queues(ty, zio_taskq::INTERRUPT).iter().any(|queue| queue.is(own)))
}
