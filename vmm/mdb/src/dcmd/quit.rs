//! `::quit`: the session is over.
//!
//! # Invariants
//! - What stands behind it on the line is still carried out: it says that no more is to be read.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::session::Session;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "quit",
    aliases: &["$q"],
    address: Address::None,
    takes_all: false,
    usage: "",
    about: "quit debugger",
    help: "Ends the session; so does the end of the input.",
    examples: &[("::quit", "leave"), ("$q", "the same")],
    run: Run::Session(run),
};

fn run(session: &mut Session<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    session.end();
    Ok(Answer::default())
}
