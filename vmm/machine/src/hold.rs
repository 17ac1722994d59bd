//! Vcpus that are held: out of the guest for as long as somebody wants, with their registers to be read and set.
//!
//! # Invariants
//! - A vCPU is held while it is stopped, pinned, or a debugger keeps it. It is stopped and let go by whoever controls the machine; a
//!   pin is one holder's, and lasts for as long as its [`Pins`] live; a debugger's hold ends with the debugger.
//! - A held vCPU comes back at once when the machine is to stop for good.
//! - While every vCPU is out of the guest, the machine's time stands still: [`Shared::held`] says for how long it has in all, and before
//!   the first goes on the guest's clock is set back by that time, in the boot block: the counter itself cannot be, where the guest
//!   reads the host's (PVM). While only some are held, those are away, as if the host had something else to run.
//! - What is asked of a held vCPU is done by its own thread, outside the guest.
//! - One that is let go is out for as long as its thread takes to wake. If it is held again before that, it is where it was:
//!
//! ```text
//!   debugger                      vCPU thread
//!   lets it go                    (sleeps)
//!   another vCPU stops: holds it
//!   reads its registers           wakes; it is held: sleeps again
//! ```
//!
//! ```text
//!   holder                        vCPU thread
//!   stays[cpu] = true             loop: stays[cpu]? -> notes registers, is_out = true, sleeps
//!   fence, kick                         KVM_RUN   <- returns EINTR; immediate_exit = 0; fence; loop
//!   waits for is_out
//! ```

use std::mem::offset_of;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use kvm_ioctls::VcpuFd;
use umpire_shared::boot::{BOOT_BLOCK, BootBlock};

use super::debug::Go;
use super::memory::{GuestMemory, GuestRam};
use super::registers::Registers;
use super::trap::{self, Stepper};
use super::tsc::host_tsc;
use super::vcpu::{Shared, State};

/// For how long a vCPU may take to come out of the guest, and a held one to do what it is asked.
pub(super) const HOLD_LIMIT: Duration = Duration::from_secs(2);

/// vCPUs that did not do as they were told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// There is no such vCPU.
    #[error("there is no CPU {cpu}: the machine has {ncpus}")]
    NoSuchCpu {
        /// What was asked for.
        cpu: u32,
        /// How many there are.
        ncpus: u32,
    },
    /// They are still in the guest.
    #[error("CPUs {0:?} did not come out of the guest within 2 s; the host may be too busy: try again")]
    Stuck(Vec<u32>),
    /// Registers can be had of a held vCPU only.
    #[error("CPU {0} runs, or has ended: stop it first")]
    Runs(u32),
    /// It is at work inside the gate, or KVM refused.
    #[error(
        "CPU {0} cannot have other registers now: it is at work in ring 0 for an interrupt; let it run for a moment"
    )]
    Refused(u32),
}

/// What is asked of a held vCPU.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    /// Go on with these general registers.
    Set(Registers),
}

/// What is known of who is held.
#[derive(Debug, Default)]
pub(super) struct Holds {
    cpus: Vec<Hold>,
    /// Since when every vCPU has been out of the guest, and the host's time-stamp counter then.
    whole_since: Option<(Instant, u64)>,
    /// How long that was the case before.
    held: Duration,
    /// By how many counts the guest's clock is still to be set back.
    owed: u64,
}

#[derive(Debug, Default)]
struct Hold {
    is_stopped: bool,
    pins: u32,
    /// A debugger keeps it.
    is_debugged: bool,
    /// It is to step when it next goes on.
    step: Option<Range<u64>>,
    /// The vCPU's thread is out of the guest, and stays there.
    is_out: bool,
    order: Option<Order>,
    /// Whether the last order could be carried out.
    done: Option<bool>,
}

impl Hold {
    fn is_wanted(&self) -> bool {
        self.is_stopped || self.pins > 0 || self.is_debugged
    }
}

impl Holds {
    pub(super) fn new(ncpus: usize) -> Holds {
        Holds { cpus: (0..ncpus).map(|_| Hold::default()).collect(), ..Holds::default() }
    }

    fn held(&self) -> Duration {
        self.held + self.whole_since.map_or(Duration::ZERO, |(since, _)| since.elapsed())
    }

    /// By how many counts the guest's clock is behind the counter for a time in which every vCPU was held, and does not know it yet.
    pub(super) fn owed(&self) -> u64 {
        let going_on = self.whole_since.map_or(0, |(_, count)| host_tsc().saturating_sub(count));
        self.owed.saturating_add(going_on)
    }

    fn are_wanted(&self) -> bool {
        self.cpus.iter().all(Hold::is_wanted)
    }

    /// Begins or ends the time in which every vCPU is out of the guest, as it is now, among those that live.
    fn settle_whole(&mut self, live: &[u32]) {
        let is_whole = self.are_wanted() && live.iter().all(|&cpu| self.cpus[cpu as usize].is_out);
        if is_whole {
            self.whole_since.get_or_insert_with(|| (Instant::now(), host_tsc()));
        } else if let Some((since, count)) = self.whole_since.take() {
            self.held += since.elapsed();
            self.owed += host_tsc().saturating_sub(count);
        }
    }

    /// True if a vCPU is out of the guest and stays there.
    fn is_still(&self, cpu: usize) -> bool {
        let hold = &self.cpus[cpu];
        hold.is_out && hold.is_wanted()
    }

    /// True if a vCPU is out of the guest and about to go on.
    pub(super) fn is_going(&self, cpu: usize) -> bool {
        let hold = &self.cpus[cpu];
        hold.is_out && !hold.is_wanted()
    }

    /// Has a debugger keep every vCPU, or none.
    pub(super) fn set_debugged(&mut self, is_debugged: bool) {
        for hold in &mut self.cpus {
            (hold.is_debugged, hold.step) = (is_debugged, None);
        }
    }

    /// Lets those go on that a debugger wants to.
    pub(super) fn let_debugged_go(&mut self, plan: &[Go]) {
        for (hold, go) in self.cpus.iter_mut().zip(plan) {
            hold.is_debugged = *go == Go::Stay;
            hold.is_stopped &= *go == Go::Stay;
            hold.step = if let Go::Step(range) = go { Some(range.clone()) } else { None };
        }
    }
}

/// Keeps vCPUs held while it lives.
#[derive(Debug)]
#[must_use = "the vCPUs go on when the pins are dropped"]
pub struct Pins {
    shared: Arc<Shared>,
    cpu: Option<usize>,
}

impl Pins {
    /// Pins a vCPU, or all; they are out of the guest when this comes back.
    pub(super) fn of(shared: &Arc<Shared>, cpu: Option<u32>) -> Result<Pins, HoldError> {
        let cpu = shared.check(cpu)?;
        shared.change(cpu, |hold| hold.pins += 1);
        let pins = Pins { shared: Arc::clone(shared), cpu };
        shared.await_out(cpu)?;
        Ok(pins)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        self.shared.change(self.cpu, |hold| hold.pins -= 1);
    }
}

impl Shared {
    /// Stops a vCPU, or all; they are out of the guest when this comes back.
    pub(super) fn stop_cpus(&self, cpu: Option<u32>) -> Result<(), HoldError> {
        let cpu = self.check(cpu)?;
        self.change(cpu, |hold| hold.is_stopped = true);
        self.await_out(cpu)
    }

    /// Lets a vCPU, or all, go on, unless somebody pins it.
    pub(super) fn let_go(&self, cpu: Option<u32>) -> Result<(), HoldError> {
        let cpu = self.check(cpu)?;
        self.change(cpu, |hold| hold.is_stopped = false);
        Ok(())
    }

    /// Which vCPUs are held.
    pub(super) fn are_held(&self) -> Vec<bool> {
        self.lock().holds.cpus.iter().map(Hold::is_wanted).collect()
    }

    /// True while every vCPU is held. It may change at once; who wants to wait for that waits in [`Shared::wait_while_held`].
    pub(super) fn is_frozen(&self) -> bool {
        self.is_frozen.load(Ordering::Acquire)
    }

    /// Sleeps while every vCPU is held, until `limit` at most or until the machine is to stop.
    pub(super) fn wait_while_held(&self, limit: Duration) {
        let is_whole = |s: &mut State| s.holds.are_wanted() && !self.must_stop();
        drop(self.changed.wait_timeout_while(self.lock(), limit, is_whole));
    }

    /// Sleeps while every vCPU is held, until `limit` at most.
    pub(super) fn wait_until_let_go(&self, limit: Duration) {
        let is_whole = |s: &mut State| s.holds.are_wanted();
        drop(self.changed.wait_timeout_while(self.lock(), limit, is_whole));
    }

    /// For how long every vCPU has been held.
    pub(super) fn held(&self) -> Duration {
        self.lock().holds.held()
    }

    /// Gives a held vCPU other registers.
    pub(super) fn set_registers(&self, cpu: u32, registers: Registers) -> Result<(), HoldError> {
        self.order(cpu, Order::Set(registers))
    }

    pub(super) fn order(&self, cpu: u32, order: Order) -> Result<(), HoldError> {
        self.check(Some(cpu))?;
        let n = cpu as usize;
        let mut state = self.lock();
        if !state.holds.is_still(n) {
            return Err(HoldError::Runs(cpu));
        }
        (state.holds.cpus[n].order, state.holds.cpus[n].done) = (Some(order), None);
        self.changed.notify_all();
        let is_open = |s: &mut State| s.holds.is_still(n) && s.holds.cpus[n].done.is_none();
        let waited = self.changed.wait_timeout_while(state, HOLD_LIMIT, is_open);
        match waited.unwrap_or_else(PoisonError::into_inner).0.holds.cpus[n].done.take() {
            Some(true) => Ok(()),
            Some(false) => Err(HoldError::Refused(cpu)),
            None => Err(HoldError::Runs(cpu)),
        }
    }

    fn check(&self, cpu: Option<u32>) -> Result<Option<usize>, HoldError> {
        let ncpus = self.stays.len() as u32;
        match cpu {
            Some(cpu) if cpu >= ncpus => Err(HoldError::NoSuchCpu { cpu, ncpus }),
            other => Ok(other.map(|cpu| cpu as usize)),
        }
    }

    /// Changes who is to be held, and kicks those that are and run.
    fn change(&self, cpu: Option<usize>, change: impl Fn(&mut Hold)) {
        self.rearrange(|state| {
            let holds = &mut state.holds;
            let which = cpu.map_or(0..holds.cpus.len(), |cpu| cpu..cpu + 1);
            holds.cpus[which].iter_mut().for_each(change);
        });
    }

    /// Changes the state of vCPUs in any way, and kicks those that are to be held now and run.
    pub(super) fn rearrange(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let state_now = &mut *state;
        let holds = &mut state_now.holds;
        for (stay, hold) in self.stays.iter().zip(&holds.cpus) {
            stay.store(hold.is_wanted(), Ordering::Release);
        }
        holds.settle_whole(&state_now.live);
        self.is_frozen.store(holds.are_wanted(), Ordering::Release);
        let is_in = |&cpu: &usize| holds.cpus[cpu].is_wanted() && !holds.cpus[cpu].is_out;
        let to_kick: Vec<usize> = (0..holds.cpus.len()).filter(is_in).collect();
        drop(state);
        self.changed.notify_all();
        fence(Ordering::SeqCst);
        to_kick.into_iter().for_each(|cpu| self.kick(cpu));
    }

    /// Waits until those that are to be held are out of the guest, or have ended.
    pub(super) fn await_out(&self, cpu: Option<usize>) -> Result<(), HoldError> {
        let is_late = |s: &State, n: usize| {
            s.holds.cpus[n].is_wanted() && !s.holds.cpus[n].is_out && s.live.contains(&(n as u32))
        };
        let which = || cpu.map_or(0..self.stays.len(), |cpu| cpu..cpu + 1);
        let are_late = |s: &mut State| which().any(|n| is_late(s, n));
        let waited = self.changed.wait_timeout_while(self.lock(), HOLD_LIMIT, are_late);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let stuck: Vec<u32> = which().filter(|&n| is_late(&state, n)).map(|n| n as u32).collect();
        if stuck.is_empty() { Ok(()) } else { Err(HoldError::Stuck(stuck)) }
    }

    /// Stays out of the guest for as long as somebody holds this vCPU, and does what is asked meanwhile: called by the vCPU's own
    /// thread before it goes in. A step that it is at ends there, and it may be told to begin one.
    pub(super) fn stand(&self, cpu: usize, fd: &VcpuFd, ram: &GuestRam, step: &mut Stepper) {
        if !self.stays[cpu].load(Ordering::Acquire) {
            return;
        }
        step.cancel(fd, ram);
        let registers = Registers::of(fd);
        self.clocks.begin_aside(cpu);
        let since = Instant::now();
        let mut state = self.lock();
        let held_before = state.holds.held();
        state.registers[cpu] = registers;
        state.holds.cpus[cpu].is_out = true;
        let State { holds, live, .. } = &mut *state;
        holds.settle_whole(live);
        self.changed.notify_all();
        while state.holds.cpus[cpu].is_wanted() && !self.must_stop() {
            if let Some(order) = state.holds.cpus[cpu].order.take() {
                let is_done = obey(fd, ram, order);
                state.registers[cpu] = Registers::of(fd);
                state.holds.cpus[cpu].done = Some(is_done);
                self.changed.notify_all();
                continue;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // An order that nobody waits for any more is none of the next hold's.
        (state.holds.cpus[cpu].is_out, state.holds.cpus[cpu].order) = (false, None);
        state.registers[cpu] = None;
        let range = state.holds.cpus[cpu].step.take();
        let whole = state.holds.held().saturating_sub(held_before);
        // Nobody runs yet that could read the clock: who was out with this vCPU comes here first as well.
        let owed = std::mem::take(&mut state.holds.owed);
        if owed > 0 {
            set_clock_back(ram, owed);
        }
        drop(state);
        self.clocks.end_aside(cpu, since.elapsed().saturating_sub(whole));
        self.changed.notify_all();
        if let Some(range) = range {
            step.begin(range, fd, ram);
        }
    }
}

/// Makes the guest's clock forget so many counts, if it has one yet.
fn set_clock_back(ram: &GuestRam, counts: u64) {
    let at = BOOT_BLOCK + offset_of!(BootBlock, tsc_base) as u64;
    if let Some(base) = ram.read_u64(at).filter(|base| *base != 0) {
        // The boot block is in memory: it was read just now.
        let _written = ram.write(at, &base.wrapping_add(counts).to_le_bytes());
    }
}

fn obey(fd: &VcpuFd, ram: &GuestRam, order: Order) -> bool {
    match order {
        Order::Set(registers) => trap::set(fd, ram, registers),
    }
}

/// Whether each vCPU is to stay out of the guest, for a look without a lock. Set under the lock and before the kick.
pub(super) fn nobody_stays(ncpus: usize) -> Box<[AtomicBool]> {
    (0..ncpus).map(|_| AtomicBool::new(false)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_again_for_a_machine_that_is_held_before_anybody_has_gone_on() {
        let mut holds = Holds::new(2);
        let hold_all = |holds: &mut Holds, is_stopped: bool| {
            holds.cpus.iter_mut().for_each(|hold| hold.is_stopped = is_stopped);
            holds.settle_whole(&[0, 1]);
            holds.whole_since.is_some()
        };
        assert!(!hold_all(&mut holds, true), "both are in the guest");
        holds.cpus.iter_mut().for_each(|hold| hold.is_out = true);
        assert!(hold_all(&mut holds, true) && holds.is_still(1));
        assert!(!hold_all(&mut holds, false) && holds.is_going(0) && !holds.is_still(0));
        assert!(hold_all(&mut holds, true) && holds.is_still(0), "neither has gone on");
        holds.cpus[1].is_out = false;
        assert!(!hold_all(&mut holds, true), "one is in the guest");
    }
}
