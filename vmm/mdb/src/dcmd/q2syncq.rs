//! `::q2syncq`: the perimeter of a queue.
//!
//! # Invariants
//! - An address a line; without an address, those of every read queue in use.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::streams::{self, select};
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "q2syncq",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "",
    about: "print syncq for a given queue",
    help: "Prints the address of the inner perimeter that the queue uses.",
    examples: &[("::queue -m bufmod | ::q2syncq | ::syncq -v", "the perimeters of a module")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    select::of_each_queue(view, call, |addr| streams::queue(view, addr)?.n("q_syncq"))
}
