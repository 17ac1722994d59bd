//! `umpire bench`: what Umpire promises, measured here and now. SPECIFICATION.md lists the promises.
//!
//! | file | rows |
//! |---|---|
//! | `boot.rs` | from process start to the first kernel thread |
//! | `sampling.rs` | a pass, its exits, what it costs the guest |
//! | `switching.rs` | a thread switch in the guest, beside one of the host |
//! | `dispatching.rs` | an enqueue with a dequeue among many threads, a probe, a mutex passed on |
//! | `streaming.rs` | a message block, a hop from module to module, a stream there and back |
//! | `tasking.rs` | a task and a buffer, beside those of the host |
//! | `poking.rs` | an interrupt from CPU to CPU, beside one of the host |
//! | `inspecting.rs` | commands of the debugger on a guest that runs, and what ten of them cost it |
//! | `reaching.rs` | attaching to a VM, writing and opening cores |
//! | `crowd.rs` | a thousand threads: their memory, their boot, their verdict |
//! | `recording.rs` | a recording of a million events to a page, to a trace, to who is to blame |
//! | `row.rs` | what a row is |
//! | `judging.rs` | from a bound's expiry to the verdict, false alarms, seeds a second, memory |
//!
//! # Invariants
//! - Each figure is a median of several rounds, or says what else it is; peers are measured in the same run, by turns.
//! - A row that cannot be measured here is an error that ends the bench, after the rows before it were printed.

mod boot;
mod crowd;
mod dispatching;
mod inspecting;
mod judging;
mod poking;
mod reaching;
mod recording;
mod row;
mod running;
mod sampling;
mod streaming;
mod switching;
mod tasking;

use super::{KvmReferee, SimReferee};
use crate::report::RunError;
use umpire_scenario::{Scenario, ScenarioError};

pub use boot::boot_probe;
pub use row::{BenchRow, Better};

/// The names of what can be measured, in the order in which it is.
pub fn names() -> impl Iterator<Item = &'static str> {
    MEASUREMENTS.iter().map(|(name, _)| *name)
}

/// Who runs the scenarios that a measurement consists of.
pub struct Referees<'a> {
    /// On KVM.
    pub kvm: &'a mut KvmReferee,
    /// In the simulator.
    pub sim: &'a mut SimReferee,
}

/// Takes the measurements of these names, or all if there are none, handing out each row as it comes.
///
/// # Errors
/// [`RunError`] if a machine cannot be set up.
pub fn run(
    wanted: &[String],
    mut referees: Referees<'_>,
    each: &mut dyn FnMut(BenchRow),
) -> Result<(), RunError> {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    for (_, measure) in MEASUREMENTS.iter().filter(|(name, _)| is_wanted(name)) {
        measure(&mut referees)?.into_iter().for_each(&mut *each);
    }
    Ok(())
}

type Measure = fn(&mut Referees<'_>) -> Result<Vec<BenchRow>, RunError>;

/// What can be measured, each under its name.
const MEASUREMENTS: &[(&str, Measure)] = &[
    ("boot", |_| Ok(vec![boot::boot()?])),
    ("sampler", |_| Ok(vec![sampling::pass()?])),
    ("lost-work", |_| Ok(vec![sampling::lost_work()?])),
    ("switch", |_| switching::switch()),
    ("queue", |_| dispatching::queue()),
    ("probe", |_| dispatching::probe()),
    ("mutex", |_| Ok(vec![dispatching::lock_pass()?])),
    ("streams", |_| streaming::streams()),
    ("task", |_| tasking::tasks()),
    ("buffer", |_| tasking::buffers()),
    ("poke", |_| poking::poke()),
    ("thread-memory", |_| Ok(vec![crowd::memory()])),
    ("inspect", |_| inspecting::commands()),
    ("inspectors", |_| Ok(vec![inspecting::inspectors()?])),
    ("attach", |_| Ok(vec![reaching::attach()?])),
    ("core", |_| reaching::cores()),
    ("crowd", |referees| crowd::healthy(referees.kvm)),
    ("detect", |referees| Ok(judging::detect(referees.kvm)?.into())),
    ("false-alarms", |referees| Ok(vec![judging::false_alarms(referees.kvm)?])),
    ("seeds", |referees| Ok(vec![judging::seeds(referees.sim)?])),
    ("recording", |_| recording::rows()),
    ("memory", |_| Ok(vec![judging::memory()?])),
];

/// The middle of some values; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// A scenario that the bench itself wrote.
fn scenario(text: &str) -> Result<Scenario, RunError> {
    Scenario::parse(text, "bench").map_err(|e: ScenarioError| failed(e))
}

/// Wraps what went wrong in a measurement.
fn failed(e: impl std::error::Error + Send + Sync + 'static) -> RunError {
    RunError::SetUp(Box::new(e))
}
