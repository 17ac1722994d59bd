//! `::pg`: processor groups: the CPUs that share a chip or a core.
//!
//! # Invariants
//! - A line is of one copy of the group.

use umpire_rows::{Column, Kind, Table};

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// Values of `pg_hw` (`sys/pghw.h`).
const HARDWARE: &[(u64, &str)] = &[(1, "ipipe"), (5, "chip")];

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "pg",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-q]",
    about: "display processor groups",
    help: "Prints a line for each processor group, or for the one at the address: the number of the chip or core, what its CPUs share\n\
           (chip: a cache, ipipe: a pipeline), its CPUs, and how many of them are not idle: what the dispatcher balances.\n\
           -q  the addresses only",
    examples: &[("::pg", "every group"), ("::walk pg | ::pg", "the same, through a pipe")],
    run: Run::View(run),
};

struct Group {
    addr: u64,
    id: u64,
    hardware: u64,
    cpus: u64,
    busy: u64,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("q")?;
    options.none_left(call)?;
    let all = kernel::arena(view, "k_cmt.pgs")?;
    let mut rows = Vec::new();
    for addr in all.addresses().filter(|addr| call.addr.is_none_or(|wanted| wanted == *addr)) {
        let pg = view.object(all.of, addr)?;
        rows.push(Group {
            addr,
            id: pg.n("pg_id")?,
            hardware: pg.n("pg_hw")?,
            cpus: pg.n("pg_cpus")?,
            busy: pg.n("cmt_utilization")?,
        });
    }
    if let (true, Some(addr)) = (rows.is_empty(), call.addr) {
        return Err(Failure::new(format!("no processor group is at {addr:#x}; ::walk pg lists them")));
    }
    if options.has('q') {
        return Ok(Answer::addresses(rows.iter().map(|group| group.addr)));
    }
    let hardware = |g: &Group| HARDWARE.iter().find(|(n, _)| *n == g.hardware).map_or("?", |(_, name)| name);
    let table = Table::nested(vec![
        Column::new("pgid", Kind::Count, |g: &Group| g.id).titled("PGID", 6),
        Column::new("addr", Kind::Address, |g: &Group| g.addr).titled("ADDR", 16).right(),
        Column::new("hardware", Kind::State, hardware).titled("HARDWARE", 9).right(),
        Column::new("ncpus", Kind::Count, |g: &Group| u64::from(g.cpus.count_ones())).titled("#CPUs", 5),
        Column::new("utilization", Kind::Count, |g: &Group| g.busy).titled("UTIL", 4),
        Column::new("cpus", Kind::Nested, |g: &Group| kernel::members(g.cpus).collect::<umpire_rows::Value>())
            .titled("CPUS", 4)
            .worded(|g| kernel::ranges(g.cpus)),
    ]);
    Ok(Answer::table(&table, &rows, |group| Some(group.addr)))
}
