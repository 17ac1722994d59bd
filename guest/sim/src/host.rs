//! A host that has something else to do: it takes simulated CPUs off, each for a while, at moments that a seed draws.
//!
//! To a CPU that is off nothing happens: its clock jumps over the time, and interrupts that came meanwhile arrive afterwards. To the
//! others it stands still, wherever it was: with a lock held, between a flag and its poke, on the way out of its halt.
//!
//! # Invariants
//! - The moments come from a stream of their own, so that a host without absences changes nothing.
//! - A CPU can be taken off at each platform call, inside each stretch of computing, and when it wakes.

use std::cell::Cell;

use crate::cpu::{NEVER, SimCpu};
use crate::rng::Rng;

/// What makes this stream another than that of the simulation with the same seed.
const STREAM: u64 = 0x0bad_4057;
/// Platform calls that a CPU may get on with after its time has come, at most: most code between two stretches of computing, where
/// locks are held, is shorter.
const MOST_CALLS: u64 = 48;
/// One in so many wake-ups of a halted CPU is late.
const LATE_WAKE_ONE_IN: u64 = 8;

/// How often and for how long a host takes a CPU off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// Time between two absences of one CPU, in virtual ns, on average. At least 1.
    pub every_ns: u64,
    /// How long one lasts at most; at least a tenth of that. At least 10.
    pub most_ns: u64,
}

/// The host of a machine.
#[derive(Debug)]
pub(crate) struct Host {
    absence: Absence,
    rng: Rng,
}

/// When a CPU goes away next, and how long it was away.
#[derive(Debug)]
pub(crate) struct Away {
    next: Cell<u64>,
    /// Platform calls to come after that; 0: computing may be cut.
    calls: Cell<u64>,
    total_ns: Cell<u64>,
}

impl Away {
    /// Never.
    pub(crate) fn new() -> Away {
        Away { next: Cell::new(NEVER), calls: Cell::new(0), total_ns: Cell::new(0) }
    }

    /// When its time comes.
    #[inline(always)]
    pub(crate) fn next(&self) -> u64 {
        self.next.get()
    }

    /// When computing has to be cut for it.
    pub(crate) fn cut(&self) -> u64 {
        if self.calls.get() == 0 { self.next.get() } else { NEVER }
    }

    /// How long it was away in all, what is left of an absence included.
    pub(crate) fn total_ns(&self) -> u64 {
        self.total_ns.get()
    }
}

impl Host {
    /// The host of the simulation of this seed, which has these CPUs.
    pub(crate) fn new(absence: Absence, seed: u64, cpus: &[SimCpu]) -> Host {
        let host = Host { absence, rng: Rng::new(seed ^ STREAM) };
        cpus.iter().for_each(|cpu| host.plan(cpu));
        host
    }

    /// Takes the CPU off if its time has come.
    #[cold]
    pub(crate) fn look_at(&self, cpu: &SimCpu) {
        match cpu.away.calls.get() {
            0 => self.take_off(cpu),
            calls => cpu.away.calls.set(calls - 1),
        }
    }

    /// A halted CPU has woken: its thread may have to wait for its turn.
    pub(crate) fn wake(&self, cpu: &SimCpu) {
        if self.rng.below(LATE_WAKE_ONE_IN) == 0 {
            self.take_off(cpu);
        }
    }

    fn take_off(&self, cpu: &SimCpu) {
        let most = self.absence.most_ns;
        let ns = most / 10 + self.rng.below(most - most / 10 + 1);
        cpu.away.total_ns.set(cpu.away.total_ns.get() + ns);
        cpu.time.set(cpu.time.get() + ns);
        self.plan(cpu);
    }

    fn plan(&self, cpu: &SimCpu) {
        cpu.away.next.set(cpu.time.get() + 1 + self.rng.below(2 * self.absence.every_ns));
        cpu.away.calls.set(self.rng.below(2) * self.rng.below(MOST_CALLS));
    }
}
