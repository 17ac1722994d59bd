//! `::str2mate`: the other end of a pipe.
//!
//! # Invariants
//! - A stream that is no end of a pipe has none, and nothing is printed.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::streams::{self, select};
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "str2mate",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "",
    about: "print mate of a given stream",
    help: "Prints the address of the stream at the other end of the pipe that the stream (stdata) at the address is an end of.",
    examples: &[("::stdata -f STRMATE | ::str2mate | ::stdata", "the other ends of pipes")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let mate = streams::stdata(view, call.address()?)?.n("sd_mate")?;
    Ok(select::addresses((mate != 0).then_some(mate)))
}
