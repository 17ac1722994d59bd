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
    usage: "[-v]",
    about: "print most recent console messages",
    help: "Prints what the guest wrote to its console, a message a line, and how it panicked, if it did.\n\
           -v  with the time and the log of each: this console keeps neither",
    examples: &[("::msgbuf", "every message"), ("::msgbuf ! tail -5", "the last ones")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("v")?;
    options.none_left(call)?;
    let text = view.console()?;
    let panic = view.panic_line().filter(|line| !text.contains(line.as_str()));
    let row = |message: &str| {
        let text = if options.has('v') { format!("{:<20} {:>6} {message}", "-", "-") } else { message.to_owned() };
        Row { value: None, text, data: vec![("message", message.into())] }
    };
    let rows = text.lines().chain(panic.as_deref()).map(row).collect();
    let header = if options.has('v') { format!("{:<20} {:>6} MESSAGE", "TIMESTAMP", "LOGCTL") } else { "MESSAGE".to_owned() };
    Ok(Answer { header: Some(header), rows, ended: None })
}
