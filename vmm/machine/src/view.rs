//! A machine as it can be looked at: its memory, its vCPUs' clocks and registers, its console, its end.
//!
//! # Invariants
//! - Looking changes nothing: no call from here writes guest memory, and none stops a vCPU or makes it exit, but
//!   [`MachineView::standing`] and those that say that they hold it.
//! - A view outlives its machine: what it shows then is what was true last.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::boot_state::BootState;
use super::clock::VcpuClocks;
use super::epitaph::EpitaphRecord;
use super::exit::VcpuEnd;
use super::hold::{HoldError, Pins};
use super::host::HostKind;
use super::memory::GuestRam;
use super::registers::Registers;
use super::standing::Standing;
use super::wait::Watched;

/// For how long a vCPU that is asked where it stands may take to answer: on a busy host its thread has to be run first.
const ANSWER_LIMIT: Duration = Duration::from_millis(100);

/// What can be seen of a machine, from any thread, while it runs and afterwards.
#[derive(Debug, Clone)]
pub struct MachineView {
    pub(super) watched: Arc<Watched>,
    pub(super) kind: HostKind,
}

impl MachineView {
    /// The kind of KVM that runs the machine.
    pub fn kind(&self) -> HostKind {
        self.kind
    }

    /// The guest's memory.
    pub fn memory(&self) -> Arc<GuestRam> {
        Arc::clone(&self.watched.ram)
    }

    /// The vCPUs' own time.
    pub fn clocks(&self) -> &VcpuClocks {
        &self.watched.shared.clocks
    }

    /// Exits to the VMM so far; kicks are not counted.
    pub fn exits(&self) -> u64 {
        self.watched.shared.exits()
    }

    /// How far the guest has come.
    pub fn boot_state(&self) -> BootState {
        BootState::read(self.watched.ram.as_ref())
    }

    /// The first vCPU that ended by itself.
    pub fn guest_end(&self) -> Option<VcpuEnd> {
        self.watched.shared.first_end()
    }

    /// Where a vCPU was when it left the guest; `None` while it runs, or if there is no such vCPU.
    pub fn registers(&self, cpu: usize) -> Option<Registers> {
        self.watched.shared.registers(cpu)
    }

    /// Where a vCPU that runs is, by taking it out of the guest for some microseconds: for when what was to be judged has been.
    /// One that is held or has ended is where it was. `None` if it was not started, or did not answer within 100 ms.
    pub fn standing(&self, cpu: usize) -> Option<Standing> {
        self.standing_still(cpu).or_else(|| self.watched.shared.ask(cpu, ANSWER_LIMIT))
    }

    /// Where a vCPU that stands still is: one that is held, or has ended.
    pub fn standing_still(&self, cpu: usize) -> Option<Standing> {
        self.registers(cpu).map(|registers| Standing::of(registers, self.watched.ram.as_ref()))
    }

    /// Stops a vCPU, or all of them, until somebody lets it go: they are out of the guest when this comes back.
    ///
    /// # Errors
    /// [`HoldError`] if there is no such vCPU, or if one does not come out within 2 s.
    pub fn hold(&self, cpu: Option<u32>) -> Result<(), HoldError> {
        self.watched.shared.stop_cpus(cpu)
    }

    /// Lets a vCPU that was stopped, or all of them, go on.
    ///
    /// # Errors
    /// [`HoldError`] if there is no such vCPU.
    pub fn let_go(&self, cpu: Option<u32>) -> Result<(), HoldError> {
        self.watched.shared.let_go(cpu)
    }

    /// Holds a vCPU, or all of them, for as long as the answer lives.
    ///
    /// # Errors
    /// As [`MachineView::hold`].
    pub fn pin(&self, cpu: Option<u32>) -> Result<Pins, HoldError> {
        Pins::of(&self.watched.shared, cpu)
    }

    /// Which vCPUs are held.
    pub fn are_held(&self) -> Vec<bool> {
        self.watched.shared.are_held()
    }

    /// True while every vCPU is held: time stands still for the guest.
    pub fn is_frozen(&self) -> bool {
        self.watched.shared.is_frozen()
    }

    /// Sleeps while every vCPU is held, for `limit` at most or until the machine is to stop for good.
    pub fn wait_while_held(&self, limit: Duration) {
        self.watched.shared.wait_while_held(limit);
    }

    /// As [`MachineView::wait_while_held`], of a machine whose guest has ended as well.
    pub fn wait_until_let_go(&self, limit: Duration) {
        self.watched.shared.wait_until_let_go(limit);
    }

    /// For how long every vCPU has been held, all in all.
    pub fn held(&self) -> Duration {
        self.watched.shared.held()
    }

    /// Gives a held vCPU other general registers.
    ///
    /// # Errors
    /// [`HoldError`] if it is not held, or KVM refuses.
    pub fn set_registers(&self, cpu: u32, registers: Registers) -> Result<(), HoldError> {
        self.watched.shared.set_registers(cpu, registers)
    }

    /// The guest's last words, if it wrote any.
    pub fn epitaph(&self) -> Option<EpitaphRecord> {
        EpitaphRecord::read(self.watched.ram.as_ref())
    }

    /// What the guest wrote to its console since the last call.
    pub fn console(&self) -> String {
        self.watched.drain_console();
        self.watched.console.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the guest has written to its console and [`MachineView::console`] has not given: it stays to be given.
    pub fn console_so_far(&self) -> String {
        self.watched.drain_console();
        self.watched.console.lock().unwrap_or_else(PoisonError::into_inner).so_far().to_owned()
    }

    /// Bytes that the guest wrote to its console faster than they were read.
    pub fn console_lost(&self) -> u64 {
        self.watched.console.lock().unwrap_or_else(PoisonError::into_inner).lost()
    }
}
