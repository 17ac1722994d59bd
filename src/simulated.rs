//! The simulator behind the referee's interface.
//!
//! # Invariants
//! - Memory handed to the glass keeps the kernel alive: it can be read for as long as anybody holds it.
#![allow(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use umpire_machine::memory::{GuestMemory, HostRanges};
use umpire_referee::{SimDeath, SimMachine, SimSpec, SimStep, TraceLine};
use umpire_shared::boot::reason;
use umpire_sim::{Kernel, Sim, SimConfig, SimState};

/// Builds a simulated machine (`umpire_referee::SimFactory`).
pub(crate) fn build(spec: &SimSpec<'_>) -> Result<Box<dyn SimMachine>, Box<dyn Error + Send + Sync>> {
    let sim = Sim::new(&SimConfig { ncpus: spec.ncpus, program: spec.program, seed: spec.seed })?;
    Ok(Box::new(Simulated(sim)))
}

struct Simulated(Sim);

impl SimMachine for Simulated {
    fn run_until(&mut self, time_ns: u64) -> SimStep {
        match self.0.run_until(time_ns) {
            SimState::Running => SimStep::Reached,
            SimState::Ended(end) => {
                let thread = self.0.kernel().k_threads.get(end.thread as usize);
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

    fn memory(&self) -> Arc<dyn GuestMemory> {
        // SAFETY: the ranges are the kernel object and its arenas, which never move, and which `kernel`, kept beside them
        // in one value, keeps allocated. What changes in them is atomics.
        let ranges = unsafe { HostRanges::new(&self.0.ranges()) };
        Arc::new(KernelMemory { ranges, _kernel: self.0.keep() })
    }

    fn root(&self) -> u64 {
        self.0.root()
    }

    fn ran_ns(&self, cpu: usize) -> u64 {
        self.0.ran_ns(cpu)
    }

    fn take_console(&mut self) -> String {
        self.0.take_console()
    }

    fn take_trace(&mut self) -> Vec<TraceLine> {
        let line = |r: umpire_sim::TraceRecord| TraceLine {
            time_ns: r.time_ns,
            cpu: r.cpu,
            kind: r.kind,
            thread: u64::from(r.thread),
            pri: r.pri,
            arg: r.arg,
        };
        self.0.take_trace().into_iter().map(line).collect()
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
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Simulated").field(&self.0).finish()
    }
}
