//! `::taskq`: task queues with what they have to do.
//!
//! # Invariants
//! - Columns and order are mdb's: static queues before dynamic ones; in each, those whose instance was chosen for them by instance, then
//!   the others by name.

use umpire_shared::sys::taskq::tqflag;

use super::{Address, Dcmd, Run, stacks};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::object::Object;
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "taskq",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-atT] [-m min_maxq] [-n name]",
    about: "task queues, and what they have to do",
    help: "Prints a line for each task queue, or for the one at the address: threads that work and all threads, tasks that were\n\
           dispatched and are not done (those that run are among them), the most that there were, and its instance (hexadecimal).\n\
           -a  only queues with something to do       -m n     only static queues in which there were ever n tasks\n\
           -n s  only queues with s in their names\n\
           -t  the stacks of the threads that work    -T       those of all its threads",
    examples: &[("::taskq", "every task queue"), ("::taskq -a", "those with something to do"), ("::taskq -n system -T", "the threads of one")],
    run: Run::View(run),
};

/// A queue, as it is shown.
struct Line {
    addr: u64,
    name: String,
    is_dynamic: bool,
    /// Its instance, if it was given one.
    given: Option<u64>,
    instance: u64,
    active: u64,
    threads: u64,
    queued: u64,
    maxq: u64,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("atTm:n:")?;
    options.none_left(call)?;
    let least = match options.argument('m') {
        None => 0,
        Some(word) => match word.number() {
            Some(n) => n,
            None => return Err(call.misused_at(&word.at, format!("`{}` is no number", word.text))),
        },
    };
    let addrs = walker::at_or_all(view, call, "taskq_cache")?;
    let mut lines = addrs.iter().map(|addr| line(view, *addr)).collect::<Result<Vec<Line>, Failure>>()?;
    lines.sort_by_key(|l| {
        let unnamed = if l.given.is_none() { l.instance } else { 0 };
        (l.is_dynamic, l.given.is_some(), unnamed, l.name.to_lowercase(), l.instance)
    });
    let name = options.argument('n').map(|word| word.text.as_str());
    lines.retain(|l| {
        (!options.has('a') || l.active != 0 || l.queued != 0)
            && (l.is_dynamic || l.maxq >= least)
            && name.is_none_or(|part| l.name.contains(part))
    });
    if call.is_piped_out {
        return Ok(Answer::addresses(lines.iter().map(|l| l.addr)));
    }
    let mut rows = Vec::new();
    for l in &lines {
        let mut row = row(l);
        if options.has('t') || options.has('T') {
            let threads = walker::find("taskq_thread")?.begin(view, Some(l.addr))?.addrs;
            let without = if options.has('T') { None } else { Some("taskq_thread_wait") };
            for line in stacks::each(view, &threads, without)?.lines() {
                row.text += &format!("\n    {line}");
            }
        }
        rows.push(row);
    }
    let header = format!("{:<16} {:<31} {:>4}/{:>4} {:>4} {:>5} {:>4}", "ADDR", "NAME", "ACT", "THDS", "Q'ED", "MAXQ", "INST");
    Ok(Answer { header: Some(header), rows, ended: None })
}

fn line(view: &View<'_>, addr: u64) -> Result<Line, Failure> {
    let all = kernel::arena(view, "k_taskq.taskq_cache.objects")?;
    if all.index_of(addr).is_none() {
        return Err(Failure::new(format!("no task queue begins at {addr:#x}; ::taskq lists them")));
    }
    let tq = view.object(all.of, addr)?;
    let flags = tq.n("tq_flags")?;
    let has = |flag: u32| flags & u64::from(flag) != 0;
    let (mut active, mut threads) = (tq.n("tq_active")?, tq.n("tq_nthreads")?);
    if has(tqflag::DYNAMIC) {
        active = active.wrapping_add(busy(view, &tq)?);
        threads = threads.wrapping_add(tq.n("tq_tcreates")?.saturating_sub(tq.n("tq_tdeaths")?));
    }
    let instance = tq.n("tq_instance")?;
    Ok(Line {
        addr,
        name: tq.text("tq_name")?,
        is_dynamic: has(tqflag::DYNAMIC),
        given: (!has(tqflag::NOINSTANCE)).then_some(instance),
        instance,
        active,
        threads,
        queued: tq.n("tq_tasks")?.saturating_sub(tq.n("tq_executed")?),
        maxq: tq.n("tq_maxtasks")?,
    })
}

/// Entries of a dynamic queue's buckets that are busy.
fn busy(view: &View<'_>, tq: &Object<'_>) -> Result<u64, Failure> {
    let all = kernel::arena(view, "k_taskq.taskq_buckets")?;
    let own = |bucket: &Object<'_>| Ok(bucket.n("tqbucket_taskq")? == tq.addr());
    let mut busy: u64 = 0;
    for addr in all.addresses() {
        let bucket = view.object(all.of, addr)?;
        if own(&bucket)? {
            busy = busy.wrapping_add(bucket.n("tqbucket_nalloc")?);
        }
    }
    Ok(busy)
}

fn row(l: &Line) -> Row {
    let maxq = if l.is_dynamic { format!("{:>5}", "-") } else { format!("{:>5}", l.maxq) };
    let instance = l.given.map_or_else(|| format!("{:>4}", "-"), |n| format!("{n:>4x}"));
    let text =
        format!("{:016x} {:<31} {:>4}/{:>4} {:>4} {maxq} {instance}", l.addr, l.name, l.active, l.threads, l.queued);
    let data = vec![
        ("addr", l.addr.into()),
        ("name", l.name.as_str().into()),
        ("is_dynamic", l.is_dynamic.into()),
        ("active", l.active.into()),
        ("threads", l.threads.into()),
        ("queued", l.queued.into()),
        ("maxq", (!l.is_dynamic).then_some(l.maxq).into()),
        ("instance", l.given.into()),
    ];
    Row { value: Some(l.addr), text, data }
}
