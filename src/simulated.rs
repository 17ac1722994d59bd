//! The simulator as a target of the glass and as a machine of the referee.
//!
//! # Invariants
//! - Memory handed to the glass keeps the kernel alive: it can be read for as long as it is held.
#![allow(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use umpire_machine::memory::{GuestMemory, HostRanges};
use umpire_machine::{HostAbsence, Registers, VcpuState};
use umpire_referee::{SimDeath, SimMachine, SimSpec, SimStep};
use umpire_shared::boot::reason;
use umpire_sim::{Absence, Kernel, Sim, SimConfig, SimState};
use umpire_watch::glass::{
    Ability, AskCpu, Asking, Control, CpuClocks, Identity, Lacks, Layout, Pause, Root, Symbols, Target,
    TraceRecord, Verdicts,
};

/// Builds a simulated machine (`umpire_referee::SimFactory`).
pub(crate) fn build(spec: &SimSpec<'_>) -> Result<Box<dyn SimMachine>, Box<dyn Error + Send + Sync>> {
    let absence = spec.absence.map(|HostAbsence { every_ns, most_ns }| Absence { every_ns, most_ns });
    let sim = Sim::new(&SimConfig { ncpus: spec.ncpus, program: spec.program, seed: spec.seed, absence })?;
    Ok(Box::new(Simulated { sim, layout: Arc::clone(&spec.layout), identity: spec.identity.clone() }))
}

struct Simulated {
    sim: Sim,
    layout: Arc<Layout>,
    identity: Identity,
}

impl Target for Simulated {
    fn name(&self) -> &str {
        "sim"
    }

    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn memory(&self) -> Arc<dyn GuestMemory> {
        // SAFETY: the ranges are the kernel object and its arenas, which never move, and which `kernel`, kept beside them
        // in one value, keeps allocated. What changes in them is atomics.
        let ranges = unsafe { HostRanges::new(&self.sim.ranges()) };
        Arc::new(KernelMemory { ranges, _kernel: self.sim.keep() })
    }

    fn root(&self) -> Root {
        Root::At(self.sim.root())
    }

    fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout)
    }

    fn symbols(&self) -> Result<Arc<Symbols>, Lacks> {
        let why = "its kernel is code of umpire itself, not of the guest's image";
        Err(Lacks::new(self, Ability::Symbols, why))
    }

    fn clocks(&self) -> Result<&dyn CpuClocks, Lacks> {
        Ok(self)
    }

    fn registers(&self, _cpu: u32) -> Result<Registers, Lacks> {
        let why = "its CPUs are turns of coroutines, whose registers are not kept";
        Err(Lacks::new(self, Ability::Registers, why))
    }

    fn asker(&self, _whom: Asking) -> Result<Arc<dyn AskCpu>, Lacks> {
        let why = "the simulator's CPUs are turns of coroutines, whose registers are not kept";
        Err(Lacks::new(self, Ability::Asker, why))
    }

    fn console(&self) -> Result<String, Lacks> {
        Ok(self.sim.take_console())
    }

    fn pause(&self) -> Result<Pause<'_>, Lacks> {
        // Time passes in `run_until` only, which wants this for itself.
        Ok(Pause::of_still())
    }

    fn verdicts(&self) -> Result<Verdicts, Lacks> {
        Err(Lacks::new(self, Ability::Verdicts, "they are in the report of its run"))
    }

    fn control(&self) -> Result<Arc<dyn Control>, Lacks> {
        let why = "its time passes in its own run only; a machine on KVM can be controlled";
        Err(Lacks::new(self, Ability::Control, why))
    }
}

/// Virtual time: a host keeps a CPU waiting only if it was asked to.
impl CpuClocks for Simulated {
    fn ran_ns(&self, cpu: usize) -> u64 {
        self.sim.ran_ns(cpu)
    }

    fn steal_ns(&self, cpu: usize) -> u64 {
        self.sim.away_ns(cpu)
    }

    fn state(&self, cpu: usize) -> VcpuState {
        VcpuState { is_ready: self.sim.is_ready(cpu), host_cpu: None }
    }
}

impl SimMachine for Simulated {
    fn run_until(&mut self, time_ns: u64) -> SimStep {
        match self.sim.run_until(time_ns) {
            SimState::Running => SimStep::Reached,
            SimState::Ended(end) => {
                let thread = self.sim.kernel().k_threads.get(end.thread as usize);
                let name =
                    thread.map_or_else(String::new, |t| t.name(&mut [0; umpire_shared::NAME_LEN]).to_owned());
                let (reason, message, cpu) = (end.reason, end.message, end.cpu);
                SimStep::Died(SimDeath { reason, message, cpu, thread: name })
            }
            SimState::Dead => SimStep::Died(SimDeath {
                reason: reason::PANIC,
                message: "every CPU is halted and no timer is armed: nothing will ever happen again"
                    .to_owned(),
                cpu: 0,
                thread: String::new(),
            }),
        }
    }

    fn trace(&self) -> Vec<TraceRecord> {
        self.sim.trace().into_iter().map(record).collect()
    }

    fn take_trace(&mut self) -> Vec<TraceRecord> {
        self.sim.take_trace().into_iter().map(record).collect()
    }
}

fn record(r: umpire_sim::TraceRecord) -> TraceRecord {
    TraceRecord {
        time_ns: r.time_ns,
        cpu: r.cpu,
        kind: r.kind,
        thread: u64::from(r.thread),
        pri: r.pri,
        arg: r.arg,
    }
}

/// A simulated kernel's memory, and the kernel.
struct KernelMemory {
    ranges: HostRanges,
    _kernel: Arc<Kernel>,
}

impl GuestMemory for KernelMemory {
    fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        self.ranges.read(addr, out)
    }

    fn copy(&self, addr: u64, out: &mut [u8]) -> bool {
        self.ranges.copy(addr, out)
    }

    fn nonzero(&self, addr: u64, len: usize, blocks: &mut [u64]) -> bool {
        self.ranges.nonzero(addr, len, blocks)
    }

    fn prefetch(&self, addrs: &[u64]) {
        self.ranges.prefetch(addrs);
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        self.ranges.ranges()
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulated").field("sim", &self.sim).finish_non_exhaustive()
    }
}
