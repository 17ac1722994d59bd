//! Runs on KVM: the machine runs, a thread of its own samples beside it, and this one waits for either to end.
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

use super::death::Death;
use super::end::PlannedEnd;
use super::guest::Guest;
use super::report::{Look, RunError, RunOptions, VariantReport};
use super::run::{self, MachineRun, RunSpec};
use super::sample_times::SampleTimes;
use super::session::{HoldAt, Openness, Session};
use super::watcher::{Sampled, Spent, TimeSource, Watcher};
use umpire_machine::confine::{self, Role};
use umpire_machine::{
    EpitaphRecord, GUEST_IMAGE, GuestRam, GuestTsc, HostAbsence, Machine, MachineConfig, MachineError,
    MachineView, VcpuEnd, WaitEnd, Written, signals,
};
use umpire_scenario::{Scenario, Variant};
use umpire_shared::boot::{phase, reason};
use umpire_watch::glass::{
    CpuClocks, Glass, Held, Kinds, LiveMachine, Panic, Symbols, Target, Trace, TraceReader, TraceRecord,
};
use umpire_watch::monitor::{Judge, PassEnd};

/// A guest that has not run a thread by then will be judged as it is.
const BOOT_LIMIT: Duration = Duration::from_secs(10);
/// A guest is waited for so long however short its run: a boot took 3 ms on one host and 30 ms on another.
const BOOT_PATIENCE: Duration = Duration::from_secs(1);
/// How often the sampler looks whether the guest is up.
const BOOT_POLL: Duration = Duration::from_micros(50);
/// What the main thread waits beyond the planned end: only a sampler that hangs needs it.
const GRACE: Duration = Duration::from_secs(10);

/// A wait that was interrupted, as Linux numbers it.
const EINTR: i32 = 4;
/// A record is stamped before it can be read: a vCPU that the host takes off in between is given so many ns to come back.
const OVERTAKES_NS: u64 = 1_000_000_000;

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
        let build = |spec: &RunSpec<'_>| {
            let machine = KvmRun::build(&mut self.guest, spec)?;
            Ok(KvmRun {
                absence: options.absence,
                absence_seed: options.absence_seed,
                openness: options.openness.clone(),
                ..machine
            })
        };
        run::run(scenario, variant, options, build, look)
    }
}

/// A machine, and how it is to be run.
struct KvmRun {
    machine: Machine,
    live: LiveMachine,
    symbols: Arc<Symbols>,
    run: Duration,
    period: Duration,
    /// How the host is to put vCPUs aside, and what draws the moments.
    absence: Option<HostAbsence>,
    absence_seed: u64,
    openness: Openness,
}

impl KvmRun {
    /// The machine first: the image's debug information is being read meanwhile.
    fn build(guest: &mut Guest, spec: &RunSpec<'_>) -> Result<KvmRun, RunError> {
        let scenario = spec.scenario;
        let config = MachineConfig {
            image: &GUEST_IMAGE,
            ncpus: scenario.cpus,
            nthreads: spec.variant.threads.len() as u32,
            program: spec.program,
            trace_records: spec.records(),
        };
        let machine = Machine::build(&config).map_err(set_up)?;
        let layout = guest.layout().map_err(|e| RunError::Glass(Box::new(e)))?;
        let symbols = guest.symbols().map_err(|e| RunError::Glass(Box::new(e)))?;
        Ok(KvmRun {
            live: LiveMachine::new(machine.view().clone(), layout, Arc::clone(&symbols), spec.identity(None)),
            machine,
            symbols,
            run: Duration::from_nanos(scenario.run_ns),
            period: Duration::from_nanos(scenario.period_ns()),
            absence: None,
            absence_seed: 0,
            openness: Openness::default(),
        })
    }
}

fn set_up(e: impl std::error::Error + Send + Sync + 'static) -> RunError {
    RunError::SetUp(Box::new(e))
}

impl MachineRun for KvmRun {
    fn target(&self) -> &dyn Target {
        &self.live
    }

    fn play(&mut self, watcher: Watcher<'_>) -> Result<Sampled, RunError> {
        let (live, view, stop) = (&self.live, self.live.view(), self.machine.stop_handle());
        let (run, period, built) = (self.run, self.period, Instant::now());
        let (tsc, keep) = (self.machine.tsc(), watcher.keep());
        let limit = BOOT_LIMIT + GRACE + PlannedEnd::of(run).latest();
        let is_over = AtomicBool::new(false);
        let (session, unreachable) =
            Session::open(&self.openness, &self.machine, live, period).map_err(set_up)?;
        let session = &session;
        session.starts();
        let (absence, seed) = (self.absence, self.absence_seed);
        let role = if watcher.writes_a_core() { Role::SamplerWithCore } else { Role::Sampler };
        let machine = &mut self.machine;
        let (end, sampled) = thread::scope(|scope| {
            let sampler = thread::Builder::new()
                .name("sampler".to_owned())
                .spawn_scoped(scope, || {
                    let _confined = confine::enter(role);
                    await_first_thread(view, run, &is_over);
                    let sampled = watcher.look_until_over(RealTime::begin(
                        live,
                        built,
                        run,
                        period,
                        &is_over,
                        (tsc, keep),
                        session,
                    ));
                    stop.stop();
                    sampled
                })
                .map_err(|e| RunError::SetUp(Box::new(e)))?;
            let end = machine
                .start()
                .and_then(|()| absence.map_or(Ok(()), |absence| machine.disturb(absence, seed)))
                .and_then(|()| wait(machine, limit));
            is_over.store(true, Ordering::Release);
            let sampled = sampler.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok::<_, RunError>((end, sampled))
        })?;
        let stopped = machine.stop();
        let end = end.map_err(set_up)?;
        stopped.map_err(set_up)?;
        let mut sampled = sampled;
        sampled.unreachable = unreachable;
        sampled.spent.held_ns = self.live.view().held().as_nanos() as u64;
        sampled.spent.interrupted = end == WaitEnd::Interrupted;
        sampled.spent.is_cut = session.was_cut();
        let first_thread = machine.tsc().since_build_ns(view.boot_state().first_thread_tsc);
        // A machine that was held meanwhile booted for less time than its counter says.
        if self.openness.hold != Some(HoldAt::Start) {
            sampled.spent.boot_ns = first_thread.unwrap_or(sampled.spent.boot_ns);
        }
        Ok(sampled)
    }

    fn writes(&self) -> Vec<Written> {
        self.live.view().writes()
    }

    /// Its epitaph, or how its vCPU ended.
    fn death(&self, glass: &Glass) -> Option<Death> {
        if let Some(epitaph) = self.live.view().epitaph() {
            return Some(told(&epitaph, &self.symbols, glass));
        }
        let end: VcpuEnd = self.live.view().guest_end()?;
        let mut sentences = vec![format!("the guest ended without an epitaph: {end}")];
        if let Some(r) = end.registers {
            sentences.push(format!("    rip {}", self.symbols.name(r.rip)));
        }
        Some(Death { message: end.to_string(), sentences, by_deadman: false })
    }
}

/// Waits for the machine's end, or for `limit` in which it was not held.
fn wait(machine: &mut Machine, limit: Duration) -> Result<WaitEnd, MachineError> {
    let mut held = Duration::ZERO;
    loop {
        let end = machine.wait(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))?;
        let now_held = machine.view().held();
        if end != WaitEnd::RunTimeOver || now_held == held {
            return Ok(end);
        }
        held = now_held;
    }
}

/// Waits for the guest's first scenario thread, until `is_over` or until every vCPU has had time for its `run`, or
/// [`BOOT_PATIENCE`], but for no longer than [`BOOT_LIMIT`] in which the machine was not held.
fn await_first_thread(view: &MachineView, run: Duration, is_over: &AtomicBool) {
    let patience = run.max(BOOT_PATIENCE);
    let (begin, clocks) = (Instant::now(), view.clocks());
    let kept_waiting = || (0..clocks.len()).map(|cpu| clocks.steal_ns_of(cpu)).max().unwrap_or(0);
    let is_spent = |elapsed: Duration| {
        elapsed >= BOOT_LIMIT
            || elapsed >= patience && elapsed.saturating_sub(Duration::from_nanos(kept_waiting())) >= patience
    };
    while view.boot_state().phase < phase::FIRST_THREAD
        && !is_spent(begin.elapsed().saturating_sub(view.held()))
        && !is_over.load(Ordering::Acquire)
    {
        thread::sleep(BOOT_POLL);
    }
}

/// Real time, as it passes for a sampler beside a machine that runs.
struct RealTime<'m> {
    live: &'m LiveMachine,
    view: &'m MachineView,
    ram: Arc<GuestRam>,
    tsc: GuestTsc,
    is_over: &'m AtomicBool,
    /// From the start of the machine to the beginning.
    boot: Duration,
    begin: Instant,
    exits_before: u64,
    /// Steal of each vCPU.
    steal_before: Vec<u64>,
    timer: Option<TimerFd>,
    times: SampleTimes,
    end: PlannedEnd,
    reader: TraceReader,
    session: &'m Session,
    /// For how long the machine had been held at the beginning.
    held_before: Duration,
}

impl<'m> RealTime<'m> {
    /// Begins now; the machine was built at `built`.
    fn begin(
        live: &'m LiveMachine,
        built: Instant,
        run: Duration,
        period: Duration,
        is_over: &'m AtomicBool,
        (tsc, keep): (GuestTsc, Kinds),
        session: &'m Session,
    ) -> RealTime<'m> {
        let (begin, view) = (Instant::now(), live.view());
        let boot = built.elapsed().saturating_sub(session.held());
        RealTime {
            live,
            view,
            ram: view.memory(),
            tsc,
            is_over,
            boot,
            begin,
            exits_before: view.exits(),
            steal_before: (0..view.clocks().len()).map(|cpu| view.clocks().steal_ns_of(cpu)).collect(),
            timer: None,
            times: SampleTimes::every(period),
            end: PlannedEnd::of(run),
            reader: TraceReader::of(keep),
            session,
            held_before: session.held(),
        }
    }

    /// Steal of each vCPU since the beginning, in ns.
    fn steal_ns(&self) -> impl Iterator<Item = u64> {
        let clocks = self.view.clocks();
        let before = self.steal_before.iter().enumerate();
        before.map(|(cpu, before)| clocks.steal_ns_of(cpu).saturating_sub(*before))
    }

    /// Time since the beginning in which the machine was not held.
    fn elapsed(&self) -> Duration {
        self.begin.elapsed().saturating_sub(self.session.held().saturating_sub(self.held_before))
    }

    fn kept_waiting(&self) -> Duration {
        Duration::from_nanos(self.steal_ns().max().unwrap_or(0))
    }
}

impl TimeSource for RealTime<'_> {
    fn advance(&mut self) -> Result<bool, String> {
        let told = |e: vmm_sys_util::errno::Error| format!("sampling ended: the host refuses a timer: {e}");
        self.session.wait_while_held(self.is_over);
        let mut end = self.end;
        let has_come = end.has_come(self.elapsed(), || self.kept_waiting());
        self.end = end;
        if has_come || self.is_over.load(Ordering::Acquire) || self.session.must_end() {
            return Ok(false);
        }
        let wait = self.times.wait(self.elapsed());
        let timer = match &mut self.timer {
            Some(timer) => timer,
            none => none.insert(TimerFd::new().map_err(told)?),
        };
        timer.reset(wait, None).map_err(told)?;
        // A signal that interrupts the wait is no end of it.
        while let Err(e) = timer.wait() {
            if e.errno() != EINTR {
                return Err(told(e));
            }
        }
        // A machine that is held is not judged before it goes on.
        if self.session.wait_while_held(self.is_over) { self.advance() } else { Ok(true) }
    }

    fn now_ns(&self) -> u64 {
        self.elapsed().as_nanos() as u64
    }

    fn guest_now_ns(&self) -> Option<u64> {
        self.tsc.since_ns(self.view.boot_state().tsc_base)
    }

    fn clocks(&self) -> &dyn CpuClocks {
        self.view.clocks()
    }

    fn drain_trace(&mut self) {
        self.reader.drain(&*self.ram);
    }

    fn held_trace(&self) -> Held {
        TraceReader::held(&*self.ram)
    }

    fn hand_out_trace(&mut self) -> Vec<TraceRecord> {
        self.reader.take()
    }

    fn handed_out_until_ns(&self) -> u64 {
        self.guest_now_ns().unwrap_or(0).saturating_sub(OVERTAKES_NS)
    }

    fn writes_after(&self, count: usize) -> Vec<Written> {
        self.view.writes_after(count)
    }

    fn target(&self) -> &dyn Target {
        self.live
    }

    fn has_died(&self) -> bool {
        self.view.guest_end().is_some()
    }

    /// Its last words are in its memory.
    fn panic(&self) -> Option<Panic> {
        None
    }

    fn console(&self) -> String {
        self.view.console_so_far()
    }

    fn passed(&mut self, judge: &Judge, end: PassEnd) {
        self.session.passed(judge, self.now_ns());
        if end == PassEnd::Violated {
            self.session.violated(judge, self.now_ns());
        }
    }

    fn over(&mut self, judge: &Judge) {
        self.session.over(judge, self.now_ns());
    }

    fn spent(&self) -> Spent {
        Spent {
            boot_ns: self.boot.as_nanos() as u64,
            run_ns: self.now_ns(),
            exits: self.view.exits() - self.exits_before,
            steal_ns: self.steal_ns().sum(),
            held_ns: self.session.held().as_nanos() as u64,
            interrupted: signals::interrupted(),
            is_cut: self.session.was_cut(),
        }
    }

    fn into_trace(self) -> Trace {
        self.reader.into_trace()
    }
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
