//! Evidence: what the judge takes from the glass in the pass that found a bound broken, and how sentences speak of it.
//!
//! # Invariants
//! - A monitor names what it wants shown and never looks itself; only the judge takes it.
//! - Evidence is data: a sentence made of it later, or again from a recording, is the same sentence.
//! - A thread is described as it was read at the moment of the verdict.

pub(super) use umpire_rows::number::ms;

use super::Breach;
use crate::glass::{CpuSample, Picture, Snapshot, ThreadCard};
use crate::why::Why;

/// What a monitor wants shown of the pass that found its bound broken. Threads and CPUs are numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exhibits {
    /// The threads that its sentence names.
    pub named: Vec<u32>,
    /// The threads whose stacks matter, those that matter most first.
    pub stacks: Vec<u32>,
    /// The CPUs that matter.
    pub cpus: Vec<u32>,
    /// The partition whose kp queue matters.
    pub part: Option<u32>,
    /// The threads that stand still, of which is to be said why, the one that the breach is about first.
    pub stalled: Vec<u32>,
}

impl Exhibits {
    /// What a breach itself names: the thread with its stack, the CPU, and the kp queue.
    pub fn of(breach: &Breach) -> Exhibits {
        let threads: Vec<u32> = breach.thread.into_iter().collect();
        Exhibits {
            named: threads.clone(),
            stalled: threads.clone(),
            stacks: threads,
            cpus: breach.cpu.into_iter().collect(),
            part: breach.part,
        }
    }

    /// The same with one more thread that the sentence names.
    #[must_use]
    pub fn naming(mut self, thread: Option<u32>) -> Exhibits {
        self.named.extend(thread);
        self
    }
}

/// What was taken for some [`Exhibits`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// What is known of the threads that the sentence names, by number.
    pub cards: Vec<(u32, ThreadCard)>,
    /// What the devices are called, by number.
    pub devices: Vec<String>,
    /// Why the threads that stand still do not run, that of the breach first.
    pub whys: Vec<Why>,
    /// How the CPUs and stacks looked.
    pub picture: Picture,
}

impl Evidence {
    /// What is known of a thread; nothing but defaults if it could not be read.
    pub(super) fn card(&self, thread: Option<u32>) -> ThreadCard {
        let card = self.cards.iter().find(|(index, _)| Some(*index) == thread);
        card.map_or_else(ThreadCard::default, |(_, card)| card.clone())
    }

    /// Why a thread does not run, if that is in evidence.
    pub(super) fn why(&self, thread: Option<u32>) -> Option<&Why> {
        self.whys.iter().find(|why| why.subject().map(|link| link.thread) == thread)
    }

    /// `mac_soft_ring_worker (SYS 99, bound to cpu 1)`.
    pub(super) fn thread(&self, thread: Option<u32>) -> String {
        described(&self.card(thread))
    }
}

/// What the dispatcher chose for a CPU, as a pass saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chosen {
    /// Its idle thread.
    Idle,
    /// A thread, `None` if `cpu_dispthread` is none.
    Thread(Option<u32>),
}

impl Chosen {
    /// What this CPU has.
    pub(super) fn on(seen: &Snapshot, cpu: &CpuSample) -> Chosen {
        if cpu.dispatch_pri < 0 { Chosen::Idle } else { Chosen::Thread(number(seen, cpu.dispthread)) }
    }

    /// The thread's number, unless it is the idle thread.
    pub(super) fn thread(self) -> Option<u32> {
        match self {
            Chosen::Idle => None,
            Chosen::Thread(thread) => thread,
        }
    }

    /// How a sentence speaks of it.
    pub(super) fn described(self, evidence: &Evidence) -> String {
        match self {
            Chosen::Idle => "its idle thread".to_owned(),
            Chosen::Thread(thread) => evidence.thread(thread),
        }
    }
}

/// The number of the thread at this address, if one begins there.
pub(super) fn number(seen: &Snapshot, addr: u64) -> Option<u32> {
    seen.arena?.index_of(addr)
}

/// `mac_soft_ring_worker (SYS 99, bound to cpu 1)`.
pub(super) fn described(card: &ThreadCard) -> String {
    card.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_shared::program::class;

    #[test]
    fn described_names_class_priority_and_binding() {
        let worker = ThreadCard {
            name: "mac_soft_ring_worker".into(),
            pri: 99,
            bound_cpu: Some(1),
            ..ThreadCard::default()
        };
        let qemu = ThreadCard {
            name: "qemu-system-x86_".into(),
            class: class::TS as u8,
            epri: 99,
            ..ThreadCard::default()
        };

        assert_eq!(described(&worker), "mac_soft_ring_worker (SYS 99, bound to cpu 1)");
        assert_eq!(described(&qemu), "qemu-system-x86_ (TS 0 inheriting 99)");
    }

    #[test]
    fn described_system_thread_says_for_which_cpu_it_is_there() {
        let callouts = ThreadCard {
            name: "callout_taskq".into(),
            pri: 99,
            serves: Some(2),
            bound_cpu: Some(2),
            ..ThreadCard::default()
        };

        assert_eq!(described(&callouts), "callout_taskq of cpu 2 (SYS 99)");
    }

    #[test]
    fn thread_of_which_nothing_was_taken_is_unknown() {
        assert_eq!(Evidence::default().thread(Some(3)), "an unknown thread (SYS 0)");
        assert_eq!(Evidence::default().thread(None), "an unknown thread (SYS 0)");
    }
}
