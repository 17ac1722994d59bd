//! Rwlocks: which thread gets in when, against a model; and the readers that deadlock behind a writer.
//!
//! # Invariants
//! - The model knows only when each thread arrives and how long it stays; it takes nothing from the kernel.

use crate::bench::{MS, Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::lock::rw as bits;
use umpire_kernel::sync::rw_owner;
use umpire_shared::program::class::SYS;
use umpire_shared::work::locks::{Nested, RwHow, RwMix};
use umpire_shared::{program, tunable};

const NEVER_AGAIN: u64 = 1_000_000;

/// A kernel in which every better thread preempts: these tests show which thread is better.
fn preemptive(ncpus: u32) -> Program {
    Program::new(ncpus).tunable(tunable::KPREEMPTPRI, 0).tunable(tunable::KPQPRI, 99)
}

/// One thread of the model: when it comes, how, and for how long.
#[derive(Debug, Clone, Copy)]
struct Visit {
    pri: i32,
    mode: RwHow,
    after_us: u64,
    hold_us: u64,
}

/// The rules of `rwlock.c`, without words, bits or locks.
#[derive(Default)]
struct Model {
    writer: Option<usize>,
    readers: Vec<usize>,
    waiting_writers: Vec<usize>,
    waiting_readers: Vec<usize>,
}

impl Model {
    /// True if visitor `n` gets in at once.
    fn arrive(&mut self, visits: &[Visit], n: usize) -> bool {
        let is_busy = match visits[n].mode {
            RwHow::Writer => self.writer.is_some() || !self.readers.is_empty(),
            RwHow::Reader => self.writer.is_some() || !self.waiting_writers.is_empty(),
            _ => self.writer.is_some(),
        };
        let is_writer = visits[n].mode == RwHow::Writer;
        if !is_busy {
            if is_writer {
                self.writer = Some(n)
            } else {
                self.readers.push(n)
            }
            return true;
        }
        let queue = if is_writer { &mut self.waiting_writers } else { &mut self.waiting_readers };
        let place = queue.iter().position(|&w| visits[w].pri < visits[n].pri).unwrap_or(queue.len());
        queue.insert(place, n);
        false
    }

    /// The visitors that get in when `n` leaves.
    fn leave(&mut self, visits: &[Visit], n: usize) -> Vec<usize> {
        let best_writer = self.waiting_writers.first().map_or(-1, |&w| visits[w].pri);
        let was_writer = self.writer.take().is_some();
        self.readers.retain(|&r| r != n);
        if !self.readers.is_empty() {
            return Vec::new();
        }
        let least = if was_writer { best_writer } else { best_writer.saturating_add(1000) };
        let (enter, stay): (Vec<usize>, Vec<usize>) =
            self.waiting_readers.iter().partition(|&&r| best_writer == -1 || visits[r].pri >= least);
        self.waiting_readers = stay;
        if enter.is_empty() && best_writer != -1 {
            let writer = self.waiting_writers.remove(0);
            self.writer = Some(writer);
            return vec![writer];
        }
        self.readers = enter.clone();
        enter
    }
}

/// The writer and the number of readers from each time (us) on, by the model; `None` if two things happen so close together that
/// the model cannot say.
fn predict(visits: &[Visit]) -> Option<Vec<(u64, Option<usize>, usize)>> {
    const CLOSE_US: u64 = 200;
    let mut model = Model::default();
    let mut due: Vec<(u64, bool, usize)> =
        visits.iter().enumerate().map(|(n, v)| (v.after_us, true, n)).collect();
    let mut history = vec![(0, None, 0)];
    while let Some(next) = due.iter().copied().min() {
        due.retain(|&d| d != next);
        let (now, is_arrival, n) = next;
        if due.iter().any(|d| d.0 - now < CLOSE_US) {
            return None;
        }
        let entered = match is_arrival {
            true if model.arrive(visits, n) => vec![n],
            true => Vec::new(),
            false => model.leave(visits, n),
        };
        // Several readers that enter together leave at different times, by their holds.
        due.extend(entered.iter().map(|&e| (now + visits[e].hold_us, false, e)));
        history.push((now, model.writer, model.readers.len()));
    }
    Some(history)
}

fn visitor(v: &Visit, cpu: i32) -> program::Thread {
    let (hold_us, after_us) = (v.hold_us, v.after_us);
    let work = RwMix { mode: v.mode, hold_us, rest_ticks: NEVER_AGAIN, after_us, ..RwMix::defaults() };
    thread("visitor", SYS, v.pri, cpu, work)
}

/// A small generator of its own, so that the visits do not depend on the simulator's.
fn below(state: &mut u64, n: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % n
}

fn random_visits(seed: u64) -> Vec<Visit> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..7)
        .map(|_| Visit {
            pri: 60 + 10 * below(&mut state, 3) as i32,
            mode: [RwHow::Reader, RwHow::Reader, RwHow::Writer, RwHow::StarveWriter]
                [below(&mut state, 4) as usize],
            after_us: 1000 + 100 * below(&mut state, 120),
            hold_us: 500 + 100 * below(&mut state, 60),
        })
        .collect()
}

#[test]
fn who_holds_the_lock_is_whom_the_model_says() {
    let (mut judged, mut writers, mut shared) = (0, 0, 0);
    for seed in 0..1200 {
        let visits = random_visits(seed);
        let Some(history) = predict(&visits) else { continue };
        judged += 1;
        let mut p = preemptive(visits.len() as u32);
        for (cpu, v) in visits.iter().enumerate() {
            p = p.thread(visitor(v, cpu as i32));
        }
        let mut sim = p.boot(seed);
        for (n, &(from_us, writer, readers)) in history.iter().enumerate() {
            // A little before the next change, when every thread has long done what this change asked of it.
            let until_us = history.get(n + 1).map_or(from_us + 200, |next| next.0);
            sim.run_until_ok((until_us - 50) * 1000);
            let rw = &sim.kernel().k_work.rwlocks[0];
            let threads = sim.kernel().scenario_threads();
            let seen = rw_owner(rw)
                .map(|o| threads.iter().position(|t| std::ptr::eq(t, o)).expect("the owner is one of ours"));
            assert_eq!(seen, writer, "seed {seed} at {until_us} us: {visits:?}");
            let word = rw.rw_wwwh.load();
            if writer.is_none() {
                assert_eq!(word / bits::READ_LOCK, readers, "seed {seed} at {until_us} us: {visits:?}");
            }
            writers += usize::from(writer.is_some());
            shared += usize::from(readers > 1);
        }
        assert_eq!(sim.kernel().k_work.rwlocks[0].rw_wwwh.load(), 0, "seed {seed}: free at the end");
    }
    assert!(judged > 100 && writers > 200 && shared > 100, "{judged} {writers} {shared}");
}

/// Turns that the three threads of a quarrel have done after a quarter of a second.
fn quarrel(threads: [program::Thread; 3], seed: u64) -> [u64; 3] {
    let mut p = preemptive(3).tunable(tunable::HZ, 1000);
    for t in threads {
        p = p.thread(t);
    }
    let mut sim = p.boot(seed);
    sim.run_until_ok(SECOND / 4);
    [0, 1, 2].map(|n| sim.kernel().scenario_threads()[n].t_progress.get())
}

fn nested(cpu: i32, mode: RwHow, after_us: u64, nested: Nested) -> program::Thread {
    let work = RwMix { mode, hold_us: 5000, rest_ticks: NEVER_AGAIN, after_us, nested, ..RwMix::defaults() };
    thread("quarrel", SYS, 70, cpu, work)
}

#[test]
fn a_reader_behind_a_waiting_writer_deadlocks_unless_it_starves_the_writer() {
    for seed in 0..50 {
        //   ms   A                      B                      C
        //   0    reads
        //   1                                                  wants to write: waits for A
        //   3                           takes the mutex
        //                               wants to read: waits behind C, unless it may starve the writer
        //   5    wants the mutex, while
        //        it reads: waits for B
        let run = |mode| {
            quarrel(
                [
                    nested(0, RwHow::Reader, 0, Nested::MutexInside),
                    nested(1, mode, 3000, Nested::MutexAround),
                    nested(2, RwHow::Writer, 1000, Nested::Nothing),
                ],
                seed,
            )
        };
        assert_eq!(run(RwHow::Reader), [0, 0, 0], "seed {seed}");
        assert_eq!(run(RwHow::StarveWriter), [1, 1, 1], "seed {seed}");
    }
}

#[test]
fn a_reader_that_reads_again_behind_a_writer_deadlocks_unless_it_starves_the_writer() {
    for seed in 0..50 {
        let run = |mode| {
            let idle = nested(1, RwHow::Reader, 200_000, Nested::Nothing);
            quarrel(
                [nested(0, mode, 0, Nested::Again), idle, nested(2, RwHow::Writer, 1000, Nested::Nothing)],
                seed,
            )
        };
        assert_eq!(run(RwHow::Reader), [0, 0, 0], "seed {seed}");
        assert_eq!(run(RwHow::StarveWriter), [1, 1, 1], "seed {seed}");
    }
}

#[test]
fn readers_and_writers_on_few_cpus_all_get_their_turns() {
    for seed in 0..200 {
        let mut p = preemptive(2).tunable(tunable::HZ, 1000);
        for n in 0..6 {
            let mode = [RwHow::Reader, RwHow::Writer, RwHow::StarveWriter][n % 3];
            let work = RwMix { mode, hold_us: 50, think_us: 20, ..RwMix::defaults() };
            p = p.thread(thread("visitor", SYS, 60 + n as i32, -1, work));
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(30 * MS);
        for t in sim.kernel().scenario_threads() {
            assert!(t.t_progress.get() > 3, "seed {seed}: thread {}", t.t_did);
        }
    }
}
