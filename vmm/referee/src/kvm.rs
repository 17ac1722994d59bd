//! A run on KVM: the machine runs, a thread of its own samples beside it, and this one waits for either to end.
//!
//! # Invariants
//! - The sampler never stops a vCPU to look at it, and the guest is never asked for anything.
//! - Samples are counted from the guest's first scenario thread on, or from the moment at which it should have come.
//! - Whatever ends the run, the machine is stopped before its report is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use vmm_sys_util::timerfd::TimerFd;

use super::end::PlannedEnd;
use super::guest::Guest;
use super::sample_times::SampleTimes;
use super::settle::{Circumstances, Death, settle};
use super::trace::{TraceFile, TraceLine};
use umpire_machine::{
    BootState, EpitaphRecord, ExitCounter, GUEST_IMAGE, GuestRam, Machine, MachineConfig, StopHandle,
    VcpuClocks, VcpuEnd, WaitEnd,
};
use umpire_scenario::outcome::{RunError, RunOptions, VariantReport};
use umpire_scenario::{Scenario, Tracing, Variant};
use umpire_shared::boot::{phase, reason};
use umpire_watch::glass::{EventReader, Glass, Root, Symbols};
use umpire_watch::monitor::{CpuReading, Judge, PassEnd};

/// A guest that has not run a thread by then will be judged as it is.
const BOOT_LIMIT: Duration = Duration::from_secs(10);
/// How often the sampler looks whether the guest is up.
const BOOT_POLL: Duration = Duration::from_micros(50);
/// What the main thread waits beyond the planned end: only a sampler that hangs needs it.
const GRACE: Duration = Duration::from_secs(10);

/// Runs variants on KVM.
#[derive(Debug)]
pub struct KvmReferee {
    guest: Guest,
}

impl KvmReferee {
    /// A referee over the built-in guest.
    pub fn new(guest: Guest) -> KvmReferee {
        KvmReferee { guest }
    }

    /// Runs a variant to its end, or until Ctrl-C.
    ///
    /// # Errors
    /// [`RunError`] if the machine cannot be set up or the guest image not be understood. A guest that dies is a
    /// report, not an error.
    pub fn run(
        &mut self,
        scenario: &Scenario,
        variant: &Variant,
        options: &RunOptions,
    ) -> Result<VariantReport, RunError> {
        let trace_file = options.trace.as_deref().map(TraceFile::create).transpose()?;
        let tracing = if trace_file.is_some() { Tracing::On } else { Tracing::Off };
        let program = variant.program(scenario, tracing);
        let config = MachineConfig {
            image: GUEST_IMAGE,
            ncpus: scenario.cpus,
            nthreads: variant.threads.len() as u32,
            program: &program,
            trace: tracing == Tracing::On,
        };
        let set_up = |e| RunError::SetUp(Box::new(e));
        let mut machine = Machine::build(&config).map_err(set_up)?;
        let layout = self.guest.layout().map_err(|e| RunError::Glass(Box::new(e)))?;
        let symbols = self.guest.symbols().map_err(|e| RunError::Glass(Box::new(e)))?;

        let glass = Arc::new(Glass::new(machine.memory(), layout, Root::BootBlock));
        let watcher = Watcher {
            judge: Judge::new(Arc::clone(&glass), scenario.bounds.clone()),
            until: options.until_violated.then(|| variant.clone()),
            ram: machine.memory(),
            clocks: machine.clocks(),
            exits: machine.exit_counter(),
            stop: machine.stop_handle(),
            events: options.trace.is_some().then(EventReader::default),
            times: SampleTimes::every(Duration::from_nanos(1_000_000_000 / u64::from(scenario.sample_hz))),
            run: Duration::from_nanos(scenario.run_ns),
            begun: Instant::now(),
        };
        let limit = BOOT_LIMIT + GRACE + PlannedEnd::of(watcher.run).latest();
        let is_over = AtomicBool::new(false);
        let (end, watched) = thread::scope(|scope| {
            let sampler = thread::Builder::new()
                .name("sampler".to_owned())
                .spawn_scoped(scope, || watcher.watch(&is_over))
                .map_err(|e| RunError::SetUp(Box::new(e)))?;
            let end = machine
                .start()
                .and_then(|()| machine.wait(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)));
            is_over.store(true, Ordering::Release);
            let watched = sampler.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok::<_, RunError>((end, watched))
        })?;
        let stopped = machine.stop();
        let end = end.map_err(set_up)?;
        stopped.map_err(set_up)?;

        let mut report = VariantReport::nothing(scenario, variant, options);
        report.host_kvm = machine.kind().name().to_owned();
        report.interrupted = end == WaitEnd::Interrupted;
        report.exits = watched.exits;
        report.steal_ns = watched.steal_ns;
        report.run_ns = watched.ran_for.as_nanos() as u64;
        let first_thread = machine.tsc().since_build_ns(machine.boot_state().first_thread_tsc);
        report.boot_ns = first_thread.unwrap_or(watched.boot.as_nanos() as u64);
        report.console = machine.console();
        let death = death(&machine, &symbols, &glass);
        let planned_samples = scenario.run_ns * u64::from(scenario.sample_hz) / 1_000_000_000;
        let cpus = u64::from(scenario.cpus);
        let script = glass.script();
        let circumstances =
            Circumstances { script, death, planned_samples, cpus, sampling_error: watched.sampling_error };
        settle(&mut report, variant, &watched.judge, Some(&*symbols), &circumstances);
        if watched.lost_events > 0 {
            let lost = watched.lost_events;
            report.why.push(format!(
                "the trace lacks {lost} events that came faster than they were read; raise --sample-hz"
            ));
        }
        if let (Some(file), Some(lines)) = (trace_file, &watched.trace) {
            file.write(lines, &mut report);
        }
        Ok(report)
    }
}

/// What the sampler's thread needs.
struct Watcher {
    judge: Judge,
    /// The variant, if its violation ends the run.
    until: Option<Variant>,
    ram: Arc<GuestRam>,
    clocks: Arc<VcpuClocks>,
    exits: ExitCounter,
    stop: StopHandle,
    events: Option<EventReader>,
    times: SampleTimes,
    run: Duration,
    begun: Instant,
}

/// What it brings back.
struct Watched {
    judge: Judge,
    trace: Option<Vec<TraceLine>>,
    lost_events: u64,
    /// From the start of the machine to the first scenario thread.
    boot: Duration,
    ran_for: Duration,
    exits: u64,
    steal_ns: u64,
    sampling_error: Option<String>,
}

impl Watcher {
    /// Waits for the guest, samples it for the planned time or until `is_over`, then ends the run.
    fn watch(mut self, is_over: &AtomicBool) -> Watched {
        self.await_first_thread(is_over);
        let boot = self.begun.elapsed();
        let begin = Instant::now();
        let (exits, steal_ns) = (self.exits.exits(), self.clocks.steal_ns());
        let sampling_error = self.sample(begin, is_over).err();
        let watched = Watched {
            lost_events: self.events.as_ref().map_or(0, EventReader::lost),
            trace: self.events.take().map(EventReader::into_records),
            boot,
            ran_for: begin.elapsed(),
            exits: self.exits.exits() - exits,
            steal_ns: self.clocks.steal_ns().saturating_sub(steal_ns),
            sampling_error,
            judge: self.judge,
        };
        self.stop.stop();
        watched
    }

    fn await_first_thread(&self, is_over: &AtomicBool) {
        let begin = Instant::now();
        while BootState::read(&*self.ram).phase < phase::FIRST_THREAD
            && begin.elapsed() < BOOT_LIMIT.min(self.run)
            && !is_over.load(Ordering::Acquire)
        {
            thread::sleep(BOOT_POLL);
        }
    }

    fn sample(&mut self, begin: Instant, is_over: &AtomicBool) -> Result<(), String> {
        let told = |e: vmm_sys_util::errno::Error| format!("sampling ended: the host refuses a timer: {e}");
        let mut timer = TimerFd::new().map_err(told)?;
        let mut readings = vec![CpuReading::default(); self.clocks.len()];
        let before: Vec<u64> = (0..self.clocks.len()).map(|cpu| self.clocks.steal_ns_of(cpu)).collect();
        let kept_waiting = || {
            let steal = |(cpu, old): (usize, &u64)| self.clocks.steal_ns_of(cpu).saturating_sub(*old);
            Duration::from_nanos(before.iter().enumerate().map(steal).max().unwrap_or(0))
        };
        let mut end = PlannedEnd::of(self.run);
        while !is_over.load(Ordering::Acquire) && !end.has_come(begin.elapsed(), kept_waiting) {
            timer.reset(self.times.wait(begin.elapsed()), None).map_err(told)?;
            timer.wait().map_err(told)?;
            let doubts = self.judge.doubts();
            for (cpu, reading) in readings.iter_mut().enumerate() {
                reading.ran_ns = self.clocks.ran_ns(cpu);
                reading.is_ready = doubts >> cpu & 1 == 1 && self.clocks.is_ready(cpu);
            }
            let now = begin.elapsed().as_nanos() as u64;
            let end = self.judge.pass(&readings, now).map_err(|e| format!("sampling ended: {e}"))?;
            if let Some(events) = &mut self.events {
                events.drain(&*self.ram);
            }
            if end == PassEnd::Violated && self.until.as_ref().is_some_and(|v| v.is_over_with(&self.judge)) {
                break;
            }
        }
        Ok(())
    }
}

/// How the guest died, if it did: its epitaph, or how its vCPU ended.
fn death(machine: &Machine, symbols: &Symbols, glass: &Glass) -> Option<Death> {
    if let Some(epitaph) = machine.epitaph() {
        return Some(told(&epitaph, symbols, glass));
    }
    let end: VcpuEnd = machine.guest_end()?;
    let mut sentences = vec![format!("the guest ended without an epitaph: {end}")];
    if let Some(r) = end.registers {
        sentences.push(format!("    rip {}", symbols.name(r.rip)));
    }
    Some(Death { message: end.to_string(), sentences, by_deadman: false })
}

fn told(epitaph: &EpitaphRecord, symbols: &Symbols, glass: &Glass) -> Death {
    let name = glass.thread_name(epitaph.thread);
    let what = epitaph.reason_name();
    let mut sentences = vec![format!(
        "guest {what} on cpu {}, thread {name} ({:x}): {}",
        epitaph.cpu, epitaph.thread, epitaph.message
    )];
    let known: Vec<String> =
        epitaph.registers.iter().filter(|r| r.1 != 0).map(|(n, v)| format!("{n}={v:x}")).collect();
    for line in known.chunks(6) {
        sentences.push(format!("    {}", line.join(" ")));
    }
    let [rip, rbp] = ["rip", "rbp"].map(|name| epitaph.register(name).unwrap_or(0));
    let stack = glass.stack_of_the_dead(epitaph.thread, rip, rbp);
    let frames = stack.iter().enumerate();
    sentences.extend(frames.map(|(n, f)| format!("    {:016x} {}()", f.at, symbols.frame_name(n, f.pc))));
    Death { message: epitaph.message.clone(), sentences, by_deadman: epitaph.reason == reason::DEADMAN }
}
