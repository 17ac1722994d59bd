//! Who is told of events at a stream head: I_SETSIG, I_GETSIG, and the signals that messages bring (`streamio.c strsendsig`).
//!
//! A kernel without user programs has no signal handlers. What SIGPOLL would interrupt is here a thread that waits for it
//! ([`strsigwait`]); what `M_SIG` and `M_PCSIG` bring for a process group is noted at the head.
//!
//! # Invariants
//! - `sd_lock` guards the list and what has been noted. An event is noted before its thread is woken, and stays until that has seen it.

use core::sync::atomic::{AtomicU32, AtomicU64};

use super::stdata::Stdata;
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::platform;
use crate::sync::{Condvar, cv_broadcast, cv_wait, mutex_enter, mutex_exit};
use crate::sys::Kthread;
use umpire_shared::errno;
use umpire_shared::sys::stropts::{sd, sig};

/// Threads that may have asked for signals of one stream.
const MOST: usize = 4;
/// The signal of which threads are told by their events (`SIGPOLL`).
pub const SIGPOLL: u8 = 22;

/// What is asked of a stream head, and what has come.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Siglist {
    /// The threads.
    pub sl: [Strsig; MOST],
    /// Bits of the other signals that messages have brought, by number.
    pub sl_signals: AtomicU64,
    /// Who waits for any of it sleeps here.
    pub sl_cv: Condvar,
}

/// A thread that is told (`strsig_t`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Strsig {
    /// Which.
    pub ss_thread: SharedPtr<Kthread>,
    /// Of what: bits of [`sig`].
    pub ss_events: AtomicU32,
    /// What has come since it looked.
    pub ss_came: AtomicU32,
}

impl Siglist {
    fn of(&self, t: &Kthread) -> Option<&Strsig> {
        self.sl.iter().find(|entry| entry.ss_thread.is(t))
    }

    /// Nobody is told any more.
    pub(super) fn clear(&self) {
        for entry in &self.sl {
            entry.ss_thread.set(None);
            entry.ss_came.set(0);
        }
        self.sl_signals.set(0);
    }
}

/// Has the calling thread told of these events; of none, no more (`I_SETSIG`).
///
/// # Errors
/// EINVAL for events that are none, and for none of who had asked for none; EAGAIN if there are too many.
pub fn strsetsig(stp: &'static Stdata, events: u32) -> Result<(), u32> {
    if events & !sig::ALL != 0 {
        return Err(errno::EINVAL);
    }
    let me = platform::curthread();
    mutex_enter(&stp.sd_lock);
    let list = &stp.sd_siglist;
    let mine = list.of(me);
    let result = match (events, mine) {
        (0, None) => Err(errno::EINVAL),
        (0, Some(entry)) => {
            entry.ss_thread.set(None);
            Ok(())
        }
        _ => match mine.or_else(|| list.sl.iter().find(|entry| entry.ss_thread.is_null())) {
            Some(entry) => {
                entry.ss_thread.set(Some(me));
                entry.ss_events.set(events);
                entry.ss_came.set(0);
                Ok(())
            }
            None => Err(errno::EAGAIN),
        },
    };
    let all = list.sl.iter().filter(|entry| !entry.ss_thread.is_null());
    stp.sd_sigflags.set(all.fold(0, |events, entry| events | entry.ss_events.get()));
    mutex_exit(&stp.sd_lock);
    result
}

/// What the calling thread is told of (`I_GETSIG`).
///
/// # Errors
/// EINVAL if it has not asked.
pub fn strgetsig(stp: &'static Stdata) -> Result<u32, u32> {
    mutex_enter(&stp.sd_lock);
    let found = stp.sd_siglist.of(platform::curthread()).map(|entry| entry.ss_events.get());
    mutex_exit(&stp.sd_lock);
    found.ok_or(errno::EINVAL)
}

/// Waits for an event that the thread has asked for, and returns all that have come (`sigsuspend` until SIGPOLL).
///
/// # Errors
/// EINVAL if it has not asked for any, and below a multiplexor; ENXIO when the stream is being closed.
pub fn strsigwait(stp: &'static Stdata) -> Result<u32, u32> {
    let me = platform::curthread();
    mutex_enter(&stp.sd_lock);
    let result = loop {
        let Some(entry) = stp.sd_siglist.of(me) else { break Err(errno::EINVAL) };
        let came = entry.ss_came.get();
        if came != 0 {
            entry.ss_came.set(0);
            break Ok(came);
        }
        if stp.has(sd::STRCLOSE) {
            break Err(errno::ENXIO);
        }
        if stp.has(sd::STPLEX) {
            break Err(errno::EINVAL);
        }
        cv_wait(&stp.sd_siglist.sl_cv, &stp.sd_lock);
    };
    mutex_exit(&stp.sd_lock);
    result
}

/// Tells who has asked for any of these events; `sd_lock` is held (`strsendsig`).
#[inline]
pub(super) fn strsendsig(stp: &'static Stdata, events: u32) {
    if stp.sd_sigflags.get() & events != 0 {
        send(stp, events);
    }
}

#[cold]
fn send(stp: &'static Stdata, events: u32) {
    let mut is_told = false;
    for entry in stp.sd_siglist.sl.iter().filter(|entry| !entry.ss_thread.is_null()) {
        let wanted = entry.ss_events.get() & events;
        if wanted != 0 {
            entry.ss_came.set(entry.ss_came.get() | wanted);
            is_told = true;
        }
    }
    if is_told {
        cv_broadcast(&stp.sd_siglist.sl_cv);
    }
}

/// A message has brought a signal; `sd_lock` is held (`strsignal_nolock`).
pub(super) fn strsignal(stp: &'static Stdata, signal: u8) {
    match signal {
        SIGPOLL => strsendsig(stp, sig::MSG),
        _ => {
            let list = &stp.sd_siglist;
            list.sl_signals.set(list.sl_signals.get() | 1_u64.checked_shl(signal.into()).unwrap_or(0));
        }
    }
}

/// The signals that messages have brought for the stream's process group, a bit each, and forgets them.
pub fn strgotsignals(stp: &'static Stdata) -> u64 {
    mutex_enter(&stp.sd_lock);
    let signals = stp.sd_siglist.sl_signals.get();
    stp.sd_siglist.sl_signals.set(0);
    mutex_exit(&stp.sd_lock);
    signals
}
