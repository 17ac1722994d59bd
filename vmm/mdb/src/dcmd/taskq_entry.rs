//! `::taskq_entry`: what a task is.
//!
//! # Invariants
//! - It prints any entry that it is given, one that carries no task as well.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "taskq_entry",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "",
    about: "what a task calls, and with what",
    help: "Prints the entry at the address: its argument, and the function that it calls.",
    examples: &[("::taskq -a | ::walk taskq_entry | ::taskq_entry", "every task that waits in a queue")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let addr = call.address()?;
    call.no_arguments()?;
    let entry = view.at("TaskqEnt", addr)?;
    let (arg, func) = (entry.n("tqent_arg")?, entry.n("tqent_funcpc")?);
    let shown = view.name_of(func).unwrap_or_else(|| format!("{func:#x}"));
    let header = format!("{:<16} {:<16} FUNCTION", "ENTRY", "ARG");
    let data = vec![("entry", addr.into()), ("arg", arg.into()), ("function", shown.as_str().into())];
    let row = Row { value: Some(addr), text: format!("{addr:<16x} {arg:<16x} {shown}"), data };
    Ok(Answer { header: Some(header), rows: vec![row], ended: None })
}
