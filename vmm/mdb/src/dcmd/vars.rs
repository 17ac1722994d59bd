//! `::vars`: the debugger's variables.
//!
//! # Invariants
//! - It lists what `<name` may read.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::{Failure, Meaning};
use crate::session::Session;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "vars",
    aliases: &["$v"],
    address: Address::None,
    takes_all: false,
    usage: "[-n]",
    about: "print listing of debugger variables",
    help: "Lists variables and their values: dot, those of adb, and those that `value > name` has made.\n\
           -n  only those that are not 0",
    examples: &[("::vars", "every variable"), ("0t99 > pri; ::vars -n", "after one has been set")],
    run: Run::Session(run),
};

fn run(session: &mut Session<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("n")?;
    options.none_left(call)?;
    let dot = session.dot();
    let all = std::iter::once((".", dot)).chain(session.variables());
    let row = |(name, value): (&str, u64)| Row {
        value: Some(value),
        text: format!("{name} = {value:x}"),
        data: vec![("name", name.into()), ("value", value.into())],
    };
    Ok(Answer::rows(all.filter(|(_, value)| *value != 0 || !options.has('n')).map(row)))
}
