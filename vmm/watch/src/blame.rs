//! Blame: which of the dispatcher's rules keeps a CPU from serving a thread that waits, and what would end it.
//!
//! A verdict's sentence and `umpire why` are made of the same [`Mechanism`]: of what a pass of the sampler read, or of what a recording
//! holds of that moment.
//!
//! # Invariants
//! - A sentence says only what was read or recorded; what cannot be seen from outside (a CPU's priority level) is said to be a guess.
//! - A remedy is one change, and by the rules of the kernel it ends the wait. Where no single one does, there is none.

use std::cmp::Ordering;

use crate::glass::{CpuSample, Snapshot, ThreadCard};

/// How a CPU stood at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stand {
    /// `cpu_dispatch_pri`: the priority of what the dispatcher chose, -1 for the idle thread.
    pub dispatch_pri: i16,
    /// The level of the interrupt that it handled.
    pub handles: Option<u8>,
    /// `cpu_runrun`.
    pub runrun: bool,
    /// `cpu_kprunrun`.
    pub kprunrun: bool,
    /// `kpreemptpri` in force.
    pub kpreemptpri: i32,
}

impl Stand {
    /// As this pass saw it.
    pub fn of(seen: &Snapshot, cpu: &CpuSample) -> Stand {
        Stand {
            dispatch_pri: cpu.dispatch_pri,
            handles: cpu.handles,
            runrun: cpu.runrun,
            kprunrun: cpu.kprunrun,
            kpreemptpri: seen.kpreemptpri,
        }
    }
}

/// What of a thread that runs keeps it from looking at `cpu_runrun`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// It is in user mode and takes no interrupt.
    User,
    /// It has an LWP, and does not leave the kernel.
    Kernel,
    /// It has no LWP, so it has no user mode.
    Always,
}

/// Which rule lets a CPU go on with what it runs although a thread waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mechanism {
    /// It runs a better thread.
    Better,
    /// It runs an equal.
    Equal,
    /// It handles an interrupt of this level.
    Interrupt(u8),
    /// It is idle and does not take the thread.
    Idle,
    /// What runs there may not be preempted: its name and its `t_preempt`.
    NoPreempt(String, u8),
    /// It was told to preempt, and nothing looks.
    Pil,
    /// The thread's priority would have preempted the kernel, and nobody said so.
    NotAsked {
        /// The thread's priority.
        pri: i16,
        /// The threshold.
        kpreemptpri: i32,
    },
    /// No flag is set.
    NobodyAsked {
        /// The thread's priority.
        pri: i16,
        /// The threshold.
        kpreemptpri: i32,
    },
    /// The thread's priority is below the threshold, so that only `cpu_runrun` is set.
    Kpreemptpri {
        /// The thread's priority.
        pri: i16,
        /// The threshold.
        kpreemptpri: i32,
        /// Why that flag is not looked at.
        stays: Stays,
    },
}

impl Mechanism {
    /// Why a CPU that stands so goes on with `runner` although `victim` waits.
    pub fn of(stand: &Stand, victim: &ThreadCard, runner: &ThreadCard) -> Mechanism {
        let pri = victim.pri.max(victim.epri);
        if let Some(pil) = stand.handles {
            return Mechanism::Interrupt(pil);
        }
        match stand.dispatch_pri.cmp(&pri) {
            Ordering::Greater => return Mechanism::Better,
            Ordering::Equal => return Mechanism::Equal,
            Ordering::Less => {}
        }
        let kpreemptpri = stand.kpreemptpri;
        if stand.dispatch_pri < 0 {
            Mechanism::Idle
        } else if stand.kprunrun && runner.preempt > 0 {
            Mechanism::NoPreempt(runner.name.clone(), runner.preempt)
        } else if stand.kprunrun {
            Mechanism::Pil
        } else if i32::from(pri) >= kpreemptpri {
            Mechanism::NotAsked { pri, kpreemptpri }
        } else if !stand.runrun {
            Mechanism::NobodyAsked { pri, kpreemptpri }
        } else {
            let stays = match (runner.is_user, runner.has_lwp) {
                (true, _) => Stays::User,
                (false, true) => Stays::Kernel,
                (false, false) => Stays::Always,
            };
            Mechanism::Kpreemptpri { pri, kpreemptpri, stays }
        }
    }

    /// Its name in results.
    pub fn name(&self) -> &'static str {
        match self {
            Mechanism::Better => "better",
            Mechanism::Equal => "equal",
            Mechanism::Interrupt(_) => "interrupt",
            Mechanism::Idle => "idle",
            Mechanism::NoPreempt(..) => "t_preempt",
            Mechanism::Pil => "pil",
            Mechanism::NotAsked { .. } => "not asked",
            Mechanism::NobodyAsked { .. } => "nobody asked",
            Mechanism::Kpreemptpri { .. } => "kpreemptpri",
        }
    }

    /// Why the CPU goes on, as the end of a sentence.
    pub fn says(&self) -> String {
        match self {
            Mechanism::Better => "a better thread: it runs for as long as it likes".to_owned(),
            Mechanism::Equal => {
                "an equal: it runs until it blocks, yields or has used its quantum".to_owned()
            }
            Mechanism::Interrupt(pil) => format!("the CPU is handling an interrupt of level {pil}"),
            Mechanism::Idle => "the CPU is idle and does not take the thread".to_owned(),
            Mechanism::NoPreempt(name, depth) => {
                format!("cpu_kprunrun is set, but {name} has t_preempt = {depth} and may not be preempted")
            }
            Mechanism::Pil => {
                "cpu_kprunrun is set, but nothing looks at it: the CPU takes no interrupt that could, \
                               perhaps because its priority level stays raised"
                    .to_owned()
            }
            Mechanism::NotAsked { pri, kpreemptpri } => format!(
                "cpu_kprunrun is not set, although {pri} >= kpreemptpri = {kpreemptpri}: cpu_resched did not ask"
            ),
            Mechanism::NobodyAsked { kpreemptpri, .. } => format!(
                "neither cpu_runrun nor cpu_kprunrun (it needs kpreemptpri = {kpreemptpri}) is set: nobody asked the CPU \
                 to think again"
            ),
            Mechanism::Kpreemptpri { pri, kpreemptpri, stays } => {
                let stays = match stays {
                    Stays::User => "the thread takes no interrupt in user mode",
                    Stays::Kernel => "the thread does not return to user mode",
                    Stays::Always => "a kernel thread has no user mode to return to",
                };
                format!(
                    "cpu_runrun is set, but cpu_kprunrun is not, because {pri} < kpreemptpri = {kpreemptpri}, and {stays}"
                )
            }
        }
    }

    /// The tunable and the value that would have ended it, if one does.
    pub fn tunable(&self) -> Option<(&'static str, i64)> {
        match self {
            // cpu_resched compares when the thread is queued: with the threshold at its priority it sets cpu_kprunrun, which every
            // return from an interrupt looks at.
            Mechanism::Kpreemptpri { pri, stays: Stays::Kernel | Stays::Always, .. } => {
                Some(("kpreemptpri", i64::from(*pri)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_shared::sys::class;

    fn worker() -> ThreadCard {
        ThreadCard {
            name: "mac_soft_ring_worker".into(),
            pri: 99,
            bound_cpu: Some(1),
            ..ThreadCard::default()
        }
    }

    fn qemu() -> ThreadCard {
        let class = class::TS as u8;
        ThreadCard { name: "qemu-system-x86_".into(), class, has_lwp: true, ..ThreadCard::default() }
    }

    #[track_caller]
    fn check(stand: &Stand, runner: &ThreadCard, name: &str, part: &str) {
        let mechanism = Mechanism::of(stand, &worker(), runner);
        assert_eq!(mechanism.name(), name);
        assert!(mechanism.says().contains(part), "{}", mechanism.says());
    }

    #[test]
    fn below_kpreemptpri_it_is_the_tunable_and_its_value_would_end_it() {
        let stand = Stand { kpreemptpri: 100, runrun: true, ..Stand::default() };

        check(
            &stand,
            &qemu(),
            "kpreemptpri",
            "because 99 < kpreemptpri = 100, and the thread does not return to user mode",
        );
        let kernel = ThreadCard { has_lwp: false, ..qemu() };
        check(&stand, &kernel, "kpreemptpri", "a kernel thread has no user mode");
        assert_eq!(Mechanism::of(&stand, &worker(), &qemu()).tunable(), Some(("kpreemptpri", 99)));
        let user = ThreadCard { is_user: true, ..qemu() };
        assert_eq!(
            Mechanism::of(&stand, &worker(), &user).tunable(),
            None,
            "no interrupt comes, so no flag is looked at"
        );
    }

    #[test]
    fn flag_that_was_never_set_blames_cpu_resched() {
        let stand = Stand { kpreemptpri: 99, runrun: true, ..Stand::default() };

        check(&stand, &qemu(), "not asked", "although 99 >= kpreemptpri = 99: cpu_resched did not ask");
        check(&Stand { kpreemptpri: 100, ..Stand::default() }, &qemu(), "nobody asked", "nobody asked");
    }

    #[test]
    fn flag_that_is_ignored_says_why() {
        let stand = Stand { kpreemptpri: 99, kprunrun: true, ..Stand::default() };

        check(&stand, &ThreadCard { preempt: 2, ..qemu() }, "t_preempt", "t_preempt = 2");
        check(&stand, &qemu(), "pil", "perhaps because its priority level stays raised");
        check(&Stand { dispatch_pri: -1, ..stand }, &qemu(), "idle", "idle");
        check(&Stand { handles: Some(6), ..stand }, &qemu(), "interrupt", "level 6");
    }

    #[test]
    fn better_and_equal_thread_needs_no_flag() {
        let stand = Stand { kpreemptpri: 99, dispatch_pri: 99, ..Stand::default() };

        check(&stand, &qemu(), "equal", "has used its quantum");
        check(&Stand { dispatch_pri: 109, ..stand }, &qemu(), "better", "as long as it likes");
    }
}
