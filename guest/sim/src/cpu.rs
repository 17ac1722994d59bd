//! A simulated CPU: its clock, and what is on its way to it. Its priority level and what is pending are in the kernel's `cpu_m`.
//!
//! # Invariants
//! - `time` never goes back.
//! - A CPU is halted only while nothing is pending.

use std::cell::Cell;

use crate::host::Away;
use umpire_kernel::Kthread;

/// "Never".
pub(crate) const NEVER: u64 = u64::MAX;

/// One simulated CPU.
#[derive(Debug)]
pub(crate) struct SimCpu {
    /// Virtual ns since boot.
    pub(crate) time: Cell<u64>,
    /// ns of `time` spent halted.
    pub(crate) halted_ns: Cell<u64>,
    /// True while halted.
    pub(crate) is_halted: Cell<bool>,
    /// When the computing that it has begun ends, 0 if it is not in the middle of any.
    pub(crate) busy_until: Cell<u64>,
    /// When the one-shot timer fires.
    pub(crate) timer: Cell<u64>,
    /// When the next poke arrives.
    pub(crate) poke: Cell<u64>,
    /// When the next cross call's interrupt arrives.
    pub(crate) xcall: Cell<u64>,
    /// Interrupts that it has taken.
    pub(crate) taken: Cell<u64>,
    /// The thread that runs here.
    pub(crate) curthread: Cell<Option<&'static Kthread>>,
    /// True once it may run.
    pub(crate) is_started: Cell<bool>,
    /// When the host takes it off.
    pub(crate) away: Away,
}

impl SimCpu {
    /// A CPU at time 0.
    pub(crate) fn new() -> SimCpu {
        SimCpu {
            time: Cell::new(0),
            halted_ns: Cell::new(0),
            is_halted: Cell::new(false),
            busy_until: Cell::new(0),
            timer: Cell::new(NEVER),
            poke: Cell::new(NEVER),
            xcall: Cell::new(NEVER),
            taken: Cell::new(0),
            curthread: Cell::new(None),
            is_started: Cell::new(false),
            away: Away::new(),
        }
    }

    /// When it will next do something: at the end of what it computes or at an interrupt, whichever comes first;
    /// at its next interrupt if it is halted; else now.
    #[inline]
    pub(crate) fn next_step(&self) -> u64 {
        if !self.is_started.get() {
            NEVER
        } else if self.is_halted.get() {
            self.next_interrupt().max(self.time.get())
        } else if self.busy_until.get() != 0 {
            self.next_interrupt().min(self.busy_until.get()).max(self.time.get())
        } else {
            self.time.get()
        }
    }

    /// When the next interrupt arrives.
    #[inline]
    pub(crate) fn next_interrupt(&self) -> u64 {
        self.timer.get().min(self.poke.get()).min(self.xcall.get())
    }

    /// ns up to `now` in which the host had taken it off.
    pub(crate) fn away_ns(&self, now: u64) -> u64 {
        self.away.total_ns() - self.time.get().saturating_sub(now).min(self.away.total_ns())
    }

    /// ns that it has run, neither halted nor taken off, up to `now`.
    pub(crate) fn ran_ns(&self, now: u64) -> u64 {
        let upto = if self.is_halted.get() { self.time.get() } else { self.time.get().max(now) };
        upto - self.halted_ns.get() - self.away.total_ns()
    }
}
