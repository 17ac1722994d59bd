//! `::q2stream`: the stream that a queue belongs to.
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
    name: "q2stream",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "",
    about: "print stream pointer for a given queue",
    help: "Prints the address of the head (stdata) of the stream that the queue belongs to.",
    examples: &[("::queue -f QFULL | ::q2stream | ::stream", "the streams that are flow controlled")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    select::of_each_queue(view, call, |addr| streams::queue(view, addr)?.n("q_stream"))
}
