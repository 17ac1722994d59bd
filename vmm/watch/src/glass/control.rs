//! What can be done with a target that runs, and what its run is: stop, go on, write; scenario, variant, seed; verdicts so far.
//!
//! # Invariants
//! - Nothing here is done by looking: who controls a target has asked for that.
//! - A write is refused unless the target was opened for writing.

use serde::{Deserialize, Serialize};
use umpire_machine::Written;

/// Which machine a target is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The scenario's ID; empty if there is none.
    pub scenario: String,
    /// The variant's name; empty if there is none.
    pub variant: String,
    /// The simulator's seed; none on KVM.
    pub seed: Option<u64>,
    /// CPUs.
    pub cpus: u32,
}

/// What a referee has found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    /// How long it has run since its first thread, in ns; held time does not count.
    pub run_ns: u64,
    /// Passes of the sampler.
    pub samples: u64,
    /// Reads of it that stayed torn.
    pub torn: u64,
    /// Every bound, in the order of the file.
    pub bounds: Vec<BoundVerdict>,
    /// Sentences on what was violated.
    pub why: Vec<String>,
    /// What was written into the machine from outside.
    pub writes: Vec<Written>,
}

/// What came of one bound so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundVerdict {
    /// The monitor's name.
    pub monitor: String,
    /// The thread that came nearest to the limit, or passed it.
    pub thread: Option<String>,
    /// The worst seen, in ns, or in records if `is_count`.
    pub worst: u64,
    /// The limit, in ns, or in records if `is_count`.
    pub limit: u64,
    /// Whether the two are records, not ns.
    pub is_count: bool,
    /// Whether the limit was kept.
    pub held: bool,
}

/// How a guest panicked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panic {
    /// The CPU.
    pub cpu: u64,
    /// What it said.
    pub message: String,
}

/// A target did not do what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ControlError(pub String);

/// What a word is overwritten with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poke {
    /// What it is called: a tunable's name, or the address.
    pub what: String,
    /// Where.
    pub addr: u64,
    /// How many bytes: 1, 2, 4 or 8.
    pub bytes: usize,
    /// What shall be there.
    pub value: u64,
}

/// Stops a target, lets it go on, writes into it.
pub trait Control: Send + Sync {
    /// Stops a CPU, or all: they stand still when this comes back, until they are let go, or until who stopped them is gone.
    ///
    /// # Errors
    /// [`ControlError`] if there is no such CPU, it does not stop, or the target is gone.
    fn stop(&self, cpu: Option<u32>) -> Result<(), ControlError>;

    /// Lets a CPU, or all, go on, whoever stopped them.
    ///
    /// # Errors
    /// [`ControlError`] if there is no such CPU, or the target is gone or has ended.
    fn go(&self, cpu: Option<u32>) -> Result<(), ControlError>;

    /// Which CPUs stand still.
    ///
    /// # Errors
    /// [`ControlError`] if the target is gone.
    fn stopped(&self) -> Result<Vec<bool>, ControlError>;

    /// Overwrites a word.
    ///
    /// # Errors
    /// [`ControlError`] if the target was not opened for writing, if there is no memory, or if the target is gone.
    fn write(&self, poke: &Poke) -> Result<Written, ControlError>;

    /// Ends the run.
    ///
    /// # Errors
    /// [`ControlError`] if the target is gone.
    fn end(&self) -> Result<(), ControlError>;
}
