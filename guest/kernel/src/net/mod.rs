//! The way of a packet from a device's interrupt to who wants it: soft ring sets, soft rings, squeues (`mac_sched.c`,
//! `mac_soft_ring.c`, `squeue.c`).
//!
//! ```text
//!   interrupt thread --> soft ring set --> soft rings --> squeues --> streams
//!                          worker            a worker      a worker
//!                          poll thread       each          and a poll thread each
//! ```
//!
//! | file | what |
//! |---|---|
//! | `packet.rs` | packets and lists of them |
//! | `nic.rs` | what is taken out of a device's receive ring, and by whom |
//! | `srs.rs`, `fanout.rs` | soft ring sets: where packets come in, and how they are shared out |
//! | `srs_threads.rs` | a set's worker and its poll thread |
//! | `soft_ring.rs` | soft rings and their workers |
//! | `squeue.rs` | squeues: who enters, and who handles what is there |
//! | `squeue_threads.rs` | an squeue's worker and its poll thread |
//! | `deliver.rs` | what becomes of a packet at the end |
//!
//! # Invariants
//! - Each set, ring and squeue has one lock, an adaptive mutex: an interrupt thread may block for it. Nothing is locked for all of them.
//! - Order: `sq_lock` > `s_ring_lock`; `srs_lock` is held with neither. None is held while a packet is handled or passed on.
//! - Their threads are threads of the scenario. What has no worker is handled by who brings packets.
//! - A packet is in one place: a receive ring, one of the lists, the hands of one thread; or it is freed and counted as delivered or
//!   by the reason why not.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::cell::Cell;
use crate::platform;
use crate::sys::{Kthread, Places};
use fanout::Lane;
use soft_ring::SoftRing;
use squeue::Squeue;
use srs::SoftRingSet;
use umpire_shared::program::{Program, Thread};
use umpire_shared::work::Workload;
use umpire_shared::work::network::Network;
use umpire_shared::work::streams::Streams;

mod deliver;
mod fanout;
mod nic;
pub mod packet;
pub mod soft_ring;
pub mod squeue;
mod squeue_threads;
pub mod srs;
mod srs_threads;

pub use nic::mac_rx;
pub use squeue_threads::{squeue_polling_thread, squeue_worker};
pub use srs_threads::{mac_rx_srs_poll_ring, mac_srs_worker};

/// "None of them."
const NONE: u32 = u32::MAX;

/// The network of a kernel.
#[repr(C)]
#[derive(Debug)]
pub struct NetState {
    /// Soft ring sets, one for each device that brings packets, in the order of the scenario.
    pub srs: Box<[SoftRingSet]>,
    /// Soft rings, in the order of their workers.
    pub soft_rings: Box<[SoftRing]>,
    /// Squeues, in the order of their workers.
    pub squeues: Box<[Squeue]>,
    /// By device: its set.
    srs_of: Box<[u32]>,
    /// By thread of the scenario: the ring or the squeue that it works for.
    number_of: Box<[u32]>,
}

impl NetState {
    /// What the workloads of a program ask for.
    pub fn new(program: &Program<'_>) -> NetState {
        let threads: Vec<Thread> = program.threads().collect();
        let mut number_of = Vec::new();
        let (mut rings, mut squeues) = (0, 0);
        for thread in &threads {
            let next = match thread.work {
                Workload::Network(Network::SoftRing(_)) | Workload::Streams(Streams::StreamSource(_)) => {
                    &mut rings
                }
                Workload::Network(Network::Squeue(_)) => &mut squeues,
                _ => {
                    number_of.push(NONE);
                    continue;
                }
            };
            number_of.push(*next);
            *next += 1;
        }
        let mut net = NetState {
            srs: Box::default(),
            soft_rings: Box::default(),
            squeues: Box::default(),
            srs_of: Box::default(),
            number_of: number_of.into(),
        };
        net.srs_of = program.interrupts().map(|_| NONE).collect();
        let mut sets = Vec::new();
        for (n, spec) in program.interrupts().enumerate() {
            let lanes: Box<[Lane]> = net.lanes(&threads, n as u32).into();
            if !lanes.is_empty() {
                net.srs_of[n] = sets.len() as u32;
                sets.push(SoftRingSet::new(n as u32, &spec, lanes, program.header()));
            }
        }
        net.srs = sets.into();
        net.soft_rings = threads.iter().filter_map(|t| net.ring(t, &threads)).collect();
        net.squeues = threads
            .iter()
            .filter_map(|t| match t.work {
                Workload::Network(Network::Squeue(work)) => Some(Squeue::new(work, t)),
                _ => None,
            })
            .collect();
        net
    }

    /// Who gets the packets of a device.
    fn lanes(&self, threads: &[Thread], device: u32) -> Vec<Lane> {
        let lane = |(thread, &number): (&Thread, &u32)| match thread.work {
            Workload::Network(Network::SoftRing(work)) if work.source.0 == device => Some(Lane::Ring(number)),
            Workload::Streams(Streams::StreamSource(work)) if work.source.0 == device => {
                Some(Lane::Ring(number))
            }
            Workload::Network(Network::Squeue(work)) if work.source.is_some_and(|from| from.0 == device) => {
                Some(Lane::Squeue(number))
            }
            _ => None,
        };
        threads.iter().zip(&self.number_of).filter_map(lane).collect()
    }

    /// The ring whose worker a thread is.
    fn ring(&self, thread: &Thread, threads: &[Thread]) -> Option<SoftRing> {
        let (source, sink, cost_us, worker_only) = match thread.work {
            Workload::Network(Network::SoftRing(work)) => {
                (work.source, work.sink, work.cost_us, work.is_worker_only())
            }
            Workload::Streams(Streams::StreamSource(work)) => (work.source, None, 0, true),
            _ => return None,
        };
        let sink = sink.map(|to| to.0 as usize).map(|to| match threads[to].work {
            Workload::Network(Network::Squeue(_)) => Lane::Squeue(self.number_of[to]),
            _ => Lane::Ring(self.number_of[to]),
        });
        // A program of a test may name an interrupt that it does not have.
        let set = self.srs_of.get(source.0 as usize).copied().unwrap_or(NONE);
        Some(SoftRing::new(thread, set, sink, cost_us, worker_only))
    }

    /// Gives places to what is slept on or for.
    pub fn number_places(&self, places: &Places) {
        places.add(&"k_net.srs", &self.srs);
        places.add(&"k_net.soft_rings", &self.soft_rings);
        places.add(&"k_net.squeues", &self.squeues);
    }
}

/// Links rings, squeues and sets with the threads that work for them, and with each other. At boot, before any of the threads runs.
pub fn net_init() {
    let kernel = platform::kernel();
    let net = &kernel.k_net;
    for (n, t) in kernel.scenario_threads().iter().enumerate() {
        match t.workload() {
            Workload::Network(Network::SoftRing(_)) | Workload::Streams(Streams::StreamSource(_)) => {
                net.soft_rings[net.number_of[n] as usize].s_ring_worker.set(Some(t));
            }
            Workload::Network(Network::Squeue(_)) => squeue_of(t).sq_worker.set(Some(t)),
            Workload::Network(Network::SrsWorker(work)) => {
                if let Some(srs) = srs_of(work.source.0) {
                    srs.srs_worker.set(Some(t));
                }
            }
            Workload::Network(Network::SrsPoll(work)) => {
                if let Some(srs) = srs_of(work.source.0) {
                    srs.srs_poll_thr.set(Some(t));
                }
            }
            Workload::Network(Network::SqueuePoll(work)) => {
                let of = work.squeue.0 as usize;
                let number = net.number_of[of];
                let squeue = net.squeues.get(number as usize);
                let ring = net.soft_rings.iter().find(|ring| ring.s_ring_sink.get() == number);
                if let (Some(squeue), Some(ring)) = (squeue, ring) {
                    squeue.set_poll(t, ring);
                }
            }
            _ => {}
        }
    }
}

/// This kernel's.
#[inline(always)]
fn net() -> &'static NetState {
    &platform::kernel().k_net
}

/// The set of a device, if anybody wants its packets.
pub fn srs_of(device: u32) -> Option<&'static SoftRingSet> {
    let net = net();
    net.srs.get(*net.srs_of.get(device as usize)? as usize)
}

/// The ring or the squeue of a thread is this one of its list.
fn number_of(t: &Kthread) -> usize {
    net().number_of[(t.t_did - platform::kernel().k_ncpus) as usize] as usize
}

/// The soft ring whose worker a thread is.
///
/// # Panics
/// If it is none's.
pub fn soft_ring_of(t: &Kthread) -> &'static SoftRing {
    &net().soft_rings[number_of(t)]
}

/// The squeue whose worker a thread is.
///
/// # Panics
/// If it is none's.
pub fn squeue_of(t: &Kthread) -> &'static Squeue {
    net().squeues.get(number_of(t)).unwrap_or_else(|| panic!("thread {} is no squeue's worker", t.t_did))
}

/// True if the current thread has less than so many bytes of stack left. `#[inline(always)]`, so that it measures its caller.
#[inline(always)]
fn is_stack_low(needed: i64) -> bool {
    let here = 0_u8;
    let sp = core::ptr::from_ref(&here).addr();
    (sp.saturating_sub(platform::curthread().t_stkbase.get()) as i64) < needed
}
