//! `::msgbuf`: what the guest wrote to its console.
//!
//! # Invariants
//! - Everything since the target was first looked at is shown, each time.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "msgbuf",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "",
    about: "print most recent console messages",
    help: "Prints what the guest wrote to its console, a message a line.",
    examples: &[("::msgbuf", "every message"), ("::msgbuf ! tail -5", "the last ones")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let text = view.console()?;
    let rows = text.lines().map(Row::line).collect();
    Ok(Answer { header: Some("MESSAGE".to_owned()), rows, ended: None })
}
