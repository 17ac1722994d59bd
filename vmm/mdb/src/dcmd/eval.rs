//! `::eval`: a text as if it had been typed.
//!
//! # Invariants
//! - Texts within texts are bounded, and none runs the shell.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::session::Session;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "eval",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "command",
    about: "evaluate the specified command",
    help: "Carries out a text as if it had been typed, with dot as the value that came through the pipe. Quote what has blanks or\n\
           pipes in it.",
    examples: &[("::walk thread | ::eval '.::print kthread_t t_name'", "a command that takes dot as it likes")],
    run: Run::Session(run),
};

fn run(session: &mut Session<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let text = super::text_of(call)?;
    session.evaluated(&text)
}
