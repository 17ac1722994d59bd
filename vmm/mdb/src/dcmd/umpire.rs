//! `::umpire`: what the referee has found.
//!
//! # Invariants
//! - It shows what the run that led here has found, and judges nothing itself.

use umpire_rows::number;
use umpire_watch::glass::{Place, QueueSample, Snapshot};

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "umpire",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "",
    about: "print the referee's verdicts, and how reads go",
    help: "Prints what the referee found in the run that led here: each bound with its worst case, and the sentences that say why.\n\
           Then what one pass of the sampler sees now: each run queue, how many threads wait there, whether it could be read\n\
           consistently, what runs on its CPU, and who has waited there longest; last how many reads of this look were torn.",
    examples: &[("::umpire", "the verdicts")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let mut rows = view.verdicts();
    if rows.is_empty() {
        rows.push(Row::line("no run has led here: there are no verdicts"));
    }
    let seen = view.look()?;
    let now_ns = kernel::now_ns(view)?;
    for (place, queue) in seen.queues() {
        rows.push(queue_row(view, &seen, place, queue, now_ns));
    }
    let (reads, torn) = (seen.queues().count(), seen.queues().filter(|(_, q)| !q.verdict.is_trusted()).count());
    let text = format!("this look: {reads} run queues, {torn} torn");
    rows.push(Row::line(text).with("queues", reads as u64).with("torn_queues", torn as u64));
    Ok(Answer::rows(rows))
}

/// What waits on a run queue, and for how long; what runs on its CPU, if it is a CPU's.
fn queue_row(view: &View<'_>, seen: &Snapshot, place: Place, queue: &QueueSample, now_ns: u64) -> Row {
    let runs = place.cpu().and_then(|cpu| seen.cpus.get(cpu as usize)).map(|cpu| {
        let name = if cpu.thread == cpu.idle_thread { Ok("(idle)".to_owned()) } else { name_at(view, cpu.thread) };
        (name.unwrap_or_else(|_| "?".to_owned()), i64::from(cpu.dispatch_pri))
    });
    let longest = queue.threads.iter().filter(|t| t.waitrq != 0).min_by_key(|t| t.waitrq);
    let waits = longest.map(|t| {
        let name = seen.arena.map_or_else(String::new, |arena| view.glass().thread_name(arena.address_of(t.index)));
        (name, now_ns.saturating_sub(t.waitrq))
    });
    let mut text = format!("{place}: {} runnable, read {}", queue.nrunnable, queue.verdict);
    if let Some((name, pri)) = &runs {
        text += &format!("; runs {name} at {pri}");
    }
    if let Some((name, ns)) = &waits {
        text += &format!("; {name} has waited {}", number::rounded(*ns));
    }
    Row::line(text)
        .with("cpu", place.cpu().map(u64::from))
        .with("nrunnable", u64::from(queue.nrunnable))
        .with("queue_verdict", queue.verdict.to_string())
        .with("runs", runs.as_ref().map(|(name, _)| name.clone()))
        .with("pri", runs.map(|(_, pri)| pri))
        .with("longest_waiter", waits.as_ref().map(|(name, _)| name.clone()))
        .with("longest_wait_ns", waits.map(|(_, ns)| ns))
}

fn name_at(view: &View<'_>, thread: u64) -> Result<String, Failure> {
    kernel::thread(view, thread)?.text("t_name")
}
