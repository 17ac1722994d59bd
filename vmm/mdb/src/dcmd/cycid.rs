//! `::cycid`: where the cyclic of an id is.
//!
//! # Invariants
//! - An id that no cyclic has is not shown.

use umpire_rows::{Column, Kind, Table};

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::cyclics::Element;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "cycid",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "",
    about: "print where the cyclic of an id is",
    help: "Prints a line for each cyclic id (cyc_id_t) in use, or for the one at the address: the CPU that its cyclic is on, its slot\n\
           there, the cyclic, and what it runs. A cyclic that moves keeps its id. ::cyctrace has what its CPU did last, and\n\
           ::cycinfo -V what is pending.",
    examples: &[("::cycid", "every cyclic of the machine"), ("::cycid | ::cyclic", "with when each fires")],
    run: Run::View(run),
};

struct Line {
    addr: u64,
    cpu: u64,
    slot: u64,
    cyclic: u64,
    handler: String,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let ids = kernel::arena(view, "k_cyclic.cyclic_ids")?;
    let cpus = kernel::cpus(view)?;
    let mut rows = Vec::new();
    for addr in ids.addresses().filter(|addr| call.addr.is_none_or(|wanted| wanted == *addr)) {
        let id = view.object(ids.of, addr)?;
        let (cpu, slot) = (id.n("cyi_cpu")?, id.n("cyi_ndx")?);
        // 0 is free; a number that no CPU has is an id that is being given out.
        let Some(at) = cpu.checked_sub(1).and_then(|cpu| cpus.addresses().nth(cpu as usize)) else { continue };
        let cyclic = view.part(cpus.of, at, &format!("cpu_cyclic.cyp_cyclics[{slot}]"))?;
        let handler = Element::of(&cyclic, slot)?.runs();
        rows.push(Line { addr, cpu: cpu - 1, slot, cyclic: cyclic.addr(), handler });
    }
    if let (true, Some(addr)) = (rows.is_empty(), call.addr) {
        return Err(Failure::new(format!("no cyclic id in use is at {addr:#x}; ::cycid lists them")));
    }
    let table = Table::nested(vec![
        Column::new("addr", Kind::Address, |l: &Line| l.addr).titled("ADDR", 16).right(),
        Column::new("cpu", Kind::Count, |l: &Line| l.cpu).titled("CPU", 3),
        Column::new("index", Kind::Count, |l: &Line| l.slot).titled("NDX", 3),
        Column::new("cyclic", Kind::Address, |l: &Line| l.cyclic).titled("CYC_ADDR", 16).right(),
        Column::new("handler", Kind::Text, |l: &Line| l.handler.clone()).titled("HANDLER", 7),
    ]);
    // What goes on through a pipe is the cyclic: its id has been looked at.
    Ok(Answer::table(&table, &rows, |line| Some(line.cyclic)))
}
