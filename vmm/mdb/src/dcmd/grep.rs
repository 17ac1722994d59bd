//! `::grep`: the values of a pipe for which an expression is not 0.
//!
//! # Invariants
//! - Dot is the value.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::session::Session;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "grep",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "expression",
    about: "print dot if expression is true",
    help: "Lets those values through the pipe for which the expression, with dot as the value, is not 0.",
    examples: &[
        ("::walk thread | ::print kthread_t t_pri | ::grep .==0t99", "the priorities that are 99"),
        ("::walk thread | ::grep '*(.+20) != 0' | ::thread", "threads with a word that is not 0"),
    ],
    run: Run::Session(run),
};

fn run(session: &mut Session<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let value = call.address()?;
    let text = super::text_of(call)?;
    let holds = session.value_of(&text).map_err(|failure| Failure::new(failure.message))? != 0;
    Ok(Answer::addresses(holds.then_some(value)))
}
