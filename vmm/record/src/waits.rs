//! Waits, as they end: of threads for a CPU and for locks, of tasks and callouts, and from an interrupt to the thread that it woke.
//!
//! # Invariants
//! - A wait is told when it is known; one that has not ended is told at the end, with what it has lasted.
//! - A wait for a CPU is charged as the monitors charge: what the host kept from the vCPU that owed service, between the first and the
//!   last pass of the wait, is taken out and told beside it. A wait without two passes in it cannot be parted, and stands as it is; so do
//!   waits that no CPU owes: for locks, tasks and callouts.
//! - What is held is a few numbers of each thread and CPU, and of each task that waits.

use std::collections::{BTreeMap, HashMap};

use crate::host::{Hosts, Mark};
use crate::latency::Delay;
use crate::recording::{Recording, Seen};
use crate::spans::{Scan, Span, State};
use crate::unknown::Unknown;
use umpire_shared::event::{self, Kind};
use umpire_shared::sys::machlock::LOCK_LEVEL;
use umpire_watch::glass::TraceRecord;

/// A wait as it is charged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Charged {
    /// How long, without what the host kept.
    pub(crate) ns: u64,
    /// What the host kept.
    pub(crate) host_ns: u64,
    /// When it began, in ns after boot.
    pub(crate) from_ns: u64,
    /// True if it had not ended when the recording did.
    pub(crate) is_open: bool,
}

/// Who is shown a wait: once for its thread and once for that one's class.
pub(crate) type Show<'s> = &'s mut dyn FnMut(Delay, String, &Charged);

/// Shows every wait of a recording.
pub(crate) fn each_wait(recording: &Recording, mut show: impl FnMut(Delay, String, &Charged)) {
    let mut scan = WaitScan::of(recording, Some(recording.interval().0));
    recording.each(|seen| scan.see(recording, seen, &mut show));
    scan.end(recording, &mut show);
}

/// How a wait for a CPU that lasts began.
#[derive(Debug, Clone)]
struct Begun {
    from: Mark,
    /// When the interrupt began whose handler woke the thread.
    interrupt: Option<Mark>,
}

/// A wait for a CPU that is over: which CPU it was for is sure once what the thread did there is.
#[derive(Debug)]
struct Over {
    span: Span,
    cpu: u32,
    /// What was waited for, from when, and what the host kept if it was for that CPU.
    all: Vec<(Delay, u64, u64)>,
}

/// Records and samples that become waits as they come, by time.
#[derive(Debug, Default)]
pub(crate) struct WaitScan {
    unknown: Unknown,
    begin_ns: Option<u64>,
    end_ns: u64,
    scan: Option<Scan>,
    hosts: Hosts,
    begun: HashMap<u64, Begun>,
    over: HashMap<u64, Over>,
    /// On which CPU's queue a thread was put last.
    queued: HashMap<u64, u32>,
    /// When the interrupt began that an interrupt thread handled last.
    interrupts: HashMap<u64, Mark>,
    /// Since when a flag asks a CPU to give way.
    asked: BTreeMap<u64, Mark>,
    /// Tasks by their places.
    tasks: BTreeMap<u64, TraceRecord>,
}

impl WaitScan {
    /// Of a recording that begins then, or with its first record.
    pub(crate) fn of(told: &Recording, begin_ns: Option<u64>) -> WaitScan {
        WaitScan { unknown: Unknown::of(told), begin_ns, ..WaitScan::default() }
    }

    /// Sees what is next.
    pub(crate) fn see(&mut self, told: &Recording, seen: Seen<'_>, show: Show<'_>) {
        match seen {
            Seen::Sample(sample) => self.hosts.see(sample),
            Seen::Record(record) => self.see_record(told, record, show),
        }
    }

    fn see_record(&mut self, told: &Recording, record: &TraceRecord, show: Show<'_>) {
        self.end_ns = record.time_ns;
        self.hosts.go_on();
        let begin_ns = self.begin_ns.unwrap_or(record.time_ns);
        let scan = self.scan.get_or_insert_with(|| Scan::of(told, begin_ns));
        scan.see(record);
        let ended: Vec<Span> = scan.ended().collect();
        let now =
            scan.now(record.thread).filter(|now| now.from_ns == record.time_ns && now.state.is_waiting());
        for span in &ended {
            self.take(told, span, Some(record.cpu), show);
        }
        if let Some(now) = now {
            let interrupt = now.waker.filter(|_| now.state == State::Woken);
            let interrupt = interrupt.and_then(|waker| self.interrupts.get(&waker)).cloned();
            self.begun.insert(record.thread, Begun { from: self.hosts.mark(record.time_ns), interrupt });
        }
        self.see_others(told, record, show);
    }

    /// A span that is over, or open at the end; `cpu` is where that was seen.
    fn take(&mut self, told: &Recording, span: &Span, cpu: Option<u32>, show: Show<'_>) {
        self.settle(told, span, show);
        if let State::Running(cpu) = span.state
            && told.thread(span.thread).is_some_and(|thread| thread.is_idle)
        {
            self.hosts.idled(cpu, span.to_ns);
        }
        if span.state == State::Asleep && span.is_on_lock() {
            self.tell(told, Delay::Lock, span, 0, show);
        }
        if !span.state.is_waiting() {
            return;
        }
        let begun = self.begun.remove(&span.thread).filter(|begun| begun.from.at_ns == span.from_ns);
        let from = begun.as_ref().map(|begun| &begun.from);
        let cpu = if span.is_open { self.queued.get(&span.thread).copied() } else { cpu };
        let host = |from: Option<&Mark>| cpu.zip(from).map_or(0, |(cpu, from)| self.hosts.kept(cpu, from));
        let mut all = vec![(Delay::Run, span.from_ns, host(from))];
        if span.state == State::Woken {
            all.push((Delay::Wakeup, span.from_ns, host(from)));
            let interrupt = begun.as_ref().and_then(|begun| begun.interrupt.as_ref());
            all.extend(interrupt.map(|mark| (Delay::Interrupt, mark.at_ns, host(Some(mark)))));
        }
        let over = Over { span: *span, cpu: cpu.unwrap_or(u32::MAX), all };
        match span.is_open {
            true => self.tell_over(told, &over, true, show),
            false => drop(self.over.insert(span.thread, over)),
        }
    }

    /// Tells the wait before a span of the same thread, or before nothing.
    fn settle(&mut self, told: &Recording, next: &Span, show: Show<'_>) {
        if let Some(over) = self.over.remove(&next.thread) {
            let is_there = next.state == State::Running(over.cpu) && next.from_ns == over.span.to_ns;
            self.tell_over(told, &over, is_there, show);
        }
    }

    fn tell_over(&self, told: &Recording, over: &Over, is_there: bool, show: Show<'_>) {
        for &(delay, from_ns, host_ns) in &over.all {
            let host_ns = if is_there { host_ns } else { 0 };
            self.tell(told, delay, &Span { from_ns, ..over.span }, host_ns, show);
        }
    }

    fn tell(&self, told: &Recording, delay: Delay, span: &Span, host_ns: u64, show: Show<'_>) {
        let thread = told.thread(span.thread);
        if self.unknown.reaches_into(span.from_ns, span.to_ns) || thread.is_some_and(|thread| thread.is_idle)
        {
            return;
        }
        let host_ns = host_ns.min(span.ns());
        let (ns, from_ns, is_open) = (span.ns() - host_ns, span.from_ns, span.is_open);
        let wait = Charged { ns, host_ns, from_ns, is_open };
        show(delay, told.name(span.thread), &wait);
        if let Some(thread) = thread {
            show(delay, format!("{}:", thread.class), &wait);
        }
    }

    /// What no span of a thread tells.
    fn see_others(&mut self, told: &Recording, record: &TraceRecord, show: Show<'_>) {
        let cpu = u64::from(record.cpu);
        let wait = |from_ns| wait(record, from_ns, record.time_ns);
        match record.kind {
            Kind::Enqueue => {
                if let Some(cpu) = event::queue_cpu(record.arg) {
                    self.queued.insert(record.thread, cpu);
                }
            }
            // Those above wake nobody, and are handled in the name of the thread that ran.
            Kind::IntrBegin if record.arg <= LOCK_LEVEL.into() => {
                self.interrupts.insert(record.thread, self.hosts.mark(record.time_ns));
            }
            Kind::RunrunRaise | Kind::KprunrunRaise => {
                let mark = || self.hosts.mark(record.time_ns);
                self.asked.entry(record.target().into()).or_insert_with(mark);
            }
            // A flag that is taken back asks for nothing any more; on the way into a switch it is cleared shortly before that.
            Kind::RemainCpu => drop(self.asked.remove(&cpu)),
            // From a raised flag to the next switch of that CPU.
            Kind::OffCpu => {
                if let Some(mark) = self.asked.remove(&cpu) {
                    let host_ns = self.hosts.kept(record.cpu, &mark);
                    self.tell(told, Delay::Preemption, &wait(mark.at_ns), host_ns, show);
                }
            }
            // From a task's being put on a queue's list, or given to a thread, to its beginning; of the thread that runs it.
            Kind::TaskqEnqueue | Kind::TaskqDEnqueue => drop(self.tasks.insert(record.arg, *record)),
            Kind::TaskqExecStart | Kind::TaskqDExecStart => {
                if let Some(put) = self.tasks.remove(&record.arg) {
                    self.tell(told, Delay::Taskq, &wait(put.time_ns), 0, show);
                }
            }
            // From a callout's being due to its beginning; of the thread that runs it.
            Kind::CalloutStart => {
                let due_ns = record.time_ns.saturating_sub(record.arg);
                self.tell(told, Delay::Callout, &wait(due_ns), 0, show);
            }
            _ => {}
        }
    }

    /// Tells what has not ended.
    pub(crate) fn end(mut self, told: &Recording, show: Show<'_>) {
        if let Some(mut scan) = self.scan.take() {
            scan.end(self.end_ns);
            let open: Vec<Span> = scan.ended().collect();
            // What a CPU was idle for is known first.
            for span in open.iter().filter(|span| !span.state.is_waiting()) {
                self.take(told, span, None, show);
            }
            for span in open.iter().filter(|span| span.state.is_waiting()) {
                self.take(told, span, None, show);
            }
        }
        for over in std::mem::take(&mut self.over).into_values() {
            self.tell_over(told, &over, false, show);
        }
        // Whose they will be nobody knows: they are told of who dispatched them.
        for put in std::mem::take(&mut self.tasks).into_values() {
            let span = Span { is_open: true, ..wait(&put, put.time_ns, self.end_ns) };
            self.tell(told, Delay::Taskq, &span, 0, show);
        }
    }
}

fn wait(of: &TraceRecord, from_ns: u64, to_ns: u64) -> Span {
    let (thread, pri) = (of.thread, of.pri);
    Span { thread, state: State::Woken, from_ns, to_ns, pri, waker: None, on: 0, is_open: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(time_ns: u64, kind: Kind, thread: u64, arg: u64) -> TraceRecord {
        TraceRecord { time_ns, cpu: 0, kind, thread, pri: 60, arg }
    }

    /// Waits for one thing, of threads: whose, how long, and whether it is open.
    fn told(delay: Delay, records: Vec<TraceRecord>) -> Vec<(String, u64, bool)> {
        let recording = Recording { records, ..Recording::default() };
        let mut told = Vec::new();
        each_wait(&recording, |of, name, wait| {
            if of == delay {
                told.push((name, wait.ns, wait.is_open));
            }
        });
        told
    }

    #[test]
    fn task_waits_from_the_queue_to_its_beginning_and_one_that_has_not_begun_to_the_end() {
        let task = |entry| event::of_task(1, None, Some(entry));
        let records = vec![
            record(10, Kind::TaskqEnqueue, 3, task(0)),
            record(20, Kind::TaskqEnqueue, 3, task(1)),
            record(50, Kind::TaskqExecStart, 4, task(0)),
            record(60, Kind::TaskqExecEnd, 4, task(0)),
            record(99, Kind::Poke, 4, 0),
        ];
        assert_eq!(told(Delay::Taskq, records), [("t4".to_owned(), 40, false), ("t3".to_owned(), 79, true)]);
    }

    #[test]
    fn thread_that_an_interrupt_woke_is_late_from_the_interrupt_on() {
        let records = vec![
            record(1, Kind::Sleep, 3, 0),
            record(10, Kind::IntrBegin, 90, 6),
            record(15, Kind::Wakeup, 3, 0),
            record(16, Kind::Enqueue, 3, event::on_queue(Some(0), false)),
            record(18, Kind::IntrEnd, 90, 6),
            record(30, Kind::OnCpu, 3, 0),
            record(40, Kind::Poke, 3, 0),
        ];
        assert_eq!(told(Delay::Interrupt, records), [("t3".to_owned(), 20, false)]);
    }
}
