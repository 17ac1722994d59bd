//! What each thread has had of the CPUs, and the projects that share them.
//!
//! # Invariants
//! - These are single words, each right by itself; two of them may be of different moments.
//! - The number of projects is not believed beyond [`MAX_PROJECTS`].

use super::look::Look;
use super::record::record;
use super::snapshot::Snapshot;
use super::workers::is_at_work;
use umpire_shared::sys::class;
use umpire_shared::sys::msacct::{is_running, lms};
use umpire_shared::sys::thread::tflag;

/// Projects that are read at most.
const MAX_PROJECTS: u64 = 4096;

record! {
    /// What a thread has had of the CPUs, in the guest's ns.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct ThreadTime / TimePlaces of Kthread {
        read {
            /// `t_cid`.
            class: u8 = number "t_cid",
            /// `t_pri`.
            own_pri: i16 = number "t_pri",
            /// `t_epri`: what it inherits.
            epri: i16 = number "t_epri",
            /// `t_project`.
            project: u32 = number "t_project",
            /// Class SDC: the duty cycle that it aims at, in per cent.
            duty_cycle: u8 = number "t_cldata.sdc.sdc_target_dc",
            /// Address of the CPU where it runs, ran, or waits (`t_cpu`).
            cpu: u64 = pointer "t_cpu",
            /// Address of the CPU that it is bound to, or 0 (`t_bound_cpu`).
            bound_cpu: u64 = pointer "t_bound_cpu",
            /// Address of its partition (`t_cpupart`).
            part: u64 = pointer "t_cpupart",
            /// Ran in user mode.
            in_user_ns: u64 = number "t_acct" [lms::USER],
            /// Ran in the kernel.
            in_system_ns: u64 = number "t_acct" [lms::SYSTEM],
            /// Ran in a trap.
            in_trap_ns: u64 = number "t_acct" [lms::TRAP],
            /// Waited on a run queue, or for a CPU cap; with what it now waits, if it does.
            waited_ns: u64 = number "t_acct" [lms::WAIT_CPU],
            /// `t_state`.
            sched_state: u32 = number "t_state",
            /// `t_flag`.
            flag: u16 = number "t_flag",
            /// `t_mstate`: what it does now.
            state: u8 = number "t_mstate",
            /// `t_mstart`: since when.
            since_ns: u64 = number "t_mstart",
        }
        known {
            /// Ran, in user mode or in the kernel; with what it now runs, if it does.
            ran_ns: u64,
        }
    }
}

impl ThreadTime {
    /// The greater of its own and its inherited priority.
    pub fn effective_pri(&self) -> i16 {
        self.own_pri.max(self.epri)
    }

    /// True if it is a thread that the dispatcher serves, it has run or waited for a CPU, and has neither ended nor been stopped. An
    /// idle thread and an interrupt thread are served by nobody.
    pub fn has_wanted(&self) -> bool {
        let is_served = self.own_pri >= 0 && self.flag & tflag::INTR_THREAD == 0;
        is_served && self.ran_ns.saturating_add(self.waited_ns) > 0 && is_at_work(self.sched_state)
    }
}

record! {
    /// A project of the fair-share class.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct ProjectSample / ProjectPlaces of Kproject {
        read {
            /// Its shares within its zone.
            shares: u32 = number "kpj_shares",
            /// The number of the first project of its zone.
            zone: u32 = number "kpj_zone",
            /// The shares of its zone.
            zone_shares: u32 = number "kpj_zone_shares",
            /// What its threads may use of one CPU, in per cent; 0 if it is not capped.
            cap_percent: u32 = number "kpj_cap",
            /// What the threads of its zone may use likewise, if it is the zone's first project.
            zone_cap_percent: u32 = number "kpj_zone_cap",
            /// True for the project `system`, which has a rule of its own.
            is_system: bool = number "kpj_is_system",
        }
        known {}
    }
}

/// Reads the times of all threads, and the projects: the first, and how many.
pub(super) fn look(look: &mut Look<'_>, (first, count): (u64, u64), into: &mut Snapshot) {
    into.times.clear();
    into.projects.clear();
    let mut latest = into.lbolt.saturating_mul(1_000_000_000 / u64::from(into.hz.max(1)));
    for index in 0..look.arena.count {
        let mut time = ThreadTime::default();
        if !look.layout.times.read(look.memory, look.arena.address_of(index), look.room, &mut time) {
            return;
        }
        latest = latest.max(time.since_ns);
        time.ran_ns = time.in_user_ns.wrapping_add(time.in_system_ns).wrapping_add(time.in_trap_ns);
        into.times.push(time);
    }
    // The stay that has not ended counts as well. The guest's clock cannot be read from here; the last change of any thread is
    // the latest time that can be known.
    for time in &mut into.times {
        let stay = latest.saturating_sub(time.since_ns);
        match time.state {
            state if is_running(state) => time.ran_ns = time.ran_ns.wrapping_add(stay),
            lms::WAIT_CPU => time.waited_ns = time.waited_ns.wrapping_add(stay),
            _ => {}
        }
    }
    for n in 0..count.min(MAX_PROJECTS) {
        let at = first.wrapping_add(n.wrapping_mul(look.layout.sizes.project));
        let mut project = ProjectSample::default();
        let _else_nothing = look.layout.project.read(look.memory, at, look.room, &mut project);
        into.projects.push(project);
    }
}

/// True for threads of the class that shares by projects.
pub fn is_fair_share(class: u8) -> bool {
    u32::from(class) == class::FSS
}

/// True for threads of the class that keeps a duty cycle.
pub fn has_duty_cycle(class: u8) -> bool {
    u32::from(class) == class::SDC
}
