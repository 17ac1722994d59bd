//! `::dcmds`: every command.
//!
//! # Invariants
//! - It lists the table, and nothing else.

use super::{Address, DCMDS, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "dcmds",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "",
    about: "list available debugger commands",
    help: "Lists every command with what it does, in a line each.",
    examples: &[("::dcmds", "every command"), ("::dcmds ! grep thread", "those whose line has the word")],
    run: Run::View(run),
};

fn run(_: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let row = |dcmd: &&Dcmd| Row {
        value: None,
        text: format!("{:<24} - {}", dcmd.name, dcmd.about),
        data: vec![("name", dcmd.name.into()), ("usage", dcmd.synopsis().into()), ("about", dcmd.about.into())],
    };
    Ok(Answer::rows(DCMDS.iter().map(row)))
}
