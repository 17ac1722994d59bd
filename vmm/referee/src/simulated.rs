//! A run in the simulator: one step of virtual time, one sample, and so on.
//!
//! # Invariants
//! - Nothing here depends on the host: the same scenario, variant and seed give the same report.
//! - The simulated kernel is looked at through the same glass as a real guest, by the layout of the image's own debug
//!   information: both are the same `repr(C)` source, compiled for the same processor.

use std::fmt;
use std::sync::Arc;

use super::guest::Guest;
use super::settle::{Circumstances, Death, settle};
use super::trace::{TraceFile, TraceLine};
use umpire_machine::memory::GuestMemory;
use umpire_machine::signals;
use umpire_scenario::outcome::{RunError, RunOptions, VariantReport};
use umpire_scenario::{Scenario, Tracing, Variant};
use umpire_shared::boot::reason;
use umpire_watch::glass::{Glass, Root};
use umpire_watch::monitor::{CpuReading, Judge, PassEnd};

/// What a simulator is asked to build.
#[derive(Debug, Clone, Copy)]
pub struct SimSpec<'a> {
    /// CPUs.
    pub ncpus: u32,
    /// The encoded program.
    pub program: &'a [u8],
    /// Where every choice comes from.
    pub seed: u64,
}

/// How far a simulated machine got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimStep {
    /// To the time that was asked for.
    Reached,
    /// The guest died before.
    Died(SimDeath),
}

/// How a simulated guest died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimDeath {
    /// One of [`umpire_shared::boot::reason`].
    pub reason: u32,
    /// What it said.
    pub message: String,
    /// The CPU.
    pub cpu: u32,
    /// Name of the thread that ran there.
    pub thread: String,
}

/// A machine in virtual time. This crate does not link the kernel; the binary hands one in.
pub trait SimMachine {
    /// Runs every CPU up to a virtual time.
    fn run_until(&mut self, time_ns: u64) -> SimStep;
    /// The kernel's memory.
    fn memory(&self) -> Arc<dyn GuestMemory>;
    /// Address of the kernel object.
    fn root(&self) -> u64;
    /// Virtual ns that a CPU has run.
    fn ran_ns(&self, cpu: usize) -> u64;
    /// Console output since the last call.
    fn take_console(&mut self) -> String;
    /// Events since the last call.
    fn take_trace(&mut self) -> Vec<TraceLine>;
}

type BoxedError = Box<dyn std::error::Error + Send + Sync>;
/// Builds simulated machines.
pub type SimFactory = dyn Fn(&SimSpec<'_>) -> Result<Box<dyn SimMachine>, BoxedError>;

/// Runs variants in the simulator.
pub struct SimReferee {
    guest: Guest,
    factory: Box<SimFactory>,
}

impl SimReferee {
    /// A referee over machines of this factory.
    pub fn new(guest: Guest, factory: Box<SimFactory>) -> SimReferee {
        SimReferee { guest, factory }
    }

    /// Runs a variant to its end.
    ///
    /// # Errors
    /// [`RunError`] if the machine cannot be built or the guest image not be understood.
    pub fn run(
        &mut self,
        scenario: &Scenario,
        variant: &Variant,
        options: &RunOptions,
    ) -> Result<VariantReport, RunError> {
        let trace_file = options.trace.as_deref().map(TraceFile::create).transpose()?;
        let tracing = if trace_file.is_some() { Tracing::On } else { Tracing::Off };
        let program = variant.program(scenario, tracing);
        let seed = options.seed.unwrap_or(1);
        let spec = SimSpec { ncpus: scenario.cpus, program: &program, seed };
        let mut machine = (self.factory)(&spec).map_err(RunError::SetUp)?;
        let layout = self.guest.layout().map_err(|e| RunError::Glass(Box::new(e)))?;
        let glass = Arc::new(Glass::new(machine.memory(), layout, Root::At(machine.root())));
        let mut judge = Judge::new(Arc::clone(&glass), scenario.bounds.clone());

        let mut report = VariantReport::nothing(scenario, variant, options);
        report.host_kvm = "sim".to_owned();
        report.seed = Some(seed);
        let until = options.until_violated.then_some(variant);
        let (death, sampling_error) = watch(&mut *machine, scenario, until, &mut judge, &mut report);
        report.console = machine.take_console();
        let planned = scenario.run_ns / period_ns(scenario);
        let cpus = u64::from(scenario.cpus);
        let script = glass.script();
        let circumstances = Circumstances { script, death, planned_samples: planned, cpus, sampling_error };
        settle(&mut report, variant, &judge, None, &circumstances);
        if let Some(file) = trace_file {
            file.write(&machine.take_trace(), &mut report);
        }
        Ok(report)
    }
}

impl fmt::Debug for SimReferee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimReferee").finish_non_exhaustive()
    }
}

fn period_ns(scenario: &Scenario) -> u64 {
    (1_000_000_000 / u64::from(scenario.sample_hz)).max(1)
}

/// Steps and samples by turns, up to the violation of `until` if that is given; what ended it early, if anything did.
fn watch(
    machine: &mut dyn SimMachine,
    scenario: &Scenario,
    until: Option<&Variant>,
    judge: &mut Judge,
    report: &mut VariantReport,
) -> (Option<Death>, Option<String>) {
    let period = period_ns(scenario);
    let mut readings = vec![CpuReading::default(); scenario.cpus as usize];
    let mut now = 0;
    while now < scenario.run_ns {
        if signals::interrupted() {
            report.interrupted = true;
            break;
        }
        now = (now + period).min(scenario.run_ns);
        let step = machine.run_until(now);
        for (cpu, reading) in readings.iter_mut().enumerate() {
            reading.ran_ns = machine.ran_ns(cpu);
        }
        report.run_ns = now;
        // A dead guest is looked at once more: what it died of may be on its queues.
        let pass = judge.pass(&readings, now);
        if let SimStep::Died(death) = step {
            return (Some(told(&death)), None);
        }
        match pass {
            Ok(PassEnd::Violated) if until.is_some_and(|v| v.is_over_with(judge)) => break,
            Ok(_) => {}
            Err(e) => return (None, Some(format!("sampling ended: {e}"))),
        }
    }
    (None, None)
}

fn told(death: &SimDeath) -> Death {
    let SimDeath { reason, message, cpu, thread } = death;
    Death {
        message: message.clone(),
        sentences: vec![format!("guest panic on cpu {cpu}, thread {thread}: {message}")],
        by_deadman: *reason == reason::DEADMAN,
    }
}
