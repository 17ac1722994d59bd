//! The script thread: makes the scenario's events happen, one after the other, at their times.
//!
//! # Invariants
//! - No event begins before every CPU is up, and an event begins no earlier than its time, and no earlier than the one before it
//!   has ended.
//! - What an event did is written before `ev_ended_ns`, and `ev_ended_ns` is written once.
//! - The thread is of class SYS, at 99, or with `console` above every class, as if an operator's key had interrupted. It sleeps by a
//!   realtime callout: with its CPU's interrupts masked, or all CPUs taken by what is better, nothing happens.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::cell::Cell;
use crate::cpu::bind::{PBIND_NONE, bindflag, processor_bind, thread_affinity_clear, thread_affinity_set};
use crate::cpu::online::{POnline, p_online};
use crate::cpu::partition::{cpupart_attach_cpu, cpupart_bind_thread};
use crate::cpu::pause::{pause_cpus, start_cpus};
use crate::cpu::power::cpu_poweroff;
use crate::cpucaps::{set_cap, set_zone_cap};
use crate::disp::{MAXCLSYSPRI, disp_setup};
use crate::kernel::Kernel;
use crate::sync::{mutex_enter, mutex_exit};
use crate::sys::Kthread;
use crate::sys::cpu::flag;
use crate::sys::thread::ts;
use crate::time::callout::{delay, sleep_until};
use crate::{class, platform};
use umpire_shared::errno;
use umpire_shared::program::{EVENT_ARGS, Event, Verb, binding};
use umpire_shared::tunable::{By, Read, TUNABLES};

/// How long a console's script waits for CPUs before it looks again.
const LOOK_AGAIN_NS: u64 = 1_000_000;

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

/// What the script thread does; it ends with its last event.
pub(crate) fn script() {
    wait_for_cpus();
    for event in &platform::kernel().k_events {
        if event.ev_at_ns.get() > platform::now() {
            sleep_until(event.ev_at_ns.get());
        }
        event.ev_began_ns.set(platform::now().max(1));
        event.ev_errno.set(perform(event));
        // Release: a reader that sees the end sees the errno that belongs to it.
        event.ev_ended_ns.store(platform::now().max(1), Ordering::Release);
    }
}

/// Waits until every CPU is up: as in a booted system, none can be taken offline before.
fn wait_for_cpus() {
    let is_console = i32::from(platform::curthread().t_pri.get()) > MAXCLSYSPRI;
    while platform::kernel().k_cpus.iter().any(|cp| cp.cpu_flags.get() & flag::READY == 0) {
        if is_console {
            // Whoever takes every CPU keeps the threads of `callout_taskq` off theirs as well.
            sleep_until(platform::now() + LOOK_AGAIN_NS);
        } else {
            delay(1);
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
