//! The threads of the network's receive path.
//!
//! # Invariants
//! - A turn is what the kernel's function of that name does between two waits. The function is inlined, so that a stack shows which
//!   worker it is.

use crate::turn::{progress, thread};
use umpire_kernel::net;
use umpire_kernel::net::{soft_ring, soft_ring_of, squeue_of, srs_of};
use umpire_kernel::{Kthread, net::srs::SoftRingSet};
use umpire_shared::work::IntrRef;
use umpire_shared::work::network::{Network, SoftRing, Squeue, SqueuePoll, SrsPoll, SrsWorker};

umpire_shared::network_workloads!();

/// A soft ring's worker.
fn mac_soft_ring_worker(t: &'static Kthread, SoftRing { .. }: SoftRing) {
    let ring = soft_ring_of(t);
    loop {
        soft_ring::mac_soft_ring_worker(ring);
        progress(t);
    }
}

/// An squeue's worker.
fn squeue_worker(t: &'static Kthread, Squeue { .. }: Squeue) {
    let sq = squeue_of(t);
    loop {
        net::squeue_worker(sq);
        progress(t);
    }
}

/// A soft ring set's worker.
fn mac_srs_worker(t: &'static Kthread, SrsWorker { source }: SrsWorker) {
    let Some(set) = set_of(source) else { return };
    loop {
        net::mac_srs_worker(set);
        progress(t);
    }
}

/// A soft ring set's poll thread.
fn mac_rx_srs_poll_ring(t: &'static Kthread, SrsPoll { source }: SrsPoll) {
    let Some(set) = set_of(source) else { return };
    set.set_poll_capable();
    loop {
        net::mac_rx_srs_poll_ring(set);
        progress(t);
    }
}

/// An squeue's poll thread.
fn squeue_polling_thread(t: &'static Kthread, SqueuePoll { squeue }: SqueuePoll) {
    let sq = squeue_of(thread(squeue));
    loop {
        net::squeue_polling_thread(sq);
        progress(t);
    }
}

/// The set of a device; there is none if nobody wants its packets.
fn set_of(source: IntrRef) -> Option<&'static SoftRingSet> {
    srs_of(source.0)
}
