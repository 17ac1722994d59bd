//! Soft ring sets: where a device's packets come in, and how they are shared out (`mac_sched.c`).
//!
//! # Invariants
//! - `srs_lock` guards everything but what is fixed at boot. It is held with no other lock of the path, and not while packets are passed
//!   on.
//! - `sr_poll_pkt_cnt` counts the packets in the set and in its soft rings: up where they come in, down when a ring has passed them on.
//!   What there is above the high water mark is dropped where it comes in, and nowhere else.
//! - PROC is the right to take from the list; the thread that sets it clears it, or leaves it to the poll thread by GET_PKTS.
//! - While POLLING is set the device does not interrupt. It is cleared only where `sr_poll_pkt_cnt` is 0, and then the device interrupts
//!   at once if it has anything: somebody always comes for the next packet.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use super::deliver::Conns;
use super::fanout::{Lane, fanout};
use super::packet::{Chain, List};
use super::{is_stack_low, nic};
use crate::cell::{Cell, Counter};
use crate::lock::SharedPtr;
use crate::platform;
use crate::streams::message::Mblk;
use crate::sync::{Condvar, Mutex, cv_signal, mutex_enter, mutex_exit};
use crate::sys::Kthread;
use umpire_shared::program::{Header, Interrupt};
pub use umpire_shared::sys::mac::{srs, srst};
use umpire_shared::{NAME_LEN, mutant, tunable};

/// Bytes that a poll thread fetches at a time (`MAX_BYTES_TO_PICKUP`).
pub(super) const MAX_BYTES_TO_PICKUP: usize = 150_000;

/// How many packets came at a time: fewer than 10, up to 50, more.
#[repr(C)]
#[derive(Debug, Default)]
pub struct ChainCounts {
    /// Fewer than 10.
    pub few: AtomicU64,
    /// 10 to 50.
    pub some: AtomicU64,
    /// More.
    pub many: AtomicU64,
}

impl ChainCounts {
    fn count(&self, packets: u32) {
        match packets {
            0..10 => self.few.bump(),
            10..=50 => self.some.bump(),
            _ => self.many.bump(),
        }
    }
}

/// A soft ring set (`mac_soft_ring_set_t`).
#[repr(C)]
#[derive(Debug)]
pub struct SoftRingSet {
    /// Guards the rest.
    pub srs_lock: Mutex,
    /// Bits of [`srs`].
    pub srs_state: AtomicU32,
    /// Bits of [`srst`].
    pub srs_type: AtomicU32,
    /// The first packet that is not shared out.
    pub srs_first: SharedPtr<Mblk>,
    /// The last.
    pub srs_last: SharedPtr<Mblk>,
    /// How many.
    pub srs_count: AtomicU32,
    /// The name of the link.
    pub srs_linkname: [AtomicU8; NAME_LEN],
    /// The number of its device.
    pub srs_device: AtomicU32,
    /// What its worker sleeps on.
    pub srs_async: Condvar,
    /// What its poll thread sleeps on.
    pub srs_cv: Condvar,
    /// Its worker, if it has one.
    pub srs_worker: SharedPtr<Kthread>,
    /// Its poll thread, if it has one.
    pub srs_poll_thr: SharedPtr<Kthread>,
    /// Packets in it and in its soft rings.
    pub sr_poll_pkt_cnt: AtomicU32,
    /// Packets that interrupts brought.
    pub sr_intr_count: AtomicU64,
    /// Packets that the poll thread brought.
    pub sr_poll_count: AtomicU64,
    /// Packets that were dropped because there were too many.
    pub sr_drop_count: AtomicU64,
    /// Packets that were dropped for want of memory for a copy.
    pub sr_nocopy: AtomicU64,
    /// Times that it began to be polled.
    pub sr_poll_on: AtomicU64,
    /// How many packets interrupts brought at a time.
    pub sr_intr_chains: ChainCounts,
    /// How many the poll thread brought.
    pub sr_poll_chains: ChainCounts,
    /// Times that a thread left packets to the worker for want of stack (`mac_rx_srs_stack_toodeep`).
    pub sr_stack_toodeep: AtomicU64,
    /// What the connections of its flows know.
    pub srs_conns: Conns,
    /// Where its packets go.
    pub srs_lanes: Box<[Lane]>,
    pub(super) is_fanned: bool,
}

impl SoftRingSet {
    /// The set of a device, for those who want its packets.
    pub(super) fn new(device: u32, spec: &Interrupt, lanes: Box<[Lane]>, header: &Header) -> SoftRingSet {
        let is_fanned = spec.flows != 0;
        let kind = srst::RX
            | if is_fanned { srst::FANOUT_SRC_IP } else { 0 }
            | if header.tunables[tunable::MAC_LATENCY_OPTIMIZE] != 0 { srst::LATENCY_OPT } else { 0 };
        SoftRingSet {
            srs_lock: Mutex::new(),
            srs_state: AtomicU32::new(0),
            srs_type: AtomicU32::new(kind),
            srs_first: SharedPtr::null(),
            srs_last: SharedPtr::null(),
            srs_count: AtomicU32::new(0),
            srs_linkname: core::array::from_fn(|n| AtomicU8::new(spec.name[n])),
            srs_device: AtomicU32::new(device),
            srs_async: Condvar::new(),
            srs_cv: Condvar::new(),
            srs_worker: SharedPtr::null(),
            srs_poll_thr: SharedPtr::null(),
            sr_poll_pkt_cnt: AtomicU32::new(0),
            sr_intr_count: AtomicU64::new(0),
            sr_poll_count: AtomicU64::new(0),
            sr_drop_count: AtomicU64::new(0),
            sr_nocopy: AtomicU64::new(0),
            sr_poll_on: AtomicU64::new(0),
            sr_intr_chains: ChainCounts::default(),
            sr_poll_chains: ChainCounts::default(),
            sr_stack_toodeep: AtomicU64::new(0),
            srs_conns: Conns::default(),
            srs_lanes: lanes,
            is_fanned,
        }
    }

    pub(super) fn has(&self, bits: u32) -> bool {
        self.srs_state.get() & bits != 0
    }

    pub(super) fn raise(&self, bits: u32) {
        self.srs_state.set(self.srs_state.get() | bits);
    }

    pub(super) fn lower(&self, bits: u32) {
        self.srs_state.set(self.srs_state.get() & !bits);
    }

    pub(super) fn is(&self, bit: u32) -> bool {
        self.srs_type.get() & bit != 0
    }

    pub(super) fn list(&self) -> List<'_> {
        List(&self.srs_first, &self.srs_last, &self.srs_count)
    }

    /// Takes packets in, and counts them. `srs_lock` is held.
    pub(super) fn enqueue(&self, chain: Chain, counter: &AtomicU64, chains: &ChainCounts) {
        chains.count(chain.count);
        counter.set(counter.get() + u64::from(chain.count));
        self.sr_poll_pkt_cnt.set(self.sr_poll_pkt_cnt.get() + chain.count);
        self.list().append(chain);
    }

    /// The device's interrupts go off. `srs_lock` is held.
    fn polling_on(&self) {
        if !self.has(srs::POLLING) {
            self.raise(srs::POLLING);
            self.sr_poll_on.bump();
            nic::disable_intr(self);
        }
    }

    /// They go on again. `srs_lock` is held.
    pub(super) fn polling_off(&self) {
        if self.has(srs::POLLING) {
            self.lower(srs::POLLING);
            nic::enable_intr(self);
        }
    }
}

/// Packets come from the device: the interrupt thread passes them on itself, or leaves that to the worker (`mac_rx_srs_process`).
pub(super) fn mac_rx_srs_process(set: &'static SoftRingSet, chain: Chain) {
    let kernel = platform::kernel();
    mutex_enter(&set.srs_lock);
    let limit = kernel.tunable(tunable::MAC_SOFT_RING_MAX_Q_CNT) as u32;
    if set.sr_poll_pkt_cnt.get() > limit && !kernel.is_mutant(mutant::SRS_NO_HIWAT) {
        set.sr_drop_count.set(set.sr_drop_count.get() + u64::from(chain.count));
        mutex_exit(&set.srs_lock);
        chain.free();
        return;
    }
    set.enqueue(chain, &set.sr_intr_count, &set.sr_intr_chains);
    if !set.has(srs::PROC) {
        let is_deep = is_stack_low(kernel.tunable(tunable::MAC_RX_SRS_STACK_NEEDED));
        if is_deep {
            set.sr_stack_toodeep.bump();
        }
        if set.srs_worker.is_null() || set.is(srst::LATENCY_OPT) && !is_deep {
            mac_rx_srs_drain(set, srs::PROC_FAST);
        } else {
            cv_signal(&set.srs_async);
        }
    }
    mutex_exit(&set.srs_lock);
}

/// Shares out what there is, in the hands of `who`: WORKER, PROC_FAST or POLL_PROC. `srs_lock` is held on entry and on exit
/// (`mac_rx_srs_drain`).
pub(super) fn mac_rx_srs_drain(set: &'static SoftRingSet, who: u32) {
    if set.has(srs::BLANK) {
        return;
    }
    set.raise(srs::PROC | who);
    loop {
        let chain = set.list().take();
        mutex_exit(&set.srs_lock);
        fanout(set, chain);
        mutex_enter(&set.srs_lock);
        if set.srs_first.is_null() {
            break;
        }
        // More came meanwhile: who came in an interrupt has done its part, if there is somebody to leave the rest to.
        if who == srs::WORKER || set.srs_worker.is_null() {
            continue;
        }
        cv_signal(&set.srs_async);
        break;
    }
    if set.has(srs::GET_PKTS) {
        set.lower(who);
        return;
    }
    if set.sr_poll_pkt_cnt.get() > 0 && set.is(srst::POLL_CAPAB) {
        set.polling_on();
        set.lower(srs::PROC | who);
        send_poll_thread(set);
    } else {
        set.lower(srs::PROC | who);
        set.polling_off();
    }
}

/// Sends the poll thread for more, if it is time. `srs_lock` is held.
fn send_poll_thread(set: &'static SoftRingSet) {
    let threshold = platform::kernel().tunable(tunable::MAC_SOFT_RING_POLL_THRES) as u32;
    let is_due = set.sr_poll_pkt_cnt.get() <= threshold
        && set.has(srs::POLLING)
        && !set.has(srs::PROC | srs::GET_PKTS)
        && set.srs_first.is_null();
    if is_due {
        set.raise(srs::PROC | srs::GET_PKTS);
        cv_signal(&set.srs_cv);
    }
}

/// Soft rings have passed on so many packets (`mac_update_srs_count`).
pub(super) fn update_srs_count(set: &'static SoftRingSet, packets: u32) {
    mutex_enter(&set.srs_lock);
    set.sr_poll_pkt_cnt.set(set.sr_poll_pkt_cnt.get() - packets);
    if !platform::kernel().is_mutant(mutant::SRS_POLL_UNSENT) {
        send_poll_thread(set);
    }
    mutex_exit(&set.srs_lock);
}

/// So many packets are in a set's rings that did not come in by it.
pub(super) fn add_srs_count(set: &'static SoftRingSet, packets: u32) {
    mutex_enter(&set.srs_lock);
    set.sr_poll_pkt_cnt.set(set.sr_poll_pkt_cnt.get() + packets);
    mutex_exit(&set.srs_lock);
}
