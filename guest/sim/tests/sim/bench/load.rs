//! A busy mixed load: everything that a scenario may ask for.
//!
//! # Invariants
//! - The load is the same for every seed; only the interleaving differs.

use super::{Program, thread};
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::work;

/// Place of its soft ring, which nic0 feeds.
pub const MIXED_RING: usize = 14;

/// Spinners in both modes, sleepers, lock users, a ping-pong pair, a bound soft ring with its squeue, and an interrupt.
pub fn mixed(ncpus: u32) -> Program {
    let mut p = Program::new(ncpus);
    for n in 0..4 {
        let mut spin = thread("spin", TS, 20 + n, -1, work::SPIN);
        spin.args[..2].copy_from_slice(&[u64::from(n % 2 == 0), 50]);
        p = p.thread(spin);
    }
    for n in 0..4 {
        let (class, pri) = if n < 2 { (TS, 30) } else { (SYS, 60 + n) };
        let mut periodic = thread("periodic", class, pri, -1, work::PERIODIC);
        periodic.args[..3].copy_from_slice(&[300, 1 + n as u64, 0]);
        p = p.thread(periodic);
    }
    for n in 0..4 {
        let mut mix = thread("lock_mix", TS, 10 * n, -1, work::LOCK_MIX);
        mix.args[..4].copy_from_slice(&[0, 10, 20, u64::from(n == 0)]);
        p = p.thread(mix);
    }
    let first = 12;
    for n in 0..2 {
        let mut ping = thread("ping", TS, 40, if n == 0 { -1 } else { 0 }, work::PINGPONG);
        ping.args[0] = first + 1 - n;
        p = p.thread(ping);
    }
    let mut ring = thread("ring", SYS, 99, (ncpus - 1) as i32, work::SOFT_RING);
    ring.args[..3].copy_from_slice(&[0, 15, 5]);
    let mut squeue = thread("squeue", SYS, 99, -1, work::SQUEUE);
    squeue.args[..2].copy_from_slice(&[5, work::NOBODY]);
    p.thread(ring).thread(squeue).interrupt("nic0", 0, 6, 2000)
}

/// A load in which everybody gets on within half a second: time sharers in user mode, sleepers of both classes at every
/// kind of queue, and a soft ring.
pub fn fair(ncpus: u32) -> Program {
    let mut p = Program::new(ncpus);
    for n in 0..4 {
        let mut spin = thread("spin", TS, 20 + n, -1, work::SPIN);
        spin.args[..2].copy_from_slice(&[1, 200]);
        p = p.thread(spin);
        let (class, pri) = if n < 2 { (TS, 30) } else { (SYS, 97 + n) };
        let mut periodic = thread("periodic", class, pri, -1, work::PERIODIC);
        periodic.args[..2].copy_from_slice(&[300, 1 + n as u64]);
        p = p.thread(periodic);
    }
    let mut ring = thread("ring", SYS, 99, -1, work::SOFT_RING);
    ring.args[..3].copy_from_slice(&[0, work::NOBODY, 5]);
    p.thread(ring).interrupt("nic0", 0, 6, 1000)
}
