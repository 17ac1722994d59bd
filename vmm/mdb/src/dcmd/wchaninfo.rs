//! `::wchaninfo`: what threads sleep on.
//!
//! # Invariants
//! - Condition variables and semaphores only, as in mdb: locks have turnstiles.

use std::collections::BTreeMap;

use umpire_rows::Table;
use umpire_rows::{Column, Kind};
use umpire_shared::sys::sobject::sobj;
use umpire_shared::sys::thread::ts;

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "wchaninfo",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-v]",
    about: "dump condition variable",
    help: "Prints a line for each condition variable and semaphore that threads sleep on, or for the one at the address: how many\n\
           threads do.\n\
           -v  which threads",
    examples: &[("::wchaninfo", "every wait channel"), ("::wchaninfo -v", "with the threads")],
    run: Run::View(run),
};

struct Sleeper {
    thread: u64,
    proc: String,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("v")?;
    options.none_left(call)?;
    let mut channels: BTreeMap<(u64, &str), Vec<Sleeper>> = BTreeMap::new();
    for addr in walker::all(view, "thread")? {
        let t = kernel::thread(view, addr)?;
        let (wchan, kind) = (t.n("t_wchan")?, t.n("t_sobj")?);
        let name = match kind as u8 {
            sobj::CV => "cond",
            sobj::SEMA => "sema",
            _ => continue,
        };
        if t.n("t_state")? != u64::from(ts::SLEEP) || wchan == 0 || call.addr.is_some_and(|wanted| wanted != wchan) {
            continue;
        }
        channels.entry((wchan, name)).or_default().push(Sleeper { thread: addr, proc: kernel::proc_of(&t)? });
    }
    if let (true, Some(addr)) = (channels.is_empty(), call.addr) {
        return Err(Failure::new(format!("no thread sleeps on a condition variable or semaphore at {addr:#x}")));
    }
    let sleepers = Table::nested(vec![
        Column::new("thread", Kind::Address, |s: &Sleeper| s.thread),
        Column::new("proc", Kind::Text, |s: &Sleeper| s.proc.clone()),
    ]);
    let row = |(&(wchan, kind), threads): (&(u64, &'static str), &Vec<Sleeper>)| {
        let count = threads.len() as u64;
        let mut text = format!("{wchan:016x} {kind:<4} {count:>8}");
        if options.has('v') {
            for (n, one) in threads.iter().enumerate() {
                let before = if n == 0 { String::new() } else { format!("\n{:30}", "") };
                text += &format!("{before} {:016x} {}", one.thread, one.proc);
            }
        }
        let data = vec![
            ("addr", wchan.into()),
            ("type", kind.into()),
            ("nwaiters", count.into()),
            ("threads", sleepers.records(threads)),
        ];
        Row { value: Some(wchan), text, data }
    };
    let more = if options.has('v') { format!(" {:<16} PROC", "THREAD") } else { String::new() };
    let header = format!("{:<16} {:<4} {:>8}{more}", "ADDR", "TYPE", "NWAITERS");
    Ok(Answer { header: Some(header), rows: channels.iter().map(row).collect(), ended: None })
}
