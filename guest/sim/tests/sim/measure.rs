//! The bench's workloads do what their figures claim.
//!
//! # Invariants
//! - The tests judge only that turns are made, and by which events: the simulator's time is not the guest's.

use crate::bench::{MS, Program, thread};
use umpire_kernel::cell::Cell;
use umpire_shared::event::Kind;
use umpire_shared::program::class::SYS;
use umpire_shared::work::compute::Spin;
use umpire_shared::work::measure::{BATCH, Contend, DispBench, LockPass, LockTake, PokeBench, ProbeBench};
use umpire_shared::work::{ThreadRef, Workload};

const LONG_US: u64 = 1_000_000;
/// The spinner, which comes first.
const TARGET: ThreadRef = ThreadRef(0);

fn spinner(cpu: i32) -> umpire_shared::program::Thread {
    thread("target", SYS, 60, cpu, Spin { chunk_us: LONG_US, ..Spin::defaults() })
}

/// The turns that a workload on CPU 0, better than its target on `cpu`, makes in 20 ms.
fn turns(work: impl Into<Workload>, ncpus: u32, cpu: i32, seed: u64) -> u64 {
    let mut sim =
        Program::new(ncpus).thread(spinner(cpu)).thread(thread("bench", SYS, 70, 0, work)).boot(seed);
    sim.run_until_ok(20 * MS);
    sim.kernel().scenario_threads()[1].t_progress.get()
}

#[test]
fn poke_bench_pokes_a_running_cpu_again_and_again() {
    for seed in 0..8 {
        let made = turns(PokeBench::defaults(TARGET), 2, 1, seed);
        assert!(made > 1000, "seed {seed}: {made} pokes");
    }
}

#[test]
fn disp_bench_and_probe_bench_make_turns_on_one_cpu() {
    for bench in [Workload::from(DispBench::defaults(TARGET)), ProbeBench::defaults().into()] {
        let made = turns(bench, 1, 0, 1);
        assert!(made > 10 * BATCH, "{made}");
    }
}

#[test]
fn lock_pass_has_the_better_thread_block_each_turn_and_only_if_it_contends() {
    for (contend, blocks) in [(Contend::Yes, true), (Contend::No, false)] {
        let worse = thread("worse", SYS, 60, 0, LockPass { peer: ThreadRef(1), contend });
        let p = Program::new(1).thread(worse).thread(thread("better", SYS, 99, 0, LockTake::defaults()));
        let mut sim = p.traced().boot(4);
        sim.run_until_ok(20 * MS);
        let kernel = sim.kernel();
        let turns = kernel.scenario_threads()[0].t_progress.get();
        let better = kernel.scenario_threads()[1].t_did;
        let sleeps =
            sim.take_trace().iter().filter(|e| e.kind == Kind::Sleep && e.thread == better).count() as u64;
        let expected = if blocks { 2 * turns } else { turns };
        // The workload sleeps once before its first turn, and up to twice in the turn that is not counted yet.
        assert!(turns > 100 && sleeps.abs_diff(expected) <= 3, "{turns} turns, {sleeps} sleeps");
    }
}
