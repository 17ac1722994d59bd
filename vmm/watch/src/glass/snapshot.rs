//! One look at the dispatcher: plain values, with the verdict of the read that each came by.
//!
//! # Invariants
//! - Nothing here reads guest memory; the sampler fills it, everybody else looks at it.
//! - What was read under a queue's generation is in [`QueueSample`] and carries its verdict. The other values
//!   are single words, each right by itself; two of them may be of different moments.
//! - With the verdict `Stale` a queue shows what an earlier pass saw.

use std::fmt;

use super::read::Verdict;
use super::walk::{Arena, WalkEnd};
use umpire_shared::sys::cpuvar::{disp_flag, flag};
use umpire_shared::sys::disp::QACTMAP_WORDS;
use umpire_shared::sys::klwp::lwp;
use umpire_shared::sys::thread::{tflag, ts};

/// How long a vCPU has run on the host, as the machine says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuReading {
    /// The vCPU's own running time in ns; it never goes back.
    pub ran_ns: u64,
    /// True if the vCPU is known to be ready to run: if it does not, that is the host's doing. Need only be told of
    /// CPUs that the judge has doubts about.
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
    /// `upreemptpri` in force.
    pub upreemptpri: i32,
    /// `nosteal_nsec` in force, in ns.
    pub nosteal_ns: u64,
    /// `kpqpri` in force.
    pub kpqpri: i32,
    /// The CPUs.
    pub cpus: Vec<CpuSample>,
    /// The partitions' queues for unbound threads that preempt the kernel: the default partition's, then those of the
    /// processor sets.
    pub kps: Vec<QueueSample>,
    /// Who owns what others wait for; read if wanted.
    pub owners: Vec<OwnerSample>,
    /// Chains of turnstiles that could not be read consistently.
    pub torn_chains: u32,
    /// The scenario's threads, in its order; read if wanted.
    pub workers: Vec<WorkerSample>,
    /// True if `times` and `projects` were read in this pass.
    pub has_times: bool,
    /// The CPU time of each thread, by number.
    pub times: Vec<ThreadTime>,
    /// The projects.
    pub projects: Vec<ProjectSample>,
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

    /// Each queue with the CPU or the partition that it belongs to; those of partitions come last.
    pub fn queues(&self) -> impl Iterator<Item = (Place, &QueueSample)> {
        let own = self.cpus.iter().enumerate().map(|(n, cpu)| (Place::Cpu(n as u32), &cpu.queue));
        let kps = self.kps.iter().enumerate().map(|(n, queue)| (Place::Part(n as u32), queue));
        own.chain(kps)
    }

    /// The CPUs of a partition, with their numbers.
    pub fn cpus_of(&self, part: u32) -> impl Iterator<Item = (u32, &CpuSample)> {
        let all = self.cpus.iter().enumerate().map(|(n, cpu)| (n as u32, cpu));
        all.filter(move |(_, cpu)| cpu.part == part)
    }
}

/// Whose queue it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A CPU's own.
    Cpu(u32),
    /// The kp queue of a partition: 0 for the default one.
    Part(u32),
}

impl Place {
    /// The CPU, unless it is a kp queue.
    pub fn cpu(self) -> Option<u32> {
        match self {
            Place::Cpu(cpu) => Some(cpu),
            Place::Part(_) => None,
        }
    }

    /// The partition, if it is a kp queue.
    pub fn part(self) -> Option<u32> {
        match self {
            Place::Cpu(_) => None,
            Place::Part(part) => Some(part),
        }
    }
}

/// `the run queue of cpu 1`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Cpu(cpu) => write!(f, "the run queue of cpu {cpu}"),
            Place::Part(0) => f.write_str("the kp queue"),
            Place::Part(part) => write!(f, "the kp queue of processor set {part}"),
        }
    }
}

/// Who runs on a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Runner {
    /// The number of `cpu_thread`; `None` if that is no thread, or was not read.
    pub index: Option<u32>,
    /// `pswitch`: counted before each switch, so while it stands still `cpu_thread` stays.
    pub pswitch: u64,
    /// `inv_swtch`: counted at each preemption, even if the thread goes on.
    pub inv_swtch: u64,
    /// Its `t_preempt`.
    pub preempt: u8,
    /// Its `lwp_state`.
    pub lwp_state: u8,
    /// Its `t_flag`.
    pub flag: u16,
    /// Its `t_waitrq`: 0 unless it waits, or is on its way back from there.
    pub waitrq: u64,
}

impl Runner {
    /// True if it is in user mode.
    pub fn is_user(&self) -> bool {
        self.lwp_state == lwp::USER
    }

    /// True if it is an interrupt thread.
    pub fn is_intr(&self) -> bool {
        self.flag & tflag::INTR_THREAD != 0
    }
}

/// A cyclic in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CyclicSample {
    /// Its place among its CPU's.
    pub slot: u32,
    /// `cy_handler`: one of [`umpire_shared::sys::cyclic::handler`].
    pub handler: u8,
    /// `cy_level`.
    pub level: u8,
    /// `cy_pend`: times owed.
    pub pend: u32,
}

/// A lock that somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnerSample {
    /// The number of its turnstile.
    pub turnstile: u32,
    /// Its address.
    pub sobj: u64,
    /// What it is: one of [`umpire_shared::sys::sobject::sobj`].
    pub kind: u8,
    /// The owner; `None` while readers hold it.
    pub owner: Option<u32>,
    /// The owner's effective priority.
    pub owner_pri: i16,
    /// The owner's own priority.
    pub owner_own: i16,
    /// The best of those who wait.
    pub waiter: u32,
    /// That one's effective priority.
    pub waiter_pri: i16,
    /// That one's own priority.
    pub waiter_own: i16,
    /// Address of the CPU on which the waiter went to sleep.
    pub waiter_cpu: u64,
}

/// A thread of the scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkerSample {
    /// Its number.
    pub index: u32,
    /// `t_progress`: turns that its workload has done.
    pub progress: u64,
    /// `t_state`.
    pub state: u32,
    /// Its effective priority.
    pub pri: i16,
    /// `t_cid`.
    pub class: u8,
    /// The CPU that it is bound to.
    pub cpu: Option<u32>,
}

impl WorkerSample {
    /// True unless it has ended, has not been made yet, or has been stopped.
    pub fn is_at_work(&self) -> bool {
        matches!(self.state, ts::SLEEP | ts::RUN | ts::ONPROC | ts::WAIT)
    }

    /// True if it may not run because its project or zone has had what its cap allows.
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
            _ => "is not at work",
        }
    }
}

/// What a thread has had of the CPUs, in the guest's ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ThreadTime {
    /// `t_cid`.
    pub class: u8,
    /// `t_project`.
    pub project: u32,
    /// Class SDC: what it aims at, in per cent.
    pub duty_cycle: u8,
    /// Address of the CPU where it runs, ran, or waits (`t_cpu`).
    pub cpu: u64,
    /// Ran, in user mode or in the kernel.
    pub ran_ns: u64,
    /// Waited on a run queue, or for a CPU cap.
    pub waited_ns: u64,
    /// `t_mstate`: what it does now.
    pub state: u8,
    /// `t_mstart`: since when.
    pub since_ns: u64,
}

/// A project of the fair-share class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProjectSample {
    /// Its shares within its zone.
    pub shares: u32,
    /// The number of the first project of its zone.
    pub zone: u32,
    /// The shares of its zone.
    pub zone_shares: u32,
    /// What its threads may use of one CPU, in per cent; 0 if it is not capped.
    pub cap_percent: u32,
    /// What the threads of its zone may, if it is the zone's first project.
    pub zone_cap_percent: u32,
    /// True for the project `system`, which has a rule of its own.
    pub is_system: bool,
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
    /// The level of the interrupt that it handles now. A level whose thread is blocked stays active, but is not handled.
    pub handles: Option<u8>,
    /// `cpu_last_swtch`: `lbolt` of the last switch.
    pub last_swtch: u64,
    /// The partition that it is in: 0 for the default one.
    pub part: u32,
    /// Who runs there; read if wanted.
    pub runner: Runner,
    /// Its cyclics in use; read if wanted.
    pub cyclics: Vec<CyclicSample>,
    /// Its run queue.
    pub queue: QueueSample,
}

impl CpuSample {
    /// True if it is halted in its idle loop.
    pub fn is_halted(&self) -> bool {
        self.disp_flags & disp_flag::HALTED != 0
    }

    /// True if it takes work: neither quiesced nor offline.
    pub fn takes_work(&self) -> bool {
        self.flags & (flag::QUIESCED | flag::OFFLINE) == 0
    }

    /// True if it runs an interrupt thread that pins what the dispatcher chose, which goes on when that is done.
    pub fn is_pinning(&self) -> bool {
        self.runner.is_intr() && self.thread != self.dispthread
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
    /// The passes so far that could not read it consistently.
    pub unread: u64,
    /// `disp_maxrunpri`.
    pub maxrunpri: i16,
    /// `disp_max_unbound_pri`.
    pub max_unbound_pri: i16,
    /// `disp_nrunnable`.
    pub nrunnable: u32,
    /// `disp_qactmap`.
    pub qactmap: [u64; QACTMAP_WORDS],
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
