//! `::cyctrace`: what the CPUs' cyclics did last.
//!
//! # Invariants
//! - A line is one copy of a record; the guest may be writing the next one meanwhile.

use umpire_rows::{Column, Kind, Table};
use umpire_shared::sys::cyclic::why;

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::cyctrace;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "cyctrace",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "",
    about: "print cyclic trace buffer",
    help: "Prints a line for the record at the address, or for all that the CPUs keep, each CPU's oldest first: when it was written\n\
           (gethrtime, hexadecimal), on which CPU, what was done, and with what. FIRE: the timer fired, which was armed for ARG0.\n\
           EXPIRE: slot ARG0, due at ARG1, is run at the high level. POST: slot ARG0 is owed ARG1 calls. SOFTINT: slot ARG0 is\n\
           called, and owed ARG1 calls. REPROGRAM: slot ARG0 is due at ARG1. ARM: the timer is armed for ARG0.\n\
           A guest keeps records only if the tunable cyc_trace was set at boot: umpire run ID --set cyc_trace=1.",
    examples: &[("::cyctrace", "every record"), ("::walk cyctrace | ::cyctrace", "the same")],
    run: Run::View(run),
};

struct Line {
    addr: u64,
    at_ns: u64,
    cpu: u64,
    why: &'static str,
    arg0: u64,
    arg1: u64,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let buffers = cyctrace::buffers(view)?;
    let addrs = match call.addr {
        Some(addr) => vec![addr],
        None => buffers.iter().flat_map(cyctrace::Buffer::records).collect(),
    };
    let line = |addr: &u64| {
        let missing = || Failure::new(format!("no record of the cyclic trace is at {addr:#x}; ::walk cyctrace lists them"));
        let buffer = buffers.iter().find(|buffer| buffer.all.index_of(*addr).is_some()).ok_or_else(missing)?;
        let record = view.object(buffer.all.of, *addr)?;
        Ok(Line {
            addr: *addr,
            at_ns: record.n("cyt_tstamp")?,
            cpu: buffer.cpu,
            why: why::NAMES.short(record.n("cyt_why")?).unwrap_or("???"),
            arg0: record.n("cyt_arg0")?,
            arg1: record.n("cyt_arg1")?,
        })
    };
    let rows = addrs.iter().map(line).collect::<Result<Vec<_>, Failure>>()?;
    let hex = |key, title, of: fn(&Line) -> u64| {
        Column::new(key, Kind::Count, move |l: &Line| of(l)).titled(title, 16).worded(move |l| format!("{:x}", of(l)))
    };
    let table = Table::nested(vec![
        Column::new("at_ns", Kind::Ns, |l: &Line| l.at_ns).titled("TIMESTAMP", 16).worded(|l| format!("{:x}", l.at_ns)),
        Column::new("cpu", Kind::Count, |l: &Line| l.cpu).titled("CPU", 3),
        Column::new("why", Kind::State, |l: &Line| l.why).titled("WHY", 9),
        hex("arg0", "ARG0", |l| l.arg0),
        hex("arg1", "ARG1", |l| l.arg1),
    ]);
    Ok(Answer::table(&table, &rows, |line| Some(line.addr)))
}
