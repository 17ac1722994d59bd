//! One thread for each vCPU, and how it is kicked out of the guest.
//!
//! # Invariants
//! - Kick protocol: the kicker first sets `must_stop`, then `immediate_exit` through a mapping of its own,
//!   then sends the signal. Only the vCPU's thread clears `immediate_exit`, after EINTR, and looks at
//!   `must_stop` after it has cleared it.
//! - A vCPU that is asked where it stands is kicked in the same way, with `asked` instead of `must_stop`: its thread notes its
//!   registers and goes on. The guest has lost some microseconds, no more.
//! - A thread that has been started reports its end, whatever happens in it.
//! - A thread holds the guest's memory, so a vCPU that cannot be stopped never runs on memory that is gone.
//!
//! ```text
//!   kicker                        vCPU thread
//!   must_stop = true              loop: must_stop? -> leave
//!   fence                               KVM_RUN   <- returns EINTR at once if immediate_exit is set
//!   immediate_exit = 1                  EINTR: immediate_exit = 0; fence; loop
//!   fence, signal
//! ```
//! The signal may arrive before KVM_RUN (then `immediate_exit` is already set), in it (then it interrupts),
//! or after an EINTR of another cause (then the fences make `must_stop` visible to the next turn).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kvm_ioctls::VcpuFd;
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::signal::{Killable, register_signal_handler};

use super::MachineError;
use super::absence::{self, HostAbsence};
use super::clock::VcpuClocks;
use super::confine::{self, Role};
use super::debug::{Bell, Debug, Stop, Why};
use super::exit::{EndReason, Next, VcpuEnd, judge};
use super::hold::{Holds, nobody_stays};
use super::memory::GuestRam;
use super::precedence;
use super::registers::Registers;
use super::standing::Standing;
use super::trap::Stepper;

/// What the threads of one machine share with it.
#[derive(Debug)]
pub(super) struct Shared {
    must_stop: AtomicBool,
    state: Mutex<State>,
    pub(super) changed: Condvar,
    /// The threads, for all that kick them. The lock is never held while something is waited for.
    threads: Mutex<Vec<Thread>>,
    /// Of which vCPUs is asked where they stand. Set before the kick, taken after `immediate_exit` was cleared; a fence stands
    /// after the one and before the other, as for `must_stop`.
    pub(super) asked: Box<[AtomicBool]>,
    /// For how many ns each vCPU is to stay out of the guest, 0: not at all. Set before the kick, and taken, as `asked` is.
    pub(super) asides: Box<[AtomicU64]>,
    /// Whether each vCPU is to stay out of the guest until it is let go: a copy of what `state` says, for a look without the lock.
    pub(super) stays: Box<[AtomicBool]>,
    /// True while all of them are. It is only a reason to look under the lock.
    pub(super) is_frozen: AtomicBool,
    exits: Box<[AtomicU64]>,
    /// The vCPUs' own time.
    pub clocks: Arc<VcpuClocks>,
    /// Becomes readable when a vCPU ends by itself.
    pub ended: EventFd,
    /// Becomes readable when the guest asks for its console to be read.
    pub bell: EventFd,
    /// Becomes readable when a debugger has something to look at.
    pub(super) debugged: Bell,
}

#[derive(Debug, Default)]
pub(super) struct State {
    may_run: bool,
    /// vCPUs whose threads have not finished.
    pub(super) live: Vec<u32>,
    first_end: Option<VcpuEnd>,
    pub(super) registers: Vec<Option<Registers>>,
    /// Who is held.
    pub(super) holds: Holds,
    /// The debugger, if there is one.
    pub(super) debug: Debug,
    /// What vCPUs that were asked have answered.
    pub(super) standing: Vec<Option<Standing>>,
}

impl Shared {
    /// State for so many vCPUs, none of them started.
    pub(super) fn new(ncpus: usize) -> Result<Shared, MachineError> {
        let eventfd = || {
            EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)
                .map_err(|e| MachineError::os("create an eventfd", e))
        };
        Ok(Shared {
            must_stop: AtomicBool::new(false),
            state: Mutex::new(State {
                registers: vec![None; ncpus],
                standing: vec![None; ncpus],
                holds: Holds::new(ncpus),
                ..State::default()
            }),
            changed: Condvar::new(),
            threads: Mutex::new(Vec::with_capacity(ncpus)),
            asked: (0..ncpus).map(|_| AtomicBool::new(false)).collect(),
            asides: (0..ncpus).map(|_| AtomicU64::new(0)).collect(),
            stays: nobody_stays(ncpus),
            is_frozen: AtomicBool::new(false),
            exits: (0..ncpus).map(|_| AtomicU64::new(0)).collect(),
            clocks: Arc::new(VcpuClocks::new(ncpus)),
            ended: eventfd()?,
            bell: eventfd()?,
            debugged: Bell::new()?,
        })
    }

    /// Exits to the VMM so far, kicks not counted.
    pub(super) fn exits(&self) -> u64 {
        self.exits.iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }

    /// The first vCPU that ended by itself.
    pub(super) fn first_end(&self) -> Option<VcpuEnd> {
        self.lock().first_end
    }

    /// Where a vCPU was when it left the guest; `None` while it runs, and when it is about to go on.
    pub(super) fn registers(&self, cpu: usize) -> Option<Registers> {
        let state = self.lock();
        let registers = state.registers.get(cpu).copied().flatten()?;
        (!state.holds.is_going(cpu)).then_some(registers)
    }

    /// Kicks a vCPU out of the guest, if it has a thread. What it shall then see was written before, with a fence after it.
    pub(super) fn kick(&self, cpu: usize) {
        if let Some(thread) = self.threads().get_mut(cpu) {
            thread.kick();
        }
    }

    /// True if every vCPU is to leave the guest for good.
    pub(super) fn must_stop(&self) -> bool {
        self.must_stop.load(Ordering::Acquire)
    }

    fn threads(&self) -> MutexGuard<'_, Vec<Thread>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // A thread that panicked while it held the lock left nothing half done that matters here.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the threads into the guest.
    fn release(&self) {
        self.lock().may_run = true;
        self.changed.notify_all();
    }

    /// Waits for [`Shared::release`] or a stop.
    fn wait_for_release(&self) {
        let blocked = |s: &mut State| !s.may_run && !self.must_stop.load(Ordering::Relaxed);
        let _released = self.changed.wait_while(self.lock(), blocked).unwrap_or_else(PoisonError::into_inner);
    }

    /// Waits until every thread has finished, `limit` at most; gives those that have not by then.
    fn wait_for_all(&self, limit: Duration) -> Vec<u32> {
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |s| !s.live.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.live.clone()
    }
}

/// The running vCPUs of a machine, as seen by the code that controls them.
#[derive(Debug)]
pub(super) struct Vcpus {
    shared: Arc<Shared>,
    disturber: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Thread {
    /// The kicker's own mapping of the vCPU's `kvm_run`.
    kicker: VcpuFd,
    handle: JoinHandle<()>,
}

impl Thread {
    /// Has the thread come out of KVM_RUN, now or when it next would go in. What it shall then see was written before, with a
    /// fence after it.
    fn kick(&mut self) {
        self.kicker.set_kvm_immediate_exit(1);
        fence(Ordering::SeqCst);
        // A thread that has finished but is not joined takes no harm from a signal.
        let _delivered = self.handle.kill(kick_signal());
    }
}

impl Vcpus {
    /// Starts a thread for each pair of a vCPU and a second mapping of it, and lets them into the guest when all
    /// are there.
    ///
    /// # Errors
    /// [`MachineError::Os`] if the host refuses a thread or the signal; no thread is left then.
    pub(super) fn start(
        shared: &Arc<Shared>,
        ram: &Arc<GuestRam>,
        fds: Vec<(VcpuFd, VcpuFd)>,
    ) -> Result<Vcpus, MachineError> {
        catch_kicks();
        let mut vcpus = Vcpus { shared: Arc::clone(shared), disturber: None };
        for (cpu, (fd, kicker)) in fds.into_iter().enumerate() {
            let (shared, ram) = (Arc::clone(shared), Arc::clone(ram));
            vcpus.shared.lock().live.push(cpu as u32);
            let spawned = std::thread::Builder::new().name(format!("vcpu{cpu}")).spawn(move || {
                live(&shared, cpu, fd, &ram);
                drop(ram);
            });
            match spawned {
                Ok(handle) => vcpus.shared.threads().push(Thread { kicker, handle }),
                Err(e) => {
                    vcpus.shared.lock().live.pop();
                    vcpus.stop(STOP_LIMIT)?;
                    return Err(MachineError::os("start a thread for a vCPU", e));
                }
            }
        }
        shared.release();
        Ok(vcpus)
    }

    /// Has vCPUs put aside until they are stopped (`absence.rs`).
    ///
    /// # Errors
    /// [`MachineError::Os`] if the host refuses a thread.
    pub(super) fn disturb(&mut self, absence: HostAbsence, seed: u64) -> Result<(), MachineError> {
        let ncpus = self.shared.clocks.len();
        self.disturber = Some(absence::disturb(Arc::clone(&self.shared), ncpus, absence, seed)?);
        Ok(())
    }

    /// Kicks every vCPU out of the guest; does not wait.
    pub(super) fn kick(&mut self) {
        self.shared.must_stop.store(true, Ordering::Release);
        // A thread may still wait for its start. It looks at must_stop and falls asleep under the lock, so the lock is
        // taken before the wake-up:
        //
        //   kicker                 vCPU thread
        //                          lock; must_stop? -> no
        //   must_stop = true
        //   lock ...               sleep, which unlocks
        //   ... unlock
        //   notify_all             wakes; must_stop? -> yes
        drop(self.shared.lock());
        self.shared.changed.notify_all();
        // must_stop is visible before immediate_exit: a thread that clears the one sees the other.
        fence(Ordering::SeqCst);
        self.shared.threads().iter_mut().for_each(Thread::kick);
    }

    /// Kicks every vCPU out and joins its thread.
    ///
    /// # Errors
    /// [`MachineError::Stuck`] with the vCPUs that did not come out within `limit`.
    pub(super) fn stop(&mut self, limit: Duration) -> Result<(), MachineError> {
        self.kick();
        let started = Instant::now();
        let stuck = self.shared.wait_for_all(limit);
        // It ends at once: it waits for nothing when the machine is to stop.
        let _ended = self.disturber.take().map(JoinHandle::join);
        let threads = std::mem::take(&mut *self.shared.threads());
        for (cpu, thread) in threads.into_iter().enumerate() {
            if !stuck.contains(&(cpu as u32)) {
                // It reported its end as its last action; a panic in it was reported as such.
                let _ended = thread.handle.join();
            }
        }
        if stuck.is_empty() {
            return Ok(());
        }
        Err(MachineError::Stuck { cpus: stuck, waited: started.elapsed() })
    }
}

/// For how long a kicked vCPU may take to come out of the guest.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(2);

/// How often a vCPU tries again for which the host has no memory.
const PATIENCE: u32 = 1_000;

/// The life of a vCPU's thread.
fn live(shared: &Shared, cpu: usize, mut fd: VcpuFd, ram: &GuestRam) {
    let mut report = Report { shared, cpu, end: Some(EndReason::Panicked), registers: None };
    shared.clocks.enter(cpu);
    precedence::yield_to_the_rest();
    // Its clock's files are open. From here on it faces the guest.
    let _confined = confine::enter(Role::Vcpu);
    shared.wait_for_release();
    report.end = run(shared, cpu, &mut fd, ram);
    report.registers = Registers::of(&fd);
}

/// Runs the guest until it ends or is kicked out (`None`).
fn run(shared: &Shared, cpu: usize, fd: &mut VcpuFd, ram: &GuestRam) -> Option<EndReason> {
    let (mut step, mut patience) = (Stepper::default(), PATIENCE);
    loop {
        shared.stand(cpu, fd, ram, &mut step);
        if shared.must_stop() {
            step.cancel(fd, ram);
            return None;
        }
        let next = match fd.run() {
            Ok(exit) => {
                shared.exits[cpu].fetch_add(1, Ordering::Relaxed);
                judge(&exit)
            }
            Err(e) if e.errno() == libc::EINTR => {
                fd.set_kvm_immediate_exit(0);
                // The clearing is done before must_stop and stays are looked at again: see the module's first lines.
                fence(Ordering::SeqCst);
                shared.answer(cpu, fd, ram);
                shared.stay_away(cpu);
                Next::Run
            }
            Err(e) if e.errno() == libc::EAGAIN => Next::Run,
            // The host is short of memory: that is not the guest's doing, and may pass.
            Err(e) if e.errno() == libc::ENOMEM && patience > 0 => {
                patience -= 1;
                std::thread::yield_now();
                Next::Run
            }
            Err(e) => Next::End(EndReason::RunFailed { errno: e.errno() }),
        };
        match next {
            Next::Run => {}
            Next::ReadConsole => signal(&shared.bell),
            Next::Trap => {
                shared.trapped(cpu, fd, ram, &mut step);
                shared.answer(cpu, fd, ram);
                shared.stay_away(cpu);
            }
            Next::End(reason) => return Some(reason),
        }
    }
}

/// Reports the end of a vCPU's thread when it is dropped, so also when the thread panics.
struct Report<'a> {
    shared: &'a Shared,
    cpu: usize,
    end: Option<EndReason>,
    registers: Option<Registers>,
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        self.shared.clocks.leave(self.cpu);
        let cpu = self.cpu as u32;
        let mut is_first = false;
        // All under one lock: whoever sees that the guest has ended sees that a debugger holds it for its user to look.
        self.shared.rearrange(|state| {
            state.live.retain(|&n| n != cpu);
            state.registers[self.cpu] = self.registers;
            let Some(reason) = self.end else { return };
            is_first = state.first_end.is_none();
            state.first_end.get_or_insert(VcpuEnd { cpu, reason, registers: self.registers });
            // The others leave at their next exit; the thread that waits for the machine kicks them.
            self.shared.must_stop.store(true, Ordering::Release);
            if is_first {
                state.stop_for_debugger(Stop { cpu, why: Why::Ended });
            }
        });
        if self.end.is_some() {
            signal(&self.shared.ended);
        }
        if is_first {
            self.shared.debugged.ring();
        }
    }
}

/// Makes an eventfd readable. It fails only if it is readable 2^64 - 2 times over.
fn signal(eventfd: &EventFd) {
    let _full = eventfd.write(1);
}

fn kick_signal() -> libc::c_int {
    libc::SIGRTMIN()
}

/// Installs the handler that makes the kick's signal interrupt KVM_RUN and do nothing else.
fn catch_kicks() {
    static INSTALLED: Once = Once::new();
    extern "C" fn nothing(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}
    INSTALLED.call_once(|| {
        register_signal_handler(kick_signal(), nothing).expect("invariant: SIGRTMIN can always be caught");
    });
}
