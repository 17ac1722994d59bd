//! Numbers for addresses: where in the kernel's memory something is, whatever address that memory has.
//!
//! # Invariants
//! - What is hashed or ordered by address goes by its place, so a seed means the same in every process: places depend on the
//!   order in which arenas are added, at boot, and on an object's offset in its arena, and on nothing else.
//! - A field more in `Kernel`, or a longer arena, moves nobody's place. A field more in an object moves those behind it.

use core::sync::atomic::AtomicUsize;

use crate::cell::Cell;

/// Arenas that a kernel may have.
const MAX_ARENAS: usize = 24;
/// From one arena's first place to the next one's. More than any arena is long; what is above 16 MiB tells equal offsets in
/// two arenas apart where only the low bits are hashed.
const SPACING: usize = (1 << 24) + 0x1440;

/// The arenas whose objects have places.
#[derive(Debug, Default)]
pub struct Places {
    arenas: [Arena; MAX_ARENAS],
}

#[derive(Debug, Default)]
struct Arena {
    base: AtomicUsize,
    len: AtomicUsize,
}

impl Places {
    /// No arena yet.
    pub fn new() -> Places {
        Places::default()
    }

    /// Gives the next places to the objects of an arena. At boot, in an order that the program alone decides.
    ///
    /// # Panics
    /// If there are too many arenas.
    pub fn add<T>(&self, objects: &[T]) {
        let free = self.arenas.iter().find(|arena| arena.base.get() == 0);
        let arena = free.expect("places: raise MAX_ARENAS");
        arena.len.set(size_of_val(objects));
        arena.base.set(objects.as_ptr().addr());
    }

    /// The place of an address; the address itself if it is in no arena.
    #[inline(always)]
    pub fn of(&self, addr: usize) -> usize {
        for (n, arena) in self.arenas.iter().enumerate() {
            let offset = addr.wrapping_sub(arena.base.get());
            if offset < arena.len.get() {
                return n * SPACING + offset;
            }
        }
        addr
    }
}
