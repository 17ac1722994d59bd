//! Modules and drivers: each is one file and one line of [`FMODSW`] or [`DRIVERS`].
//!
//! | file | what |
//! |---|---|
//! | `pass.rs` | passes on |
//! | `stack_eater.rs` | passes on from deep in the stack |
//! | `bufmod.rs` | queues on both sides and passes on from its service procedures |
//! | `frag.rs` | cuts what goes down into fragments and puts together what comes up |
//! | `loan.rs` | hands up in buffers of its own, which come back |
//! | `ldterm.rs` | a line discipline: lines, erase and kill, echo |
//! | `loopback.rs` | a driver that sends back what it gets |
//! | `timod.rs`, `udp.rs`, `ip.rs` | an application's end, transport and network of a connectionless protocol |
//! | `solo.rs` | passes on, and notices who else is inside its perimeter |
//! | `sink.rs` | a driver that takes what it gets |
//! | `tl.rs` | a transport from one stream of it to another |
//! | `mux.rs` | a multiplexor: streams above it, and streams linked below |
//!
//! # Invariants
//! - A module's procedures know nothing but their queue and its private words; what all instances share is behind a perimeter.

use super::message::{Mblk, m};
use super::queue::{Fmodsw, ModuleInfo, Queue};
use super::strioctl::{Iocblk, Words};
use crate::cell::Cell;
use umpire_shared::sys::stream::INFPSZ;

mod bufmod;
mod frag;
mod ip;
mod ldterm;
mod loan;
mod loopback;
mod mux;
mod pass;
mod sink;
mod solo;
mod stack_eater;
mod timod;
mod tl;
mod udp;

pub use self::loan::Loans;

/// Modules, by which a program may push them.
pub const FMODSW: &[&Fmodsw] = &[
    &pass::MODULE,
    &bufmod::MODULE,
    &stack_eater::MODULE,
    &ldterm::MODULE,
    &timod::MODULE,
    &udp::MODULE,
    &solo::MODULE,
    &frag::MODULE,
    &loan::MODULE,
];
/// Drivers.
pub const DRIVERS: &[&Fmodsw] = &[&loopback::DRIVER, &sink::DRIVER, &ip::DRIVER, &mux::DRIVER, &tl::DRIVER];

/// The numbers of a module with usual marks.
const fn info(mi_idnum: u16, mi_idname: &'static str) -> ModuleInfo {
    ModuleInfo { mi_idnum, mi_idname, mi_minpsz: 0, mi_maxpsz: INFPSZ, mi_hiwat: 2048, mi_lowat: 512 }
}

/// An open procedure of which there is nothing to say.
fn open(rq: &'static Queue, _dev: u32, _flag: u32, _sflag: u32) -> u32 {
    super::plumb::qprocson(rq);
    0
}

/// A close procedure of which there is nothing to say.
fn close(rq: &'static Queue) {
    super::plumb::qprocsoff(rq);
}

/// A message that goes no further, for want of room or of somebody to have it: it is counted and freed.
fn lose(qp: &'static Queue, mp: &'static Mblk) {
    super::counts::lost(qp.stream());
    super::allocb::freemsg(mp);
}

/// Says no to an ioctl, and why.
fn refuse(qp: &'static Queue, mp: &'static Mblk, error: u32) {
    mp.set_type(m::IOCNAK);
    if let Some(ioc) = Iocblk::get(mp) {
        Iocblk { error: u64::from(error), ..ioc }.put(mp);
    }
    super::putnext::qreply(qp, mp);
}

/// A service procedure that passes on as long as there is room.
fn pass_on(qp: &'static Queue) {
    while let Some(mp) = super::putq::getq(qp) {
        if mp.queclass() != super::message::QPCTL && !super::flow::bcanputnext(qp, mp.b_band.get()) {
            super::putq::putbq(qp, mp);
            return;
        }
        super::putnext::putnext(qp, mp);
    }
}
