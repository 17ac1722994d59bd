//! `::psrset`: processor sets, and the threads that are bound to them.
//!
//! # Invariants
//! - The default partition is no processor set.

use umpire_rows::{Column, Kind, Table};

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "psrset",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "",
    about: "print processor sets",
    help: "Prints a line for each processor set: its CPUs, which of them are online, and how many threads are bound to it. CPUs and\n\
           threads of no set are in the default partition; ::cpupart shows that one too, and what waits for its CPUs.",
    examples: &[("::psrset", "every processor set"), ("::psrset | ::cpupart -v", "with what waits there")],
    run: Run::View(run),
};

struct Set {
    id: u64,
    addr: u64,
    cpus: u64,
    online: u64,
    threads: u64,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let parts = kernel::arena(view, "k_parts.parts")?;
    let mut rows = Vec::new();
    for addr in parts.addresses().skip(1) {
        let part = view.object(parts.of, addr)?;
        rows.push(Set { id: part.n("cp_id")?, addr, cpus: part.n("cp_cpus")?, online: part.n("cp_onln")?, threads: 0 });
    }
    for addr in walker::all(view, "thread")? {
        let part = view.at("Kthread", addr)?.n("t_cpupart")?;
        if let Some(set) = rows.iter_mut().find(|set| set.addr == part) {
            set.threads += 1;
        }
    }
    let table = Table::nested(vec![
        Column::new("id", Kind::Count, |s: &Set| s.id).titled("ID", 4),
        Column::new("addr", Kind::Address, |s: &Set| s.addr).titled("ADDR", 16).right(),
        Column::new("ncpus", Kind::Count, |s: &Set| u64::from(s.cpus.count_ones())).titled("#CPU", 4),
        Column::new("nthreads", Kind::Count, |s: &Set| s.threads).titled("#THR", 4),
        Column::new("cpus", Kind::Nested, |s: &Set| kernel::members(s.cpus).collect::<umpire_rows::Value>())
            .titled("CPUS", 8)
            .worded(|s| kernel::ranges(s.cpus)),
        Column::new("online", Kind::Nested, |s: &Set| kernel::members(s.online).collect::<umpire_rows::Value>())
            .titled("ONLINE", 6)
            .worded(|s| kernel::ranges(s.online)),
    ]);
    Ok(Answer::table(&table, &rows, |set| Some(set.addr)))
}
