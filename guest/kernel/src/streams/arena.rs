//! Objects with stable addresses, and caches of free ones with magazines for each CPU.
//!
//! An arena is what there is in all; it hands each object out once. A cache keeps those that came back: each CPU has a loaded
//! magazine and a previous one, and full magazines lie in the depot, as in `kmem.c`. A magazine is a list through the objects.
//!
//! # Invariants
//! - `cc_lock` guards a CPU's two magazines and its counts, or a depot. Order: a CPU's > the depot's. Nothing else is locked under
//!   either.
//! - Which CPU's magazines a thread uses is a hint that its lock makes safe: a thread that has been moved meanwhile uses those of the
//!   CPU that it came from.
//! - `Mag::previous` is null or [`ROUNDS`] objects, and so is each list in the depot.
//! - On the uncontended path no two CPUs touch the same word.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::cell::{Cell, Counter};
use crate::lock::SharedPtr;
use crate::platform;
use crate::sync::{Mutex, mutex_enter, mutex_exit};

/// Objects in a full magazine.
pub const ROUNDS: u32 = 15;

/// Objects that are handed out once.
#[repr(C)]
#[derive(Debug)]
pub struct Arena<T: 'static> {
    /// All of them.
    pub ar_objects: Box<[T]>,
    /// How many have been handed out. Relaxed: the numbers are distinct, and who passes an object on orders that.
    pub ar_next: AtomicU32,
}

impl<T> Arena<T> {
    /// So many objects.
    pub fn new(n: usize, new: impl Fn(usize) -> T) -> Arena<T> {
        Arena { ar_objects: (0..n).map(new).collect(), ar_next: AtomicU32::new(0) }
    }

    /// An object that has not been handed out before.
    pub fn take(&'static self) -> Option<&'static T> {
        let len = self.ar_objects.len() as u32;
        let more = |n: u32| (n < len).then_some(n + 1);
        let n = self.ar_next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(&self.ar_objects[n as usize])
    }
}

impl<T> Arena<T> {
    /// The number of an object of this arena.
    pub fn number_of(&self, object: &T) -> usize {
        let addr = core::ptr::from_ref(object).addr();
        self.place_of(addr).expect("invariant: an object of this arena lies in it")
    }

    /// The number of the object in which an address lies, if one of this arena's is there.
    pub fn place_of(&self, addr: usize) -> Option<usize> {
        let n = addr.checked_sub(self.ar_objects.as_ptr().addr())? / size_of::<T>();
        (n < self.ar_objects.len()).then_some(n)
    }
}

/// What a cache can keep.
pub trait Cached: Sync + Sized + 'static {
    /// The word through which a magazine's objects are listed, while they are free.
    fn link(&self) -> &SharedPtr<Self>;
    /// The word through which the depot's magazines are listed, in the first object of each.
    fn depot_link(&self) -> &SharedPtr<Self>;
}

/// Free objects of one type, in one or several classes.
#[repr(C)]
#[derive(Debug)]
pub struct Cache<T: Cached> {
    /// Of each class in turn: the magazines, CPU by CPU, and then the depot, whose full magazines are listed by `cc_previous`.
    pub cache_cpu: Box<[Mag<T>]>,
    /// CPUs.
    pub cache_ncpus: u32,
}

/// One CPU's magazines (`kmem_cpu_cache_t`), or a depot.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Mag<T: Cached> {
    /// Guards the rest.
    pub cc_lock: Mutex,
    /// The loaded magazine.
    pub cc_loaded: SharedPtr<T>,
    /// How many objects it has.
    pub cc_rounds: AtomicU32,
    /// The previous magazine: full, or there is none.
    pub cc_previous: SharedPtr<T>,
    /// Objects handed out here.
    pub cc_alloc: AtomicU64,
    /// Objects that came back here.
    pub cc_free: AtomicU64,
}

impl<T: Cached> Cache<T> {
    /// An empty cache of so many classes for so many CPUs.
    pub fn new(ncpus: u32, classes: u32) -> Cache<T> {
        let mag = |_| Mag {
            cc_lock: Mutex::new(),
            cc_loaded: SharedPtr::null(),
            cc_rounds: AtomicU32::new(0),
            cc_previous: SharedPtr::null(),
            cc_alloc: AtomicU64::new(0),
            cc_free: AtomicU64::new(0),
        };
        Cache { cache_cpu: (0..classes * (ncpus + 1)).map(mag).collect(), cache_ncpus: ncpus }
    }

    /// A free object of a class, or a new one from `fresh`. `None` if there is neither; it never waits for memory.
    #[inline]
    pub fn alloc(
        &'static self,
        class: u32,
        fresh: impl FnOnce() -> Option<&'static T>,
    ) -> Option<&'static T> {
        let mag = self.here(class);
        mutex_enter(&mag.cc_lock);
        if mag.cc_rounds.get() == 0 {
            self.reload(class, mag);
        }
        let found = if mag.cc_rounds.get() != 0 { mag.pop() } else { fresh() };
        if found.is_some() {
            mag.cc_alloc.bump();
        }
        mutex_exit(&mag.cc_lock);
        found
    }

    /// Takes an object back.
    #[inline]
    pub fn free(&'static self, class: u32, object: &'static T) {
        let mag = self.here(class);
        mutex_enter(&mag.cc_lock);
        mag.cc_free.bump();
        if mag.cc_rounds.get() == ROUNDS {
            self.unload(class, mag);
        }
        mag.push(object);
        mutex_exit(&mag.cc_lock);
    }

    /// Counts an object that its arena handed out past the magazines.
    pub fn count_alloc(&'static self, class: u32) {
        let mag = self.here(class);
        mutex_enter(&mag.cc_lock);
        mag.cc_alloc.bump();
        mutex_exit(&mag.cc_lock);
    }

    /// Objects handed out and not come back. Exact while no CPU is in the middle of either.
    pub fn in_use(&self) -> u64 {
        let sum = |of: fn(&Mag<T>) -> u64| self.cache_cpu.iter().map(of).sum::<u64>();
        sum(|m| m.cc_alloc.get()).wrapping_sub(sum(|m| m.cc_free.get()))
    }

    #[inline(always)]
    fn here(&'static self, class: u32) -> &'static Mag<T> {
        &self.cache_cpu[(class * (self.cache_ncpus + 1) + platform::cpu().cpu_id) as usize]
    }

    fn depot(&'static self, class: u32) -> &'static Mag<T> {
        &self.cache_cpu[(class * (self.cache_ncpus + 1) + self.cache_ncpus) as usize]
    }

    /// Fills the empty loaded magazine from the previous one, or from the depot.
    #[cold]
    fn reload(&'static self, class: u32, mag: &'static Mag<T>) {
        let mut full = mag.cc_previous.get();
        mag.cc_previous.set(None);
        if full.is_none() {
            let depot = self.depot(class);
            mutex_enter(&depot.cc_lock);
            full = depot.cc_previous.get();
            if let Some(first) = full {
                depot.cc_previous.set(first.depot_link().get());
            }
            mutex_exit(&depot.cc_lock);
        }
        if full.is_some() {
            mag.cc_loaded.set(full);
            mag.cc_rounds.set(ROUNDS);
        }
    }

    /// Makes the full loaded magazine the previous one, which goes to the depot.
    #[cold]
    fn unload(&'static self, class: u32, mag: &'static Mag<T>) {
        if let Some(first) = mag.cc_previous.get() {
            let depot = self.depot(class);
            mutex_enter(&depot.cc_lock);
            first.depot_link().set(depot.cc_previous.get());
            depot.cc_previous.set(Some(first));
            mutex_exit(&depot.cc_lock);
        }
        mag.cc_previous.set(mag.cc_loaded.get());
        mag.cc_loaded.set(None);
        mag.cc_rounds.set(0);
    }
}

impl<T: Cached> Mag<T> {
    #[inline(always)]
    fn pop(&self) -> Option<&'static T> {
        let object = self.cc_loaded.get()?;
        self.cc_loaded.set(object.link().get());
        self.cc_rounds.set(self.cc_rounds.get() - 1);
        Some(object)
    }

    #[inline(always)]
    fn push(&self, object: &'static T) {
        object.link().set(self.cc_loaded.get());
        self.cc_loaded.set(Some(object));
        self.cc_rounds.set(self.cc_rounds.get() + 1);
    }
}
