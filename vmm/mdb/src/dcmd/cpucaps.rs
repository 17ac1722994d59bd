//! `::cpucaps`: caps on what projects and zones have of the CPUs.
//!
//! # Invariants
//! - Usage and caps are per cent of one CPU, as `prctl` has them; the kernel keeps ns that decay by one per cent a tick.

use umpire_rows::{Column, Kind, Table};

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::caps::{self, Cap};
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "cpucaps",
    aliases: &["cpucap"],
    address: Address::Optional,
    takes_all: false,
    usage: "[-v]",
    about: "print CPU caps of projects and zones",
    help: "Prints a line for each CPU cap that is set, or for the one at the address: whose it is, the cap, the present and the\n\
           greatest usage (per cent of one CPU), the ticks at which usage was below it and those at which it was not, and how many\n\
           threads wait.\n\
           -v  which threads wait",
    examples: &[("::cpucaps", "every cap"), ("::walk cpucap | ::cpucaps -v", "with the threads that wait")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("v")?;
    options.none_left(call)?;
    let mut rows = caps::all(view)?;
    rows.retain(|cap| call.addr.map_or(cap.cap_ns != 0, |addr| addr == cap.addr));
    if let (true, Some(addr)) = (rows.is_empty(), call.addr) {
        return Err(Failure::new(format!("no CPU cap is at {addr:#x}; ::walk cpucap lists those that are set")));
    }
    let percent = |key, title, of: fn(&Cap) -> u64| {
        Column::new(key, Kind::Percent, move |c: &Cap| c.percent(of(c)))
            .titled(title, 6)
            .worded(move |c| c.percent(of(c)).to_string())
    };
    let table = Table::nested(vec![
        Column::new("addr", Kind::Address, |c: &Cap| c.addr).titled("ADDR", 16).right(),
        Column::new("kind", Kind::State, |c: &Cap| c.kind).titled("KIND", 7),
        Column::new("id", Kind::Count, |c: &Cap| c.id).titled("ID", 3),
        percent("cap_percent", "CAP%", |c| c.cap_ns),
        percent("usage_percent", "USAGE%", |c| c.usage_ns),
        percent("max_usage_percent", "MAX%", |c| c.max_usage_ns),
        Column::new("below_ticks", Kind::Count, |c: &Cap| c.below).titled("BELOW", 7),
        Column::new("above_ticks", Kind::Count, |c: &Cap| c.above).titled("ABOVE", 7),
        Column::new("nwait", Kind::Count, |c: &Cap| c.waiting).titled("NWAIT", 5),
    ]);
    let mut answer = Answer::table(&table, &rows, |cap| Some(cap.addr));
    if options.has('v') {
        for (row, cap) in answer.rows.iter_mut().zip(&rows) {
            let waiters = cap.waiters(view)?;
            answer.ended = answer.ended.or(waiters.ended);
            waiters.threads.iter().for_each(|(addr, name)| row.text += &format!("\n{:>23} {addr:016x} {name}", "+-->"));
        }
    }
    Ok(answer)
}
