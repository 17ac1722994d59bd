//! `runq`: a run queue's map, counts and maxima agree with its lists.
//!
//! What must be true whenever the queue's lock is free (`disp/mod.rs`, invariants 1 to 4):
//!
//! - a level's bit is set iff its list is not empty iff its `dq_sruncnt` is greater than 0;
//! - `dq_sruncnt` is the number of threads on the list, `dq_last` the last of them, and the counts add up to
//!   `disp_nrunnable`;
//! - `disp_maxrunpri` is the highest level in use, or -1; `disp_max_unbound_pri` is not below the best unbound thread;
//! - each thread is `TS_RUN`, on the level of its priority, and knows that it is on this queue.
//!
//! # Excuses
//! - `torn`: the queue could not be read consistently. Nothing is said about it in that pass.
//!
//! # Invariants
//! - Only consistent reads are judged, so a disagreement is never the reader's fault.
//! - With a limit of 0 the first disagreement breaks the bound.

use std::fmt;

use super::{Breach, Excuse, Excuses, since_crossing};
use crate::glass::{LevelSample, QueueSample, Snapshot, WalkEnd};
use umpire_shared::sys::thread::ts;

/// One way in which a queue can disagree with itself. Levels are priorities, threads are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the sentence of each variant says what its fields are")]
pub enum Disagreement {
    BrokenList { level: i16, end: WalkEnd },
    BitWithoutThread { level: i16 },
    ThreadWithoutBit { level: i16 },
    LevelCount { level: i16, sruncnt: u32, walked: u32 },
    WrongTail { level: i16 },
    QueueCount { nrunnable: u32, walked: u32 },
    MaxRunPri { maxrunpri: i16, highest: i16 },
    MaxUnboundPri { max_unbound_pri: i16, highest: i16 },
    NotRunnable { thread: u32, state: u32 },
    WrongLevel { thread: u32, level: i16, pri: i16 },
    WrongQueue { thread: u32, disp_queue: u64 },
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Disagreement as D;
        match *self {
            D::BrokenList { level, end: WalkEnd::Repeated(thread) } => {
                write!(f, "the list of level {level} comes to thread {thread} a second time")
            }
            D::BrokenList { level, end: WalkEnd::Wild(addr) } => {
                write!(f, "the list of level {level} leads to {addr:#x}, which is no thread")
            }
            D::BrokenList { level, end: WalkEnd::Complete } => {
                write!(f, "the list of level {level} is broken")
            }
            D::BitWithoutThread { level } => {
                write!(f, "disp_qactmap has the bit of level {level}, which is empty")
            }
            D::ThreadWithoutBit { level } => {
                write!(f, "disp_qactmap lacks the bit of level {level}, which has threads")
            }
            D::LevelCount { level, sruncnt, walked } => {
                write!(f, "dq_sruncnt of level {level} is {sruncnt}, but {walked} threads are on it")
            }
            D::WrongTail { level } => write!(f, "dq_last of level {level} is not its last thread"),
            D::QueueCount { nrunnable, walked } => {
                write!(f, "disp_nrunnable is {nrunnable}, but {walked} threads are on the queue")
            }
            D::MaxRunPri { maxrunpri, highest } => {
                write!(f, "disp_maxrunpri is {maxrunpri}, but the highest level in use is {highest}")
            }
            D::MaxUnboundPri { max_unbound_pri, highest } => {
                write!(
                    f,
                    "disp_max_unbound_pri is {max_unbound_pri}, below the best unbound thread's {highest}"
                )
            }
            D::NotRunnable { thread, state } => {
                write!(f, "thread {thread} is queued, but its t_state is {state:#x}, not TS_RUN")
            }
            D::WrongLevel { thread, level, pri } => {
                write!(f, "thread {thread} is on level {level}, but its priority is {pri}")
            }
            D::WrongQueue { thread, disp_queue } => {
                write!(f, "thread {thread} is queued here, but its t_disp_queue is {disp_queue:#x}")
            }
        }
    }
}

/// The first way in which a consistently read queue disagrees with itself.
pub fn disagreement(queue: &QueueSample) -> Option<Disagreement> {
    queue.levels.iter().find_map(level_disagreement).or_else(|| {
        let walked = queue.threads.len() as u32;
        let highest = highest(queue, |_| true);
        let unbound = highest_unbound(queue);
        if queue.nrunnable != walked {
            Some(Disagreement::QueueCount { nrunnable: queue.nrunnable, walked })
        } else if queue.maxrunpri != highest {
            Some(Disagreement::MaxRunPri { maxrunpri: queue.maxrunpri, highest })
        } else if queue.max_unbound_pri < unbound {
            Some(Disagreement::MaxUnboundPri { max_unbound_pri: queue.max_unbound_pri, highest: unbound })
        } else {
            thread_disagreement(queue)
        }
    })
}

fn level_disagreement(level: &LevelSample) -> Option<Disagreement> {
    let LevelSample { pri, bit, sruncnt, walked, last, tail, end, .. } = *level;
    if end != WalkEnd::Complete {
        Some(Disagreement::BrokenList { level: pri, end })
    } else if bit && walked == 0 {
        Some(Disagreement::BitWithoutThread { level: pri })
    } else if !bit && walked > 0 {
        Some(Disagreement::ThreadWithoutBit { level: pri })
    } else if sruncnt != walked {
        Some(Disagreement::LevelCount { level: pri, sruncnt, walked })
    } else if last != tail {
        Some(Disagreement::WrongTail { level: pri })
    } else {
        None
    }
}

fn thread_disagreement(queue: &QueueSample) -> Option<Disagreement> {
    queue.threads.iter().find_map(|t| {
        if t.state != ts::RUN {
            Some(Disagreement::NotRunnable { thread: t.index, state: t.state })
        } else if t.level != t.effective_pri() {
            Some(Disagreement::WrongLevel { thread: t.index, level: t.level, pri: t.effective_pri() })
        } else if t.disp_queue != queue.addr {
            Some(Disagreement::WrongQueue { thread: t.index, disp_queue: t.disp_queue })
        } else {
            None
        }
    })
}

fn highest(queue: &QueueSample, is_meant: impl Fn(&LevelSample) -> bool) -> i16 {
    queue.levels.iter().filter(|l| l.walked > 0 && is_meant(l)).map(|l| l.pri).max().unwrap_or(-1)
}

fn highest_unbound(queue: &QueueSample) -> i16 {
    queue.threads.iter().filter(|t| !t.bound).map(|t| t.level).max().unwrap_or(-1)
}

/// Watches one bound over every queue.
#[derive(Debug)]
pub struct Runq {
    limit_ns: u64,
    /// By queue: since when it has disagreed.
    since_ns: Vec<Option<u64>>,
    worst_ns: u64,
    found: Option<Disagreement>,
    last_pass_ns: u64,
    excuses: Excuses,
}

impl Runq {
    /// A watch that lets a disagreement last `limit_ns`.
    pub fn new(limit_ns: u64) -> Runq {
        Runq {
            limit_ns,
            since_ns: Vec::new(),
            worst_ns: 0,
            found: None,
            last_pass_ns: 0,
            excuses: Excuses::default(),
        }
    }

    /// Looks at one pass; the first breach of the bound is returned, once.
    pub fn observe(&mut self, seen: &Snapshot) -> Option<Breach> {
        self.since_ns.resize(seen.cpus.len() + seen.kps.len(), None);
        let interval = seen.now_ns.saturating_sub(self.last_pass_ns);
        self.last_pass_ns = seen.now_ns;
        let mut first = None;
        for (n, (place, queue)) in seen.queues().enumerate() {
            if !queue.verdict.is_trusted() {
                self.excuses.accept(Excuse::Torn);
                continue;
            }
            let Some(found) = disagreement(queue) else {
                self.since_ns[n] = None;
                continue;
            };
            let lasted = seen.now_ns.saturating_sub(*self.since_ns[n].get_or_insert(seen.now_ns));
            // What was seen at all has lasted some time.
            self.worst_ns = self.worst_ns.max(lasted.max(1));
            if self.found.is_some() || (lasted <= self.limit_ns && self.limit_ns > 0) {
                continue;
            }
            self.found = Some(found);
            first = Some(Breach {
                thread: None,
                cpu: place.cpu(),
                part: place.part(),
                lasted_ns: lasted,
                detect_after_ns: since_crossing(
                    lasted.saturating_sub(interval),
                    lasted,
                    self.limit_ns,
                    interval,
                ),
                at_ns: seen.now_ns,
            });
        }
        first
    }

    /// What broke the bound.
    pub fn found(&self) -> Option<Disagreement> {
        self.found
    }

    /// The longest that a queue disagreed with itself, in ns; 0 if none ever did.
    pub fn worst_ns(&self) -> u64 {
        self.worst_ns
    }

    /// What was let pass.
    pub fn excuses(&self) -> &Excuses {
        &self.excuses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::{QueuedThread, Verdict};

    const ADDR: u64 = 0x7000;

    fn thread(index: u32, pri: i16, bound: bool) -> QueuedThread {
        QueuedThread {
            index,
            level: pri,
            pri,
            state: ts::RUN,
            bound,
            disp_queue: ADDR,
            ..QueuedThread::default()
        }
    }

    fn level(pri: i16, count: u32, tail: u64) -> LevelSample {
        LevelSample {
            pri,
            bit: true,
            sruncnt: count,
            first: 1,
            last: tail,
            walked: count,
            tail,
            end: WalkEnd::Complete,
        }
    }

    /// Two bound threads at 99, one unbound at 59.
    fn sound() -> QueueSample {
        QueueSample {
            addr: ADDR,
            verdict: Verdict::Clean,
            maxrunpri: 99,
            max_unbound_pri: 59,
            nrunnable: 3,
            levels: vec![level(99, 2, 8), level(59, 1, 9)],
            threads: vec![thread(0, 99, true), thread(1, 99, true), thread(2, 59, false)],
            ..QueueSample::default()
        }
    }

    #[track_caller]
    fn check(spoil: impl FnOnce(&mut QueueSample), expect: Option<Disagreement>) {
        let mut queue = sound();
        spoil(&mut queue);
        assert_eq!(disagreement(&queue), expect);
    }

    #[test]
    fn disagreement_sound_queue_returns_none() {
        check(|_| {}, None);
        check(|q| q.max_unbound_pri = 120, None);
        assert_eq!(
            disagreement(&QueueSample { maxrunpri: -1, max_unbound_pri: -1, ..QueueSample::default() }),
            None
        );
    }

    #[test]
    fn disagreement_each_spoiled_field_is_named() {
        use Disagreement as D;
        check(|q| q.levels[1].bit = false, Some(D::ThreadWithoutBit { level: 59 }));
        check(
            |q| q.levels.push(LevelSample { pri: 58, bit: true, ..LevelSample::default() }),
            Some(D::BitWithoutThread { level: 58 }),
        );
        check(|q| q.levels[0].sruncnt = 3, Some(D::LevelCount { level: 99, sruncnt: 3, walked: 2 }));
        check(|q| q.levels[0].last = 1, Some(D::WrongTail { level: 99 }));
        check(|q| q.nrunnable = 2, Some(D::QueueCount { nrunnable: 2, walked: 3 }));
        check(|q| q.maxrunpri = 98, Some(D::MaxRunPri { maxrunpri: 98, highest: 99 }));
        check(|q| q.max_unbound_pri = -1, Some(D::MaxUnboundPri { max_unbound_pri: -1, highest: 59 }));
        check(|q| q.threads[2].state = ts::SLEEP, Some(D::NotRunnable { thread: 2, state: ts::SLEEP }));
        check(|q| q.threads[2].epri = 60, Some(D::WrongLevel { thread: 2, level: 59, pri: 60 }));
        check(|q| q.threads[2].disp_queue = 0, Some(D::WrongQueue { thread: 2, disp_queue: 0 }));
        let end = WalkEnd::Repeated(1);
        check(|q| q.levels[0].end = end, Some(D::BrokenList { level: 99, end }));
    }

    fn pass(now_ns: u64, kp: QueueSample) -> Snapshot {
        Snapshot { now_ns, kps: vec![kp], ..Snapshot::default() }
    }

    fn broken() -> QueueSample {
        QueueSample { nrunnable: 7, ..sound() }
    }

    #[test]
    fn observe_limit_zero_breaks_at_once_and_once() {
        let mut runq = Runq::new(0);

        assert_eq!(runq.observe(&pass(10, sound())), None);
        let breach = runq.observe(&pass(20, broken()));
        assert_eq!(breach.map(|b| (b.cpu, b.part, b.at_ns)), Some((None, Some(0), 20)));
        assert_eq!(runq.observe(&pass(30, broken())), None);
        assert_eq!(runq.worst_ns(), 10);
    }

    #[test]
    fn observe_disagreement_shorter_than_the_limit_returns_none() {
        let mut runq = Runq::new(10);

        assert_eq!(runq.observe(&pass(10, broken())), None);
        assert_eq!(runq.observe(&pass(20, broken())), None);
        assert_eq!(runq.observe(&pass(25, sound())), None);
        assert_eq!(runq.observe(&pass(30, broken())), None);
        assert!(runq.observe(&pass(41, broken())).is_some());
    }

    #[test]
    fn observe_torn_queue_is_excused() {
        let mut runq = Runq::new(0);

        let breach = runq.observe(&pass(10, QueueSample { verdict: Verdict::Torn, ..broken() }));

        assert_eq!(breach, None);
        assert_eq!(runq.excuses().count(Excuse::Torn), 1);
    }
}
