//! Soft rings: a list of packets with a thread that passes them on (`mac_soft_ring.c`, `mac_sched.c`).
//!
//! # Invariants
//! - `s_ring_lock` guards everything but what is fixed at boot; it is not held while packets are passed on.
//! - PROC is the right to take from the list. Who puts packets there while PROC or BLANK is set wakes nobody: the owner looks again
//!   before it gives PROC up, and who ends BLANK wakes the worker.

use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::fanout::Lane;
use super::packet::{Chain, List};
use super::squeue::squeue_enter;
use super::srs::{SoftRingSet, add_srs_count, update_srs_count};
use super::{NONE, net};
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::platform;
use crate::streams::message::Mblk;
use crate::sync::{Condvar, Mutex, cv_signal, cv_wait, mutex_enter, mutex_exit};
use crate::sys::Kthread;
use umpire_shared::NAME_LEN;
use umpire_shared::program::Thread;
pub use umpire_shared::sys::mac::{sring, srtype};

/// A soft ring (`mac_soft_ring_t`).
#[repr(C)]
#[derive(Debug)]
pub struct SoftRing {
    /// Guards the rest.
    pub s_ring_lock: Mutex,
    /// Bits of [`sring`].
    pub s_ring_state: AtomicU32,
    /// Bits of [`srtype`].
    pub s_ring_type: AtomicU32,
    /// The first packet that waits.
    pub s_ring_first: SharedPtr<Mblk>,
    /// The last.
    pub s_ring_last: SharedPtr<Mblk>,
    /// How many wait.
    pub s_ring_count: AtomicU32,
    /// Its name: that of its worker.
    pub s_ring_name: [AtomicU8; NAME_LEN],
    /// What its worker sleeps on.
    pub s_ring_cv: Condvar,
    /// Its worker.
    pub s_ring_worker: SharedPtr<Kthread>,
    /// The thread that passes packets on now.
    pub s_ring_run: SharedPtr<Kthread>,
    /// The CPU that its worker is bound to, -1 for none.
    pub s_ring_cpuid: AtomicI32,
    /// The number of its set.
    pub s_ring_set: AtomicU32,
    /// The number of the squeue that its packets go to; all ones for none.
    pub s_ring_sink: AtomicU32,
    /// Packets that came (`s_ring_total_inpkt`).
    pub s_ring_total_inpkt: AtomicU64,
    /// Packets that went on.
    pub s_ring_passed: AtomicU64,
    cost_ns: u64,
    sink: Option<Lane>,
}

impl SoftRing {
    /// The ring of a worker. `cost_us`: us of work for a packet before it goes on.
    pub(super) fn new(
        worker: &Thread,
        set: u32,
        sink: Option<Lane>,
        cost_us: u64,
        is_worker_only: bool,
    ) -> SoftRing {
        let bound = if worker.cpu >= 0 { sring::BOUND } else { 0 };
        SoftRing {
            s_ring_lock: Mutex::new(),
            s_ring_state: AtomicU32::new(bound),
            s_ring_type: AtomicU32::new(srtype::UDP | if is_worker_only { srtype::WORKER_ONLY } else { 0 }),
            s_ring_first: SharedPtr::null(),
            s_ring_last: SharedPtr::null(),
            s_ring_count: AtomicU32::new(0),
            s_ring_name: core::array::from_fn(|n| AtomicU8::new(worker.name[n])),
            s_ring_cv: Condvar::new(),
            s_ring_worker: SharedPtr::null(),
            s_ring_run: SharedPtr::null(),
            s_ring_cpuid: AtomicI32::new(worker.cpu),
            s_ring_set: AtomicU32::new(set),
            s_ring_sink: AtomicU32::new(match sink {
                Some(Lane::Squeue(n)) => n,
                _ => NONE,
            }),
            s_ring_total_inpkt: AtomicU64::new(0),
            s_ring_passed: AtomicU64::new(0),
            cost_ns: cost_us * 1000,
            sink,
        }
    }

    fn has(&self, bits: u32) -> bool {
        self.s_ring_state.get() & bits != 0
    }

    fn raise(&self, bits: u32) {
        self.s_ring_state.set(self.s_ring_state.get() | bits);
    }

    fn lower(&self, bits: u32) {
        self.s_ring_state.set(self.s_ring_state.get() & !bits);
    }

    fn list(&self) -> List<'_> {
        List(&self.s_ring_first, &self.s_ring_last, &self.s_ring_count)
    }

    fn set(&self) -> &'static SoftRingSet {
        &net().srs[self.s_ring_set.get() as usize]
    }
}

/// Packets come from a set. With little to do the caller passes them on itself, unless only the worker may (`mac_rx_soft_ring_process`).
pub(super) fn mac_rx_soft_ring_process(set: &'static SoftRingSet, ring: &'static SoftRing, chain: Chain) {
    mutex_enter(&ring.s_ring_lock);
    ring.s_ring_total_inpkt.set(ring.s_ring_total_inpkt.get() + u64::from(chain.count));
    let is_light = set.sr_poll_pkt_cnt.get() <= 1 && ring.s_ring_type.get() & srtype::WORKER_ONLY == 0;
    if !is_light {
        ring.list().append(chain);
        worker_wakeup(ring);
    } else if ring.has(sring::BLANK | sring::PROC) {
        // Nobody is woken: the owner, or who polls, takes it along.
        ring.list().append(chain);
    } else {
        ring.list().append(chain);
        drain(ring, rx_func);
    }
    mutex_exit(&ring.s_ring_lock);
}

/// Wakes the worker, if nobody else passes on what there is. `s_ring_lock` is held (`mac_soft_ring_worker_wakeup`).
fn worker_wakeup(ring: &'static SoftRing) {
    if !ring.has(sring::PROC | sring::BLANK) {
        cv_signal(&ring.s_ring_cv);
    }
}

/// Passes on what there is until there is nothing. `s_ring_lock` is held on entry and on exit (`mac_rx_soft_ring_drain`).
fn drain(ring: &'static SoftRing, rx: impl Fn(&'static SoftRing, Chain)) {
    ring.raise(sring::PROC);
    ring.s_ring_run.set(Some(platform::curthread()));
    while !ring.s_ring_first.is_null() {
        let chain = ring.list().take();
        let packets = chain.count;
        mutex_exit(&ring.s_ring_lock);
        rx(ring, chain);
        ring.s_ring_passed.fetch_add(u64::from(packets), Ordering::Relaxed);
        update_srs_count(ring.set(), packets);
        mutex_enter(&ring.s_ring_lock);
    }
    ring.s_ring_run.set(None);
    ring.lower(sring::PROC);
}

/// What is done with packets: they go to the squeue, or to another ring, or are at their end.
fn rx_func(ring: &'static SoftRing, chain: Chain) {
    platform::spin(ring.cost_ns * u64::from(chain.count));
    match ring.sink {
        Some(Lane::Squeue(n)) => {
            let sq = &net().squeues[n as usize];
            squeue_enter(sq, chain, sq.enter_flag());
        }
        Some(Lane::Ring(n)) => {
            let next = &net().soft_rings[n as usize];
            // They leave this ring's set and come to the other's, which may be the same.
            add_srs_count(next.set(), chain.count);
            mac_rx_soft_ring_process(next.set(), next, chain);
        }
        None => chain.free(),
    }
}

/// One turn of a worker: waits for packets and passes them on. Inlined, so that a stack shows whose it is (`mac_soft_ring_worker`).
#[inline(always)]
pub fn mac_soft_ring_worker(ring: &'static SoftRing) {
    worker_turn(ring, rx_func);
}

/// One turn of a worker that does something else with its packets: `rx` has the chain from then on.
#[inline(always)]
pub fn worker_turn(ring: &'static SoftRing, rx: impl Fn(&'static SoftRing, Chain)) {
    mutex_enter(&ring.s_ring_lock);
    while ring.s_ring_first.is_null() || ring.has(sring::BLANK | sring::PROC) {
        cv_wait(&ring.s_ring_cv, &ring.s_ring_lock);
    }
    drain(ring, rx);
    mutex_exit(&ring.s_ring_lock);
}

/// An squeue wants to fetch its packets itself. False if somebody is just passing some on (`mac_soft_ring_intr_disable`).
pub(super) fn mac_soft_ring_intr_disable(ring: &'static SoftRing) -> bool {
    mutex_enter(&ring.s_ring_lock);
    let is_free = !ring.has(sring::PROC);
    if is_free {
        ring.raise(sring::BLANK);
    }
    mutex_exit(&ring.s_ring_lock);
    is_free
}

/// It no longer does: what has come meanwhile is the worker's (`mac_soft_ring_intr_enable`).
pub(super) fn mac_soft_ring_intr_enable(ring: &'static SoftRing) {
    mutex_enter(&ring.s_ring_lock);
    ring.lower(sring::BLANK);
    if !ring.s_ring_first.is_null() {
        worker_wakeup(ring);
    }
    mutex_exit(&ring.s_ring_lock);
}

/// Fetches packets: all, or as many as have more than `bytes` (`mac_soft_ring_poll`).
pub(super) fn mac_soft_ring_poll(ring: &'static SoftRing, bytes: usize) -> Chain {
    mutex_enter(&ring.s_ring_lock);
    let chain = ring.list().take_bytes(bytes);
    mutex_exit(&ring.s_ring_lock);
    if chain.count != 0 {
        platform::spin(ring.cost_ns * u64::from(chain.count));
        ring.s_ring_passed.fetch_add(u64::from(chain.count), Ordering::Relaxed);
        update_srs_count(ring.set(), chain.count);
    }
    chain
}
