//! `umpire bench`: what Umpire promises, measured here and now. SPECIFICATION.md lists the promises.
//!
//! | file | rows |
//! |---|---|
//! | `boot.rs` | from process start to the first kernel thread |
//! | `sampling.rs` | a pass, its exits, what it costs the guest |
//! | `switching.rs` | a thread switch in the guest, beside one of the host |
//! | `dispatching.rs` | an enqueue with a dequeue among many threads, a probe, a mutex passed on |
//! | `poking.rs` | an interrupt from CPU to CPU, beside one of the host |
//! | `crowd.rs` | a thousand threads: their memory, their boot, their verdict |
//! | `row.rs` | what a row is |
//! | `judging.rs` | from a bound's expiry to the verdict, false alarms, seeds a second, memory |
//!
//! # Invariants
//! - Each figure is a median of several rounds, or says what else it is; peers are measured in the same run, by turns.
//! - A row that cannot be measured here is an error that ends the bench, after the rows before it were printed.

mod boot;
mod crowd;
mod dispatching;
mod judging;
mod poking;
mod row;
mod running;
mod sampling;
mod switching;

use super::{KvmReferee, SimReferee};
use crate::report::RunError;
use umpire_scenario::{Scenario, ScenarioError};

pub use boot::boot_probe;
pub use row::{BenchRow, Better};

/// Takes all measurements, handing out each as it comes.
///
/// # Errors
/// [`RunError`] if a machine cannot be set up.
pub fn run(
    kvm: &mut KvmReferee,
    sim: &mut SimReferee,
    each: &mut dyn FnMut(BenchRow),
) -> Result<(), RunError> {
    each(boot::boot()?);
    each(sampling::pass()?);
    each(sampling::lost_work()?);
    for row in switching::switch()? {
        each(row);
    }
    for row in dispatching::queue()? {
        each(row);
    }
    for row in dispatching::probe()? {
        each(row);
    }
    each(dispatching::lock_pass()?);
    for row in poking::poke()? {
        each(row);
    }
    each(crowd::memory());
    for row in crowd::healthy(kvm)? {
        each(row);
    }
    let (detect, exits) = judging::detect(kvm)?;
    each(detect);
    each(exits);
    each(judging::false_alarms(kvm)?);
    each(judging::seeds(sim)?);
    each(judging::memory()?);
    Ok(())
}

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
