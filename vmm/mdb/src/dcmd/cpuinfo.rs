//! `::cpuinfo`: what runs and what waits on each CPU.
//!
//! # Invariants
//! - The picture is the one that reports show at a violation: the glass takes it, with each queue under its generation.

use umpire_rows::{Column, Kind, Table, Value};
use umpire_watch::cpuinfo;
use umpire_watch::glass::{CpuPicture, IntrRow, QueueRow};

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "cpuinfo",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-v]",
    about: "print CPUs and runnable threads",
    help: "Prints a line for each CPU, or for the one whose address or number is in front: its flags, how many threads wait on its run\n\
           queue (the kp queue is not counted: see ::cpupart), its base level, the priority of what runs, whether it is to preempt\n\
           user mode (RNRN) and the kernel (KRNRN), ticks since its last switch, what runs.\n\
           -v  the flags by name, interrupts that are handled and what they pin, the threads that wait",
    examples: &[("::cpuinfo -v", "everything"), ("1::cpuinfo -v", "CPU 1"), ("::walk cpu | ::cpuinfo", "from a pipe")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("v")?;
    options.none_left(call)?;
    let seen = view.look()?;
    let wanted: Vec<u32> = match call.addr {
        None => seen.cpus.iter().map(|cpu| cpu.id).collect(),
        Some(addr) => {
            let one = seen.cpus.iter().find(|cpu| cpu.addr == addr || u64::from(cpu.id) == addr);
            let missing = || Failure::new(format!("no CPU has the address or the number {addr:#x}; there are {}", seen.cpus.len()));
            vec![one.ok_or_else(missing)?.id]
        }
    };
    let picture = view.glass().picture(&seen, &wanted, None, &[]);
    let table = table();
    if !options.has('v') {
        return Ok(Answer::table(&table, &picture.cpus, |cpu| Some(cpu.addr)));
    }
    let row = |(n, cpu): (usize, CpuPicture)| {
        let (addr, drawn) = (cpu.addr, cpuinfo::cpu(&cpu));
        let gap = if n == 0 && call.index == 0 { "" } else { "\n" };
        let data = table.record(&cpu).into_iter().chain(details(cpu)).collect();
        Row { value: Some(addr), text: format!("{gap}{}", drawn.trim_end()), data }
    };
    let shown = seen.cpus.iter().filter(|cpu| wanted.contains(&cpu.id));
    let ended = shown.filter_map(|cpu| walker::queue_fault(&seen, &cpu.queue)).next();
    Ok(Answer::rows(picture.cpus.into_iter().enumerate().map(row)).ended(ended))
}

/// The columns of the line of a CPU.
fn table() -> Table<CpuPicture> {
    let yes_no = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
    Table::nested(vec![
        Column::new("id", Kind::Count, |c: &CpuPicture| u64::from(c.id)).titled("ID", 3),
        Column::new("addr", Kind::Address, |c: &CpuPicture| c.addr).titled("ADDR", 16),
        Column::new("flags", Kind::Count, |c: &CpuPicture| u64::from(c.flags))
            .titled("FLG", 3)
            .worded(|c| format!("{:x}", c.flags)),
        Column::new("nrunnable", Kind::Count, |c: &CpuPicture| u64::from(c.nrunnable)).titled("NRUN", 4),
        Column::new("base_spl", Kind::Count, |c: &CpuPicture| u64::from(c.base_spl)).titled("BSPL", 4),
        Column::new("pri", Kind::Count, |c: &CpuPicture| c.pri.map(i64::from)).titled("PRI", 3),
        Column::new("runrun", Kind::Flag, |c: &CpuPicture| c.runrun)
            .titled("RNRN", 4)
            .right()
            .worded(move |c| yes_no(c.runrun)),
        Column::new("kprunrun", Kind::Flag, |c: &CpuPicture| c.kprunrun)
            .titled("KRNRN", 5)
            .right()
            .worded(move |c| yes_no(c.kprunrun)),
        Column::new("switch_ticks", Kind::State, |c: &CpuPicture| c.switch_ticks)
            .titled("SWITCH", 6)
            .worded(|c| format!("t-{}", c.switch_ticks)),
        Column::new("thread", Kind::Address, |c: &CpuPicture| c.thread).titled("THREAD", 16),
        Column::new("proc", Kind::Text, kernel::proc_on).titled("PROC", 4),
    ])
}

/// What -v shows beyond the line. The threads that wait may be many, and people see them in the text.
fn details(cpu: CpuPicture) -> Vec<(&'static str, Value)> {
    let intr = |row: &IntrRow| {
        Value::Record(vec![("pil", u64::from(row.pil).into()), ("thread", row.thread.into())])
    };
    let queue = cpu.queue;
    vec![
        ("interrupts", Value::List(cpu.intr.iter().map(intr).collect())),
        ("pinned", cpu.pinned.map(|pinned| pinned.addr).into()),
        ("queue", Value::later(move || queued().records(&queue))),
        ("queue_verdict", cpu.verdict.to_string().into()),
    ]
}

/// The columns of a thread on a run queue.
fn queued() -> Table<QueueRow> {
    Table::nested(vec![
        Column::new("pri", Kind::Count, |q: &QueueRow| i64::from(q.pri)),
        Column::new("thread", Kind::Address, |q: &QueueRow| q.addr),
        Column::new("proc", Kind::Text, |q: &QueueRow| q.proc.clone()),
    ])
}
