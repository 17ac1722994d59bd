//! A host that takes vCPUs off on purpose: for tests of what a host can do to a verdict.
//!
//! On KVM one vCPU at a time is kicked out of the guest, as one is that is asked where it stands, and its thread sleeps before it goes
//! in again. To the vCPU's clocks that is a wait for a host CPU.
//!
//! # Invariants
//! - Both numbers are from 10 us to 1 s.
//! - A vCPU that is away comes back at once when the machine is stopped.
//!
//! ```text
//!   disturber                     vCPU thread
//!   asides[cpu] = ns
//!   fence, kick                   KVM_RUN returns EINTR; immediate_exit = 0; fence
//!   waits for asides[cpu] == 0    asides[cpu]? -> sleeps for ns, or until must_stop
//!                                 asides[cpu] = 0, notify_all; KVM_RUN
//! ```

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{Ordering, fence};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::MachineError;
use super::vcpu::Shared;

/// What either number may be, in ns.
const RANGE: std::ops::RangeInclusive<u64> = 10_000..=1_000_000_000;

/// How often and for how long a host takes vCPUs off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostAbsence {
    /// Time between two absences, in ns, on average: of one vCPU in the simulator, where each is taken off by itself; of the
    /// machine on KVM.
    pub every_ns: u64,
    /// How long one lasts at most; at least a tenth of that.
    pub most_ns: u64,
}

impl HostAbsence {
    /// Such a host; `None` if a number is out of range.
    pub fn new(every_ns: u64, most_ns: u64) -> Option<HostAbsence> {
        (RANGE.contains(&every_ns) && RANGE.contains(&most_ns)).then_some(HostAbsence { every_ns, most_ns })
    }
}

/// Starts a thread that puts vCPUs aside until the machine is stopped, at moments that `seed` draws.
///
/// # Errors
/// [`MachineError::Os`] if the host refuses the thread.
pub(super) fn disturb(
    shared: Arc<Shared>,
    ncpus: usize,
    HostAbsence { every_ns, most_ns }: HostAbsence,
    seed: u64,
) -> Result<JoinHandle<()>, MachineError> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let live = move || {
        while shared.pause(Duration::from_nanos(rng.u64(0..=2 * every_ns))) {
            shared.put_aside(rng.usize(0..ncpus), rng.u64(most_ns / 10..=most_ns));
        }
    };
    let spawned = std::thread::Builder::new().name("disturber".to_owned()).spawn(live);
    spawned.map_err(|e| MachineError::os("start a thread that puts vCPUs aside", e))
}

impl Shared {
    /// Sleeps for so long; false if the machine is to stop.
    fn pause(&self, time: Duration) -> bool {
        let goes_on = |_: &mut _| !self.must_stop();
        drop(self.changed.wait_timeout_while(self.lock(), time, goes_on));
        !self.must_stop()
    }

    /// Has a vCPU stay out of the guest for so many ns, and waits until it is back.
    pub(super) fn put_aside(&self, cpu: usize, ns: u64) {
        self.asides[cpu].store(ns, Ordering::Release);
        fence(Ordering::SeqCst);
        self.kick(cpu);
        // Acquire is not needed: nothing is read that the vCPU's thread wrote before.
        let is_away = |_: &mut _| self.asides[cpu].load(Ordering::Relaxed) != 0 && !self.must_stop();
        let _back = self.changed.wait_while(self.lock(), is_away).unwrap_or_else(PoisonError::into_inner);
    }

    /// Stays away if that was asked for: called by the vCPU's own thread, outside the guest.
    pub(super) fn stay_away(&self, cpu: usize) {
        let ns = self.asides[cpu].load(Ordering::Acquire);
        if ns == 0 {
            return;
        }
        let since = Instant::now();
        self.clocks.begin_aside(cpu);
        self.pause(Duration::from_nanos(ns));
        self.clocks.end_aside(cpu, since.elapsed());
        // Under the lock, so that the disturber does not fall asleep between its look and the wake-up.
        let state = self.lock();
        self.asides[cpu].store(0, Ordering::Release);
        drop(state);
        self.changed.notify_all();
    }
}
