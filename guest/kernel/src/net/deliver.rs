//! The end of a packet's way through the workers: it is handled, and goes up a stream if its squeue has one (`ip_input`, `udp_input`).
//!
//! # Invariants
//! - Called by the owner of the squeue alone, so that what is counted here has one writer.
//! - A flow's packets come in their order; one that does not is counted.

use core::sync::atomic::AtomicU64;

use super::packet;
use super::squeue::Squeue;
use crate::cell::{Cell, Counter};
use crate::platform;
use crate::streams::allocb::freemsg;
use crate::streams::counts::Counts;
use crate::streams::flow::bcanputnext;
use crate::streams::message::Mblk;
use crate::streams::putnext::putnext;
use crate::streams::scenario::{ScenarioStream, hold, release, stamp};

/// Flows of a device that are told apart here.
pub const FLOWS: usize = 64;

/// What a connection knows of the packets that came: the number that comes next, by flow.
#[repr(C)]
#[derive(Debug)]
pub struct Conns {
    /// By flow.
    pub cn_next: [AtomicU64; FLOWS],
    /// Packets that came after a later one of their flow.
    pub cn_disorder: AtomicU64,
}

impl Default for Conns {
    fn default() -> Conns {
        Conns { cn_next: core::array::from_fn(|_| AtomicU64::new(0)), cn_disorder: AtomicU64::new(0) }
    }
}

impl Conns {
    fn arrived(&self, flow: usize, number: u64) {
        let next = &self.cn_next[flow % FLOWS];
        if number < next.get() {
            self.cn_disorder.bump();
        } else {
            next.set(number + 1);
        }
    }
}

/// Handles a packet, in the hands of the squeue's owner.
pub(super) fn ip_input(sq: &'static Squeue, mp: &'static Mblk) {
    platform::spin(sq.cost_ns);
    if let Some((device, flow)) = packet::connection(mp)
        && let Some(set) = super::srs_of(device)
    {
        set.srs_conns.arrived(flow, packet::number(mp));
    }
    match platform::kernel().k_streams.scenario.get(sq.sq_stream.get() as usize) {
        Some(ss) => up(sq, ss, mp),
        None => freemsg(mp),
    }
    sq.sq_processed.bump();
}

/// Sends a packet up a stream from its driver, if there is room.
fn up(sq: &'static Squeue, ss: &'static ScenarioStream, mp: &'static Mblk) {
    if hold(ss).is_err() {
        sq.sq_dropped.bump();
        freemsg(mp);
        return;
    }
    let rq = ss.ss_driver_rq.get().expect("invariant: a stream that is held has a driver");
    if bcanputnext(rq, 0) {
        let worker = sq.sq_worker.get().expect("invariant: boot gives an squeue its worker");
        let source = (worker.t_did - platform::kernel().k_ncpus) as usize;
        stamp(mp, source, ss.number(source));
        putnext(rq, mp);
    } else {
        sq.sq_dropped.bump();
        Counts::bump(&ss.ss_counts.sc_lost);
        freemsg(mp);
    }
    release(ss);
}
