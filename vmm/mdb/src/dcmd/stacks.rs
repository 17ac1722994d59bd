//! `::stacks`: threads by stack.
//!
//! # Invariants
//! - Threads whose stacks cannot be read are grouped by the reason.

use std::collections::BTreeMap;

use umpire_shared::sys::sobject::sobj;
use umpire_shared::sys::thread::ts;

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::{Call, Options};
use crate::lang::Failure;
use crate::view::View;
use crate::walker;
use crate::{frames, kernel};

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "stacks",
    aliases: &[],
    address: Address::Optional,
    takes_all: true,
    usage: "[-afiv] [-c func] [-C func] [-m module] [-M module] [-s sobj] [-S sobj] [-t state] [-T state]",
    about: "print unique kernel thread stacks",
    help: "Groups threads whose stacks are alike, the largest group first: all threads, those out of a pipe, or the one at the\n\
           address.\n\
           -a  each thread by itself                      -i  addresses of the threads only\n\
           -f  reads the stacks anew (they always are)    -v  how the stacks were read\n\
           -c func   stacks with the function in them     -C func   those without (func+off: at that place)\n\
           -m module stacks with a function of a module   -M module those without (the end of its path: disp.swtch, sync)\n\
           -t state  threads in a state (sleep, run ...)  -T state  those in another\n\
           -s sobj   threads that wait for a kind of object (cv, mutex ...)   -S sobj   those for another",
    examples: &[("::stacks", "every thread"), ("::stacks -c cv_wait", "those that wait"), ("::stacks -t run", "those that wait for a CPU")],
    run: Run::View(run),
};

/// A thread with what it is grouped by.
struct One {
    addr: u64,
    state: String,
    sobj: String,
    calls: Vec<String>,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("afivc:C:m:M:s:S:t:T:")?;
    options.none_left(call)?;
    let addrs = match (call.piped, call.addr) {
        (Some(all), _) => all.to_vec(),
        (None, Some(one)) => vec![one],
        (None, None) => walker::all(view, "thread")?,
    };
    let mut groups: BTreeMap<(Vec<String>, String, String), Vec<u64>> = BTreeMap::new();
    let (mut alone, mut read) = (0, 0);
    for addr in addrs {
        let one = one(view, addr)?;
        read += 1;
        if !is_wanted(view, &one, &options) {
            continue;
        }
        let (mut key, addr) = ((one.calls, one.state, one.sobj), one.addr);
        if options.has('a') {
            // A stack of its own: a number that no other thread has, which is not shown.
            key.2 += &format!("\0{alone}");
            alone += 1;
        }
        groups.entry(key).or_default().push(addr);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, threads)| std::cmp::Reverse(threads.len()));
    if options.has('i') || call.is_piped_out {
        return Ok(Answer::addresses(groups.into_iter().flat_map(|(_, threads)| threads)));
    }
    let header = format!("{:<16} {:<8} {:<16} {:>8}", "THREAD", "STATE", "SOBJ", "COUNT");
    let row = |((calls, state, sobj), threads): &((Vec<String>, String, String), Vec<u64>)| {
        let sobj = sobj.split('\0').next().unwrap_or_default();
        let count = threads.len() as u64;
        let mut text = format!("{:016x} {state:<8} {sobj:<16} {count:>8}\n", threads[0]);
        calls.iter().for_each(|call| text += &format!("                 {call}\n"));
        let data = vec![
            ("thread", threads[0].into()),
            ("state", state.as_str().into()),
            ("sobj", sobj.into()),
            ("count", count.into()),
            ("threads", threads.iter().copied().collect()),
            ("stack", calls.iter().map(String::as_str).collect()),
        ];
        Row { value: Some(threads[0]), text, data }
    };
    let mut rows: Vec<Row> = groups.iter().map(row).collect();
    if options.has('v') {
        let shown = groups.iter().map(|(_, threads)| threads.len()).sum::<usize>();
        let text = format!("{read} threads, {shown} of them shown, {} stacks; read {}", groups.len(), view.verdict());
        rows.push(Row::line(text));
    }
    Ok(Answer { header: Some(header), rows, ended: None })
}

/// These threads, each with its stack, without those that have a function in it.
pub(super) fn each(view: &View<'_>, threads: &[u64], without: Option<&str>) -> Result<String, Failure> {
    let mut text = String::new();
    for addr in threads {
        let one = one(view, *addr)?;
        let is_in = |function: &str| one.calls.iter().any(|call| call.split('+').next() == Some(function));
        if without.is_some_and(is_in) {
            continue;
        }
        text += &format!("{:016x} {:<8} {:<16} {:>8}\n", one.addr, one.state, one.sobj, 1);
        one.calls.iter().for_each(|call| text += &format!("                 {call}\n"));
    }
    Ok(text)
}

fn one(view: &View<'_>, addr: u64) -> Result<One, Failure> {
    let thread = kernel::thread(view, addr)?;
    let kind = thread.n("t_sobj")?;
    let has_object = thread.n("t_wchan")? != 0;
    let state = ts::NAMES.short(thread.n("t_state")?).unwrap_or("???").to_owned();
    let sobj = if has_object { sobj::NAMES.short(kind).unwrap_or("???") } else { "<none>" }.to_owned();
    let stack = frames::of(view, addr)?;
    let calls = match frames::is_there(&stack) {
        Ok(()) => {
            let code = |f: &umpire_watch::glass::Frame| f.code.clone().unwrap_or_else(|| format!("{:#x}", f.pc));
            stack.frames.iter().map(code).collect()
        }
        Err(why) => vec![format!("<{}>", why.message)],
    };
    Ok(One { addr, state, sobj, calls })
}

fn is_wanted(view: &View<'_>, one: &One, options: &Options<'_>) -> bool {
    let text = |flag| options.argument(flag).map(|word| word.text.as_str());
    let name = |call: &str| call.split('+').next().unwrap_or_default().to_owned();
    let calls = |function: &str| one.calls.iter().any(|call| call == function || name(call) == function);
    let enters = |module: &str| {
        let is_in = |call: &String| !view.image().named(&format!("{module}`{}", name(call))).is_empty();
        one.calls.iter().any(is_in)
    };
    text('c').is_none_or(calls)
        && text('C').is_none_or(|function| !calls(function))
        && text('m').is_none_or(enters)
        && text('M').is_none_or(|module| !enters(module))
        && text('t').is_none_or(|state| one.state.eq_ignore_ascii_case(state))
        && text('T').is_none_or(|state| !one.state.eq_ignore_ascii_case(state))
        && text('s').is_none_or(|sobj| one.sobj.eq_ignore_ascii_case(sobj))
        && text('S').is_none_or(|sobj| !one.sobj.eq_ignore_ascii_case(sobj))
}
