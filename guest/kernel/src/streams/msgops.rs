//! What is done with whole messages: copying, joining, cutting, measuring (`stream.c`).
//!
//! # Invariants
//! - A message that an operation fails on is left as it was.
//! - `pullupmsg` keeps the address of the first message block.

use super::allocb::{allocb, each_block, freeb};
use super::message::{Mblk, m};
use crate::cell::Cell;
use crate::platform;
use umpire_shared::mutant;

/// A copy of one block with its own buffer: as much room, the same offsets (`copyb`).
pub fn copyb(bp: &'static Mblk) -> Option<&'static Mblk> {
    let dbp = bp.datap();
    let nbp = allocb(dbp.size())?;
    nbp.set_type(dbp.db_type.get());
    nbp.b_band.set(bp.b_band.get());
    nbp.b_flag.set(bp.b_flag.get());
    let offset = bp.b_rptr.get() - dbp.db_base.get();
    let start = nbp.datap().db_base.get() + offset;
    nbp.b_rptr.set(start);
    nbp.b_wptr.set(start);
    nbp.append_block(bp, bp.len());
    Some(nbp)
}

/// `copyb` of every block; all or nothing (`copymsg`).
pub fn copymsg(mp: &'static Mblk) -> Option<&'static Mblk> {
    each_block(mp, copyb)
}

/// Puts `tail` at the end of `mp` (`linkb`).
pub fn linkb(mp: &'static Mblk, tail: &'static Mblk) {
    let last = mp.blocks().last().expect("invariant: a message has a block");
    last.b_cont.set(Some(tail));
}

/// Takes the first block away from the others, which are returned (`unlinkb`).
pub fn unlinkb(mp: &'static Mblk) -> Option<&'static Mblk> {
    let rest = mp.b_cont.get();
    mp.b_cont.set(None);
    rest
}

/// What `rmvb` was asked to remove is not in the message: where Solaris returns -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotThere;

/// Takes block `bp` out of a message; returns what is left, `None` for nothing (`rmvb`).
///
/// # Errors
/// [`NotThere`] if the message has no such block.
pub fn rmvb(mp: &'static Mblk, bp: &'static Mblk) -> Result<Option<&'static Mblk>, NotThere> {
    let is_it = |at: &&'static Mblk| core::ptr::eq(*at, bp);
    if is_it(&mp) {
        return Ok(unlinkb(mp));
    }
    let before = mp.blocks().find(|at| at.b_cont.is(bp)).ok_or(NotThere)?;
    before.b_cont.set(unlinkb(bp));
    Ok(Some(mp))
}

/// Bytes in the blocks of type `M_DATA` (`msgdsize`).
pub fn msgdsize(mp: &'static Mblk) -> usize {
    mp.blocks().filter(|bp| bp.db_type() == m::DATA).map(Mblk::len).sum()
}

/// Bytes in the leading blocks of one type (`xmsgsize`).
pub fn xmsgsize(mp: &'static Mblk) -> usize {
    leading(mp).map(Mblk::len).sum()
}

/// The leading blocks of one type.
fn leading(mp: &'static Mblk) -> impl Iterator<Item = &'static Mblk> {
    let db_type = mp.db_type();
    mp.blocks().take_while(move |bp| bp.db_type() == db_type)
}

/// Trims `len` bytes: from the front, or if it is negative from the end, within the leading or trailing blocks of one type. Blocks
/// that become empty are removed, but not the first. False, and nothing is done, if there are not so many (`adjmsg`).
pub fn adjmsg(mp: &'static Mblk, len: isize) -> bool {
    let n = len.unsigned_abs();
    if len >= 0 { trim_front(mp, n) } else { trim_end(mp, n) }
}

fn trim_front(mp: &'static Mblk, mut n: usize) -> bool {
    if n > xmsgsize(mp) {
        return false;
    }
    let (db_type, mut at) = (mp.db_type(), Some(mp));
    while let Some(bp) = at.filter(|bp| n != 0 && bp.db_type() == db_type) {
        at = bp.b_cont.get();
        let part = n.min(bp.len());
        bp.b_rptr.set(bp.b_rptr.get() + part);
        n -= part;
        if bp.is_empty() && !core::ptr::eq(bp, mp) {
            drop_block(mp, bp);
        }
    }
    true
}

fn trim_end(mp: &'static Mblk, n: usize) -> bool {
    let last = mp.blocks().last().expect("invariant: a message has a block");
    let db_type = last.db_type();
    // The trailing run: it begins behind the last block of another type.
    let mut first = mp;
    for bp in mp.blocks() {
        match bp.b_cont.get() {
            Some(next) if bp.db_type() != db_type => first = next,
            _ => {}
        }
    }
    let mut total: usize = first.blocks().map(Mblk::len).sum();
    if n > total {
        return false;
    }
    let keep = total - n;
    total = 0;
    let mut at = Some(first);
    while let Some(bp) = at {
        at = bp.b_cont.get();
        let had = bp.len();
        let left = keep.saturating_sub(total).min(had);
        total += had;
        bp.b_wptr.set(bp.b_rptr.get() + left);
        if left == 0 && had != 0 && !core::ptr::eq(bp, mp) {
            drop_block(mp, bp);
        }
    }
    true
}

fn drop_block(mp: &'static Mblk, bp: &'static Mblk) {
    if rmvb(mp, bp).is_ok() {
        freeb(bp);
    }
}

/// True if a block's first byte lies where a number can.
fn is_aligned(mp: &Mblk) -> bool {
    mp.b_rptr.get().is_multiple_of(8)
}

/// Makes the first `len` bytes lie in the first block; -1 for all of the leading blocks of one type. False, and nothing is done, if
/// there are not so many or there is no memory (`pullupmsg`).
pub fn pullupmsg(mp: &'static Mblk, len: isize) -> bool {
    let wanted = match usize::try_from(len) {
        Err(_) => match mp.b_cont.get() {
            None if is_aligned(mp) => return true,
            _ => xmsgsize(mp),
        },
        Ok(n) if n <= mp.len() && is_aligned(mp) => return true,
        Ok(n) if n > xmsgsize(mp) => return false,
        Ok(n) => n,
    };
    let Some(new) = allocb(wanted) else { return false };
    let old = mp.datap();
    let db_type = old.db_type.get();
    // The first message block changes its data block with the new one, so that its address stays: what was its own goes with
    // the new message block, and is freed with it when it is empty.
    exchange(mp, new);
    mp.set_type(db_type);
    let mut rest = Some(new);
    new.b_cont.set(mp.b_cont.get());
    mp.b_cont.set(None);
    let mut left = wanted;
    let short = usize::from(platform::kernel().is_mutant(mutant::PULL_SHORT));
    while let Some(bp) = rest.filter(|_| left != 0) {
        let part = left.min(bp.len());
        mp.append_block(bp, part.saturating_sub(short));
        bp.b_rptr.set(bp.b_rptr.get() + part);
        left -= part;
        if bp.is_empty() {
            rest = bp.b_cont.get();
            freeb(bp);
        }
    }
    // With nothing wanted the old first block, empty, is still there.
    if let Some(bp) = rest.filter(|bp| core::ptr::eq(*bp, new) && bp.is_empty()) {
        rest = bp.b_cont.get();
        freeb(bp);
    }
    mp.b_cont.set(rest);
    true
}

/// Two message blocks change data blocks and positions. A data block that was made with one of them goes with the other from now on,
/// if nobody else has it; if somebody has, its own message block stays what it was made with.
fn exchange(a: &'static Mblk, b: &'static Mblk) {
    let (da, db) = (a.datap(), b.datap());
    let (ra, wa) = (a.b_rptr.get(), a.b_wptr.get());
    a.b_datap.set(Some(db));
    a.b_rptr.set(b.b_rptr.get());
    a.b_wptr.set(b.b_wptr.get());
    b.b_datap.set(Some(da));
    b.b_rptr.set(ra);
    b.b_wptr.set(wa);
    db.db_mblk.set(Some(a));
    if da.db_mblk.is(a) {
        da.db_mblk.set(Some(b));
    }
}

/// A new message in which the first `len` bytes lie in one block, with a copy of what follows; -1 for all of the leading blocks of one
/// type. The old one is left as it is (`msgpullup`).
pub fn msgpullup(mp: &'static Mblk, len: isize) -> Option<&'static Mblk> {
    let total = xmsgsize(mp);
    if usize::try_from(len).is_ok_and(|n| n > total) {
        return None;
    }
    let new = allocb(total)?;
    new.set_type(mp.db_type());
    new.b_band.set(mp.b_band.get());
    new.b_flag.set(mp.b_flag.get());
    let mut rest = Some(mp);
    for bp in leading(mp) {
        new.append_block(bp, bp.len());
        rest = bp.b_cont.get();
    }
    if let Some(rest) = rest {
        let Some(copy) = super::allocb::dupmsg(rest) else {
            freeb(new);
            return None;
        };
        new.b_cont.set(Some(copy));
    }
    Some(new)
}
