//! illumos #1532 in the simulator, judged by the kernel's own words. In the root package's tests the referee judges it
//! again, from outside.
//!
//! # Invariants
//! - Every claim that is made here holds under every seed that is tried.

use crate::bench::{Program, thread};
use umpire_kernel::cell::Cell;
use umpire_shared::program::class;
use umpire_shared::tunable;
use umpire_shared::work::network::{SoftRing, Squeue};
use umpire_shared::work::vcpu::VcpuLoop;
use umpire_shared::work::{IntrRef, ThreadRef};

const CPU1: usize = 1;

/// CPU 0 takes nic0's interrupts; a vCPU's loop and two workers at 99 are bound to CPU 1.
fn i1532(kpreemptpri: i64) -> Program {
    let vcpu = thread("qemu-system-x86_", class::TS, 0, 1, VcpuLoop { exit_us: 20, ..VcpuLoop::defaults() });
    let ring = thread(
        "mac_soft_ring_worker",
        class::SYS,
        99,
        1,
        SoftRing { sink: Some(ThreadRef(2)), ..SoftRing::defaults(IntrRef(0)) },
    );
    let squeue = thread("squeue_worker", class::SYS, 99, 1, Squeue::defaults());
    Program::new(2)
        .tunable(tunable::KPREEMPTPRI, kpreemptpri)
        .thread(vcpu)
        .thread(ring)
        .thread(squeue)
        .interrupt("nic0", 0, 6, 1000)
}

#[test]
fn kpreemptpri_100_starves_the_workers_for_the_whole_run() {
    for seed in 0..20 {
        let mut sim = i1532(100).boot(seed);
        sim.run_until_ok(2_000_000_000);
        let kernel = sim.kernel();
        let cp = &kernel.k_cpus[CPU1];
        let threads = kernel.scenario_threads();
        assert!(
            cp.cpu_runrun.get() != 0 && cp.cpu_kprunrun.get() == 0,
            "seed {seed}: yes and no, as in the ticket"
        );
        assert_eq!(threads[0].t_pri.get(), 0, "seed {seed}: the vCPU has decayed");
        let timeleft = threads[0].t_cldata.ts_timeleft.get();
        assert!(timeleft < -100, "seed {seed}: ts_timeleft is {timeleft}");
        let (lbolt, latency) = (kernel.lbolt.get(), kernel.lbolt.get() - threads[1].t_disp_time.get());
        assert!(
            threads[1].t_progress.get() < 5,
            "seed {seed}: the soft ring ran {}",
            threads[1].t_progress.get()
        );
        assert_eq!(kernel.k_deadman.deadman_panics.get(), 0, "seed {seed}: the deadman is blind to this");
        assert!(lbolt > 190 && latency > 180, "seed {seed}: waits for {latency} of {lbolt} ticks");
        sim.run_until_ok(3_000_000_000);
        let kernel = sim.kernel();
        let ticks = kernel.lbolt.get() - lbolt;
        let charged = timeleft - kernel.scenario_threads()[0].t_cldata.ts_timeleft.get();
        let charged = u64::try_from(charged).unwrap_or(0);
        assert!(charged.abs_diff(ticks) <= 1, "seed {seed}: {charged} charged in {ticks} ticks");
    }
}

#[test]
fn kpreemptpri_99_lets_the_workers_run() {
    for seed in 0..20 {
        let mut sim = i1532(99).boot(seed);
        sim.run_until_ok(2_000_000_000);
        let threads = sim.kernel().scenario_threads();
        let turns = threads[1].t_progress.get();
        assert!(turns > 1900, "seed {seed}: the soft ring ran {turns} times for 2000 packets");
        assert!(threads[0].t_progress.get() > 80_000, "seed {seed}: the vCPU still makes progress");
        let preempted = sim.kernel().k_cpus[CPU1].cpu_stats.inv_swtch.get();
        assert!(preempted > 1900, "seed {seed}: preempted {preempted} times for 2000 packets");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let trace = |seed| {
        let mut sim = i1532(99).traced().boot(seed);
        sim.run_until_ok(300_000_000);
        sim.take_trace()
    };
    let first = trace(7);
    assert!(first.len() > 1000, "{} events", first.len());
    assert_eq!(first, trace(7));
    assert_ne!(first, trace(8));
}
