//! What becomes of a scenario's messages: how many were sent, delivered, freed on the way, or refused.
//!
//! # Invariants
//! - A message that is sent is counted before anybody can free or deliver it. Counts are relaxed additions, which order nothing: who
//!   looks from outside may see a message as neither, but not for longer than it is on its way.
//! - What is freed is counted where the framework frees it: a queue that is flushed, a pair that closes, a head that refuses.

use core::sync::atomic::{AtomicU64, Ordering};

use super::message::Mblk;
use super::stdata::Stdata;
use umpire_shared::sys::stream::is_datalike;

/// The counts of one stream, over all times that it was open.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages put into the stream, at its head or at its driver.
    pub sc_sent: AtomicU64,
    /// Messages that a reader took, or that a driver which takes messages took.
    pub sc_delivered: AtomicU64,
    /// Messages that were thrown away inside: flushed, left when a module or the stream closed, or refused by the head.
    pub sc_freed: AtomicU64,
    /// Messages that were not sent, or went no further, for want of room.
    pub sc_lost: AtomicU64,
    /// Messages whose number came after another than the one before it.
    pub sc_gaps: AtomicU64,
    /// Messages that came after a later one of the same source.
    pub sc_disorder: AtomicU64,
    /// Messages that came with other bytes than were sent.
    pub sc_damaged: AtomicU64,
    /// Messages that came to the head's put procedure although the stream is linked below a multiplexor.
    pub sc_strayed: AtomicU64,
    /// Packets that a reader took.
    pub sc_packets: AtomicU64,
    /// ns from their arrival at a device until then, of all of them.
    pub sc_latency: AtomicU64,
    /// ns of the one that took longest.
    pub sc_latency_max: AtomicU64,
}

impl Counts {
    /// One more of something.
    #[inline]
    pub fn bump(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A reader took a packet that arrived so many ns ago.
    pub fn took(&self, ns: u64) {
        Counts::bump(&self.sc_packets);
        self.sc_latency.fetch_add(ns, Ordering::Relaxed);
        self.sc_latency_max.fetch_max(ns, Ordering::Relaxed);
    }
}

/// A message of this stream is about to be freed by the framework.
#[inline]
pub(super) fn freed(stp: Option<&'static Stdata>, mp: &Mblk) {
    if let Some(counts) = stp.and_then(|stp| stp.sd_counts.get())
        && is_datalike(mp.db_type())
    {
        Counts::bump(&counts.sc_freed);
    }
}

/// A driver has taken a message of this stream.
#[inline]
pub(super) fn delivered(stp: &'static Stdata) {
    if let Some(counts) = stp.sd_counts.get() {
        Counts::bump(&counts.sc_delivered);
    }
}

/// A message of this stream goes no further for want of room, and is freed.
#[inline]
pub(super) fn lost(stp: &'static Stdata) {
    if let Some(counts) = stp.sd_counts.get() {
        Counts::bump(&counts.sc_lost);
        Counts::bump(&counts.sc_freed);
    }
}

/// A message of this stream has come to its head, which is a multiplexor's.
pub(super) fn strayed(stp: &'static Stdata) {
    if let Some(counts) = stp.sd_counts.get() {
        Counts::bump(&counts.sc_strayed);
    }
}
