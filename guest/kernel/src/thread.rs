//! Threads begin and end.
//!
//! # Invariants
//! - A thread's place in the arena, its stack slot and its number are the same for ever; threads are not reused.
//! - A new thread starts at `thread_start` on its own stack, at `DISP_LEVEL`, like a thread that comes back from `swtch`.

use crate::cell::{Cell, Counter};
use crate::cpu::bind::bindflag;
use crate::cpu::pause::cpu_pause;
use crate::disp::{finish_switch, swtch};
use crate::intr::intr_thread_main;
use crate::lgrp::{lgrp_home, lgrp_move_thread};
use crate::lock::thread_lock;
use crate::script::script;
use crate::sys::class::{Parms, cl_exit};
use crate::sys::lgrp::root;
use crate::sys::thread::{lwp, role, thread_stop, thread_zomb, ts};
use crate::sys::{Cpu, Kthread};
use crate::time::callout::callout_thread;
use crate::{class, mstate, platform, spl};
use umpire_shared::{pack_name, program};

/// Sets up a free thread as the scenario wants it, and leaves it stopped (`thread.c thread_create` with `TS_STOPPED`);
/// `setrun` starts it.
pub fn thread_create(t: &'static Kthread, spec: &program::Thread) {
    for (to, from) in t.t_name.iter().zip(spec.name) {
        to.set(from);
    }
    let (work, words) = spec.work.record();
    for (to, from) in t.t_args.iter().zip(words) {
        to.set(from);
    }
    t.t_work.set(work);
    t.lwp_state.set(if spec.lwp { lwp::SYS } else { lwp::NONE });
    let kernel = platform::kernel();
    let part = kernel.partition(spec.pset as usize).unwrap_or(&kernel.cp_default);
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

/// Sets up a system thread of class SYS, bound to `cpu` if there is one, and leaves it stopped.
pub fn system_thread_create(t: &'static Kthread, role: u8, name: &str, pri: i32, cpu: Option<&'static Cpu>) {
    for (to, from) in t.t_name.iter().zip(pack_name(name)) {
        to.set(from);
    }
    t.t_role.set(role);
    let kernel = platform::kernel();
    let first = cpu.unwrap_or(&kernel.k_cpus[0]);
    let part = cpu.map_or(&kernel.cp_default, |cp| cp.part());
    t.t_cpu.set(Some(first));
    t.t_cpupart.set(Some(part));
    t.t_lpl.set(Some(root(part)));
    t.t_disp_queue.set(Some(&first.cpu_disp));
    if let Some(cp) = cpu {
        bind(t, cp, program::binding::AFFINITY);
    }
    let parms = Parms { pri: Some(pri), ..Parms::default() };
    class::cl_enterclass(t, program::class::SYS as u8, &parms);
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
    if t.t_role.get() == role::INTR {
        // No dispatcher chose it, and its level is the interrupt's to set.
        intr_thread_main();
    }
    finish_switch();
    spl::spl0();
    match t.t_role.get() {
        role::SCENARIO => platform::thread_main(t),
        role::PAUSE => cpu_pause(),
        role::SCRIPT => script(),
        role::CALLOUT => callout_thread(),
        other => unreachable!("invariant: thread {} of role {other} is never started", t.t_did),
    }
    thread_exit()
}

/// Ends the current thread (`thread.c thread_exit`).
pub fn thread_exit() -> ! {
    let t = platform::curthread();
    thread_lock(t);
    cl_exit(t);
    mstate::mstate_zomb(t);
    thread_zomb(t);
    swtch();
    unreachable!("invariant: a zombie ({}) is never resumed, state {}", t.t_did, ts::ZOMB)
}
