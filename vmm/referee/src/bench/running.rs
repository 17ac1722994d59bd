//! A running guest to measure on, without a judge's verdicts.
//!
//! # Invariants
//! - It runs from `start` until it is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::failed;
use crate::report::RunError;
use umpire_machine::{GUEST_IMAGE, Machine, MachineConfig, VcpuClocks};
use umpire_scenario::{Scenario, Tracing};
use umpire_shared::boot::phase;
use umpire_watch::glass::{Glass, GlassError, Identity, Layout, LiveMachine, Symbols};
use umpire_watch::monitor::{BoundSpec, CpuReading, Judge, PassEnd};

/// A guest that has not come up by then never will.
const BOOT_LIMIT: Duration = Duration::from_secs(10);

/// A guest that runs the first variant of a scenario.
pub(super) struct RunningGuest {
    machine: Machine,
    live: LiveMachine,
    glass: Arc<Glass>,
    bounds: Vec<BoundSpec>,
    readings: Vec<CpuReading>,
}

impl RunningGuest {
    /// Boots it and waits for its first thread.
    pub(super) fn start(scenario: &Scenario) -> Result<RunningGuest, RunError> {
        RunningGuest::start_traced(scenario, Tracing::Off)
    }

    /// The same with a trace wanted, or not. It is not read.
    pub(super) fn start_traced(scenario: &Scenario, tracing: Tracing) -> Result<RunningGuest, RunError> {
        let variant = &scenario.variants[0];
        let program = variant.program(scenario, tracing);
        let config = MachineConfig {
            image: &GUEST_IMAGE,
            ncpus: scenario.cpus,
            nthreads: variant.threads.len() as u32,
            program: &program,
            trace_records: if tracing == Tracing::Off { 0 } else { variant.kept_records() },
        };
        let mut machine = Machine::build(&config).map_err(failed)?;
        let layout = Arc::new(Layout::from_elf(&GUEST_IMAGE).map_err(failed)?);
        let symbols = Arc::new(Symbols::from_elf(&GUEST_IMAGE).map_err(failed)?);
        let live = LiveMachine::new(machine.view().clone(), layout, symbols, Identity::default());
        let glass = Arc::new(Glass::new(&live));
        machine.start().map_err(failed)?;
        let begin = Instant::now();
        while live.view().boot_state().phase < phase::FIRST_THREAD && live.view().guest_end().is_none() {
            if begin.elapsed() > BOOT_LIMIT {
                return Err(RunError::Unsupported("measure: the guest ran no thread within 10 s".to_owned()));
            }
            std::thread::yield_now();
        }
        let readings = vec![CpuReading::default(); scenario.cpus as usize];
        Ok(RunningGuest { machine, live, glass, bounds: scenario.bounds.clone(), readings })
    }

    /// What is looked at.
    pub(super) fn target(&self) -> &LiveMachine {
        &self.live
    }

    /// A judge over the scenario's bounds.
    pub(super) fn judge(&self) -> Judge {
        // Passes here are back to back: none is late.
        Judge::new(Arc::clone(&self.glass), self.bounds.clone(), u64::MAX)
    }

    /// One sample as the sampler's thread takes it, clocks included.
    pub(super) fn pass(&mut self, judge: &mut Judge, now_ns: u64) -> Result<PassEnd, GlassError> {
        for (cpu, reading) in self.readings.iter_mut().enumerate() {
            reading.ran_ns = self.machine.view().clocks().ran_ns(cpu);
        }
        judge.pass(&self.readings, now_ns)
    }

    /// Turns that all scenario threads together have done.
    pub(super) fn progress(&self) -> u64 {
        self.glass.total_progress()
    }

    /// The clocks of its vCPUs.
    pub(super) fn clocks(&self) -> &VcpuClocks {
        self.machine.view().clocks()
    }
}
