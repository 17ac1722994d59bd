//! `::regs`: the registers of a CPU.
//!
//! # Invariants
//! - A target that has none to show says why; nothing is made up.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "regs",
    aliases: &["$r"],
    address: Address::None,
    takes_all: false,
    usage: "[-k] [-c cpu]",
    about: "print general purpose registers",
    help: "Prints the registers of a CPU, of CPU 0 if none is named. A CPU that runs has them in the hardware, and the simulator has\n\
           none. An expression reads one as <rip: of CPU 0, or of the CPU whose number is in the variable cpu.\n\
           -k  kick a CPU that runs out of the guest for the time of one read",
    examples: &[("::regs -c 1", "those of CPU 1"), ("$r", "those of CPU 0"), ("1>cpu; ::regs; <rip=p", "those of CPU 1, and where it is, as an expression")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("kc:")?;
    options.none_left(call)?;
    let cpu = match options.argument('c') {
        Some(word) => word.text.parse().map_err(|_| call.misused_at(&word.at, "-c takes the number of a CPU"))?,
        None => 0,
    };
    let registers = view.registers(cpu, options.whom())?;
    let row = |(name, value): (&'static str, u64)| {
        let symbol = if name == "rip" { view.name_of(value) } else { None };
        let text = match &symbol {
            Some(symbol) => format!("%{name:<6} = {value:#018x} {symbol}"),
            None => format!("%{name:<6} = {value:#018x}"),
        };
        Row {
            value: Some(value),
            text,
            data: vec![
                ("cpu", u64::from(cpu).into()),
                ("register", name.into()),
                ("value", value.into()),
                ("name", symbol.into()),
            ],
        }
    };
    Ok(Answer::rows(registers.named().map(row)))
}
