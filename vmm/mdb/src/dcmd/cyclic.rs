//! `::cyclic`: one cyclic.
//!
//! # Invariants
//! - The line is of one copy of the cyclic.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::cyclics::{self, Element};
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "cyclic",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "",
    about: "developer information for a cyclic",
    help: "Prints the cyclic at the address: its level, how many calls it is owed, when it fires in ns after boot (hexadecimal), its\n\
           interval in us, and what it runs. ::cycinfo -v has the addresses.",
    examples: &[("::walk cpu | ::print -a cpu_t cpu_cyclic.cyp_cyclics[0] | ::cyclic", "the first of each CPU")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let addr = call.address()?;
    call.no_arguments()?;
    let one = Element::of(&view.at("Cyclic", addr)?, 0)?;
    Ok(Answer::table(&cyclics::table(), &[one], |one| Some(one.addr)))
}
