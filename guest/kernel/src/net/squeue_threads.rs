//! An squeue's worker and its poll thread (`squeue.c squeue_worker`, `squeue_polling_thread`).
//!
//! # Invariants
//! - Both look for what there is to do under `sq_lock`, and sleep only without it.
//! - The poll thread gives PROC up with an empty list, or hands it to the worker (PROC_HELD), or leaves it with the worker that has it.

use super::packet::Chain;
use super::soft_ring::mac_soft_ring_poll;
use super::squeue::{Squeue, sqs, squeue_drain, worker_wakeup};
use super::srs::MAX_BYTES_TO_PICKUP;
use crate::sync::{cv_wait, mutex_enter, mutex_exit};

/// One turn of the worker: waits until there are packets that nobody handles, and handles them, however long that takes. Inlined, so
/// that a stack shows whose it is.
#[inline(always)]
pub fn squeue_worker(sq: &'static Squeue) {
    mutex_enter(&sq.sq_lock);
    while !sq.has(sqs::PROC_HELD) && (sq.has(sqs::PROC) || sq.sq_first.is_null()) {
        cv_wait(&sq.sq_worker_cv, &sq.sq_lock);
    }
    sq.lower(sqs::PROC_HELD);
    squeue_drain(sq, sqs::WORKER);
    mutex_exit(&sq.sq_lock);
}

/// One turn of the poll thread: waits until it is sent, and fetches packets from the soft ring until there are none.
#[inline(always)]
pub fn squeue_polling_thread(sq: &'static Squeue) {
    mutex_enter(&sq.sq_lock);
    while !sq.has(sqs::GET_PKTS) {
        cv_wait(&sq.sq_poll_cv, &sq.sq_lock);
    }
    poll(sq);
    mutex_exit(&sq.sq_lock);
}

/// Fetches packets. `sq_lock` is held on entry and on exit.
fn poll(sq: &'static Squeue) {
    loop {
        mutex_exit(&sq.sq_lock);
        let chain = sq
            .sq_rx_ring
            .get()
            .map_or_else(Chain::default, |ring| mac_soft_ring_poll(ring, MAX_BYTES_TO_PICKUP));
        mutex_enter(&sq.sq_lock);
        let has_fetched = chain.count != 0;
        sq.list().append(chain);
        if sq.has(sqs::WORKER) {
            // It has PROC, and takes these along.
            sq.lower(sqs::GET_PKTS);
            return;
        }
        if sq.sq_first.is_null() {
            sq.lower(sqs::PROC | sqs::GET_PKTS);
            sq.polling_off();
            return;
        }
        if has_fetched {
            squeue_drain(sq, sqs::POLL_PROC);
            if sq.sq_first.is_null() {
                continue;
            }
        }
        sq.raise(sqs::PROC_HELD);
        sq.lower(sqs::GET_PKTS);
        worker_wakeup(sq);
        return;
    }
}
