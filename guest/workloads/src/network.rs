//! Workloads that wait for somebody: soft rings, squeues, and the ping-pong pair.
//!
//! # Invariants
//! - A worker takes every packet that is there before it looks again, as `mac_soft_ring_worker` and `squeue_worker` do.

use crate::{US, progress};
use umpire_kernel::cell::Cell;
use umpire_kernel::mailbox::{self, Mailbox, NO_SOURCE};
use umpire_kernel::sync::{cv_signal, cv_wait, mutex_enter};
use umpire_kernel::{Kthread, platform};
use umpire_shared::work::NOBODY;

/// A soft ring's worker: packets from a device, on to a sink.
pub(crate) fn mac_soft_ring_worker(t: &'static Kthread) {
    let kernel = platform::kernel();
    let [source, sink, cost_us] = [0, 1, 2].map(|n| t.arg(n));
    let mine = kernel.mailbox_of(t);
    mine.mb_source.set(source as u32);
    let sink = (sink != NOBODY).then(|| &kernel.k_mailboxes[sink as usize]);
    drain(t, mine, cost_us, sink);
}

/// An squeue's worker: packets from whoever posts them, and from a device if it has one.
pub(crate) fn squeue_worker(t: &'static Kthread) {
    let mine = platform::kernel().mailbox_of(t);
    let [cost_us, source] = [0, 1].map(|n| t.arg(n));
    mine.mb_source.set(if source == NOBODY { NO_SOURCE } else { source as u32 });
    drain(t, mine, cost_us, None);
}

/// Inlined, so that a stack shows whose worker it is.
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

/// One of two players: waits for the ball, passes it back. The player with the lower number serves.
pub(crate) fn pingpong(t: &'static Kthread) {
    let kernel = platform::kernel();
    let peer = &kernel.scenario_threads()[t.arg(0) as usize];
    let me_first = t.t_did < peer.t_did;
    let table = &kernel.mailbox_of(if me_first { t } else { peer }).mb_table;
    let mine = usize::from(!me_first);
    mutex_enter(&table.tb_lock);
    loop {
        while table.tb_turn.get() != mine as u32 {
            cv_wait(&table.tb_cv[mine], &table.tb_lock);
        }
        table.tb_turn.set(1 - mine as u32);
        cv_signal(&table.tb_cv[1 - mine]);
        progress(t);
    }
}
