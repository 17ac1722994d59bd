//! The script thread: makes the scenario's events happen, one after the other, at their times.
//!
//! # Invariants
//! - No event begins before every CPU is up, and an event begins no earlier than its time, and no earlier than the one before it
//!   has ended.
//! - What an event did is written before `ev_ended_ns`, and `ev_ended_ns` is written once.
//! - The thread is of class SYS, at 99, or of the class and priority that the scenario gives it. It sleeps by a realtime callout: with
//!   its CPU's interrupts masked, or all CPUs taken by what is better, nothing happens.
//! - With `console` it is above every class, as if an operator's key had interrupted, and no CPU is the one that has to wake it: each
//!   CPU of the default partition looks once a millisecond, at level 10, whether the key was pressed, and the first that looks takes
//!   the thread. A CPU that masks that level neither looks nor is given the thread:
//!
//! ```text
//!   CPU 0, at level 14            CPU 1                                   the thread
//!                                                                         key_ns = 50 ms; sleeps
//!   the look is pending           looks: 50 ms are over, takes the key
//!                                 binds the thread here, wakes it
//!                                 preempts what it ran                    runs on CPU 1, unbinds itself
//! ```

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::cell::Cell;
use crate::cpu::bind::{PBIND_NONE, bindflag, processor_bind, thread_affinity_clear, thread_affinity_set};
use crate::cpu::online::{POnline, p_online};
use crate::cpu::partition::{cpupart_attach_cpu, cpupart_bind_thread};
use crate::cpu::pause::{pause_cpus, start_cpus};
use crate::cpu::power::cpu_poweroff;
use crate::cpucaps::{set_cap, set_zone_cap};
use crate::disp::{MAXCLSYSPRI, disp_setup, prstop, prun, setrun_locked, swtch, thread_unlock};
use crate::kernel::Kernel;
use crate::lock::{disp_lock_enter, thread_lock, thread_unlock_nopreempt};
use crate::streams::scenario as stream;
use crate::sync::{mutex_enter, mutex_exit, sleepq};
use crate::sys::Kthread;
use crate::sys::cpu::flag;
use crate::sys::thread::{sobj, ts};
use crate::time::callout::{delay, sleep_until};
use crate::time::cyclic::{CY_LOCK_LEVEL, CycFunc, anywhere, cyclic_add_omni, handler};
use crate::{class, platform, probe};
use umpire_shared::event::{Kind, event_end};
use umpire_shared::program::{EVENT_ARGS, Event, Verb, binding};
use umpire_shared::tunable::{By, Read, TUNABLES};
use umpire_shared::{errno, roster};

/// How long a script that is no daemon's waits for CPUs before it looks again.
const LOOK_AGAIN_NS: u64 = 1_000_000;
/// How often each CPU looks whether its console's key was pressed, in ns.
const KEY_LOOK_NS: u64 = 1_000_000;

/// The key of the console, at which an operator makes events happen.
#[repr(C)]
#[derive(Debug)]
pub struct ConsoleKey {
    /// When the operator presses it next, in ns after boot; [`NEVER`] while the script thread is awake.
    key_ns: AtomicU64,
}

/// [`ConsoleKey::key_ns`] while nobody is to be woken.
const NEVER: u64 = u64::MAX;

impl ConsoleKey {
    /// Nobody is at the console.
    pub(crate) fn new() -> ConsoleKey {
        ConsoleKey { key_ns: AtomicU64::new(NEVER) }
    }
}

/// Has every CPU look for the console's key. At boot, before CPUs start their cyclics.
pub(crate) fn console_init() {
    cyclic_add_omni(&CONSOLE, CY_LOCK_LEVEL, KEY_LOOK_NS);
}

/// The cyclic by which each CPU looks for the key.
static CONSOLE: CycFunc = CycFunc { number: handler::CONSOLE, run: |_| look_for_key(), moved: anywhere };

/// Wakes the script thread on this CPU if its time has come.
fn look_for_key() {
    let kernel = platform::kernel();
    let cp = platform::cpu();
    let key_ns = &kernel.k_console.key_ns;
    let due_ns = key_ns.get();
    let t = &kernel.k_threads[roster::script_thread(kernel.k_ncpus, kernel.roster_threads()) as usize];
    if platform::now() < due_ns || !t.t_cpupart.is(cp.part()) || kernel.k_disp.cpu_inmotion.is(cp) {
        return;
    }
    // Acquire and release: of the CPUs that look at once one takes the key, and it sees the thread as that left itself when it
    // announced the time.
    if key_ns.compare_exchange(due_ns, NEVER, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return;
    }
    // It announced the time on its sleep queue, with the lock that this waits for, and nobody else wakes it: so it sleeps.
    thread_lock(t);
    t.t_affinitycnt.set(1);
    t.t_bound_cpu.set(Some(cp));
    setrun_locked(t);
    thread_unlock(t);
}

/// Sleeps until the first look of a CPU at the key after `at_ns`, and goes on there.
fn sleep_until_key(at_ns: u64) {
    let t = platform::curthread();
    let wchan = core::ptr::from_ref(&platform::kernel().k_console) as usize;
    let sq = sleepq::hash(wchan);
    disp_lock_enter(&sq.sq_lock);
    sleepq::sleep_on(t, sq, wchan, sobj::CV);
    // Release: see `look_for_key`.
    platform::kernel().k_console.key_ns.store(at_ns, Ordering::Release);
    thread_unlock_nopreempt(t);
    swtch();
    thread_affinity_clear(t);
}

/// What the script thread does where events come from a console.
pub(crate) fn script_of_console() {
    play(sleep_until_key);
}

/// One event, and what became of it.
#[repr(C)]
#[derive(Debug)]
pub struct ScriptEvent {
    /// The number of its [`Verb`].
    pub ev_verb: AtomicU32,
    /// The number of the thread, CPU, project or tunable that it happens to.
    pub ev_target: AtomicU32,
    /// ns after boot at which it shall happen.
    pub ev_at_ns: AtomicU64,
    /// When it began, 0 if it has not.
    pub ev_began_ns: AtomicU64,
    /// When it ended, 0 if it has not.
    pub ev_ended_ns: AtomicU64,
    /// How it ended: one of [`errno`], 0 for success.
    pub ev_errno: AtomicU32,
    /// Its arguments.
    ev_args: [i64; EVENT_ARGS],
}

impl ScriptEvent {
    /// An event that has not happened yet.
    pub fn new(event: &Event) -> ScriptEvent {
        ScriptEvent {
            ev_verb: AtomicU32::new(event.verb as u32),
            ev_target: AtomicU32::new(event.target),
            ev_at_ns: AtomicU64::new(event.at_ns),
            ev_began_ns: AtomicU64::new(0),
            ev_ended_ns: AtomicU64::new(0),
            ev_errno: AtomicU32::new(0),
            ev_args: event.args,
        }
    }
}

/// What the script thread does.
pub(crate) fn script() {
    play(sleep_until);
}

/// Makes every event happen; the thread ends with its last one. `sleep` waits for a time.
fn play(sleep: fn(u64)) {
    wait_for_cpus(sleep);
    for (number, event) in (0..).zip(&platform::kernel().k_events) {
        if event.ev_at_ns.get() > platform::now() {
            sleep(event.ev_at_ns.get());
        }
        event.ev_began_ns.set(platform::now().max(1));
        probe::fire_masked(Kind::EventBegin, number.into());
        event.ev_errno.set(perform(event));
        probe::fire_masked(Kind::EventEnd, event_end(number, event.ev_errno.get()));
        // Release: a reader that sees the end sees the errno that belongs to it.
        event.ev_ended_ns.store(platform::now().max(1), Ordering::Release);
    }
}

/// Waits until every CPU is up: as in a booted system, none can be taken offline before.
fn wait_for_cpus(sleep: fn(u64)) {
    let is_daemon = i32::from(platform::curthread().t_pri.get()) == MAXCLSYSPRI;
    while platform::kernel().k_cpus.iter().any(|cp| cp.cpu_flags.get() & flag::READY == 0) {
        if is_daemon {
            delay(1);
        } else {
            // Whoever takes every CPU keeps the threads of `callout_taskq` off theirs as well.
            sleep(platform::now() + LOOK_AGAIN_NS);
        }
    }
}

fn perform(event: &ScriptEvent) -> u32 {
    let kernel = platform::kernel();
    let target = event.ev_target.get();
    let args = &event.ev_args;
    let Some(verb) = Verb::of(event.ev_verb.get()) else { return errno::EINVAL };
    match verb {
        Verb::Priocntl => on_thread(kernel, target, |t| class::priocntl(t, args)),
        Verb::Shares => class::set_shares(target as usize, args[0] as u32),
        Verb::Offline if args[0] == 1 => p_online(target, POnline::OfflineForced),
        Verb::Offline => p_online(target, POnline::Offline),
        Verb::Online => p_online(target, POnline::Online),
        Verb::Bind => on_thread(kernel, target, |t| with_cpu_lock(kernel, || bind(kernel, t, args))),
        Verb::PsetAssign => with_cpu_lock(kernel, || assign(kernel, target, args[0])),
        Verb::PsetBind => on_thread(kernel, target, |t| {
            let Some(part) = kernel.partition(args[0] as usize) else { return errno::EINVAL };
            with_cpu_lock(kernel, || cpupart_bind_thread(t, part))
        }),
        Verb::Pause => with_cpu_lock(kernel, || pause(args[0] as u64)),
        Verb::Tunable => set_tunable(kernel, target as usize, args[0]),
        Verb::Poweroff => with_cpu_lock(kernel, || match kernel.k_cpus.get(target as usize) {
            Some(cp) => cpu_poweroff(cp),
            None => errno::EINVAL,
        }),
        Verb::Cap => {
            u32::try_from(args[0]).map_or(errno::EINVAL, |percent| set_cap(target as usize, percent))
        }
        Verb::ZoneCap => {
            u32::try_from(args[0]).map_or(errno::EINVAL, |percent| set_zone_cap(target as usize, percent))
        }
        Verb::Push => stream::push(target as usize, args[0] as usize),
        Verb::Pop => stream::pop(target as usize),
        Verb::Flush => stream::flush(target as usize, args[0] as u8, u8::try_from(args[1]).ok()),
        Verb::Freeze => stream::freeze(target as usize, args[0] as u64),
        Verb::Close => stream::close(target as usize),
        Verb::Link => stream::link(target as usize, args[0] as usize, args[1] == 1),
        Verb::Unlink => stream::unlink(target as usize, usize::try_from(args[0]).ok(), args[1] == 1),
        Verb::Stop => on_thread(kernel, target, prstop),
        Verb::Run => on_thread(kernel, target, prun),
        Verb::Focus => on_thread(kernel, target, |t| class::set_focus(t, args[0] != 0)),
    }
}

/// Does something to scenario thread `n` if it still lives.
fn on_thread(kernel: &'static Kernel, n: u32, act: impl FnOnce(&'static Kthread) -> u32) -> u32 {
    match kernel.scenario_threads().get(n as usize) {
        Some(t) if t.t_state.get() != ts::ZOMB => act(t),
        _ => errno::ESRCH,
    }
}

fn with_cpu_lock(kernel: &'static Kernel, act: impl FnOnce() -> u32) -> u32 {
    mutex_enter(&kernel.k_cpu_ops.cpu_lock);
    let errno = act();
    mutex_exit(&kernel.k_cpu_ops.cpu_lock);
    errno
}

/// `processor_bind` for hard and soft bindings; affinity is set and cleared as the kernel does it for itself.
fn bind(kernel: &'static Kernel, t: &'static Kthread, args: &[i64; EVENT_ARGS]) -> u32 {
    let cpu = args[0].try_into().unwrap_or(PBIND_NONE);
    match args[1] as u32 {
        binding::SOFT => return processor_bind(t, cpu, bindflag::TB_CPU_SOFT),
        binding::HARD => return processor_bind(t, cpu, 0),
        _ => {}
    }
    while t.t_affinitycnt.get() != 0 {
        thread_affinity_clear(t);
    }
    match kernel.k_cpus.get(cpu as usize) {
        _ if cpu == PBIND_NONE => 0,
        Some(cp) if !cp.is_offline() && (t.t_bound_cpu.is_null() || t.t_bound_cpu.is(cp)) => {
            thread_affinity_set(t, cp);
            0
        }
        _ => errno::EINVAL,
    }
}

fn assign(kernel: &'static Kernel, cpu: u32, pset: i64) -> u32 {
    match (kernel.k_cpus.get(cpu as usize), kernel.partition(pset as usize)) {
        (Some(cp), Some(part)) => cpupart_attach_cpu(part, cp),
        _ => errno::EINVAL,
    }
}

fn pause(ns: u64) -> u32 {
    pause_cpus(None);
    platform::spin(ns);
    start_cpus();
    0
}

/// Writes what `mdb -kw` would write. The host refuses a tunable that is read at boot; if one came, this would refuse it too.
fn set_tunable(kernel: &Kernel, n: usize, value: i64) -> u32 {
    let (Some(cell), Some(tunable)) = (kernel.k_tunables.get(n), TUNABLES.get(n)) else {
        return errno::EINVAL;
    };
    if !tunable.can_change() {
        return errno::EINVAL;
    }
    cell.set(value);
    match tunable.read {
        Read::Boot | Read::Live => {}
        Read::Derived(By::DispSetup) => disp_setup(kernel),
    }
    0
}
