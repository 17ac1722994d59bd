//! STREAMS, as their commands and walkers see them: queues, perimeters, stream heads and messages that are in use.
//!
//! # Invariants
//! - An address is believed to be a queue, a perimeter, a head or a message only if one of the kernel's arenas has one there: a
//!   corrupt link is told from a sound one by that.
//! - What is in use is what the arena has handed out and no magazine keeps, as mdb's walk of a cache has it. On a machine that runs
//!   it is as of the time of the walk.

mod caches;
pub(crate) mod flags;
mod naming;
pub(crate) mod select;

use crate::kernel;
use crate::lang::Failure;
use crate::object::{Elements, Object};
use crate::view::View;

pub(crate) use caches::{mblks, pairs, stdatas, syncqs};
pub(crate) use naming::{kept, what};

/// The pair that a queue belongs to, and whether the queue is its read side.
///
/// # Errors
/// [`Failure`] if no queue begins at the address.
pub(crate) fn pair_of<'v>(view: &'v View<'v>, queue: u64) -> Result<(Object<'v>, bool), Failure> {
    let none = || Failure::new(format!("no queue begins at {queue:#x}; ::queue lists them"));
    let all = kernel::arena(view, "k_streams.queues.ar_objects")?;
    let (_, into) = all.containing(queue).ok_or_else(none)?;
    let pair = view.object(all.of, queue - into)?;
    let is_read = pair.get("qu_rqueue")?.addr() == queue;
    if is_read || pair.get("qu_wqueue")?.addr() == queue { Ok((pair, is_read)) } else { Err(none()) }
}

/// The queue at an address.
///
/// # Errors
/// As [`pair_of`].
pub(crate) fn queue<'v>(view: &'v View<'v>, addr: u64) -> Result<Object<'v>, Failure> {
    let (pair, is_read) = pair_of(view, addr)?;
    pair.get(if is_read { "qu_rqueue" } else { "qu_wqueue" })
}

/// The object of an arena at an address; `what` is what it should be, and `lists` the command that lists those.
fn of_arena<'v>(
    view: &'v View<'v>,
    arena: &str,
    addr: u64,
    what: &str,
    lists: &str,
) -> Result<Object<'v>, Failure> {
    let all = kernel::arena(view, arena)?;
    match all.index_of(addr) {
        Some(_) => view.object(all.of, addr),
        None => Err(Failure::new(format!("no {what} begins at {addr:#x}; {lists} lists them"))),
    }
}

/// The stream head at an address.
pub(crate) fn stdata<'v>(view: &'v View<'v>, addr: u64) -> Result<Object<'v>, Failure> {
    of_arena(view, "k_streams.stdatas.ar_objects", addr, "stream head", "::stdata")
}

/// The message block at an address.
pub(crate) fn mblk<'v>(view: &'v View<'v>, addr: u64) -> Result<Object<'v>, Failure> {
    of_arena(view, "k_streams.memory.sm_mblks.ar_objects", addr, "message block", "::mblk")
}

/// The data block at an address.
pub(crate) fn dblk<'v>(view: &'v View<'v>, addr: u64) -> Result<Object<'v>, Failure> {
    of_arena(view, "k_streams.memory.sm_dblks.ar_objects", addr, "data block", "::mblk | ::mblk2dblk")
}

/// The perimeter at an address: one of its own, or one of a pair of queues.
pub(crate) fn syncq<'v>(view: &'v View<'v>, addr: u64) -> Result<Object<'v>, Failure> {
    let own = kernel::arena(view, "k_streams.syncqs.ar_objects")?;
    if own.index_of(addr).is_some() {
        return view.object(own.of, addr);
    }
    let pairs = kernel::arena(view, "k_streams.queues.ar_objects")?;
    if let Some((_, into)) = pairs.containing(addr) {
        let of_pair = view.object(pairs.of, addr - into)?.get("qu_syncq")?;
        if of_pair.addr() == addr {
            return Ok(of_pair);
        }
    }
    Err(Failure::new(format!("no syncq begins at {addr:#x}; ::syncq lists them")))
}

/// How many messages a list that is linked by `b_next` has, and why it ends before its end, if it does.
pub(crate) fn messages(view: &View<'_>, first: u64) -> crate::walker::Walk {
    crate::walker::list::follow(first, |at| mblk(view, at)?.n("b_next"))
}

/// The first of an arena's objects: those that have been handed out.
fn handed_out(view: &View<'_>, arena: &str) -> Result<(Elements, usize), Failure> {
    let all = kernel::arena(view, &format!("{arena}.ar_objects"))?;
    let n = view.kernel_get(&format!("{arena}.ar_next"))?.number()?;
    Ok((all, n.min(all.count) as usize))
}
