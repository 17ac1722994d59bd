//! In-kernel programs that scenarios name: what the threads of a watched kernel do.
//!
//! # Invariants
//! - One function a workload, dispatched by its number in [`umpire_shared::work`]; arguments were checked by the host.
//! - Nothing here knows that it is watched, and nothing here is `unsafe`.
//! - Workloads burn time with `platform::spin`, so that they cost the same in the simulator.
#![no_std]

mod broken;
mod compute;
mod network;

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
        work::PIL_LOOP => broken::pil_loop,
        work::PANIC => broken::panic,
        work::OVERFLOW => broken::overflow,
        work::CORRUPT => broken::corrupt,
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
