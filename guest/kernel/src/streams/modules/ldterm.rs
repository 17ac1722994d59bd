//! `ldterm`: a line discipline as far as lines go: what comes up is held until its line is over, echoed, and edited.
//!
//! # Invariants
//! - The line that is not over is the last message of the read queue, which nobody else takes from (`noenable`).
//! - `^C` throws away what is queued on both sides and sends a signal up; erase and kill work within the line.

use super::{close, info};
use crate::cell::Cell;
use crate::streams::allocb::{allocb, freemsg};
use crate::streams::flush::{flush_as_told, flushq};
use crate::streams::message::{Mblk, m};
use crate::streams::plumb::qprocson;
use crate::streams::putnext::{putnext, qreply};
use crate::streams::putq::{getq_noenab, noenable, putq};
use crate::streams::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab};
use umpire_shared::sys::conf::{D_MP, D_MTQPAIR};
use umpire_shared::sys::stream::{FLUSHDATA, flush};

/// Bytes of the longest line (`MAX_CANON`).
const MAX_CANON: usize = 256;
/// `^C`.
const INTR: u8 = 0x03;
/// Backspace and delete.
const ERASE: [u8; 2] = [0x08, 0x7f];
/// `^U`.
const KILL: u8 = 0x15;
/// `SIGINT`.
const SIGINT: u8 = 2;

fn ldopen(rq: &'static Queue, _dev: u32, _flag: u32, _sflag: u32) -> u32 {
    noenable(rq);
    qprocson(rq);
    0
}

fn rput(qp: &'static Queue, mp: &'static Mblk) {
    match mp.db_type() {
        m::DATA => {
            for bp in mp.blocks() {
                for byte in bp.data() {
                    input(qp, byte.get());
                }
            }
            freemsg(mp);
        }
        m::FLUSH => {
            flush_as_told(qp, mp);
            putnext(qp, mp);
        }
        _ => putnext(qp, mp),
    }
}

fn input(qp: &'static Queue, byte: u8) {
    match byte {
        INTR => {
            flushq(qp, FLUSHDATA);
            flushq(qp.wr(), FLUSHDATA);
            for (db_type, arg) in [(m::FLUSH, flush::RW), (m::PCSIG, SIGINT)] {
                if let Some(mp) = message(db_type, &[arg]) {
                    putnext(qp, mp);
                }
            }
        }
        KILL => flushq(qp, FLUSHDATA),
        _ if ERASE.contains(&byte) => {
            if let Some(line) = getq_noenab(qp, 0) {
                let last = line.b_wptr.get();
                line.b_wptr.set(last.max(line.b_rptr.get() + 1) - 1);
                putq(qp, line);
                echo(qp, b"\x08 \x08");
            }
        }
        _ => {
            let Some(line) = getq_noenab(qp, 0).or_else(|| allocb(MAX_CANON)) else { return };
            if line.append(&[byte]) == 1 {
                echo(qp, &[byte]);
            }
            if byte == b'\n' { putnext(qp, line) } else { _ = putq(qp, line) }
        }
    }
}

fn message(db_type: u8, bytes: &[u8]) -> Option<&'static Mblk> {
    let mp = allocb(bytes.len())?;
    mp.set_type(db_type);
    mp.append(bytes);
    Some(mp)
}

fn echo(qp: &'static Queue, bytes: &[u8]) {
    if let Some(mp) = message(m::DATA, bytes) {
        qreply(qp, mp);
    }
}

static INFO: ModuleInfo = info(4, "ldterm");
static RD: Qinit =
    Qinit { qi_putp: rput, qi_srvp: None, qi_qopen: Some(ldopen), qi_qclose: Some(close), qi_minfo: &INFO };
static WR: Qinit =
    Qinit { qi_putp: putnext, qi_srvp: None, qi_qopen: None, qi_qclose: None, qi_minfo: &INFO };
static TAB: Streamtab = Streamtab { st_rdinit: &RD, st_wrinit: &WR, st_muxrinit: None, st_muxwinit: None };

/// The module.
pub(super) static MODULE: Fmodsw = Fmodsw { f_name: "ldterm", f_str: &TAB, f_flag: D_MP | D_MTQPAIR };
