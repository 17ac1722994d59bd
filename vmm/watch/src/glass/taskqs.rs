//! The task queues: what waits in each, and what its threads do.
//!
//! # Invariants
//! - These are single words, each right by itself; two of them may be of different moments. A condition between two has to last.
//! - No more queues are believed than a kernel can have, and no more threads are looked at than there are behind the scenario's: those set
//!   aside for queues, and the CPUs' own, among which are those of `callout_taskq`.

use super::look::Look;
use super::record::record;
use super::root::KernelRoot;
use super::snapshot::Snapshot;
use super::walk::Arena;
use super::workers::is_at_work;
use umpire_shared::sys::taskq::tqflag;
use umpire_shared::sys::thread::ts;
use umpire_shared::{MAX_THREADS, NAME_LEN};

/// Queues that are read at most.
const MAX_TASKQS: u64 = 1024;

record! {
    /// A task queue.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct TaskqSample / TaskqPlaces of Taskq {
        read {
            /// `tq_name`.
            name: [u8; NAME_LEN] = array "tq_name",
            /// `tq_crtime`: 0 if there is no such queue.
            crtime: u64 = number "tq_crtime",
            /// `tq_flags`.
            flags: u32 = number "tq_flags",
            /// `tq_active`: threads that do not wait for a task.
            active: u32 = number "tq_active",
            /// `tq_nthreads`: threads; of a dynamic queue those of the list, which is one.
            nthreads: u32 = number "tq_nthreads",
            /// `tq_executed`: tasks of the list that have been done.
            executed: u64 = number "tq_executed",
            /// The first task of the list; the list's head if there is none.
            first: u64 = pointer "tq_task.tqent_next",
        }
        known {
            /// Its address.
            addr: u64,
            /// Threads of the queue that sleep, those of buckets as well.
            asleep: u32,
            /// Those that do not: they run, are ready to, or wait for a cap.
            awake: u32,
            /// One that sleeps, by its number.
            sleeper: u32,
        }
    }
}

record! {
    /// A thread that may serve a task queue.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct TaskThread / TaskThreadPlaces of Kthread {
        read {
            /// `t_state`.
            state: u32 = number "t_state",
            /// `t_taskq`: the queue that it serves.
            taskq: u64 = pointer "t_taskq",
        }
        known {}
    }
}

impl TaskqSample {
    /// True if there is such a queue.
    pub fn is_in_use(&self) -> bool {
        self.crtime != 0
    }

    /// True if tasks wait in its list: the head of an empty list is the queue's own, behind which nothing of the queue is.
    pub fn has_tasks(&self, size: u64) -> bool {
        let own = self.addr..self.addr.wrapping_add(size);
        !own.contains(&self.first) && self.first != 0
    }

    /// True while it is suspended.
    pub fn is_suspended(&self) -> bool {
        self.flags & tqflag::SUSPENDED != 0
    }
}

/// Where the queues and their threads are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taskqs {
    queues: Arena,
    /// The first thread that may serve a queue.
    first_thread: u32,
}

impl Taskqs {
    /// Those of a kernel.
    pub(super) fn new(says: &KernelRoot, ncpus: u32, stride: u64) -> Taskqs {
        let count = says.ntaskqs.min(MAX_TASKQS) as u32;
        let most = MAX_THREADS as u32;
        Taskqs {
            queues: Arena { base: says.taskqs, stride, count },
            first_thread: ncpus.saturating_add(says.nscenario.min(most)),
        }
    }

    /// Reads every queue that there is, and then what its threads do.
    pub(super) fn look(&self, look: &mut Look<'_>, into: &mut Snapshot) {
        into.taskqs.clear();
        into.taskq_size = self.queues.stride;
        for n in 0..self.queues.count {
            let addr = self.queues.address_of(n);
            let mut queue = TaskqSample { addr, ..TaskqSample::default() };
            if look.layout.taskq.read(look.memory, addr, look.room, &mut queue) && queue.is_in_use() {
                into.taskqs.push(queue);
            }
        }
        if into.taskqs.is_empty() {
            return;
        }
        for index in self.first_thread..look.arena.count {
            let mut thread = TaskThread::default();
            if !look.layout.task_thread.read(
                look.memory,
                look.arena.address_of(index),
                look.room,
                &mut thread,
            ) {
                continue;
            }
            let Some(queue) = into.taskqs.iter_mut().find(|q| q.addr == thread.taskq) else { continue };
            if thread.state == ts::SLEEP {
                queue.asleep += 1;
                queue.sleeper = index;
            } else if is_at_work(thread.state) {
                queue.awake += 1;
            }
        }
    }
}
