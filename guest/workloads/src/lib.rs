//! In-kernel programs that scenarios name: what the threads of a watched kernel do.
//!
//! # Invariants
//! - Each family is one file, of the same name as in [`umpire_shared::work`]; a workload that is declared there and has no
//!   function of its name here does not compile, and neither does a function with other parameters.
//! - Nothing here knows that it is watched, and nothing here is `unsafe`.
//! - Workloads burn time with `platform::spin`, so that they cost the same in the simulator.
#![no_std]

/// The function of a workload: the one of its name, or the one that its declaration gives.
macro_rules! function {
    ($name:ident) => {
        $name
    };
    ($name:ident $function:ident) => {
        $function
    };
}

/// `run` of a family: hands each of its workloads to its function. The lists come from the declarations.
macro_rules! functions {
    ($Family:ident: $($Name:ident $name:ident $($function:ident)?;)*) => {
        /// Runs a workload of this family on its thread.
        #[inline(always)]
        pub(crate) fn run(t: &'static umpire_kernel::Kthread, work: $Family) {
            match work {
                $($Family::$Name(work) => crate::call(t, function!($name $($function)?), work),)*
            }
        }
    };
}

mod broken;
mod compute;
mod levels;
mod locks;
mod measure;
mod memory;
mod network;
mod pair;
mod payload;
mod placement;
mod streams;
mod tasks;
mod timing;
mod topology;
mod turn;
mod unpreemptible;
mod vcpu;

use umpire_kernel::Kthread;
use umpire_kernel::cell::Cell;
use umpire_shared::work::Workload;

/// Runs the workload of thread `t`, which is the current thread. Most never return.
pub fn run(t: &'static Kthread) {
    match t.workload() {
        Workload::Vcpu(work) => vcpu::run(t, work),
        Workload::Network(work) => network::run(t, work),
        Workload::Compute(work) => compute::run(t, work),
        Workload::Pair(work) => pair::run(t, work),
        Workload::Broken(work) => broken::run(t, work),
        Workload::Memory(work) => memory::run(t, work),
        Workload::Unpreemptible(work) => unpreemptible::run(t, work),
        Workload::Placement(work) => placement::run(t, work),
        Workload::Locks(work) => locks::run(t, work),
        Workload::Levels(work) => levels::run(t, work),
        Workload::Timing(work) => timing::run(t, work),
        Workload::Measure(work) => measure::run(t, work),
        Workload::Topology(work) => topology::run(t, work),
        Workload::Tasks(work) => tasks::run(t, work),
        Workload::Streams(work) => streams::run(t, work),
    }
}

/// Calls a workload's function. The compiler does not see which one it is, so each keeps its name in stacks.
#[inline(always)]
fn call<W>(t: &'static Kthread, main: fn(&'static Kthread, W), work: W) {
    t.t_startpc.set(main as usize);
    core::hint::black_box(main)(t, work);
}
