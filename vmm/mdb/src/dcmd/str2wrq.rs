//! `::str2wrq`: the write queue of a stream head.
//!
//! # Invariants
//! - An address, as it is in the head.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::streams::{self, select};
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "str2wrq",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "",
    about: "print write queue of a given stream",
    help: "Prints the address of the write queue of the stream head (stdata) at the address.",
    examples: &[("::stdata -q | ::str2wrq | ::walk qnext | ::queue", "the write side of every stream")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    Ok(select::addresses([streams::stdata(view, call.address()?)?.n("sd_wrq")?]))
}
