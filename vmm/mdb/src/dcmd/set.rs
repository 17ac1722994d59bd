//! `::set`: how the session behaves.
//!
//! # Invariants
//! - What can be set is listed by `::set` alone.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::session::Session;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "set",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "[-o option] [+o option] [-P prompt]",
    about: "get/set debugger properties",
    help: "Without arguments it prints what is set.\n\
           -o repeatlast  an empty line repeats the last command where it left dot     +o repeatlast  it does nothing\n\
           -P prompt      what the debugger asks with",
    examples: &[("::set", "what is set"), ("::set -o repeatlast", "an empty line repeats the last command")],
    run: Run::Session(run),
};

fn run(session: &mut Session<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let mut words = call.args;
    if words.is_empty() {
        let (repeats, prompt) = (session.repeats_last(), session.prompt().to_owned());
        let options = if repeats { "repeatlast" } else { "none" };
        return Ok(Answer::rows([
            Row::line(format!("command prompt: \"{prompt}\"")).with("prompt", prompt),
            Row::line(format!("options: {options}")).with("repeatlast", repeats),
        ]));
    }
    while let [flag, value, rest @ ..] = words {
        match (flag.text.as_str(), value.text.as_str()) {
            ("-o", "repeatlast") => session.set_repeats_last(true),
            ("+o", "repeatlast") => session.set_repeats_last(false),
            ("-P", prompt) => session.set_prompt(prompt),
            ("-o" | "+o", other) => {
                return Err(call.misused_at(&value.at, format!("there is no option `{other}`; there is: repeatlast")));
            }
            (other, _) => return Err(call.misused_at(&flag.at, format!("illegal option -- {other}"))),
        }
        words = rest;
    }
    match words {
        [] => Ok(Answer::default()),
        [alone, ..] => Err(call.misused_at(&alone.at, format!("{} requires an argument", alone.text))),
    }
}
