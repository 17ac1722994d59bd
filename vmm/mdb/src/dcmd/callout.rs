//! `::callout`: what is to be called, and when.
//!
//! # Invariants
//! - Callouts that are free are not shown.

use umpire_rows::{Column, Kind, Table};

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "callout",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-rnx]",
    about: "display callout table",
    help: "Lists the callouts that are not free, or the one at the address: the CPU of its table (SEQ) and the table's type (R realtime,\n\
           N normal), when it is due in ns after boot, X if it is being run, its number and use, and what it does.\n\
           -r  realtime ones only      -n  normal ones only      -x  those being run only",
    examples: &[("::callout", "every callout"), ("::callout -r", "realtime ones")],
    run: Run::View(run),
};

/// What a callout does by `c_func`; others are those of the scenario's threads.
const WAKES: u64 = 0;

struct Line {
    addr: u64,
    cpu: u64,
    kind: &'static str,
    expires: u64,
    flags: String,
    id: u64,
    does: String,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("rnx")?;
    options.none_left(call)?;
    let all = kernel::arena(view, "k_callout.callouts")?;
    let addrs: Vec<u64> = match call.addr {
        Some(addr) => vec![addr],
        None => all.addresses().collect(),
    };
    let mut rows = Vec::new();
    for addr in addrs {
        let n = all.index_of(addr).ok_or_else(|| Failure::new(format!("no callout begins at {addr:#x}")))?;
        let c = view.object(all.of, addr)?;
        let (state, table, func, arg) = (c.n("c_state")?, c.n("c_table")?, c.n("c_func")?, c.n("c_arg")?);
        let (is_realtime, is_executing) = (table & 1 == 0, state == 3);
        let is_wanted = state != 0
            && (!options.has('r') || is_realtime)
            && (!options.has('n') || !is_realtime)
            && (!options.has('x') || is_executing);
        if !is_wanted {
            continue;
        }
        let does = match func {
            WAKES => {
                let threads = kernel::threads(view)?;
                let name = threads.addresses().nth(n as usize).map(|t| view.object(threads.of, t)?.text("t_name"));
                format!("setrun({})", name.transpose()?.unwrap_or_default())
            }
            other => format!("call {other}({arg:x})"),
        };
        let flags = if is_executing { "X" } else { "" }.to_owned();
        let (cpu, kind) = (table >> 1, if is_realtime { "R" } else { "N" });
        rows.push(Line { addr, cpu, kind, expires: c.n("c_expiration")?, flags, id: c.n("c_gen")? << 32 | n, does });
    }
    rows.sort_by_key(|line| (line.cpu, line.kind, line.expires));
    let table = Table::nested(vec![
        Column::new("addr", Kind::Address, |l: &Line| l.addr),
        Column::new("cpu", Kind::Count, |l: &Line| l.cpu).titled("SEQ", 3),
        Column::new("type", Kind::State, |l: &Line| l.kind).titled("T", 1),
        Column::new("expiration_ns", Kind::Ns, |l: &Line| l.expires).titled("EXP", 14).worded(|l| l.expires.to_string()),
        Column::new("flags", Kind::Text, |l: &Line| l.flags.clone()).titled("XHAL", 4),
        Column::new("id", Kind::Text, |l: &Line| l.id).titled("XID", 16).worded(|l| format!("{:x}", l.id)),
        Column::new("function", Kind::Text, |l: &Line| l.does.clone()).titled("FUNC(ARG)", 9),
    ]);
    Ok(Answer::table(&table, &rows, |line| Some(line.addr)))
}
