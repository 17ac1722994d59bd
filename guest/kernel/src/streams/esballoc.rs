//! Messages over a buffer that belongs to somebody else (`stream.c esballoc`).
//!
//! `esballoc` frees later, from a thread that holds nothing: freeing a message may close another stream. `desballoc` calls the free
//! routine where the last reference goes. `esballoca` and `desballoca` begin with one reference more, so that the buffer looks shared
//! and nobody writes into it.
//!
//! # Invariants
//! - `esbq_lock` guards a CPU's queue of deferred frees; nothing is locked under it, and no free routine is called under it.
//! - A queue that is not empty has a timeout armed, or has reached [`ESBQ_MAX_QLEN`] and is being handed over: nothing stays in it.

use core::sync::atomic::{AtomicU32, AtomicU64};

use super::allocb::{ESB, begin, construct, messages};
use super::background::{self, FreeList};
use super::message::{Dblk, Mblk, dbf};
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::platform;
use crate::sync::{Mutex, mutex_enter, mutex_exit};
use crate::time::callout::{Call, CalloutFunc, timeout};
use umpire_shared::sys::strsubr::{ESBQ_MAX_QLEN, ESBQ_TIMEOUT};

/// What frees an external buffer (`frtn_t`). It outlives the message.
#[derive(Debug)]
pub struct Frtn {
    /// Called with `free_arg` when the last reference is gone.
    pub free_func: fn(u64),
    /// See `free_func`.
    pub free_arg: AtomicU64,
}

/// Which of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Esb {
    /// `esballoc`: freed later, by another thread.
    Deferred,
    /// `esballoca`.
    DeferredShared,
    /// `desballoc`: freed at once.
    Direct,
    /// `desballoca`.
    DirectShared,
}

/// Buffers of one CPU whose free routine is still to be called (`esb_queue_t`).
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct EsbQueue {
    /// Guards the rest.
    pub eq_lock: Mutex,
    /// The first of them, linked like free ones.
    pub eq_head: SharedPtr<Dblk>,
    /// The last.
    pub eq_tail: SharedPtr<Dblk>,
    /// How many.
    pub eq_len: AtomicU32,
    /// Not 0 while a timeout is armed (`ESBQ_TIMER`).
    pub eq_flags: AtomicU32,
}

/// A message over the `size` bytes at `base`, which lie in the memory of messages. `None` if there is no memory.
pub fn esballoc(kind: Esb, base: usize, size: usize, frtn: &'static Frtn) -> Option<&'static Mblk> {
    let dbp = messages().sm_dblk_cache.alloc(ESB, || construct(ESB, 0))?;
    dbp.db_base.set(base);
    dbp.db_lim.set(base + size);
    dbp.db_frtnp.set(Some(frtn));
    dbp.set_deferred(matches!(kind, Esb::Deferred | Esb::DeferredShared));
    let mp = begin(dbp);
    if matches!(kind, Esb::DeferredShared | Esb::DirectShared) {
        dbp.db_flags.set(dbf::REFMIN);
        dbp.db_ref.set(2);
    }
    Some(mp)
}

/// The last reference to an external buffer is gone. True if its data block must not be given back yet.
pub(super) fn is_deferred(dbp: &'static Dblk) -> bool {
    if !dbp.is_deferred() {
        call(dbp);
        return false;
    }
    let eq = &platform::kernel().k_streams.esbq[platform::cpu().cpu_id as usize];
    dbp.next_free().set(None);
    mutex_enter(&eq.eq_lock);
    match eq.eq_tail.get() {
        Some(last) => last.next_free().set(Some(dbp)),
        None => eq.eq_head.set(Some(dbp)),
    }
    eq.eq_tail.set(Some(dbp));
    eq.eq_len.set(eq.eq_len.get() + 1);
    let is_long = eq.eq_len.get() >= ESBQ_MAX_QLEN;
    let arm = !is_long && eq.eq_flags.get() == 0;
    if arm {
        eq.eq_flags.set(1);
    }
    mutex_exit(&eq.eq_lock);
    let cpu = u64::from(platform::cpu().cpu_id);
    // Without a callout the queue goes at once, rather than never.
    if is_long || arm && timeout(Call::Call(&EXPIRED, cpu), ESBQ_TIMEOUT).is_none() {
        hand_over(eq);
    }
    true
}

static EXPIRED: CalloutFunc = CalloutFunc(|cpu| {
    let eq = &platform::kernel().k_streams.esbq[cpu as usize];
    mutex_enter(&eq.eq_lock);
    eq.eq_flags.set(0);
    mutex_exit(&eq.eq_lock);
    hand_over(eq);
});

/// Gives all of a queue to the background.
fn hand_over(eq: &'static EsbQueue) {
    mutex_enter(&eq.eq_lock);
    let (head, tail) = (eq.eq_head.get(), eq.eq_tail.get());
    eq.eq_head.set(None);
    eq.eq_tail.set(None);
    eq.eq_len.set(0);
    mutex_exit(&eq.eq_lock);
    if let (Some(head), Some(tail)) = (head, tail) {
        background::free_later(FreeList { head, tail });
    }
}

/// Calls the free routines of a list and gives its data blocks back.
pub(super) fn free_all(head: &'static Dblk) {
    let mut at = Some(head);
    while let Some(dbp) = at {
        at = dbp.next_free().get();
        call(dbp);
        messages().sm_dblk_cache.free(ESB, dbp);
    }
}

fn call(dbp: &'static Dblk) {
    let frtn = dbp.db_frtnp.get().expect("invariant: an external buffer has a free routine");
    (frtn.free_func)(frtn.free_arg.get());
}
