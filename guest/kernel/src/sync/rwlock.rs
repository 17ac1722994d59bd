//! Readers/writer locks (`rwlock.c`).
//!
//! # Invariants
//! - The lock is handed over directly: a thread that wakes holds it. So a lock with waiters is never free, and no thread that sleeps
//!   is overtaken, but by [`RwMode::ReaderStarveWriter`].
//! - The waiter bits are set under the turnstile chain's lock, and only while the rwlock looks busy. They say what is on the turnstile
//!   whenever the chain's lock is free.
//! - The last reader to release the rwlock hands it over to the best writer, whatever readers wait. A writer hands it over to the
//!   readers that are no worse than the best writer, if there are any.
//! - Only a writer is an owner. A thread that waits for readers lends them nothing: there is no owner of record.
//! - `rw_wwwh` is the first word: a reader from outside judges by it.

use core::sync::atomic::AtomicU64;

use super::turnstile::{
    Sobj, TS_READER_Q, TS_WRITER_Q, Turnstile, TurnstileChain, turnstile_block, turnstile_exit,
    turnstile_lookup, turnstile_wakeup,
};
use crate::cell::{Cell, Counter};
use crate::lock::RwWord;
use crate::lock::rw::{HAS_WAITERS, LOCKED, READ_LOCK, WRITE_LOCKED, WRITE_WANTED};
use crate::platform;
use crate::sys::Kthread;

/// A readers/writer lock (`krwlock_t`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Rwlock {
    /// Writer or readers, and whether writers or readers wait: bits of [`crate::lock::rw`].
    pub rw_wwwh: RwWord,
    /// Times that a thread slept for it.
    pub rw_blocks: AtomicU64,
}

/// How a lock is taken (`krw_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RwMode {
    /// Alone.
    Writer,
    /// With other readers, behind every writer that waits.
    Reader,
    /// With other readers, before writers that wait (`RW_READER_STARVEWRITER`): for a thread that may hold the lock already.
    ReaderStarveWriter,
}

impl RwMode {
    /// The bits that mean "not now".
    fn busy(self) -> usize {
        match self {
            RwMode::Writer => LOCKED,
            RwMode::Reader => WRITE_LOCKED | WRITE_WANTED,
            RwMode::ReaderStarveWriter => WRITE_LOCKED,
        }
    }

    /// The bits that a thread that waits sets, and the queue where it waits.
    fn waits(self) -> (usize, usize) {
        match self {
            RwMode::Writer => (HAS_WAITERS | WRITE_WANTED, TS_WRITER_Q),
            _ => (HAS_WAITERS, TS_READER_Q),
        }
    }
}

impl Rwlock {
    /// A free lock.
    pub const fn new() -> Rwlock {
        Rwlock { rw_wwwh: RwWord::new(), rw_blocks: AtomicU64::new(0) }
    }
}

/// Takes the lock, sleeping until it can be had (`rw_enter`).
pub fn rw_enter(rw: &'static Rwlock, mode: RwMode) {
    platform::interleave();
    while !rw_tryenter(rw, mode) {
        let found = turnstile_lookup(Sobj::Rwlock(rw));
        let (bits, queue) = mode.waits();
        if is_busy_with_bits(rw, mode, bits) {
            rw.rw_blocks.bump();
            let stats = &platform::cpu().cpu_stats;
            // The level is DISP_LEVEL, for the chain's lock: the counter has one writer.
            if mode == RwMode::Writer {
                stats.rw_wrfails.bump()
            } else {
                stats.rw_rdfails.bump()
            }
            turnstile_block(found, queue, Sobj::Rwlock(rw));
            // The thread that woke this one made it a holder.
            return;
        }
        turnstile_exit(found.0);
    }
}

/// Sets the waiter bits, unless the lock can be had by now. The chain is locked.
fn is_busy_with_bits(rw: &Rwlock, mode: RwMode, bits: usize) -> bool {
    loop {
        let old = rw.rw_wwwh.load();
        if old & mode.busy() == 0 {
            return false;
        }
        if rw.rw_wwwh.try_add_waiters(old, bits) {
            return true;
        }
    }
}

/// Takes the lock if it can be had at once (`rw_tryenter`).
#[must_use = "says whether the lock was taken"]
pub fn rw_tryenter(rw: &'static Rwlock, mode: RwMode) -> bool {
    let me = platform::curthread();
    loop {
        let old = rw.rw_wwwh.load();
        if old & mode.busy() != 0 {
            return false;
        }
        let is_done = match mode {
            RwMode::Writer => rw.rw_wwwh.try_set_writer(old, me, old & !LOCKED),
            _ => rw.rw_wwwh.try_set(old, old + READ_LOCK),
        };
        if is_done {
            return true;
        }
    }
}

/// Gives the lock up, and hands it over if the caller was its last holder and a thread waits (`rw_exit`).
///
/// # Panics
/// If nobody holds it, or another thread holds it for writing.
pub fn rw_exit(rw: &'static Rwlock) {
    platform::interleave();
    let me = platform::curthread();
    loop {
        let old = rw.rw_wwwh.load();
        let is_writer = old & WRITE_LOCKED != 0;
        assert!(old & LOCKED != 0 && (!is_writer || rw.rw_wwwh.is_owned_by(me)), "rw_exit: lock not held");
        let left = if is_writer { old & !LOCKED } else { old - READ_LOCK };
        if left & LOCKED == 0 && old & HAS_WAITERS != 0 {
            if hand_over(rw, old) {
                return;
            }
        } else if rw.rw_wwwh.try_set(old, left) {
            return;
        }
    }
}

/// The last holder releases the lock while a thread waits (`rw_exit_wakeup`). False if the word is not `old` any more: a reader
/// that passes writers by has come.
fn hand_over(rw: &'static Rwlock, old: usize) -> bool {
    let (chain, ts) = turnstile_lookup(Sobj::Rwlock(rw));
    let ts = ts.expect("invariant: an rwlock with waiters has a turnstile");
    let readers = if old & WRITE_LOCKED != 0 { readers_to_wake(ts) } else { 0 };
    let is_done = match ts.ts_sleepq[TS_WRITER_Q].first() {
        Some(writer) if readers == 0 => wake_writer(rw, old, chain, ts, writer),
        None if readers == 0 => wake_readers(rw, old, 0, chain, ts, count(ts, -1)),
        _ => wake_readers(rw, old, 0, chain, ts, readers),
    };
    turnstile_exit(chain);
    is_done
}

/// Makes the best writer the owner and wakes it. The chain is locked.
fn wake_writer(
    rw: &'static Rwlock,
    old: usize,
    chain: &'static TurnstileChain,
    ts: &'static Turnstile,
    writer: &'static Kthread,
) -> bool {
    let mut bits = if ts.ts_waiters.get() > 1 { HAS_WAITERS } else { 0 };
    if writer.t_link.get().is_some() {
        bits |= WRITE_WANTED;
    }
    let is_done = rw.rw_wwwh.try_set_writer(old, writer, bits);
    if is_done {
        turnstile_wakeup(chain, ts, TS_WRITER_Q, 1, Some(writer));
    }
    is_done
}

/// Makes the best `readers` readers holders, beside `staying` ones, and wakes them. The chain is locked.
fn wake_readers(
    rw: &'static Rwlock,
    old: usize,
    staying: u32,
    chain: &'static TurnstileChain,
    ts: &'static Turnstile,
    readers: u32,
) -> bool {
    let mut new = (readers + staying) as usize * READ_LOCK;
    if ts.ts_waiters.get() > readers {
        new |= HAS_WAITERS;
    }
    if ts.ts_sleepq[TS_WRITER_Q].first().is_some() {
        new |= WRITE_WANTED;
    }
    let is_done = rw.rw_wwwh.try_set(old, new);
    if is_done {
        turnstile_wakeup(chain, ts, TS_READER_Q, readers, None);
    }
    is_done
}

/// Readers that a writer wakes: those no worse than the best writer.
fn readers_to_wake(ts: &Turnstile) -> u32 {
    count(ts, ts.ts_sleepq[TS_WRITER_Q].best_pri())
}

/// Readers that wait and are of priority `least` or better.
fn count(ts: &Turnstile, least: i32) -> u32 {
    let mut readers = 0;
    let mut at = ts.ts_sleepq[TS_READER_Q].first();
    while let Some(t) = at {
        if t.pri() < least {
            break;
        }
        readers += 1;
        at = t.t_link.get();
    }
    readers
}

/// Makes the only reader the writer, if no writer waits (`rw_tryupgrade`). False: the caller still reads.
#[must_use = "says whether the caller is the writer now"]
pub fn rw_tryupgrade(rw: &'static Rwlock) -> bool {
    let me = platform::curthread();
    loop {
        let old = rw.rw_wwwh.load();
        if old & !HAS_WAITERS != READ_LOCK {
            return false;
        }
        if rw.rw_wwwh.try_set_writer(old, me, old & HAS_WAITERS) {
            return true;
        }
    }
}

/// Makes the writer a reader, and lets in the readers that are no worse than the best writer (`rw_downgrade`).
///
/// # Panics
/// If the caller is not the writer.
pub fn rw_downgrade(rw: &'static Rwlock) {
    assert!(rw.rw_wwwh.is_owned_by(platform::curthread()), "rw_downgrade: not owner");
    loop {
        let old = rw.rw_wwwh.load();
        if old & HAS_WAITERS == 0 {
            if rw.rw_wwwh.try_set(old, READ_LOCK) {
                return;
            }
            continue;
        }
        let (chain, ts) = turnstile_lookup(Sobj::Rwlock(rw));
        let ts = ts.expect("invariant: an rwlock with waiters has a turnstile");
        // Even if no reader wakes: a writer that has become a reader does not inherit.
        let is_done = wake_readers(rw, old, 1, chain, ts, readers_to_wake(ts));
        turnstile_exit(chain);
        if is_done {
            return;
        }
    }
}

/// The thread that holds the lock for writing; none if it is free or held by readers (`rw_owner`).
pub fn rw_owner(rw: &Rwlock) -> Option<&'static Kthread> {
    rw.rw_wwwh.owner()
}
