//! To whom time is charged: the microstates of threads and CPUs, the time that interrupts took, and the ticks.
//!
//! # Invariants
//! - What is here held at one moment: each account is copied twice, and counts as read only if both copies are the same. A start
//!   never goes back, so that what changed and changed back would show.
//! - A change that was under way at that moment may be half in it: an account that has grown already, with the start that it grew
//!   from. See `mstate.rs` of the kernel.

use super::look::Look;
use super::record::record;
use super::snapshot::Snapshot;
use umpire_shared::sys::cpuvar::cms;
use umpire_shared::sys::machlock::LEVELS;
use umpire_shared::sys::msacct::lms;
use umpire_shared::sys::thread::tflag;

record! {
    /// What a thread does.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Doings / DoingsPlaces of Kthread {
        read {
            /// `t_state`.
            state: u32 = number "t_state",
            /// `t_flag`.
            flag: u16 = number "t_flag",
            /// `t_runs`: times that it came onto a CPU.
            runs: u32 = number "t_runs",
            /// `t_moves`: times that it was put before its equals, taken off its queue and put onto one anew, or came back from under
            /// an interrupt thread without having waited.
            moves: u32 = number "t_moves",
            /// `t_lbolt`: the tick that was charged to it last.
            lbolt: u64 = number "t_lbolt",
        }
        known {}
    }
}

record! {
    /// A thread's account.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct ThreadAccount / ThreadAccountPlaces of Kthread {
        read {
            /// `t_mstate`: the microstate that it is in.
            mstate: u8 = number "t_mstate",
            /// `t_mstart`: since when.
            since_ns: u64 = number "t_mstart",
            /// `t_ms_start`: when it was made.
            born_ns: u64 = number "t_ms_start",
            /// `t_acct`: ns in each microstate, the current stay not counted.
            spent_ns: [u64; lms::COUNT] = array "t_acct",
        }
        known {
            /// What the thread does.
            does: Doings,
            /// False if two copies differed.
            is_whole: bool,
        }
    }
}

record! {
    /// What interrupts took of a CPU, by level.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct LevelTimes / LevelTimePlaces of Cpu {
        read {
            /// `cpu_intrstat`: ns in handlers of each level, from level 1 on.
            ns: [u64; LEVELS as usize - 1] = array "cpu_intrstat.level_time",
        }
        known {}
    }
}

record! {
    /// A CPU's account.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct CpuAccount / CpuAccountPlaces of Cpu {
        read {
            /// `cpu_mstate`: the microstate that it is in.
            mstate: u8 = number "cpu_ms.cpu_mstate",
            /// `cpu_mstate_start`: since when.
            since_ns: u64 = number "cpu_ms.cpu_mstate_start",
            /// `cpu_acct`: ns in each microstate, the current stay not counted.
            spent_ns: [u64; cms::COUNT] = array "cpu_ms.cpu_acct",
            /// `cpu_intracct`: ns that interrupts took of each.
            interrupted_ns: [u64; cms::COUNT] = array "cpu_ms.cpu_intracct",
        }
        known {
            /// The same by level.
            levels: LevelTimes,
            /// False if two copies differed.
            is_whole: bool,
        }
    }
}

impl ThreadAccount {
    /// True for a thread that does not handle interrupts.
    pub fn is_ordinary(&self) -> bool {
        self.does.flag & tflag::INTR_THREAD == 0
    }

    /// What it ran, in user mode or in the kernel, the current stay not counted.
    pub fn ran_ns(&self) -> u64 {
        let spent =
            [lms::USER, lms::SYSTEM, lms::TRAP].iter().map(|&state| self.spent_ns[usize::from(state)]);
        spent.fold(0, u64::wrapping_add)
    }

    /// ns of its life up to the current stay that no account has, or below 0 those that accounts have too many.
    pub fn missing_ns(&self) -> i64 {
        missing(self.since_ns.wrapping_sub(self.born_ns), &self.spent_ns)
    }
}

impl CpuAccount {
    /// ns up to the current stay that no account has, or below 0 those that accounts have too many.
    pub fn missing_ns(&self) -> i64 {
        missing(self.since_ns, &self.spent_ns)
    }

    /// What interrupts of all levels took together.
    pub fn interrupts_ns(&self) -> u64 {
        self.levels.ns.iter().fold(0, |sum, ns| sum.wrapping_add(*ns))
    }

    /// ns of that which they took of no state, or below 0 those that they took twice.
    pub fn missing_interrupts_ns(&self) -> i64 {
        missing(self.interrupts_ns(), &self.interrupted_ns)
    }
}

fn missing(whole_ns: u64, spent_ns: &[u64]) -> i64 {
    spent_ns.iter().fold(whole_ns, |left, ns| left.wrapping_sub(*ns)) as i64
}

/// Reads the accounts of all threads and CPUs.
pub(super) fn look(look: &mut Look<'_>, into: &mut Snapshot) {
    let Snapshot { cpus, accounts: threads, cpu_accounts: of_cpus, .. } = into;
    threads.clear();
    for index in 0..look.arena.count {
        let at = look.arena.address_of(index);
        let mut copies = [ThreadAccount::default(); 2];
        let is_read = copies.iter_mut().all(|copy| {
            look.layout.doings.read(look.memory, at, look.room, &mut copy.does)
                && look.layout.thread_account.read(look.memory, at, look.room, copy)
        });
        let [first, second] = copies;
        threads.push(ThreadAccount { is_whole: is_read && first == second, ..second });
    }
    of_cpus.clear();
    for cpu in cpus {
        let mut copies = [CpuAccount::default(); 2];
        let is_read = copies.iter_mut().all(|copy| {
            look.layout.level_times.read(look.memory, cpu.addr, look.room, &mut copy.levels)
                && look.layout.cpu_account.read(look.memory, cpu.addr, look.room, copy)
        });
        let [first, second] = copies;
        of_cpus.push(CpuAccount { is_whole: is_read && first == second, ..second });
    }
}
