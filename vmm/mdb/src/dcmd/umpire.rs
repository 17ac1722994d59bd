//! `::umpire`: what the referee has found.
//!
//! # Invariants
//! - It shows what the run that led here has found, and judges nothing itself.

use umpire_record::{Breach, CpuScene, Scene};
use umpire_rows::number;
use umpire_watch::glass::{Place, QueueSample, Snapshot};

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::recorded::{Recorded, exact_ms};
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
           consistently, what runs on its CPU, and who has waited there longest; last how many reads of this look were torn.\n\
           Of a recording it prints what the referee found, and each CPU as it was at the moment of ::at.",
    examples: &[("::umpire", "the verdicts")],
    run: Run::Either(run, recorded),
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

fn recorded(recorded: &Recorded<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let recording = recorded.recording();
    let mut rows = Vec::new();
    match &recording.ending {
        Some(ending) => {
            let (run, how) = (&recording.header, &ending.observed);
            let text = format!("{} {}: {how}, {} passes of the sampler", run.scenario, run.variant, recording.samples.len());
            rows.push(Row::line(text).with("observed", how.as_str()).with("outcome", ending.outcome.as_str()));
            rows.extend(ending.breaches.iter().map(breach));
            rows.extend(ending.why.iter().map(Row::line));
        }
        None => rows.push(Row::line("the recording ends before the run did: there are no verdicts")),
    }
    let scene = recorded.scene();
    rows.extend(scene.cpus.iter().map(|cpu| cpu_row(recorded, &scene, cpu)));
    Ok(Answer::rows(rows))
}

/// A bound that was broken.
fn breach(of: &Breach) -> Row {
    let thread = of.thread.as_deref().map(|name| format!(" of {name}")).unwrap_or_default();
    let at = of.passed_ns.map(|ns| format!(", at {}", exact_ms(ns))).unwrap_or_default();
    let (worst, limit) = match of.is_count {
        true => (of.worst.to_string(), of.limit.to_string()),
        false => (number::rounded(of.worst), number::exact(of.limit)),
    };
    let (worst_key, limit_key) = if of.is_count { ("worst", "limit") } else { ("worst_ns", "limit_ns") };
    Row::line(format!("violated: {}{thread} {worst}, limit {limit}{at}", of.monitor))
        .with("monitor", of.monitor.as_str())
        .with("thread", of.thread.clone())
        .with(worst_key, of.worst)
        .with(limit_key, of.limit)
        .with("passed_ns", of.passed_ns)
        .with("held", false)
}

/// What waits on a CPU's queue and for how long, and what runs there.
fn cpu_row(recorded: &Recorded<'_>, scene: &Scene, cpu: &CpuScene) -> Row {
    let waited = |&thread: &u64| {
        let span = scene.threads.get(&thread).and_then(|thread| thread.span);
        (recorded.proc(thread), span.map_or(0, |span| scene.at_ns.saturating_sub(span.from_ns)))
    };
    let longest = cpu.queue.iter().map(waited).max_by_key(|(_, ns)| *ns);
    let runs = cpu.runs.map(|thread| recorded.proc(thread));
    let mut text = format!("cpu {}: {} runnable", cpu.cpu, cpu.queue.len());
    if let Some(name) = &runs {
        text += &format!("; runs {name}");
    }
    if let Some((name, ns)) = &longest {
        text += &format!("; {name} has waited {}", number::rounded(*ns));
    }
    Row::line(text)
        .with("cpu", u64::from(cpu.cpu))
        .with("nrunnable", cpu.queue.len() as u64)
        .with("runs", runs)
        .with("longest_waiter", longest.as_ref().map(|(name, _)| name.clone()))
        .with("longest_wait_ns", longest.map(|(_, ns)| ns))
}
