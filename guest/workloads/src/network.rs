//! Workers that wait for packets: soft rings and squeues.
//!
//! # Invariants
//! - A worker takes all packets that are there before it looks again, as `mac_soft_ring_worker` and `squeue_worker` do.

use crate::turn::{US, progress, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::work::mailbox::{self, Mailbox, NO_SOURCE};
use umpire_kernel::{Kthread, platform};
use umpire_shared::work::network::{Network, SoftRing, Squeue};

umpire_shared::network_workloads!();

/// A soft ring's worker: takes packets from a device, and passes them on to a sink.
fn mac_soft_ring_worker(t: &'static Kthread, SoftRing { source, sink, cost_us }: SoftRing) {
    let mine = mailbox::mailbox_of(t);
    mine.mb_source.set(source.0);
    let sink = sink.map(|to| mailbox::mailbox_of(thread(to)));
    drain(t, mine, cost_us, sink);
}

/// An squeue's worker: takes packets from the threads that post them, and from a device if it has one.
fn squeue_worker(t: &'static Kthread, Squeue { cost_us, source }: Squeue) {
    let mine = mailbox::mailbox_of(t);
    mine.mb_source.set(source.map_or(NO_SOURCE, |device| device.0));
    drain(t, mine, cost_us, None);
}

/// Inlined, so that a stack shows which worker it is.
#[inline(always)]
fn drain(t: &'static Kthread, mine: &'static Mailbox, cost_us: u64, sink: Option<&'static Mailbox>) {
    loop {
        let packets = mailbox::mailbox_wait(mine);
        platform::spin(cost_us * US * u64::from(packets));
        if let Some(sink) = sink {
            mailbox::post(sink, packets);
        }
        progress(t);
    }
}
