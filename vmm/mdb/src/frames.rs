//! Stacks of threads: read by the glass. Of a CPU that stands still the registers are at hand; one that runs is asked for them only
//! with `-k`, which kicks it out of the guest for the time of one read.
//!
//! # Invariants
//! - A thread that runs on a CPU whose registers cannot be had has no frames, and its stack says why.

use umpire_rows::{Column, Kind, Table};
use umpire_watch::glass::{Asking, Frame, Glass, Stack};

use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The stack of the thread at an address, its code named.
pub(crate) fn of(view: &View<'_>, addr: u64) -> Result<Stack, Failure> {
    asking(view, addr, view.glass())
}

/// The same, by a glass that may ask more CPUs than the view's.
pub(crate) fn asking(view: &View<'_>, addr: u64, glass: &Glass) -> Result<Stack, Failure> {
    kernel::thread_number(view, addr)?;
    let seen = view.look()?;
    let mut stack = glass.stack(&seen.cpus, addr);
    view.note(stack.verdict);
    if stack.frames.is_empty()
        && let Some(registers) = stack.on_cpu.and_then(|cpu| view.registers(cpu, Asking::Still).ok())
    {
        stack.frames = glass.stack_of_the_dead(addr, registers.rip, registers.rbp);
        (stack.sp, stack.note) = (registers.rsp, None);
    }
    if let Ok(symbols) = view.target().symbols() {
        stack.name_code(&symbols);
    }
    Ok(stack)
}

/// Says why a stack has no frames, if it has none.
pub(crate) fn is_there(stack: &Stack) -> Result<(), Failure> {
    if !stack.frames.is_empty() {
        return Ok(());
    }
    Err(Failure::new(match (stack.on_cpu, stack.sp) {
        (Some(cpu), _) => format!("it runs on cpu {cpu}, and its stack needs that CPU's registers (-k)"),
        (None, 0) => "no stack pointer is saved: the simulator keeps stacks to itself".to_owned(),
        _ => "its stack pointer points to no frame inside the thread's stack".to_owned(),
    }))
}

/// Frames as rows.
pub(crate) fn table() -> Table<Frame> {
    Table::nested(vec![
        Column::new("at", Kind::Address, |f: &Frame| f.at),
        Column::new("pc", Kind::Address, |f: &Frame| f.pc),
        Column::new("code", Kind::Text, |f: &Frame| f.code.clone()),
    ])
}

/// The text of a stack with the source of each frame behind it, and a line for each function that was inlined there.
pub(crate) fn with_lines(view: &View<'_>, stack: &Stack, text: &str) -> Result<String, Failure> {
    let Ok(symbols) = view.target().symbols() else { return Ok(text.to_owned()) };
    // A return address may be of the next line already: what called is one byte before it.
    let pcs: Vec<u64> =
        stack.frames.iter().enumerate().map(|(n, f)| if n == 0 { f.pc } else { f.pc - 1 }).collect();
    let all = symbols.code_lines(&pcs).map_err(|e| Failure::new(e.to_string()))?;
    let mut lines = text.lines();
    let mut out = lines.next().unwrap_or_default().to_owned() + "\n";
    for (line, places) in lines.zip(all) {
        let place = |at: &umpire_watch::glass::CodeLine| {
            let file = at.file.as_deref().unwrap_or("?");
            let file = file.rsplit_once("/src/").map_or(file, |(_, file)| file);
            at.line.map_or_else(|| file.to_owned(), |n| format!("{file}:{n}"))
        };
        let (inlined, own) = match places.split_last() {
            Some((own, inlined)) => (inlined, place(own)),
            None => (&[][..], String::new()),
        };
        for one in inlined {
            out += &format!("  {:16} {}() [inlined] {}\n", "", one.function, place(one));
        }
        out += format!("{line} {own}").trim_end();
        out.push('\n');
    }
    Ok(out)
}
