//! What is taken out of a device's receive ring, by the interrupt thread or by a poll thread.
//!
//! # Invariants
//! - `rr_lock` is held while packets are taken out, so that they leave in the order in which they came.
//! - A packet for which there is no memory is dropped and counted (`norcvbuf`).

use core::sync::atomic::Ordering;

use super::packet::{self, Chain, NO_FLOW, PACKET_BYTES, flow_of};
use super::srs::{SoftRingSet, mac_rx_srs_process};
use crate::cell::Cell;
use crate::intr::device::{Device, intr_off, intr_on};
use crate::platform;
use crate::sync::{mutex_enter, mutex_exit};

/// Device `n` has interrupted so many times: what it brought goes to its soft ring set (`mac_rx_ring`).
pub fn mac_rx(n: usize, interrupts: u32) {
    let Some(srs) = super::srs_of(n as u32) else { return };
    let dev = srs.device();
    let chain =
        take(srs, |_, there| there.min(interrupts * dev.dev_packets_each).max(dev.unannounced(there)));
    if chain.count != 0 {
        mac_rx_srs_process(srs, chain);
    }
}

/// Takes out as many packets as have more than `bytes`, or all (`hwring poll`).
pub(super) fn mac_hwring_poll(srs: &'static SoftRingSet, bytes: usize) -> Chain {
    take(srs, |_, there| there.min((bytes / PACKET_BYTES) as u32 + 1))
}

/// Turns a device's interrupts off (`mac_hwring_disable_intr`).
pub(super) fn disable_intr(srs: &SoftRingSet) {
    intr_off(srs.device());
}

/// Turns them on again: if packets have come meanwhile, it interrupts at once (`mac_hwring_enable_intr`).
pub(super) fn enable_intr(srs: &SoftRingSet) {
    intr_on(srs.srs_device.get() as usize);
}

/// Takes `how_many` packets of those that are there.
fn take(srs: &'static SoftRingSet, how_many: impl Fn(&Device, u32) -> u32) -> Chain {
    let dev = srs.device();
    let ring = &dev.dev_rx;
    let flows = u64::from(dev.dev_flows);
    let mut chain = Chain::default();
    mutex_enter(&ring.rr_lock);
    for _ in 0..how_many(dev, ring.len()) {
        let Some((number, arrived)) = ring.take() else { break };
        let (flow, number) = match flows {
            0 => (NO_FLOW, number),
            n => (flow_of(srs.srs_device.get(), number % n), number / n),
        };
        match packet::new(arrived, flow, number) {
            Some(mp) => chain.push(mp),
            // Relaxed: it orders nothing.
            None => _ = ring.rr_norcvbuf.fetch_add(1, Ordering::Relaxed),
        }
    }
    mutex_exit(&ring.rr_lock);
    chain
}

impl SoftRingSet {
    /// Its device.
    pub(super) fn device(&self) -> &'static Device {
        &platform::kernel().k_intr.devices[self.srs_device.get() as usize]
    }
}
