//! `::dmods`: where commands and walkers come from.
//!
//! # Invariants
//! - There is one module: all commands are built in, those that mdb has in `genunix` and its kind as well.

use super::{Address, Dcmd, Run, fitting};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::session::Session;
use crate::walker;

/// The one module.
const MODULE: &str = "umpire";

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "dmods",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "[-l] [module]",
    about: "list debugger modules",
    help: "Lists the debugger's modules. There is one, which is built in: nothing is loaded, and every command is at hand.\n\
           -l  its commands and walkers",
    examples: &[("::dmods", "the module"), ("::dmods -l ! head -4", "what is in it")],
    run: Run::Session(run),
};

fn run(session: &mut Session<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("l")?;
    if let Some(other) = options.rest.iter().find(|word| word.text != MODULE) {
        return Err(Failure::at(other.at.clone(), format!("there is no module {}; ::dmods lists them", other.text)));
    }
    let row = |kind: &'static str, name: &str, text: String| {
        Row::line(text).with("module", MODULE).with("kind", kind).with("name", name)
    };
    let mut rows = vec![row("module", MODULE, MODULE.to_owned())];
    if options.has('l') {
        rows.extend(fitting(session.source()).map(|d| row("dcmd", d.name, format!("  dcmd {:<20} - {}", d.name, d.about))));
        rows.extend(walker::fitting(session.source()).map(|w| row("walker", w.name, format!("  walker {:<18} - {}", w.name, w.about))));
    }
    Ok(Answer::rows(rows))
}
