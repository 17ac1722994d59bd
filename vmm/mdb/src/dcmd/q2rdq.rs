//! `::q2rdq`: the read queue of a queue's pair.
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
    name: "q2rdq",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "",
    about: "print read queue for a given queue",
    help: "Prints the address of the read queue of the pair that the queue belongs to.",
    examples: &[("::queue -q | ::q2wrq | ::q2rdq", "there and back")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    select::of_each_queue(view, call, |addr| streams::pair_of(view, addr)?.0.get("qu_rqueue").map(|of| of.addr()))
}
