//! Ioctls that go down a stream: I_STR, and transparent ones with their copies (`streamio.c strdoioctl`).
//!
//! A message of an ioctl begins with words of 8 bytes: `iocblk`, `copyreq` and `copyresp` have their first two, command and id, in
//! common, as in C.
//!
//! # Invariants
//! - One ioctl is under way in a stream (IOCWAIT); its answer is the first that has its id.
//! - Memory of the user is touched only by the thread whose ioctl it is, here, between two messages.

use super::allocb::{allocb, freemsg};
use super::message::{Mblk, m};
use super::msgops::linkb;
use super::putnext::put;
use super::queue::Queue;
use super::stdata::Stdata;
use super::strwrite::send;
use crate::cell::Cell;
use crate::platform;
use crate::sync::{cv_broadcast, cv_wait, mutex_enter, mutex_exit};
use crate::sys::NANOSEC;
use crate::time::callout::cv_timedwait;
use umpire_shared::errno;
use umpire_shared::sys::stropts::sd;

/// Where a message has the id of its ioctl.
pub const IOC_ID: usize = 8;
/// `ioc_count` of a transparent ioctl.
pub const TRANSPARENT: u64 = u64::MAX;
/// Seconds that an I_STR waits for its answer, if it does not say.
pub const STRTIMOUT: u64 = 15;

/// The head of `M_IOCTL`, `M_IOCACK` and `M_IOCNAK` (`iocblk`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Iocblk {
    /// The command.
    pub cmd: u64,
    /// Which ioctl this is.
    pub id: u64,
    /// Bytes of data, or [`TRANSPARENT`].
    pub count: u64,
    /// The errno of a refusal.
    pub error: u64,
    /// What the ioctl returns.
    pub rval: u64,
}

/// The head of `M_COPYIN` and `M_COPYOUT` (`copyreq`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copyreq {
    /// The command.
    pub cmd: u64,
    /// Which ioctl this is.
    pub id: u64,
    /// Where in the user's memory.
    pub addr: u64,
    /// How many bytes.
    pub size: u64,
}

/// Words that are the beginning of a message's first block.
pub trait Words: Sized {
    /// Writes them over the block, which has room.
    fn put(&self, mp: &Mblk);
    /// Reads them.
    fn get(mp: &Mblk) -> Option<Self>;
}

macro_rules! words {
    ($name:ident: $($field:ident),*) => {
        impl Words for $name {
            fn put(&self, mp: &Mblk) {
                mp.b_wptr.set(mp.b_rptr.get());
                $(mp.append_u64(self.$field);)*
            }

            fn get(mp: &Mblk) -> Option<$name> {
                let mut at = 0;
                let mut next = || {
                    at += 8;
                    mp.u64_at(at - 8)
                };
                Some($name { $($field: next()?),* })
            }
        }
    };
}

words!(Iocblk: cmd, id, count, error, rval);
words!(Copyreq: cmd, id, addr, size);

/// What an ioctl brings with it.
#[derive(Debug)]
pub enum Arg<'a> {
    /// I_STR: so many bytes of the buffer go down, and what comes up is put there (`strioctl`).
    Str {
        /// The buffer.
        data: &'a mut [u8],
        /// Bytes of it that go down.
        len: usize,
    },
    /// A transparent ioctl: the word, and the user's memory that it may point into: address 0 is the first byte.
    Transparent {
        /// The argument.
        arg: u64,
        /// The memory.
        user: &'a mut [u8],
    },
}

/// Whether an ioctl ends because its stream is hung up or has an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errors {
    /// It does.
    Heed,
    /// It does not (STR_NOERROR): who closes has to tell the driver. It goes to the driver at once, past what modules have queued that
    /// nobody is going to read.
    Ignore,
}

/// Sends an ioctl down and waits for its answer, `timeout` s at most for an I_STR; returns what it returns, and bytes of data.
///
/// # Errors
/// The errno of a refusal, EINVAL if it has none; ETIME; ENXIO when hung up; what an `M_ERROR` has left; ENOSR without memory.
pub fn strdoioctl(stp: &'static Stdata, cmd: u32, arg: Arg<'_>, timeout: u64) -> Result<(u64, usize), u32> {
    ioctl(stp, cmd, arg, timeout, Errors::Heed)
}

/// [`strdoioctl`] that may have to come to its end whatever becomes of the stream.
pub(super) fn ioctl(
    stp: &'static Stdata,
    cmd: u32,
    mut arg: Arg<'_>,
    timeout: u64,
    errors: Errors,
) -> Result<(u64, usize), u32> {
    mutex_enter(&stp.sd_lock);
    while stp.has(sd::IOCWAIT | sd::IOCWAITNE) {
        cv_wait(&stp.sd_iocmonitor, &stp.sd_lock);
    }
    if let Some(error) = gone(stp).filter(|_| errors == Errors::Heed) {
        mutex_exit(&stp.sd_lock);
        return Err(error);
    }
    stp.raise(if errors == Errors::Heed { sd::IOCWAIT } else { sd::IOCWAITNE });
    stp.sd_iocid.set(stp.sd_iocid.get().wrapping_add(1));
    let id = u64::from(stp.sd_iocid.get());
    mutex_exit(&stp.sd_lock);
    let result = exchange(stp, cmd, id, &mut arg, timeout, errors);
    mutex_enter(&stp.sd_lock);
    let late = stp.sd_iocblk.get();
    stp.sd_iocblk.set(None);
    stp.lower(sd::IOCWAIT | sd::IOCWAITNE);
    cv_broadcast(&stp.sd_iocmonitor);
    mutex_exit(&stp.sd_lock);
    late.into_iter().for_each(freemsg);
    result
}

fn gone(stp: &Stdata) -> Option<u32> {
    match stp.sd_flag.get() {
        flags if flags & sd::STPLEX != 0 => Some(errno::EINVAL),
        flags if flags & sd::STRHUP != 0 => Some(errno::ENXIO),
        flags if flags & sd::STRDERR != 0 => Some(stp.sd_rerror.get()),
        flags if flags & sd::STWRERR != 0 => Some(stp.sd_werror.get()),
        _ => None,
    }
}

fn exchange(
    stp: &'static Stdata,
    cmd: u32,
    id: u64,
    arg: &mut Arg<'_>,
    timeout: u64,
    errors: Errors,
) -> Result<(u64, usize), u32> {
    let head = allocb(40).ok_or(errno::ENOSR)?;
    head.set_type(m::IOCTL);
    let (count, data) = match &*arg {
        Arg::Str { data, len } => (*len as u64, (*len != 0).then(|| &data[..*len])),
        Arg::Transparent { .. } => (TRANSPARENT, None),
    };
    Iocblk { cmd: u64::from(cmd), id, count, error: 0, rval: 0 }.put(head);
    let word = if let Arg::Transparent { arg, .. } = &*arg { Some(arg.to_le_bytes()) } else { None };
    if let Some(bytes) = data.or(word.as_ref().map(|w| &w[..])) {
        let Some(mp) = allocb(bytes.len()) else {
            freemsg(head);
            return Err(errno::ENOSR);
        };
        mp.append(bytes);
        linkb(head, mp);
    }
    let deadline = match arg {
        Arg::Str { .. } => platform::now().saturating_add(timeout.saturating_mul(NANOSEC)),
        Arg::Transparent { .. } => u64::MAX,
    };
    match stp.pairs().last().map(Queue::wr).filter(|_| errors == Errors::Ignore) {
        Some(driver) => put(driver, head),
        None => send(stp, head),
    }
    loop {
        let mp = answer(stp, deadline, errors)?;
        match mp.db_type() {
            m::COPYIN | m::COPYOUT => copy(stp, mp, arg)?,
            m::IOCACK => return acknowledged(mp, arg),
            _ => {
                let error = Iocblk::get(mp).map_or(0, |ioc| ioc.error as u32);
                freemsg(mp);
                return Err(if error == 0 { errno::EINVAL } else { error });
            }
        }
    }
}

/// Waits for the next message of this ioctl.
fn answer(stp: &'static Stdata, deadline: u64, errors: Errors) -> Result<&'static Mblk, u32> {
    mutex_enter(&stp.sd_lock);
    let result = loop {
        if let Some(mp) = stp.sd_iocblk.get() {
            stp.sd_iocblk.set(None);
            break Ok(mp);
        }
        if let Some(error) = gone(stp).filter(|_| errors == Errors::Heed) {
            break Err(error);
        }
        if deadline == u64::MAX {
            cv_wait(&stp.sd_monitor, &stp.sd_lock);
        } else if platform::now() >= deadline {
            break Err(errno::ETIME);
        } else {
            _ = cv_timedwait(&stp.sd_monitor, &stp.sd_lock, deadline);
        }
    };
    mutex_exit(&stp.sd_lock);
    result
}

fn acknowledged(mp: &'static Mblk, arg: &mut Arg<'_>) -> Result<(u64, usize), u32> {
    let Some(ioc) = Iocblk::get(mp) else {
        freemsg(mp);
        return Err(errno::EINVAL);
    };
    let mut n = 0;
    if let Arg::Str { data, .. } = arg {
        for bp in mp.blocks().skip(1) {
            for (to, from) in data[n..].iter_mut().zip(bp.data()) {
                *to = from.get();
            }
            n = (n + bp.len()).min(data.len());
        }
        n = n.min(ioc.count as usize);
    }
    freemsg(mp);
    if ioc.error != 0 { Err(ioc.error as u32) } else { Ok((ioc.rval, n)) }
}

/// Does one copy of a transparent ioctl, and sends the module word of it (`M_IOCDATA`).
fn copy(stp: &'static Stdata, mp: &'static Mblk, arg: &mut Arg<'_>) -> Result<(), u32> {
    let is_in = mp.db_type() == m::COPYIN;
    let request = Copyreq::get(mp);
    let place = request.map(|req| req.addr as usize..(req.addr as usize).saturating_add(req.size as usize));
    let user = match arg {
        Arg::Transparent { user, .. } => place.and_then(|at| user.get_mut(at)),
        Arg::Str { .. } => None,
    };
    let mut is_done = user.is_some();
    let rest = mp.b_cont.get();
    mp.b_cont.set(None);
    if let Some(user) = user {
        if is_in {
            match allocb(user.len()) {
                Some(data) => {
                    data.append(user);
                    mp.b_cont.set(Some(data));
                }
                None => is_done = false,
            }
        } else {
            let bytes = rest.into_iter().flat_map(Mblk::blocks).flat_map(|bp| bp.data());
            for (to, from) in user.iter_mut().zip(bytes) {
                *to = from.get();
            }
        }
    }
    rest.into_iter().for_each(freemsg);
    // `copyresp`: command, id, and whether the copy failed.
    if let Some(req) = request {
        mp.set_type(m::IOCDATA);
        Copyreq { addr: u64::from(!is_done), size: 0, ..req }.put(mp);
        send(stp, mp);
        return Ok(());
    }
    freemsg(mp);
    Err(errno::EINVAL)
}
