//! How a soft ring set shares packets out over those who want them (`mac_sched.c mac_rx_srs_fanout`).
//!
//! # Invariants
//! - A flow's packets go to one lane, and in their order. Packets that belong to no flow go to every lane, copied for all but the last.
//! - No lock is held while packets are passed on.

use core::sync::atomic::Ordering;

use super::net;
use super::packet::{self, Chain};
use super::soft_ring::mac_rx_soft_ring_process;
use super::squeue::squeue_enter;
use super::srs::{SoftRingSet, add_srs_count, update_srs_count};
use crate::platform;
use crate::streams::message::Mblk;
use crate::streams::msgops::copymsg;
use umpire_shared::mutant;

/// Where a set passes packets on to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The soft ring of this number.
    Ring(u32),
    /// The squeue of this number, without a soft ring in between.
    Squeue(u32),
}

/// Passes packets on: each to the lane that its flow's hash names, or a copy to every lane (`mac_rx_srs_fanout`, and for copies
/// `mac_promisc_client_dispatch`). No lock is held.
pub(super) fn fanout(set: &'static SoftRingSet, mut chain: Chain) {
    let lanes = &set.srs_lanes;
    match &lanes[..] {
        [lane] => pass_on(set, *lane, chain, false),
        _ if set.is_fanned => {
            let in_turn = platform::kernel().is_mutant(mutant::FANOUT_BY_TURN);
            let turn = |mp: &Mblk| if in_turn { packet::number(mp) as usize } else { 0 };
            let of = |mp: &Mblk| (packet::hash(mp) as usize + turn(mp)) % lanes.len();
            // Neighbours of one lane go on together.
            let mut run = (0, Chain::default());
            while let Some(mp) = chain.pop() {
                let lane = of(mp);
                if lane != run.0 && run.1.count != 0 {
                    pass_on(set, lanes[run.0], core::mem::take(&mut run.1), false);
                }
                run.0 = lane;
                run.1.push(mp);
            }
            if run.1.count != 0 {
                pass_on(set, lanes[run.0], run.1, false);
            }
        }
        _ => {
            let (last, others) = lanes.split_last().expect("invariant: a set has a lane");
            for lane in others {
                pass_on(set, *lane, copies(set, &chain), true);
            }
            pass_on(set, *last, chain, false);
        }
    }
}

/// A copy of each packet for which there is memory.
fn copies(set: &'static SoftRingSet, chain: &Chain) -> Chain {
    let mut all = Chain::default();
    for mp in core::iter::successors(chain.first, |mp| mp.b_next.get()) {
        match copymsg(mp) {
            Some(copy) => all.push(copy),
            // Relaxed: it orders nothing.
            None => _ = set.sr_nocopy.fetch_add(1, Ordering::Relaxed),
        }
    }
    all
}

/// Passes packets on to one lane. Copies count from here on; an squeue's no longer do.
fn pass_on(set: &'static SoftRingSet, lane: Lane, chain: Chain, is_copy: bool) {
    if chain.count == 0 {
        return;
    }
    match lane {
        Lane::Ring(n) => {
            if is_copy {
                add_srs_count(set, chain.count);
            }
            mac_rx_soft_ring_process(set, &net().soft_rings[n as usize], chain);
        }
        Lane::Squeue(n) => {
            let packets = chain.count;
            let sq = &net().squeues[n as usize];
            squeue_enter(sq, chain, sq.enter_flag());
            if !is_copy {
                update_srs_count(set, packets);
            }
        }
    }
}
