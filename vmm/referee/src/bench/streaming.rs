//! What STREAMS cost in the guest: a message block, a hop from one module to the next, and a stream there and back.
//!
//! # Invariants
//! - A figure is the running time of a vCPU divided by the progress made in it. A hop is the difference that nine modules make, a ninth
//!   of it: what is the same in both streams, a message block and its driver's work, is not in it.

use super::dispatching::{text, thread, turns};
use super::running::RunningGuest;
use super::tasking::malloc_ns;
use super::{BenchRow, Better, median, scenario};
use crate::report::RunError;

/// Modules of the longer stream.
const HOPS: usize = 9;
/// Bytes of a message, here and on the host.
const BYTES: usize = 64;
const ROUNDS: usize = 9;

/// The rows.
pub(super) fn streams() -> Result<Vec<BenchRow>, RunError> {
    let block = cost("\"allocb_bench\"", 0, "sink")?;
    let short = cost("{ putnext_bench = { stream = \"s\" } }", 0, "sink")?;
    let long = cost("{ putnext_bench = { stream = \"s\" } }", HOPS, "sink")?;
    let echo = cost("{ stream_echo = { stream = \"s\" } }", HOPS, "loop")?;
    let row = |what: &str, value, goal, note| BenchRow {
        what: what.to_owned(),
        value,
        goal,
        unit: "ns",
        better: Better::Less,
        note,
    };
    Ok(vec![
        row(
            "allocb and freeb of 64 bytes from a warm magazine",
            block,
            40.0,
            format!("median of {ROUNDS}; the host's malloc and free of as many: {:.1} ns", malloc_ns(BYTES)),
        ),
        row(
            "one putnext hop through an uncontended perimeter",
            (long - short) / HOPS as f64,
            25.0,
            format!("{long:.0} ns through {HOPS} modules less {short:.0} ns through none"),
        ),
        row(
            "a message through nine modules and back",
            echo,
            500.0,
            "written and read at the head, stream_willservice and stream_runservice included".to_owned(),
        ),
    ])
}

/// ns of a turn of this work over a stream of so many modules.
fn cost(work: &str, modules: usize, driver: &str) -> Result<f64, RunError> {
    let list = vec!["\"pass\""; modules].join(", ");
    let stream = format!("[[stream]]\nname = \"s\"\nmodules = [{list}]\ndriver = \"{driver}\"\n");
    let scenario = scenario(&text(1, &(stream + &thread("bench", "SYS", 60, 0, 1, work))))?;
    Ok(median(turns(&RunningGuest::start(&scenario)?)))
}
