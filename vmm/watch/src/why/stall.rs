//! What one thread is at.
//!
//! # Invariants
//! - What is not known is not made up: a lock that readers hold has no owner of record, a condition variable has none at all.
//! - A list of waiters is followed no further than there are threads.

use umpire_shared::program::Verb;
use umpire_shared::roster;
use umpire_shared::sys::mutex;
use umpire_shared::sys::rwlock::rw;
use umpire_shared::sys::sobject::sobj;
use umpire_shared::sys::thread::{pflag, ts};

use super::asleep;
use super::{Hold, Link, Mode, Stall};
use crate::glass::{CpuSample, Datum, EventResult, Glass, Object, Snapshot, ThreadCard};

/// ns in a second.
const SECOND: u64 = 1_000_000_000;

/// What the stalls of threads are seen by.
pub(super) struct Look<'g> {
    pub(super) glass: &'g Glass,
    pub(super) seen: &'g Snapshot,
}

impl<'g> Look<'g> {
    pub(super) fn new(glass: &'g Glass, seen: &'g Snapshot) -> Look<'g> {
        Look { glass, seen }
    }

    /// A thread, what it is at, and whom it waits for.
    pub(super) fn link(&self, thread: u32) -> Option<Link> {
        let addr = self.seen.arena.filter(|arena| thread < arena.count)?.address_of(thread);
        let card = self.glass.thread_card(self.seen, addr)?;
        let (stall, waits_for) = self.stall(thread, addr, &card);
        Some(Link { thread, card, stall, waits_for })
    }

    /// A value of the kernel.
    pub(super) fn kernel(&self, path: &str) -> Option<Datum<'g>> {
        self.glass.kernel_object()?.at(path)
    }

    /// A number of the kernel.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.kernel(path)?.number()
    }

    /// A thread's structure.
    fn thread(&self, thread: u32) -> Option<Datum<'g>> {
        self.kernel("k_threads")?.element(thread.into())
    }

    /// The number of the thread at an address.
    pub(super) fn index_of(&self, addr: u64) -> Option<u32> {
        self.seen.arena?.index_of(addr)
    }

    fn stall(&self, thread: u32, addr: u64, card: &ThreadCard) -> (Stall, Vec<u32>) {
        let unknown = (Stall::Unknown { state: u32::MAX }, Vec::new());
        let Some(t) = self.thread(thread) else { return unknown };
        let Some(state) = t.number_at("t_state") else { return unknown };
        match state as u32 {
            ts::SLEEP => self.sleeps(thread, t),
            ts::RUN => self.queued(thread, t),
            ts::ONPROC => self.on_cpu(addr, t, card),
            ts::WAIT => (self.capped(t), Vec::new()),
            ts::STOPPED => (self.stopped(thread, t), Vec::new()),
            ts::FREE => (Stall::NotStarted, Vec::new()),
            ts::ZOMB => (Stall::Ended, Vec::new()),
            state => (Stall::Unknown { state }, Vec::new()),
        }
    }

    /// Stopped, and by which event: the last one that has been carried out on this thread of the scenario.
    fn stopped(&self, thread: u32, t: Datum<'g>) -> Stall {
        if t.number_at("t_proc_flag").unwrap_or(0) & u64::from(pflag::PRSTOP) == 0 {
            return Stall::NotStarted;
        }
        let place = self.number("k_ncpus").and_then(|ncpus| u64::from(thread).checked_sub(ncpus));
        let is_it = |event: &EventResult| {
            event.verb == Verb::Stop as u32 && event.began_ns != 0 && Some(u64::from(event.target)) == place
        };
        let event = self.glass.script().into_iter().rfind(is_it);
        Stall::Stopped { event: event.map(|event| (event.at_ns, event.began_ns)) }
    }

    fn sleeps(&self, thread: u32, t: Datum<'g>) -> (Stall, Vec<u32>) {
        let wchan = t.number_at("t_wchan").unwrap_or(0);
        let kind = t.number_at("t_sobj").map_or(sobj::NONE, |kind| kind as u8);
        let object = self.glass.object_at(wchan);
        if !matches!(kind, sobj::MUTEX | sobj::RWLOCK) {
            return asleep::stall(self, thread, t, kind, object);
        }
        let word = self.glass.memory().read_u64(wchan).unwrap_or(0);
        let hold = match kind {
            sobj::MUTEX => Hold::Mutex(self.index_of(word & mutex::OWNER as u64)),
            _ => self.rwlock(t, word),
        };
        let owner = match hold {
            Hold::Mutex(owner) | Hold::Rwlock { writer: owner, .. } => owner,
        };
        (Stall::Blocked { lock: object, hold, place: self.place_on_list(t) }, owner.into_iter().collect())
    }

    fn rwlock(&self, t: Datum<'g>, word: u64) -> Hold {
        let is_written = word & rw::WRITE_LOCKED as u64 != 0;
        let rest = word & rw::OWNER as u64;
        // A thread that is blocked sleeps on one of the two lists of its lock's turnstile: the writers' is the first.
        let list = t.number_at("t_sleepq");
        let writers = t.pointer_at("t_ts").and_then(|ts| ts.at("ts_sleepq.0"));
        Hold::Rwlock {
            wants_write: writers.is_some_and(|writers| list == Some(writers.addr)),
            writer: self.index_of(rest).filter(|_| is_written),
            readers: if is_written { 0 } else { rest / rw::READ_LOCK as u64 },
        }
    }

    /// The place of a thread on the list that it sleeps on, from 1, and how many are on that.
    pub(super) fn place_on_list(&self, t: Datum<'g>) -> Option<(u32, u32)> {
        let mut next = t.pointer_at("t_sleepq")?.pointer_at("sq_first");
        let (mut count, mut place) = (0, None);
        for _ in 0..self.seen.arena?.count {
            let Some(at) = next.filter(|at| self.index_of(at.addr).is_some()) else { break };
            count += 1;
            if at.addr == t.addr {
                place = Some(count);
            }
            next = at.pointer_at("t_link");
        }
        Some((place?, count))
    }

    fn queued(&self, thread: u32, t: Datum<'g>) -> (Stall, Vec<u32>) {
        let seen = self.seen;
        let found = seen.queues().find_map(|(place, queue)| {
            let at = queue.threads.iter().position(|queued| queued.index == thread)?;
            Some((place, (at as u32 + 1, queue.threads.len() as u32)))
        });
        let disp = t.number_at("t_disp_queue");
        let by_thread = || {
            let place = seen.queues().find(|(_, queue)| Some(queue.addr) == disp)?.0;
            Some((place, (0, 0)))
        };
        let Some((queue, place)) = found.or_else(by_thread) else {
            return (Stall::Queued { queue: None, place: (0, 0), runs: None, is_closed: false }, Vec::new());
        };
        let cpu = queue.cpu().and_then(|cpu| seen.cpus.get(cpu as usize));
        let runs = cpu.filter(|cpu| !cpu.is_idle()).and_then(|cpu| self.index_of(cpu.thread));
        let is_closed = cpu.is_some_and(|cpu| !cpu.takes_work());
        let runs = runs.filter(|&runs| runs != thread);
        (Stall::Queued { queue: Some(queue), place, runs, is_closed }, runs.into_iter().collect())
    }

    fn on_cpu(&self, addr: u64, t: Datum<'g>, card: &ThreadCard) -> (Stall, Vec<u32>) {
        let cpus = &self.seen.cpus;
        if let Some(cpu) = cpus.iter().find(|cpu| cpu.thread == addr) {
            return self.runs(cpu, card);
        }
        if let Some(cpu) = cpus.iter().find(|cpu| cpu.dispthread == addr) {
            let by = self.index_of(cpu.thread).filter(|_| cpu.handles.is_some());
            return match by {
                Some(_) => (Stall::Pinned { cpu: cpu.id, by }, by.into_iter().collect()),
                None => (Stall::Switching { cpu: Some(cpu.id) }, Vec::new()),
            };
        }
        let chosen_by = t.number_at("t_cpu").and_then(|at| cpus.iter().find(|cpu| cpu.addr == at));
        (Stall::Switching { cpu: chosen_by.map(|cpu| cpu.id) }, Vec::new())
    }

    fn runs(&self, cpu: &CpuSample, card: &ThreadCard) -> (Stall, Vec<u32>) {
        let mode = match cpu.handles {
            _ if cpu.is_idle() => Mode::Idle,
            Some(pil) => Mode::Interrupt(pil),
            None if card.is_user => Mode::User,
            None if card.preempt > 0 => Mode::Unpreemptible(card.preempt),
            None => Mode::Kernel,
        };
        let spins = (cpu.spin_for != 0 && mode != Mode::Idle && mode != Mode::User)
            .then(|| (self.glass.object_at(cpu.spin_for), cpu.spin_cpus));
        let mut waits_for = Vec::new();
        if let Some((lock, ends)) = &spins {
            // A mutex that is spun for names its owner; of anything else only the CPUs are known that can end the wait.
            let owner =
                (lock.type_name == "Mutex").then(|| self.glass.memory().read_u64(lock.addr)).flatten();
            waits_for.extend(owner.and_then(|word| self.index_of(word & mutex::OWNER as u64)));
            if waits_for.is_empty() {
                // A dispatcher lock or a spin mutex does not name its holder, but that runs: nothing preempts it on its CPU.
                let of = if *ends == 0 { u64::MAX } else { *ends };
                let is_one = |other: &&CpuSample| {
                    other.id != cpu.id && of.unbounded_shr(other.id) & 1 == 1 && !other.is_idle()
                };
                let ends = self.seen.cpus.iter().filter(is_one);
                waits_for.extend(ends.filter_map(|other| self.index_of(other.thread)));
            }
        }
        (Stall::Runs { cpu: cpu.id, mode, spins }, waits_for)
    }

    fn capped(&self, t: Datum<'g>) -> Stall {
        let queue = t.number_at("t_waitq").unwrap_or(0);
        let Object { path, .. } = self.glass.object_at(queue);
        let (is_zone, rest) = match path.strip_prefix("k_cpucaps.zone_caps[") {
            Some(rest) => (true, rest),
            None => (false, path.strip_prefix("k_cpucaps.caps[").unwrap_or("")),
        };
        let number = rest.split(']').next().and_then(|n| n.parse().ok()).unwrap_or(u64::MAX);
        let name = self
            .kernel("k_class.fss.fss_kprojects")
            .and_then(|all| all.element(number)?.at("kpj_name")?.text());
        let project = name.filter(|name| !name.is_empty()).unwrap_or_else(|| number.to_string());
        let all = if is_zone { "k_cpucaps.zone_caps" } else { "k_cpucaps.caps" };
        let cap = self.kernel(all).and_then(|caps| caps.element(number));
        let tick = (SECOND / u64::from(self.seen.hz.max(1))).max(1);
        let percent = |what| cap.and_then(|cap| cap.number_at(what)).unwrap_or(0) / tick;
        Stall::Capped {
            is_zone,
            project,
            percent: percent("cap_value"),
            used_percent: percent("cap_usage"),
            place: self.place_on_list(t),
        }
    }

    /// The callout threads of a CPU.
    pub(super) fn callout_threads(&self, cpu: u64) -> Vec<u32> {
        let Some(arena) = self.seen.arena else { return Vec::new() };
        let ncpus = self.seen.cpus.len() as u32;
        let nthreads = arena.count.saturating_sub(roster::total(ncpus, 0));
        let of_cpu = u32::try_from(cpu).ok().filter(|&cpu| cpu < ncpus);
        let numbers =
            |cpu| (0..roster::CALLOUT_THREADS).map(move |n| roster::callout_thread(ncpus, nthreads, cpu, n));
        of_cpu.into_iter().flat_map(numbers).collect()
    }
}
