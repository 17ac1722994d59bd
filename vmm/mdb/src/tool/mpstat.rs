//! `mpstat`: what each CPU did, a second (`mpstat.c`).
//!
//! # Invariants
//! - The first answer is of the time since boot, each later one of the time since the one before. CPUs that are offline have no line.
//! - Per cents are of the CPU's own times in ns, which add up; Solaris counts ticks, of which a short run has too few.

use umpire_rows::{Column, Kind, Table};

use super::{Moment, Tool, no_operands};
use crate::answer::Answer;
use crate::call::{Call, Options, Word};
use crate::kernel;
use crate::kstats::Kstat;
use crate::lang::Failure;

/// The tool.
pub(super) static TOOL: Tool = Tool {
    name: "mpstat",
    usage: "[-apq] [-P set] [interval [count]]",
    about: "Print what each CPU did, a second",
    help: "  -p  the processor set of each CPU       -P set  the CPUs of one set only\n\
           \x20 -a  a line a processor set              -q      the headings once",
    letters: "apqP:",
    repeats: true,
    between: "",
    check: |call| asked(call).map(drop),
    run,
};

/// What a CPU, or the CPUs of a set, did.
#[derive(Debug, Clone, Default)]
struct Line {
    /// The CPU, or the set.
    id: u64,
    set: u64,
    cpus: u64,
    /// Events a second: minf mjf xcal intr ithr csw icsw migr smtx srw syscl.
    rates: [f64; RATES.len()],
    /// Per cent: usr sys wt idl.
    shares: [f64; 4],
}

/// Columns of rates: key, heading, width, and the statistics of `cpu:N:vm` and `cpu:N:sys` that they add up.
const RATES: [(&str, &str, usize, &[&str]); 11] = [
    ("minf", "minf", 4, &["hat_fault", "as_fault"]),
    ("mjf", "mjf", 3, &["maj_fault"]),
    ("xcal", "xcal", 4, &["xcalls"]),
    ("intr", "intr", 5, &["intr"]),
    ("ithr", "ithr", 4, &["intrthread"]),
    ("csw", "csw", 4, &["pswitch"]),
    ("icsw", "icsw", 4, &["inv_swtch"]),
    ("migr", "migr", 4, &["cpumigrate"]),
    ("smtx", "smtx", 4, &["mutex_adenters"]),
    ("srw", "srw", 4, &["rw_rdfails", "rw_wrfails"]),
    ("syscl", "syscl", 5, &["syscall"]),
];

/// Columns of shares: key, heading, width.
const SHARES: [(&str, &str, usize); 4] =
    [("usr_percent", "usr", 4), ("sys_percent", "sys", 3), ("wt_percent", "wt", 3), ("idl_percent", "idl", 3)];

fn run(moment: &Moment<'_, '_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let (options, wanted) = asked(call)?;
    let mut lines = each_cpu(moment)?;
    lines.retain(|line| wanted.is_none_or(|set| set == line.set));
    let by_set = options.has('a');
    if by_set {
        lines = sets(&lines);
    }
    let mut columns = vec![Column::new(if by_set { "set" } else { "cpu" }, Kind::Count, |l: &Line| l.id)
        .titled(if by_set { "SET" } else { "CPU" }, 3)];
    columns.extend(RATES.iter().enumerate().map(|(n, (key, title, width, _))| {
        let of = move |l: &Line| l.rates[n];
        Column::new(key, Kind::Measured, of).titled(title, *width).worded(move |l| format!("{:.0}", of(l)))
    }));
    columns.extend(SHARES.iter().enumerate().map(|(n, (key, title, width))| {
        let of = move |l: &Line| l.shares[n];
        Column::new(key, Kind::Measured, of).titled(title, *width).worded(move |l| format!("{:.0}", of(l)))
    }));
    if by_set {
        columns.push(Column::new("cpus", Kind::Count, |l: &Line| l.cpus).titled("sze", 3));
    } else if options.has('p') {
        columns.push(Column::new("set", Kind::Count, |l: &Line| l.set).titled("set", 3));
    }
    let mut answer = Answer::table(&Table::nested(columns), &lines, |_| None);
    if options.has('q') && moment.before.is_some() {
        answer.header = None;
    }
    Ok(answer)
}

/// The options, and the one set that is wanted, if it is one.
fn asked<'c>(call: &Call<'c>) -> Result<(Options<'c>, Option<u64>), Failure> {
    let (options, operands, _) = TOOL.read(call)?;
    no_operands(&operands, call)?;
    let set = |word: &Word| {
        let set = word.text.parse();
        set.map_err(|_| call.misused_at(&word.at, "-P takes the number of a processor set"))
    };
    let wanted = options.argument('P').map(set).transpose()?;
    Ok((options, wanted))
}

fn each_cpu(moment: &Moment<'_, '_>) -> Result<Vec<Line>, Failure> {
    let cpus = kernel::cpus(moment.view)?;
    let parts = kernel::arena(moment.view, "k_parts.parts")?;
    let mut lines = Vec::new();
    for (addr, id) in cpus.addresses().zip(0..) {
        let info = moment.now.kstat("cpu_info", id, &format!("cpu_info{id}"));
        let state = info.and_then(|info| info.values.iter().find(|(name, _)| *name == "state"));
        if state.is_some_and(|(_, state)| !["on-line", "no-intr"].contains(&state.to_string().as_str())) {
            continue;
        }
        let part = view_part(moment, cpus.of, addr)?;
        let set = parts.index_of(part).unwrap_or(0);
        lines.push(Line { id, set, cpus: 1, ..measured(moment, id) });
    }
    Ok(lines)
}

fn view_part(moment: &Moment<'_, '_>, of: crate::types::TypeId, cpu: u64) -> Result<u64, Failure> {
    moment.view.object(of, cpu)?.n("cpu_part")
}

/// Rates and shares of a CPU between the two moments.
fn measured(moment: &Moment<'_, '_>, cpu: u64) -> Line {
    let since = moment.before.map_or(0, |before| before.now_ns);
    let elapsed = moment.now.now_ns.saturating_sub(since).max(1) as f64 / 1e9;
    let grown = |name: &str, statistic: &str| {
        let at = |kstat: Option<&Kstat>| kstat.map_or(0, |kstat| kstat.number(statistic));
        let before = at(moment.before.and_then(|before| before.kstat("cpu", cpu, name)));
        at(moment.now.kstat("cpu", cpu, name)).saturating_sub(before) as f64
    };
    let rates = RATES.map(|(_, _, _, statistics)| {
        let count: f64 = statistics.iter().map(|s| grown("sys", s) + grown("vm", s)).sum();
        count / elapsed
    });
    let ns = |statistic: &str| grown("sys", statistic);
    let times = [ns("cpu_nsec_user"), ns("cpu_nsec_kernel") + ns("cpu_nsec_intr"), 0.0, ns("cpu_nsec_idle")];
    let total = times.iter().sum::<f64>().max(1.0);
    Line { rates, shares: times.map(|ns| ns * 100.0 / total), ..Line::default() }
}

/// Lines of CPUs as lines of sets: rates add up, shares are those of the average CPU.
fn sets(lines: &[Line]) -> Vec<Line> {
    let mut sets: Vec<Line> = Vec::new();
    for line in lines {
        let n = sets.iter().position(|set| set.id == line.set).unwrap_or_else(|| {
            sets.push(Line { id: line.set, set: line.set, ..Line::default() });
            sets.len() - 1
        });
        let set = &mut sets[n];
        set.cpus += 1;
        set.rates.iter_mut().zip(line.rates).for_each(|(sum, rate)| *sum += rate);
        set.shares.iter_mut().zip(line.shares).for_each(|(sum, share)| *sum += share);
    }
    for set in &mut sets {
        set.shares = set.shares.map(|sum| sum / set.cpus as f64);
    }
    sets.sort_by_key(|set| set.id);
    sets
}
