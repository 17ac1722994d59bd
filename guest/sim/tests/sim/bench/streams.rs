//! Threads that run code of a test in a kernel with STREAMS.
//!
//! # Invariants
//! - What fails inside ends the guest with the message; `run_until_ok` shows it.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Bench, Program, SECOND, thread};
use umpire_kernel::platform;
use umpire_kernel::streams::StreamsState;
use umpire_kernel::streams::allocb::allocb;
use umpire_kernel::streams::message::Mblk;
use umpire_kernel::streams::module::{qattach, qdetach, stralloc, strfree};
use umpire_kernel::streams::plumb::{qprocsoff, qprocson};
use umpire_kernel::streams::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab, Writer};
use umpire_kernel::streams::stdata::Stdata;
use umpire_kernel::time::callout::sleep_until;
use umpire_shared::program::class::SYS;
use umpire_shared::sys::conf::{
    D_MP, D_MTOCEXCL, D_MTOUTPERIM, D_MTPERMOD, D_MTPERQ, D_MTPUTSHARED, D_MTQPAIR,
};
use umpire_shared::tunable;
use umpire_shared::work::compute::Spin;

/// Bytes for messages: room for everything that a test does.
pub const STRMEM: i64 = 1 << 20;

/// A program with STREAMS and these threads of class SYS, by priority and CPU.
pub fn program(ncpus: u32, threads: &[(i32, i32)]) -> Program {
    let p = Program::new(ncpus).tunable(tunable::STRMEM, STRMEM).tunable(tunable::HZ, 1000);
    threads.iter().fold(p, |p, &(pri, cpu)| p.thread(thread("body", SYS, pri, cpu, Spin::defaults())))
}

/// Boots a program whose scenario thread `n` runs `body(n)` and then sleeps for ever.
pub fn boot(program: &Program, seed: u64, body: impl Fn(usize) + 'static) -> Bench {
    let mut sim = program.boot(seed);
    let (first, count) = (sim.kernel().k_ncpus, sim.kernel().k_nthreads);
    sim.run_instead(move |t| {
        if !(first..first + count).contains(&t.t_did) {
            return false;
        }
        body((t.t_did - first) as usize);
        sleep_until(u64::MAX / 2);
        true
    });
    sim
}

/// Runs `body` in one thread of a machine of one CPU, to its end.
pub fn alone(seed: u64, body: impl Fn() + 'static) -> Bench {
    to_the_end(&program(1, &[(60, 0)]), seed, body)
}

/// Runs `body` in the thread of a program that has one, to its end.
pub fn to_the_end(program: &Program, seed: u64, body: impl Fn() + 'static) -> Bench {
    let done = std::rc::Rc::new(std::cell::Cell::new(false));
    let is_done = std::rc::Rc::clone(&done);
    let mut sim = boot(program, seed, move |_| {
        body();
        is_done.set(true);
    });
    sim.run_until_ok(SECOND);
    assert!(done.get(), "seed {seed}: the test's thread did not come to its end");
    sim
}

/// STREAMS of the kernel that the calling thread is in.
pub fn state() -> &'static StreamsState {
    &platform::kernel().k_streams
}

/// A procedure of a test's module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proc {
    /// Read side's put.
    Rput,
    /// Write side's put.
    Wput,
    /// Read side's service.
    Rsrv,
    /// Write side's service.
    Wsrv,
    /// Its open, before `qprocson`.
    Open,
    /// Its close, before `qprocsoff`.
    Closing,
    /// Its close, after `qprocsoff`.
    Closed,
    /// What `qwriter` calls; the module is number [`WRITERS`].
    Writer,
}

/// The module number of [`Proc::Writer`].
pub const WRITERS: usize = 99;

/// What modules of tests give `qwriter`.
pub static WRITER: Writer = Writer(|qp, mp| call(WRITERS, Proc::Writer, qp, Some(mp)));

/// What a test's modules do: module number, procedure, queue, message.
type Hook = Rc<dyn Fn(usize, Proc, &'static Queue, Option<&'static Mblk>)>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Says what the modules of the test do.
pub fn hook(of: impl Fn(usize, Proc, &'static Queue, Option<&'static Mblk>) + 'static) {
    HOOK.set(Some(Rc::new(of)));
}

fn call(module: usize, what: Proc, qp: &'static Queue, mp: Option<&'static Mblk>) {
    // Cloned: the procedure may be suspended, and others come here meanwhile.
    let hook = HOOK.with_borrow(Clone::clone).expect("the test says what its modules do");
    hook(module, what, qp, mp);
}

fn put<const M: usize>(qp: &'static Queue, mp: &'static Mblk) {
    call(M, if qp.is_read() { Proc::Rput } else { Proc::Wput }, qp, Some(mp));
}

fn service<const M: usize>(qp: &'static Queue) {
    call(M, if qp.is_read() { Proc::Rsrv } else { Proc::Wsrv }, qp, None);
}

fn open<const M: usize>(rq: &'static Queue, _: u32, _: u32, _: u32) -> u32 {
    call(M, Proc::Open, rq, None);
    qprocson(rq);
    0
}

fn close<const M: usize>(rq: &'static Queue) {
    call(M, Proc::Closing, rq, None);
    qprocsoff(rq);
    call(M, Proc::Closed, rq, None);
}

/// The procedures of module `M`, with service procedures on the sides that say so.
const fn side<const M: usize>(has_service: bool, info: &'static ModuleInfo) -> Qinit {
    Qinit {
        qi_putp: put::<M>,
        qi_srvp: if has_service { Some(service::<M>) } else { None },
        qi_qopen: Some(open::<M>),
        qi_qclose: Some(close::<M>),
        qi_minfo: info,
    }
}

/// Declares a module of a test: name, number, perimeter, and which sides have service procedures (read, write).
macro_rules! module {
    ($name:ident, $m:literal, $flag:expr, $rsrv:literal, $wsrv:literal) => {
        pub static $name: Fmodsw = {
            static INFO: ModuleInfo = ModuleInfo {
                mi_idnum: $m,
                mi_idname: stringify!($name),
                mi_minpsz: 0,
                mi_maxpsz: -1,
                mi_hiwat: 512,
                mi_lowat: 128,
            };
            static RD: Qinit = side::<$m>($rsrv, &INFO);
            static WR: Qinit = side::<$m>($wsrv, &INFO);
            static TAB: Streamtab =
                Streamtab { st_rdinit: &RD, st_wrinit: &WR, st_muxrinit: None, st_muxwinit: None };
            Fmodsw { f_name: stringify!($name), f_str: &TAB, f_flag: $flag }
        };
    };
}

module!(HEAD, 0, D_MP, false, true);
module!(QUEUED, 1, D_MP | D_MTQPAIR, true, true);
module!(PLAIN, 2, D_MP, false, false);
module!(PAIR, 3, D_MP | D_MTQPAIR, false, false);
module!(PERQ, 4, D_MP | D_MTPERQ, false, false);
module!(PERMOD, 5, D_MP | D_MTPERMOD, false, false);
module!(PUTSHARED, 6, D_MP | D_MTQPAIR | D_MTPUTSHARED, false, false);
module!(OUTER, 7, D_MP | D_MTQPAIR | D_MTPUTSHARED | D_MTOUTPERIM, false, false);
module!(OCEXCL, 8, D_MP | D_MTQPAIR | D_MTOUTPERIM | D_MTOCEXCL, false, false);
module!(SERVICED, 9, D_MP | D_MTPERMOD, true, true);
module!(MIXED, 10, D_MP | D_MTQPAIR | D_MTPUTSHARED, true, true);

/// A stream of these modules, from the one below the head to the driver; its head is `HEAD`.
pub fn stream(modules: &[&'static Fmodsw]) -> &'static Stdata {
    let stp = stralloc(&HEAD).expect("memory");
    for (n, fp) in modules.iter().rev().enumerate() {
        qattach(stp, fp, 0, n == 0).expect("it opens");
    }
    stp
}

/// Takes the stream apart from the head down, and frees it.
pub fn close_stream(stp: &'static Stdata, modules: &[&'static Fmodsw]) {
    for fp in modules {
        let rq = stp.wrq().q_next.get().expect("a module").rd();
        qdetach(rq, fp);
    }
    strfree(stp, &HEAD);
}

/// A message of 16 bytes: who sent it, and its number there.
pub fn tagged(source: u64, n: u64) -> &'static Mblk {
    let mp = allocb(16).expect("memory");
    assert!(mp.append_u64(source) && mp.append_u64(n));
    mp
}

/// What [`tagged`] wrote.
pub fn tag(mp: &Mblk) -> (u64, u64) {
    (mp.u64_at(0).expect("a source"), mp.u64_at(8).expect("a number"))
}
