//! Modules are pushed and popped, drivers attached: `qattach` and `qdetach` (`strsubr.c`).
//!
//! # Invariants
//! - An open procedure calls `qprocson`, a close procedure `qprocsoff`; a close that does not is a panic that names the module.
//! - Both run in the module's perimeter as open and close do.

use super::enter::{Entry, entersq, leavesq};
use super::plumb::{allocq, freeq, qprocsoff, set_nfsrv, setq, wait_q_syncq};
use super::queue::{Fmodsw, Queue, q, sflag};
use super::service::{stream_runservice, wait_service};
use super::stdata::Stdata;
use super::syncq::{devflg_to_qflag, sqtype};
use crate::cell::Cell;
use umpire_shared::errno;

/// A stream with a head and nothing below it; the head's procedures are those of `fp`.
///
/// # Errors
/// ENOSR without memory.
pub fn stralloc(fp: &'static Fmodsw) -> Result<&'static Stdata, u32> {
    let state = super::streams();
    let stp = state.stdata_cache.alloc(0, || state.stdatas.take()).ok_or(errno::ENOSR)?;
    let Some(rq) = allocq() else {
        state.stdata_cache.free(0, stp);
        return Err(errno::ENOSR);
    };
    stp.begin();
    let wq = rq.wr();
    rq.q_stream.set(Some(stp));
    wq.q_stream.set(Some(stp));
    // Heads have no perimeter, so nothing here can fail.
    let is_set = setq(rq, fp, q::QMTSAFE, sqtype::CI | sqtype::CO);
    debug_assert!(is_set, "a head shares no perimeter");
    rq.q_flag.set(rq.q_flag.get() | q::QEND);
    wq.q_flag.set(wq.q_flag.get() | q::QEND);
    set_nfsrv(rq);
    set_nfsrv(wq);
    stp.sd_wrq.set(Some(wq));
    Ok(stp)
}

/// Gives a stream back of which only the head is left.
pub fn strfree(stp: &'static Stdata, fp: &'static Fmodsw) {
    freeq(stp.wrq().rd(), fp);
    wait_service(stp);
    stp.sd_wrq.set(None);
    super::streams().stdata_cache.free(0, stp);
}

/// Opens an instance of a module below the stream head, or the stream's driver if `is_driver`; returns its read queue (`qattach`).
///
/// # Errors
/// The errno of the open procedure; EINVAL for perimeters that are none; ENXIO without memory.
pub fn qattach(
    stp: &'static Stdata,
    fp: &'static Fmodsw,
    dev: u32,
    is_driver: bool,
) -> Result<&'static Queue, u32> {
    let (qflag, sq_type) = devflg_to_qflag(fp.f_flag).map_err(|_| errno::EINVAL)?;
    let rq = allocq().ok_or(errno::ENXIO)?;
    let extra = q::_QINSERTING | if is_driver { q::QISDRV } else { 0 };
    rq.q_stream.set(Some(stp));
    rq.wr().q_stream.set(Some(stp));
    if !setq(rq, fp, qflag | extra, sq_type) {
        super::streams().queue_cache.free(0, rq.pair());
        return Err(errno::ENXIO);
    }
    if !is_driver {
        rq.q_fp.set(Some(fp));
        rq.wr().q_fp.set(Some(fp));
    }
    let open = rq.qinfo().qi_qopen;
    let kind = if is_driver { sflag::DRVOPEN } else { sflag::MODOPEN };
    let sqp = rq.syncq();
    entersq(sqp, Entry::OpenClose);
    let error = open.map_or(0, |open| open(rq, dev, 0, kind));
    if error != 0 && !rq.has(q::_QINSERTING) {
        qprocsoff(rq);
    }
    leavesq(sqp, Entry::OpenClose);
    if error == 0 {
        return Ok(rq);
    }
    freeq(rq, fp);
    Err(error)
}

/// Closes an instance and gives its queues back (`qdetach`).
///
/// # Panics
/// If its close procedure has not called `qprocsoff`.
pub fn qdetach(rq: &'static Queue, fp: &'static Fmodsw) {
    stream_runservice(rq.stream());
    wait_q_syncq(rq.wr());
    let sqp = rq.syncq();
    entersq(sqp, Entry::OpenClose);
    if let Some(close) = rq.qinfo().qi_qclose {
        close(rq);
    }
    assert!(rq.has(q::QWCLOSE), "qdetach: module {} has not called qprocsoff", fp.f_name);
    leavesq(sqp, Entry::OpenClose);
    freeq(rq, fp);
}
