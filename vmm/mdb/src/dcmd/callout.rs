//! `::callout`: what is to be called, and when.
//!
//! # Invariants
//! - Callouts that are free are not shown.

use umpire_rows::{Column, Kind, Table};

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::{Call, Options, Word};
use crate::callouts::{self, Callout};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "callout",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-r|n] [-x] [-T] [-C cpu] [-S seqid] [-a ns] [-b ns]",
    about: "display callouts, or callout tables",
    help: "Lists the callouts that are not free, or the one at the address: the CPU of its table (SEQ), the table's type (R realtime,\n\
           N normal), when it is due in ns after boot, its flags, its id, and what it does. Of the flags X says that it is being run;\n\
           H, A and L (hrestime, absolute, long) are no properties of this kernel's callouts.\n\
           -r  realtime ones only      -n  normal ones only      -x  those being run only\n\
           -C cpu  of one CPU's tables          -S seqid  of one table: cpu_id << 1 | type, decimal\n\
           -b ns   due before this time         -a ns     due after it, decimal\n\
           -T  the tables instead: what each counts",
    examples: &[("::callout", "every callout"), ("::callout -r", "realtime ones"), ("::callout -T", "the tables")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("rnxTC:S:a:b:")?;
    options.none_left(call)?;
    let chosen = Chosen::of(&options, call)?;
    if options.has('T') {
        return tables(view, call, &chosen);
    }
    let mut rows = match call.addr {
        Some(addr) => {
            let one = callouts::at(view, kernel::arena(view, "k_callout.callouts")?, addr)?;
            one.into_iter().collect()
        }
        None => callouts::in_use(view, None)?,
    };
    rows.retain(|c| chosen.takes(c.table) && chosen.takes_time(c.expires) && (c.is_executing || !options.has('x')));
    rows.sort_by_key(|c| (c.cpu(), !c.is_realtime(), c.expires, c.order));
    let table = Table::nested(vec![
        Column::new("addr", Kind::Address, |c: &Callout| c.addr),
        Column::new("cpu", Kind::Count, Callout::cpu).titled("SEQ", 3),
        Column::new("type", Kind::State, |c: &Callout| kind(c.is_realtime())).titled("T", 1),
        Column::new("expiration_ns", Kind::Ns, |c: &Callout| c.expires)
            .titled("EXP", 14)
            .worded(|c| format!("{:<14}", c.expires)),
        Column::new("flags", Kind::Text, |c: &Callout| if c.is_executing { "X" } else { "" }).titled("XHAL", 4),
        Column::new("id", Kind::Text, |c: &Callout| c.id).titled("XID", 16).worded(|c| format!("{:x}", c.id)),
        Column::new("function", Kind::Text, |c: &Callout| c.does.clone()).titled("FUNC(ARG)", 9),
    ]);
    Ok(Answer::table(&table, &rows, |c| Some(c.addr)))
}

fn kind(is_realtime: bool) -> &'static str {
    if is_realtime { "R" } else { "N" }
}

/// Which tables and times are asked for.
struct Chosen {
    realtime: bool,
    normal: bool,
    cpu: Option<u64>,
    table: Option<u64>,
    before: Option<u64>,
    after: Option<u64>,
}

impl Chosen {
    fn of(options: &Options<'_>, call: &Call<'_>) -> Result<Chosen, Failure> {
        let number = |flag: char| options.argument(flag).map(|word| decimal(word, call)).transpose();
        Ok(Chosen {
            realtime: options.has('r') || !options.has('n'),
            normal: options.has('n') || !options.has('r'),
            cpu: number('C')?,
            table: number('S')?,
            before: number('b')?,
            after: number('a')?,
        })
    }

    fn takes(&self, table: u64) -> bool {
        let is_kind = if callouts::is_realtime(table) { self.realtime } else { self.normal };
        is_kind && self.cpu.is_none_or(|cpu| cpu == table >> 1) && self.table.is_none_or(|t| t == table)
    }

    fn takes_time(&self, ns: u64) -> bool {
        self.before.is_none_or(|limit| ns < limit) && self.after.is_none_or(|limit| ns > limit)
    }
}

fn decimal(word: &Word, call: &Call<'_>) -> Result<u64, Failure> {
    let value = word.value.or_else(|| word.text.parse().ok());
    value.ok_or_else(|| call.misused_at(&word.at, format!("`{}` is no decimal number", word.text)))
}

/// A table and what it counts, as the kstat `unix:N:callout` does.
struct Counted {
    addr: u64,
    number: u64,
    pending: u64,
    made: u64,
    run: u64,
    taken_back: u64,
    due: Option<u64>,
}

fn tables(view: &View<'_>, call: &Call<'_>, chosen: &Chosen) -> Result<Answer, Failure> {
    let all = kernel::arena(view, "k_callout.callout_tables")?;
    let waiting = callouts::in_use(view, None)?;
    let mut rows = Vec::new();
    for addr in all.addresses().filter(|addr| call.addr.is_none_or(|wanted| wanted == *addr)) {
        let t = view.object(all.of, addr)?;
        let number = t.n("ct_number")?;
        if !chosen.takes(number) {
            continue;
        }
        let taken = ["unexpired", "executing"].map(|when| t.n(&format!("callout_untimeouts_{when}")));
        let [unexpired, executing] = taken;
        rows.push(Counted {
            addr,
            number,
            pending: t.n("callout_timeouts_pending")?,
            made: t.n("callout_timeouts")?,
            run: t.n("callout_expirations")?,
            taken_back: unexpired?.wrapping_add(executing?),
            due: waiting.iter().filter(|c| c.table == number).map(|c| c.expires).min(),
        });
    }
    if let (true, Some(addr)) = (rows.is_empty(), call.addr) {
        return Err(Failure::new(format!("no callout table begins at {addr:#x}; ::walk callout_table lists them")));
    }
    let table = Table::nested(vec![
        Column::new("addr", Kind::Address, |t: &Counted| t.addr).titled("ADDR", 16),
        Column::new("seqid", Kind::Count, |t: &Counted| t.number).titled("SEQ", 3),
        Column::new("type", Kind::State, |t: &Counted| kind(callouts::is_realtime(t.number))).titled("T", 1),
        Column::new("cpu", Kind::Count, |t: &Counted| t.number >> 1).titled("CPU", 3),
        Column::new("pending", Kind::Count, |t: &Counted| t.pending).titled("PEND", 5),
        Column::new("timeouts", Kind::Count, |t: &Counted| t.made).titled("TIMEOUTS", 8),
        Column::new("expirations", Kind::Count, |t: &Counted| t.run).titled("EXPIRED", 8),
        Column::new("untimeouts", Kind::Count, |t: &Counted| t.taken_back).titled("UNTIMED", 8),
        Column::new("first_ns", Kind::Ns, |t: &Counted| t.due)
            .titled("FIRST", 14)
            .worded(|t| t.due.map_or_else(|| "-".to_owned(), |due| due.to_string())),
    ]);
    Ok(Answer::table(&table, &rows, |t| Some(t.addr)))
}
