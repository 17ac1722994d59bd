//! A binary heap of arena indices, with what is due first at the root: the cyclics of a CPU, the callouts of a table (`cyclic.c
//! cyclic_upheap`, `callout.c callout_heap_insert`).
//!
//! # Invariants
//! - No item is due before the one above it; the root is due first.
//! - An item knows its place (`place`), [`NOWHERE`] if it is in no heap: taking it out needs no search.
//! - The heap's owner guards it and its items' keys with one lock. Nothing is allocated after `new`.

use alloc::boxed::Box;
use core::sync::atomic::AtomicU32;

use crate::cell::Cell;

/// The place of an item that is in no heap.
pub const NOWHERE: u32 = u32::MAX;

/// What a heap may order.
pub trait Due {
    /// When it is due, and what decides between equals.
    type Key: Ord;
    /// Its key. May change only together with a call of [`Heap::moved`].
    fn key(&self) -> Self::Key;
    /// Its place in the heap, [`NOWHERE`] if it is in none.
    fn place(&self) -> &AtomicU32;
}

/// A heap of indices into an arena.
#[derive(Debug)]
pub struct Heap {
    slots: Box<[AtomicU32]>,
    len: AtomicU32,
}

impl Heap {
    /// An empty heap for so many items.
    pub fn new(capacity: usize) -> Heap {
        Heap { slots: (0..capacity).map(|_| AtomicU32::new(NOWHERE)).collect(), len: AtomicU32::new(0) }
    }

    /// How many items it has.
    pub fn len(&self) -> u32 {
        self.len.get()
    }

    /// True if it has none.
    pub fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    /// The item that is due first.
    #[inline]
    pub fn first(&self) -> Option<u32> {
        (!self.is_empty()).then(|| self.slots[0].get())
    }

    /// Puts item `n` in.
    ///
    /// # Panics
    /// If the heap is full: the arena that it was sized for has no more items.
    pub fn insert<T: Due>(&self, items: &[T], n: u32) {
        let at = self.len.get();
        self.put(items, at, n);
        self.len.set(at + 1);
        self.up(items, at);
    }

    /// Takes item `n` out, if it is in.
    pub fn remove<T: Due>(&self, items: &[T], n: u32) {
        let at = items[n as usize].place().get();
        if at == NOWHERE {
            return;
        }
        let last = self.len.get() - 1;
        self.len.set(last);
        items[n as usize].place().set(NOWHERE);
        if at != last {
            let filler = self.slots[last as usize].get();
            self.put(items, at, filler);
            self.moved(items, filler);
        }
    }

    /// The key of item `n`, which is in, has changed.
    pub fn moved<T: Due>(&self, items: &[T], n: u32) {
        let at = items[n as usize].place().get();
        if !self.up(items, at) {
            self.down(items, at);
        }
    }

    /// Lets the item at `at` rise; false if it stays.
    fn up<T: Due>(&self, items: &[T], mut at: u32) -> bool {
        let n = self.slots[at as usize].get();
        let key = items[n as usize].key();
        let start = at;
        while at > 0 {
            let above = (at - 1) / 2;
            let parent = self.slots[above as usize].get();
            if items[parent as usize].key() <= key {
                break;
            }
            self.put(items, at, parent);
            at = above;
        }
        self.put(items, at, n);
        at != start
    }

    /// Lets the item at `at` sink.
    fn down<T: Due>(&self, items: &[T], mut at: u32) {
        let n = self.slots[at as usize].get();
        let key = items[n as usize].key();
        let key_at = |at: u32| items[self.slots[at as usize].get() as usize].key();
        loop {
            let left = 2 * at + 1;
            if left >= self.len.get() {
                break;
            }
            let right = left + 1;
            let least = if right < self.len.get() && key_at(right) < key_at(left) { right } else { left };
            if key <= key_at(least) {
                break;
            }
            self.put(items, at, self.slots[least as usize].get());
            at = least;
        }
        self.put(items, at, n);
    }

    #[inline]
    fn put<T: Due>(&self, items: &[T], at: u32, n: u32) {
        self.slots[at as usize].set(n);
        items[n as usize].place().set(at);
    }
}
