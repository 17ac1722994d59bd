//! Why a CPU goes on with what it runs although a thread waits: the sentence of `starvation` and `latency`.
//!
//! # Invariants
//! - A sentence says only what was read at the moment of the verdict; what cannot be seen from outside (a CPU's
//!   priority level) is said to be a guess.

use std::cmp::Ordering;

use super::Breach;
use super::evidence::{Chosen, Evidence, described, ms};
use crate::glass::{CpuSample, Snapshot, ThreadCard};

/// How the CPU that owes service stood at the moment of the breach.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blame {
    id: u32,
    chosen: Chosen,
    dispatch_pri: i16,
    handles: Option<u8>,
    runrun: bool,
    kprunrun: bool,
    kpreemptpri: i32,
}

impl Blame {
    /// As this pass sees it.
    pub(super) fn of(seen: &Snapshot, cpu: &CpuSample) -> Blame {
        Blame {
            id: cpu.id,
            chosen: Chosen::on(seen, cpu),
            dispatch_pri: cpu.dispatch_pri,
            handles: cpu.handles,
            runrun: cpu.runrun,
            kprunrun: cpu.kprunrun,
            kpreemptpri: seen.kpreemptpri,
        }
    }

    /// What it ran.
    pub(super) fn thread(&self) -> Option<u32> {
        self.chosen.thread()
    }

    /// The sentence for a thread that this CPU let wait.
    pub(super) fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let victim = evidence.card(breach.thread);
        let queue = if breach.part.is_some() { " on the kp queue" } else { "" };
        format!(
            "{} waited{queue} {} ms of cpu {}'s own time behind {}: {}",
            described(&victim),
            ms(breach.lasted_ns),
            self.id,
            self.chosen.described(evidence),
            self.cause(&victim, &evidence.card(self.thread()))
        )
    }

    /// Why the CPU goes on with `runner` although `victim` waits.
    fn cause(&self, victim: &ThreadCard, runner: &ThreadCard) -> String {
        let pri = victim.pri.max(victim.epri);
        if self.handles.is_none() && self.dispatch_pri >= pri {
            return match self.dispatch_pri.cmp(&pri) {
                Ordering::Equal => "an equal: it runs until it blocks, yields or has used its quantum".into(),
                _ => "a better thread: it runs for as long as it likes".into(),
            };
        }
        let kpreemptpri = self.kpreemptpri;
        let reaches = i32::from(pri) >= kpreemptpri;
        if let Some(pil) = self.handles {
            return format!("the CPU is handling an interrupt of level {pil}");
        }
        if self.dispatch_pri < 0 {
            return "the CPU is idle and does not take the thread".into();
        }
        if self.kprunrun && runner.preempt > 0 {
            return format!(
                "cpu_kprunrun is set, but {} has t_preempt = {} and may not be preempted",
                runner.name, runner.preempt
            );
        }
        if self.kprunrun {
            return "cpu_kprunrun is set, but nothing looks at it: the CPU takes no interrupt that could, perhaps \
                    because its priority level stays raised"
                .into();
        }
        if reaches {
            return format!(
                "cpu_kprunrun is not set, although {pri} >= kpreemptpri = {kpreemptpri}: cpu_resched did not ask"
            );
        }
        if !self.runrun {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_shared::sys::class;

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
    fn check(kpreemptpri: i32, cpu: &CpuSample, runner: &ThreadCard, part: &str) {
        let sentence = Blame::of(&seen(kpreemptpri), cpu).cause(&worker(), runner);
        assert!(sentence.contains(part), "{sentence}");
    }

    #[test]
    fn cause_below_kpreemptpri_names_the_tunable() {
        let cpu = CpuSample { runrun: true, ..CpuSample::default() };

        check(
            100,
            &cpu,
            &qemu(),
            "because 99 < kpreemptpri = 100, and the thread does not return to user mode",
        );
        check(100, &cpu, &ThreadCard { has_lwp: false, ..qemu() }, "a kernel thread has no user mode");
    }

    #[test]
    fn cause_flag_that_was_never_set_blames_cpu_resched() {
        let cpu = CpuSample { runrun: true, ..CpuSample::default() };

        check(99, &cpu, &qemu(), "although 99 >= kpreemptpri = 99: cpu_resched did not ask");
        check(100, &CpuSample::default(), &qemu(), "nobody asked");
    }

    #[test]
    fn cause_flag_that_is_ignored_says_why() {
        let cpu = CpuSample { kprunrun: true, ..CpuSample::default() };

        check(99, &cpu, &ThreadCard { preempt: 2, ..qemu() }, "t_preempt = 2");
        check(99, &cpu, &qemu(), "perhaps because its priority level stays raised");
        check(99, &CpuSample { dispatch_pri: -1, ..CpuSample::default() }, &qemu(), "idle");
        check(99, &CpuSample { handles: Some(6), ..CpuSample::default() }, &qemu(), "level 6");
    }
}
