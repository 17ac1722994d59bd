//! `::stop`, `:s`: the target stands still.
//!
//! # Invariants
//! - It says what stands still then.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "stop",
    aliases: &[":s"],
    address: Address::None,
    takes_all: false,
    usage: "[-c cpu]",
    about: "stop target execution",
    help: "Takes every CPU out of the guest, where it stays until ::cont, or until this debugger is left. While all stand still the\n\
           guest's time does too, and nobody is charged with it; one CPU that stands still alone is like one that its host does not\n\
           run. Registers and stacks of what stands still can be had without -k.\n\
           -c  only this CPU",
    examples: &[(":s", "all stand still"), ("::stop -c 1", "CPU 1 stands still")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let cpu = cpu_of(call)?;
    let control = view.control()?;
    let failed = |e: umpire_watch::glass::ControlError| Failure::new(e.to_string());
    control.stop(cpu).map_err(failed)?;
    Ok(Answer::rows([told(control.stopped().map_err(failed)?)]))
}

/// The CPU behind `-c`.
pub(super) fn cpu_of(call: &Call<'_>) -> Result<Option<u32>, Failure> {
    let options = call.options("c:")?;
    options.none_left(call)?;
    let number = |word: &crate::call::Word| {
        word.text.parse().map_err(|_| call.misused_at(&word.at, "-c takes the number of a CPU"))
    };
    options.argument('c').map(number).transpose()
}

/// Which CPUs stand still.
pub(super) fn told(stopped: Vec<bool>) -> Row {
    let still: Vec<String> = (0..).zip(&stopped).filter(|(_, s)| **s).map(|(n, _): (u32, _)| n.to_string()).collect();
    let text = match still.len() {
        0 => "every CPU runs".to_owned(),
        n if n == stopped.len() => "every CPU stands still".to_owned(),
        1 => format!("CPU {} stands still", still[0]),
        _ => format!("CPUs {} stand still", still.join(", ")),
    };
    Row::line(text).with("stopped", still.len() as u64).with("cpus", stopped.len() as u64)
}
