//! `::squeue`: serialisation queues.
//!
//! # Invariants
//! - Columns are mdb's.

use umpire_shared::sys::squeue::sqs;

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::network;
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "squeue",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-v]",
    about: "print squeue_t",
    help: "Prints the squeue at the address, or every one: its state (hexadecimal), the CPU that its worker is bound to (-1: none), the\n\
           first and the last packet that wait in it, and its worker.\n\
           -v  the names of the bits of its state",
    examples: &[
        ("::squeue", "every squeue"),
        ("::squeue -v", "and who has it"),
        ("::squeue | ::print squeue_t sq_worker | ::findstack", "where its worker is"),
    ],
    run: Run::View(run),
};

/// Column to which `-v` indents names: a pointer and nine more.
const NAMES_COLUMN: usize = 2 * 8 + 9;

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("v")?;
    options.none_left(call)?;
    let addrs = walker::at_or_all(view, call, "squeue_cache")?;
    if call.is_piped_out {
        return Ok(Answer::addresses(addrs));
    }
    let header = format!("{:>16} {:<5} {:<3} {:>16} {:>16} {:>16}", "ADDR", "STATE", "CPU", "FIRST", "LAST", "WORKER");
    let mut answer = Answer { header: Some(header), ..Answer::default() };
    for addr in addrs {
        let sq = network::squeue(view, addr)?;
        let (state, cpu) = (sq.n("sq_state")?, sq.signed("sq_bind")?);
        let (first, last, worker) = (sq.n("sq_first")?, sq.n("sq_last")?, sq.n("sq_worker")?);
        let mut text = format!("{addr:016x} {state:05x} {cpu:>3} {first:016x} {last:016x} {worker:016x}");
        if options.has('v') {
            text += &network::names(sqs::NAMES, state, NAMES_COLUMN);
        }
        let data = vec![
            ("addr", addr.into()),
            ("name", sq.text("sq_name")?.into()),
            ("state", state.into()),
            ("cpu", cpu.into()),
            ("first", first.into()),
            ("last", last.into()),
            ("worker", worker.into()),
            ("count", sq.n("sq_count")?.into()),
            ("processed", sq.n("sq_processed")?.into()),
            ("dropped", sq.n("sq_dropped")?.into()),
        ];
        answer.rows.push(Row { value: Some(addr), text, data });
    }
    Ok(answer)
}
