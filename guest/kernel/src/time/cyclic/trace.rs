//! The cyclic trace (`cyclic.c CYC_TRACE`): what each CPU's cyclics did last, for a debugger.
//!
//! # Invariants
//! - Nothing is kept unless `cyc_trace` was set at boot: then there are no buffers, which is all that a caller has to find out.
//! - A CPU writes into its own buffer only. Its timer may interrupt its soft interrupt: each claims its record before it writes, and
//!   the other has the next one.
//! - The buffer is for people: a reader from outside may meet a record that is being written.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::cell::Cell;
use crate::platform;

/// Records that a CPU keeps (`CY_NTRACEREC`).
pub const CY_NTRACEREC: usize = 512;

/// A record (`cyc_tracerec_t`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct CycTraceRec {
    /// When, in ns of `gethrtime`; 0 before anything was written.
    pub cyt_tstamp: AtomicU64,
    /// What was done to: mostly a slot of the CPU's cyclics.
    pub cyt_arg0: AtomicU64,
    /// With what: a time, or how many calls are owed.
    pub cyt_arg1: AtomicU64,
    /// One of [`umpire_shared::sys::cyclic::why`].
    pub cyt_why: AtomicU8,
}

/// The records of a CPU (`cyc_tracebuf_t`).
#[repr(C)]
#[derive(Debug)]
pub struct CycTraceBuf {
    /// Records ever written; record `n` is at `n % CY_NTRACEREC`.
    pub cyt_ndx: AtomicU32,
    /// The last of them.
    pub cyt_buf: Box<[CycTraceRec]>,
}

impl CycTraceBuf {
    /// Without a record.
    pub(super) fn new() -> CycTraceBuf {
        let cyt_buf = (0..CY_NTRACEREC).map(|_| CycTraceRec::default()).collect();
        CycTraceBuf { cyt_ndx: AtomicU32::new(0), cyt_buf }
    }
}

/// Notes what this CPU does, if that is kept.
#[inline(always)]
pub(super) fn trace(why: u8, arg0: u64, arg1: u64) {
    let buffers = &platform::kernel().k_cyclic.cyc_trace;
    if !buffers.is_empty() {
        keep(&buffers[platform::cpu().cpu_id as usize], why, arg0, arg1);
    }
}

#[cold]
fn keep(buffer: &CycTraceBuf, why: u8, arg0: u64, arg1: u64) {
    // A read-modify-write, for the timer's interrupt may come in between. Nothing is ordered by it.
    let n = buffer.cyt_ndx.fetch_add(1, Ordering::Relaxed);
    let record = &buffer.cyt_buf[n as usize % CY_NTRACEREC];
    record.cyt_tstamp.set(platform::now());
    record.cyt_arg0.set(arg0);
    record.cyt_arg1.set(arg1);
    record.cyt_why.set(why);
}
