//! What a pass reads only if some bound needs it: runners, cyclics, owners of locks, workloads, CPU times.
//!
//! # Invariants
//! - What nobody wants costs nothing; what is wanted is read with a bound on every loop and without allocating, once the
//!   buffers have grown.
//! - The chains of turnstiles are read under their own generations. Everything else here is single words.

use super::KernelView;
use super::read;
use super::snapshot::{
    CpuSample, CyclicSample, OwnerSample, ProjectSample, Runner, Snapshot, ThreadTime, WorkerSample,
};
use super::types::Layout;
use super::walk::Arena;
use umpire_machine::memory::GuestMemory;
use umpire_shared::sys::cyclic::handler;
use umpire_shared::sys::msacct::{is_running, lms};
use umpire_shared::sys::rwlock::rw;
use umpire_shared::sys::sobject::sobj;
use umpire_shared::sys::{class, mutex};
use umpire_shared::{MAX_CPUS, MAX_THREADS, roster};

/// Chains of the turnstile table that are read at most.
const MAX_CHAINS: u32 = 1024;
/// Projects that are read at most.
const MAX_PROJECTS: u32 = 4096;

/// What the bounds need beyond the run queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// Who runs on each CPU, and since which switch.
    pub runners: bool,
    /// Each CPU's cyclics.
    pub cyclics: bool,
    /// Who owns what others wait for.
    pub owners: bool,
    /// How far the workload of each of the scenario's threads is.
    pub workers: bool,
    /// The CPU time of every thread, taken every so many ns; 0 for never.
    pub times_every_ns: u64,
}

impl Wants {
    /// What either needs.
    pub fn and(self, other: Wants) -> Wants {
        let every = match (self.times_every_ns, other.times_every_ns) {
            (0, n) | (n, 0) => n,
            (a, b) => a.min(b),
        };
        Wants {
            runners: self.runners || other.runners,
            cyclics: self.cyclics || other.cyclics,
            owners: self.owners || other.owners,
            workers: self.workers || other.workers,
            times_every_ns: every,
        }
    }
}

/// Where it lies, and the buffers that it is copied to.
#[derive(Debug)]
pub(super) struct Reader {
    wants: Wants,
    arena: Arena,
    turnstiles: Arena,
    chains: (u64, u32),
    projects: (u64, u32),
    /// The scenario's threads: the first, and how many.
    workers: (u32, u32),
    table: Vec<u8>,
    words: Vec<u8>,
    times_at_ns: Option<u64>,
}

impl Reader {
    pub(super) fn new(wants: Wants, kernel: &KernelView, layout: &Layout) -> Reader {
        let longest = [layout.turnstile.size, layout.thread.size, layout.cpu.size];
        let count = |n: u64, most: u32| u32::try_from(n).unwrap_or(u32::MAX).min(most);
        let nchains = count(kernel.chains.1, MAX_CHAINS);
        let nturnstiles = count(kernel.turnstiles.1, roster::total(MAX_CPUS as u32, MAX_THREADS as u32));
        Reader {
            wants,
            arena: kernel.arena,
            turnstiles: Arena {
                base: kernel.turnstiles.0,
                stride: layout.turnstile.size as u64,
                count: nturnstiles,
            },
            chains: (kernel.chains.0, nchains),
            projects: (kernel.projects.0, count(kernel.projects.1, MAX_PROJECTS)),
            workers: (kernel.ncpus, kernel.arena.count.saturating_sub(roster::total(kernel.ncpus, 0))),
            table: vec![0; nchains as usize * layout.chain.size],
            words: vec![0; longest.into_iter().max().unwrap_or(0)],
            times_at_ns: None,
        }
    }

    /// Reads what is wanted of a CPU whose own words have been read.
    pub(super) fn cpu(&mut self, memory: &dyn GuestMemory, layout: &Layout, cpu: &mut CpuSample) {
        if self.wants.runners {
            self.runner(memory, layout, cpu);
        }
        if self.wants.cyclics {
            self.cyclics(memory, layout, cpu);
        }
    }

    /// Reads what is wanted of the kernel as a whole.
    pub(super) fn kernel(&mut self, memory: &dyn GuestMemory, layout: &Layout, into: &mut Snapshot) {
        if self.wants.owners {
            self.owners(memory, layout, into);
        }
        if self.wants.workers {
            self.workers(memory, layout, into);
        }
        let every = self.wants.times_every_ns;
        let is_due = self.times_at_ns.is_none_or(|at| into.now_ns.saturating_sub(at) >= every);
        into.has_times = every > 0 && is_due;
        if into.has_times {
            self.times_at_ns = Some(into.now_ns);
            self.times(memory, layout, into);
        }
    }

    fn runner(&mut self, memory: &dyn GuestMemory, layout: &Layout, cpu: &mut CpuSample) {
        let c = &layout.cpu;
        let word = |at: usize| memory.read_u64(cpu.addr.wrapping_add(at as u64)).unwrap_or(0);
        let mut runner = Runner {
            pswitch: word(c.pswitch.offset),
            inv_swtch: word(c.inv_swtch.offset),
            ..Runner::default()
        };
        let t = &layout.thread;
        let prefix = [t.preempt, t.lwp_state, t.flag, t.waitrq].iter().map(|f| f.end()).max().unwrap_or(0);
        let copy = &mut self.words[..prefix.min(t.size)];
        if let Some(index) = self.arena.index_of(cpu.thread)
            && memory.read(cpu.thread, copy)
        {
            runner.index = Some(index);
            runner.preempt = t.preempt.get(copy) as u8;
            runner.lwp_state = t.lwp_state.get(copy) as u8;
            runner.flag = t.flag.get(copy) as u16;
            runner.waitrq = t.waitrq.get(copy);
        }
        cpu.runner = runner;
    }

    fn cyclics(&mut self, memory: &dyn GuestMemory, layout: &Layout, cpu: &mut CpuSample) {
        cpu.cyclics.clear();
        let (all, y) = (layout.cpu.cyclics, &layout.cyclic);
        let copy = &mut self.words[..(all.stride * all.count).min(layout.cpu.size)];
        if !memory.read(cpu.addr.wrapping_add(all.offset as u64), copy) {
            return;
        }
        for (slot, one) in copy.chunks_exact(all.stride.max(1)).enumerate() {
            let handler = y.handler.get(one) as u8;
            if handler != handler::NONE {
                let (pend, level) = (y.pend.get(one) as u32, y.level.get(one) as u8);
                cpu.cyclics.push(CyclicSample { slot: slot as u32, handler, level, pend });
            }
        }
    }

    /// Walks the chains that are not empty: nearly all are, and one copy tells which.
    fn owners(&mut self, memory: &dyn GuestMemory, layout: &Layout, into: &mut Snapshot) {
        into.owners.clear();
        into.torn_chains = 0;
        let (base, count) = self.chains;
        if count == 0 || !memory.copy(base, &mut self.table) {
            return;
        }
        let (chain, t) = (&layout.chain, &layout.turnstile);
        for n in 0..count as usize {
            let at = n * chain.size;
            if chain.first.get(self.table.get(at..).unwrap_or(&[])) == 0 {
                continue;
            }
            let addr = base.wrapping_add(at as u64);
            let before = into.owners.len();
            let generation = addr.wrapping_add(chain.generation.offset as u64);
            let verdict = read::verified(memory, generation, || {
                into.owners.truncate(before);
                let first = addr.wrapping_add(chain.first.offset as u64);
                let mut next = memory.read_u64(first).unwrap_or(0);
                // Each turnstile is on one chain once, so no chain is longer than the arena.
                for _ in 0..self.turnstiles.count {
                    let Some(index) = self.turnstiles.index_of(next) else { break };
                    let words = &mut self.words[..t.size];
                    if !memory.copy(next, words) {
                        return false;
                    }
                    next = t.next.get(words);
                    into.owners.extend(owner(memory, layout, &self.arena, index, words));
                }
                true
            });
            if !verdict.is_trusted() {
                into.owners.truncate(before);
                into.torn_chains += 1;
            }
        }
    }

    /// Of each thread the beginning, which a queue walk reads too, and one word.
    fn workers(&mut self, memory: &dyn GuestMemory, layout: &Layout, into: &mut Snapshot) {
        let t = &layout.thread;
        let Snapshot { workers, cpus, .. } = into;
        workers.clear();
        let (first, count) = self.workers;
        for index in first..first + count {
            let at = self.arena.address_of(index);
            let copy = &mut self.words[..layout.thread_prefix];
            let Some(progress) = memory.read_u64(at.wrapping_add(t.progress.offset as u64)) else { return };
            if !memory.read(at, copy) {
                return;
            }
            let bound = match t.weakbound_cpu.get(copy) {
                0 => t.bound_cpu.get(copy),
                weak => weak,
            };
            let is_it = |cpu: &CpuSample| bound != 0 && cpu.addr == bound;
            workers.push(WorkerSample {
                index,
                progress,
                state: t.state.get(copy) as u32,
                pri: (t.pri.get(copy) as i16).max(t.epri.get(copy) as i16),
                class: t.class.get(copy) as u8,
                cpu: cpus.iter().position(is_it).map(|n| n as u32),
            });
        }
    }

    fn times(&mut self, memory: &dyn GuestMemory, layout: &Layout, into: &mut Snapshot) {
        let t = &layout.thread;
        into.times.clear();
        into.projects.clear();
        let single = [t.cpu, t.class, t.mstate, t.mstart, t.project, t.duty_cycle];
        let from = single.iter().map(|f| f.offset).min().unwrap_or(0).min(t.acct.offset) & !7;
        let to = single.iter().map(|f| f.end()).max().unwrap_or(0);
        let to = to.max(t.acct.offset + t.acct.stride * t.acct.count);
        let copy = &mut self.words[..to.min(t.size)];
        let mut latest = into.lbolt.saturating_mul(1_000_000_000 / u64::from(into.hz.max(1)));
        for index in 0..self.arena.count {
            let at = self.arena.address_of(index).wrapping_add(from as u64);
            if !memory.read(at, copy.get_mut(from..).unwrap_or(&mut [])) {
                return;
            }
            let spent = |state: u8| {
                let at = t.acct.offset + usize::from(state) * t.acct.stride;
                super::Field { offset: at, size: 8, signed: false }.get(copy)
            };
            let since_ns = t.mstart.get(copy);
            latest = latest.max(since_ns);
            into.times.push(ThreadTime {
                class: t.class.get(copy) as u8,
                project: t.project.get(copy) as u32,
                duty_cycle: t.duty_cycle.get(copy) as u8,
                cpu: t.cpu.get(copy),
                ran_ns: [lms::USER, lms::SYSTEM, lms::TRAP].map(spent).into_iter().fold(0, u64::wrapping_add),
                waited_ns: spent(lms::WAIT_CPU),
                state: t.mstate.get(copy) as u8,
                since_ns,
            });
        }
        // The stay that has not ended counts as well. The guest's clock is not to be read from here; the last change of any
        // thread is as late as anybody can know.
        for time in &mut into.times {
            let stay = latest.saturating_sub(time.since_ns);
            match time.state {
                state if is_running(state) => time.ran_ns = time.ran_ns.wrapping_add(stay),
                lms::WAIT_CPU => time.waited_ns = time.waited_ns.wrapping_add(stay),
                _ => {}
            }
        }
        let p = &layout.project;
        for n in 0..self.projects.1 {
            let at = self.projects.0.wrapping_add(u64::from(n).wrapping_mul(p.size as u64));
            let word = |f: super::Field| memory.read_u32(at.wrapping_add(f.offset as u64)).unwrap_or(0);
            let mut is_system = [0];
            let is_read = memory.read(at.wrapping_add(p.is_system.offset as u64), &mut is_system);
            into.projects.push(ProjectSample {
                shares: word(p.shares),
                zone: word(p.zone),
                zone_shares: word(p.zone_shares),
                cap_percent: word(p.cap),
                zone_cap_percent: word(p.zone_cap),
                is_system: is_read && is_system != [0],
            });
        }
    }
}

/// Who owns the lock of a turnstile, and who of those who wait for it is best; `None` if nobody can own it.
fn owner(
    memory: &dyn GuestMemory,
    layout: &Layout,
    arena: &Arena,
    turnstile: u32,
    words: &[u8],
) -> Option<OwnerSample> {
    let (t, thread) = (&layout.turnstile, &layout.thread);
    let sobj = t.sobj.get(words);
    let kind = t.kind.get(words) as u8;
    let word = memory.read_u64(sobj)?;
    let owner = match kind {
        sobj::MUTEX => Some(word & mutex::OWNER as u64),
        sobj::RWLOCK if word & rw::WRITE_LOCKED as u64 != 0 => Some(word & rw::OWNER as u64),
        _ => None,
    };
    let owner = owner.and_then(|addr| arena.index_of(addr));
    if owner.is_none() && kind != sobj::RWLOCK {
        return None;
    }
    let field = |index: u32, at: usize| memory.read_u16(arena.address_of(index).wrapping_add(at as u64));
    let pri = |index: u32| {
        let (own, inherited) = (field(index, thread.pri.offset)?, field(index, thread.epri.offset)?);
        Some((own.cast_signed().max(inherited.cast_signed()), own.cast_signed()))
    };
    let first = |list: usize| {
        let at = t.sleepq.offset + list * t.sleepq.stride + layout.sleep_list.first.offset;
        let index = arena.index_of(super::Field { offset: at, size: 8, signed: false }.get(words))?;
        Some((pri(index)?, index))
    };
    let ((waiter_pri, waiter_own), waiter) =
        (0..t.sleepq.count).filter_map(first).max_by_key(|&((pri, _), _)| pri)?;
    let (owner_pri, owner_own) = owner.map_or(Some((0, 0)), pri)?;
    let cpu_at = arena.address_of(waiter).wrapping_add(thread.cpu.offset as u64);
    let waiter_cpu = memory.read_u64(cpu_at)?;
    Some(OwnerSample {
        turnstile,
        sobj,
        kind,
        owner,
        owner_pri,
        owner_own,
        waiter,
        waiter_pri,
        waiter_own,
        waiter_cpu,
    })
}

/// True for threads of the class that shares by projects.
pub fn is_fair_share(class: u8) -> bool {
    u32::from(class) == class::FSS
}

/// True for threads of the class that keeps a duty cycle.
pub fn has_duty_cycle(class: u8) -> bool {
    u32::from(class) == class::SDC
}
