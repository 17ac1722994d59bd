//! `::kill`, `:k`: the run of the target ends.
//!
//! # Invariants
//! - The run is refereed to where it was: its report is of what was seen until then.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "kill",
    aliases: &[":k"],
    address: Address::None,
    takes_all: false,
    usage: "",
    about: "forcibly kill and release target",
    help: "Ends the run that the machine belongs to: `umpire run` reports what was seen until then.",
    examples: &[(":k", "end the run")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    view.control()?.end().map_err(|e| Failure::new(e.to_string()))?;
    Ok(Answer::default())
}
