//! Numbers for addresses: where in the kernel's memory an object is, wherever that memory is.
//!
//! # Invariants
//! - What is hashed or ordered by address goes by its place, so a seed means the same in every process: places depend on the
//!   order in which arenas are added, at boot, and on an object's offset in its arena, and on nothing else.
//! - A new field in `Kernel`, or a longer arena, moves no place. A new field in an object moves the places behind it.

use alloc::boxed::Box;
use core::sync::atomic::AtomicUsize;

use crate::cell::Cell;
use crate::lock::SharedPtr;
use umpire_shared::event::PLACE_SPACING;

/// Arenas that a kernel may have.
const MAX_ARENAS: usize = 64;

/// The arenas whose objects have places.
#[derive(Debug)]
pub struct Places {
    arenas: [Arena; MAX_ARENAS],
    /// What they are called and made of, in the same order. It stands apart because it is only looked at when an object is named.
    about: Box<[About]>,
}

#[derive(Debug, Default)]
struct Arena {
    base: AtomicUsize,
    len: AtomicUsize,
}

#[derive(Debug, Default)]
struct About {
    name: SharedPtr<&'static str>,
    object: AtomicUsize,
}

impl Places {
    /// No arena yet.
    pub fn new() -> Places {
        Places {
            arenas: core::array::from_fn(|_| Arena::default()),
            about: (0..MAX_ARENAS).map(|_| About::default()).collect(),
        }
    }

    /// Gives the next places to the objects of an arena, which is called `name` where one of them is named. At boot, in an
    /// order that the program alone decides.
    ///
    /// # Panics
    /// If there are too many arenas.
    pub fn add<T>(&self, name: &'static &'static str, objects: &[T]) {
        let free = self.arenas.iter().zip(&self.about).find(|(arena, _)| arena.base.get() == 0);
        let (arena, about) = free.expect("places: raise MAX_ARENAS");
        about.name.set(Some(name));
        about.object.set(size_of::<T>());
        arena.len.set(size_of_val(objects));
        arena.base.set(objects.as_ptr().addr());
    }

    /// The place of an address; the address itself if it is in no arena.
    #[inline(always)]
    pub fn of(&self, addr: usize) -> usize {
        for (n, arena) in self.arenas.iter().enumerate() {
            let offset = addr.wrapping_sub(arena.base.get());
            if offset < arena.len.get() {
                return n * PLACE_SPACING + offset;
            }
        }
        addr
    }

    /// The name of the arena that has an object at this very address, and the object's number there.
    pub fn object(&self, addr: usize) -> Option<(&'static str, usize)> {
        let mut arenas = self.arenas.iter().zip(&self.about);
        let (arena, about) = arenas.find(|(a, _)| addr.wrapping_sub(a.base.get()) < a.len.get())?;
        let (offset, size) = (addr - arena.base.get(), about.object.get());
        (offset % size == 0).then_some((*about.name.get()?, offset / size))
    }
}

impl Default for Places {
    fn default() -> Self {
        Places::new()
    }
}
