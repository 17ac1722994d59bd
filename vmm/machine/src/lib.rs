//! The machine: KVM, memory, vCPU threads, boot, and how all of it ends.
//!
//! # Invariants
//! - Guest memory is written here only: before the guest starts, and then by a [`Writer`] or a [`Debugger`] only, which keep a log.
//! - A broken guest cannot crash or hang the VMM: every exit is judged, every wait is bounded or can be
//!   ended, every number that comes from the guest is checked.
//! - When a [`Machine`] is gone, so are its threads, its memory and its VM.

use std::sync::{Arc, Mutex};
use std::thread;

mod absence;
mod boot;
mod boot_state;
mod build;
mod clock;
pub mod confine;
mod console;
mod debug;
#[cfg(test)]
mod debug_tests;
mod epitaph;
mod error;
mod exit;
mod gate;
mod hold;
pub mod host;
pub mod image;
mod layout;
pub mod memory;
mod precedence;
mod registers;
#[cfg(test)]
mod sealed_tests;
pub mod signals;
mod standing;
mod tables;
#[cfg(test)]
mod tests;
mod trap;
mod tsc;
mod vcpu;
mod view;
mod wait;
mod write;

pub use absence::HostAbsence;
pub use boot_state::BootState;
pub use build::BuildTimes;
pub use clock::{VcpuClocks, VcpuState};
pub use debug::{DebugError, Debugger, Go, Stop, Why};
pub use epitaph::EpitaphRecord;
pub use error::MachineError;
pub use exit::{EndReason, VcpuEnd};
pub use hold::{HoldError, Pins};
pub use image::GUEST_IMAGE;
pub use memory::{GuestMemory, GuestRam, HostRanges, SharedRam};
pub use registers::Registers;
pub use standing::Standing;
pub use tsc::GuestTsc;
pub use view::MachineView;
pub use wait::{StopHandle, WaitEnd};
pub use write::{Writer, Written};

use build::{Parts, Stopwatch};
use console::Console;
use host::Host;
use image::{Bootable, ElfImage, Facts};
use layout::{Demand, Layout};
use umpire_shared::program::{Header, Program};
use umpire_shared::sys::kmem::MEMORY_RANGE;
use vcpu::{Shared, Vcpus};
use wait::Watched;

/// What a machine is to be.
#[derive(Debug, Clone, Copy)]
pub struct MachineConfig<'a> {
    /// The guest: an ELF file, as [`GUEST_IMAGE`].
    pub image: &'a [u8],
    /// Virtual CPUs, 1 to [`umpire_shared::MAX_CPUS`].
    pub ncpus: u32,
    /// Scenario threads, at most [`umpire_shared::MAX_THREADS`]; the kernel's idle threads are not counted.
    pub nthreads: u32,
    /// The encoded scenario program.
    pub program: &'a [u8],
    /// Records that each CPU's ring for trace records has room for, at least; 0: there are no rings.
    pub trace_records: u64,
}

/// A virtual machine that runs one guest once.
#[derive(Debug)]
pub struct Machine {
    // The fields go in this order: threads, then the vCPUs and the VM, then the memory that KVM uses.
    running: Option<Vcpus>,
    /// The VM, and the vCPUs until they are started.
    parts: Parts,
    view: MachineView,
    times: BuildTimes,
    tsc: GuestTsc,
}

/// Bytes of guest RAM that each thread takes, its stack included.
pub const RAM_PER_THREAD: u64 = Layout::PER_THREAD;

impl Machine {
    /// Builds a machine up to, but not including, its first instruction.
    ///
    /// # Errors
    /// [`MachineError`]: an unusable /dev/kvm, an image that cannot be booted, numbers out of range, or a step that
    /// the host refuses.
    pub fn build(config: &MachineConfig<'_>) -> Result<Machine, MachineError> {
        Machine::assemble(config, &ElfImage(config.image))
    }

    /// Builds a machine of `config` with another image than its own.
    fn assemble(config: &MachineConfig<'_>, image: &dyn Bootable) -> Result<Machine, MachineError> {
        let built_at = tsc::host_tsc();
        let mut times = BuildTimes::default();
        let mut watch = Stopwatch::start();
        let facts = image.facts()?;
        // A program that does not decode is the guest's to complain about.
        let (header, messages) = Program::decode(config.program)
            .map_or_else(<(Header, usize)>::default, |program| (*program.header(), program.message_bytes()));
        let layout = Layout::plan(&Demand {
            image_end: facts.end,
            ncpus: config.ncpus,
            nthreads: config.nthreads.saturating_add(header.pool),
            program_len: config.program.len() as u64,
            // The arenas of STREAMS take as much again as the messages.
            memory: header.memory.min(MEMORY_RANGE.1) + 2 * messages as u64,
            trace_records: config.trace_records,
        })?;
        let shared = Arc::new(Shared::new(config.ncpus as usize)?);
        times.plan_ns = watch.lap();
        let host = Host::probe()?;
        times.open_ns = watch.lap();
        // KVM sleeps for most of the time that it takes to create its objects; the image is loaded meanwhile.
        let (parts, loaded) = thread::scope(|scope| {
            let loader = thread::Builder::new()
                .name("loader".to_owned())
                .spawn_scoped(scope, || load(&layout, &facts, image, config.program))
                .map_err(|e| MachineError::os("start a thread", e))?;
            let parts = build::create(&host, config.ncpus, &mut times)?;
            watch.lap();
            let loaded = loader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok::<_, MachineError>((parts, loaded?))
        })?;
        let (ram, load_ns) = loaded;
        times.load_ns = load_ns;
        build::give_memory(&parts.vm, &ram)?;
        boot::write_tsc_khz(&ram, parts.tsc_khz)?;
        times.memory_ns = watch.lap();
        build::registers(&host, &parts, &layout, facts.entry)?;
        times.registers_ns = watch.lap();
        let console = Arc::new(Mutex::new(Console::new(layout.console)));
        let watched = Watched {
            shared,
            stop: StopHandle::new()?,
            ram: Arc::new(ram),
            console,
            writes: Mutex::default(),
            gate: facts.gate_vectors..facts.gate_end,
        };
        let tsc = GuestTsc::new(parts.tsc_khz, parts.has_host_tsc, built_at);
        let view = MachineView { watched: Arc::new(watched), kind: host.kind() };
        Ok(Machine { running: None, parts, view, times, tsc })
    }

    /// The machine as it can be looked at, from any thread and for as long as somebody wants to.
    pub fn view(&self) -> &MachineView {
        &self.view
    }

    /// How long building it took.
    pub fn build_times(&self) -> BuildTimes {
        self.times
    }

    /// The guest's time-stamp counter, and how it relates to the host's.
    pub fn tsc(&self) -> GuestTsc {
        self.tsc
    }

    /// What can write into the machine while it runs.
    pub fn writer(&self) -> Writer {
        Writer { watched: Arc::clone(&self.view.watched), tsc: self.tsc }
    }

    /// Lets every vCPU into the guest.
    ///
    /// # Errors
    /// [`MachineError::StartedBefore`] the second time, [`MachineError::Os`] if the host refuses a thread.
    pub fn start(&mut self) -> Result<(), MachineError> {
        let vcpus = std::mem::take(&mut self.parts.vcpus);
        if vcpus.is_empty() {
            return Err(MachineError::StartedBefore);
        }
        let watched = &self.view.watched;
        self.running = Some(Vcpus::start(&watched.shared, &watched.ram, vcpus)?);
        Ok(())
    }

    /// Has one vCPU at a time put aside, as by a host that runs something else, until the machine is stopped: at moments that
    /// `seed` draws. Does nothing to a machine that was not started.
    ///
    /// # Errors
    /// [`MachineError::Os`] if the host refuses a thread.
    pub fn disturb(&mut self, absence: HostAbsence, seed: u64) -> Result<(), MachineError> {
        self.running.as_mut().map_or(Ok(()), |running| running.disturb(absence, seed))
    }

    /// Waits until the guest has run for `run_ns` (`u64::MAX`: no limit), it ended, a [`StopHandle`] was used,
    /// or a signal arrived. When it has ended the other vCPUs are kicked out too, but not waited for.
    ///
    /// # Errors
    /// [`MachineError::Os`] if the host refuses a timer or epoll.
    pub fn wait(&mut self, run_ns: u64) -> Result<WaitEnd, MachineError> {
        let end = self.view.watched.wait(run_ns)?;
        if let (WaitEnd::GuestEnded(_), Some(running)) = (end, &mut self.running) {
            running.kick();
        }
        Ok(end)
    }

    /// Ends [`Machine::wait`] from another thread.
    pub fn stop_handle(&self) -> StopHandle {
        self.view.watched.stop.clone()
    }

    /// Takes every vCPU out of the guest for good. Memory stays readable.
    ///
    /// # Errors
    /// [`MachineError::Stuck`] with the vCPUs that did not come out within 2 s.
    pub fn stop(&mut self) -> Result<(), MachineError> {
        match self.running.take() {
            Some(mut running) => running.stop(vcpu::STOP_LIMIT),
            None => Ok(()),
        }
    }
}

/// Makes the guest's memory and puts into it what it starts with; says how many ns that took.
fn load(
    layout: &Layout,
    facts: &Facts,
    image: &dyn Bootable,
    program: &[u8],
) -> Result<(GuestRam, u64), MachineError> {
    let mut watch = Stopwatch::start();
    let ram = GuestRam::new(layout.ram_len).map_err(|e| MachineError::os("map the guest's memory", e))?;
    image.load(&ram)?;
    boot::write(&ram, layout, facts, program)?;
    Ok((ram, watch.lap()))
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A caller that wants to know of stuck vCPUs has called stop.
        let _stuck = self.stop();
    }
}
