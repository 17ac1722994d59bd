//! `ps`: processes, or their LWPs (`ps.c`).
//!
//! # Invariants
//! - PRI with -c is the global priority, CLS the class: those of the dispatcher. Addresses are `?`, as Solaris has them since it hides
//!   them; machines get them.

use umpire_rows::{Column, Kind, Table};

use super::{Moment, Tool, no_operands};
use crate::answer::Answer;
use crate::call::{Call, Options, Word};
use crate::lang::Failure;
use crate::procs::Thread;

/// The tool.
pub(super) static TOOL: Tool = Tool {
    name: "ps",
    usage: "[-eAlcL] [-p pid]",
    about: "Print processes and their LWPs",
    help: "  -e, -A  every process: all are shown anyway      -l  long\n\
           \x20 -c  class and global priority                    -L  a line an LWP, not a line a process\n\
           \x20 -p  one process\n\
           \x20 A thread of the scenario with an LWP is a process; kernel threads are LWPs of process 0, sched.",
    letters: "eAlcLp:",
    repeats: false,
    between: "",
    check: |call| asked(call).map(drop),
    run,
};

/// The options, and the one process that is wanted, if it is one.
fn asked<'c>(call: &Call<'c>) -> Result<(Options<'c>, Option<u64>), Failure> {
    let (options, operands, _) = TOOL.read(call)?;
    no_operands(&operands, call)?;
    let number =
        |word: &Word| word.text.parse().map_err(|_| call.misused_at(&word.at, "-p takes a process's number"));
    let pid = options.argument('p').map(number).transpose()?;
    Ok((options, pid))
}

fn run(moment: &Moment<'_, '_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let (options, pid) = asked(call)?;
    let mut rows = moment.now.threads.clone();
    if let Some(pid) = pid {
        rows.retain(|thread| thread.pid == pid);
    }
    // Process 0 is older than any other, although its threads have the last numbers.
    rows.sort_by_key(|thread| (thread.pid, thread.number));
    if !options.has('L') {
        rows = processes(rows);
    }
    let (is_long, has_class, is_lwps) = (options.has('l'), options.has('c'), options.has('L'));
    let mut columns = Vec::new();
    if is_long {
        columns.extend([
            text("flags", "F", 2, |t| if t.pid == 0 { "1".to_owned() } else { "0".to_owned() }).right(),
            text("state", "S", 1, |t| t.letter().to_string()),
            number("uid", "UID", 6, |_| 0),
        ]);
    }
    columns.push(number("pid", "PID", if is_long { 5 } else { 6 }, |t| t.pid as i64));
    if is_long {
        columns.push(number("ppid", "PPID", 5, |_| 0));
    }
    if is_lwps {
        columns.push(number("lwp", "LWP", 5, |t| t.lwpid() as i64));
    }
    if has_class {
        columns.extend([text("class", "CLS", 4, |t| t.class.clone()).right(), number("pri", "PRI", 3, |t| t.pri.max(t.epri))]);
    } else if is_long {
        columns.extend([
            number("c", "C", 3, |_| 0),
            number("pri", "PRI", 3, |t| t.pri.max(t.epri)),
            text("nice", "NI", 2, |t| if t.has_lwp { "20" } else { "--" }.to_owned()).right(),
        ]);
    }
    if is_long {
        columns.extend([
            hidden("addr", "ADDR", 8, |t| t.addr),
            number("size_pages", "SZ", 6, |_| 0),
            hidden("wchan", "WCHAN", 8, |t| t.wchan),
        ]);
    }
    columns.push(text("tty", "TTY", 8, |_| "?".to_owned()));
    let title = if is_lwps { "LTIME" } else { "TIME" };
    columns.push(
        Column::new("ran_ns", Kind::Ns, Thread::ran_ns).titled(title, 7).worded(|t| minutes(t.ran_ns())).right(),
    );
    columns.push(text("command", "CMD", 3, |t| if is_system(t) { t.name.clone() } else { t.proc.clone() }));
    columns.extend(inspected());
    Ok(Answer::table(&Table::nested(columns), &rows, |thread| Some(thread.addr)))
}

fn is_system(t: &Thread) -> bool {
    t.pid == 0
}

/// What Solaris's `ps` does not have, and whoever inspects a guest wants: for machines.
fn inspected() -> Vec<Column<Thread>> {
    vec![
        Column::new("name", Kind::Text, |t: &Thread| t.name.clone()),
        Column::new("base_pri", Kind::Count, |t: &Thread| t.pri),
        Column::new("inherited_pri", Kind::Count, |t: &Thread| t.epri),
        Column::new("cpu", Kind::Count, |t: &Thread| t.cpu),
        Column::new("bound_cpu", Kind::Count, |t: &Thread| t.bound),
        Column::new("queue", Kind::State, |t: &Thread| t.queue),
        Column::new("waited_ns", Kind::Ns, |t: &Thread| t.waited_ns),
        Column::new("sobj", Kind::State, |t: &Thread| t.sobj.clone()),
        Column::new("owner", Kind::Address, |t: &Thread| t.owner),
    ]
}

/// One line a process: its first LWP, with the time of all.
fn processes(threads: Vec<Thread>) -> Vec<Thread> {
    let mut all: Vec<Thread> = Vec::new();
    for thread in threads {
        match all.last_mut() {
            Some(process) if process.pid == thread.pid => {
                process.acct.iter_mut().zip(thread.acct).for_each(|(sum, ns)| *sum += ns);
            }
            _ if thread.pid == 0 => all.push(Thread { name: "sched".to_owned(), ..thread }),
            _ => all.push(thread),
        }
    }
    all
}

/// Minutes and seconds, as `%4ld:%.2ld`.
fn minutes(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    format!("{:>4}:{:02}", seconds / 60, seconds % 60)
}

fn text(key: &'static str, title: &'static str, width: usize, of: fn(&Thread) -> String) -> Column<Thread> {
    Column::new(key, Kind::Text, move |t: &Thread| of(t)).titled(title, width)
}

fn number(key: &'static str, title: &'static str, width: usize, of: fn(&Thread) -> i64) -> Column<Thread> {
    Column::new(key, Kind::Count, move |t: &Thread| of(t)).titled(title, width)
}

/// An address that people see as `?`, or not at all if it is 0.
fn hidden(key: &'static str, title: &'static str, width: usize, of: fn(&Thread) -> u64) -> Column<Thread> {
    let shown = move |t: &Thread| if of(t) == 0 { String::new() } else { "?".to_owned() };
    Column::new(key, Kind::Address, move |t: &Thread| Some(of(t)).filter(|addr| *addr != 0))
        .titled(title, width)
        .right()
        .worded(shown)
}
