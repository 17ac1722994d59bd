//! Threads begin and end.
//!
//! # Invariants
//! - A thread's place in the arena, its stack slot and its number are the same for ever; threads are not reused.
//! - A new thread starts at `thread_start` on its own stack, at `DISP_LEVEL`, like a thread that comes back from `swtch`.

use crate::cell::Cell;
use crate::class;
use crate::disp::{finish_switch, swtch};
use crate::intr::spl;
use crate::lock::thread_lock;
use crate::platform;
use crate::thread::{Kthread, lwp, thread_stop, thread_zomb, ts};
use umpire_shared::program;

/// Sets up a free thread as the scenario wants it, and leaves it stopped (`thread.c thread_create` with `TS_STOPPED`);
/// `setrun` starts it.
pub fn thread_create(t: &'static Kthread, spec: &program::Thread) {
    for (to, from) in t.t_name.iter().zip(spec.name) {
        to.set(from);
    }
    for (to, from) in t.t_args.iter().zip(spec.args) {
        to.set(from);
    }
    t.t_work.set(spec.work);
    t.lwp_state.set(if spec.lwp { lwp::SYS } else { lwp::NONE });
    let kernel = platform::kernel();
    let home = &kernel.k_cpus[t.t_did as usize % kernel.k_cpus.len()];
    t.t_cpu.set(Some(home));
    t.t_disp_queue.set(Some(&home.cpu_disp));
    t.t_pri.set(spec.pri as i16);
    bind(t, spec.cpu);
    class::cl_enterclass(t, spec.class as u8, spec.pri);
    thread_stop(t);
    platform::thread_init(t);
}

/// Binds a thread that does not run yet to a CPU, or to none if `cpu` is -1 (`thread_affinity_set`).
pub fn bind(t: &'static Kthread, cpu: i32) {
    t.t_bind_cpu.set(cpu);
    let cp = usize::try_from(cpu).ok().map(|n| &platform::kernel().k_cpus[n]);
    t.t_bound_cpu.set(cp);
    if let Some(cp) = cp {
        t.t_cpu.set(Some(cp));
        t.t_disp_queue.set(Some(&cp.cpu_disp));
    }
}

/// Where a thread's first switch leads; never returns.
pub fn thread_start() -> ! {
    finish_switch();
    spl::spl0();
    platform::thread_main(platform::curthread());
    thread_exit()
}

/// Ends the current thread (`thread.c thread_exit`).
pub fn thread_exit() -> ! {
    let t = platform::curthread();
    thread_lock(t);
    thread_zomb(t);
    swtch();
    unreachable!("invariant: a zombie ({}) is never resumed, state {}", t.t_did, ts::ZOMB)
}
