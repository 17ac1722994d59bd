//! `prstat`: where the time of processes and LWPs goes (`prstat.c`).
//!
//! # Invariants
//! - Of the microstates each is a share of the time since the answer before, or since the LWP was created. LAT is the time for which it
//!   was runnable and had no CPU.
//! - Threads that idle, stand in for interrupts or pause CPUs are left out: they want no CPU.

use umpire_rows::{Column, Kind, Table};
use umpire_shared::sys::msacct::lms;

use super::{Moment, Tool, no_operands};
use crate::answer::{Answer, Row};
use crate::call::{Call, Options};
use crate::lang::Failure;
use crate::procs::Thread;

/// The tool.
pub(super) static TOOL: Tool = Tool {
    name: "prstat",
    usage: "[-cLm] [-n count] [-s cpu|time|pri] [interval [count]]",
    about: "Print where the time of processes goes",
    help: "  -L  a line an LWP, not a line a process       -m  its microstates, in per cent\n\
           \x20 -n  so many lines                             -s  what goes first: cpu (the default), time, pri\n\
           \x20 -c  new answers below older ones: they always are",
    letters: "cLmn:s:",
    repeats: true,
    between: "",
    check: |call| asked(call).map(drop),
    run,
};

/// A process or an LWP, between two moments.
#[derive(Debug, Clone)]
struct Line {
    thread: Thread,
    lwps: u64,
    /// ns between the moments that each microstate took.
    spent: [u64; lms::COUNT],
    vcx: u64,
    icx: u64,
    is_lwp: bool,
    /// ns for which the machine could have given it all of every CPU.
    whole: u64,
}

impl Line {
    fn ran(&self) -> u64 {
        [lms::USER, lms::SYSTEM, lms::TRAP].iter().map(|&s| self.spent[usize::from(s)]).sum()
    }

    /// The share of its time that went to these microstates, in per cent.
    fn share(&self, states: &[u8]) -> f64 {
        let total = self.spent.iter().sum::<u64>().max(1) as f64;
        states.iter().map(|&s| self.spent[usize::from(s)]).sum::<u64>() as f64 * 100.0 / total
    }

    fn cpu(&self) -> f64 {
        self.ran() as f64 * 100.0 / self.whole.max(1) as f64
    }

    fn process(&self) -> String {
        let name = if self.thread.pid == 0 && self.is_lwp { &self.thread.name } else { &self.thread.proc };
        match self.is_lwp {
            true => format!("{name}/{}", self.thread.lwpid()),
            false => format!("{name}/{}", self.lwps),
        }
    }
}

/// Columns of microstates: key, heading, the states that they add up.
const STATES: [(&str, &str, &[u8]); 8] = [
    ("usr_percent", "USR", &[lms::USER]),
    ("sys_percent", "SYS", &[lms::SYSTEM]),
    ("trp_percent", "TRP", &[lms::TRAP]),
    ("tfl_percent", "TFL", &[lms::TFAULT]),
    ("dfl_percent", "DFL", &[lms::DFAULT, lms::KFAULT]),
    ("lck_percent", "LCK", &[lms::USER_LOCK]),
    ("slp_percent", "SLP", &[lms::SLEEP, lms::STOPPED]),
    ("lat_percent", "LAT", &[lms::WAIT_CPU]),
];

/// What lines are sorted by, the greatest first.
#[derive(Debug, Clone, Copy)]
enum Key {
    Cpu,
    Time,
    Pri,
}

/// The options, how many lines are wanted, and their order.
fn asked<'c>(call: &Call<'c>) -> Result<(Options<'c>, usize, Key), Failure> {
    let (options, operands, _) = TOOL.read(call)?;
    no_operands(&operands, call)?;
    let most = match options.argument('n') {
        None => usize::MAX,
        Some(word) => word.text.parse().map_err(|_| call.misused_at(&word.at, "-n takes a number of lines"))?,
    };
    let key = match options.argument('s').map(|word| (word, word.text.as_str())) {
        None | Some((_, "cpu")) => Key::Cpu,
        Some((_, "time")) => Key::Time,
        Some((_, "pri")) => Key::Pri,
        Some((word, key)) => {
            return Err(call.misused_at(&word.at, format!("there is no sort key `{key}`: cpu, time, pri")));
        }
    };
    Ok((options, most, key))
}

fn run(moment: &Moment<'_, '_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let (options, most, key) = asked(call)?;
    let mut lines = lines(moment, options.has('L'));
    let (processes, lwps) = (count(&lines), lines.iter().map(|line| line.lwps).sum::<u64>());
    match key {
        Key::Cpu => lines.sort_by_key(|line| std::cmp::Reverse(line.ran())),
        Key::Time => lines.sort_by_key(|line| std::cmp::Reverse(line.thread.ran_ns())),
        Key::Pri => lines.sort_by_key(|line| std::cmp::Reverse(line.thread.pri)),
    }
    lines.truncate(most);
    let mut columns = vec![
        Column::new("pid", Kind::Count, |l: &Line| l.thread.pid).titled("PID", 6),
        Column::new("username", Kind::Text, |_: &Line| "root").titled("USERNAME", 8),
    ];
    columns.extend(if options.has('m') { microstates() } else { usual() });
    let title = match (options.has('L'), options.has('m')) {
        (true, true) => "PROCESS/LWPID",
        (true, false) => "PROCESS/LWP",
        _ => "PROCESS/NLWP",
    };
    columns.push(Column::new("process", Kind::Text, Line::process).titled(title, title.len()));
    columns.extend([
        Column::new("lwp", Kind::Count, |l: &Line| l.is_lwp.then(|| l.thread.lwpid())),
        Column::new("name", Kind::Text, |l: &Line| l.thread.name.clone()),
        Column::new("ran_ns", Kind::Ns, Line::ran),
    ]);
    let mut answer = Answer::table(&Table::nested(columns), &lines, |line| Some(line.thread.addr));
    answer.rows.push(total(moment, processes, lwps));
    Ok(answer)
}

fn usual() -> Vec<Column<Line>> {
    let time = |l: &Line| {
        let seconds = l.thread.ran_ns() / 1_000_000_000;
        format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    };
    let state = |l: &Line| match (l.thread.letter(), l.thread.cpu) {
        ('O', Some(cpu)) => format!("cpu{cpu}"),
        ('S', _) => "sleep".to_owned(),
        ('R', _) => "run".to_owned(),
        ('Z', _) => "zombie".to_owned(),
        ('T', _) => "stop".to_owned(),
        ('W', _) => "wait".to_owned(),
        _ => "?".to_owned(),
    };
    vec![
        Column::new("size_bytes", Kind::Bytes, |_: &Line| 0_u64).titled("SIZE", 5).worded(|_| "0K".to_owned()),
        Column::new("rss_bytes", Kind::Bytes, |_: &Line| 0_u64).titled("RSS", 5).worded(|_| "0K".to_owned()),
        Column::new("state", Kind::State, state).titled("STATE", 6),
        Column::new("pri", Kind::Count, |l: &Line| l.thread.pri.max(l.thread.epri)).titled("PRI", 3),
        Column::new("nice", Kind::Count, |_: &Line| None::<u64>).titled("NICE", 4),
        Column::new("time", Kind::Text, time).titled("TIME", 9).right(),
        Column::new("cpu_percent", Kind::Measured, Line::cpu).titled("CPU", 4).worded(|l| format!("{}%", three(l.cpu()))),
    ]
}

fn microstates() -> Vec<Column<Line>> {
    let mut columns: Vec<Column<Line>> = Vec::new();
    for (key, title, states) in STATES {
        let share = move |l: &Line| l.share(states);
        columns.push(Column::new(key, Kind::Measured, share).titled(title, 3).worded(move |l| three(share(l))));
    }
    columns.extend([
        Column::new("vcx", Kind::Count, |l: &Line| l.vcx).titled("VCX", 3).worded(|l| short(l.vcx)),
        Column::new("icx", Kind::Count, |l: &Line| l.icx).titled("ICX", 3).worded(|l| short(l.icx)),
        // System calls are counted a CPU, not an LWP; signals do not exist.
        Column::new("scl", Kind::Count, |_: &Line| None::<u64>).titled("SCL", 3),
        Column::new("sig", Kind::Count, |_: &Line| 0_u64).titled("SIG", 3),
    ]);
    columns
}

/// Per cent in three characters: `0.1`, `12`, `100`.
fn three(percent: f64) -> String {
    if percent < 9.95 { format!("{percent:.1}") } else { format!("{percent:.0}") }
}

/// A count in three or four characters: `999`, `12K`, `3M`.
fn short(count: u64) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{}K", count / 1_000),
        _ => format!("{}M", count / 1_000_000),
    }
}

fn lines(moment: &Moment<'_, '_>, by_lwp: bool) -> Vec<Line> {
    let cpus = moment.now.kstat("unix", 0, "system_misc").map_or(1, |misc| misc.number("ncpus")).max(1);
    let since = moment.before.map_or(0, |before| before.now_ns);
    let whole = moment.now.now_ns.saturating_sub(since) * cpus;
    let mut lines: Vec<Line> = Vec::new();
    for thread in moment.now.threads.iter().filter(|thread| thread.is_worker()) {
        let old = moment.before.and_then(|before| before.threads.iter().find(|old| old.addr == thread.addr));
        let grown = |now: u64, of: fn(&Thread) -> u64| now.saturating_sub(old.map_or(0, of));
        let mut spent = thread.acct;
        if let Some(old) = old {
            spent.iter_mut().zip(old.acct).for_each(|(ns, before)| *ns = ns.saturating_sub(before));
        }
        let (vcx, icx) = (grown(thread.nvcsw, |t| t.nvcsw), grown(thread.nivcsw, |t| t.nivcsw));
        let line = Line { thread: thread.clone(), lwps: 1, spent, vcx, icx, is_lwp: by_lwp, whole };
        match lines.iter_mut().find(|other| !by_lwp && other.thread.pid == line.thread.pid) {
            Some(process) => {
                process.lwps += 1;
                process.vcx += line.vcx;
                process.icx += line.icx;
                process.spent.iter_mut().zip(line.spent).for_each(|(sum, ns)| *sum += ns);
                process.thread.acct.iter_mut().zip(line.thread.acct).for_each(|(sum, ns)| *sum += ns);
            }
            None => lines.push(line),
        }
    }
    lines
}

fn count(lines: &[Line]) -> u64 {
    let mut pids: Vec<u64> = lines.iter().map(|line| line.thread.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.len() as u64
}

/// `Total: 3 processes, 5 lwps, load averages: 0.00, 0.00, 0.00`.
fn total(moment: &Moment<'_, '_>, processes: u64, lwps: u64) -> Row {
    let misc = moment.now.kstat("unix", 0, "system_misc");
    let load = ["avenrun_1min", "avenrun_5min", "avenrun_15min"]
        .map(|name| misc.map_or(0, |misc| misc.number(name)) as f64 / 256.0);
    let [one, five, fifteen] = load;
    Row::line(format!("Total: {processes} processes, {lwps} lwps, load averages: {one:.2}, {five:.2}, {fifteen:.2}"))
        .with("processes", processes)
        .with("lwps", lwps)
        .with("load_averages", load.into_iter().collect::<umpire_rows::Value>())
}
