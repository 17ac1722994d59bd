//! `::umpire`: what the referee has found.
//!
//! # Invariants
//! - It shows what the run that led here has found, and judges nothing itself.

use umpire_watch::glass::{Needs, Place};

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "umpire",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "",
    about: "print the referee's verdicts, and how reads go",
    help: "Prints what the referee found in the run that led here: each bound with its worst case, and the sentences that say why.\n\
           Then what one pass of the sampler sees now: each run queue, how many threads wait there, and whether it could be read\n\
           consistently.",
    examples: &[("::umpire", "the verdicts")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let mut rows = view.verdicts();
    if rows.is_empty() {
        rows.push(Row::line("no run has led here: there are no verdicts"));
    }
    for (place, queue) in view.snapshot(Needs::default())?.queues() {
        let text = format!("{place}: {} runnable, read {}", queue.nrunnable, queue.verdict);
        let cpu = match place {
            Place::Cpu(cpu) => Some(u64::from(cpu)),
            Place::Part(_) => None,
        };
        let row = Row::line(text).with("cpu", cpu).with("nrunnable", u64::from(queue.nrunnable));
        rows.push(row.with("queue_verdict", queue.verdict.to_string()));
    }
    Ok(Answer::rows(rows))
}
