//! `::q2wrq`: the write queue of a queue's pair.
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
    name: "q2wrq",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "",
    about: "print write queue for a given queue",
    help: "Prints the address of the write queue of the pair that the queue belongs to.",
    examples: &[("::queue -q | ::q2wrq | ::queue", "every write queue")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    select::of_each_queue(view, call, |addr| streams::pair_of(view, addr)?.0.get("qu_wqueue").map(|of| of.addr()))
}
