//! Who has the lock that a thread waits for, who keeps that one, and so on.
//!
//! # Invariants
//! - A chain visits each thread once: a circle ends it, and is a deadlock.

use super::look::Look;
use super::{For, Kept};
use crate::spans::{Span, State};
use umpire_shared::event;

/// A thread of a chain, and what it did at the moment.
struct Link {
    thread: u64,
    span: Option<Span>,
}

/// The last owner of a chain, at the middle of a wait.
pub(super) fn last_of(look: &Look<'_>, wait: &Span) -> Option<u64> {
    look.chain(wait, wait.from_ns + wait.ns() / 2).0.last().map(|link| link.thread)
}

impl Look<'_> {
    /// Why a thread does not get a lock.
    pub(super) fn locked_out(&self, wait: &Span, at: Option<u64>) -> Kept {
        let at = at.unwrap_or(wait.from_ns + wait.ns() / 2);
        let victim = self.card(wait.thread, wait.pri);
        let (mut links, mut circle) = self.chain(wait, at);
        // A circle never opens again: the one in which a recording ended keeps everybody in it, if it closed late.
        if circle.is_none() && wait.is_open {
            let last = self.chain(wait, wait.to_ns);
            if last.1.is_some() {
                (links, circle) = last;
            }
        }
        let mut says = format!("{victim} waited for {}", self.recording.object(wait.on));
        let mut kept =
            Kept { mechanism: "lock", says: String::new(), also: Vec::new(), remedy: None, tunable: None };
        for link in &links {
            let pri = link.span.map_or(0, |span| span.pri);
            says += &format!(", which {} has; that one {}", self.card(link.thread, pri), self.does(link));
        }
        if links.is_empty() {
            says += ", of which no single thread is known to have it";
        }
        if let Some(first) = circle {
            let pri = links.iter().find(|link| link.thread == first).and_then(|link| link.span);
            let first = self.card(first, pri.map_or(wait.pri, |span| span.pri));
            (kept.mechanism, says) = ("deadlock", format!("{says}, which {first} has: a deadlock"));
        }
        // The lock comes free when the last of them runs: what keeps that one keeps all.
        if let Some(span) = links.last().and_then(|link| link.span).filter(|_| circle.is_none())
            && For::of(&span) == Some(For::Cpu)
        {
            let cpu = self.owing_cpu(&span);
            let last = self.behind(&self.part(&span).0, cpu, Some(at));
            says += &format!(": {}", last.says);
            (kept.also, kept.remedy, kept.tunable) = (last.also, last.remedy, last.tunable);
        }
        kept.says = says;
        kept
    }

    /// The wait for a CPU of who keeps all others that wait for a lock, and the moment at which it is looked at.
    pub(super) fn behind_lock(&self, wait: &Span, at: Option<u64>) -> Option<(Span, u64)> {
        let at = at.unwrap_or(wait.from_ns + wait.ns() / 2);
        let span = self.chain(wait, at).0.last().and_then(|link| link.span);
        span.filter(|span| For::of(span) == Some(For::Cpu)).map(|span| (span, at))
    }

    /// The owner of what a thread waits for, the owner of what that one waits for, and so on; and the first whom they
    /// lead back to, if they go round.
    fn chain(&self, wait: &Span, at: u64) -> (Vec<Link>, Option<u64>) {
        let mut links: Vec<Link> = Vec::new();
        let mut on = wait.on;
        loop {
            let (_, owner, _) = event::sleep_of(on);
            let Some(thread) = owner.map(u64::from) else { return (links, None) };
            if thread == wait.thread || links.iter().any(|link| link.thread == thread) {
                return (links, Some(thread));
            }
            let mut its = self.spans.of_thread(thread);
            let is_then =
                |span: &&Span| span.from_ns <= at && (span.is_open || at < span.to_ns.max(span.from_ns + 1));
            let span = its.find(is_then).copied();
            links.push(Link { thread, span });
            match span {
                Some(span)
                    if (span.state == State::Asleep || is_about_to_sleep(&span)) && span.is_on_lock() =>
                {
                    on = span.on;
                }
                _ => return (links, None),
            }
        }
    }

    fn does(&self, link: &Link) -> String {
        let Some(span) = link.span else { return "has left no event by then".to_owned() };
        match span.state {
            State::Running(_) if is_about_to_sleep(&span) => {
                format!("goes to sleep on {}", self.recording.object(span.on))
            }
            State::Running(cpu) => format!("runs on cpu {cpu}"),
            State::Woken | State::Preempted => "is runnable and does not run".to_owned(),
            State::Capped => "is held by a CPU cap".to_owned(),
            State::Asleep => format!("is asleep on {}", self.recording.object(span.on)),
            State::Off => "is off its CPU".to_owned(),
        }
    }
}

/// True of a thread that the end of the recording kept from leaving its CPU: a guest dies in the block that closes a circle.
fn is_about_to_sleep(span: &Span) -> bool {
    span.is_open && matches!(span.state, State::Running(_)) && span.on != 0
}
