//! One look at the dispatcher: plain values, with the verdict of the read that each came by.
//!
//! # Invariants
//! - Nothing here reads guest memory; the sampler fills it, everybody else looks at it.
//! - What was read under a queue's generation is in [`QueueSample`] and carries its verdict. The other values
//!   are single words, each right by itself; two of them may be of different moments.
//! - With the verdict `Stale` a queue shows what an earlier pass saw.

use super::read::Verdict;
use super::walk::{Arena, WalkEnd};

/// Words of the active map that the glass can hold: 192 levels.
pub const MAP_WORDS: usize = 3;

/// Bits of `cpu_flags`, as `mdb` names them, lowest first.
pub const CPU_FLAG_NAMES: [&str; 6] = ["RUNNING", "READY", "QUIESCED", "EXISTS", "ENABLE", "OFFLINE"];
/// The bit of `cpu_disp_flags` that says: halted in the idle loop.
pub const CPU_DISP_HALTED: u8 = 0x02;
/// `t_state` of a thread on a run queue.
pub const TS_RUN: u32 = 0x02;

/// How long a vCPU has run on the host, as the machine says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuReading {
    /// The vCPU's own running time in ns; it never goes back.
    pub ran_ns: u64,
    /// True if the vCPU is known to be ready to run: if it does not, that is the host's doing. Need only be told of the CPU
    /// that the judge has doubts about.
    pub is_ready: bool,
}

/// Everything that one pass saw.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Number of the pass, from 1.
    pub seq: u64,
    /// When the pass began, in the caller's ns.
    pub now_ns: u64,
    /// The vCPUs' running times at that moment, one a CPU.
    pub readings: Vec<CpuReading>,
    /// `lbolt`: ticks since boot.
    pub lbolt: u64,
    /// Times that `clock()` ran.
    pub clock_ticks: u64,
    /// Seconds that `clock()` has counted.
    pub deadman_counter: u32,
    /// Times that the in-guest deadman fired.
    pub deadman_panics: u32,
    /// The CPU that `clock()` runs on.
    pub clock_cpu: u32,
    /// Ticks a second.
    pub hz: u32,
    /// `kpreemptpri` in force.
    pub kpreemptpri: i32,
    /// `kpqpri` in force.
    pub kpqpri: i32,
    /// Bits of [`umpire_shared::mutant`].
    pub mutants: u64,
    /// The CPUs.
    pub cpus: Vec<CpuSample>,
    /// The partition's queue for unbound threads that preempt the kernel.
    pub kp: QueueSample,
    /// Names by thread number; empty until the thread is first met on a queue.
    pub names: Vec<String>,
    /// Where the threads lie.
    pub arena: Option<Arena>,
}

impl Snapshot {
    /// The name of a thread, or its number if it has not been met.
    pub fn name_of(&self, thread: u32) -> String {
        match self.names.get(thread as usize) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("thread {thread}"),
        }
    }

    /// Each queue with the CPU that it belongs to; the kp queue, which belongs to all, comes last.
    pub fn queues(&self) -> impl Iterator<Item = (Option<u32>, &QueueSample)> {
        let own = self.cpus.iter().enumerate().map(|(n, cpu)| (Some(n as u32), &cpu.queue));
        own.chain(std::iter::once((None, &self.kp)))
    }
}

/// One CPU.
#[derive(Debug, Clone, Default)]
pub struct CpuSample {
    /// Address of its `Cpu`.
    pub addr: u64,
    /// `cpu_id`.
    pub id: u32,
    /// `cpu_flags`.
    pub flags: u32,
    /// `cpu_thread`: what runs.
    pub thread: u64,
    /// `cpu_idle_thread`.
    pub idle_thread: u64,
    /// `cpu_dispthread`: what the dispatcher chose.
    pub dispthread: u64,
    /// `cpu_dispatch_pri`: its priority, -1 for the idle thread.
    pub dispatch_pri: i16,
    /// `cpu_chosen_level`.
    pub chosen_level: i16,
    /// `cpu_runrun`.
    pub runrun: bool,
    /// `cpu_kprunrun`.
    pub kprunrun: bool,
    /// `cpu_disp_flags`.
    pub disp_flags: u8,
    /// `cpu_base_spl`.
    pub base_spl: u8,
    /// `cpu_intr_actv`: bit `p` set while an interrupt of level `p` is active.
    pub intr_actv: u32,
    /// `cpu_last_swtch`: `lbolt` of the last switch.
    pub last_swtch: u64,
    /// Its run queue.
    pub queue: QueueSample,
}

impl CpuSample {
    /// True if it is halted in its idle loop.
    pub fn is_halted(&self) -> bool {
        self.disp_flags & CPU_DISP_HALTED != 0
    }

    /// True if it runs its idle thread.
    pub fn is_idle(&self) -> bool {
        self.thread == self.idle_thread
    }
}

/// A run queue, copied under its generation.
#[derive(Debug, Clone, Default)]
pub struct QueueSample {
    /// Address of its `Disp`.
    pub addr: u64,
    /// How far what follows can be trusted.
    pub verdict: Verdict,
    /// `disp_maxrunpri`.
    pub maxrunpri: i16,
    /// `disp_max_unbound_pri`.
    pub max_unbound_pri: i16,
    /// `disp_nrunnable`.
    pub nrunnable: u32,
    /// `disp_qactmap`.
    pub qactmap: [u64; MAP_WORDS],
    /// Each level that anything says is not empty: its bit, its count, its head or its tail. Best first.
    pub levels: Vec<LevelSample>,
    /// The threads on it, best level first, head to tail.
    pub threads: Vec<QueuedThread>,
}

impl QueueSample {
    /// The bit of a level in the active map.
    pub fn has_bit(&self, pri: usize) -> bool {
        self.qactmap.get(pri / 64).is_some_and(|word| word >> (pri % 64) & 1 == 1)
    }
}

/// A level of a run queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LevelSample {
    /// Its priority.
    pub pri: i16,
    /// Its bit in the active map.
    pub bit: bool,
    /// `dq_sruncnt`.
    pub sruncnt: u32,
    /// `dq_first`.
    pub first: u64,
    /// `dq_last`.
    pub last: u64,
    /// Threads that the walk met.
    pub walked: u32,
    /// The thread that the walk met last.
    pub tail: u64,
    /// How the walk ended.
    pub end: WalkEnd,
}

/// A thread on a run queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueuedThread {
    /// Its number (`t_did`).
    pub index: u32,
    /// The level on which it was met.
    pub level: i16,
    /// `t_pri`.
    pub pri: i16,
    /// `t_epri`.
    pub epri: i16,
    /// `t_state`.
    pub state: u32,
    /// `t_cid`.
    pub class: u8,
    /// True if it is bound to a CPU, strongly or weakly.
    pub bound: bool,
    /// `t_disp_queue`.
    pub disp_queue: u64,
    /// `t_waitrq`: the guest's time when it was put on a run queue.
    pub waitrq: u64,
}

impl QueuedThread {
    /// `DISP_PRIO`: the greater of its own and its inherited priority.
    pub fn effective_pri(&self) -> i16 {
        self.pri.max(self.epri)
    }
}
