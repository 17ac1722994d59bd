//! Who ran while a thread waited, and in which part: kernel, user, interrupt, or the host.
//!
//! # Invariants
//! - Who ran, and for how long, is what the events say. Whether it was in user mode is what the passes of the sampler saw of it
//!   meanwhile; where none did, it is not told.
//! - What an interrupt took of a thread's time is the interrupt's.

use std::collections::BTreeMap;

use super::chain;
use super::look::Look;
use crate::spans::{Span, State};
use umpire_shared::event;

/// Where the time went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// In the kernel.
    Kernel,
    /// In user mode.
    User,
    /// No pass saw in which of the two.
    Ran,
    /// Handling an interrupt of this level.
    Interrupt(u8),
    /// The CPU was idle.
    Idle,
    /// The host ran something else.
    Host,
    /// Of who has a lock: it waited for a CPU.
    Runnable,
    /// Of who has a lock: it slept.
    Asleep,
}

impl Part {
    /// Its name.
    pub fn name(self) -> String {
        match self {
            Part::Kernel => "kernel".to_owned(),
            Part::User => "user".to_owned(),
            Part::Ran => "ran".to_owned(),
            Part::Interrupt(level) => format!("interrupt {level}"),
            Part::Idle => "idle".to_owned(),
            Part::Host => "host".to_owned(),
            Part::Runnable => "runnable".to_owned(),
            Part::Asleep => "asleep".to_owned(),
        }
    }
}

/// A share of a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Who had it: a thread with class and priority; none for the CPU's idle time and for the host.
    pub who: Option<String>,
    /// In which part.
    pub part: Part,
    /// How much, in ns.
    pub ns: u64,
}

/// How long two overlap.
pub(super) fn overlap(span: &Span, wait: &Span) -> u64 {
    span.to_ns.min(wait.to_ns).saturating_sub(span.from_ns.max(wait.from_ns))
}

/// By whom, and in which part, in ns.
type Sums = BTreeMap<(Option<u64>, Part), u64>;

/// Of spans that a guest lies about each may have all of a wait.
fn give(sums: &mut Sums, whose: (Option<u64>, Part), ns: u64) {
    let sum = sums.entry(whose).or_default();
    *sum = sum.saturating_add(ns);
}

impl Look<'_> {
    /// Who had a CPU while a wait lasted.
    pub(super) fn shares_of_cpu(&self, cpu: u32, wait: &Span) -> Vec<Share> {
        let mut sums = Sums::new();
        for span in self.ran_in(cpu, wait.from_ns, wait.to_ns) {
            let (from, to) = (span.from_ns.max(wait.from_ns), span.to_ns.min(wait.to_ns));
            let mut thread_ns = to.saturating_sub(from);
            // What an interrupt took is not this thread's.
            for &(begins, ends, level) in self.interrupts_in(cpu, from, to) {
                let taken = ends.min(to).saturating_sub(begins.max(from));
                thread_ns = thread_ns.saturating_sub(taken);
                give(&mut sums, (None, Part::Interrupt(level)), taken);
            }
            if self.is_idle(span.thread) {
                give(&mut sums, (None, Part::Idle), thread_ns);
            } else {
                let (user_ns, part) = self.user_share(cpu, span, wait, thread_ns);
                give(&mut sums, (Some(span.thread), part), thread_ns - user_ns);
                give(&mut sums, (Some(span.thread), Part::User), user_ns);
            }
        }
        self.take_host(cpu, wait, &mut sums);
        self.told(sums)
    }

    /// What the owner of a lock did while another thread waited for it.
    pub(super) fn shares_of_owner(&self, wait: &Span) -> Vec<Share> {
        let (_, owner, _) = event::sleep_of(wait.on);
        let Some(owner) = chain::last_of(self, wait).or(owner.map(u64::from)) else { return Vec::new() };
        let mut sums = Sums::new();
        for span in self.spans.of_thread(owner) {
            let ns = overlap(span, wait);
            let part = match span.state {
                State::Running(cpu) => {
                    let (user_ns, part) = self.user_share(cpu, span, wait, ns);
                    give(&mut sums, (Some(owner), Part::User), user_ns);
                    give(&mut sums, (Some(owner), part), ns - user_ns);
                    continue;
                }
                State::Woken | State::Preempted | State::Capped => Part::Runnable,
                State::Asleep | State::Off => Part::Asleep,
            };
            give(&mut sums, (Some(owner), part), ns);
        }
        self.told(sums)
    }

    /// How much of a thread's time was in user mode, and what the rest is called.
    fn user_share(&self, cpu: u32, span: &Span, wait: &Span, ns: u64) -> (u64, Part) {
        let (from, to) = (span.from_ns.max(wait.from_ns), span.to_ns.min(wait.to_ns));
        let samples = &self.recording.samples;
        let first = samples.partition_point(|sample| sample.at_ns < from);
        let within = samples[first..].iter().take_while(|sample| sample.at_ns <= to);
        let (mut seen, mut user) = (0u64, 0u64);
        for stand in within.filter_map(|sample| sample.stands.get(cpu as usize)) {
            if stand.thread == Some(span.thread) {
                (seen, user) = (seen + 1, user + u64::from(stand.is_user));
            }
        }
        if seen > 0 {
            return ((u128::from(ns) * u128::from(user) / u128::from(seen)) as u64, Part::Kernel);
        }
        // A thread without an LWP has no user mode.
        let is_kernel = self.recording.thread(span.thread).is_some_and(|thread| !thread.has_lwp);
        (0, if is_kernel { Part::Kernel } else { Part::Ran })
    }

    /// What the host did not run of what the CPU seemed to run is the host's, and is taken from the others by their shares.
    fn take_host(&self, cpu: u32, wait: &Span, sums: &mut Sums) {
        let busy: u64 = sums
            .iter()
            .filter(|((_, part), _)| *part != Part::Idle)
            .map(|(_, ns)| *ns)
            .fold(0, u64::saturating_add);
        let Some((ran_ns, over_ns)) = self.ran(cpu, wait) else { return };
        let host = over_ns.saturating_sub(ran_ns).min(busy);
        // An idle CPU halts, which is no doing of the host's.
        let has_idled = sums.contains_key(&(None, Part::Idle));
        if host == 0 || has_idled || busy == 0 {
            return;
        }
        for ((_, part), ns) in sums.iter_mut() {
            if *part != Part::Idle {
                *ns -= (u128::from(*ns) * u128::from(host) / u128::from(busy)) as u64;
            }
        }
        sums.insert((None, Part::Host), host);
    }

    /// For how long the host ran a CPU between the first and the last pass of a wait, and how long that was.
    fn ran(&self, cpu: u32, wait: &Span) -> Option<(u64, u64)> {
        let samples = &self.recording.samples;
        let first = samples.get(samples.partition_point(|sample| sample.at_ns < wait.from_ns))?;
        let last =
            samples.get(samples.partition_point(|sample| sample.at_ns <= wait.to_ns).checked_sub(1)?)?;
        let (a, b) = (first.stands.get(cpu as usize)?, last.stands.get(cpu as usize)?);
        Some((b.ran_ns.saturating_sub(a.ran_ns), last.at_ns.checked_sub(first.at_ns)?))
    }

    fn told(&self, sums: Sums) -> Vec<Share> {
        let pri = |thread: u64| self.spans.of_thread(thread).next().map_or(0, |span| span.pri);
        let share = |((thread, part), ns): ((Option<u64>, Part), u64)| Share {
            who: thread.map(|thread| self.card(thread, pri(thread)).to_string()),
            part,
            ns,
        };
        let mut shares: Vec<Share> = sums.into_iter().filter(|(_, ns)| *ns > 0).map(share).collect();
        shares.sort_by(|a, b| b.ns.cmp(&a.ns).then_with(|| a.who.cmp(&b.who)));
        shares
    }
}
