//! Walks over the links of a live kernel's queues.
//!
//! # Invariants
//! - A walk visits each thread at most once and no more threads than there are: it ends, whatever the links say.
//! - A link is followed only to an object boundary of the thread arena; nothing else is ever read.

use umpire_machine::memory::GuestMemory;

/// Where the kernel's threads lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arena {
    /// Address of thread 0.
    pub base: u64,
    /// Bytes from one thread to the next.
    pub stride: u64,
    /// How many threads.
    pub count: u32,
}

impl Arena {
    /// The number of the thread at this address, if one begins there.
    #[inline]
    pub fn index_of(&self, addr: u64) -> Option<u32> {
        // In 32 bits, because a division of 64 takes several times as long and a walk does one a thread.
        let distance = u32::try_from(addr.checked_sub(self.base)?).ok()?;
        let stride = u32::try_from(self.stride).ok()?;
        let index = distance.checked_div(stride)?;
        (index < self.count && index * stride == distance).then_some(index)
    }

    /// The address of a thread.
    pub fn address_of(&self, index: u32) -> u64 {
        self.base.wrapping_add(u64::from(index).wrapping_mul(self.stride))
    }
}

/// How a walk along a queue ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WalkEnd {
    /// At a null link, as it should.
    #[default]
    Complete,
    /// At a link to something that is not a thread.
    Wild(u64),
    /// At a thread that had been met already, on this level or another of the same queue.
    Repeated(u32),
}

/// The state of a walk over all levels of one queue.
#[derive(Debug, Default)]
pub(super) struct Walker {
    /// For each thread, the queue walk that met it last; 0 if none has.
    met: Vec<u32>,
    walk: u32,
    /// Addresses of threads that will probably be met.
    expected: Vec<u64>,
    /// Threads that were met for the first time and have not been taken off since, each once.
    pub(super) strangers: Vec<u32>,
}

impl Walker {
    /// A walker for arenas of so many threads.
    pub(super) fn new(threads: u32) -> Walker {
        let most = threads as usize;
        Walker {
            met: vec![0; most],
            walk: 0,
            expected: Vec::with_capacity(most),
            strangers: Vec::with_capacity(most),
        }
    }

    /// Says which threads the next walks will probably meet, so that their memory is on its way when the walks come to them.
    /// All of it is asked for at once, so that it does not arrive thread by thread as a walk follows the links. A walk that
    /// meets other threads only takes longer.
    pub(super) fn expect(
        &mut self,
        memory: &dyn GuestMemory,
        arena: &Arena,
        threads: impl Iterator<Item = u32>,
    ) {
        self.expected.clear();
        self.expected.extend(threads.map(|index| arena.address_of(index)));
        memory.prefetch(&self.expected);
    }

    /// Begins another queue: every thread may be met once more.
    pub(super) fn begin(&mut self) {
        self.walk = self.walk.wrapping_add(1);
        if self.walk == 0 {
            self.met.fill(1);
            self.walk = 2;
        }
    }

    /// Follows one level from `first`. `visit` gets each thread's number and address, and returns the next link; `None` if the
    /// thread cannot be read.
    #[inline]
    pub(super) fn level(
        &mut self,
        arena: &Arena,
        first: u64,
        mut visit: impl FnMut(u32, u64) -> Option<u64>,
    ) -> WalkEnd {
        let mut at = first;
        while at != 0 {
            let Some(index) = arena.index_of(at) else { return WalkEnd::Wild(at) };
            let Some(met) = self.met.get_mut(index as usize) else { return WalkEnd::Wild(at) };
            if *met == self.walk {
                return WalkEnd::Repeated(index);
            }
            if *met == 0 {
                self.strangers.push(index);
            }
            *met = self.walk;
            match visit(index, at) {
                Some(next) => at = next,
                None => return WalkEnd::Wild(at),
            }
        }
        WalkEnd::Complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::fake::FakeMemory;

    const BASE: u64 = 0x4000;
    const STRIDE: u64 = 32;
    const ARENA: Arena = Arena { base: BASE, stride: STRIDE, count: 4 };

    /// A queue through the given threads, whose last link is `tail`.
    fn queue(order: &[u32], tail: u64) -> FakeMemory {
        let memory = FakeMemory::new(BASE, 4 * STRIDE as usize);
        for (n, thread) in order.iter().enumerate() {
            let next = order.get(n + 1).map_or(tail, |&t| ARENA.address_of(t));
            memory.put_u64(ARENA.address_of(*thread), next);
        }
        memory
    }

    fn check(order: &[u32], tail: u64, end: WalkEnd) {
        let memory = queue(order, tail);
        let mut walker = Walker::new(4);
        let mut met = Vec::new();
        walker.begin();

        let found = walker.level(&ARENA, ARENA.address_of(order[0]), |index, at| {
            met.push(index);
            memory.read_u64(at)
        });

        assert_eq!(found, end);
        assert_eq!(met, order);
    }

    #[test]
    fn level_sound_queue_returns_complete_in_order() {
        check(&[2, 0, 3], 0, WalkEnd::Complete);
    }

    #[test]
    fn level_thread_that_was_never_met_is_a_stranger_once() {
        let memory = queue(&[2, 0], 0);
        let mut walker = Walker::new(4);
        for walk in [0, 1, u32::MAX] {
            walker.walk = walk;
            walker.begin();
            let end = walker.level(&ARENA, ARENA.address_of(2), |_, at| memory.read_u64(at));
            assert_eq!(end, WalkEnd::Complete, "after walk {walk}");
        }
        assert_eq!(walker.strangers, [2, 0]);
    }

    #[test]
    fn level_cycle_returns_repeated_and_ends() {
        check(&[1, 2, 3], ARENA.address_of(2), WalkEnd::Repeated(2));
    }

    #[test]
    fn level_link_to_itself_returns_repeated() {
        check(&[1], ARENA.address_of(1), WalkEnd::Repeated(1));
    }

    #[test]
    fn level_link_outside_the_arena_returns_wild() {
        check(&[0], 0xdead_0000, WalkEnd::Wild(0xdead_0000));
        check(&[0], BASE + 4 * STRIDE, WalkEnd::Wild(BASE + 4 * STRIDE));
    }

    #[test]
    fn level_link_between_threads_returns_wild() {
        check(&[0], BASE + STRIDE + 8, WalkEnd::Wild(BASE + STRIDE + 8));
    }
}
