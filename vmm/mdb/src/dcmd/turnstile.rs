//! `::turnstile`: turnstiles, and what is inherited through them.
//!
//! # Invariants
//! - A line is of one copy of the turnstile.

use umpire_rows::{Column, Kind, Table};

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "turnstile",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "",
    about: "display a turnstile",
    help: "Prints a line for the turnstile at the address, or for every one in use: the lock, how many threads wait for it, the\n\
           priority that its owner inherits, that owner, and the next turnstile that the same owner inherits from.",
    examples: &[("::turnstile", "every turnstile in use"), ("::walk turnstile | ::turnstile", "the same")],
    run: Run::View(run),
};

struct Line {
    addr: u64,
    sobj: u64,
    waiters: u64,
    epri: i64,
    inheritor: u64,
    prioinv: u64,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let addrs = walker::at_or_all(view, call, "turnstile")?;
    let line = |addr: &u64| {
        let ts = view.at("Turnstile", *addr)?;
        Ok(Line {
            addr: *addr,
            sobj: ts.n("ts_sobj")?,
            waiters: ts.n("ts_waiters")?,
            epri: ts.signed("ts_epri")?,
            inheritor: ts.n("ts_inheritor")?,
            prioinv: ts.n("ts_prioinv")?,
        })
    };
    let rows = addrs.iter().map(line).collect::<Result<Vec<_>, Failure>>()?;
    let hex = |key, title, of: fn(&Line) -> u64| {
        Column::new(key, Kind::Count, move |l: &Line| of(l)).titled(title, 16).worded(move |l| format!("{:x}", of(l)))
    };
    let table = Table::nested(vec![
        Column::new("addr", Kind::Address, |l: &Line| l.addr).titled("ADDR", 16).right(),
        hex("sobj", "SOBJ", |l| l.sobj),
        Column::new("waiters", Kind::Count, |l: &Line| l.waiters).titled("WTRS", 5),
        Column::new("epri", Kind::Count, |l: &Line| l.epri).titled("EPRI", 4),
        hex("inheritor", "ITOR", |l| l.inheritor),
        hex("prioinv", "PRIOINV", |l| l.prioinv),
    ]);
    Ok(Answer::table(&table, &rows, |line| Some(line.addr)))
}
