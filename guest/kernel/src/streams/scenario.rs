//! Streams that a scenario describes (`[[stream]]`): opened by who uses them first, and what is done to them by the script.
//!
//! # Invariants
//! - `ss_lock` guards `ss_state`, `ss_stp` and `ss_users`; it is not held while anything is done to the stream.
//! - A stream is closed when nobody uses it: who closes it hangs it up, which ends the users' sleep, and waits for them. Who comes
//!   meanwhile waits, and opens it anew.
//!
//! ```text
//!   user                                   closer
//!   hold: open, ss_users = 1               ss_state = CLOSING; hangs up
//!   reads: hung up, nothing
//!   release: ss_users = 0, wakes           sees 0: closes; ss_state = CLOSED, wakes
//!   hold: waits, then opens anew
//! ```

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::allocb::freemsg;
use super::counts::Counts;
use super::message::Mblk;
use super::mlink::{mlink, munlink};
use super::modules::{DRIVERS, FMODSW};
use super::queue::{Fmodsw, Queue};
use super::stdata::{Stdata, claimstr, releasestr};
use super::strlock::{freezestr, unfreezestr};
use super::strops::{
    strclose, strendplumb, strflush, strhangup, stropen, strpop, strpush, strsetcltime, strstartplumb,
};
use super::strread::{Wait, kstrgetmsg};
use super::strwrite::kstrputmsg;
use super::{streams, tpi};
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::platform;
use crate::sync::{Condvar, Mutex, cv_broadcast, cv_wait, mutex_enter, mutex_exit};
use umpire_shared::program::{MARK_OWN, MAX_LINKS, MAX_MODULES, Stream};
use umpire_shared::sys::stropts::sd;
use umpire_shared::work::streams::{self as names, state};
use umpire_shared::{NAME_LEN, errno};

/// A stream of the scenario.
#[repr(C)]
#[derive(Debug)]
pub struct ScenarioStream {
    /// Its name.
    pub ss_name: [AtomicU8; NAME_LEN],
    /// Its head while it is open; readable from outside.
    pub ss_stp: SharedPtr<Stdata>,
    /// The read queue of its driver, while it is open.
    pub ss_driver_rq: SharedPtr<Queue>,
    /// What became of its messages.
    pub ss_counts: Counts,
    /// Guards the next two.
    pub ss_lock: Mutex,
    /// One of [`state`].
    pub ss_state: AtomicU32,
    /// Threads that use it.
    pub ss_users: AtomicU32,
    /// Who waits for either to change sleeps here.
    pub ss_cv: Condvar,
    /// Threads that read from it.
    pub ss_readers: AtomicU32,
    /// The stream below whose multiplexor it is linked, by its number plus one; 0 for none. It is held for that.
    pub ss_upper: AtomicU32,
    /// Streams that have ever been linked to each other have the same number here: a message of one may be in any of them.
    pub ss_group: AtomicU32,
    /// Its number.
    number: u32,
    /// Streams that are linked below it when it is opened, by their numbers plus one.
    links: [u32; MAX_LINKS],
    /// The address that its messages have.
    peer: u64,
    /// By thread of the scenario: the number of its message that comes next.
    ss_next: Box<[AtomicU64]>,
    /// By thread: the number of the message that it sends next.
    ss_sends: Box<[AtomicU64]>,
    /// Its modules from the head down, with the perimeter that the scenario gives them.
    modules: [Option<Fmodsw>; MAX_MODULES],
    driver: &'static Fmodsw,
    marks: [(u64, u64); 2],
    /// ns that a close waits for each queue.
    close_ns: u64,
}

impl ScenarioStream {
    /// The stream number `number`, which a record describes, closed.
    pub fn new(number: u32, spec: &Stream, nthreads: u32) -> ScenarioStream {
        let module = |place: u32| {
            let fp = FMODSW[(place as usize).checked_sub(1)?];
            let f_flag = if spec.perimeter == 0 { fp.f_flag } else { spec.perimeter };
            Some(Fmodsw { f_name: fp.f_name, f_str: fp.f_str, f_flag })
        };
        ScenarioStream {
            ss_name: core::array::from_fn(|n| AtomicU8::new(spec.name[n])),
            ss_stp: SharedPtr::null(),
            ss_driver_rq: SharedPtr::null(),
            ss_counts: Counts::default(),
            ss_lock: Mutex::new(),
            ss_state: AtomicU32::new(state::CLOSED),
            ss_users: AtomicU32::new(0),
            ss_cv: Condvar::default(),
            ss_readers: AtomicU32::new(0),
            ss_upper: AtomicU32::new(0),
            ss_group: AtomicU32::new(number),
            number,
            links: spec.links,
            peer: u64::from(spec.peer),
            ss_next: (0..nthreads).map(|_| AtomicU64::new(0)).collect(),
            ss_sends: (0..nthreads).map(|_| AtomicU64::new(0)).collect(),
            modules: spec.modules.map(module),
            driver: DRIVERS[spec.driver as usize],
            marks: [(spec.hiwat, spec.lowat), (spec.module_hiwat, spec.module_lowat)],
            close_ns: spec.close_ns,
        }
    }

    /// The number of the next message that a thread of the scenario sends; counts it as sent.
    pub fn number(&self, source: usize) -> u64 {
        Counts::bump(&self.ss_counts.sc_sent);
        self.ss_sends[source].fetch_add(1, Ordering::Relaxed)
    }

    /// One more thread reads from it. With several nobody knows in which order they took what they have.
    pub fn begin_reading(&self) {
        self.ss_readers.fetch_add(1, Ordering::Relaxed);
    }

    /// A message has come to the only reader: who sent it, and its number there. Each source's come in their order.
    pub fn arrived(&self, source: usize, number: u64) {
        let Some(next) = self.ss_next.get(source) else { return };
        if self.ss_readers.get() > 1 {
            return;
        }
        let expected = next.get();
        if number < expected {
            Counts::bump(&self.ss_counts.sc_disorder);
            return;
        }
        if number > expected {
            Counts::bump(&self.ss_counts.sc_gaps);
        }
        next.set(number + 1);
    }

    /// The address of the stream that its messages are for; 0 for none.
    pub fn peer(&self) -> u64 {
        self.peer
    }

    /// Opens it as the scenario has it.
    fn open(&'static self) -> Result<&'static Stdata, u32> {
        let stp = stropen(self.driver, 0)?;
        stp.sd_counts.set(Some(&self.ss_counts));
        self.ss_driver_rq.set(stp.pairs().last());
        // The last of the list is next to the driver, so it is pushed first.
        for module in self.modules.iter().rev().flatten() {
            if let Err(error) = strpush(stp, module) {
                strclose(stp, self.driver);
                return Err(error);
            }
        }
        self.set_marks(stp);
        strsetcltime(stp, self.close_ns);
        if self.driver.f_name == names::DRIVERS[names::TL as usize]
            && let Err(error) = self.bind(stp)
        {
            strclose(stp, self.driver);
            return Err(error);
        }
        for lower in self.links.iter().filter(|lower| **lower != 0) {
            if let Err(error) = self.link(stp, *lower as usize - 1, false) {
                strclose(stp, self.driver);
                self.let_go();
                return Err(error);
            }
        }
        Ok(stp)
    }

    /// Binds the stream's address, which is its number plus one. Messages of one stream over this driver may be in any other.
    fn bind(&'static self, stp: &'static Stdata) -> Result<(), u32> {
        let asked = tpi::bind_req(u64::from(self.number) + 1).ok_or(errno::ENOSR)?;
        kstrputmsg(stp, asked, Wait::Block).inspect_err(|_| freemsg(asked))?;
        let answer = kstrgetmsg(stp, Wait::Block)?.ok_or(errno::ENXIO)?;
        let is_bound = tpi::primitive(answer) == Some(tpi::prim::BIND_ACK);
        freemsg(answer);
        if let Some(first) = streams().scenario.iter().find(|ss| core::ptr::eq(ss.driver, self.driver)) {
            first.join(self);
        }
        if is_bound { Ok(()) } else { Err(errno::EBUSY) }
    }

    /// From now on a message of one may be in the other.
    fn join(&self, other: &ScenarioStream) {
        let links = &streams().links;
        mutex_enter(&links.muxifier);
        let (mine, its) = (self.ss_group.get(), other.ss_group.get());
        streams().scenario.iter().filter(|ss| ss.ss_group.get() == its).for_each(|ss| ss.ss_group.set(mine));
        mutex_exit(&links.muxifier);
    }

    /// Links a stream below this one, and holds it as long as it is linked. One that is linked here already stays so.
    fn link(&'static self, stp: &'static Stdata, lower: usize, persists: bool) -> Result<(), u32> {
        let low = streams().scenario.get(lower).ok_or(errno::EINVAL)?;
        if low.number == self.number || low.ss_upper.get() != 0 {
            return Err(errno::EINVAL);
        }
        let below = hold(low)?;
        if let Err(error) = mlink(stp, below, self.driver, persists) {
            release(low);
            return Err(error);
        }
        low.ss_upper.set(self.number + 1);
        self.join(low);
        Ok(())
    }

    /// Lets go of the streams that were linked below this one and are not any more.
    fn let_go(&'static self) {
        for low in self.below().filter(|low| low.ss_stp.get().is_none_or(|stp| !stp.has(sd::STPLEX))) {
            low.let_go_of();
        }
    }

    /// The streams that are linked below this one.
    fn below(&self) -> impl Iterator<Item = &'static ScenarioStream> + use<> {
        let mine = self.number + 1;
        streams().scenario.iter().filter(move |ss| ss.ss_upper.get() == mine)
    }

    /// This stream is not linked any more.
    fn let_go_of(&'static self) {
        self.ss_upper.set(0);
        if let Some(stp) = self.ss_stp.get() {
            self.set_marks(stp);
        }
        release(self);
    }

    fn set_marks(&self, stp: &'static Stdata) {
        let [head, module] = self.marks;
        let set = |qp: &Queue, (hiwat, lowat): (u64, u64)| {
            if hiwat != MARK_OWN {
                qp.q_hiwat.set(hiwat as usize);
            }
            if lowat != MARK_OWN {
                qp.q_lowat.set(lowat as usize);
            }
        };
        claimstr(stp);
        set(stp.wrq().rd(), head);
        for rq in stp.pairs().skip(1) {
            set(rq, module);
            set(rq.wr(), module);
        }
        releasestr(stp);
    }
}

/// A stream of the scenario by its number.
pub fn stream(n: usize) -> &'static ScenarioStream {
    &streams().scenario[n]
}

/// Begins to use a stream, which is opened if it is not.
///
/// # Errors
/// That of the open.
pub fn hold(ss: &'static ScenarioStream) -> Result<&'static Stdata, u32> {
    mutex_enter(&ss.ss_lock);
    let result = loop {
        match (ss.ss_state.get(), ss.ss_stp.get()) {
            (state::OPEN, Some(stp)) => {
                ss.ss_users.set(ss.ss_users.get() + 1);
                break Ok(stp);
            }
            (state::CLOSED, _) => {
                ss.ss_state.set(state::OPENING);
                mutex_exit(&ss.ss_lock);
                let opened = ss.open();
                mutex_enter(&ss.ss_lock);
                ss.ss_stp.set(opened.ok());
                ss.ss_state.set(if opened.is_ok() { state::OPEN } else { state::CLOSED });
                cv_broadcast(&ss.ss_cv);
                if let Err(error) = opened {
                    break Err(error);
                }
            }
            _ => cv_wait(&ss.ss_cv, &ss.ss_lock),
        }
    };
    mutex_exit(&ss.ss_lock);
    result
}

/// Ends the use that [`hold`] began.
pub fn release(ss: &'static ScenarioStream) {
    mutex_enter(&ss.ss_lock);
    ss.ss_users.set(ss.ss_users.get() - 1);
    if ss.ss_users.get() == 0 && ss.ss_state.get() == state::CLOSING {
        cv_broadcast(&ss.ss_cv);
    }
    mutex_exit(&ss.ss_lock);
}

/// Closes a stream, when its users have noticed; one that is not open stays so, and so does one that is linked below another, which
/// holds it: EBUSY.
pub fn close(n: usize) -> u32 {
    let ss = stream(n);
    mutex_enter(&ss.ss_lock);
    let Some(stp) = ss.ss_stp.get().filter(|_| ss.ss_state.get() == state::OPEN) else {
        mutex_exit(&ss.ss_lock);
        return 0;
    };
    if ss.ss_upper.get() != 0 {
        mutex_exit(&ss.ss_lock);
        return errno::EBUSY;
    }
    ss.ss_state.set(state::CLOSING);
    mutex_exit(&ss.ss_lock);
    strhangup(stp);
    mutex_enter(&ss.ss_lock);
    while ss.ss_users.get() != 0 {
        cv_wait(&ss.ss_cv, &ss.ss_lock);
    }
    ss.ss_stp.set(None);
    ss.ss_driver_rq.set(None);
    mutex_exit(&ss.ss_lock);
    strclose(stp, ss.driver);
    ss.let_go();
    mutex_enter(&ss.ss_lock);
    ss.ss_state.set(state::CLOSED);
    cv_broadcast(&ss.ss_cv);
    mutex_exit(&ss.ss_lock);
    0
}

/// Does something to a stream, and gives its errno.
fn on(n: usize, act: impl FnOnce(&'static Stdata) -> Result<(), u32>) -> u32 {
    let ss = stream(n);
    let result = hold(ss).and_then(|stp| {
        let result = act(stp);
        release(ss);
        result
    });
    result.err().unwrap_or(0)
}

/// Pushes a module, by its place among those that scenarios know (`I_PUSH`).
pub fn push(n: usize, module: usize) -> u32 {
    match FMODSW.get(module) {
        Some(module) => on(n, |stp| strpush(stp, module)),
        None => errno::EINVAL,
    }
}

/// Pops the module below the head (`I_POP`).
pub fn pop(n: usize) -> u32 {
    on(n, strpop)
}

/// Flushes sides of a stream, or one band of them (`I_FLUSH`, `I_FLUSHBAND`).
pub fn flush(n: usize, sides: u8, band: Option<u8>) -> u32 {
    on(n, |stp| strflush(stp, sides, band))
}

/// Links a stream below another one (`I_LINK`, `I_PLINK`).
pub fn link(n: usize, lower: usize, persists: bool) -> u32 {
    on(n, |stp| stream(n).link(stp, lower, persists))
}

/// Unlinks a stream from below another one, or every one of its kind (`I_UNLINK`, `I_PUNLINK`).
pub fn unlink(n: usize, lower: Option<usize>, persists: bool) -> u32 {
    let ss = stream(n);
    on(n, |stp| {
        let is_meant = |low: &&ScenarioStream| lower.is_none_or(|lower| lower == low.number as usize);
        let mut result = Err(errno::EINVAL);
        for low in ss.below().filter(is_meant) {
            let below = low.ss_stp.get().ok_or(errno::EINVAL)?;
            result = munlink(stp, below, ss.driver, persists);
            if result.is_ok() {
                low.let_go_of();
            }
        }
        result
    })
}

/// Freezes a stream for a while (`freezestr`).
pub fn freeze(n: usize, ns: u64) -> u32 {
    on(n, |stp| {
        // A module that is pushed meanwhile would have queues that the freezer has not locked.
        strstartplumb(stp)?;
        freezestr(stp);
        platform::spin(ns);
        unfreezestr(stp);
        strendplumb(stp);
        Ok(())
    })
}

/// Who sent a message, and its number there, if it is one of a scenario: they stand at the beginning of its data, or of a message
/// without data.
pub fn sender_of(mp: &'static Mblk) -> Option<(usize, u64)> {
    let data = mp.blocks().find(|bp| bp.db_type() == super::message::m::DATA).unwrap_or(mp);
    Some((data.u64_at(0)? as usize, data.u64_at(8)?))
}

/// Writes into a message who sent it, and its number there.
pub fn stamp(mp: &'static Mblk, source: usize, number: u64) {
    let data = mp.blocks().find(|bp| bp.db_type() == super::message::m::DATA).unwrap_or(mp);
    let bytes = [source as u64, number].map(u64::to_le_bytes);
    for (to, from) in data.data().iter().zip(bytes.as_flattened()) {
        to.set(*from);
    }
}

/// True if scenario files and the kernel have the same modules and drivers in the same places.
pub fn names_are_alike() -> bool {
    FMODSW.iter().map(|fp| fp.f_name).eq(names::MODULES.iter().copied())
        && DRIVERS.iter().map(|fp| fp.f_name).eq(names::DRIVERS.iter().copied())
}
