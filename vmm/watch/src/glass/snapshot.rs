//! One look at the dispatcher: plain values, with the verdict of the read that each came by.
//!
//! # Invariants
//! - Nothing here reads guest memory; the sampler fills a snapshot, and all other code only looks at it.
//! - What was read under a queue's generation is in [`QueueSample`] and carries its verdict. The other values
//!   are single words, each right by itself; two of them may be of different moments.
//! - With the verdict `Stale` a queue shows what an earlier pass saw.

use std::fmt;

use super::accounts::{CpuAccount, ThreadAccount};
use super::cpu::CpuSample;
use super::memory::{CacheSample, MemorySample};
use super::owners::OwnerSample;
use super::queue::QueueSample;
use super::record::record;
use super::streams::{StrQueueSample, StreamSample};
use super::taskqs::TaskqSample;
use super::times::{ProjectSample, ThreadTime};
use super::walk::Arena;
use super::workers::WorkerSample;
use umpire_shared::{roster, tunable};

/// How long a vCPU has run on the host, as the machine says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuReading {
    /// The vCPU's own running time in ns; it never goes back.
    pub ran_ns: u64,
    /// True if the vCPU is known to be ready to run: if it does not run, that is the host's doing. Has to be right only for
    /// CPUs that the judge has doubts about.
    pub is_ready: bool,
    /// The host CPU that it is on, or waits for, if that is known and it is ready.
    pub host_cpu: Option<u32>,
    /// What the host kept from the vCPU so far, in ns, without a wait that has not ended. Has to be right only for CPUs that the judge
    /// has doubts about.
    pub steal_ns: u64,
    /// What the guest's clock (`gethrtime`) read then, in ns, if that is known.
    pub guest_ns: Option<u64>,
}

record! {
    /// Everything that one pass saw.
    #[derive(Debug, Clone, Default)]
    pub struct Snapshot / KernelPlaces of Kernel {
        read {
            /// `lbolt`: ticks since boot.
            lbolt: u64 = number "lbolt",
            /// Times that `clock()` ran.
            clock_ticks: u64 = number "k_clock.clock_ticks",
            /// Times that the in-guest deadman fired.
            deadman_panics: u32 = number "k_deadman.deadman_panics",
            /// `deadman_seconds`: how long the in-guest deadman lets the clock stand still, in s.
            deadman_seconds: u32 = number "k_deadman.deadman_seconds",
            /// `cpu_inmotion`: the CPU that is about to be taken away, if one is.
            inmotion: u64 = pointer "k_disp.cpu_inmotion",
            /// The CPU that `clock()` runs on.
            clock_cpu: u32 = number "k_clock.clock_cpu",
            /// Ticks a second.
            hz: u32 = number "hz",
            /// `kpreemptpri` in force: least priority that preempts the kernel.
            kpreemptpri: i32 = number "k_disp.kpreemptpri",
            /// `upreemptpri` in force: least priority that preempts user mode.
            upreemptpri: i32 = number "k_disp.upreemptpri",
            /// `nosteal_nsec` in force, in ns.
            nosteal_ns: u64 = number "k_tunables" [tunable::NOSTEAL_NSEC],
        }
        known {
            /// Number of the pass, from 1.
            seq: u64,
            /// When the pass began, in the caller's ns.
            now_ns: u64,
            /// The vCPUs' running times at that moment, one a CPU.
            readings: Vec<CpuReading>,
            /// The thread that has paused the CPUs, 0 if none has; read if needed.
            pauser: u64,
            /// Enqueues ever made on all run queues; read if needed, after what the CPUs counted.
            enqueues: u64,
            /// The CPUs.
            cpus: Vec<CpuSample>,
            /// The partitions' queues for unbound threads that preempt the kernel: the default partition's, then those of
            /// the processor sets.
            kps: Vec<QueueSample>,
            /// Which threads own the locks that other threads wait for; read if needed.
            owners: Vec<OwnerSample>,
            /// Chains of turnstiles that could not be read consistently.
            torn_chains: u32,
            /// The scenario's threads, in its order; read if needed.
            workers: Vec<WorkerSample>,
            /// The task queues; read if needed.
            taskqs: Vec<TaskqSample>,
            /// Bytes of one.
            taskq_size: u64,
            /// Free memory, and who sleeps for some; read if needed.
            memory: MemorySample,
            /// The caches; read if needed.
            caches: Vec<CacheSample>,
            /// The scenario's streams; read if needed.
            streams: Vec<StreamSample>,
            /// Their queues, from each head to its driver, the read side of each pair first.
            str_queues: Vec<StrQueueSample>,
            /// Puts into modules that watch their perimeter, and those that found another thread there; read with the streams.
            solo_entries: u64,
            /// See `solo_entries`.
            solo_overlaps: u64,
            /// The thread that has come nearest to the end of its stack in `putnext`, and the bytes that it had left; read if needed.
            stack_least: Option<(u32, u32)>,
            /// Threads that have been in `putnext`; read with it.
            stacks_seen: u64,
            /// True if `times` and `projects` were read in this pass.
            has_times: bool,
            /// The CPU time of each thread, by number.
            times: Vec<ThreadTime>,
            /// The projects.
            projects: Vec<ProjectSample>,
            /// True if `accounts` and `cpu_accounts` were read in this pass.
            has_accounts: bool,
            /// To what the time of each thread is charged, by number.
            accounts: Vec<ThreadAccount>,
            /// To what the time of each CPU is charged.
            cpu_accounts: Vec<CpuAccount>,
            /// Names by thread number; empty until a pass meets the thread on a queue or reads it as one of the scenario's.
            names: Vec<String>,
            /// Where the threads lie.
            arena: Option<Arena>,
        }
    }
}

impl Snapshot {
    /// Says when it was taken, and what the vCPUs had run.
    pub(crate) fn show(&mut self, readings: &[CpuReading], now_ns: u64) {
        self.now_ns = now_ns;
        self.readings.clear();
        self.readings.extend_from_slice(readings);
        self.readings.resize(self.cpus.len(), CpuReading::default());
    }

    /// The name of a thread, or its number if it has not been met.
    pub fn name_of(&self, thread: u32) -> String {
        match self.names.get(thread as usize) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("thread {thread}"),
        }
    }

    /// The CPU that the thread at this address is there for, if it is one of a CPU's system threads or its idle thread.
    pub(super) fn served_by(&self, addr: u64) -> Option<u32> {
        let (arena, ncpus) = (self.arena?, self.cpus.len() as u32);
        let index = arena.index_of(addr)?;
        let nthreads = arena.count.checked_sub(roster::total(ncpus, 0))?;
        let is_one = (ncpus + nthreads..roster::script_thread(ncpus, nthreads)).contains(&index);
        if index < ncpus {
            return Some(index);
        }
        is_one.then(|| roster::system_thread_cpu(ncpus, nthreads, index))
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
