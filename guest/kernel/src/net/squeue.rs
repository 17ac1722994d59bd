//! Squeues: packets of connections, handled one at a time by whoever has the queue (`squeue.c`).
//!
//! # Invariants
//! - `sq_lock` guards everything but what is fixed at boot; it is not held while a packet is handled.
//! - PROC is the right to handle packets, and one thread has it: what a connection keeps needs no other lock. Its owner gives it up only
//!   with an empty list, or when it has woken the worker, or to the poll thread (GET_PKTS), which gives it up in the same way.
//! - Nobody but the worker handles packets for longer than `squeue_drain_ms`, or with little stack.
//!
//! ```text
//!   enters                                 owner, in drain
//!                                          takes all; handles them
//!   PROC? -> yes: puts its packet there
//!                                          locks; the list is not empty: goes on, or wakes the worker
//! ```
//!
//! # What is not here
//! Packets whose connection moves to another squeue, and a second entry of the owner (REENTER): nothing that handles a packet sends one.
//! Nobody enters synchronously (`squeue_synch_enter`).

use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicU64};

use super::deliver::ip_input;
use super::packet::{self, Chain, List};
use super::soft_ring::{SoftRing, mac_soft_ring_intr_disable, mac_soft_ring_intr_enable};
use super::{NONE, is_stack_low};
use crate::cell::{Cell, Counter};
use crate::lock::SharedPtr;
use crate::platform;
use crate::streams::message::Mblk;
use crate::sync::{Condvar, Mutex, cv_signal, mutex_enter, mutex_exit};
use crate::sys::Kthread;
use umpire_shared::program::Thread;
pub use umpire_shared::sys::squeue::{SQ_FILL, SQ_NODRAIN, SQ_PROCESS, sqs};
use umpire_shared::work::network::{self, Enter};
use umpire_shared::{NAME_LEN, mutant, tunable};

/// An squeue (`squeue_t`).
#[repr(C)]
#[derive(Debug)]
pub struct Squeue {
    /// Guards the rest.
    pub sq_lock: Mutex,
    /// Bits of [`sqs`].
    pub sq_state: AtomicU32,
    /// Packets that wait.
    pub sq_count: AtomicU32,
    /// The first of them.
    pub sq_first: SharedPtr<Mblk>,
    /// The last.
    pub sq_last: SharedPtr<Mblk>,
    /// The thread that has it.
    pub sq_run: SharedPtr<Kthread>,
    /// The soft ring that it polls.
    pub sq_rx_ring: SharedPtr<SoftRing>,
    /// When its worker was woken last, in ns.
    pub sq_awoken: AtomicU64,
    /// What its worker sleeps on.
    pub sq_worker_cv: Condvar,
    /// What its poll thread sleeps on.
    pub sq_poll_cv: Condvar,
    /// The CPU that its worker is bound to, -1 for none (`PBIND_NONE`).
    pub sq_bind: AtomicI32,
    /// Its worker.
    pub sq_worker: SharedPtr<Kthread>,
    /// Its poll thread, if it has one.
    pub sq_poll_thr: SharedPtr<Kthread>,
    /// Its worker's priority.
    pub sq_priority: AtomicI32,
    /// Its name: that of its worker.
    pub sq_name: [AtomicU8; NAME_LEN],
    /// The device that brings it packets without a soft ring; all ones for none.
    pub sq_source: AtomicU32,
    /// The stream that its packets go to; all ones for none.
    pub sq_stream: AtomicU32,
    /// Packets that were handled. Changes in the hands of the owner.
    pub sq_processed: AtomicU64,
    /// Those of them that found no room in the stream, or no stream.
    pub sq_dropped: AtomicU64,
    /// Times that a thread other than the worker had to stop with packets left.
    pub sq_budget_over: AtomicU64,
    /// Times that a thread had too little stack (`squeue_drain_stack_toodeep`).
    pub sq_stack_toodeep: AtomicU64,
    pub(super) cost_ns: u64,
    enter: Enter,
}

impl Squeue {
    /// The squeue of a worker.
    pub(super) fn new(work: network::Squeue, worker: &Thread) -> Squeue {
        let bound = if worker.cpu >= 0 { sqs::BOUND } else { 0 };
        Squeue {
            sq_lock: Mutex::new(),
            sq_state: AtomicU32::new(bound),
            sq_count: AtomicU32::new(0),
            sq_first: SharedPtr::null(),
            sq_last: SharedPtr::null(),
            sq_run: SharedPtr::null(),
            sq_rx_ring: SharedPtr::null(),
            sq_awoken: AtomicU64::new(0),
            sq_worker_cv: Condvar::new(),
            sq_poll_cv: Condvar::new(),
            sq_bind: AtomicI32::new(worker.cpu),
            sq_worker: SharedPtr::null(),
            sq_poll_thr: SharedPtr::null(),
            sq_priority: AtomicI32::new(worker.pri),
            sq_name: core::array::from_fn(|n| AtomicU8::new(worker.name[n])),
            sq_source: AtomicU32::new(work.source.map_or(NONE, |device| device.0)),
            sq_stream: AtomicU32::new(work.stream.map_or(NONE, |stream| stream.0)),
            sq_processed: AtomicU64::new(0),
            sq_dropped: AtomicU64::new(0),
            sq_budget_over: AtomicU64::new(0),
            sq_stack_toodeep: AtomicU64::new(0),
            cost_ns: work.cost_us * 1000,
            enter: work.enter,
        }
    }

    /// How packets enter it: one of `SQ_FILL`, `SQ_NODRAIN`, `SQ_PROCESS` (`ip_squeue_enter`).
    pub fn enter_flag(&self) -> u32 {
        match self.enter {
            Enter::Fill => SQ_FILL,
            Enter::Nodrain => SQ_NODRAIN,
            Enter::Process => SQ_PROCESS,
        }
    }

    /// Gives it a poll thread, and the soft ring that this one polls. At boot.
    pub(super) fn set_poll(&self, thread: &'static Kthread, ring: &'static SoftRing) {
        self.sq_poll_thr.set(Some(thread));
        self.sq_rx_ring.set(Some(ring));
        self.raise(sqs::POLL_CAPAB | sqs::ILL_BOUND);
    }

    pub(super) fn has(&self, bits: u32) -> bool {
        self.sq_state.get() & bits != 0
    }

    pub(super) fn raise(&self, bits: u32) {
        self.sq_state.set(self.sq_state.get() | bits);
    }

    pub(super) fn lower(&self, bits: u32) {
        self.sq_state.set(self.sq_state.get() & !bits);
    }

    pub(super) fn list(&self) -> List<'_> {
        List(&self.sq_first, &self.sq_last, &self.sq_count)
    }

    /// The soft ring passes packets on by itself again. `sq_lock` is held.
    pub(super) fn polling_off(&self) {
        if let Some(ring) = self.sq_rx_ring.get().filter(|_| self.has(sqs::POLLING)) {
            self.lower(sqs::POLLING);
            mac_soft_ring_intr_enable(ring);
        }
    }
}

/// Packets enter: they are handled by the caller, or queued for whoever has the squeue, or for its worker (`squeue_enter`).
pub fn squeue_enter(sq: &'static Squeue, mut chain: Chain, flag: u32) {
    mutex_enter(&sq.sq_lock);
    let is_wanted = flag == SQ_PROCESS || flag == SQ_NODRAIN && sq.sq_first.is_null();
    if sq.has(sqs::PROC) || !is_wanted {
        sq.list().append(chain);
        if !sq.has(sqs::PROC) {
            worker_wakeup(sq);
        }
        mutex_exit(&sq.sq_lock);
        return;
    }
    let alone = if sq.sq_first.is_null() && chain.count == 1 { chain.pop() } else { None };
    if let Some(mp) = alone {
        let conn = packet::flow(mp);
        fast(sq, mp);
        if flag == SQ_NODRAIN {
            // One more, if it belongs to the same connection (`squeue_try_drain_one`).
            if sq.sq_first.get().is_some_and(|next| packet::flow(next) == conn)
                && let Some(next) = take_first(sq)
            {
                fast(sq, next);
            }
            if !sq.sq_first.is_null() {
                worker_wakeup(sq);
            }
            mutex_exit(&sq.sq_lock);
            return;
        }
    } else {
        sq.list().append(chain);
    }
    if !sq.sq_first.is_null() {
        squeue_drain(sq, sqs::ENTER);
    }
    mutex_exit(&sq.sq_lock);
}

/// Handles one packet past the list. `sq_lock` is held on entry and on exit.
fn fast(sq: &'static Squeue, mp: &'static Mblk) {
    sq.raise(sqs::PROC | sqs::FAST);
    sq.sq_run.set(Some(platform::curthread()));
    mutex_exit(&sq.sq_lock);
    ip_input(sq, mp);
    mutex_enter(&sq.sq_lock);
    sq.sq_run.set(None);
    sq.lower(sqs::PROC | sqs::FAST);
}

fn take_first(sq: &Squeue) -> Option<&'static Mblk> {
    let mut all = sq.list().take();
    let first = all.pop();
    sq.list().append(all);
    first
}

/// Wakes the worker. `sq_lock` is held (`squeue_worker_wakeup`).
pub(super) fn worker_wakeup(sq: &'static Squeue) {
    sq.sq_awoken.set(platform::now());
    cv_signal(&sq.sq_worker_cv);
}

/// Handles what there is, in the hands of `who`: WORKER, ENTER or POLL_PROC. `sq_lock` is held on entry and on exit (`squeue_drain`).
pub(super) fn squeue_drain(sq: &'static Squeue, who: u32) {
    let kernel = platform::kernel();
    let is_worker = who == sqs::WORKER;
    if !is_worker && is_stack_low(kernel.tunable(tunable::SQUEUE_DRAIN_STACK_NEEDED)) {
        sq.sq_stack_toodeep.bump();
        worker_wakeup(sq);
        return;
    }
    let deadline = platform::now() + kernel.tunable(tunable::SQUEUE_DRAIN_MS) as u64 * 1_000_000;
    sq.sq_run.set(Some(platform::curthread()));
    loop {
        let mut chain = sq.list().take();
        sq.raise(sqs::PROC | who);
        if sq.has(sqs::POLL_CAPAB)
            && !sq.has(sqs::POLLING)
            && sq.sq_rx_ring.get().is_some_and(mac_soft_ring_intr_disable)
        {
            sq.raise(sqs::POLLING);
        }
        mutex_exit(&sq.sq_lock);
        while let Some(mp) = chain.pop() {
            ip_input(sq, mp);
        }
        mutex_enter(&sq.sq_lock);
        if sq.sq_first.is_null() {
            break;
        }
        if is_worker {
            if sq.has(sqs::POLLING) && !sq.has(sqs::GET_PKTS) {
                send_poll_thread(sq);
            }
            continue;
        }
        if platform::now() < deadline || kernel.is_mutant(mutant::SQUEUE_UNBOUNDED) {
            continue;
        }
        sq.sq_budget_over.bump();
        worker_wakeup(sq);
        break;
    }
    sq.sq_run.set(None);
    if sq.has(sqs::GET_PKTS) {
        // The poll thread has PROC from here on.
        sq.lower(who);
    } else if is_worker && sq.has(sqs::POLLING) {
        sq.lower(sqs::WORKER);
        send_poll_thread(sq);
    } else {
        sq.lower(sqs::PROC | who);
        sq.polling_off();
    }
}

/// Sends the poll thread, which has PROC when the worker gives it up. `sq_lock` is held.
fn send_poll_thread(sq: &'static Squeue) {
    sq.raise(sqs::GET_PKTS);
    cv_signal(&sq.sq_poll_cv);
}
