//! A run queue: read under its generation, with every level that is not empty and every thread on them.
//!
//! # Invariants
//! - What is here was read under the queue's generation and carries that verdict. With the verdict `Stale` it shows what an
//!   earlier pass saw.
//! - A level is found whatever the active map says of it: a pass looks whether any byte of any level is not 0.

use super::look::Look;
use super::placement::Placement;
use super::read::{self, Verdict};
use super::record::record;
use super::walk::{WalkEnd, Walker};
use umpire_machine::memory::BLOCK;
use umpire_shared::sys::disp::QACTMAP_WORDS;

/// Words of bits for the blocks that the levels lie in.
const BLOCK_WORDS: usize = 4;
/// Bytes that the levels of a queue take at most.
pub(super) const MOST_LEVEL_BYTES: usize = 64 * BLOCK_WORDS * BLOCK;

record! {
    /// A run queue, read under its generation.
    #[derive(Debug, Clone, Default)]
    pub struct QueueSample / QueuePlaces of Disp {
        read {
            /// The word of `disp_lock`: the generation.
            generation: u64 = number "disp_lock.generation",
            /// `disp_maxrunpri`: the highest level in use, -1 if none is.
            maxrunpri: i16 = number "disp_maxrunpri",
            /// `disp_max_unbound_pri`: the highest level with an unbound thread.
            max_unbound_pri: i16 = number "disp_max_unbound_pri",
            /// `disp_nrunnable`: threads on it.
            nrunnable: u32 = number "disp_nrunnable",
            /// `disp_qactmap`: a bit a level.
            qactmap: [u64; QACTMAP_WORDS] = array "disp_qactmap",
        }
        known {
            /// Address of its `Disp`.
            addr: u64,
            /// How far what follows can be trusted.
            verdict: Verdict,
            /// The passes so far that could not read it consistently.
            unread: u64,
            /// Each level that anything says is not empty: its bit, its count, its head or its tail. Best first.
            levels: Vec<LevelSample>,
            /// The threads on it, best level first, head to tail.
            threads: Vec<QueuedThread>,
            /// Where each of them may be, in the same order; read if needed.
            placements: Vec<Placement>,
        }
    }
}

record! {
    /// A level of a run queue.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct LevelSample / LevelPlaces of DispQ {
        read {
            /// `dq_first`: its head.
            first: u64 = pointer "dq_first",
            /// `dq_last`: its tail.
            last: u64 = pointer "dq_last",
            /// `dq_sruncnt`: how many threads.
            sruncnt: u32 = number "dq_sruncnt",
        }
        known {
            /// Its priority.
            pri: i16,
            /// Its bit in the active map.
            bit: bool,
            /// Threads that the walk met.
            walked: u32,
            /// The thread that the walk met last.
            tail: u64,
            /// How the walk ended.
            end: WalkEnd,
        }
    }
}

record! {
    /// A thread on a run queue.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct QueuedThread / QueuedPlaces of Kthread {
        read {
            /// `t_link`: the next on its level.
            link: u64 = pointer "t_link",
            /// `t_disp_queue`: the run queue that it is on.
            disp_queue: u64 = pointer "t_disp_queue",
            /// `t_waitrq`: the guest's time since when it waits, as the kernel has it.
            waitrq: u64 = number "t_waitrq",
            /// `t_runs`: times that it came onto a CPU.
            runs: u32 = number "t_runs",
            /// `t_state`.
            state: u32 = number "t_state",
            /// `t_pri`.
            pri: i16 = number "t_pri",
            /// `t_epri`: what it inherits.
            epri: i16 = number "t_epri",
            /// `t_cid`.
            class: u8 = number "t_cid",
            /// True if `t_bound_cpu` is set: strong binding.
            bound_strongly: bool = pointer "t_bound_cpu",
            /// True if `t_weakbound_cpu` is set: weak binding.
            bound_weakly: bool = pointer "t_weakbound_cpu",
        }
        known {
            /// True if it is bound to a CPU, strongly or weakly.
            bound: bool,
            /// Its number (`t_did`).
            index: u32,
            /// The level on which it was met.
            level: i16,
        }
    }
}

impl QueueSample {
    /// The queue at this address, of which nothing has been seen.
    pub(super) fn at(addr: u64) -> QueueSample {
        QueueSample { addr, ..QueueSample::default() }
    }

    /// The bit of a level in the active map.
    pub fn has_bit(&self, pri: usize) -> bool {
        self.qactmap.get(pri / 64).is_some_and(|word| word >> (pri % 64) & 1 == 1)
    }

    /// Reads it under its generation.
    pub(super) fn look(&mut self, look: &mut Look<'_>, walker: &mut Walker) {
        let (memory, lock) = (look.memory, look.layout.queue.generation.offset);
        let generation = self.addr.wrapping_add(lock as u64);
        self.verdict = read::verified(memory, generation, || self.copy(look, walker));
        self.unread += u64::from(!self.verdict.is_trusted());
    }

    /// One try; false, with what was seen before untouched, if the queue is outside guest memory.
    fn copy(&mut self, look: &mut Look<'_>, walker: &mut Walker) -> bool {
        let all = look.layout.levels;
        let first = self.addr.wrapping_add(all.offset as u64);
        let mut blocks = [0; BLOCK_WORDS];
        if !look.memory.nonzero(first, all.stride.saturating_mul(all.count), &mut blocks)
            || !look.layout.queue.read(look.memory, self.addr, look.room, self)
        {
            return false;
        }
        self.levels.clear();
        self.threads.clear();
        // A number that no queue can have is a lie, and nothing is made ready for it.
        self.threads.reserve(self.nrunnable.min(look.arena.count) as usize);
        walker.begin();
        let mut maybe = self.qactmap;
        mark_levels(&blocks, all.stride, &mut maybe);
        for (word, mut bits) in maybe.into_iter().enumerate().rev() {
            while bits != 0 {
                let bit = 63 - bits.leading_zeros() as usize;
                bits &= !(1 << bit);
                self.level(look, walker, first, 64 * word + bit);
            }
        }
        self.placements.clear();
        if let Some(grounds) = look.grounds {
            let arena = look.arena;
            let all = self.threads.iter().map(|thread| arena.address_of(thread.index));
            self.placements.extend(all.map(|at| grounds.placement(look, at)));
        }
        true
    }

    /// Reads a level that may not be empty, and the threads on it.
    fn level(&mut self, look: &mut Look<'_>, walker: &mut Walker, first: u64, pri: usize) {
        let (memory, layout, arena, all) = (look.memory, look.layout, look.arena, look.layout.levels);
        let mut level = LevelSample { pri: pri as i16, bit: self.has_bit(pri), ..LevelSample::default() };
        if pri < all.count {
            let at = first.wrapping_add((pri * all.stride) as u64);
            let _empty = layout.level.read(memory, at, look.room, &mut level);
        }
        if !level.bit && (level.first, level.last, level.sruncnt) == (0, 0, 0) {
            return;
        }
        let mut thread = QueuedThread { level: level.pri, ..QueuedThread::default() };
        level.end = walker.level(&arena, level.first, |index, at| {
            if !layout.queued.read(memory, at, look.room, &mut thread) {
                return None;
            }
            (thread.index, thread.bound) = (index, thread.bound_strongly || thread.bound_weakly);
            level.walked += 1;
            level.tail = at;
            self.threads.push(thread);
            Some(thread.link)
        });
        self.levels.push(level);
    }
}

/// Sets the bit of every level of which a part lies in a block that is not all 0.
fn mark_levels(blocks: &[u64], stride: usize, maybe: &mut [u64; QACTMAP_WORDS]) {
    for (word, mut bits) in blocks.iter().copied().enumerate() {
        while bits != 0 {
            let from = BLOCK * (64 * word + bits.trailing_zeros() as usize);
            bits &= bits - 1;
            for pri in from / stride.max(1)..=(from + BLOCK - 1) / stride.max(1) {
                if let Some(word) = maybe.get_mut(pri / 64) {
                    *word |= 1 << (pri % 64);
                }
            }
        }
    }
}

/// A wait: a thread of this number, and how often it had run before.
///
/// A thread that waits again has run in between, so each of its waits has another. The stamp `t_waitrq` would not do: the kernel
/// writes it while the thread waits, and one that writes it anew makes of one wait many short ones. `t_runs` is written
/// where a thread comes onto a CPU and nowhere else: nothing that happens to a thread on its queue adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wait {
    thread: u32,
    runs: u32,
}

impl Wait {
    /// The thread that waits.
    pub fn thread(&self) -> u32 {
        self.thread
    }
}

impl QueuedThread {
    /// The wait that it is in.
    pub fn wait(&self) -> Wait {
        Wait { thread: self.index, runs: self.runs }
    }

    /// `DISP_PRIO`: the greater of its own and its inherited priority.
    pub fn effective_pri(&self) -> i16 {
        self.pri.max(self.epri)
    }
}
