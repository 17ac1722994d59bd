//! What the rings of a machine hold: the events before a moment, of a core or of a VM that runs.
//!
//! # Invariants
//! - Nothing is taken from the machine: a ring is read, and its writer knows nothing of that.
//! - What the guest overwrites meanwhile is left out, never guessed; and so is what is older than the oldest record of the busiest CPU's ring.

use std::sync::Arc;

use super::recorded;
use umpire_record::{Header, Recording};
use umpire_watch::glass::{Glass, Identity, Target, TraceReader};
use umpire_watch::monitor::{Judge, PassEnd};

/// What the rings hold now, as a recording without an ending.
///
/// # Errors
/// A sentence, if the guest cannot be looked into, or writes no events.
pub fn rings(target: &dyn Target) -> Result<Recording, String> {
    // First the rings. Who is seen to wait afterwards, since before they begin, has waited all the time.
    let held = TraceReader::held(&*target.memory());
    let glass = Arc::new(Glass::new(target));
    let mut judge = Judge::new(Arc::clone(&glass), Vec::new(), u64::MAX).reading(recorded::NEEDS);
    let end = judge.pass(&[], 0).map_err(|error| error.to_string())?;
    let seen = judge.snapshot();
    let (records, whole_from_ns) = recorded::of_rings(held, seen, u64::MAX);
    let Some(last) = records.last().filter(|_| end != PassEnd::NotUp) else {
        return Err("its rings hold no events: it was simulated, or run with the tunable trace_records at 0"
            .to_owned());
    };
    let Identity { scenario, variant, seed, cpus } = target.identity();
    Ok(Recording {
        header: Header { whole_from_ns, ..recorded::header(&scenario, &variant, seed, target.name(), cpus) },
        threads: recorded::threads(&glass, seen),
        objects: recorded::objects(&glass, &recorded::places(&records)),
        samples: vec![recorded::sample(seen, last.time_ns)],
        records,
        ..Recording::default()
    })
}
