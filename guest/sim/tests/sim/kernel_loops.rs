//! What a kernel loop that asks for its own preemption gives away, and what it does not (illumos #1532, the ticket's
//! workaround).
//!
//! # Invariants
//! - A pass of the dispatcher takes the best thread: a worse thread never gains by it, whichever thread forced it.
//! - `kpreemptpri` is 100 throughout, so that nothing but the loop's own flag lets another thread in.

use crate::bench::{Bench, MS, Program, thread};
use umpire_kernel::cell::Cell;
use umpire_shared::program::Thread;
use umpire_shared::program::class::{FX, SYS};
use umpire_shared::tunable;
use umpire_shared::work::Workload;
use umpire_shared::work::compute::Periodic;
use umpire_shared::work::vcpu::{AfterExit, VcpuLoop};

const LOOP: usize = 0;
const WAITER: usize = 1;
const EXIT_US: u64 = 20;
const RUN_MS: u64 = 200;

/// A vCPU's loop and a thread that rests a tick after each 100 us, both bound to CPU 1.
fn two(class: u32, loop_pri: i32, waiter_pri: i32, after_exit: AfterExit) -> Program {
    let on_cpu_1 =
        |name: &str, pri, work: Workload| Thread { lwp: class != SYS, ..thread(name, class, pri, 1, work) };
    let vcpu = VcpuLoop { exit_us: EXIT_US, after_exit, ..VcpuLoop::defaults() };
    let vcpu = on_cpu_1("vcpu", loop_pri, vcpu.into());
    let waiter = on_cpu_1("waiter", waiter_pri, Periodic::defaults().into());
    let p = Program::new(2).tunable(tunable::KPREEMPTPRI, 100).tunable(tunable::HZ, 1000);
    p.thread(vcpu).thread(waiter)
}

fn run(p: &Program, seed: u64) -> Bench {
    let mut sim = p.boot(seed);
    sim.run_until_ok(RUN_MS * MS);
    sim
}

fn turns(sim: &Bench, n: usize) -> u64 {
    sim.kernel().scenario_threads()[n].t_progress.get()
}

#[test]
fn forced_pass_never_lets_a_worse_waiter_in() {
    // A preempted SYS thread goes to the head of its level; an FX thread whose quantum is over goes to the tail.
    for (class, loop_pri, waiter_pri) in [(SYS, 70, 69), (FX, 30, 29)] {
        for seed in 0..20 {
            let sim = run(&two(class, loop_pri, waiter_pri, AfterExit::ForceKprunrun), seed);

            // The waiter may have run before the loop was created.
            assert!(turns(&sim, WAITER) <= 1, "class {class} seed {seed}: {} turns", turns(&sim, WAITER));
            let passes = sim.kernel().k_cpus[1].cpu_stats.inv_swtch.get();
            let exits = turns(&sim, LOOP);
            assert!(exits > RUN_MS * 1000 / EXIT_US / 2, "class {class} seed {seed}: {exits} exits");
            assert!(passes >= exits - 1, "class {class} seed {seed}: {passes} passes for {exits} exits");
        }
    }
}

#[test]
fn forced_pass_lets_a_better_waiter_in() {
    for (class, loop_pri, waiter_pri) in [(SYS, 69, 70), (FX, 29, 30)] {
        for seed in 0..20 {
            let sim = run(&two(class, loop_pri, waiter_pri, AfterExit::ForceKprunrun), seed);

            let turns = turns(&sim, WAITER);
            assert!(turns > RUN_MS / 4, "class {class} seed {seed}: {turns} turns");
        }
    }
}

#[test]
fn loop_that_forces_nothing_keeps_a_better_waiter_out() {
    for (class, loop_pri, waiter_pri) in [(SYS, 69, 70), (FX, 29, 30)] {
        for seed in 0..20 {
            let sim = run(&two(class, loop_pri, waiter_pri, AfterExit::Nothing), seed);

            assert!(turns(&sim, WAITER) <= 1, "class {class} seed {seed}: {} turns", turns(&sim, WAITER));
        }
    }
}

#[test]
fn equal_waiter_gets_in_by_a_forced_pass_only_where_the_preempted_go_to_the_tail() {
    for seed in 0..20 {
        let sys = run(&two(SYS, 70, 70, AfterExit::ForceKprunrun), seed);
        assert!(turns(&sys, WAITER) <= 1, "seed {seed}: {} turns", turns(&sys, WAITER));
        let fx = run(&two(FX, 30, 30, AfterExit::ForceKprunrun), seed);
        assert!(turns(&fx, WAITER) >= 2, "seed {seed}: {} turns", turns(&fx, WAITER));
    }
}
