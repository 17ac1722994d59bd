//! A busy mixed load: everything that a scenario may ask for.
//!
//! # Invariants
//! - The load is the same for every seed; only the interleaving differs.

use super::{Program, thread};
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::work::compute::{LockMix, Mode, Periodic, Spin};
use umpire_shared::work::network::{SoftRing, Squeue};
use umpire_shared::work::pair::Pingpong;
use umpire_shared::work::{IntrRef, ThreadRef};

/// Spinners in both modes, sleepers, lock users, a ping-pong pair, a bound soft ring with its squeue, and an interrupt.
pub fn mixed(ncpus: u32) -> Program {
    let mut p = Program::new(ncpus);
    for n in 0..4 {
        let spin = thread(
            "spin",
            TS,
            20 + n,
            -1,
            Spin { mode: if n % 2 == 0 { Mode::User } else { Mode::Kernel }, ..Spin::defaults() },
        );
        p = p.thread(spin);
    }
    for n in 0..4 {
        let (class, pri) = if n < 2 { (TS, 30) } else { (SYS, 60 + n) };
        let periodic = thread(
            "periodic",
            class,
            pri,
            -1,
            Periodic { busy_us: 300, sleep_ticks: 1 + n as u64, ..Periodic::defaults() },
        );
        p = p.thread(periodic);
    }
    for n in 0..4 {
        let mix = thread(
            "lock_mix",
            TS,
            10 * n,
            -1,
            LockMix { hold_us: 10, rest_ticks: u64::from(n == 0), ..LockMix::defaults() },
        );
        p = p.thread(mix);
    }
    let first = 12;
    for n in 0..2 {
        let ping =
            thread("ping", TS, 40, if n == 0 { -1 } else { 0 }, Pingpong::defaults(ThreadRef(first + 1 - n)));
        p = p.thread(ping);
    }
    let ring = thread(
        "ring",
        SYS,
        99,
        (ncpus - 1) as i32,
        SoftRing { sink: Some(ThreadRef(15)), ..SoftRing::defaults(IntrRef(0)) },
    );
    let squeue = thread("squeue", SYS, 99, -1, Squeue::defaults());
    p.thread(ring).thread(squeue).interrupt("nic0", 0, 6, 2000)
}

/// A load in which every thread makes progress within half a second: time sharers in user mode, sleepers of both classes on every
/// kind of queue, and a soft ring.
pub fn fair(ncpus: u32) -> Program {
    let mut p = Program::new(ncpus);
    for n in 0..4 {
        let spin =
            thread("spin", TS, 20 + n, -1, Spin { mode: Mode::User, chunk_us: 200, ..Spin::defaults() });
        p = p.thread(spin);
        let (class, pri) = if n < 2 { (TS, 30) } else { (SYS, 97 + n) };
        let periodic = thread(
            "periodic",
            class,
            pri,
            -1,
            Periodic { busy_us: 300, sleep_ticks: 1 + n as u64, ..Periodic::defaults() },
        );
        p = p.thread(periodic);
    }
    let ring = thread("ring", SYS, 99, -1, SoftRing::defaults(IntrRef(0)));
    p.thread(ring).interrupt("nic0", 0, 6, 1000)
}
