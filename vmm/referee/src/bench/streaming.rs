//! What STREAMS cost in the guest: a message block, a hop from one module to the next, and a stream there and back.
//!
//! # Invariants
//! - A figure is the running time of a vCPU divided by the progress made in it. A hop is the difference that nine modules make, a ninth
//!   of it: what is the same in both streams, a message block and its driver's work, is not in it.

use super::dispatching::thread;
use super::tasking::{guest_ns, malloc_ns, scaling};
use super::{BenchRow, Better};
use crate::report::RunError;

/// Modules of the longer stream.
const HOPS: usize = 9;
/// Bytes of a message, here and on the host.
const BYTES: usize = 64;
const ROUNDS: usize = 9;
/// Both sides of a module have one perimeter (D_MTQPAIR).
const OF_THE_PAIR: &str = "qpair";
/// Each side has its own (D_MTPERQ).
const OF_THE_QUEUE: &str = "perq";

/// How many modules it has, its driver, and its modules' perimeter.
type Stream = (usize, &'static str, &'static str);

/// The rows.
pub(super) fn streams() -> Result<Vec<BenchRow>, RunError> {
    let block = alone("allocb_bench", None)?;
    let short = alone("putnext_bench", Some((0, "sink", OF_THE_PAIR)))?;
    let long = alone("putnext_bench", Some((HOPS, "sink", OF_THE_PAIR)))?;
    let back = alone("stream_bench", Some((HOPS, "loop", OF_THE_QUEUE)))?;
    let parked = alone("stream_bench", Some((HOPS, "loop", OF_THE_PAIR)))?;
    let two_long = guest_ns(2, &users(2, "putnext_bench", Some((HOPS, "sink", OF_THE_PAIR))))?;
    let two_back = guest_ns(2, &users(2, "stream_bench", Some((HOPS, "loop", OF_THE_QUEUE))))?;
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
            back,
            500.0,
            format!(
                "allocated, written, read and freed, D_MTPERQ; {parked:.0} ns with D_MTQPAIR, where it parks at each module on its way back"
            ),
        ),
        scaling("messages down a stream each", long, two_long),
        scaling("messages through a stream each and back", back, two_back),
    ])
}

/// ns of a turn of this work alone on one CPU.
fn alone(work: &str, stream: Option<Stream>) -> Result<f64, RunError> {
    guest_ns(1, &users(1, work, stream))
}

/// A thread for each CPU that does this work, on a stream of its own if it needs one.
fn users(cpus: u32, work: &str, stream: Option<Stream>) -> String {
    let one = |cpu: u32| {
        let (stream, work) = match stream {
            None => (String::new(), format!("\"{work}\"")),
            Some((modules, driver, perimeter)) => {
                let list = vec!["\"pass\""; modules].join(", ");
                let stream = format!(
                    "[[stream]]\nname = \"s{cpu}\"\nmodules = [{list}]\ndriver = \"{driver}\"\nperimeter = \"{perimeter}\"\n"
                );
                (stream, format!("{{ {work} = {{ stream = \"s{cpu}\" }} }}"))
            }
        };
        stream + &thread(&format!("bench{cpu}"), "SYS", 60, cpu, 1, &work)
    };
    (0..cpus).map(one).collect()
}
