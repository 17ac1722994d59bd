//! The workloads that a scenario's threads may run, with their parameters: one file a family.
//!
//! # Invariants
//! - A workload is declared once, in the file of its family: the host reads scenario files by what is declared there, the
//!   guest calls the function of that name with what was read, and tests write the same fields.
//! - Only this module knows which word of a record is which parameter, and which word means "none".
//! - A workload's place in [`WORKS`] is its number. Families come in the order of the list in this file: an error about an
//!   unknown workload names the first twenty.
//! - The host checks names, kinds and ranges, so the guest may rely on them.

#[macro_use]
mod declare;

pub mod broken;
pub mod compute;
pub mod levels;
pub mod locks;
pub mod measure;
pub mod memory;
pub mod network;
pub mod pair;
pub mod placement;
pub mod streams;
pub mod tasks;
pub mod timing;
pub mod topology;
pub mod unpreemptible;
pub mod vcpu;

/// Words that a thread's record carries for its workload's parameters.
pub const MAX_ARGS: usize = 8;

/// The word of a [`ThreadRef`], [`IntrRef`] or [`StreamRef`] that is absent.
const NOBODY: u64 = u64::MAX;
/// An hour in us, the most that most times may be.
const HOUR_US: u64 = 3_600_000_000;

/// What a parameter takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A whole number (in the unit that the name ends with) from the first to the second.
    Number(u64, u64),
    /// One of these words, passed as its place in the list.
    Choice(&'static [&'static str]),
    /// The name of a thread of the scenario, passed as its place in the file.
    Thread,
    /// The name of an interrupt of the scenario, passed as its place in the file.
    Interrupt,
    /// The name of a task queue of the scenario, passed as its place in the file; `system_taskq` comes after those.
    Taskq,
    /// The name of a stream of the scenario, passed as its place in the file.
    Stream,
}

/// One parameter of a workload.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Name in scenario files.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// The word of the record when the parameter is not given. If that would name a thread or an interrupt, there is none then,
    /// whatever this says.
    pub default: u64,
    /// True if it must be given.
    pub required: bool,
    /// What it means.
    pub doc: &'static str,
}

/// What is said of a workload in its declaration.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Name in scenario files.
    pub name: &'static str,
    /// What a thread that runs it does.
    pub doc: &'static str,
    /// Its parameters, in the order of the record's words.
    pub params: &'static [Param],
}

/// A thread of the scenario, by its place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadRef(pub u32);

/// An interrupt of the scenario, by its place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntrRef(pub u32);

/// A task queue of the scenario, by its place in the file; one more than there are is `system_taskq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskqRef(pub u32);

/// A stream of the scenario, by its place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRef(pub u32);

families! {
    vcpu::Vcpu,
    network::Network,
    compute::Compute,
    pair::Pair,
    broken::Broken,
    memory::Memory,
    unpreemptible::Unpreemptible,
    placement::Placement,
    locks::Locks,
    levels::Levels,
    timing::Timing,
    measure::Measure,
    topology::Topology,
    tasks::Tasks,
    streams::Streams,
}

impl Workload {
    /// The interrupts that it names.
    pub fn interrupts(self) -> impl Iterator<Item = IntrRef> {
        let (number, words) = self.record();
        let params = WORKS[number as usize].params;
        let is_interrupt = |param: &Param| matches!(param.kind, Kind::Interrupt);
        params
            .iter()
            .zip(words)
            .filter(move |(param, _)| is_interrupt(param))
            .filter_map(|(_, word)| IntrRef::from_word(word))
    }

    /// True if it handles packets, which are messages of STREAMS.
    pub fn has_packets(self) -> bool {
        matches!(self, Workload::Network(_)) || self.interrupts().next().is_some()
    }
}

/// The number of the workload of this name.
pub fn find(name: &str) -> Option<usize> {
    WORKS.iter().position(|w| w.name == name)
}

/// A parameter as the word of a record that carries it.
trait Word: Copy {
    fn to_word(self) -> u64;
    fn from_word(word: u64) -> Option<Self>;
}

impl Word for u64 {
    fn to_word(self) -> u64 {
        self
    }

    fn from_word(word: u64) -> Option<u64> {
        Some(word)
    }
}

impl Word for ThreadRef {
    fn to_word(self) -> u64 {
        u64::from(self.0)
    }

    fn from_word(word: u64) -> Option<ThreadRef> {
        u32::try_from(word).ok().map(ThreadRef)
    }
}

impl Word for IntrRef {
    fn to_word(self) -> u64 {
        u64::from(self.0)
    }

    fn from_word(word: u64) -> Option<IntrRef> {
        u32::try_from(word).ok().map(IntrRef)
    }
}

impl Word for TaskqRef {
    fn to_word(self) -> u64 {
        u64::from(self.0)
    }

    fn from_word(word: u64) -> Option<TaskqRef> {
        u32::try_from(word).ok().map(TaskqRef)
    }
}

impl Word for StreamRef {
    fn to_word(self) -> u64 {
        u64::from(self.0)
    }

    fn from_word(word: u64) -> Option<StreamRef> {
        u32::try_from(word).ok().map(StreamRef)
    }
}

/// A parameter that may be absent, and the word that says so.
fn perhaps<T: Word>(word: u64, none: u64) -> Option<Option<T>> {
    if word == none { Some(None) } else { T::from_word(word).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::compute::{Mode, Spin};
    use super::locks::LockChain;
    use super::network::{SoftRing, Squeue};
    use super::*;

    #[test]
    fn from_record_of_record_is_the_same_workload() {
        let ring = SoftRing { sink: Some(ThreadRef(3)), cost_us: 7, ..SoftRing::defaults(IntrRef(1)) };
        let chain = LockChain { second: Some(5), ..LockChain::defaults() };
        let spin = Spin { mode: Mode::User, ..Spin::defaults() };
        for workload in [Workload::from(ring), chain.into(), spin.into(), Squeue::defaults().into()] {
            let (number, words) = workload.record();
            assert_eq!(Workload::from_record(number, &words), Some(workload));
        }
    }

    #[test]
    fn record_has_the_words_in_the_order_of_the_parameters() {
        let ring = SoftRing { sink: None, cost_us: 7, ..SoftRing::defaults(IntrRef(1)) };
        let (number, words) = Workload::from(ring).record();
        assert_eq!(WORKS[number as usize].name, "soft_ring");
        assert_eq!(words, [1, NOBODY, 7, 0, 0, 0, 0, 0]);
        let chain = LockChain { second: Some(5), third: None, ..LockChain::defaults() };
        assert_eq!(Workload::from(chain).record().1[..3], [0, 5, 16]);
    }

    #[test]
    fn every_workload_is_found_by_its_name_and_its_number() {
        for (number, work) in WORKS.iter().enumerate() {
            assert_eq!(find(work.name), Some(number), "{}: the name is given twice", work.name);
            let words = core::array::from_fn(|n| {
                work.params.get(n).map_or(0, |p| if p.required { 0 } else { p.default })
            });
            let workload = Workload::from_record(number as u32, &words).expect("what is declared");
            assert_eq!(workload.record(), (number as u32, words), "{}", work.name);
            assert_eq!(workload.about().name, work.name);
        }
    }

    #[test]
    fn from_record_of_what_is_not_declared_is_refused() {
        assert_eq!(Workload::from_record(WORKS.len() as u32, &[0; MAX_ARGS]), None);
        let (spin, mut words) = Workload::from(Spin::defaults()).record();
        words[0] = Mode::WORDS.len() as u64;
        assert_eq!(Workload::from_record(spin, &words), None, "there is no such mode");
    }

    #[test]
    fn defaults_are_in_the_ranges_that_files_are_held_to() {
        for param in WORKS.iter().flat_map(|w| w.params) {
            let is_good = match param.kind {
                Kind::Number(min, max) => (min..=max).contains(&param.default),
                Kind::Choice(words) => (param.default as usize) < words.len(),
                Kind::Thread | Kind::Interrupt | Kind::Taskq | Kind::Stream => param.default == NOBODY,
            };
            assert!(is_good, "{}", param.name);
        }
    }
}
