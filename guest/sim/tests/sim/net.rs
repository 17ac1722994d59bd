//! The network's receive path: no packet is lost without being counted, none overtakes another of its flow, nobody forgets one.
//!
//! # Invariants
//! - A mix is drawn from the seed: who passes packets on, how squeues are entered, which threads there are, and how fast packets come.

use crate::bench::{MS, Program, thread};
use umpire_kernel::cell::Cell;
use umpire_shared::program::Interrupt;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::sys::mac::{srs, srst};
use umpire_shared::work::compute::Periodic;
use umpire_shared::work::network::{Enter, SoftRing, Squeue, SqueuePoll, SrsPoll, SrsWorker, WorkerOnly};
use umpire_shared::work::{IntrRef, ThreadRef};
use umpire_shared::{mutant, tunable};

/// A small generator (SplitMix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 27) % n
    }
}

/// Two rings of one device and an squeue each, with whatever threads the seed gives them, beside something that is in their way.
fn draw_path(seed: u64, ncpus: u64, rate_hz: Option<u64>) -> Program {
    let mut draw = Draw(seed);
    let often = 2_000 + draw.below(20_000);
    let mut nic = Interrupt::named("nic0", draw.below(ncpus) as u32, 6, rate_hz.unwrap_or(often));
    (nic.packets, nic.flows) = (1 + draw.below(4) as u32, 1 + draw.below(9) as u32);
    let worker_only = [WorkerOnly::Yes, WorkerOnly::No][draw.below(2) as usize];
    let enter = [Enter::Fill, Enter::Nodrain, Enter::Process][draw.below(3) as usize];
    let cpu = |draw: &mut Draw| draw.below(ncpus + 1) as i32 - 1;
    let mut p = Program::new(ncpus as u32).device(nic).tunable(tunable::HZ, 1000);
    p = p.tunable(tunable::MAC_LATENCY_OPTIMIZE, draw.below(2) as i64);
    p = p.tunable(tunable::SQUEUE_DRAIN_MS, 20 * draw.below(2) as i64);
    p = p.tunable(tunable::MAC_SOFT_RING_MAX_Q_CNT, 8 + draw.below(300) as i64);
    for n in 0..2 {
        let work = SoftRing {
            sink: Some(ThreadRef(2 + if draw.below(2) == 0 { n } else { 0 })),
            cost_us: draw.below(20),
            worker_only,
            ..SoftRing::defaults(IntrRef(0))
        };
        p = p.thread(thread("ring", SYS, 99, cpu(&mut draw), work));
    }
    for _ in 0..2 {
        let work = Squeue { cost_us: draw.below(30), enter, ..Squeue::defaults() };
        p = p.thread(thread("squeue", SYS, 99, cpu(&mut draw), work));
    }
    if draw.below(2) == 0 {
        p = p.thread(thread("srs_poll", SYS, 99, cpu(&mut draw), SrsPoll::defaults(IntrRef(0))));
    }
    if draw.below(2) == 0 {
        p = p.thread(thread("srs_worker", SYS, 99, cpu(&mut draw), SrsWorker::defaults(IntrRef(0))));
    }
    if draw.below(2) == 0 {
        p = p.thread(thread("squeue_poll", SYS, 99, cpu(&mut draw), SqueuePoll::defaults(ThreadRef(2))));
    }
    let hog =
        Periodic { busy_us: 500 + draw.below(8_000), sleep_ticks: 1 + draw.below(4), ..Periodic::defaults() };
    p.thread(thread("hog", SYS, 99, cpu(&mut draw), hog)).thread(thread("low", TS, 10, -1, hog))
}

/// Where the packets of a run are.
#[derive(Debug, Default)]
struct Sums {
    arrived: u64,
    handled: u64,
    lost: u64,
    waiting: u64,
    disorder: u64,
    polled: u64,
}

fn sums(sim: &umpire_sim::Sim) -> Sums {
    let kernel = sim.kernel();
    let (rx, set) = (&kernel.k_intr.devices[0].dev_rx, &kernel.k_net.srs[0]);
    let squeues = || kernel.k_net.squeues.iter();
    let rings = kernel.k_net.soft_rings.iter().map(|ring| u64::from(ring.s_ring_count.get())).sum::<u64>();
    Sums {
        arrived: rx.rr_head.get() + rx.rr_overflow.get(),
        handled: squeues().map(|sq| sq.sq_processed.get()).sum(),
        lost: rx.rr_overflow.get() + rx.rr_norcvbuf.get() + set.sr_drop_count.get(),
        waiting: u64::from(rx.len())
            + u64::from(set.srs_count.get())
            + rings
            + squeues().map(|sq| u64::from(sq.sq_count.get())).sum::<u64>(),
        disorder: set.srs_conns.cn_disorder.get(),
        polled: set.sr_poll_count.get(),
    }
}

#[test]
fn no_packet_is_lost_or_overtaken_on_any_path() {
    let (mut handled, mut polled, mut lost) = (0, 0, 0);
    for seed in 0..60 {
        let mut sim = draw_path(seed, 1 + seed % 3, None).boot(seed);
        for look in 1..=8 {
            sim.run_until_ok(look * 25 * MS);
            let found = sums(&sim);
            assert_eq!(found.disorder, 0, "seed {seed}: {found:?}");
            let known = found.handled + found.lost + found.waiting;
            // What a thread has in its hands it took from a list as a whole: no more than there may be in all lists.
            assert!(known <= found.arrived, "seed {seed}: {found:?}");
        }
        let found = sums(&sim);
        (handled, polled, lost) = (handled + found.handled, polled + found.polled, lost + found.lost);
    }
    assert!(
        handled > 20_000 && polled > 1_000 && lost > 100,
        "{handled} handled, {polled} polled, {lost} lost"
    );
}

#[test]
fn a_path_that_nothing_comes_to_is_empty() {
    for seed in 0..40 {
        // The interrupts come so rarely that everything is done between two of them.
        let mut sim = draw_path(seed, 1 + seed % 3, Some(20)).boot(seed);
        sim.run_until_ok(480 * MS);
        let (kernel, found) = (sim.kernel(), sums(&sim));
        assert!(found.arrived >= 8, "seed {seed}: {found:?}");
        assert_eq!(found.handled + found.lost, found.arrived, "seed {seed}: {found:?}");
        let set = &kernel.k_net.srs[0];
        assert_eq!(set.sr_poll_pkt_cnt.get(), 0, "seed {seed}");
        let busy = srs::PROC | srs::GET_PKTS | srs::POLLING;
        assert_eq!(set.srs_state.get() & busy, 0, "seed {seed}: state {:#x}", set.srs_state.get());
        assert_eq!(kernel.k_intr.devices[0].dev_rx.rr_off.get(), 0, "seed {seed}");
        assert_eq!(kernel.k_streams.memory.dblks_in_use(), 0, "seed {seed}: messages are left");
    }
}

/// A device with so many flows, so many rings, and an squeue for all of them; the first thread of it has number `first`.
fn with_nic(p: Program, n: u32, (flows, rings): (u32, u32), first: u32) -> Program {
    let mut nic = Interrupt::named(if n == 0 { "nic0" } else { "nic1" }, 0, 6, 4_000);
    (nic.packets, nic.flows) = (1, flows);
    let ring = SoftRing { sink: Some(ThreadRef(first + rings)), ..SoftRing::defaults(IntrRef(n)) };
    let p = (0..rings).fold(p.device(nic), |p, _| p.thread(thread("ring", SYS, 99, 1, ring)));
    p.thread(thread("squeue", SYS, 99, 1, Squeue::defaults()))
}

#[test]
fn flows_of_one_number_of_two_devices_are_two() {
    let p = with_nic(Program::new(2).tunable(tunable::HZ, 1000), 0, (3, 1), 0);
    let mut sim = with_nic(p, 1, (3, 1), 2).boot(1);
    sim.run_until_ok(100 * MS);
    let sets = &sim.kernel().k_net.srs;
    assert!(sets.iter().all(|set| set.srs_conns.cn_disorder.get() == 0), "none is overtaken");
    for set in sets.iter() {
        let numbers: Vec<u64> = set.srs_conns.cn_next.iter().map(Cell::get).collect();
        assert!(
            numbers[..3].iter().all(|&next| next > 50),
            "each flow has come to its own device's: {numbers:?}"
        );
    }
}

#[test]
fn flows_go_to_the_rings_that_the_hash_of_their_addresses_and_ports_names() {
    let mut sim = with_nic(Program::new(2).tunable(tunable::HZ, 1000), 0, (8, 3), 0).boot(1);
    sim.run_until_ok(100 * MS);
    let rings = sim.kernel().k_net.soft_rings.iter();
    let packets: Vec<u64> = rings.map(|ring| ring.s_ring_total_inpkt.get()).collect();
    // From 10.0.0.2, ports 49152 to 49159, to 10.0.0.1, port 7.
    let mut expected = [0; 3];
    for port in 49_152_u32..49_160 {
        let ports = port << 16 | 7;
        let hash = (0x0a00_0002 + 0x0a00_0001) ^ (ports >> 24 ^ ports >> 16 ^ ports >> 8 ^ ports);
        expected[hash as usize % 3] += 1;
    }
    let total: u64 = packets.iter().sum();
    assert!(total > 300, "{packets:?}");
    for (ring, (&got, flows)) in packets.iter().zip(expected).enumerate() {
        assert!(
            got.abs_diff(total * flows / 8) <= 8,
            "ring {ring}: {got} of {total} packets, {flows} of 8 flows"
        );
    }
}

#[test]
fn a_set_without_a_poll_thread_is_never_polled() {
    for seed in 0..20 {
        let mut sim = draw_path(seed, 2, None).boot(seed);
        sim.run_until_ok(100 * MS);
        let set = &sim.kernel().k_net.srs[0];
        let is_capable = set.srs_type.get() & srst::POLL_CAPAB != 0;
        assert_eq!(is_capable, !set.srs_poll_thr.is_null(), "seed {seed}");
        assert!(is_capable || set.sr_poll_on.get() == 0, "seed {seed}");
    }
}

#[test]
fn a_flow_that_goes_two_ways_overtakes_itself() {
    let disorder: u64 = (0..60)
        .map(|seed| {
            let mut sim = draw_path(seed, 3, None).mutant(mutant::FANOUT_BY_TURN).boot(seed);
            sim.run_until(200 * MS);
            sums(&sim).disorder
        })
        .sum();
    assert!(disorder > 0, "no packet was overtaken");
}
