//! A recording, ready to be asked what a CPU was at, at a moment.
//!
//! # Invariants
//! - What a list here has does not overlap and is in order, so a moment is found by halving.

use std::collections::HashMap;

use crate::bars::{Bar, Lasting, bars};
use crate::recording::Recording;
use crate::spans::{Span, Spans, State};
use umpire_shared::event::Kind;
use umpire_shared::program::class;
use umpire_watch::glass::{ThreadCard, TraceRecord};

/// From when to when, and of an interrupt its level.
pub(super) type Stretch = (u64, u64, u8);

/// A recording and what is often looked for in it.
pub(super) struct Look<'r> {
    pub(super) recording: &'r Recording,
    pub(super) spans: &'r Spans,
    cpus: Vec<Cpu>,
    /// Of waits that are longer than what is there, by thread and beginning: the part that is.
    parts: HashMap<(u64, u64), (u64, u64)>,
}

/// What a CPU was at.
#[derive(Default)]
struct Cpu {
    ran: Vec<Span>,
    /// By the uppermost level.
    interrupts: Vec<Stretch>,
    runrun: Vec<Stretch>,
    kprunrun: Vec<Stretch>,
}

impl<'r> Look<'r> {
    /// Of a recording and its spans.
    pub(super) fn of(recording: &'r Recording, spans: &'r Spans) -> Look<'r> {
        Look::with(recording, spans, &bars(recording))
    }

    /// The same, and its bars.
    pub(super) fn with(recording: &'r Recording, spans: &'r Spans, bars: &[Bar]) -> Look<'r> {
        let mut cpus: Vec<Cpu> = (0..recording.header.cpus).map(|_| Cpu::default()).collect();
        for span in &spans.all {
            if let State::Running(cpu) = span.state
                && let Some(cpu) = cpus.get_mut(cpu as usize)
            {
                cpu.ran.push(*span);
            }
        }
        for (cpu, of) in (0..).zip(&mut cpus) {
            let its = || bars.iter().filter(move |bar| bar.cpu == cpu);
            let flag =
                |what| its().filter(|bar| bar.what == what).map(|bar| (bar.from_ns, bar.to_ns, 0)).collect();
            (of.runrun, of.kprunrun) = (flag(Lasting::Runrun), flag(Lasting::Kprunrun));
            of.interrupts = uppermost(its());
        }
        Look { recording, spans, cpus, parts: HashMap::new() }
    }

    /// The same where of these waits, by thread and beginning, no more than these parts are there.
    pub(super) fn in_part(self, parts: HashMap<(u64, u64), (u64, u64)>) -> Look<'r> {
        Look { parts, ..self }
    }

    /// What is there of a wait, and whether that is less than all of it.
    pub(super) fn part(&self, wait: &Span) -> (Span, bool) {
        match self.parts.get(&(wait.thread, wait.from_ns)) {
            Some(&(from, to)) => {
                (Span { from_ns: wait.from_ns.max(from), to_ns: wait.to_ns.min(to), ..*wait }, true)
            }
            None => (*wait, false),
        }
    }

    /// When a CPU switched first, in ns after boot; 0 if the recording does not begin with the boot.
    pub(super) fn first_switch_ns(&self, cpu: u32) -> u64 {
        let is_switch =
            |record: &&TraceRecord| record.cpu == cpu && matches!(record.kind, Kind::OnCpu | Kind::OffCpu);
        let first = self.recording.records.iter().find(is_switch);
        if self.recording.header.whole_from_ns > 0 { 0 } else { first.map_or(0, |record| record.time_ns) }
    }

    /// What a CPU ran at a moment.
    pub(super) fn ran_at(&self, cpu: u32, at: u64) -> Option<&Span> {
        self.ran_in(cpu, at, at + 1).first()
    }

    /// What a CPU ran in an interval.
    pub(super) fn ran_in(&self, cpu: u32, from: u64, to: u64) -> &[Span] {
        let Some(cpu) = self.cpus.get(cpu as usize) else { return &[] };
        let first = cpu.ran.partition_point(|span| span.to_ns <= from);
        let count = cpu.ran[first..].partition_point(|span| span.from_ns < to);
        &cpu.ran[first..first + count]
    }

    /// The interrupts that a CPU handled in an interval; where some nested, the uppermost.
    pub(super) fn interrupts_in(&self, cpu: u32, from: u64, to: u64) -> &[Stretch] {
        self.cpus.get(cpu as usize).map_or(&[], |cpu| within(&cpu.interrupts, from, to))
    }

    /// True if a flag of a CPU was set at a moment.
    pub(super) fn is_set(&self, cpu: u32, what: Lasting, at: u64) -> bool {
        let Some(cpu) = self.cpus.get(cpu as usize) else { return false };
        let flag = if what == Lasting::Runrun { &cpu.runrun } else { &cpu.kprunrun };
        !within(flag, at, at + 1).is_empty()
    }

    /// True if a thread is a CPU's idle thread.
    pub(super) fn is_idle(&self, thread: u64) -> bool {
        self.recording.thread(thread).is_some_and(|thread| thread.is_idle)
    }

    /// What is known of a thread, at this priority.
    pub(super) fn card(&self, thread: u64, pri: i32) -> ThreadCard {
        let known = self.recording.thread(thread);
        let number = |name: &str| class::NAMES.iter().position(|known| *known == name).unwrap_or(0);
        ThreadCard {
            name: self.recording.name(thread),
            // Of who is not known its class is not either.
            class: known.map_or(u8::MAX, |thread| number(&thread.class) as u8),
            pri: pri as i16,
            bound_cpu: known.and_then(|thread| thread.bound_cpu),
            has_lwp: known.is_some_and(|thread| thread.has_lwp),
            ..ThreadCard::default()
        }
    }
}

/// Those that overlap an interval.
fn within(all: &[Stretch], from: u64, to: u64) -> &[Stretch] {
    let first = all.partition_point(|(_, ends, _)| *ends <= from);
    let count = all[first..].partition_point(|(begins, ..)| *begins < to);
    &all[first..first + count]
}

/// Nested interrupts as stretches of the uppermost one; `bars` are in the order of their beginnings.
fn uppermost<'b>(bars: impl Iterator<Item = &'b Bar>) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    let mut nest: Vec<(u64, u8)> = Vec::new();
    let mut at = 0;
    let mut put = |from: u64, to: u64, level: u8| {
        if from < to {
            found.push((from, to, level));
        }
    };
    for bar in bars {
        let Lasting::Interrupt(level) = bar.what else { continue };
        while let Some((ends, below)) = nest.pop_if(|(ends, _)| *ends <= bar.from_ns) {
            put(at, ends, below);
            at = at.max(ends);
        }
        if let Some(&(_, below)) = nest.last() {
            put(at, bar.from_ns, below);
        }
        at = bar.from_ns;
        nest.push((bar.to_ns, level));
    }
    while let Some((ends, below)) = nest.pop() {
        put(at, ends, below);
        at = at.max(ends);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_interrupts_are_the_uppermost_ones_and_do_not_overlap() {
        let bar = |from_ns, to_ns, level| Bar {
            what: Lasting::Interrupt(level),
            cpu: 0,
            from_ns,
            to_ns,
            is_open: false,
            by: None,
        };
        let bars = [bar(10, 100, 3), bar(20, 50, 6), bar(30, 40, 9), bar(200, 210, 3)];
        let expected = [(10, 20, 3), (20, 30, 6), (30, 40, 9), (40, 50, 6), (50, 100, 3), (200, 210, 3)];
        assert_eq!(uppermost(bars.iter()), expected);
        assert_eq!(within(&expected, 45, 60), [(40, 50, 6), (50, 100, 3)]);
        assert_eq!(within(&expected, 100, 200), []);
    }
}
