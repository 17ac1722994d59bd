//! A soft ring set's worker and its poll thread (`mac_sched.c mac_srs_worker`, `mac_rx_srs_poll_ring`).
//!
//! # Invariants
//! - Each takes what it has been woken for before it sleeps again; both look under `srs_lock`.
//! - The poll thread owns PROC from the moment at which it is sent (GET_PKTS) until it clears both.

use super::nic::mac_hwring_poll;
use super::srs::{MAX_BYTES_TO_PICKUP, SoftRingSet, mac_rx_srs_drain, srs, srst};
use crate::cell::Cell;
use crate::platform;
use crate::sync::{cv_signal, cv_wait, mutex_enter, mutex_exit};
use umpire_shared::tunable;

/// One turn of the worker: waits until there are packets that nobody passes on, and passes them on.
#[inline(always)]
pub fn mac_srs_worker(set: &'static SoftRingSet) {
    mutex_enter(&set.srs_lock);
    while set.has(srs::PROC) || set.srs_first.is_null() {
        cv_wait(&set.srs_async, &set.srs_lock);
    }
    mac_rx_srs_drain(set, srs::WORKER);
    mutex_exit(&set.srs_lock);
}

/// One turn of the poll thread: waits until it is sent, and fetches packets until it has enough or there are none.
#[inline(always)]
pub fn mac_rx_srs_poll_ring(set: &'static SoftRingSet) {
    mutex_enter(&set.srs_lock);
    while !set.has(srs::GET_PKTS) {
        cv_wait(&set.srs_cv, &set.srs_lock);
    }
    poll(set);
    mutex_exit(&set.srs_lock);
}

/// Fetches packets. `srs_lock` is held, and so is PROC, on entry; on exit only the lock.
fn poll(set: &'static SoftRingSet) {
    let lowat = platform::kernel().tunable(tunable::MAC_SOFT_RING_MIN_Q_CNT) as u32;
    loop {
        mutex_exit(&set.srs_lock);
        let chain = mac_hwring_poll(set, MAX_BYTES_TO_PICKUP);
        let fetched = chain.count;
        mutex_enter(&set.srs_lock);
        if fetched != 0 {
            set.enqueue(chain, &set.sr_poll_count, &set.sr_poll_chains);
        }
        if !set.srs_first.is_null() {
            if !set.is(srst::LATENCY_OPT) && !set.srs_worker.is_null() {
                // The worker passes them on, and decides afterwards whether to go on polling.
                set.lower(srs::PROC | srs::GET_PKTS);
                cv_signal(&set.srs_async);
                return;
            }
            mac_rx_srs_drain(set, srs::POLL_PROC);
        }
        // What was left on the list while this thread drained came to somebody who found PROC set, and is this thread's to pass on.
        if !set.srs_first.is_null() || fetched != 0 && set.sr_poll_pkt_cnt.get() <= lowat {
            continue;
        }
        set.lower(srs::PROC | srs::GET_PKTS);
        if set.sr_poll_pkt_cnt.get() == 0 {
            set.polling_off();
        }
        return;
    }
}

impl SoftRingSet {
    /// From now on its device can be polled: the poll thread is there.
    pub fn set_poll_capable(&'static self) {
        mutex_enter(&self.srs_lock);
        self.srs_type.set(self.srs_type.get() | srst::POLL_CAPAB);
        mutex_exit(&self.srs_lock);
    }
}
