//! STREAMS: messages, queues, perimeters and the modules that they lead through.
//!
//! | file | what |
//! |---|---|
//! | `arena.rs` | objects with stable addresses, caches of free ones |
//! | `message.rs`, `allocb.rs`, `esballoc.rs`, `msgops.rs` | message blocks, and what is done with messages |
//! | `queue.rs` | queues and bands; what a module is |
//! | `putq.rs`, `flush.rs`, `flow.rs` | messages on queues, high and low water |
//! | `syncq.rs`, `perdm.rs` | perimeters |
//! | `putnext.rs`, `drain.rs`, `sqenable.rs` | a message goes to the next module, or waits at its perimeter |
//! | `enter.rs`, `events.rs` | other ways into a perimeter, and being alone there |
//! | `callback.rs` | `bufcall`, `qtimeout` and `qbufcall` |
//! | `service.rs`, `background.rs` | service procedures, and threads that run what others left |
//! | `stdata.rs`, `plumb.rs`, `strlock.rs`, `module.rs` | a head's structure; queues come and go; streams stand still |
//! | `head.rs`, `strread.rs`, `strwrite.rs`, `strpoll.rs`, `strioctl.rs`, `strops.rs` | stream heads: what arrives, read and write, ioctls, open and close, pipes |
//! | `strsig.rs`, `strask.rs` | who is told of what happens at a head, and the small ioctls |
//! | `mlink.rs` | streams below a multiplexor |
//! | `modules/`, `tpi.rs` | modules and drivers, and what some of them say to each other |
//! | `scenario.rs`, `counts.rs` | streams that a scenario describes, and what is counted of them |
//!
//! # Invariants
//! - Nothing here is locked for the whole system on the way of a message that meets nobody: its queue's lock, its perimeter's, its
//!   stream's, and those of this CPU's magazines.
//! - Lock order: `sd_lock` > `sd_reflock` > QLOCK > SQLOCK > `sd_qlock` > `bg_lock` and the magazines' locks.

use core::sync::atomic::{AtomicU64, Ordering};

use allocb::Messages;
use arena::{Arena, Cache};
use background::Background;
use callback::{Bufcalls, Callback};
use esballoc::EsbQueue;
use mlink::Links;
use modules::Loans;
use perdm::Perdms;
use queue::{Qband, Queinfo};
use scenario::ScenarioStream;
use stdata::Stdata;
use strops::Autopush;
use syncq::Syncq;

use crate::cell::Cell;
use crate::platform;
use crate::sys::Places;
use alloc::boxed::Box;
use umpire_shared::program::Program;
use umpire_shared::tunable;
use umpire_shared::work::streams::BYTES_A_PAIR;

pub mod allocb;
pub mod arena;
pub mod background;
pub mod callback;
pub mod counts;
pub mod drain;
pub mod enter;
pub mod esballoc;
pub mod events;
pub mod flow;
pub mod flush;
pub mod head;
pub mod message;
pub mod mlink;
pub mod module;
pub mod modules;
pub mod msgops;
pub mod perdm;
pub mod plumb;
pub mod putnext;
pub mod putq;
pub mod queue;
pub mod scenario;
pub mod service;
pub mod sqenable;
pub mod stdata;
pub mod strask;
pub mod strioctl;
pub mod strlock;
pub mod strops;
pub mod strpoll;
pub mod strread;
pub mod strsig;
pub mod strwrite;
pub mod syncq;
pub mod tpi;

/// Bytes of `strmem` that there is one data block for.
const BYTES_A_BLOCK: usize = 256;

/// STREAMS of a kernel.
#[repr(C)]
#[derive(Debug)]
pub struct StreamsState {
    /// Messages.
    pub memory: Messages,
    /// Pairs of queues.
    pub queues: Arena<Queinfo>,
    /// Free ones (`queue_cache`).
    pub queue_cache: Cache<Queinfo>,
    /// Perimeters that are not part of a pair.
    pub syncqs: Arena<Syncq>,
    /// Free ones (`syncq_cache`).
    pub syncq_cache: Cache<Syncq>,
    /// Bands.
    pub qbands: Arena<Qband>,
    /// Free ones (`qband_cache`).
    pub qband_cache: Cache<Qband>,
    /// Stream heads.
    pub stdatas: Arena<Stdata>,
    /// Free ones (`stream_head_cache`).
    pub stdata_cache: Cache<Stdata>,
    /// Callbacks.
    pub callbacks: Arena<Callback>,
    /// Free ones.
    pub callback_cache: Cache<Callback>,
    /// Who waits for memory.
    pub bufcalls: Box<Bufcalls>,
    /// Perimeters of whole modules.
    pub perdms: Box<Perdms>,
    /// What is linked below multiplexors.
    pub links: Box<Links>,
    /// Buffers to be freed later, CPU by CPU.
    pub esbq: Box<[EsbQueue]>,
    /// Buffers that modules `loan` lend.
    pub loans: Box<Loans>,
    /// What is pushed with which driver.
    pub autopush: Box<Autopush>,
    /// What is left to the background.
    pub background: Box<Background>,
    /// The scenario's streams, in its order.
    pub scenario: Box<[ScenarioStream]>,
    /// `streams:0:strstat`, CPU by CPU: see [`StreamsState::strstat`].
    pub strstats: Box<[Strstat]>,
    /// Puts into modules `solo`, and how many of them found another thread inside a perimeter that puts do not share. Relaxed.
    pub solo_entries: AtomicU64,
    /// See `solo_entries`.
    pub solo_overlaps: AtomicU64,
    /// Times that a message was parked for want of stack. Relaxed additions.
    pub put_stack_notenough: AtomicU64,
}

/// `streams:0:strstat`, what one CPU has of it; relaxed additions, which order nothing. Each has lines of its own: some are counted for
/// every message.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Strstat {
    /// Perimeters handed to the background.
    pub sqenables: AtomicU64,
    /// Streams handed to the background.
    pub stenables: AtomicU64,
    /// Perimeters that the background has taken up.
    pub syncqservice: AtomicU64,
    /// Nothing increments it, as in Solaris.
    pub freebs: AtomicU64,
    /// Outer writers that were deferred.
    pub qwr_outer: AtomicU64,
    /// Times that a thread ran services in the foreground.
    pub rservice: AtomicU64,
    /// Sleeps at a stream head.
    pub strwaits: AtomicU64,
    /// Times that no task could be had, and a background thread's list was used.
    pub taskqfails: AtomicU64,
    /// Callbacks for memory.
    pub bufcalls: AtomicU64,
    /// Queues that a thread in the foreground serviced for the background.
    pub qhelps: AtomicU64,
    /// Queues that were taken off the background's list as they closed.
    pub qremoved: AtomicU64,
    /// Perimeters likewise.
    pub sqremoved: AtomicU64,
    /// Waits of the bufcall thread for memory.
    pub bcwaits: AtomicU64,
    /// Perimeters that had enough background threads.
    pub sqtoomany: AtomicU64,
}

impl StreamsState {
    /// STREAMS with the memory that the program gives for messages, and what goes with it; only messages, for packets, if `strmem` is 0.
    pub fn new(ncpus: u32, program: &Program<'_>) -> StreamsState {
        let bytes = program.message_bytes();
        let pairs = program.header().tunables[tunable::STRMEM] as usize / BYTES_A_PAIR as usize;
        StreamsState {
            memory: Messages::new(ncpus, bytes, bytes / BYTES_A_BLOCK),
            queues: Arena::new(pairs, |_| Queinfo::default()),
            queue_cache: Cache::new(ncpus, 1),
            syncqs: Arena::new(pairs, |_| Syncq::default()),
            syncq_cache: Cache::new(ncpus, 1),
            qbands: Arena::new(2 * pairs, |_| Qband::default()),
            qband_cache: Cache::new(ncpus, 1),
            stdatas: Arena::new(pairs / 2, |_| Stdata::default()),
            stdata_cache: Cache::new(ncpus, 1),
            callbacks: Arena::new(pairs, |_| Callback::default()),
            callback_cache: Cache::new(ncpus, 1),
            bufcalls: Box::default(),
            perdms: Box::default(),
            links: Box::default(),
            esbq: (0..ncpus).map(|_| EsbQueue::default()).collect(),
            loans: Box::default(),
            autopush: Box::default(),
            background: Box::default(),
            scenario: (0..)
                .zip(program.streams())
                .map(|(n, spec)| ScenarioStream::new(n, &spec, program.nthreads()))
                .collect(),
            strstats: (0..ncpus).map(|_| Strstat::default()).collect(),
            solo_entries: AtomicU64::new(0),
            solo_overlaps: AtomicU64::new(0),
            put_stack_notenough: AtomicU64::new(0),
        }
    }

    /// The number of a perimeter: pairs' first, then the others.
    fn syncq_number(&self, sqp: &Syncq) -> usize {
        let of_pair = self.queues.place_of(core::ptr::from_ref(sqp).addr());
        of_pair.unwrap_or_else(|| self.queues.ar_objects.len() + self.syncqs.number_of(sqp))
    }

    /// The perimeter of a number.
    fn syncq_of_number(&'static self, n: usize) -> &'static Syncq {
        match self.queues.ar_objects.get(n) {
            Some(pair) => &pair.qu_syncq,
            None => &self.syncqs.ar_objects[n - self.queues.ar_objects.len()],
        }
    }

    /// Where the caller counts: at its CPU, or at the one that it had a moment ago.
    #[inline]
    pub fn strstat(&self) -> &Strstat {
        &self.strstats[platform::cpu().cpu_id as usize]
    }

    /// One of the counts of all CPUs together.
    pub fn total(&self, count: impl Fn(&Strstat) -> &AtomicU64) -> u64 {
        self.strstats.iter().map(|stat| count(stat).load(Ordering::Relaxed)).sum()
    }

    /// Gives places to what has locks that are slept for or are ordered by place.
    pub fn number_places(&self, places: &Places) {
        if self.memory.sm_bytes.is_empty() {
            return;
        }
        places.add(&"k_streams.mblk_cache", &self.memory.sm_mblk_cache.cache_cpu);
        places.add(&"k_streams.dblk_cache", &self.memory.sm_dblk_cache.cache_cpu);
        places.add(&"k_streams.bufcalls", core::slice::from_ref(&*self.bufcalls));
        if !self.is_there() {
            return;
        }
        places.add(&"k_streams.queues", &self.queues.ar_objects);
        places.add(&"k_streams.syncqs", &self.syncqs.ar_objects);
        places.add(&"k_streams.stdatas", &self.stdatas.ar_objects);
        places.add(&"k_streams", core::slice::from_ref(self));
        places.add(&"k_streams.background", core::slice::from_ref(&*self.background));
        places.add(&"k_streams.autopush", core::slice::from_ref(&*self.autopush));
        places.add(&"k_streams.perdms", core::slice::from_ref(&*self.perdms));
        places.add(&"k_streams.esbq", &self.esbq);
        places.add(&"k_streams.scenario", &self.scenario);
        places.add(&"k_streams.queue_cache", &self.queue_cache.cache_cpu);
        places.add(&"k_streams.syncq_cache", &self.syncq_cache.cache_cpu);
        places.add(&"k_streams.qband_cache", &self.qband_cache.cache_cpu);
        places.add(&"k_streams.callback_cache", &self.callback_cache.cache_cpu);
        places.add(&"k_streams.stdata_cache", &self.stdata_cache.cache_cpu);
        places.add(&"k_streams.links", core::slice::from_ref(&*self.links));
    }

    /// True if this kernel has STREAMS.
    pub fn is_there(&self) -> bool {
        !self.queues.ar_objects.is_empty()
    }
}

/// This kernel's.
#[inline(always)]
pub(crate) fn streams() -> &'static StreamsState {
    &platform::kernel().k_streams
}

/// Ticks since boot.
pub(crate) fn lbolt() -> u64 {
    platform::kernel().lbolt.get()
}
