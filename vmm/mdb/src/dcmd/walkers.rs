//! `::walkers`: what `::walk` goes through.
//!
//! # Invariants
//! - It lists of the table what fits what is looked at, and nothing else.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::session::Session;
use crate::walker::{self, Walker};

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "walkers",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "",
    about: "list available walkers",
    help: "Lists what ::walk goes through, in a line each.",
    examples: &[("::walkers", "every walker")],
    run: Run::Session(run),
};

fn run(session: &mut Session<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let row = |walker: &Walker| Row {
        value: None,
        text: format!("{:<24} - {}", walker.name, walker.about),
        data: vec![("name", walker.name.into()), ("about", walker.about.into())],
    };
    Ok(Answer::rows(walker::fitting(session.source()).map(row)))
}
