//! Threads begin and end.
//!
//! # Invariants
//! - A thread's place in the arena, its stack slot and its number are the same for ever; threads are not reused.
//! - A new thread starts at `thread_start` on its own stack, at `DISP_LEVEL`, like a thread that comes back from `swtch`.

use crate::cell::{Cell, Counter};
use crate::cpu::bind::bindflag;
use crate::disp::{finish_switch, swtch};
use crate::lgrp::{lgrp_home, lgrp_move_thread};
use crate::lock::thread_lock;
use crate::sys::class::{Parms, cl_exit};
use crate::sys::lgrp::root;
use crate::sys::thread::{Start, lwp, thread_stop, thread_zomb, ts};
use crate::sys::{Cpu, Kthread};
use crate::time::callout::sleep_until;
use crate::{class, mstate, platform, spl};
use umpire_shared::{pack_name, program};

/// Sets up a free thread as the scenario wants it, and leaves it stopped (`thread.c thread_create` with `TS_STOPPED`);
/// `setrun` starts it.
pub fn thread_create(t: &'static Kthread, spec: &program::Thread) {
    for (to, from) in t.t_name.iter().zip(spec.name) {
        to.set(from);
    }
    let kernel = platform::kernel();
    kernel.k_procs[(t.t_did - kernel.k_ncpus) as usize].set_comm(&spec.process);
    let (work, words) = spec.work.record();
    for (to, from) in t.t_args.iter().zip(words) {
        to.set(from);
    }
    t.t_work.set(work);
    t.t_start_ns.set(spec.start_ns);
    t.t_start.set(Some(&Start(scenario_main)));
    t.lwp_state.set(if spec.lwp { lwp::SYS } else { lwp::NONE });
    let part = kernel.partition(spec.pset as usize).unwrap_or(kernel.cp_default());
    let cpu = usize::try_from(spec.cpu).ok().map(|n| &kernel.k_cpus[n]);
    lgrp_move_thread(t, lgrp_home(part, spec.lgroup, spec.lwp, cpu));
    let first = t.t_did % kernel.k_ncpus;
    let first = t.lpl().ring(first).next().unwrap_or(&kernel.k_cpus[first as usize]);
    t.t_cpu.set(Some(first));
    t.t_cpupart.set(Some(part));
    t.t_disp_queue.set(Some(&first.cpu_disp));
    t.t_project.set(spec.project);
    if let Some(cp) = cpu {
        bind(t, cp, spec.binding);
    }
    class::cl_enterclass(t, spec.class as u8, &Parms::of(spec));
    thread_stop(t);
    mstate::init_mstate(t);
    platform::cpu().cpu_stats.nthreads.bump();
    platform::thread_init(t);
}

/// What a system thread is to be.
#[derive(Debug)]
pub struct SystemThread<'a> {
    /// One of [`crate::sys::thread::role`], for readers from outside.
    pub role: u8,
    /// Its name.
    pub name: &'a str,
    /// Its priority, in class SYS.
    pub pri: i32,
    /// If it is of class SDC instead, and has an LWP: its duty cycle in per cent.
    pub duty_cycle: Option<i32>,
    /// Where it begins.
    pub start: &'static Start,
}

/// Sets up a system thread, bound to `cpu` if there is one, and leaves it stopped.
pub fn system_thread_create(t: &'static Kthread, what: &SystemThread<'_>, cpu: Option<&'static Cpu>) {
    for (to, from) in t.t_name.iter().zip(pack_name(what.name)) {
        to.set(from);
    }
    t.t_role.set(what.role);
    t.t_start.set(Some(what.start));
    let kernel = platform::kernel();
    let first = cpu.unwrap_or(&kernel.k_cpus[0]);
    let part = cpu.map_or(kernel.cp_default(), |cp| cp.part());
    t.t_cpu.set(Some(first));
    t.t_cpupart.set(Some(part));
    t.t_lpl.set(Some(root(part)));
    t.t_disp_queue.set(Some(&first.cpu_disp));
    if let Some(cp) = cpu {
        bind(t, cp, program::binding::AFFINITY);
    }
    let parms = Parms { pri: Some(what.pri), duty_cycle: what.duty_cycle, ..Parms::default() };
    let is_sdc = what.duty_cycle.is_some();
    t.lwp_state.set(if is_sdc { lwp::SYS } else { lwp::NONE });
    class::cl_enterclass(t, if is_sdc { program::class::SDC } else { program::class::SYS } as u8, &parms);
    thread_stop(t);
    mstate::init_mstate(t);
    platform::cpu().cpu_stats.nthreads.bump();
    platform::thread_init(t);
}

/// Binds a thread that does not run yet to a CPU; `kind` is one of [`program::binding`].
fn bind(t: &'static Kthread, cp: &'static Cpu, kind: u32) {
    if kind == program::binding::AFFINITY {
        t.t_affinitycnt.set(1);
    } else {
        t.t_bind_cpu.set(cp.cpu_id as i32);
        t.t_bindflag.set(if kind == program::binding::SOFT { bindflag::TB_CPU_SOFT } else { 0 });
    }
    t.t_bound_cpu.set(Some(cp));
    t.t_cpu.set(Some(cp));
    t.t_disp_queue.set(Some(&cp.cpu_disp));
}

/// Where a thread's first switch leads; never returns.
pub fn thread_start() -> ! {
    let t = platform::curthread();
    // No dispatcher chose an interrupt thread, and its level is the interrupt's to set.
    if !t.is_intr() {
        finish_switch();
        spl::spl0();
    }
    let start = t.t_start.get().expect("invariant: who is started has somewhere to begin");
    (start.0)();
    thread_exit()
}

/// The workload of a scenario's thread, when it is time for it.
fn scenario_main() {
    let t = platform::curthread();
    if t.t_start_ns.get() > platform::now() {
        sleep_until(t.t_start_ns.get());
    }
    platform::thread_main(t);
}

/// Ends the current thread (`thread.c thread_exit`).
pub fn thread_exit() -> ! {
    let t = platform::curthread();
    thread_lock(t);
    cl_exit(t);
    mstate::mstate_stop(t);
    thread_zomb(t);
    swtch();
    unreachable!("invariant: a zombie ({}) is never resumed, state {}", t.t_did, ts::ZOMB)
}
