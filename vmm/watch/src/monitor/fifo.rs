//! `fifo`: of equals on a run queue, the one that came first runs first.
//!
//! A thread goes behind its equals (`disp.c setbackdq`), a CPU takes the first of its best level, and nothing moves a thread on its
//! level. So of two threads that were on one level at one pass, and have not run since, the first is still before the second, and a
//! thread that came later is behind both and does not run before them. That, and nothing else, is asked of each two passes. The
//! rules that let a thread pass:
//!
//! - It was put to the front (`setfrontdq`): a preempted thread before its quantum ends, one whose choice was not ratified.
//! - The other was taken off its queue and put onto one anew (`dispdeq`): its priority changed, or where it may run.
//!
//! # How it is charged
//! With wall time, while the thread that was overtaken goes on waiting. Whichever thread runs, it should have been the other.
//!
//! # Excuses
//! - `torn`: the queue could not be read consistently. What was known of it is forgotten, for who comes when is not known.
//!
//! # Invariants
//! - Both passes read the queue under its generation, and with it the marks that tell which rule was used in the wait.
//! - A thread is known by its number and by how often it had run before: one that waits again is another.

use super::evidence::ms;
use super::interval::{Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Exhibits, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{Needs, Place, Placement, QueueSample, Snapshot, Wait};

pub(super) static FIFO: Declaration = Declaration {
    name: "fifo",
    broken_when: "a thread has waited for longer than `limit` since an equal that came to its queue after it, and was not put to the \
                  front, was placed before it or ran before it",
    charged_with: "wall time",
    judges: "threads that two passes see on the same level of a queue, in the same wait",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::Torn],
    proof: Proof::Mutant("limit = \"0s\""),
    standing_ms: Some(0),
    is_exact: true,
    new: |bound| Box::new(Fifo::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Fifo {
    ledger: Ledger,
    interval: Interval,
    /// By queue: the threads that the last pass saw there, level by level, head to tail; nothing if it could not be read.
    before: Vec<Vec<Seat>>,
    /// By thread: its place in `before`.
    seats: Vec<Seated>,
    /// By CPU: what ran there at the last pass.
    ran: Vec<Ran>,
    /// By thread: the wait in which it was overtaken.
    overtaken: Vec<Stretch<Wait>>,
    /// By thread: who overtook it, and how.
    by: Vec<Overtaking>,
    found: Option<(Place, Overtaking)>,
}

/// A thread on a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seat {
    wait: Wait,
    runs: u32,
    moves: u32,
    level: i16,
}

/// What ran on a CPU at the last pass, after the CPU's queue had been read.
#[derive(Debug, Clone, Copy, Default)]
struct Ran {
    thread: Option<u32>,
    runs: u32,
    moves: u32,
}

/// Where in `before` a thread is.
#[derive(Debug, Clone, Copy, Default)]
struct Seated {
    /// The pass that saw it there.
    pass: u64,
    queue: usize,
    seat: usize,
}

/// Who overtook.
#[derive(Debug, Clone, Copy, Default)]
struct Overtaking {
    thread: u32,
    level: i16,
    /// The pass that found it.
    pass: u64,
    /// True if it has run, not only been placed before.
    has_run: bool,
}

impl Fifo {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Fifo {
        Fifo {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            before: Vec::new(),
            seats: Vec::new(),
            ran: Vec::new(),
            overtaken: Vec::new(),
            by: Vec::new(),
            found: None,
        }
    }

    /// Where the last pass saw this wait on this level of this queue.
    fn seat(&self, seen: &Snapshot, queue: usize, wait: Wait, level: i16) -> Option<usize> {
        let seated = self.seats.get(wait.thread() as usize)?;
        let is_there = seated.pass + 1 == seen.seq && seated.queue == queue;
        let seat = self.before[queue].get(seated.seat).filter(|_| is_there)?;
        (seat.wait == wait && seat.level == level).then_some(seated.seat)
    }

    /// Looks for threads that are behind one which they were before, or which was not there.
    fn compare(&mut self, seen: &Snapshot, n: usize, queue: &QueueSample, judged: &mut Judged) {
        let (mut level, mut last) = (i16::MIN, None);
        for (thread, placement) in queue.threads.iter().zip(&queue.placements) {
            if thread.level != level {
                (level, last) = (thread.level, None);
            }
            let seat = self.seat(seen, n, thread.wait(), level);
            if seat.is_some() {
                judged.met(self.interval.wall_ns());
            }
            // A thread that was not there has come behind all that were.
            let rank = seat.unwrap_or(usize::MAX);
            if let (Some((most, passer)), Some(seat)) = (last, seat)
                && most > seat
                && self.before[n][seat].moves == placement.moves
            {
                self.overtake(
                    thread.wait(),
                    Overtaking { thread: passer, level, pass: seen.seq, has_run: false },
                );
            }
            let is_in_front = placement.was_put_in_front(thread.runs);
            if !is_in_front && last.is_none_or(|(most, _)| rank > most) {
                last = Some((rank, thread.index));
            }
        }
    }

    /// Looks whether what runs on a CPU of a queue was taken while one that came before it waited there, and still waits.
    fn compare_runner(&mut self, seen: &Snapshot, n: usize, place: Place, queue: &QueueSample) {
        let cpus = seen.cpus.iter().zip(0..).filter(|&(cpu, number)| match place {
            Place::Cpu(own) => number == own,
            Place::Part(part) => cpu.part == part,
        });
        for (cpu, number) in cpus {
            let Some(index) = seen.arena.and_then(|arena| arena.index_of(cpu.thread)) else { continue };
            let now = &cpu.placement;
            // It was gone when the queue was read, and its last wait ended here.
            if now.cpu != Some(number) || queue.threads.iter().any(|thread| thread.index == index) {
                continue;
            }
            let Some(rank) = self.rank_of_runner(seen, n, place, (index, now)) else { continue };
            let is_fixed = now.fixed_cpu().is_some();
            for (thread, placement) in queue.threads.iter().zip(&queue.placements) {
                let Some(seat) = self.seat(seen, n, thread.wait(), thread.level) else { continue };
                let stayed = self.before[n][seat].moves == placement.moves;
                // A thread that was not seen here, and is bound to nothing, may have come from the kp queue, which comes first. Threads
                // that are good enough for that queue are here only if they are bound.
                let is_from_here = rank != usize::MAX || is_fixed || !thread.bound;
                if thread.level == now.level && seat < rank && stayed && is_from_here {
                    let by = Overtaking { thread: index, level: now.level, pass: seen.seq, has_run: true };
                    self.overtake(thread.wait(), by);
                }
            }
        }
    }

    /// Behind whom of a queue's threads a thread that now runs had come: those of a lower seat. `None` if that is not known, or
    /// if it was moved in between.
    fn rank_of_runner(
        &self,
        seen: &Snapshot,
        n: usize,
        place: Place,
        (index, now): (u32, &Placement),
    ) -> Option<usize> {
        let seated = self.seats.get(index as usize)?;
        if seated.pass + 1 == seen.seq {
            let seat = self.before.get(seated.queue)?.get(seated.seat)?;
            let is_next_run = seated.queue == n && now.runs == seat.runs.wrapping_add(1);
            return (is_next_run && seat.moves == now.moves).then_some(seated.seat);
        }
        // It ran here when the queue had been read, and has run anew: it has come behind all that were there then. Its words were read
        // after that, maybe when it had been put to the front already and had not left its CPU yet.
        let ran = self.ran.get(place.cpu()? as usize)?;
        let has_waited = ran.thread == Some(index) && ran.runs != now.runs;
        let was_in_front = now.was_put_in_front(now.runs.wrapping_sub(1));
        (has_waited && ran.moves == now.moves && !was_in_front).then_some(usize::MAX)
    }

    /// Notes that the thread of this wait was overtaken.
    fn overtake(&mut self, wait: Wait, by: Overtaking) {
        let n = wait.thread() as usize;
        let Some(overtaken) = self.overtaken.get_mut(n) else { return };
        if overtaken.key() != Some(wait) {
            overtaken.see(Some(wait), 0);
            self.by[n] = by;
        }
    }

    /// Charges those that were overtaken and still wait on this queue.
    fn charge(&mut self, seen: &Snapshot, place: Place, queue: &QueueSample) -> Option<Breach> {
        let mut first = None;
        for thread in &queue.threads {
            let Some(overtaken) = self.overtaken.get_mut(thread.index as usize) else { continue };
            if overtaken.key() != Some(thread.wait()) {
                continue;
            }
            let by = self.by[thread.index as usize];
            let is_new = by.pass == seen.seq;
            let elapsed = if is_new { 0 } else { self.interval.wall_ns() };
            let Some((before, after)) = overtaken.see(Some(thread.wait()), elapsed) else { continue };
            // When in the interval it was overtaken is not known, but it was: that is more than a limit of 0.
            let charged = (before, after.max(1));
            let subject = Subject { thread: Some(thread.index), cpu: place.cpu(), part: place.part() };
            let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
            if breach.is_some() {
                self.found = Some((place, by));
            }
            first = first.or(breach);
        }
        first
    }

    /// Remembers a queue for the next pass.
    fn remember(&mut self, seen: &Snapshot, n: usize, queue: &QueueSample) {
        let before = &mut self.before[n];
        before.clear();
        for (seat, (thread, placement)) in queue.threads.iter().zip(&queue.placements).enumerate() {
            let (wait, moves) = (thread.wait(), placement.moves);
            before.push(Seat { wait, runs: thread.runs, moves, level: thread.level });
            if let Some(seated) = self.seats.get_mut(thread.index as usize) {
                *seated = Seated { pass: seen.seq, queue: n, seat };
            }
        }
    }
}

impl Monitor for Fifo {
    fn needs(&self) -> Needs {
        Needs { placements: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        let threads = seen.names.len();
        self.before.resize(seen.cpus.len() + seen.kps.len(), Vec::new());
        self.seats.resize(threads, Seated::default());
        self.overtaken.resize(threads, Stretch::default());
        self.by.resize(threads, Overtaking::default());
        let (mut first, mut judged) = (None, Judged::NOTHING);
        for (n, (place, queue)) in seen.queues().enumerate() {
            if !queue.verdict.is_trusted() {
                self.ledger.accept(Excuse::Torn);
                continue;
            }
            self.compare(seen, n, queue, &mut judged);
            self.compare_runner(seen, n, place, queue);
            first = first.or(self.charge(seen, place, queue));
        }
        for (n, (_, queue)) in seen.queues().enumerate() {
            if queue.verdict.is_trusted() {
                self.remember(seen, n, queue);
            } else {
                self.before[n].clear();
            }
        }
        self.ran.clear();
        self.ran.extend(seen.cpus.iter().zip(0..).map(|(cpu, number)| {
            let Placement { runs, moves, cpu: at, .. } = cpu.placement;
            let thread = seen.arena.and_then(|arena| arena.index_of(cpu.thread));
            Ran { thread: thread.filter(|_| at == Some(number) && !cpu.is_idle()), runs, moves }
        }));
        judged.found(first)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Also the name of the thread that overtook.
    fn exhibits(&self, _seen: &Snapshot, breach: &Breach) -> Exhibits {
        Exhibits::of(breach).naming(self.found.map(|(_, by)| by.thread))
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let Some((place, Overtaking { thread, level, has_run, .. })) = self.found else {
            return String::new();
        };
        let how = if has_run { "ran before it" } else { "was placed before it" };
        format!(
            "{} waits at {level} on {place}, and {}, which came to that level after it and was not put to the front, {how}, {} ms ago",
            evidence.thread(breach.thread),
            evidence.thread(Some(thread)),
            ms(breach.lasted_ns),
        )
    }
}

#[cfg(test)]
#[path = "fifo_tests.rs"]
mod tests;
