//! `::map`: each value of a pipe replaced by what an expression makes of it.
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
    name: "map",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "expression",
    about: "print dot after evaluating expression",
    help: "Gives what the expression is worth, with dot as the value that came through the pipe.",
    examples: &[("::walk cpu | ::map *(.+20)", "a word of each CPU"), ("::walk thread | ::map .+1", "each address and one")],
    run: Run::Session(run),
};

fn run(session: &mut Session<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.address()?;
    let text = super::text_of(call)?;
    let value = session.value_of(&text).map_err(|failure| Failure::new(failure.message))?;
    Ok(Answer::addresses([value]))
}
