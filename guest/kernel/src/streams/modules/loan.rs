//! `loan`: hands up data in buffers of its own, as a device does that lends its receive buffers. All instances have one pool.
//!
//! # Invariants
//! - `ln_lock` guards which buffers are free and who waits for one. QLOCK and `sd_qlock` are taken under it (`qenable`), and nothing is
//!   freed under it: a message's free routine takes it.
//! - What goes down is passed on as it is: a close waits for that, and who is to give buffers back may be what it closes.
//! - A message without a buffer stays on its queue, and the queue is named in `ln_waiting`: who gives a buffer back enables it.
//! - A buffer's free routine outlives the module's instances, so it knows the pool alone.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use super::{bufmod, info, open};
use crate::cell::{Cell, Counter};
use crate::lock::SharedPtr;
use crate::streams::allocb::{freemsg, take_external};
use crate::streams::esballoc::{Esb, Frtn, esballoc};
use crate::streams::flow::bcanputnext;
use crate::streams::message::{Mblk, m};
use crate::streams::msgops::msgdsize;
use crate::streams::plumb::qprocsoff;
use crate::streams::putnext::putnext;
use crate::streams::putq::{getq, putbq};
use crate::streams::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab};
use crate::streams::service::qenable;
use crate::streams::streams;
use crate::sync::{Mutex, mutex_enter, mutex_exit};
use umpire_shared::sys::conf::{D_MP, D_MTQPAIR};

/// Buffers of the pool.
const BUFFERS: usize = 24;
/// Bytes of each.
const SIZE: usize = 256;
/// Queues that may wait at one time; one more is passed on what it has as it is.
const WAITING: usize = 8;
/// How they are lent, turn by turn.
const KINDS: [Esb; 4] = [Esb::Deferred, Esb::Direct, Esb::DeferredShared, Esb::DirectShared];

/// The pool.
#[derive(Debug)]
pub struct Loans {
    ln_lock: Mutex,
    ln_is_lent: [AtomicBool; BUFFERS],
    /// Their addresses; 0 before the first use.
    ln_base: [AtomicUsize; BUFFERS],
    ln_frtn: [Frtn; BUFFERS],
    ln_waiting: [SharedPtr<Queue>; WAITING],
    ln_turn: AtomicU64,
}

impl Default for Loans {
    fn default() -> Loans {
        Loans {
            ln_lock: Mutex::new(),
            ln_is_lent: [const { AtomicBool::new(false) }; BUFFERS],
            ln_base: [const { AtomicUsize::new(0) }; BUFFERS],
            ln_frtn: core::array::from_fn(|n| Frtn {
                free_func: give_back,
                free_arg: AtomicU64::new(n as u64),
            }),
            ln_waiting: [const { SharedPtr::null() }; WAITING],
            ln_turn: AtomicU64::new(0),
        }
    }
}

/// What came of asking for a buffer.
enum Lent {
    /// This one.
    Buffer(usize),
    /// The queue is enabled when there is one.
    Later,
    /// There is none, and nobody will say when.
    None,
}

fn rsrv(qp: &'static Queue) {
    while let Some(mp) = getq(qp) {
        if !bcanputnext(qp, mp.b_band.get()) {
            putbq(qp, mp);
            return;
        }
        let Some((header, data)) = parts(mp) else {
            putnext(qp, mp);
            continue;
        };
        match lend(qp) {
            Lent::None => putnext(qp, mp),
            Lent::Later => {
                putbq(qp, mp);
                return;
            }
            Lent::Buffer(n) => {
                let data = in_buffer(n, data);
                if let Some(header) = header {
                    header.b_cont.set(Some(data));
                }
                putnext(qp, header.unwrap_or(data));
            }
        }
    }
}

/// What a message has before its data, and the data, if they go into a buffer. A message that is in a lent one already does not.
fn parts(mp: &'static Mblk) -> Option<(Option<&'static Mblk>, &'static Mblk)> {
    let header = (mp.db_type() != m::DATA).then_some(mp);
    let data = if header.is_some() { mp.b_cont.get()? } else { mp };
    let len = msgdsize(data);
    let is_plain = |bp: &Mblk| bp.db_type() == m::DATA && bp.datap().db_frtnp.is_null();
    (len != 0 && len <= SIZE && data.blocks().all(is_plain)).then_some((header, data))
}

/// A free buffer, or a place among those that wait.
fn lend(qp: &'static Queue) -> Lent {
    let loans = &streams().loans;
    mutex_enter(&loans.ln_lock);
    let free = (0..BUFFERS).find(|&n| !loans.ln_is_lent[n].get() && is_there(n));
    let lent = match free {
        Some(n) => {
            loans.ln_is_lent[n].set(true);
            Lent::Buffer(n)
        }
        None if loans.ln_waiting.iter().any(|place| place.is(qp)) => Lent::Later,
        None => match loans.ln_waiting.iter().find(|place| place.is_null()) {
            // Nobody can give back what was never lent.
            Some(place) if loans.ln_is_lent.iter().any(Cell::get) => {
                place.set(Some(qp));
                Lent::Later
            }
            _ => Lent::None,
        },
    };
    mutex_exit(&loans.ln_lock);
    lent
}

/// Makes a buffer if it is not there; false without memory. Called with the lock.
fn is_there(n: usize) -> bool {
    let base = &streams().loans.ln_base[n];
    if base.get() == 0 {
        base.set(take_external(SIZE).unwrap_or(0));
    }
    base.get() != 0
}

/// The same data in a buffer of the pool; as they are if there is no memory for a block.
fn in_buffer(n: usize, mp: &'static Mblk) -> &'static Mblk {
    let loans = &streams().loans;
    // Read-modify-write or not does not matter: it only chooses among four ways.
    let kind = KINDS[loans.ln_turn.get() as usize % KINDS.len()];
    loans.ln_turn.bump();
    let Some(new) = esballoc(kind, loans.ln_base[n].get(), SIZE, &loans.ln_frtn[n]) else {
        give_back(n as u64);
        return mp;
    };
    new.b_band.set(mp.b_band.get());
    new.b_flag.set(mp.b_flag.get());
    for bp in mp.blocks() {
        new.append_block(bp, bp.len());
    }
    freemsg(mp);
    new
}

/// The last reference to a buffer is gone: it is free, and all who wait may try.
fn give_back(n: u64) {
    let loans = &streams().loans;
    mutex_enter(&loans.ln_lock);
    loans.ln_is_lent[n as usize].set(false);
    for place in &loans.ln_waiting {
        if let Some(qp) = place.get() {
            place.set(None);
            qenable(qp);
        }
    }
    mutex_exit(&loans.ln_lock);
}

fn close(rq: &'static Queue) {
    qprocsoff(rq);
    let loans = &streams().loans;
    mutex_enter(&loans.ln_lock);
    for place in loans.ln_waiting.iter().filter(|place| place.is(rq)) {
        place.set(None);
    }
    mutex_exit(&loans.ln_lock);
}

static INFO: ModuleInfo = info(13, "loan");
static RD: Qinit = Qinit {
    qi_putp: bufmod::put,
    qi_srvp: Some(rsrv),
    qi_qopen: Some(open),
    qi_qclose: Some(close),
    qi_minfo: &INFO,
};
static WR: Qinit =
    Qinit { qi_putp: putnext, qi_srvp: None, qi_qopen: None, qi_qclose: None, qi_minfo: &INFO };
static TAB: Streamtab = Streamtab { st_rdinit: &RD, st_wrinit: &WR, st_muxrinit: None, st_muxwinit: None };

/// The module.
pub(super) static MODULE: Fmodsw = Fmodsw { f_name: "loan", f_str: &TAB, f_flag: D_MP | D_MTQPAIR };
