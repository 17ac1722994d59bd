//! `::cont`, `:c`: what was stopped goes on.
//!
//! # Invariants
//! - It says what stands still then.

use super::stop::{cpu_of, told};
use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "cont",
    aliases: &[":c"],
    address: Address::None,
    takes_all: false,
    usage: "[-c cpu]",
    about: "continue target execution",
    help: "Lets every CPU go on, whoever stopped it: an inspector, or `umpire run --hold`. A run that was held at its end is over then.\n\
           Leaving the debugger does not let go what the run holds, but what this debugger stopped.\n\
           -c  only this CPU",
    examples: &[(":c", "all go on"), ("::cont -c 1", "CPU 1 goes on")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let cpu = cpu_of(call)?;
    let control = view.control()?;
    control.go(cpu).map_err(|e| Failure::new(e.to_string()))?;
    // A run that was held at its end may be gone already.
    Ok(Answer::rows(control.stopped().ok().map(told)))
}
