//! `::cpuinfo`: what runs and what waits on each CPU.
//!
//! # Invariants
//! - The picture is the one that reports show at a violation: the glass takes it, with each queue under its generation.
//! - Of a recording it is what the events by then tell, and what the last pass of the sampler saw stands beside it, not in it.

use umpire_record::{CpuScene, Scene};
use umpire_rows::{Column, Kind, Table, Value, number, printf};
use umpire_watch::cpuinfo;
use umpire_watch::glass::{CpuPicture, IntrRow, QueueRow};

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::recorded::{Recorded, exact_ms};
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
           -v  the flags by name, interrupts that are handled and what they pin, the threads that wait\n\
           Of a recording: how many threads wait, the level of the interrupt that is handled (INTR), the priority of what runs, the\n\
           flags (- where no event tells), the time since the last switch, what runs; all as it was at the moment of ::at.\n\
           -v  the threads that wait and for how long, and what the sampler's last pass by then saw",
    examples: &[("::cpuinfo -v", "everything"), ("1::cpuinfo -v", "CPU 1"), ("::walk cpu | ::cpuinfo", "from a pipe")],
    run: Run::Either(run, recorded),
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

fn recorded(recorded: &Recorded<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("v")?;
    options.none_left(call)?;
    let scene = recorded.scene();
    let wanted = |cpu: &&CpuScene| call.addr.is_none_or(|number| u64::from(cpu.cpu) == number);
    let lines: Vec<Line> = scene.cpus.iter().filter(wanted).map(|cpu| Line::of(recorded, &scene, cpu)).collect();
    if let (Some(number), []) = (call.addr, &lines[..]) {
        let cpus = scene.cpus.len();
        return Err(Failure::new(format!("no CPU has the number {number:#x}; there are {cpus}")));
    }
    let table = line_table();
    if !options.has('v') {
        return Ok(Answer::table(&table, &lines, |line| Some(line.cpu.into())));
    }
    let header = printf::header(&table);
    let row = |(n, line): (usize, Line)| {
        let gap = if n == 0 && call.index == 0 { "" } else { "\n" };
        let drawn = printf::row(&table, &line);
        let text = format!("{gap}{header}\n{drawn}{}{}", line.waiting_told(), line.pass);
        let data = table.record(&line).into_iter().chain([
            ("interrupts", line.handles.iter().map(|level| u64::from(*level)).collect()),
            ("queue", waiting_table().records(&line.queue)),
            ("pass", Value::Record(line.pass_data)),
        ]);
        Row { value: Some(line.cpu.into()), data: data.collect(), text }
    };
    Ok(Answer::rows(lines.into_iter().enumerate().map(row)))
}

/// A CPU of a recording.
struct Line {
    cpu: u32,
    handles: Vec<u8>,
    pri: Option<i64>,
    runrun: Option<bool>,
    kprunrun: Option<bool>,
    switch_ns: Option<u64>,
    thread: Option<u64>,
    proc: String,
    queue: Vec<Waiting>,
    /// What the sampler's last pass saw, in a line of its own.
    pass: String,
    pass_data: Vec<(&'static str, Value)>,
}

/// A thread on its queue.
struct Waiting {
    thread: u64,
    pri: Option<i64>,
    waited_ns: u64,
    proc: String,
}

impl Line {
    fn of(recorded: &Recorded<'_>, scene: &Scene, cpu: &CpuScene) -> Line {
        let pri = |thread: u64| scene.threads.get(&thread).and_then(|thread| thread.pri).map(i64::from);
        let runs = cpu.runs;
        let idles = runs.is_some_and(|thread| recorded.is_idle(thread));
        let queue = cpu.queue.iter().map(|&thread| {
            let since = scene.threads.get(&thread).and_then(|thread| thread.span).map(|span| span.from_ns);
            let waited_ns = scene.at_ns.saturating_sub(since.unwrap_or(scene.at_ns));
            Waiting { thread, pri: pri(thread), waited_ns, proc: recorded.proc(thread) }
        });
        let (pass, pass_data) = pass(recorded, scene, cpu.cpu);
        Line {
            cpu: cpu.cpu,
            handles: cpu.handles.clone(),
            pri: if idles { Some(-1) } else { runs.and_then(pri) },
            runrun: cpu.runrun,
            kprunrun: cpu.kprunrun,
            switch_ns: cpu.since_ns.map(|since| scene.at_ns.saturating_sub(since)),
            thread: runs,
            proc: runs.map_or_else(|| "-".to_owned(), |thread| recorded.proc(thread)),
            queue: queue.collect(),
            pass,
            pass_data,
        }
    }

    /// The threads that wait, below the line.
    fn waiting_told(&self) -> String {
        if self.queue.is_empty() {
            return String::new();
        }
        let table = waiting_table();
        let rows = self.queue.iter().map(|waiting| format!("\n{:13}{}", "", printf::row(&table, waiting)));
        format!("\n{:>7}\n{:>7}-->  {}{}", "|", "+", printf::header(&table), rows.collect::<String>())
    }
}

/// What the sampler's last pass by then saw of a CPU.
fn pass(recorded: &Recorded<'_>, scene: &Scene, cpu: u32) -> (String, Vec<(&'static str, Value)>) {
    let Some(sample) = &scene.sample else { return (String::new(), Vec::new()) };
    let mut said = Vec::new();
    let mut data = vec![("at_ns", sample.at_ns.into())];
    if let Some(stand) = scene.stand(cpu) {
        if let Some(thread) = stand.thread {
            let mode = if stand.is_user { " in user mode" } else { "" };
            said.push(format!("runs {} at {}{mode}", recorded.proc(thread), stand.dispatch_pri));
            if stand.preempt > 0 {
                said.push(format!("t_preempt {}", stand.preempt));
            }
        }
        data.push(("thread", stand.thread.into()));
        data.push(("dispatch_pri", i64::from(stand.dispatch_pri).into()));
        data.push(("is_user", stand.is_user.into()));
        data.push(("preempt", u64::from(stand.preempt).into()));
    }
    if let Some(queue) = scene.queue(cpu) {
        said.push(match queue.is_trusted {
            true => format!("{} on the queue, best {}", queue.nrunnable, queue.maxrunpri),
            false => "the queue changed while it was read".to_owned(),
        });
        data.push(("nrunnable", u64::from(queue.nrunnable).into()));
        data.push(("maxrunpri", i64::from(queue.maxrunpri).into()));
        data.push(("is_trusted", queue.is_trusted.into()));
    }
    if let Some(kpreemptpri) = sample.kpreemptpri {
        said.push(format!("kpreemptpri {kpreemptpri}"));
        data.push(("kpreemptpri", i64::from(kpreemptpri).into()));
    }
    (format!("\n    pass at {}: {}", exact_ms(sample.at_ns), said.join(", ")), data)
}

/// The columns of the line of a CPU of a recording.
fn line_table() -> Table<Line> {
    let flag = |flag: Option<bool>| flag.map_or("-", |is_set| if is_set { "yes" } else { "no" }).to_owned();
    let or_none = |n: Option<String>| n.unwrap_or_else(|| "-".to_owned());
    Table::nested(vec![
        Column::new("id", Kind::Count, |l: &Line| u64::from(l.cpu)).titled("ID", 3),
        Column::new("nrunnable", Kind::Count, |l: &Line| l.queue.len() as u64).titled("NRUN", 4),
        Column::new("intr", Kind::Count, |l: &Line| l.handles.last().map(|level| u64::from(*level)))
            .titled("INTR", 4)
            .worded(move |l| or_none(l.handles.last().map(u8::to_string))),
        Column::new("pri", Kind::Count, |l: &Line| l.pri)
            .titled("PRI", 3)
            .worded(move |l| or_none(l.pri.map(|pri| pri.to_string()))),
        Column::new("runrun", Kind::Flag, |l: &Line| l.runrun)
            .titled("RNRN", 4)
            .right()
            .worded(move |l| flag(l.runrun)),
        Column::new("kprunrun", Kind::Flag, |l: &Line| l.kprunrun)
            .titled("KRNRN", 5)
            .right()
            .worded(move |l| flag(l.kprunrun)),
        Column::new("switch_ns", Kind::Ns, |l: &Line| l.switch_ns)
            .titled("SWITCH", 8)
            .worded(move |l| or_none(l.switch_ns.map(|ns| format!("t-{}", number::rounded(ns))))),
        Column::new("thread", Kind::Count, |l: &Line| l.thread)
            .titled("THREAD", 6)
            .worded(move |l| or_none(l.thread.map(|thread| format!("{thread:x}")))),
        Column::new("proc", Kind::Text, |l: &Line| l.proc.clone()).titled("PROC", 4),
    ])
}

/// The columns of a thread that waits.
fn waiting_table() -> Table<Waiting> {
    Table::nested(vec![
        Column::new("pri", Kind::Count, |w: &Waiting| w.pri).titled("PRI", 3),
        Column::new("thread", Kind::Count, |w: &Waiting| w.thread)
            .titled("THREAD", 6)
            .worded(|w| format!("{:x}", w.thread)),
        Column::new("waited_ns", Kind::Ns, |w: &Waiting| w.waited_ns).titled("WAITED", 8),
        Column::new("proc", Kind::Text, |w: &Waiting| w.proc.clone()).titled("PROC", 4),
    ])
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
