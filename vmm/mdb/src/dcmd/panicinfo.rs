//! `::panicinfo`: how the guest panicked.
//!
//! # Invariants
//! - A guest that has not panicked has nothing to show, and that is said.

use umpire_watch::glass::Asking;

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "panicinfo",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "",
    about: "print panic information",
    help: "Prints on which CPU the guest panicked, the thread that runs there, what it said, and the CPU's registers if they can be had.",
    examples: &[("::panicinfo", "how it panicked")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let panic = view.panic().ok_or_else(|| Failure::new("the guest has not panicked"))?;
    let cpus = kernel::cpus(view)?;
    let missing = || Failure::new(format!("there is no CPU {} to have panicked", panic.cpu));
    let cpu = cpus.addresses().nth(panic.cpu as usize).ok_or_else(missing)?;
    let thread = view.n(cpus.of, cpu, "cpu_thread")?;
    let row = |name: &'static str, text: String| {
        Row { value: None, text: format!("{name:>16} {text}"), data: vec![("name", name.into()), ("value", text.into())] }
    };
    let mut rows = vec![
        row("cpu", panic.cpu.to_string()),
        row("thread", format!("{thread:x}")).worth(thread),
        row("message", panic.message.clone()),
    ];
    if let Ok(all) = view.registers(panic.cpu as u32, Asking::Still) {
        rows.extend(all.named().map(|(name, value)| row(name, format!("{value:x}"))));
    }
    Ok(Answer::rows(rows))
}
