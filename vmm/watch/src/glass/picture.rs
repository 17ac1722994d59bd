//! A picture: one or more CPUs at one moment, as `::cpuinfo -v` shows them, with the stacks of chosen threads.
//!
//! # Invariants
//! - A picture is data: it is taken while the guest runs, and drawn when a reader wants to see it.
//! - Queues come from the snapshot, under whose generation they were read; each carries that verdict.

use std::fmt;

use super::Glass;
use super::cpu::{CpuSample, IntrThread};
use super::queue::{QueueSample, QueuedThread};
use super::read::Verdict;
use super::record::record;
use super::snapshot::Snapshot;
use super::stack::Stack;
use super::typed::Datum;
use super::walk::Arena;
use umpire_shared::program::class;
use umpire_shared::roster;
use umpire_shared::sys::klwp::lwp;
use umpire_shared::sys::machlock::{DISP_LEVEL, LEVELS};
use umpire_shared::sys::thread::ts;

/// Threads whose stacks a picture shows at most.
const MAX_STACKS: usize = 8;

record! {
    /// What a picture shows of a CPU and no pass reads.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct CpuFace / FacePlaces of Cpu {
        read {
            /// `cpu_base_spl`: the floor of its priority level.
            base_spl: u8 = number "cpu_base_spl",
            /// `cpu_last_swtch`: `lbolt` of the last switch.
            last_swtch: u64 = number "cpu_last_swtch",
        }
        known {}
    }
}

record! {
    /// The words of a thread that go on its card.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct CardWords / CardPlaces of Kthread {
        read {
            /// `t_cid`.
            class: u8 = number "t_cid",
            /// `t_pri`.
            pri: i16 = number "t_pri",
            /// `t_epri`: what it inherits.
            epri: i16 = number "t_epri",
            /// `t_bound_cpu`: strong binding.
            bound_cpu: u64 = pointer "t_bound_cpu",
            /// `t_weakbound_cpu`: weak binding.
            weakbound_cpu: u64 = pointer "t_weakbound_cpu",
            /// `t_preempt`: depth of `kpreempt_disable`.
            preempt: u8 = number "t_preempt",
            /// `lwp_state`: none, user or system.
            lwp_state: u8 = number "lwp_state",
        }
        known {}
    }
}

/// What to know of a thread to speak of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadCard {
    /// Address of its `Kthread`.
    pub addr: u64,
    /// `t_name`.
    pub name: String,
    /// The name of its process (`u_comm`), if it has one of its own.
    pub process: String,
    /// `t_cid`.
    pub class: u8,
    /// `t_pri`.
    pub pri: i16,
    /// `t_epri`.
    pub epri: i16,
    /// The CPU it is bound to.
    pub bound_cpu: Option<u32>,
    /// Depth of `kpreempt_disable`.
    pub preempt: u8,
    /// True if it has an LWP.
    pub has_lwp: bool,
    /// True if it is in user mode.
    pub is_user: bool,
    /// The CPU that it is there for, if it is one of a CPU's system threads.
    pub serves: Option<u32>,
}

/// `mac_soft_ring_worker (SYS 99, bound to cpu 1)`, `callout_taskq of cpu 2 (SYS 99)`.
impl fmt::Display for ThreadCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = class::NAMES.get(usize::from(self.class)).copied().unwrap_or("class ?");
        f.write_str(if self.name.is_empty() { "an unknown thread" } else { &self.name })?;
        if let Some(cpu) = self.serves {
            write!(f, " of cpu {cpu}")?;
        }
        write!(f, " ({class} {}", self.pri)?;
        if self.epri > self.pri {
            write!(f, " inheriting {}", self.epri)?;
        }
        match self.bound_cpu {
            // Its name says it.
            Some(_) if self.serves.is_some() => {}
            Some(cpu) => write!(f, ", bound to cpu {cpu}")?,
            None => {}
        }
        f.write_str(")")
    }
}

impl ThreadCard {
    /// What the column PROC shows: the name of its process, which for a kernel thread is `sched` unless it has one of its own.
    pub fn proc(&self) -> &str {
        match &*self.process {
            "" if self.has_lwp => &self.name,
            "" => "sched",
            name => name,
        }
    }
}

/// A thread on a run queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    /// `t_pri`.
    pub pri: i16,
    /// Address of the `Kthread`.
    pub addr: u64,
    /// Its process.
    pub proc: String,
}

/// An active interrupt level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntrRow {
    /// The level.
    pub pil: u32,
    /// The thread that handles it, or that is blocked while it does; above `LOCK_LEVEL` whatever runs.
    pub thread: u64,
}

/// A thread that interrupt threads have pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedRow {
    /// Address of the `Kthread`.
    pub addr: u64,
    /// Its process; `(idle)` for an idle thread.
    pub proc: String,
}

/// A CPU.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuPicture {
    /// Its number.
    pub id: u32,
    /// Address of its `Cpu`.
    pub addr: u64,
    /// `cpu_flags`.
    pub flags: u32,
    /// `disp_nrunnable`.
    pub nrunnable: u32,
    /// `cpu_base_spl`.
    pub base_spl: u8,
    /// `t_pri` of what runs, if something does.
    pub pri: Option<i16>,
    /// `cpu_runrun`.
    pub runrun: bool,
    /// `cpu_kprunrun`.
    pub kprunrun: bool,
    /// Ticks since the last switch.
    pub switch_ticks: u64,
    /// `cpu_thread`.
    pub thread: u64,
    /// Its process; empty if nothing runs.
    pub proc: String,
    /// True if that is the idle thread.
    pub is_idle: bool,
    /// Active interrupt levels, highest first.
    pub intr: Vec<IntrRow>,
    /// What the lowest of those that are being handled has pinned.
    pub pinned: Option<PinnedRow>,
    /// Its run queue.
    pub queue: Vec<QueueRow>,
    /// How far the run queue can be trusted.
    pub verdict: Verdict,
}

/// CPUs and stacks at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Picture {
    /// When, in the sampler's ns.
    pub at_ns: u64,
    /// `lbolt` then.
    pub lbolt: u64,
    /// The CPUs that matter.
    pub cpus: Vec<CpuPicture>,
    /// The kp queue, if it matters.
    pub kp_queue: Option<Vec<QueueRow>>,
    /// The stacks that matter.
    pub stacks: Vec<Stack>,
}

/// What the first CPU, and the first thread, of a simulated machine have for an address in a picture: those that they really have are
/// the host's, and others each time.
const FIRST_CPU: u64 = 0x1_0000_0000;
const FIRST_THREAD: u64 = 0x2_0000_0000;

impl Picture {
    /// Puts places for addresses: the same in every run of a seed.
    pub fn place(&mut self, snapshot: &Snapshot) {
        let threads = snapshot.arena;
        let first_cpu = snapshot.cpus.first().map_or(0, |cpu| cpu.addr);
        let cpu = |addr: &mut u64| *addr = FIRST_CPU.wrapping_add(addr.wrapping_sub(first_cpu));
        let thread = |addr: &mut u64| {
            let index = threads.and_then(|arena| arena.index_of(*addr));
            let stride = threads.map_or(0, |arena| arena.stride);
            *addr = index.map_or(0, |index| FIRST_THREAD + u64::from(index).wrapping_mul(stride));
        };
        for shown in &mut self.cpus {
            cpu(&mut shown.addr);
            thread(&mut shown.thread);
            shown.intr.iter_mut().for_each(|row| thread(&mut row.thread));
            shown.pinned.iter_mut().for_each(|row| thread(&mut row.addr));
            shown.queue.iter_mut().for_each(|row| thread(&mut row.addr));
        }
        self.kp_queue.iter_mut().flatten().for_each(|row| thread(&mut row.addr));
        self.stacks.iter_mut().for_each(|stack| thread(&mut stack.thread));
    }
}

impl Glass {
    /// Takes a picture of some CPUs, and of the stacks of some threads, given by number. With `kp` that partition's kp queue is
    /// in it too.
    pub fn picture(&self, snapshot: &Snapshot, cpus: &[u32], kp: Option<u32>, threads: &[u32]) -> Picture {
        let on_picture = snapshot.cpus.iter().enumerate().filter(|(n, _)| cpus.contains(&(*n as u32)));
        let stacks = snapshot.arena.map_or_else(Vec::new, |arena| {
            threads
                .iter()
                .take(MAX_STACKS)
                .map(|&t| self.stack(&snapshot.cpus, arena.address_of(t)))
                .collect()
        });
        let processes = self.processes();
        Picture {
            at_ns: snapshot.now_ns,
            lbolt: snapshot.lbolt,
            cpus: on_picture.map(|(_, cpu)| self.cpu_picture(snapshot, processes, cpu)).collect(),
            kp_queue: kp
                .and_then(|part| snapshot.kps.get(part as usize))
                .map(|queue| self.rows(snapshot, processes, queue)),
            stacks,
        }
    }

    /// What is known of the thread at this address; `None` if no thread begins there.
    pub fn thread_card(&self, snapshot: &Snapshot, addr: u64) -> Option<ThreadCard> {
        self.card_of(snapshot, self.processes(), addr)
    }

    /// The same with the processes at hand, which are found once for a queue of threads.
    fn card_of(
        &self,
        snapshot: &Snapshot,
        processes: Option<Processes<'_>>,
        addr: u64,
    ) -> Option<ThreadCard> {
        snapshot.arena?.index_of(addr)?;
        let words = self.layout.card.read_one(&*self.memory, addr)?;
        let bound = if words.weakbound_cpu == 0 { words.bound_cpu } else { words.weakbound_cpu };
        Some(ThreadCard {
            addr,
            name: self.thread_name(addr),
            process: process_name(snapshot, processes, addr).unwrap_or_default(),
            class: words.class,
            pri: words.pri,
            epri: words.epri,
            bound_cpu: snapshot.cpus.iter().find(|cpu| cpu.addr == bound).map(|cpu| cpu.id),
            preempt: words.preempt,
            has_lwp: words.lwp_state != lwp::NONE,
            is_user: words.lwp_state == lwp::USER,
            serves: snapshot.served_by(addr),
        })
    }

    /// The kernel's processes, one for each thread that may have one.
    fn processes(&self) -> Option<Processes<'_>> {
        let all = self.kernel_object()?.at("k_procs")?;
        let first = all.element(0)?;
        let stride = all.element(1).map_or(0, |second| second.addr.wrapping_sub(first.addr));
        Some(Processes { first_name: first.at("u_comm")?, stride, count: all.len()? })
    }

    /// What the column PROC shows of the thread at this address: as [`ThreadCard::proc`], without the rest of a card.
    fn proc_of(&self, snapshot: &Snapshot, processes: Option<Processes<'_>>, addr: u64) -> String {
        let own = process_name(snapshot, processes, addr).filter(|name| !name.is_empty());
        own.unwrap_or_else(|| match self.layout.card.read_one(&*self.memory, addr) {
            None => String::new(),
            Some(CardWords { lwp_state: lwp::NONE, .. }) => "sched".to_owned(),
            Some(_) => self.thread_name(addr),
        })
    }

    fn cpu_picture(
        &self,
        snapshot: &Snapshot,
        processes: Option<Processes<'_>>,
        cpu: &CpuSample,
    ) -> CpuPicture {
        let card = self.card_of(snapshot, processes, cpu.thread);
        let (intr, pinned) = self.interrupts(snapshot, cpu);
        let face = self.layout.face.read_one(&*self.memory, cpu.addr).unwrap_or_default();
        CpuPicture {
            id: cpu.id,
            addr: cpu.addr,
            flags: cpu.flags,
            nrunnable: cpu.queue.nrunnable,
            base_spl: face.base_spl,
            pri: card.as_ref().map(|c| c.pri),
            runrun: cpu.runrun,
            kprunrun: cpu.kprunrun,
            switch_ticks: snapshot.lbolt.saturating_sub(face.last_swtch),
            thread: cpu.thread,
            proc: card.map_or_else(String::new, |c| c.proc().to_owned()),
            is_idle: cpu.thread != 0 && cpu.is_idle(),
            intr,
            pinned,
            queue: self.rows(snapshot, processes, &cpu.queue),
            verdict: cpu.queue.verdict,
        }
    }

    /// The active levels, highest first, and what is pinned below them: the threads that pin each other, from `cpu_thread` along
    /// `t_intr`; then, for levels that stay active because their thread is blocked, that thread.
    fn interrupts(&self, snapshot: &Snapshot, cpu: &CpuSample) -> (Vec<IntrRow>, Option<PinnedRow>) {
        let Some(arena) = snapshot.arena else { return (Vec::new(), None) };
        let is_active = |pil: u32| cpu.intr_actv >> pil & 1 == 1;
        let high = (DISP_LEVEL..LEVELS).filter(|&pil| is_active(pil));
        let mut rows: Vec<IntrRow> = high.map(|pil| IntrRow { pil, thread: cpu.thread }).collect();
        let mut at = cpu.thread;
        let mut pinned = None;
        // Each level pins once, so a longer chain cannot be right.
        for _ in 0..DISP_LEVEL {
            let Some(IntrThread { pil, pins: pins @ 1.., .. }) = self.intr_thread(&arena, at) else { break };
            rows.push(IntrRow { pil: pil.into(), thread: at });
            (at, pinned) = (pins, Some(pins));
        }
        let ncpus = snapshot.cpus.len() as u32;
        let nthreads = arena.count.saturating_sub(roster::total(ncpus, 0));
        let own = (0..roster::INTR_THREADS).map(|n| roster::intr_thread(ncpus, nthreads, cpu.id, n));
        // Nothing is active on most CPUs, and then none of their threads needs to be read.
        for addr in own.filter(|_| cpu.intr_actv != 0).map(|index| arena.address_of(index)) {
            let Some(IntrThread { pil, state, .. }) = self.intr_thread(&arena, addr) else { continue };
            let pil = u32::from(pil);
            let is_met = rows.iter().any(|row| row.pil == pil);
            if state != ts::FREE && pil < DISP_LEVEL && is_active(pil) && !is_met {
                rows.push(IntrRow { pil, thread: addr });
            }
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.pil));
        let is_idle = |addr: u64| snapshot.cpus.iter().any(|cpu| cpu.idle_thread == addr);
        let proc = |addr: u64| match self.thread_card(snapshot, addr) {
            Some(_) if is_idle(addr) => "(idle)".to_owned(),
            card => card.map_or_else(String::new, |card| card.proc().to_owned()),
        };
        (rows, pinned.map(|addr| PinnedRow { addr, proc: proc(addr) }))
    }

    /// The interrupt threads of a CPU that have begun with a level and are neither done nor on a CPU.
    pub fn stuck_interrupts(&self, snapshot: &Snapshot, cpu: &CpuSample) -> Vec<u32> {
        let Some(arena) = snapshot.arena else { return Vec::new() };
        let ncpus = snapshot.cpus.len() as u32;
        let nthreads = arena.count.saturating_sub(roster::total(ncpus, 0));
        let own = (0..roster::INTR_THREADS).map(|n| roster::intr_thread(ncpus, nthreads, cpu.id, n));
        let is_stuck = |index: &u32| {
            let intr = self.intr_thread(&arena, arena.address_of(*index));
            intr.is_some_and(|intr| matches!(intr.state, ts::SLEEP | ts::RUN))
        };
        own.filter(is_stuck).collect()
    }

    /// What is known of the interrupt thread at this address; `None` if there is none.
    fn intr_thread(&self, arena: &Arena, addr: u64) -> Option<IntrThread> {
        arena.index_of(addr)?;
        self.layout.intr.read_one(&*self.memory, addr).filter(IntrThread::is_intr)
    }

    fn rows(
        &self,
        snapshot: &Snapshot,
        processes: Option<Processes<'_>>,
        queue: &QueueSample,
    ) -> Vec<QueueRow> {
        let Some(arena) = snapshot.arena else { return Vec::new() };
        let row = |thread: &QueuedThread| {
            let addr = arena.address_of(thread.index);
            QueueRow { pri: thread.pri, addr, proc: self.proc_of(snapshot, processes, addr) }
        };
        queue.threads.iter().map(row).collect()
    }
}

/// The name of the process of the thread at this address; empty if it has none of its own.
fn process_name(snapshot: &Snapshot, processes: Option<Processes<'_>>, addr: u64) -> Option<String> {
    let place = snapshot.arena?.index_of(addr)?.checked_sub(snapshot.cpus.len() as u32)?;
    let processes = processes.filter(|all| u64::from(place) < all.count)?;
    processes.first_name.behind(u64::from(place).wrapping_mul(processes.stride)).text()
}

/// Where the names of processes lie.
#[derive(Debug, Clone, Copy)]
struct Processes<'g> {
    first_name: Datum<'g>,
    /// Bytes from one process to the next.
    stride: u64,
    count: u64,
}
