//! In-kernel programs that scenarios name: what the threads of a watched kernel do.
//!
//! # Invariants
//! - One function a workload, dispatched by its number in [`umpire_shared::work`]; arguments were checked by the host.
//! - Nothing here knows that it is watched, and nothing here is `unsafe`.
//! - Workloads burn time with `platform::spin`, so that they cost the same in the simulator.
#![no_std]

mod broken;
mod compute;
mod locks;
mod measure;
mod memory;
mod network;
mod placement;
mod timing;
mod topology;
mod unpreemptible;

use umpire_kernel::Kthread;
use umpire_kernel::cell::Cell;
use umpire_shared::work;

/// Runs the workload of thread `t`, which is the current thread. Most never return.
pub fn run(t: &'static Kthread) {
    let main: fn(&'static Kthread) = match t.t_work.get() as usize {
        work::VCPU_LOOP => compute::vcpu_loop,
        work::SOFT_RING => network::mac_soft_ring_worker,
        work::SQUEUE => network::squeue_worker,
        work::SPIN => compute::spin,
        work::PERIODIC => compute::periodic,
        work::LOCK_MIX => compute::lock_mix,
        work::PINGPONG => network::pingpong,
        work::DISP_BENCH => measure::disp_bench,
        work::PROBE_BENCH => measure::probe_bench,
        work::POKE_BENCH => measure::poke_bench,
        work::LOCK_PASS => measure::lock_pass,
        work::LOCK_TAKE => measure::lock_take,
        work::PIL_LOOP => broken::pil_loop,
        work::PANIC => broken::panic,
        work::OVERFLOW => broken::overflow,
        work::CORRUPT => broken::corrupt,
        work::REAP => memory::reap,
        work::PAGE_SCANNER => memory::page_scanner,
        work::NOPREEMPT_LOOP => unpreemptible::nopreempt_loop,
        work::PINNED => placement::pinned,
        work::LOCK_CHAIN => locks::lock_chain,
        work::PROC_LOOK => locks::proc_look,
        work::RW_MIX => locks::rw_mix,
        work::SEMA_MIX => locks::sema_mix,
        work::CV_HERD => locks::cv_herd,
        work::TIMED_WAIT => locks::timed_wait,
        work::SPIN_MIX => locks::spin_mix,
        work::XCALL_MIX => locks::xcall_mix,
        work::PIL_HOLD => timing::pil_hold,
        work::CYCLIC_USER => timing::cyclic_user,
        work::CYCLIC_JUGGLER => timing::cyclic_juggler,
        work::TIMEOUT_USER => timing::timeout_user,
        work::CALLOUT_CHAIN => timing::callout_chain,
        work::SIGNAL_WAIT => timing::signal_wait,
        work::SENDER => timing::sender,
        work::CORE_PAIR => topology::core_pair,
        work::AT_HOME => topology::at_home,
        other => panic!("workload: no number {other}"),
    };
    t.t_startpc.set(main as usize);
    main(t);
}

/// Says that the workload has done one more turn.
fn progress(t: &Kthread) {
    t.t_progress.set(t.t_progress.get() + 1);
}

const US: u64 = 1000;
