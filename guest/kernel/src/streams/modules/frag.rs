//! `frag`: cuts what goes down into fragments of [`MTU`] bytes, and puts together what comes up, as IP does.
//!
//! Each fragment begins with a block of its own that says how long the whole is and where in it the fragment belongs. Turn by turn it
//! cuts a duplicate or a copy, and hands up what it has put together as one block made in place, as one block made anew, with its
//! first bytes in one block, or as the chain that it is: who reads gets the same bytes each time.
//!
//! # Invariants
//! - What is not whole yet is the only message of the read queue, which nobody else takes from (`noenable`).
//! - Fragments of a message follow each other: only band 0 is cut. One that does not follow ends what was begun.

use super::{close, info, lose};
use crate::cell::{Cell, Counter};
use crate::streams::allocb::{allocb, dupmsg, freeb, freemsg};
use crate::streams::message::{Mblk, m};
use crate::streams::msgops::{adjmsg, copymsg, linkb, msgdsize, msgpullup, pullupmsg, unlinkb};
use crate::streams::plumb::qprocson;
use crate::streams::putnext::putnext;
use crate::streams::putq::{getq_noenab, noenable, putq};
use crate::streams::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab};
use umpire_shared::sys::conf::{D_MP, D_MTQPAIR};

/// Most bytes of a fragment.
const MTU: usize = 64;
/// What the first block of a fragment begins with.
const FRAGMENT: u64 = u64::from_le_bytes(*b"fragment");
/// Bytes of that block.
const HEADER: usize = 24;

fn fopen(rq: &'static Queue, _dev: u32, _flag: u32, _sflag: u32) -> u32 {
    noenable(rq);
    qprocson(rq);
    0
}

fn wput(qp: &'static Queue, mp: &'static Mblk) {
    let whole = msgdsize(mp);
    if mp.db_type() != m::DATA || mp.b_band.get() != 0 || whole <= MTU {
        return putnext(qp, mp);
    }
    let (mut at, mut piece) = (0, mp);
    loop {
        let rest = if whole - at > MTU { cut(qp, piece) } else { Some(None) };
        let (Some(rest), Some(header)) = (rest, header(whole, at)) else { return lose(qp, piece) };
        linkb(header, piece);
        putnext(qp, header);
        at += MTU;
        let Some(next) = rest else { return };
        piece = next;
    }
}

/// Cuts a message behind its first fragment, and returns the rest, which there is. `None` without memory.
fn cut(qp: &'static Queue, piece: &'static Mblk) -> Option<Option<&'static Mblk>> {
    let turn = qp.private(0);
    turn.bump();
    let rest = if turn.get().is_multiple_of(2) { dupmsg(piece) } else { copymsg(piece) }?;
    adjmsg(piece, MTU as isize - msgdsize(piece) as isize);
    adjmsg(rest, MTU as isize);
    Some(Some(rest))
}

fn header(whole: usize, at: usize) -> Option<&'static Mblk> {
    let mp = allocb(HEADER)?;
    mp.set_type(m::PROTO);
    for word in [FRAGMENT, whole as u64, at as u64] {
        mp.append_u64(word);
    }
    Some(mp)
}

fn rput(qp: &'static Queue, mp: &'static Mblk) {
    let word = |n: usize| mp.u64_at(8 * n).unwrap_or(0) as usize;
    match mp.b_cont.get() {
        Some(_) if mp.db_type() == m::PROTO && word(0) as u64 == FRAGMENT => {
            let (whole, at) = (word(1), word(2));
            if let Some(piece) = unlinkb(mp) {
                join(qp, piece, whole, at);
            }
            freeb(mp);
        }
        _ => putnext(qp, mp),
    }
}

/// Puts a fragment behind those that have come, and hands the message up if it is whole.
fn join(qp: &'static Queue, piece: &'static Mblk, whole: usize, at: usize) {
    let begun = getq_noenab(qp, 0);
    let so_far = match begun {
        Some(begun) if msgdsize(begun) == at => {
            linkb(begun, piece);
            begun
        }
        _ => {
            // Its other fragments were lost, and counted where they were.
            if let Some(begun) = begun {
                freemsg(begun);
            }
            if at != 0 {
                return freemsg(piece);
            }
            piece
        }
    };
    if msgdsize(so_far) >= whole {
        putnext(qp, handed(qp, so_far));
    } else if !putq(qp, so_far) {
        lose(qp, so_far);
    }
}

/// The message as it is handed up this time. Without memory it stays as it is.
fn handed(qp: &'static Queue, mp: &'static Mblk) -> &'static Mblk {
    let turn = qp.private(1);
    turn.bump();
    match turn.get() % 4 {
        0 => _ = pullupmsg(mp, -1),
        1 => _ = pullupmsg(mp, MTU as isize + 1),
        2 => {
            if let Some(new) = msgpullup(mp, -1) {
                freemsg(mp);
                return new;
            }
        }
        _ => {}
    }
    mp
}

static INFO: ModuleInfo = info(12, "frag");
static RD: Qinit =
    Qinit { qi_putp: rput, qi_srvp: None, qi_qopen: Some(fopen), qi_qclose: Some(close), qi_minfo: &INFO };
static WR: Qinit = Qinit { qi_putp: wput, qi_srvp: None, qi_qopen: None, qi_qclose: None, qi_minfo: &INFO };
static TAB: Streamtab = Streamtab { st_rdinit: &RD, st_wrinit: &WR, st_muxrinit: None, st_muxwinit: None };

/// The module.
pub(super) static MODULE: Fmodsw = Fmodsw { f_name: "frag", f_str: &TAB, f_flag: D_MP | D_MTQPAIR };
