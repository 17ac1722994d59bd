//! `::q2otherq`: the other queue of a queue's pair.
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
    name: "q2otherq",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "",
    about: "print other queue for a given queue",
    help: "Prints the address of the write queue for a read queue, and the other way round.",
    examples: &[("::queue -q | ::q2otherq | ::queue", "every write queue")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    select::of_each_queue(view, call, |addr| {
        let (pair, is_read) = streams::pair_of(view, addr)?;
        pair.get(if is_read { "qu_wqueue" } else { "qu_rqueue" }).map(|of| of.addr())
    })
}
