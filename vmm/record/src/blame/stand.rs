//! How a CPU stood at a moment of a recording: what its events say, and what the nearest pass of the sampler saw of what it ran.
//!
//! # Invariants
//! - What a pass saw counts only if it saw the same thread run there.

use std::collections::BTreeMap;

use super::look::Look;
use crate::bars::Lasting;
use crate::recording::{Sample, StandState};
use crate::spans::Span;
use umpire_watch::blame::{Mechanism, Stand};
use umpire_watch::glass::ThreadCard;

/// Moments of a wait that are looked at to say what kept it longest.
const LOOKS: u64 = 64;

/// A CPU at a moment.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    /// How it stood.
    pub(super) stand: Stand,
    /// What it ran, unless it was idle.
    pub(super) runner: Option<u64>,
    /// False if nothing says what it ran: neither an event, nor a pass.
    pub(super) is_known: bool,
    preempt: u8,
    is_user: bool,
}

impl Moment {
    /// A CPU at a moment.
    pub(super) fn of(look: &Look<'_>, cpu: u32, at: u64) -> Moment {
        let ran = look.ran_at(cpu, at);
        let runner = ran.filter(|span| !look.is_idle(span.thread));
        let handles = look.interrupts_in(cpu, at, at + 1).first().map(|(_, _, level)| *level);
        let sample = nearest(&look.recording.samples, at);
        let seen = sample.and_then(|sample| sample.stands.get(cpu as usize));
        // Where no event says what ran, it did not switch in all the time that is known: what the pass saw ran then too, or nothing.
        let is_seen = |seen: &&StandState| seen.thread.is_some() || seen.dispatch_pri < 0;
        let alone = seen.filter(|seen| ran.is_none() && is_seen(seen));
        let seen = seen.filter(|seen| alone.is_some() || seen.thread == runner.map(|span| span.thread));
        let pri = |span: &Span| seen.map_or(span.pri as i16, |seen| seen.dispatch_pri);
        Moment {
            stand: Stand {
                dispatch_pri: runner.map(pri).or(alone.map(|seen| seen.dispatch_pri)).unwrap_or(-1),
                handles: handles.or_else(|| seen?.handles),
                runrun: look.is_set(cpu, Lasting::Runrun, at),
                kprunrun: look.is_set(cpu, Lasting::Kprunrun, at),
                // Without a pass that says so it is Solaris's own.
                kpreemptpri: sample.and_then(|sample| sample.kpreemptpri).unwrap_or(KPREEMPTPRI),
            },
            runner: runner.map(|span| span.thread).or(alone.and_then(|seen| seen.thread)),
            is_known: ran.is_some() || alone.is_some(),
            preempt: seen.map_or(0, |seen| seen.preempt),
            is_user: seen.is_some_and(|seen| seen.is_user),
        }
    }

    /// Why the CPU goes on although `victim` waits.
    pub(super) fn mechanism(&self, look: &Look<'_>, victim: &ThreadCard) -> Mechanism {
        let card = self.runner.map(|thread| look.card(thread, self.stand.dispatch_pri.into()));
        let runner = ThreadCard { preempt: self.preempt, is_user: self.is_user, ..card.unwrap_or_default() };
        Mechanism::of(&self.stand, victim, &runner)
    }
}

/// The default of `kpreemptpri`: 99, and 100 before OS-970.
const KPREEMPTPRI: i32 = 99;

/// What kept a thread at most moments of its wait, and the last such moment.
pub(super) fn dominant(look: &Look<'_>, cpu: u32, wait: &Span, victim: &ThreadCard) -> (Moment, Mechanism) {
    let mut found: BTreeMap<&'static str, (u64, Moment, Mechanism)> = BTreeMap::new();
    for n in 0..=LOOKS {
        // Not the ends themselves: there the wait is about to begin, or is over.
        let part = u128::from(wait.ns()) * (2 * u128::from(n) + 1) / (2 * u128::from(LOOKS) + 2);
        let at = wait.from_ns + part as u64;
        let moment = Moment::of(look, cpu, at);
        let mechanism = moment.mechanism(look, victim);
        let (count, last, which) =
            found.entry(mechanism.name()).or_insert_with(|| (0, moment.clone(), mechanism.clone()));
        (*count, *last, *which) = (*count + 1, moment, mechanism);
    }
    let most = found.into_values().max_by_key(|(count, ..)| *count);
    let (_, moment, mechanism) = most.expect("invariant: at least one moment was looked at");
    (moment, mechanism)
}

/// The one change that would have ended it, in words, where it is no tunable's.
pub(super) fn remedy(mechanism: &Mechanism, victim: &ThreadCard, runner: &str, cpu: u32) -> Option<String> {
    match mechanism {
        Mechanism::Better => Some(format!("a priority for {} above that of {runner}", victim.name)),
        Mechanism::Equal => {
            let pri = victim.pri.saturating_add(1);
            Some(format!("priority {pri} for {}: it would not wait for an equal's quantum", victim.name))
        }
        Mechanism::Interrupt(level) => Some(format!(
            "the interrupt of level {level} on another CPU (psradm -i {cpu} keeps cpu {cpu} free of them)"
        )),
        Mechanism::NoPreempt(name, _) => Some(format!(
            "{name} on another CPU (pbind): no tunable preempts a thread that holds kpreempt_disable"
        )),
        // Nothing but a repair of the kernel, or of what runs there.
        Mechanism::Pil | Mechanism::Idle | Mechanism::NotAsked { .. } | Mechanism::NobodyAsked { .. } => None,
        Mechanism::Kpreemptpri { .. } => None,
    }
}

/// The pass that was nearest to a moment.
fn nearest(samples: &[Sample], at: u64) -> Option<&Sample> {
    let after = samples.partition_point(|sample| sample.at_ns < at);
    let around = [after.checked_sub(1).and_then(|n| samples.get(n)), samples.get(after)];
    around.into_iter().flatten().min_by_key(|sample| sample.at_ns.abs_diff(at))
}
