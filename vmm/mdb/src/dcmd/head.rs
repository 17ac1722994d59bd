//! `::head`: the first values of a pipe.
//!
//! # Invariants
//! - It looks at no value.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::session::Session;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "head",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "[-num] [-n num]",
    about: "limit number of elements in pipe",
    help: "Lets the first num values through the pipe, ten if no number is given. The number is decimal.",
    examples: &[("::walk thread | ::head -n 3 | ::thread", "three threads"), ("::walk thread | ::head -1", "one address")],
    run: Run::Session(run),
};

fn run(_: &mut Session<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let value = call.address()?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| call.misused(format!("`{text}` is no decimal number")));
    let most = match call.args {
        [] => 10,
        [one] if one.text.starts_with('-') && one.text != "-n" => number(&one.text[1..])?,
        [flag, one] if flag.text == "-n" => number(&one.text)?,
        _ => return Err(call.misused("it takes one number")),
    };
    Ok(Answer::addresses((call.index < most).then_some(value)))
}
