//! `::status`: what is looked at.
//!
//! # Invariants
//! - It reads the root object only; without a kernel it says so.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "status",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "",
    about: "print summary of current target",
    help: "Says what is looked at, how far the guest's clock has come, what is in it, and how it panicked, if it did.",
    examples: &[("::status", "what is looked at")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let name = view.target().name();
    // What stands still for ever has no clocks.
    let what = match view.target().clocks() {
        Ok(_) => format!("debugging live kernel (64-bit) on {name}"),
        Err(_) => format!("debugging crash dump (64-bit) from {name}"),
    };
    let version = env!("CARGO_PKG_VERSION");
    let mut rows = vec![
        Row::line(what).with("target", name),
        Row::line(format!("operating system: umpire {version} ({name})")).with("version", version),
        Row::line("image uuid: (not set)"),
    ];
    match view.kernel() {
        Ok(kernel) => {
            let (lbolt, hz) = (kernel.n("lbolt")?, kernel.n("hz")?);
            let (cpus, threads) = (kernel::cpus(view)?.count, kernel::threads(view)?.count);
            let text = format!("kernel: {cpus} CPUs, room for {threads} threads, lbolt {lbolt} at {hz} Hz");
            rows.push(Row::line(text).with("cpus", cpus).with("threads", threads).with("lbolt", lbolt).with("hz", hz));
        }
        Err(failure) => rows.push(Row::line(format!("kernel: {failure}"))),
    }
    if let Some(panic) = view.panic() {
        let row = Row::line(format!("panic message: {}", panic.message));
        rows.push(row.with("panic_cpu", panic.cpu).with("panic_message", panic.message.as_str()));
    }
    Ok(Answer::rows(rows))
}
