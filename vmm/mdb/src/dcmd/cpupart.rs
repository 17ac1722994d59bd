//! `::cpupart`: the partitions, and what waits on their kp queues.
//!
//! # Invariants
//! - A kp queue is read under its generation.

use umpire_rows::{Column, Kind, Table};
use umpire_watch::glass::QueueRow;

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "cpupart",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-v]",
    about: "print cpu partition info",
    help: "Prints a line for each partition, or for the one at the address: how many threads wait on its kp queue, which holds what\n\
           is bound to no CPU and preempts the kernel, and its CPUs. ::cpuinfo does not show those threads.\n\
           -v  the threads that wait on the kp queue",
    examples: &[("::cpupart -v", "partitions with their queues")],
    run: Run::View(run),
};

struct Part {
    id: u64,
    addr: u64,
    nrunnable: u64,
    cpus: u64,
    queue: Vec<QueueRow>,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("v")?;
    options.none_left(call)?;
    let all = kernel::arena(view, "k_parts.parts")?;
    let seen = view.look()?;
    let mut rows = Vec::new();
    for (n, addr) in all.addresses().enumerate() {
        if call.addr.is_some_and(|wanted| wanted != addr) {
            continue;
        }
        let part = view.object(all.of, addr)?;
        let picture = view.glass().picture(&seen, &[], Some(n as u32), &[]);
        rows.push(Part {
            id: part.n("cp_id")?,
            addr,
            nrunnable: seen.kps.get(n).map_or(0, |queue| u64::from(queue.nrunnable)),
            cpus: part.n("cp_cpus")?,
            queue: picture.kp_queue.unwrap_or_default(),
        });
    }
    if rows.is_empty() {
        return Err(Failure::new("no partition is at that address; ::walk cpupart_walk lists them"));
    }
    let queued = Table::nested(vec![
        Column::new("pri", Kind::Count, |q: &QueueRow| i64::from(q.pri)),
        Column::new("thread", Kind::Address, |q: &QueueRow| q.addr),
        Column::new("proc", Kind::Text, |q: &QueueRow| q.proc.clone()),
    ]);
    let table = Table::nested(vec![
        Column::new("id", Kind::Count, |p: &Part| p.id).titled("ID", 4),
        Column::new("addr", Kind::Address, |p: &Part| p.addr).titled("ADDR", 16).right(),
        Column::new("nrunnable", Kind::Count, |p: &Part| p.nrunnable).titled("NRUN", 4),
        Column::new("ncpus", Kind::Count, |p: &Part| u64::from(p.cpus.count_ones())).titled("#CPU", 4),
        Column::new("cpus", Kind::Nested, |p: &Part| kernel::members(p.cpus).collect::<umpire_rows::Value>())
            .titled("CPUS", 4)
            .worded(|p| kernel::ranges(p.cpus)),
        Column::new("queue", Kind::Nested, move |p: &Part| queued.records(&p.queue)),
    ]);
    let mut answer = Answer::table(&table, &rows, |part| Some(part.addr));
    if options.has('v') {
        for (row, part) in answer.rows.iter_mut().zip(&rows) {
            row.text += &drawn(&part.queue);
        }
        let shown = seen.kps.iter().zip(all.addresses()).filter(|(_, addr)| rows.iter().any(|part| part.addr == *addr));
        answer.ended = shown.filter_map(|(queue, _)| walker::queue_fault(&seen, queue)).next();
    }
    Ok(answer)
}

/// The threads of a queue, as `::cpuinfo -v` draws them.
fn drawn(queue: &[QueueRow]) -> String {
    if queue.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{:23}|\n{:23}+-->  {:>3} {:<16} PROC", "", "", "PRI", "THREAD");
    queue.iter().for_each(|q| text += &format!("\n{:29}{:>3} {:016x} {}", "", q.pri, q.addr, q.proc));
    text
}
