//! The scenario's threads: what each does, and how far its workload is.
//!
//! # Invariants
//! - These are single words, each right by itself; two of them may be of different moments.

use super::Glass;
use super::cpu::CpuSample;
use super::look::Look;
use super::record::record;
use umpire_shared::sys::thread::{pflag, ts};

record! {
    /// A thread of the scenario.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct WorkerSample / WorkerPlaces of Kthread {
        read {
            /// `t_state`.
            state: u32 = number "t_state",
            /// `t_proc_flag`.
            proc_flag: u16 = number "t_proc_flag",
            /// `t_pri`.
            own_pri: i16 = number "t_pri",
            /// `t_epri`: what it inherits.
            epri: i16 = number "t_epri",
            /// `t_cid`.
            class: u8 = number "t_cid",
            /// `t_bound_cpu`: strong binding.
            bound_cpu: u64 = pointer "t_bound_cpu",
            /// `t_weakbound_cpu`: weak binding.
            weakbound_cpu: u64 = pointer "t_weakbound_cpu",
            /// `t_waitq`: the address of the wait queue of a cap that it is on, 0 for none.
            waitq: u64 = pointer "t_waitq",
            /// `t_progress`: turns that its workload has done.
            progress: u64 = number "t_progress",
        }
        known {
            /// Its number.
            index: u32,
            /// Its effective priority.
            pri: i16,
            /// The CPU that it is bound to.
            cpu: Option<u32>,
        }
    }
}

impl WorkerSample {
    /// True unless it has ended, has not been made yet, or is stopped.
    pub fn is_at_work(&self) -> bool {
        is_at_work(self.state)
    }

    /// True if it is stopped because somebody has asked for it, and not because it has not begun.
    pub fn was_stopped(&self) -> bool {
        self.state == ts::STOPPED && self.proc_flag & pflag::PRSTOP != 0
    }

    /// True if it may not run because its project or zone has used what its cap allows.
    pub fn is_held_by_cap(&self) -> bool {
        self.state == ts::WAIT
    }

    /// What it does, as its state tells.
    pub fn doing(&self) -> &'static str {
        match self.state {
            ts::SLEEP => "sleeps",
            ts::RUN => "waits on a run queue",
            ts::ONPROC => "is on a CPU",
            ts::WAIT => "waits for a CPU cap",
            ts::STOPPED => "is stopped",
            _ => "is not at work",
        }
    }
}

/// True for the `t_state` of a thread that has neither ended nor been stopped.
pub(super) fn is_at_work(state: u32) -> bool {
    matches!(state, ts::SLEEP | ts::RUN | ts::ONPROC | ts::WAIT)
}

/// Reads the threads from `first` on, `count` of them.
pub(super) fn look(
    look: &mut Look<'_>,
    (first, count): (u32, u32),
    cpus: &[CpuSample],
    into: &mut Vec<WorkerSample>,
) {
    into.clear();
    for index in first..first + count {
        let mut worker = WorkerSample { index, ..WorkerSample::default() };
        if !look.layout.worker.read(look.memory, look.arena.address_of(index), look.room, &mut worker) {
            return;
        }
        let bound = if worker.weakbound_cpu == 0 { worker.bound_cpu } else { worker.weakbound_cpu };
        let is_it = |cpu: &CpuSample| bound != 0 && cpu.addr == bound;
        worker.pri = worker.own_pri.max(worker.epri);
        worker.cpu = cpus.iter().position(is_it).map(|n| n as u32);
        into.push(worker);
    }
}

impl Glass {
    /// Turns that the workloads of all threads together have done; 0 while there is no kernel.
    pub fn total_progress(&self) -> u64 {
        let Ok(Some(view)) = self.kernel() else { return 0 };
        let at = self.layout.worker.progress.offset as u64;
        (0..view.arena.count)
            .filter_map(|t| self.memory.read_u64(view.arena.address_of(t).wrapping_add(at)))
            .fold(0, u64::wrapping_add)
    }
}
