//! `::cpuinfo`: what runs and what waits on each CPU.
//!
//! # Invariants
//! - The picture is the one that reports show at a violation: the glass takes it, with each queue under its generation.

use umpire_rows::{Column, Kind, Table};
use umpire_watch::cpuinfo;
use umpire_watch::glass::{CpuPicture, Needs, Picture, QueueRow};

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

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
    let seen = view.snapshot(Needs::default())?;
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
    let mut answer = Answer::table(&table, &picture.cpus, |cpu| Some(cpu.addr));
    if options.has('v') {
        answer.header = None;
        for (n, (row, cpu)) in answer.rows.iter_mut().zip(&picture.cpus).enumerate() {
            let one = Picture { cpus: vec![cpu.clone()], ..Picture::default() };
            let is_first = n == 0 && call.index == 0;
            row.text = format!("{}{}", if is_first { "" } else { "\n" }, cpuinfo::cpuinfo(&one).trim_end());
            row.data.extend(details(cpu));
        }
    }
    Ok(answer)
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

/// What -v shows beyond the line.
fn details(cpu: &CpuPicture) -> Vec<(&'static str, umpire_rows::Value)> {
    let queued = Table::nested(vec![
        Column::new("pri", Kind::Count, |q: &QueueRow| i64::from(q.pri)),
        Column::new("thread", Kind::Address, |q: &QueueRow| q.addr),
        Column::new("proc", Kind::Text, |q: &QueueRow| q.proc.clone()),
    ]);
    let intr = cpu.intr.iter().map(|row| Row::line("").with("pil", u64::from(row.pil)).with("thread", row.thread));
    let intr = intr.map(|row| umpire_rows::Value::Record(row.data[1..].to_vec()));
    vec![
        ("interrupts", umpire_rows::Value::List(intr.collect())),
        ("pinned", cpu.pinned.as_ref().map(|pinned| pinned.addr).into()),
        ("queue", queued.records(&cpu.queue)),
        ("queue_verdict", cpu.verdict.to_string().into()),
    ]
}
