//! Ways in which a run queue can disagree with itself, and the search for the first of them: what `runq` watches.
//!
//! # Invariants
//! - The search sees one queue's sample and nothing else. In a consistent read a disagreement is the kernel's fault.

use std::fmt;

use crate::glass::{LevelSample, QueueSample, WalkEnd};
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
}
