//! `::dcmds`: every command.
//!
//! # Invariants
//! - It lists of the table what fits what is looked at, and nothing else.

use super::{Address, Dcmd, Run, fitting};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::session::Session;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "dcmds",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "",
    about: "list available debugger commands",
    help: "Lists every command that what is looked at can answer, with what it does, in a line each.",
    examples: &[("::dcmds", "every command"), ("::dcmds ! grep thread", "those whose line has the word")],
    run: Run::Session(run),
};

fn run(session: &mut Session<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let row = |dcmd: &Dcmd| Row {
        value: None,
        text: format!("{:<24} - {}", dcmd.name, dcmd.about),
        data: vec![("name", dcmd.name.into()), ("usage", dcmd.synopsis().into()), ("about", dcmd.about.into())],
    };
    Ok(Answer::rows(fitting(session.source()).map(row)))
}
