//! Locality groups: which CPU a thread gets, whose work an idle CPU takes, where homes are, and how loads are counted.
//!
//! # Invariants
//! - The model of the search knows the rule and none of the kernel's lists.
//! - Words of other CPUs are changed, looked at and put back within one step of virtual time.

use std::ptr;
use umpire_shared::work::Workload;
use umpire_shared::work::compute::{Mode, Periodic, Spin};

use crate::bench::draw::Draw;
use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::disp::disp_lowpri_cpu;
use umpire_kernel::lgrp::{
    LGRP_LOADAVG_THREAD_MAX, lgrp_choose, lgrp_move_thread, loadavg_aged, loadavg_factor,
};
use umpire_kernel::sys::lgrp::LGRP_ROOTID;
use umpire_kernel::sys::thread::role;
use umpire_kernel::{Kernel, Kthread, platform};
use umpire_shared::event::Kind;
use umpire_shared::program::class::{FX, SYS, TS};
use umpire_shared::program::{Thread, Verb};
use umpire_shared::{mutant, tunable};
use umpire_sim::TraceRecord;

const OFF: Verb = Verb::Offline;
const ON: Verb = Verb::Online;

/// A thread at home in leaf `lgroup`, or where the kernel puts it for -1.
fn at(lgroup: i32, mut t: Thread) -> Thread {
    t.lgroup = lgroup;
    t.lwp = t.class != SYS;
    t
}

fn spinner(pri: i32, cpu: i32) -> Thread {
    thread("spin", FX, pri, cpu, Spin { mode: Mode::User, ..Spin::defaults() })
}

fn periodic(class: u32, pri: i32, busy_us: u64) -> Thread {
    thread("periodic", class, pri, -1, Periodic { busy_us, ..Periodic::defaults() })
}

impl Draw {
    fn pri(&mut self) -> i16 {
        // A third of the CPUs idle, and there are few different priorities, so that equals meet.
        if self.below(3) == 0 { -1 } else { 10 * self.below(5) as i16 }
    }
}

/// What the search asks of a CPU.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// It may be searched: online, in the thread's partition.
    is_there: bool,
    is_in_motion: bool,
    /// The best priority of what runs there, waits there and is on its way there.
    pri: i32,
}

/// Facts 2.14: leaves are runs of `size` CPUs; `home` is one of them, or `None` for a thread that is at home everywhere.
fn model(cpus: &[Seen], size: usize, home: Option<usize>, hint: usize, pri: i32) -> usize {
    let leaves: Vec<Vec<usize>> = (0..cpus.len() / size)
        .map(|leaf| {
            let leaf: Vec<usize> = (leaf * size..(leaf + 1) * size).filter(|&c| cpus[c].is_there).collect();
            let first = leaf.iter().position(|&c| c == hint).unwrap_or(0);
            leaf.iter().cycle().skip(first).take(leaf.len()).copied().collect()
        })
        .collect();
    let far = (0..leaves.len()).filter(|leaf| Some(*leaf) != home);
    let levels = [home.into_iter().collect::<Vec<usize>>(), far.collect()];
    let mut best_home = None;
    for level in levels {
        let order: Vec<usize> = level.iter().flat_map(|&leaf| leaves[leaf].clone()).collect();
        let free = order.into_iter().filter(|&c| !cpus[c].is_in_motion);
        // The first idle one ends the search; of equals the first is taken.
        let Some(best) = free.min_by_key(|&c| cpus[c].pri) else { continue };
        if pri > cpus[best].pri {
            return best;
        }
        best_home = best_home.or(Some(best));
    }
    let all = || leaves[home.unwrap_or(0)].iter().chain(leaves.iter().flatten());
    best_home.or_else(|| all().next().copied()).unwrap_or(hint)
}

/// Draws a state of the machine, asks the kernel and the model, and restores everything. `t` is not the caller.
fn compare(kernel: &'static Kernel, t: &'static Kthread, draw: &mut Draw, seed: u64) -> (bool, bool) {
    let words = |c: &umpire_kernel::Cpu| {
        [&c.cpu_dispatch_pri, &c.cpu_disp.disp_maxrunpri, &c.cpu_chosen_level].map(|word| word.get())
    };
    let saved: Vec<[i16; 3]> = kernel.k_cpus.iter().map(words).collect();
    let motion = draw.below(3 * u64::from(kernel.k_ncpus)) as usize;
    kernel.k_disp.cpu_inmotion.set(kernel.k_cpus.get(motion));
    for c in &kernel.k_cpus {
        c.cpu_dispatch_pri.set(draw.pri());
        c.cpu_disp.disp_maxrunpri.set(if draw.below(2) == 0 { -1 } else { draw.pri() });
        c.cpu_chosen_level.set(if draw.below(4) == 0 { draw.pri() } else { -1 });
    }
    let seen: Vec<Seen> = kernel
        .k_cpus
        .iter()
        .map(|c| Seen {
            is_there: t.part().has_online(c),
            is_in_motion: kernel.k_disp.cpu_inmotion.is(c),
            pri: words(c).into_iter().max().map_or(-1, i32::from),
        })
        .collect();
    let home = (t.lpl().lpl_lgrpid as usize).checked_sub(1);
    let size = (kernel.k_ncpus / kernel.k_lgrp.nlgrps) as usize;
    let (hint, pri) = (draw.below(u64::from(kernel.k_ncpus)) as usize, 10 * draw.below(6) as i32);
    let chosen = disp_lowpri_cpu(&kernel.k_cpus[hint], t, pri).cpu_id as usize;
    let expected = model(&seen, size, home, hint, pri);
    kernel.k_disp.cpu_inmotion.set(None);
    for (c, [dispatch, maxrun, level]) in kernel.k_cpus.iter().zip(saved) {
        c.cpu_dispatch_pri.set(dispatch);
        c.cpu_disp.disp_maxrunpri.set(maxrun);
        c.cpu_chosen_level.set(level);
    }
    assert_eq!(chosen, expected, "seed {seed}: home {home:?} hint {hint} pri {pri} of {seen:?}");
    (home.is_some_and(|home| chosen / size != home), home.is_some_and(|home| chosen / size == home))
}

#[test]
fn search_for_a_cpu_does_what_the_model_does() {
    let (mut far, mut near) = (0, 0);
    for seed in 0..60 {
        let lgroups = [1, 2, 4, 8][seed as usize % 4];
        // The set cuts through leaves, or leaves some of them without a CPU.
        let mut p =
            Program::new(8).lgroups(lgroups).pset("set", [0b1010_0000, 0b0011_1000][seed as usize / 4 % 2]);
        for n in 0..8 {
            let mut t = at(n % lgroups as i32, periodic(TS, 20, 50));
            t.pset = n as u32 % 2;
            p = p.thread(t);
        }
        let p = p.thread(at(-1, periodic(SYS, 61, 50))).thread(thread("asks", SYS, 99, 0, Spin::defaults()));
        let mut sim = p.event(MS, OFF, 2, &[]).boot(seed);
        sim.run_instead(move |t| {
            if t.name(&mut [0; umpire_shared::NAME_LEN]) != "asks" {
                return false;
            }
            umpire_kernel::time::callout::sleep_until(20 * MS);
            let kernel = platform::kernel();
            let mut draw = Draw(seed);
            let level = platform::swap_pil(15);
            let (mut far, mut near) = (0, 0);
            for _ in 0..200 {
                let t = &kernel.scenario_threads()[draw.below(9) as usize];
                let (is_far, is_near) = compare(kernel, t, &mut draw, seed);
                far += u64::from(is_far);
                near += u64::from(is_near);
            }
            platform::swap_pil(level);
            t.t_progress.set(far << 32 | near << 1 | 1);
            umpire_kernel::time::callout::sleep_until(u64::MAX / 2);
            true
        });
        sim.run_until_ok(30 * MS);
        let found = sim.kernel().scenario_threads()[9].t_progress.get();
        assert_ne!(found, 0, "seed {seed}: nothing was asked");
        far += found >> 32;
        near += (found & 0xffff_ffff) >> 1;
        if lgroups == 1 {
            let all_root = sim.kernel().k_threads.iter().all(|t| t.t_lpl.get().is_none_or(|l| l.is_root()));
            assert!(all_root, "seed {seed}");
        }
    }
    assert!(far > 500 && near > 500, "{far} answers away from home, {near} at home");
}

/// From 50 ms on CPU 0 has nothing to do. CPUs 1, 2 and 3 are taken for good, and threads of these priorities wait there.
fn victims(waiting: [Option<i32>; 3]) -> Program {
    let mut p = Program::new(4).lgroups(2).traced().tunable(tunable::HZ, 1000);
    for cpu in 0..4 {
        let work = match cpu {
            0 => Periodic { busy_us: 50_000, sleep_ticks: 1_000_000, ..Periodic::defaults() }.into(),
            _ => Workload::from(Spin::defaults()),
        };
        p = p.thread(thread("hog", SYS, 60, cpu, work));
    }
    // A thread begins on the CPU of its number, if that is of its home.
    let rests =
        thread("rests", SYS, 60, 0, Periodic { busy_us: 1, sleep_ticks: 1_000_000, ..Periodic::defaults() });
    p = p.thread(rests);
    for (n, pri) in waiting.into_iter().enumerate() {
        let t = at((n as i32 + 1) / 2, spinner(pri.unwrap_or(0), -1));
        p = p.thread(if pri.is_some() { t } else { at(-1, spinner(0, n as i32 + 1)) });
    }
    p
}

/// The CPUs from which CPU 0 has stolen threads of the scenario, in the order of the steals.
fn stolen_from(sim: &Bench) -> Vec<u64> {
    let kernel = sim.kernel();
    let is_ours = |e: &TraceRecord| kernel.k_threads[e.thread as usize].t_role.get() == role::SCENARIO;
    let trace = sim.take_trace();
    trace.iter().filter(|e| e.kind == Kind::Steal && e.cpu == 0 && is_ours(e)).map(|e| e.arg).collect()
}

#[test]
fn idle_cpu_takes_near_work_before_better_work_that_is_far() {
    // What waits on CPUs 1, 2 and 3, and from which of them CPU 0 takes first: CPU 1 is near.
    let cases = [
        ([Some(10), Some(40), Some(50)], 1),
        ([None, Some(40), Some(50)], 3),
        ([None, Some(50), Some(40)], 2),
        ([None, Some(30), None], 2),
    ];
    for (waiting, expected) in cases {
        for seed in 0..20 {
            let mut sim = victims(waiting).boot(seed);
            sim.run_until_ok(150 * MS);
            assert_eq!(stolen_from(&sim).first(), Some(&expected), "seed {seed}: {waiting:?}");
        }
    }
}

#[test]
fn leaf_only_takes_no_work_that_is_far() {
    for seed in 0..20 {
        let mut sim = victims([None, Some(40), Some(50)]).mutant(mutant::LEAF_ONLY).boot(seed);
        sim.run_until_ok(150 * MS);
        assert_eq!(stolen_from(&sim), [], "seed {seed}");
    }
}

/// How often `n` threads of leaf 0 ran near and far, beside `hogs` better ones of leaf `lgroup`.
fn turns(n: usize, hogs: usize, lgroup: i32, seed: u64) -> (usize, usize) {
    let mut p = Program::new(4).lgroups(2).traced().tunable(tunable::HZ, 1000);
    for k in 0..n {
        p = p.thread(at(0, periodic(FX, 20, 300 + 50 * k as u64)));
    }
    for _ in 0..hogs {
        p = p.thread(at(lgroup, spinner(40, -1)));
    }
    let mut sim = p.boot(seed);
    sim.run_until_ok(500 * MS);
    let trace = sim.take_trace();
    let mine = trace.iter().filter(|e| e.kind == Kind::OnCpu && (4..4 + n as u32).contains(&e.thread));
    let (near, far): (Vec<&TraceRecord>, Vec<&TraceRecord>) = mine.partition(|e| e.cpu < 2);
    (near.len(), far.len())
}

#[test]
fn threads_stay_at_home_while_there_is_room_and_leave_when_there_is_none() {
    for seed in 0..20 {
        let (near, far) = turns(2, 2, 1, seed);
        assert!(near > 500 && far * 20 < near, "seed {seed}: {near} turns at home, {far} away");
        let (near, far) = turns(2, 2, 0, seed);
        assert!(far > 500 && near * 4 < far, "seed {seed}: {near} turns at home, {far} away, crowded out");
    }
}

/// Checks that every thread's home belongs to its partition, and has a CPU unless the partition has none.
fn check_homes(kernel: &Kernel, what: &str) {
    for part in kernel.partitions() {
        let lpls = kernel.lpls_of(part);
        assert_eq!(lpls[0].lpl_cpus.get(), part.cp_onln.get(), "{what}: root of {}", part.cp_id);
        assert_eq!(lpls[0].lpl_ncpu.get(), part.cp_ncpus.get(), "{what}: root of {}", part.cp_id);
        let full = lpls[1..].iter().filter(|leaf| leaf.lpl_ncpu.get() != 0).count();
        assert_eq!(lpls[0].lpl_nrset.get() as usize, full, "{what}: leaves of {}", part.cp_id);
        let all = lpls[1..].iter().fold(0, |all, leaf| all | leaf.lpl_cpus.get());
        assert_eq!(all, part.cp_onln.get(), "{what}: leaves of {}", part.cp_id);
    }
    for cp in &kernel.k_cpus {
        let lpl = cp.lpl();
        assert_eq!(lpl.lpl_lgrpid, kernel.lgroup_of(cp) + 1, "{what}: cpu {}", cp.cpu_id);
        assert_eq!(lpl.has_online(cp), !cp.is_offline(), "{what}: cpu {}", cp.cpu_id);
        assert!(kernel.lpls_of(cp.part()).iter().any(|l| ptr::eq(l, lpl)), "{what}: cpu {}", cp.cpu_id);
    }
    for t in kernel.scenario_threads() {
        assert!(kernel.lpls_of(t.part()).iter().any(|l| ptr::eq(l, t.lpl())), "{what}: thread {}", t.t_did);
        let is_empty = t.lpl().lpl_ncpu.get() == 0 && t.part().cp_ncpus.get() != 0;
        assert!(!is_empty, "{what}: thread {} lives where no CPU is", t.t_did);
    }
}

/// The group of each thread's home.
fn homes(sim: &Bench) -> Vec<u32> {
    sim.kernel().scenario_threads().iter().map(|t| t.lpl().lpl_lgrpid).collect()
}

#[test]
fn last_cpu_of_a_home_that_goes_offline_sends_its_threads_to_another() {
    for seed in 0..30 {
        let mut p = Program::new(4).lgroups(2).tunable(tunable::HZ, 1000);
        for n in 0..4 {
            p = p.thread(at(n % 2, spinner(20, -1))).thread(at(n % 2, periodic(FX, 30, 200)));
        }
        p = p.event(50 * MS, OFF, 2, &[]).event(100 * MS, OFF, 3, &[]).event(200 * MS, ON, 3, &[]);
        let mut sim = p.boot(seed);
        let step = |sim: &mut Bench, until| {
            sim.run_until_ok(until);
            check_homes(sim.kernel(), &format!("seed {seed} at {until}"));
            homes(sim)
        };
        let before = step(&mut sim, 40 * MS);
        assert_eq!(before, [1, 1, 2, 2, 1, 1, 2, 2], "seed {seed}");
        assert_eq!(step(&mut sim, 90 * MS), before, "seed {seed}: one CPU is left");
        assert_eq!(step(&mut sim, 190 * MS), [1; 8], "seed {seed}: none is left");
        let turns = |sim: &Bench| -> Vec<u64> {
            sim.kernel().scenario_threads().iter().map(|t| t.t_progress.get()).collect()
        };
        let then = turns(&sim);
        assert_eq!(step(&mut sim, 400 * MS), [1; 8], "seed {seed}: it is back, and nobody moves back");
        for (n, (now, then)) in turns(&sim).into_iter().zip(then).enumerate() {
            assert!(now > then, "seed {seed}: thread {n} stands still");
        }
        // Their home is crowded, so some run on the CPU that is back.
        assert!(sim.kernel().k_cpus[3].cpu_dispatch_pri.get() > 0, "seed {seed}: CPU 3 idles");
        let errnos: Vec<u32> = sim.kernel().k_events.iter().map(|e| e.ev_errno.get()).collect();
        assert_eq!(errnos, [0; 3], "seed {seed}");
    }
}

#[test]
fn sets_that_cut_leaves_give_their_threads_homes_inside() {
    for seed in 0..30 {
        // The set has CPU 3 of leaf 0, CPU 4 of leaf 1; then CPU 5 too, then CPU 3 no more.
        let mut p = Program::new(8).lgroups(2).pset("set", 0b0001_1000).tunable(tunable::HZ, 1000).traced();
        for n in 0..4 {
            let mut t = at(n % 2, spinner(20, -1));
            t.pset = 1;
            p = p.thread(t).thread(at(n % 2, spinner(20, -1))).thread(at(-1, periodic(SYS, 60, 100)));
        }
        let p = p
            .event(50 * MS, Verb::PsetAssign, 5, &[1])
            .event(100 * MS, Verb::PsetAssign, 3, &[0])
            .event(150 * MS, Verb::PsetBind, 1, &[1])
            .event(150 * MS, Verb::PsetBind, 0, &[0]);
        let mut sim = p.boot(seed);
        for until in [40, 90, 140, 300] {
            sim.run_until_ok(until * MS);
            check_homes(sim.kernel(), &format!("seed {seed} at {until} ms"));
            let in_set = sim.kernel().scenario_threads().iter().filter(|t| t.part().cp_id == 1);
            let homes: Vec<u32> = in_set.map(|t| t.lpl().lpl_lgrpid).collect();
            let expected = if until < 100 { &[1, 2, 1, 2][..] } else { &[2, 2, 2, 2] };
            assert_eq!(homes, expected, "seed {seed} at {until} ms");
        }
        let errnos: Vec<u32> = sim.kernel().k_events.iter().map(|e| e.ev_errno.get()).collect();
        assert_eq!(errnos, [0; 4], "seed {seed}");
        // In the end the set is CPUs 4 and 5.
        sim.take_trace();
        sim.run_until_ok(400 * MS);
        let kernel = sim.kernel();
        let first = kernel.k_ncpus;
        for e in sim.take_trace().iter().filter(|e| e.kind == Kind::OnCpu) {
            let Some(t) = kernel.scenario_threads().get(e.thread.wrapping_sub(first) as usize) else {
                continue;
            };
            assert!(
                t.part().cp_onln.get() >> e.cpu & 1 == 1,
                "seed {seed}: thread {} on {}",
                e.thread,
                e.cpu
            );
        }
    }
}

#[test]
fn system_threads_are_at_home_everywhere_and_the_others_divide_evenly() {
    let mut p = Program::new(8).lgroups(4);
    for _ in 0..8 {
        p = p.thread(at(-1, spinner(20, -1))).thread(at(-1, periodic(SYS, 60, 100)));
    }
    let sim = p.thread(at(-1, spinner(20, 5))).thread(at(3, periodic(SYS, 60, 100))).boot(3);
    let mut sim = sim;
    sim.run_until_ok(20 * MS);
    let homes = homes(&sim);
    let users: Vec<u32> = homes[..16].iter().step_by(2).copied().collect();
    assert_eq!(users, [1, 2, 3, 4, 1, 2, 3, 4], "of equals the first; who was just put there counts");
    assert!(homes[..16].iter().skip(1).step_by(2).all(|&home| home == LGRP_ROOTID));
    // One is bound to CPU 5, the other is a system thread that names its home.
    assert_eq!(homes[16..], [3, 4]);
}

#[test]
fn update_of_a_load_is_the_sheet_s_formula() {
    // Worked out by hand from facts 8.5.
    assert_eq!(loadavg_aged(0, 1, 1), 3196);
    assert_eq!(loadavg_aged(65_536, 1, 1), 65_536);
    assert_eq!(loadavg_aged(65_536, 0, 1), 65_536 - 3196);
    // A quarter, one CPU of two, three threads: 16384 + ((384 * 1618 - (16384 * 128 * 1618 >> 16)) >> 7).
    assert_eq!(loadavg_aged(16_384, 3, 2), 16_384 + 4449);
    assert_eq!([1, 2, 31, 32, 64].map(loadavg_factor), [3196, 1618, 105, 99, 49]);
    assert!((1..64).all(|n| loadavg_factor(n) >= loadavg_factor(n + 1)));
    // It is never below 0 nor out of 32 bits, wherever it comes from.
    for ncpu in 1..=40 {
        for old in [0, 1, 65_535, 65_536, u32::MAX] {
            let (up, down) = (loadavg_aged(old, 20_000, ncpu), loadavg_aged(old, 0, ncpu));
            assert!(down <= old && up >= old.min(20_000 << 16), "{ncpu} CPUs, {old}: {down} and {up}");
        }
    }
    // One of each CPU's threads for ever: a load of one, from below and from above.
    for (ncpu, old) in [(1, 0), (2, 0), (4, 300_000), (16, 300_000)] {
        let end = (0..200 * ncpu).fold(old, |load, _| loadavg_aged(load, 1, ncpu));
        assert!(end.abs_diff(65_536) < 3000, "{ncpu} CPUs from {old}: {end}");
    }
}

#[test]
fn load_of_a_leaf_is_what_runs_there_and_what_lives_there() {
    for seed in 0..5 {
        // Leaf 0: three threads of its own for two CPUs, bound; leaf 1: one that lives in leaf 0.
        let mut p = Program::new(4).lgroups(2).tunable(tunable::HZ, 1000);
        for cpu in [0, 0, 1, 2] {
            p = p.thread(at(0, spinner(20, cpu)));
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(10 * SECOND);
        let loads: Vec<f64> = {
            let kernel = sim.kernel();
            let lpls = kernel.lpls_of(kernel.cp_default()).iter();
            lpls.map(|l| f64::from(l.lpl_loadavg.get()) / 65_536.0).collect()
        };
        // Leaf 0 has four threads for two CPUs, leaf 1 none, and the machine four for four CPUs.
        let expected = [1.0, 2.0, 0.0];
        let is_near = |(load, expected): (&f64, &f64)| (load - expected).abs() < 0.1 * expected.max(1.0);
        assert!(loads.iter().zip(&expected).all(is_near), "seed {seed}: {loads:?}, expected {expected:?}");
    }
}

#[test]
fn home_is_chosen_by_load_and_a_move_counts_at_once() {
    let mut sim = Program::new(4)
        .lgroups(2)
        .thread(at(0, periodic(TS, 20, 50)))
        .thread(thread("asks", SYS, 99, 0, Spin::defaults()))
        .boot(5);
    sim.run_instead(|t| {
        if t.name(&mut [0; umpire_shared::NAME_LEN]) != "asks" {
            return false;
        }
        let kernel = platform::kernel();
        let level = platform::swap_pil(15);
        let (part, other) = (kernel.cp_default(), &kernel.scenario_threads()[0]);
        let [_, a, b] = kernel.lpls_of(part) else { panic!("two leaves and a root") };
        for lpl in [a, b] {
            lpl.lpl_loadavg.set(100_000);
        }
        assert!(ptr::eq(lgrp_choose(part), a), "the first of equals");
        b.lpl_loadavg.set(99_999);
        assert!(ptr::eq(lgrp_choose(part), b), "the least");
        lgrp_move_thread(other, b);
        let share = LGRP_LOADAVG_THREAD_MAX / 2;
        assert_eq!((a.lpl_loadavg.get(), b.lpl_loadavg.get()), (100_000 - share, 99_999 + share));
        assert!(ptr::eq(lgrp_choose(part), a));
        platform::swap_pil(level);
        t.t_progress.set(1);
        umpire_kernel::time::callout::sleep_until(u64::MAX / 2);
        true
    });
    sim.run_until_ok(20 * MS);
    assert_eq!(sim.kernel().scenario_threads()[1].t_progress.get(), 1, "it came to its end");
}
