//! `::thread`: threads, with the columns that are asked for.
//!
//! # Invariants
//! - A line is of one copy of the thread; of a recording, of what the events by the moment tell.

use umpire_record::{Scene, State, ThreadScene};
use umpire_rows::{Column, Kind, Table, number};
use umpire_shared::sys::msacct::lms;
use umpire_shared::sys::sobject::sobj;
use umpire_shared::sys::thread::ts;

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::object::Object;
use crate::recorded::Recorded;
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "thread",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-bdfimps]",
    about: "display a summarized kthread_t",
    help: "Prints a line for the thread at the address, or for every one that is not free.\n\
           -i  state, flags, priorities, interrupt (the default)      -b  what it waits for\n\
           -d  dispatcher: last run, binding, last switch             -p  process, LWP\n\
           -m  microstate, times it ran, work done, name              -s  class and its time left\n\
           -f  free threads too (without an address)\n\
           Of a recording it takes no options: number, state (- where no event tells), priority, class, binding, for how long it has\n\
           been so, name, where it runs or waits or what it sleeps on; all as it was at the moment of ::at.",
    examples: &[
        ("::thread", "every thread"),
        ("::walk cpu | ::print cpu_t cpu_thread | ::thread -d", "what runs, as the dispatcher sees it"),
        ("::thread -m", "with names"),
    ],
    run: Run::Either(run, recorded),
};

/// What any of the columns shows.
#[derive(Default)]
struct Line {
    addr: u64,
    state: String,
    flag: u64,
    schedflag: u64,
    pri: i64,
    epri: i64,
    pil: u64,
    intr: u64,
    disp_time: u64,
    bound: u64,
    preempt: u64,
    switch: u64,
    wchan: u64,
    ts: u64,
    pits: u64,
    sobj: String,
    ops: u64,
    proc: String,
    lwp: bool,
    name: String,
    mstate: String,
    runs: u64,
    progress: u64,
    class: String,
    timeleft: i64,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("bdfimps")?;
    options.none_left(call)?;
    let addrs = match call.addr {
        Some(addr) => vec![addr],
        None if options.has('f') => kernel::threads(view)?.addresses().collect(),
        None => walker::all(view, "thread")?,
    };
    let lbolt = kernel::lbolt(view)?;
    let rows = addrs.iter().map(|addr| line(&kernel::thread(view, *addr)?, lbolt)).collect::<Result<Vec<_>, _>>()?;
    let mut columns = vec![Column::new("addr", Kind::Address, |l: &Line| l.addr).titled("ADDR", 16)];
    let has_group = "bdmps".chars().any(|group| options.has(group));
    if options.has('i') || !has_group {
        columns.extend(state());
    }
    let groups = [('p', process()), ('d', dispatcher()), ('b', blocked()), ('s', class()), ('m', micro())];
    columns.extend(groups.into_iter().filter(|(group, _)| options.has(*group)).flat_map(|(_, more)| more));
    Ok(Answer::table(&Table::nested(columns), &rows, |line| Some(line.addr)))
}

fn recorded(recorded: &Recorded<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let scene = recorded.scene();
    let numbers = call.addr.map_or_else(|| scene.threads.keys().copied().collect(), |number| vec![number]);
    let played = |number: &u64| Ok(Played::of(recorded, &scene, *number, recorded.thread(&scene, *number)?));
    let rows = numbers.iter().map(played).collect::<Result<Vec<_>, Failure>>()?;
    Ok(Answer::table(&played_table(), &rows, |thread| Some(thread.number)))
}

/// A thread of a recording.
struct Played {
    number: u64,
    /// As `t_state` would have it; - where no event tells.
    state: &'static str,
    pri: Option<i64>,
    class: String,
    bound: Option<u32>,
    for_ns: Option<u64>,
    /// Where it runs or waits, or what it sleeps on.
    does: String,
    name: String,
}

impl Played {
    /// A thread as it was at a moment.
    fn of(recorded: &Recorded<'_>, scene: &Scene, number: u64, thread: ThreadScene) -> Played {
        let recording = recorded.recording();
        let known = recording.thread(number);
        let (state, does) = match thread.span.map(|span| (span.state, span.on)) {
            None => ("-", String::new()),
            Some((State::Running(cpu), _)) => ("onproc", format!("cpu {cpu}")),
            Some((State::Woken | State::Preempted, _)) => {
                let queue = match thread.queue {
                    Some(Some(cpu)) => format!("queue of cpu {cpu}"),
                    Some(None) => "kp queue".to_owned(),
                    None => "between queues".to_owned(),
                };
                ("run", queue)
            }
            Some((State::Asleep, on)) => ("sleep", recording.object(on)),
            Some((State::Capped, _)) => ("wait", "CPU cap".to_owned()),
            Some((State::Off, _)) => ("-", "off its cpu".to_owned()),
        };
        Played {
            number,
            state,
            pri: thread.pri.map(i64::from),
            class: known.map_or_else(String::new, |thread| thread.class.clone()),
            bound: known.and_then(|thread| thread.bound_cpu),
            for_ns: thread.span.map(|span| scene.at_ns.saturating_sub(span.from_ns)),
            does,
            name: recording.name(number),
        }
    }
}

fn played_table() -> Table<Played> {
    let or_none = |n: Option<String>| n.unwrap_or_else(|| "-".to_owned());
    Table::nested(vec![
        Column::new("thread", Kind::Count, |p: &Played| p.number).titled("THREAD", 6).worded(|p| format!("{:x}", p.number)),
        Column::new("state", Kind::Text, |p: &Played| p.state).titled("STATE", 8).right(),
        Column::new("pri", Kind::Count, |p: &Played| p.pri)
            .titled("PRI", 5)
            .worded(move |p| or_none(p.pri.map(|pri| pri.to_string()))),
        Column::new("class", Kind::Text, |p: &Played| p.class.clone()).titled("CLS", 4),
        Column::new("bound", Kind::Count, |p: &Played| p.bound.map(u64::from))
            .titled("BOUND", 5)
            .worded(move |p| or_none(p.bound.map(|cpu| cpu.to_string()))),
        Column::new("for_ns", Kind::Ns, |p: &Played| p.for_ns)
            .titled("FOR", 8)
            .worded(move |p| or_none(p.for_ns.map(number::rounded))),
        Column::new("name", Kind::Text, |p: &Played| p.name.clone()).titled("NAME", 20),
        Column::new("on", Kind::Text, |p: &Played| p.does.clone()).titled("ON", 2),
    ])
}

fn hex(key: &'static str, title: &'static str, width: usize, of: fn(&Line) -> u64) -> Column<Line> {
    Column::new(key, Kind::Count, move |l: &Line| of(l)).titled(title, width).worded(move |l| format!("{:x}", of(l)))
}

fn number(key: &'static str, title: &'static str, width: usize, of: fn(&Line) -> i64) -> Column<Line> {
    Column::new(key, Kind::Count, move |l: &Line| of(l)).titled(title, width)
}

fn text(key: &'static str, title: &'static str, width: usize, of: fn(&Line) -> &str) -> Column<Line> {
    Column::new(key, Kind::Text, move |l: &Line| of(l).to_owned()).titled(title, width)
}

fn state() -> Vec<Column<Line>> {
    let intr = Column::new("intr", Kind::Address, |l: &Line| Some(l.intr).filter(|intr| *intr != 0)).titled("INTR", 16);
    vec![
        text("state", "STATE", 8, |l| &l.state).right(),
        hex("flag", "FLG", 4, |l| l.flag),
        hex("procflag", "PFLG", 4, |_| 0),
        hex("schedflag", "SFLG", 4, |l| l.schedflag),
        number("pri", "PRI", 5, |l| l.pri),
        number("epri", "EPRI", 5, |l| l.epri),
        number("pil", "PIL", 3, |l| l.pil as i64),
        intr.right().worded(|l| if l.intr == 0 { "n/a".to_owned() } else { format!("{:x}", l.intr) }),
    ]
}

fn dispatcher() -> Vec<Column<Line>> {
    let bound = Column::new("bound", Kind::Address, |l: &Line| Some(l.bound).filter(|cpu| *cpu != 0)).titled("BOUND", 16);
    vec![
        hex("disp_time", "DISPTIME", 11, |l| l.disp_time),
        bound.right().worded(|l| format!("{:x}", l.bound)),
        number("preempt", "PR", 2, |l| l.preempt as i64),
        text("switch", "SWITCH", 6, |_| "").worded(|l| format!("t-{}", l.switch)),
    ]
}

fn blocked() -> Vec<Column<Line>> {
    vec![
        hex("wchan", "WCHAN", 16, |l| l.wchan),
        hex("ts", "TS", 16, |l| l.ts),
        hex("prioinv", "PITS", 16, |l| l.pits),
        text("sobj", "SOBJ", 6, |l| &l.sobj),
        hex("ops", "OPS", 16, |l| l.ops),
    ]
}

fn process() -> Vec<Column<Line>> {
    vec![
        text("proc", "PROC", 16, |l| &l.proc),
        text("lwp", "LWP", 3, |l| if l.lwp { "yes" } else { "no" }),
        text("cred", "CRED", 4, |_| "-"),
    ]
}

fn class() -> Vec<Column<Line>> {
    vec![text("class", "CLS", 4, |l| &l.class), number("timeleft", "TIMELEFT", 10, |l| l.timeleft)]
}

fn micro() -> Vec<Column<Line>> {
    vec![
        text("mstate", "MSTATE", 9, |l| &l.mstate),
        number("runs", "RUNS", 8, |l| l.runs as i64),
        number("progress", "PROGRESS", 10, |l| l.progress as i64),
        text("name", "NAME", 4, |l| &l.name),
    ]
}

fn line(t: &Object<'_>, lbolt: u64) -> Result<Line, Failure> {
    let state = t.n("t_state")?;
    let (weak, strong) = (t.n("t_weakbound_cpu")?, t.n("t_bound_cpu")?);
    let disp_time = t.n("t_disp_time")?;
    Ok(Line {
        addr: t.addr(),
        state: ts::NAMES.short(state).map_or_else(|| format!("?{state:x}"), str::to_ascii_lowercase),
        flag: t.n("t_flag")?,
        schedflag: t.n("t_schedflag")?,
        pri: t.signed("t_pri")?,
        epri: t.signed("t_epri")?,
        pil: t.n("t_pil")?,
        intr: t.n("t_intr")?,
        disp_time,
        bound: if weak == 0 { strong } else { weak },
        preempt: t.n("t_preempt")?,
        switch: lbolt.saturating_sub(disp_time),
        wchan: t.n("t_wchan")?,
        ts: t.n("t_ts")?,
        pits: t.n("t_prioinv")?,
        sobj: sobj::NAMES.short(t.n("t_sobj")?).unwrap_or("?").to_ascii_lowercase(),
        ops: t.n("t_sobj_ops")?,
        proc: kernel::proc_of(t)?,
        lwp: t.n("lwp_state")? != 0,
        name: t.text("t_name")?,
        mstate: lms::NAMES.short(t.n("t_mstate")?).unwrap_or("?").to_owned(),
        runs: t.n("t_runs")?,
        progress: t.n("t_progress")?,
        class: kernel::class_name(t.n("t_cid")?),
        timeleft: t.signed("t_cldata.ts_timeleft")?,
    })
}
