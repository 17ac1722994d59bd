//! Packets, and lists of them.
//!
//! # Invariants
//! - A packet is a message of one block with [`PACKET_BYTES`] of data. Its first two numbers are those that a message of a scenario
//!   has (`streams/scenario.rs`); they are written when it enters a stream. Then come the time at which it arrived, its flow and its
//!   number there.
//! - A packet is on one list at most, by its `b_next`.

use core::sync::atomic::AtomicU32;

use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::streams::allocb::{allocb, freemsg};
use crate::streams::message::{Mblk, m};

/// Bytes of a packet.
pub const PACKET_BYTES: usize = 64;
/// Where in a packet the time of its arrival stands.
const ARRIVED_AT: usize = 16;
/// Where its flow stands.
const FLOW_AT: usize = 24;
/// Where its number in its flow stands.
const NUMBER_AT: usize = 32;
/// The client's address, and ours (IPv4).
const ADDRESSES: (u32, u32) = (0x0a00_0002, 0x0a00_0001);
/// The port of a flow's first client, and ours.
const PORTS: (u32, u32) = (49_152, 7);

/// The flow of packets that are for all who listen.
pub(super) const NO_FLOW: u64 = u64::MAX;

/// The flow of this number of a device.
pub(super) fn flow_of(device: u32, flow: u64) -> u64 {
    u64::from(device) << 32 | flow
}

/// A packet that arrived at `arrived` ns. `None` without memory.
pub(super) fn new(arrived: u64, flow: u64, number: u64) -> Option<&'static Mblk> {
    let mp = allocb(PACKET_BYTES)?;
    for word in [0, 0, arrived, flow, number] {
        mp.append_u64(word);
    }
    mp.fill_to(PACKET_BYTES, |_| 0);
    Some(mp)
}

/// When the packet in a message arrived, in ns of `gethrtime`; `None` for a message with none.
pub fn arrived(mp: &'static Mblk) -> Option<u64> {
    let data = mp.blocks().find(|bp| bp.db_type() == m::DATA && bp.len() == PACKET_BYTES)?;
    // A message of another kind has zeros there.
    data.u64_at(ARRIVED_AT).filter(|&ns| ns != 0)
}

/// Its flow: what Solaris has a connection for.
pub(super) fn flow(mp: &Mblk) -> u64 {
    mp.u64_at(FLOW_AT).unwrap_or(NO_FLOW)
}

/// Its device, and its flow there, if the device's packets belong to flows.
pub(super) fn connection(mp: &Mblk) -> Option<(u32, usize)> {
    let flow = flow(mp);
    (flow != NO_FLOW).then_some(((flow >> 32) as u32, flow as u32 as usize))
}

/// Its number in its flow, from 0 on.
pub(super) fn number(mp: &Mblk) -> u64 {
    mp.u64_at(NUMBER_AT).unwrap_or(0)
}

/// The hash of its addresses and ports by which it is given to one of several (`HASH_ADDR`, `HASH32` of mac_sched.c).
pub(super) fn hash(mp: &Mblk) -> u32 {
    let source_port = PORTS.0.wrapping_add(flow(mp) as u32) & 0xffff;
    let ports = source_port << 16 | PORTS.1;
    let folded = ports >> 24 ^ ports >> 16 ^ ports >> 8 ^ ports;
    ADDRESSES.0.wrapping_add(ADDRESSES.1) ^ folded
}

/// Packets that are nobody's yet, in their order.
#[derive(Debug, Default)]
pub struct Chain {
    /// The first.
    pub first: Option<&'static Mblk>,
    last: Option<&'static Mblk>,
    /// How many.
    pub count: u32,
}

impl Chain {
    /// A chain of one.
    pub fn one(mp: &'static Mblk) -> Chain {
        Chain { first: Some(mp), last: Some(mp), count: 1 }
    }

    /// Puts one at the end.
    pub(super) fn push(&mut self, mp: &'static Mblk) {
        match self.last {
            Some(last) => last.b_next.set(Some(mp)),
            None => self.first = Some(mp),
        }
        self.last = Some(mp);
        self.count += 1;
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<&'static Mblk> {
        let mp = self.first?;
        self.first = mp.b_next.get();
        mp.b_next.set(None);
        self.count -= 1;
        if self.first.is_none() {
            self.last = None;
        }
        Some(mp)
    }

    /// Frees all of them.
    pub fn free(mut self) {
        while let Some(mp) = self.pop() {
            freemsg(mp);
        }
    }
}

/// The three words of a list of packets that a lock guards: first, last and how many.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'a>(pub &'a SharedPtr<Mblk>, pub &'a SharedPtr<Mblk>, pub &'a AtomicU32);

impl List<'_> {
    /// Puts a chain at the end.
    pub fn append(self, chain: Chain) {
        let List(first, last, count) = self;
        let Some(head) = chain.first else { return };
        match last.get() {
            Some(end) => end.b_next.set(Some(head)),
            None => first.set(Some(head)),
        }
        last.set(chain.last);
        count.set(count.get() + chain.count);
    }

    /// Takes all.
    pub fn take(self) -> Chain {
        let List(first, last, count) = self;
        let chain = Chain { first: first.get(), last: last.get(), count: count.get() };
        first.set(None);
        last.set(None);
        count.set(0);
        chain
    }

    /// Takes the first packets: as many as it takes to have more than `bytes`, or all.
    pub fn take_bytes(self, bytes: usize) -> Chain {
        let mut rest = self.take();
        let mut taken = Chain::default();
        let mut sum = 0;
        while sum <= bytes {
            let Some(mp) = rest.pop() else { break };
            sum += mp.len();
            taken.push(mp);
        }
        self.append(rest);
        taken
    }
}
