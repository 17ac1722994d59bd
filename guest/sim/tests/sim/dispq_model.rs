//! Run queues against a model of twenty lines, over random programs: at which end a thread is enqueued, and which one is taken next.
//!
//! Every thread of these programs is bound, or unbound at `kpqpri` or better, so its queue is known.
//!
//! # Invariants
//! - The model knows the rules and nothing of the kernel's structures.

use std::collections::{BTreeMap, VecDeque};
use umpire_shared::work::compute::{Between, Mode, Periodic, Spin};
use umpire_shared::work::network::SoftRing;
use umpire_shared::work::{IntrRef, Workload};

use crate::bench::{Bench, MS, Program, thread};
use umpire_kernel::Kthread;
use umpire_kernel::disp::NPRI;
use umpire_kernel::sys::Disp;
use umpire_shared::event::Kind;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::{event, tunable};
use umpire_sim::TraceRecord;

/// A run queue as a map of deques.
#[derive(Debug, Default)]
struct Model(BTreeMap<i32, VecDeque<u32>>);

impl Model {
    fn insert(&mut self, pri: i32, thread: u32, at_front: bool) {
        let level = self.0.entry(pri).or_default();
        if at_front { level.push_front(thread) } else { level.push_back(thread) }
    }

    /// The head of the highest level.
    fn best(&self) -> Option<u32> {
        self.0.iter().rev().find_map(|(_, level)| level.front().copied())
    }

    /// False if it was not on its level.
    fn remove(&mut self, pri: i32, thread: u32) -> bool {
        let Some(level) = self.0.get_mut(&pri) else { return false };
        let found = level.iter().position(|&t| t == thread).and_then(|n| level.remove(n)).is_some();
        if level.is_empty() {
            self.0.remove(&pri);
        }
        found
    }
}

/// The queues of a program, by CPU; the last is the kp queue.
struct Models {
    queues: Vec<Model>,
    /// Each thread's queue, by `t_did`.
    home: Vec<usize>,
    /// The thread whose priority each CPU was changing in its last event.
    changing: Vec<Option<u32>>,
}

impl Models {
    fn new(sim: &Bench) -> Models {
        let kernel = sim.kernel();
        let kp = kernel.k_cpus.len();
        let home = |t: &Kthread| t.t_bound_cpu.get().map_or(kp, |cp| cp.cpu_id as usize);
        Models {
            queues: (0..=kp).map(|_| Model::default()).collect(),
            home: kernel.k_threads.iter().map(home).collect(),
            changing: vec![None; kp],
        }
    }

    fn replay(&mut self, e: &TraceRecord, what: &str) {
        let queue = &mut self.queues[self.home[e.thread as usize]];
        let changing = self.changing[e.cpu as usize].take();
        match e.kind {
            Kind::Enqueue => queue.insert(e.pri, e.thread, event::at_head(e.arg)),
            Kind::Dequeue => {
                // A thread that is taken to run is the best; only a change of priority takes one from the middle.
                assert!(
                    changing == Some(e.thread) || queue.best() == Some(e.thread),
                    "{what}: {e:?} of {queue:?}"
                );
                assert!(queue.remove(e.pri, e.thread), "{what}: {e:?} of {queue:?}");
            }
            Kind::ChangePri => self.changing[e.cpu as usize] = Some(e.thread),
            _ => {}
        }
    }

    /// Compares with the real queues whose lock is free. Returns how many of them were not empty.
    fn compare(&self, sim: &Bench, what: &str) -> u32 {
        let kernel = sim.kernel();
        let real = kernel.k_cpus.iter().map(|c| &c.cpu_disp).chain([&kernel.cp_default().cp_kp_queue]);
        let mut compared = 0;
        for (n, (dp, model)) in real.zip(&self.queues).enumerate() {
            if !dp.disp_lock.is_held() {
                assert_eq!(levels(dp), model.0, "{what}: queue {n}");
                compared += u32::from(!model.0.is_empty());
            }
        }
        compared
    }
}

/// The threads of each level, in order.
fn levels(dp: &Disp) -> BTreeMap<i32, VecDeque<u32>> {
    let mut all = BTreeMap::new();
    for pri in 0..NPRI {
        let first = dp.disp_q[pri].dq_first.get();
        let level: VecDeque<u32> =
            std::iter::successors(first, |t| t.t_link.get()).map(|t| t.t_did).collect();
        if !level.is_empty() {
            all.insert(pri as i32, level);
        }
    }
    all
}

/// A small generator of our own (xorshift): the test draws programs, the simulator draws interleavings.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A random program of threads whose queue is known.
fn draw_program(seed: u64) -> Program {
    let mut draw = Draw((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let ncpus = 1 + draw.below(3);
    let mut p = Program::new(ncpus as u32)
        .tunable(tunable::KPREEMPTPRI, 99 + draw.below(2) as i64)
        .tunable(tunable::KPQPRI, 90)
        .tunable(tunable::HZ, 1000)
        .interrupt("nic0", draw.below(ncpus) as u32, 6, 500 + draw.below(2000));
    for _ in 0..10 + draw.below(10) {
        let cpu = draw.below(ncpus) as i32;
        let few = draw.below(4) as i32;
        let (name, class, pri) = match draw.below(5) {
            0 => ("user", TS, 10 * few),
            1 => ("yield", if few == 0 { SYS } else { TS }, 29 + 10 * few),
            2 => ("sleep", if few < 2 { SYS } else { TS }, if few < 2 { 60 } else { 40 }),
            3 if ncpus > 1 => ("kp", SYS, 96 + few),
            _ => ("ring", SYS, 90 + 3 * few),
        };
        let work: Workload = match name {
            "user" | "yield" if class == TS && pri < 40 => {
                let between = [Between::Nothing, Between::Yield][draw.below(2) as usize];
                Spin { mode: Mode::User, between, ..Spin::defaults() }.into()
            }
            "user" | "yield" => Spin { chunk_us: 100, between: Between::Yield, ..Spin::defaults() }.into(),
            "sleep" => Periodic {
                busy_us: 20 + draw.below(200),
                sleep_ticks: 1 + draw.below(3),
                ..Periodic::defaults()
            }
            .into(),
            _ => SoftRing { cost_us: 1 + draw.below(20), ..SoftRing::defaults(IntrRef(0)) }.into(),
        };
        let t = thread(name, class, pri, if name == "kp" { -1 } else { cpu }, work);
        p = p.thread(t);
    }
    p.traced()
}

#[test]
fn queues_do_what_the_model_does() {
    let (mut compared, mut changed, mut heads) = (0, 0, 0);
    for seed in 0..16 {
        let mut sim = draw_program(seed).boot(seed);
        // Threads are bound when they are created.
        sim.run_until_ok(MS / 7);
        let mut models = Models::new(&sim);
        for look in 2..=400 {
            // The looks go past two ts_updates, which move threads from one level to another.
            sim.run_until_ok(look * 6 * MS);
            let what = format!("seed {seed} look {look}");
            for e in sim.take_trace() {
                models.replay(&e, &what);
                changed += u32::from(e.kind == Kind::ChangePri);
                heads += u32::from(e.kind == Kind::Enqueue && event::at_head(e.arg));
            }
            compared += models.compare(&sim, &what);
        }
    }
    assert!(compared > 5000, "{compared} non-empty queues compared");
    assert!(changed > 100 && heads > 5000, "{changed} changes of priority, {heads} enqueues at the head");
}
