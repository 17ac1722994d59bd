//! A machine as it can be looked at: its memory, its vCPUs' clocks and registers, its console, its end.
//!
//! # Invariants
//! - Looking changes nothing: no call from here writes guest memory, and none stops a vCPU or makes it exit, but
//!   [`MachineView::standing`].
//! - A view outlives its machine: what it shows then is what was true last.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::boot_state::BootState;
use super::clock::VcpuClocks;
use super::epitaph::EpitaphRecord;
use super::exit::{Registers, VcpuEnd};
use super::host::HostKind;
use super::memory::GuestRam;
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
    /// `None` if it has ended, was not started, or did not answer within 100 ms.
    pub fn standing(&self, cpu: usize) -> Option<Standing> {
        self.watched.shared.ask(cpu, ANSWER_LIMIT)
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

    /// Bytes that the guest wrote to its console faster than they were read.
    pub fn console_lost(&self) -> u64 {
        self.watched.console.lock().unwrap_or_else(PoisonError::into_inner).lost()
    }
}
