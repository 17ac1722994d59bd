//! The simulated machine: which CPU runs when.
//!
//! # Invariants
//! - The CPU furthest behind runs, up to the horizon: the moment at which another CPU, or the caller, has its turn.
//! - Interrupts arrive at the first platform call at or after their time, as the priority level allows.
//! - No reference to the kernel outlives the machine: the coroutines are dropped first.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fmt, panic, ptr};

use crate::coroutine;
use crate::coroutine::Thread;
use crate::cpu::{NEVER, SimCpu};
use crate::host::Host;
use crate::rng::Rng;
use crate::sim::{End, SimConfig};
use crate::trace::TraceRecord;
use umpire_kernel::sys::MachCpu;
use umpire_kernel::{Cpu, Kernel, Kthread, intr};
use umpire_shared::boot::reason;
use umpire_shared::event::Kind;
use umpire_shared::program::Program;
use umpire_shared::sys::machlock::{HIGH_PIL, POKE_PIL, XC_SYS_PIL};

/// What a platform call costs at least, and how much more at random. Virtual ns.
const STEP_NS: u64 = 4;
const STEP_JITTER_NS: u64 = 24;
/// One in so many platform calls takes up to [`STALL_NS`], so that other CPUs get far ahead now and then.
const STALL_ONE_IN: u64 = 1024;
const STALL_NS: u64 = 4000;
/// The same where exits are open: what can happen between a look and a store is many steps of another CPU.
const OPEN_STALL_ONE_IN: u64 = 8;
/// What one turn of a loop that waits for another CPU takes at least; at random it takes up to twice that. A processor's `pause`
/// takes 15 to 50 ns; the longer one makes spinning cheap to simulate, and changes nothing in what order things may happen.
const RELAX_NS: u64 = 100;
/// How long a poke travels at least, and how much longer at random.
const POKE_NS: u64 = 700;
const POKE_JITTER_NS: u64 = 1500;
/// How far, at most, a CPU may get ahead of the next one in a turn.
const SLACK_NS: u64 = 64;
/// Bytes of stack that a thread believes it has: as many as on the image. There is more below, which nobody counts on.
const STACK: usize = 16 << 10;
/// How long a halted CPU takes to wake.
const WAKE_NS: u64 = 1200;

/// What a caller has threads do; see [`crate::Sim::run_instead`].
pub(crate) type Main = Rc<dyn Fn(&'static Kthread) -> bool>;

/// How far a thread's execution has come.
enum Execution {
    /// The thread has none, or it is running.
    Absent,
    /// It may begin.
    Prepared,
    /// It may go on.
    Suspended(Thread),
}

/// The part of a simulation that the platform functions see.
pub(crate) struct Machine {
    kernel: Arc<Kernel>,
    cpus: Vec<SimCpu>,
    threads: RefCell<Vec<Execution>>,
    rng: Rng,
    /// What takes CPUs off, if anything does.
    host: Option<Host>,
    /// The CPU that runs.
    current: Cell<usize>,
    /// When it must let other CPUs go on.
    horizon: Cell<u64>,
    /// Where the caller wants to stop; like the horizon, but the turn goes on afterwards.
    limit: Cell<u64>,
    /// True if the last turn ended at the limit, not at the horizon.
    is_cut_short: Cell<bool>,
    /// See [`Machine::set_open_exits`].
    has_open_exits: Cell<bool>,
    /// Time that the caller has asked for and got.
    reached: Cell<u64>,
    trace: RefCell<Vec<TraceRecord>>,
    console: RefCell<String>,
    end: RefCell<Option<End>>,
    main: RefCell<Option<Main>>,
}

impl Machine {
    /// A machine with a kernel that has run nothing yet, and no thread.
    pub(crate) fn new(config: &SimConfig<'_>, program: &Program<'_>) -> Machine {
        let cpus: Vec<SimCpu> = (0..config.ncpus).map(|_| SimCpu::new()).collect();
        Machine {
            kernel: Arc::new(Kernel::new(config.ncpus, program)),
            host: config.absence.map(|absence| Host::new(absence, config.seed, &cpus)),
            cpus,
            threads: RefCell::new(Vec::new()),
            rng: Rng::new(config.seed),
            current: Cell::new(0),
            horizon: Cell::new(0),
            limit: Cell::new(0),
            is_cut_short: Cell::new(false),
            has_open_exits: Cell::new(false),
            reached: Cell::new(0),
            trace: RefCell::new(Vec::new()),
            console: RefCell::new(String::new()),
            end: RefCell::new(None),
            main: RefCell::new(None),
        }
    }

    /// Has threads run `main` first; see [`crate::Sim::run_instead`].
    pub(crate) fn set_main(&self, main: Main) {
        self.main.replace(Some(main));
    }

    /// Runs the caller's code in thread `t`; false if it leaves the thread to its workload.
    pub(crate) fn run_instead(&self, t: &'static Kthread) -> bool {
        // Cloned: the code may be suspended, and other threads come here meanwhile.
        let main = self.main.borrow().clone();
        main.is_some_and(|main| main(t))
    }

    /// Adds the execution of the next thread of the kernel's arena; `None` for one that `thread_init` will prepare.
    pub(crate) fn add_thread(&self, thread: Option<Thread>) {
        self.threads.borrow_mut().push(thread.map_or(Execution::Absent, Execution::Suspended));
    }

    /// Every CPU has its idle thread from now on, and CPU 0 may run.
    pub(crate) fn power_on(&self) {
        for (n, cpu) in self.cpus.iter().enumerate() {
            cpu.curthread.set(Some(&self.kernel().k_threads[n]));
            let cp = &self.kernel().k_cpus[n];
            cp.cpu_mach.set(Some(&cp.cpu_m));
        }
        self.cpus[0].is_started.set(true);
    }

    /// The kernel, kept for as long as the result lives.
    pub(crate) fn keep(&self) -> Arc<Kernel> {
        Arc::clone(&self.kernel)
    }

    /// Time that every CPU has reached.
    pub(crate) fn reached_ns(&self) -> u64 {
        self.reached.get()
    }

    /// Virtual ns in which the host had taken a CPU off.
    pub(crate) fn away_ns(&self, cpu: usize) -> u64 {
        self.cpus[cpu].away_ns(self.reached.get())
    }

    /// True if a CPU is not asleep in its halt.
    pub(crate) fn is_ready(&self, cpu: usize) -> bool {
        !self.cpus[cpu].is_halted.get()
    }

    /// Virtual ns that a CPU has run, neither halted nor taken off.
    pub(crate) fn ran_ns(&self, cpu: usize) -> u64 {
        self.cpus[cpu].ran_ns(self.reached.get())
    }

    /// Console output since the last call.
    pub(crate) fn take_console(&self) -> String {
        self.console.take()
    }

    /// Events since the last [`Machine::take_trace`].
    pub(crate) fn trace(&self) -> Vec<TraceRecord> {
        self.trace.borrow().clone()
    }

    /// Events since the last call.
    pub(crate) fn take_trace(&self) -> Vec<TraceRecord> {
        self.trace.take()
    }

    /// Runs every CPU up to a time; false if nothing will ever happen again.
    pub(crate) fn run_until(&self, time_ns: u64) -> bool {
        self.limit.set(time_ns);
        loop {
            // A CPU whose turn was cut short by the last limit goes on with it: where the caller stops changes nothing.
            let is_same_turn = self.is_cut_short.replace(false);
            let (first, at, next) = if is_same_turn {
                (self.current.get(), self.here().next_step(), 0)
            } else {
                self.furthest_behind()
            };
            if at >= time_ns {
                self.is_cut_short.set(is_same_turn);
                self.reached.set(self.reached.get().max(time_ns));
                return at != NEVER;
            }
            if !is_same_turn {
                // A little more than the next CPU's time, so that the two do not change places at every step.
                self.horizon.set(next.saturating_add(self.rng.below(SLACK_NS)));
                self.current.set(first);
            }
            self.arrive_at(at);
            let did = self.curthread().t_did as usize;
            let mut thread = self.take_thread(did);
            thread.resume();
            self.threads.borrow_mut()[did] = Execution::Suspended(thread);
        }
    }

    /// The execution of thread `did`, made now if the thread has not run before: most system threads never run, and many of
    /// those that do run cost less than their stack.
    fn take_thread(&self, did: usize) -> Thread {
        let execution = std::mem::replace(&mut self.threads.borrow_mut()[did], Execution::Absent);
        match execution {
            Execution::Suspended(thread) => thread,
            Execution::Prepared => {
                let thread = Thread::new(|| umpire_kernel::thread::thread_start())
                    .unwrap_or_else(|e| panic!("resume: no stack for thread {did}: {e}"));
                self.kernel().k_threads[did].t_stkbase.store(thread.stack_top() - STACK, Ordering::Relaxed);
                thread
            }
            Execution::Absent => unreachable!("invariant: a thread runs on one CPU at a time"),
        }
    }

    /// The CPU to run, its time, and the time of the one after it.
    fn furthest_behind(&self) -> (usize, u64, u64) {
        let (mut first, mut at, mut next) = (0, NEVER, NEVER);
        for (n, cpu) in self.cpus.iter().enumerate() {
            let step = cpu.next_step();
            if step < at {
                (first, next, at) = (n, at, step);
            } else {
                next = next.min(step);
            }
        }
        (first, at, next)
    }

    /// Lets the CPU that runs go on at `at`, from its halt or from the middle of computing.
    fn arrive_at(&self, at: u64) {
        let cpu = self.here();
        if cpu.is_halted.get() {
            cpu.is_halted.set(false);
            cpu.halted_ns.set(cpu.halted_ns.get() + (at - cpu.time.get()));
            cpu.time.set(at + WAKE_NS);
            if let Some(host) = &self.host {
                host.wake(cpu);
            }
        } else if cpu.busy_until.replace(0) != 0 {
            cpu.time.set(at);
        }
    }

    /// The CPU that runs.
    #[inline(always)]
    pub(crate) fn here(&self) -> &SimCpu {
        &self.cpus[self.current.get()]
    }

    /// The level and the pending interrupts of the CPU that runs. Hardware's and the kernel's own are not told apart.
    #[inline(always)]
    pub(crate) fn mach(&self) -> &MachCpu {
        &self.kernel.k_cpus[self.current.get()].cpu_m
    }

    /// The levels that are pending on the CPU that runs.
    #[inline(always)]
    pub(crate) fn pending(&self) -> u32 {
        self.mach().mcpu_hw_pending.load(Ordering::Relaxed)
    }

    /// Makes levels pending on the CPU that runs.
    #[inline(always)]
    pub(crate) fn pend(&self, levels: u32) {
        let pending = &self.mach().mcpu_hw_pending;
        pending.store(pending.load(Ordering::Relaxed) | levels, Ordering::Relaxed);
    }

    /// Takes a level's bit away.
    fn unpend(&self, level: u32) {
        let pending = &self.mach().mcpu_hw_pending;
        pending.store(pending.load(Ordering::Relaxed) & !(1 << level), Ordering::Relaxed);
    }

    #[inline(always)]
    pub(crate) fn kernel(&self) -> &'static Kernel {
        // SAFETY: the Arc keeps the kernel where it is until the machine is dropped, and the coroutines, the only
        // ones to keep the reference, are dropped before (`Drop`). The 'static stays inside the simulation.
        unsafe { &*Arc::as_ptr(&self.kernel) }
    }

    #[inline(always)]
    pub(crate) fn cpu(&self) -> &'static Cpu {
        &self.kernel().k_cpus[self.current.get()]
    }

    #[inline(always)]
    pub(crate) fn curthread(&self) -> &'static Kthread {
        self.here().curthread.get().expect("invariant: every CPU has a current thread from boot on")
    }

    pub(crate) fn set_curthread(&self, t: &'static Kthread) {
        self.here().curthread.set(Some(t));
    }

    /// CPU 0 has linked the kernel: the others may come.
    pub(crate) fn start_others(&self) {
        for cpu in &self.cpus {
            cpu.is_started.set(true);
        }
        self.horizon.set(0);
    }

    pub(crate) fn thread_init(&self, t: &'static Kthread) {
        self.threads.borrow_mut()[t.t_did as usize] = Execution::Prepared;
    }

    pub(crate) fn now(&self) -> u64 {
        self.here().time.get()
    }

    pub(crate) fn set_timer(&self, deadline_ns: u64) {
        self.here().timer.set(deadline_ns);
    }

    pub(crate) fn poke(&self, cpu: u32) {
        let target = &self.cpus[cpu as usize];
        let at = self.now() + POKE_NS + self.rng.below(POKE_JITTER_NS);
        target.poke.set(target.poke.get().min(at));
        self.horizon.set(self.horizon.get().min(target.next_step()));
    }

    /// An interrupt of level 13 travels as a poke does.
    pub(crate) fn xcall(&self, cpu: u32) {
        let target = &self.cpus[cpu as usize];
        let at = self.now() + POKE_NS + self.rng.below(POKE_JITTER_NS);
        target.xcall.set(target.xcall.get().min(at));
        self.horizon.set(self.horizon.get().min(target.next_step()));
    }

    /// Lets one platform call's worth of time pass; other CPUs may come in between, and interrupts arrive.
    #[inline]
    pub(crate) fn interleave(&self) {
        let draw = self.rng.next();
        let mut cost = STEP_NS + (draw & 0xffff) % STEP_JITTER_NS;
        let one_in = if self.has_open_exits.get() { OPEN_STALL_ONE_IN } else { STALL_ONE_IN };
        if (draw >> 16).is_multiple_of(one_in) {
            cost += (draw >> 32) % STALL_NS;
        }
        self.advance(cost);
    }

    /// The platform's `drop_owner`. Unless `set_open_exits` was called it is one step.
    pub(crate) fn drop_owner(&self, word: &AtomicUsize, owner: usize) -> bool {
        loop {
            if word.load(Ordering::Relaxed) != owner {
                return false;
            }
            if self.has_open_exits.get() {
                let (cpu, taken) = (self.here(), self.here().taken.get());
                self.interleave();
                if !ptr::eq(cpu, self.here()) || taken != cpu.taken.get() {
                    continue;
                }
            }
            word.store(0, Ordering::Release);
            return true;
        }
    }

    /// Lets other CPUs and interrupts come between look and store of `mutex_exit`, as they do on hardware, and CPUs stall more often.
    pub(crate) fn set_open_exits(&self) {
        self.has_open_exits.set(true);
    }

    pub(crate) fn relax(&self) {
        self.advance(RELAX_NS + self.rng.below(RELAX_NS));
    }

    /// Computes for `ns`, taking interrupts at their times; the time they take is not counted. No other CPU has to wait for it:
    /// the CPU's next step is the end of the computing, or an interrupt that may still be sent.
    pub(crate) fn spin(&self, ns: u64) {
        let mut left = ns;
        while left > 0 {
            let cpu = self.here();
            let begin = cpu.time.get();
            let end = (begin + left).min(cpu.away.cut().max(begin + 1));
            cpu.busy_until.set(end);
            let at = cpu.next_step();
            if at >= self.horizon.get() {
                coroutine::suspend();
            } else {
                while cpu.next_step() >= self.limit.get() {
                    self.is_cut_short.set(true);
                    coroutine::suspend();
                    cpu.busy_until.set(end);
                }
                cpu.busy_until.set(0);
                cpu.time.set(at);
            }
            left -= cpu.time.get() - begin;
            if cpu.time.get() >= cpu.away.cut() {
                self.be_away();
            }
            if cpu.time.get() >= cpu.next_interrupt() {
                self.deliver();
            }
        }
    }

    pub(crate) fn halt(&self) {
        self.arrive();
        let cpu = self.here();
        if self.pending() == 0 {
            cpu.is_halted.set(true);
            coroutine::suspend();
            self.arrive();
        }
    }

    pub(crate) fn take_pending(&self, above: u32) -> u32 {
        let level = 31 - (self.pending() | 1).leading_zeros();
        if level <= above {
            return 0;
        }
        self.unpend(level);
        level
    }

    #[inline]
    fn advance(&self, ns: u64) {
        let cpu = self.here();
        let mut time = cpu.time.get() + ns;
        cpu.time.set(time);
        if time >= cpu.away.next() {
            self.be_away();
            time = cpu.time.get();
        }
        if time >= cpu.next_interrupt() {
            self.deliver();
        }
        let time = self.here().time.get();
        if time >= self.horizon.get() {
            coroutine::suspend();
        } else if time >= self.limit.get() {
            self.is_cut_short.set(true);
            coroutine::suspend();
        }
    }

    /// The time of the CPU that runs has come: the host may take it off.
    #[cold]
    fn be_away(&self) {
        if let Some(host) = &self.host {
            host.look_at(self.here());
        }
    }

    /// Makes the interrupts that have arrived pending, and takes those that the level lets through.
    #[cold]
    fn deliver(&self) {
        self.arrive();
        loop {
            let old = self.mach().mcpu_pri.load(Ordering::Relaxed);
            // Only interrupts from outside are delivered here; the kernel asks for soft interrupts itself.
            let hard = self.pending() & (1 << HIGH_PIL | 1 << XC_SYS_PIL | 1 << POKE_PIL);
            let level = 31 - (hard | 1).leading_zeros();
            if level <= old {
                return;
            }
            self.unpend(level);
            self.here().taken.set(self.here().taken.get() + 1);
            self.mach().mcpu_pri.store(level, Ordering::Relaxed);
            intr::interrupt(level, old);
        }
    }

    fn arrive(&self) {
        let cpu = self.here();
        let now = cpu.time.get();
        if now >= cpu.timer.get() {
            cpu.timer.set(NEVER);
            self.pend(1 << HIGH_PIL);
        }
        if now >= cpu.xcall.get() {
            cpu.xcall.set(NEVER);
            self.pend(1 << XC_SYS_PIL);
        }
        if now >= cpu.poke.get() {
            cpu.poke.set(NEVER);
            self.pend(1 << POKE_PIL);
        }
    }

    pub(crate) fn record(&self, time_ns: u64, kind: Kind, t: &Kthread, arg: u64) {
        self.trace.borrow_mut().push(TraceRecord {
            time_ns,
            cpu: self.current.get() as u32,
            kind,
            thread: t.t_did,
            pri: t.pri(),
            arg,
        });
    }

    pub(crate) fn console(&self, text: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.console.borrow_mut().write_fmt(text);
    }

    pub(crate) fn note_panic(&self, message: String) {
        self.note_end(reason::PANIC, message);
    }

    pub(crate) fn stop(&self, reason: u32, message: fmt::Arguments<'_>) -> ! {
        self.note_end(reason, message.to_string());
        panic::resume_unwind(Box::new("the guest has stopped"))
    }

    fn note_end(&self, reason: u32, message: String) {
        let thread = self.here().curthread.get().map_or(0, |t| t.t_did);
        let end = End { reason, message, cpu: self.current.get() as u32, thread };
        self.end.borrow_mut().get_or_insert(end);
    }

    pub(crate) fn take_end(&self) -> End {
        self.end.take().unwrap_or(End {
            reason: reason::PANIC,
            message: String::from("the simulator panicked outside the kernel"),
            cpu: self.current.get() as u32,
            thread: 0,
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The coroutines go before the kernel, to which their stacks refer.
        self.threads.borrow_mut().clear();
    }
}
