//! Runs in the simulator: one step of virtual time, one sample, and so on.
//!
//! # Invariants
//! - Nothing here depends on the host: the same scenario, variant and seed give the same report.
//! - The simulated kernel is looked at through the same glass as a real guest, by the layout of the image's own debug
//!   information: both are the same `repr(C)` source, compiled for the same processor.

use std::fmt;
use std::sync::Arc;

use super::death::Death;
use super::flight;
use super::guest::Guest;
use super::report::{Look, RunError, RunOptions, VariantReport};
use super::run::{self, MachineRun};
use super::watcher::{Sampled, Spent, TimeSource, Watcher};
use umpire_machine::Written;
use umpire_machine::{HostAbsence, signals};
use umpire_scenario::{Scenario, Variant};
use umpire_shared::boot::reason;
use umpire_watch::glass::{
    CpuClocks, Glass, Held, Identity, Kinds, Layout, Panic, Target, Trace, TraceRecord,
};
use umpire_watch::monitor::{Judge, PassEnd};

/// What a simulator is asked to build.
#[derive(Debug, Clone)]
pub struct SimSpec<'a> {
    /// CPUs.
    pub ncpus: u32,
    /// The encoded program.
    pub program: &'a [u8],
    /// Where every choice comes from.
    pub seed: u64,
    /// How often the host takes a CPU off; `None`: never.
    pub absence: Option<HostAbsence>,
    /// Where the fields of the kernel's structures lie.
    pub layout: Arc<Layout>,
    /// Which machine it is.
    pub identity: Identity,
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
pub trait SimMachine: Target {
    /// Runs every CPU up to a virtual time.
    fn run_until(&mut self, time_ns: u64) -> SimStep;
    /// Trace records since the last [`SimMachine::take_trace`], which are held further on.
    fn trace(&self) -> Vec<TraceRecord>;
    /// Trace records since the last call.
    fn take_trace(&mut self) -> Vec<TraceRecord>;
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
        self.run_and_look(scenario, variant, options, &mut |_, _| {})
    }

    /// As the plain run; `look` sees the machine when it has stopped.
    ///
    /// # Errors
    /// As the plain run.
    pub fn run_and_look(
        &mut self,
        scenario: &Scenario,
        variant: &Variant,
        options: &RunOptions,
        look: &mut Look<'_>,
    ) -> Result<VariantReport, RunError> {
        let seed = options.seed.unwrap_or(1);
        let options = RunOptions { seed: Some(seed), ..options.clone() };
        let build = |spec: &run::RunSpec<'_>| {
            let layout = self.guest.layout().map_err(|e| RunError::Glass(Box::new(e)))?;
            let records = spec.records();
            let spec = SimSpec {
                ncpus: scenario.cpus,
                program: spec.program,
                seed,
                absence: options.absence,
                layout,
                identity: spec.identity(Some(seed)),
            };
            let machine = (self.factory)(&spec).map_err(RunError::SetUp)?;
            Ok(SimRun {
                machine,
                cpus: scenario.cpus,
                run_ns: scenario.run_ns,
                period_ns: scenario.period_ns(),
                records,
                death: None,
                panic: None,
            })
        };
        run::run(scenario, variant, &options, build, look)
    }
}

impl fmt::Debug for SimReferee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimReferee").finish_non_exhaustive()
    }
}

/// A simulated machine, and how it is to be run.
struct SimRun {
    machine: Box<dyn SimMachine>,
    cpus: u32,
    run_ns: u64,
    period_ns: u64,
    /// Records that a flight recorder has of each CPU.
    records: u64,
    death: Option<Death>,
    panic: Option<Panic>,
}

impl MachineRun for SimRun {
    fn target(&self) -> &dyn Target {
        &*self.machine
    }

    fn play(&mut self, watcher: Watcher<'_>) -> Result<Sampled, RunError> {
        if let Err(lacks) = self.machine.clocks() {
            return Err(RunError::SetUp(Box::new(lacks)));
        }
        let keep = watcher.keep();
        let handed = (0, 0);
        Ok(watcher.look_until_over(VirtualTime { run: self, now_ns: 0, interrupted: false, keep, handed }))
    }

    fn writes(&self) -> Vec<Written> {
        Vec::new()
    }

    fn death(&self, _glass: &Glass) -> Option<Death> {
        self.death.clone()
    }
}

/// Virtual time: a period, a look, a period, a look.
struct VirtualTime<'s> {
    run: &'s mut SimRun,
    now_ns: u64,
    interrupted: bool,
    keep: Kinds,
    /// How many records were handed out, and the time of the last.
    handed: (u64, u64),
}

impl TimeSource for VirtualTime<'_> {
    /// A dead guest is looked at once more: what it died of may be on its queues.
    fn advance(&mut self) -> Result<bool, String> {
        let run = &mut *self.run;
        if self.now_ns >= run.run_ns || run.death.is_some() {
            return Ok(false);
        }
        if signals::interrupted() {
            self.interrupted = true;
            return Ok(false);
        }
        self.now_ns = (self.now_ns + run.period_ns).min(run.run_ns);
        if let SimStep::Died(death) = run.machine.run_until(self.now_ns) {
            run.death = Some(told(&death));
            run.panic = Some(Panic { cpu: death.cpu.into(), message: death.message });
        }
        Ok(true)
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn guest_now_ns(&self) -> Option<u64> {
        Some(self.now_ns)
    }

    fn clocks(&self) -> &dyn CpuClocks {
        self.run.machine.clocks().expect("invariant: `play` has seen that there are clocks")
    }

    /// A simulator keeps every record until it is asked for.
    fn drain_trace(&mut self) {}

    fn held_trace(&self) -> Held {
        flight::last(self.run.machine.trace(), self.run.records)
    }

    fn hand_out_trace(&mut self) -> Vec<TraceRecord> {
        let trace = Trace::of(self.run.machine.take_trace(), self.keep);
        self.handed = (self.handed.0 + trace.total, self.handed.1.max(trace.last_ns));
        trace.records
    }

    /// Every CPU has come to this moment, so nothing that is recorded from here on is older.
    fn handed_out_until_ns(&self) -> u64 {
        self.now_ns
    }

    fn writes_after(&self, _count: usize) -> Vec<Written> {
        Vec::new()
    }

    fn target(&self) -> &dyn Target {
        &*self.run.machine
    }

    fn has_died(&self) -> bool {
        self.run.death.is_some()
    }

    fn panic(&self) -> Option<Panic> {
        self.run.panic.clone()
    }

    /// It can be had once only, which the report does.
    fn console(&self) -> String {
        String::new()
    }

    /// Nobody else can look into a simulated run.
    fn passed(&mut self, _judge: &Judge, _end: PassEnd) {}

    fn over(&mut self, _judge: &Judge) {}

    fn spent(&self) -> Spent {
        let steal_ns = (0..self.run.cpus as usize).map(|cpu| self.clocks().steal_ns(cpu)).sum();
        Spent { run_ns: self.now_ns, interrupted: self.interrupted, steal_ns, ..Spent::default() }
    }

    fn into_trace(self) -> Trace {
        let rest = Trace::of(self.run.machine.take_trace(), self.keep);
        Trace { total: self.handed.0 + rest.total, last_ns: self.handed.1.max(rest.last_ns), ..rest }
    }
}

fn told(death: &SimDeath) -> Death {
    let SimDeath { reason, message, cpu, thread } = death;
    Death {
        message: message.clone(),
        sentences: vec![format!("guest panic on cpu {cpu}, thread {thread}: {message}")],
        by_deadman: *reason == reason::DEADMAN,
    }
}
