//! `::lgrp`: locality groups, as the partitions have them.
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
use crate::walker;

/// Fraction bits of `lpl_loadavg`.
const FRACTION_BITS: u32 = 16;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "lgrp",
    aliases: &["lpl"],
    address: Address::Optional,
    takes_all: false,
    usage: "[-q]",
    about: "display locality groups",
    help: "Prints a line for each locality group in each partition, or for the one (lpl_t) at the address: its number (0 is the root,\n\
           a leaf's is its place plus one), its partition, the threads a CPU that were runnable there lately, its CPUs that are\n\
           online, how many threads have their home there, and the group that holds it.\n\
           -q  the addresses only",
    examples: &[("::lgrp", "every group"), ("::walk cpu | ::print cpu_t cpu_lpl | ::lgrp", "that of each CPU")],
    run: Run::View(run),
};

struct Group {
    addr: u64,
    id: u64,
    part: u64,
    load: u64,
    cpus: u64,
    homes: u64,
    parent: u64,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("q")?;
    options.none_left(call)?;
    let all = kernel::arena(view, "k_lgrp.lpls")?;
    let parts = kernel::arena(view, "k_parts.parts")?.count.max(1);
    let mut homes = Vec::new();
    for thread in walker::all(view, "thread")? {
        homes.push(view.at("Kthread", thread)?.n("t_lpl")?);
    }
    let mut rows = Vec::new();
    for (addr, n) in all.addresses().zip(0..).filter(|(addr, _)| call.addr.is_none_or(|wanted| wanted == *addr)) {
        let lpl = view.object(all.of, addr)?;
        rows.push(Group {
            addr,
            id: lpl.n("lpl_lgrpid")?,
            part: n / (all.count / parts).max(1),
            load: lpl.n("lpl_loadavg")?,
            cpus: lpl.n("lpl_cpus")?,
            homes: homes.iter().filter(|home| **home == addr).count() as u64,
            parent: lpl.n("lpl_parent")?,
        });
    }
    if let (true, Some(addr)) = (rows.is_empty(), call.addr) {
        return Err(Failure::new(format!("no locality group is at {addr:#x}; ::walk lgrptbl lists them")));
    }
    if options.has('q') {
        return Ok(Answer::addresses(rows.iter().map(|group| group.addr)));
    }
    let load = |g: &Group| g.load as f64 / f64::from(1 << FRACTION_BITS);
    let table = Table::nested(vec![
        Column::new("addr", Kind::Address, |g: &Group| g.addr).titled("ADDR", 16).right(),
        Column::new("lgrpid", Kind::Count, |g: &Group| g.id).titled("LGRPID", 6),
        Column::new("psrsetid", Kind::Count, |g: &Group| g.part).titled("PSRSETID", 8),
        Column::new("load", Kind::Measured, load).titled("LOAD", 6).worded(move |g| format!("{:.2}", load(g))),
        Column::new("ncpus", Kind::Count, |g: &Group| u64::from(g.cpus.count_ones())).titled("#CPU", 4),
        Column::new("homes", Kind::Count, |g: &Group| g.homes).titled("#HOME", 5),
        Column::new("parent", Kind::Address, |g: &Group| Some(g.parent).filter(|addr| *addr != 0))
            .titled("PARENT", 16)
            .right(),
        Column::new("cpus", Kind::Nested, |g: &Group| kernel::members(g.cpus).collect::<umpire_rows::Value>())
            .titled("CPUS", 4)
            .worded(|g| kernel::ranges(g.cpus)),
    ]);
    Ok(Answer::table(&table, &rows, |group| Some(group.addr)))
}
