//! `::status`: what is looked at.
//!
//! # Invariants
//! - It reads the root object only; without a kernel it says so.
//! - Of a recording it says what it lacks, in a line for each.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::recorded::{Recorded, exact_ms};
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "status",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "",
    about: "print summary of current target",
    help: "Says what is looked at, how far the guest's clock has come, what is in it, and how it panicked, if it did.\n\
           Of a recording: of which run it is, what it holds and lacks, how the run ended, and the moment that is looked at.",
    examples: &[("::status", "what is looked at")],
    run: Run::Either(run, recorded),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let name = view.target().name();
    // What stands still for ever has no clocks.
    let what = match view.target().clocks() {
        Ok(_) => format!("debugging live kernel (64-bit) on {name}"),
        Err(_) => format!("debugging crash dump (64-bit) from {name}"),
    };
    let version = env!("CARGO_PKG_VERSION");
    let mut rows = vec![
        Row::line(what).with("target", name),
        Row::line(format!("operating system: umpire {version} ({name})")).with("version", version),
        Row::line("image uuid: (not set)"),
    ];
    match view.kernel() {
        Ok(kernel) => {
            let (lbolt, hz) = (kernel.n("lbolt")?, kernel.n("hz")?);
            let (cpus, threads) = (kernel::cpus(view)?.count, kernel::threads(view)?.count);
            let text = format!("kernel: {cpus} CPUs, room for {threads} threads, lbolt {lbolt} at {hz} Hz");
            rows.push(Row::line(text).with("cpus", cpus).with("threads", threads).with("lbolt", lbolt).with("hz", hz));
        }
        Err(failure) => rows.push(Row::line(format!("kernel: {failure}"))),
    }
    if let Some(panic) = view.panic() {
        let row = Row::line(format!("panic message: {}", panic.message));
        rows.push(row.with("panic_cpu", panic.cpu).with("panic_message", panic.message.as_str()));
    }
    Ok(Answer::rows(rows))
}

fn recorded(recorded: &Recorded<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let recording = recorded.recording();
    let header = &recording.header;
    let (first, last) = recording.interval();
    let seed = header.seed.map(|seed| format!(", seed {seed}")).unwrap_or_default();
    let (events, passes) = (recording.records.len() as u64, recording.samples.len() as u64);
    let (threads, cpus) = (recording.threads.len() as u64, u64::from(header.cpus));
    let mut rows = vec![
        Row::line(format!("debugging recording {}", recorded.name())).with("target", recorded.name()),
        Row::line(format!("operating system: umpire {} ({})", header.umpire, header.host))
            .with("version", header.umpire.as_str())
            .with("host", header.host.as_str()),
        Row::line(format!("run: {} {}{seed}: {cpus} CPUs, {threads} threads", header.scenario, header.variant))
            .with("scenario", header.scenario.as_str())
            .with("variant", header.variant.as_str())
            .with("seed", header.seed)
            .with("cpus", cpus)
            .with("threads", threads),
        Row::line(format!("span: {} to {}: {events} events, {passes} passes of the sampler", exact_ms(first), exact_ms(last)))
            .with("first_ns", first)
            .with("last_ns", last)
            .with("events", events)
            .with("passes", passes),
    ];
    let lacks = recording.lacks();
    match lacks.is_empty() {
        true => rows.push(Row::line("lacks: nothing")),
        false => rows.extend(lacks.iter().map(|what| Row::line(format!("lacks: {what}")).with("lacks", what.as_str()))),
    }
    if let Some(ending) = &recording.ending {
        let row = Row::line(format!("ended: {}, outcome {}", ending.observed, ending.outcome));
        rows.push(row.with("observed", ending.observed.as_str()).with("outcome", ending.outcome.as_str()));
    }
    let at = recorded.at_ns();
    rows.push(Row::line(format!("at: {} (::at stands at another moment)", exact_ms(at))).with("at_ns", at));
    Ok(Answer::rows(rows))
}
