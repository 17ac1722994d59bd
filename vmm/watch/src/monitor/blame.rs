//! The sentence of a verdict: who did what to whom, for how long, and which tunable or rule let it.
//!
//! # Invariants
//! - A sentence says only what was read at the moment of the verdict; what cannot be seen from outside (a CPU's
//!   priority level) is said to be a guess.

use std::cmp::Ordering;

use umpire_shared::program::class;

use super::{Breach, Runq};
use crate::glass::{CpuSample, Glass, Snapshot, ThreadCard, Verdict};

/// The sentence for a starved thread.
pub(super) fn starvation(glass: &Glass, seen: &Snapshot, breach: &Breach) -> String {
    let victim = breach
        .thread
        .and_then(|thread| seen.arena.map(|arena| arena.address_of(thread)))
        .and_then(|addr| glass.thread_card(seen, addr))
        .unwrap_or_default();
    let waited = ms(breach.lasted_ns);
    let Some(cpu) = breach.cpu.and_then(|n| seen.cpus.get(n as usize)) else {
        return format!("{} waited {waited} ms", described(&victim));
    };
    let runner = glass.thread_card(seen, cpu.dispthread).unwrap_or_default();
    let queue = if breach.part.is_some() { " on the kp queue" } else { "" };
    let behind = if cpu.dispatch_pri < 0 { "its idle thread".to_owned() } else { described(&runner) };
    format!(
        "{} waited{queue} {waited} ms of cpu {}'s own time behind {behind}: {}",
        described(&victim),
        cpu.id,
        cause(seen, cpu, &victim, &runner)
    )
}

/// Why the CPU goes on with `runner` although `victim` waits.
fn cause(seen: &Snapshot, cpu: &CpuSample, victim: &ThreadCard, runner: &ThreadCard) -> String {
    let pri = victim.pri.max(victim.epri);
    if cpu.handles.is_none() && cpu.dispatch_pri >= pri {
        return match cpu.dispatch_pri.cmp(&pri) {
            Ordering::Equal => "an equal: it runs until it blocks, yields or has used its quantum".into(),
            _ => "a better thread: it runs for as long as it likes".into(),
        };
    }
    let kpreemptpri = seen.kpreemptpri;
    let reaches = i32::from(pri) >= kpreemptpri;
    if let Some(pil) = cpu.handles {
        return format!("the CPU is handling an interrupt of level {pil}");
    }
    if cpu.dispatch_pri < 0 {
        return "the CPU is idle and does not take the thread".into();
    }
    if cpu.kprunrun && runner.preempt > 0 {
        return format!(
            "cpu_kprunrun is set, but {} has t_preempt = {} and may not be preempted",
            runner.name, runner.preempt
        );
    }
    if cpu.kprunrun {
        return "cpu_kprunrun is set, but nothing looks at it: the CPU takes no interrupt that could, perhaps \
                because its priority level stays raised"
            .into();
    }
    if reaches {
        return format!(
            "cpu_kprunrun is not set, although {pri} >= kpreemptpri = {kpreemptpri}: cpu_resched did not ask"
        );
    }
    if !cpu.runrun {
        return format!(
            "neither cpu_runrun nor cpu_kprunrun (it needs kpreemptpri = {kpreemptpri}) is set: nobody asked the CPU \
             to think again"
        );
    }
    let stays = if runner.is_user {
        "the thread takes no interrupt in user mode"
    } else if runner.has_lwp {
        "the thread does not return to user mode"
    } else {
        "a kernel thread has no user mode to return to"
    };
    format!(
        "cpu_runrun is set, but cpu_kprunrun is not, because {pri} < kpreemptpri = {kpreemptpri}, and {stays}"
    )
}

/// The sentence for a clock that stands still.
pub(super) fn deadman(glass: &Glass, seen: &Snapshot, breach: &Breach) -> String {
    let Some(cpu) = breach.cpu.and_then(|n| seen.cpus.get(n as usize)) else { return String::new() };
    let there = if cpu.is_halted() {
        "the CPU is halted in its idle loop".to_owned()
    } else {
        let runner = glass.thread_card(seen, cpu.thread).unwrap_or_default();
        format!("{} is there", described(&runner))
    };
    let level = cpu.handles.map_or_else(String::new, |pil| format!(", inside an interrupt of level {pil}"));
    let inside = match seen.deadman_panics {
        0 => "the in-guest deadman is silent".to_owned(),
        n => format!("the in-guest deadman fired {n} times"),
    };
    let locked: String = seen
        .queues()
        .filter(|(_, queue)| queue.verdict == Verdict::Stale)
        .map(|(place, _)| format!("; {} is locked", queue_name(place.cpu())))
        .collect();
    format!(
        "clock() has not run for {} ms of cpu {}'s own time (lbolt stands at {}): {there}{level}{locked}; {inside}",
        ms(breach.lasted_ns),
        cpu.id,
        seen.lbolt
    )
}

/// The sentence for a queue that disagrees with itself.
pub(super) fn runq(seen: &Snapshot, breach: &Breach, runq: &Runq) -> String {
    let queue = queue_name(breach.cpu);
    let what = runq.found().map(|found| found.to_string()).unwrap_or_default();
    format!("{queue} disagrees with itself, consistently read at lbolt {}: {what}", seen.lbolt)
}

fn queue_name(cpu: Option<u32>) -> String {
    cpu.map_or_else(|| "the kp queue".into(), |n| format!("the run queue of cpu {n}"))
}

/// `mac_soft_ring_worker (SYS 99, bound to cpu 1)`.
pub(super) fn described(card: &ThreadCard) -> String {
    let class = class::NAMES.get(usize::from(card.class)).copied().unwrap_or("class ?");
    let name = if card.name.is_empty() { "an unknown thread" } else { &card.name };
    let inherits = if card.epri > card.pri { format!(" inheriting {}", card.epri) } else { String::new() };
    let bound = card.bound_cpu.map(|n| format!(", bound to cpu {n}")).unwrap_or_default();
    format!("{name} ({class} {}{inherits}{bound})", card.pri)
}

pub(super) fn ms(ns: u64) -> String {
    format!("{}.{}", ns / 1_000_000, ns / 100_000 % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kpreemptpri: i32) -> Snapshot {
        Snapshot { kpreemptpri, ..Snapshot::default() }
    }

    fn worker() -> ThreadCard {
        ThreadCard {
            name: "mac_soft_ring_worker".into(),
            pri: 99,
            bound_cpu: Some(1),
            ..ThreadCard::default()
        }
    }

    fn qemu() -> ThreadCard {
        ThreadCard {
            name: "qemu-system-x86_".into(),
            class: class::TS as u8,
            has_lwp: true,
            ..ThreadCard::default()
        }
    }

    #[track_caller]
    fn check(kpreemptpri: i32, cpu: CpuSample, runner: ThreadCard, part: &str) {
        let sentence = cause(&seen(kpreemptpri), &cpu, &worker(), &runner);
        assert!(sentence.contains(part), "{sentence}");
    }

    #[test]
    fn cause_below_kpreemptpri_names_the_tunable() {
        let cpu = CpuSample { runrun: true, ..CpuSample::default() };

        check(
            100,
            cpu.clone(),
            qemu(),
            "because 99 < kpreemptpri = 100, and the thread does not return to user mode",
        );
        check(100, cpu, ThreadCard { has_lwp: false, ..qemu() }, "a kernel thread has no user mode");
    }

    #[test]
    fn cause_flag_that_was_never_set_blames_cpu_resched() {
        let cpu = CpuSample { runrun: true, ..CpuSample::default() };

        check(99, cpu, qemu(), "although 99 >= kpreemptpri = 99: cpu_resched did not ask");
        check(100, CpuSample::default(), qemu(), "nobody asked");
    }

    #[test]
    fn cause_flag_that_is_ignored_says_why() {
        let cpu = CpuSample { kprunrun: true, ..CpuSample::default() };

        check(99, cpu.clone(), ThreadCard { preempt: 2, ..qemu() }, "t_preempt = 2");
        check(99, cpu, qemu(), "perhaps because its priority level stays raised");
        check(99, CpuSample { dispatch_pri: -1, ..CpuSample::default() }, qemu(), "idle");
        check(99, CpuSample { handles: Some(6), ..CpuSample::default() }, qemu(), "level 6");
    }

    #[test]
    fn described_names_class_priority_and_binding() {
        assert_eq!(described(&worker()), "mac_soft_ring_worker (SYS 99, bound to cpu 1)");
        assert_eq!(described(&ThreadCard { epri: 99, ..qemu() }), "qemu-system-x86_ (TS 0 inheriting 99)");
    }
}
