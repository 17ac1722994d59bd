//! Blame: for a wait of a recording, who had the CPU meanwhile and in which part, the rule that kept it, and what would end it.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | a wait, and who is to blame for it |
//! | `look.rs` | a recording, ready to be asked what was at a moment |
//! | `shares.rs` | who ran while it lasted |
//! | `stand.rs` | how a CPU stood at a moment of it |
//! | `chain.rs` | who had the lock, who kept that one, and so on |
//! | `choose.rs` | which waits of a long recording may be told |
//! | `about.rs` | what of it lies about them |
//! | `stored.rs` | both, one after the other |
//!
//! # Invariants
//! - The rule's name and sentence are made where a verdict's are ([`umpire_watch::blame`]).
//! - Shares of a wait are disjoint, and never come to more than the wait.

mod about;
mod chain;
mod choose;
mod look;
mod shares;
mod stand;
mod stored;

use crate::recording::Recording;
use crate::spans::{Span, Spans, State};
use crate::violation::Violation;
use look::Look;
use stand::{Moment, dominant};
use umpire_rows::number::rounded;
use umpire_shared::event::{self, Kind};

pub use shares::{Part, Share};
pub use stored::{Told, blame_of};

/// What a thread waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// A CPU.
    Cpu,
    /// A lock.
    Lock,
    /// The CPU cap of its project or zone.
    Cap,
}

impl For {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            For::Cpu => "cpu",
            For::Lock => "lock",
            For::Cap => "cap",
        }
    }

    fn of(span: &Span) -> Option<For> {
        match span.state {
            State::Woken | State::Preempted => Some(For::Cpu),
            State::Capped => Some(For::Cap),
            State::Asleep if span.is_on_lock() => Some(For::Lock),
            _ => None,
        }
    }
}

/// A wait, and who is to blame for it.
#[derive(Debug, Clone)]
pub struct Blame {
    /// The wait.
    pub wait: Span,
    /// What it was for.
    pub what: For,
    /// The CPU that owed service, if one did.
    pub cpu: Option<u32>,
    /// The bound that it broke, if it broke one.
    pub violated: Option<Violation>,
    /// Who had that CPU meanwhile, the largest share first.
    pub shares: Vec<Share>,
    /// The rule that kept it: `kpreemptpri`, `lock`, `binding`.
    pub mechanism: &'static str,
    /// Why, in a sentence.
    pub says: String,
    /// What else kept it.
    pub also: Vec<String>,
    /// The one change that would have ended it, in words.
    pub remedy: Option<String>,
    /// The same, if it is a tunable's.
    pub tunable: Option<(&'static str, i64)>,
}

/// Which waits are asked about.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Those of these threads; none: of all.
    pub threads: Vec<u64>,
    /// The one that lasts at this moment, in ns after boot, or else the next one.
    pub at_ns: Option<u64>,
    /// How many, at most, beside those that broke a bound.
    pub worst: usize,
}

/// A wait as long as this is told even of a CPU that is coming up.
const BOOT_NS: u64 = 10_000_000;

/// Who is to blame for the waits that are asked about: those that broke a bound first, then the longest.
pub fn blame(recording: &Recording, asked: &Asked) -> Vec<Blame> {
    let spans = Spans::of(recording);
    Look::of(recording, &spans).asked(asked)
}

impl Asked {
    /// True of a wait that is asked about.
    fn is_about(&self, told: &Recording, span: &Span) -> bool {
        For::of(span).is_some()
            && (self.threads.is_empty() || self.threads.contains(&span.thread))
            && !told.thread(span.thread).is_some_and(|thread| thread.is_idle)
    }
}

/// True of a wait that lasts at a moment.
fn lasts(span: &Span, at: u64) -> bool {
    span.from_ns <= at && at < span.to_ns.max(span.from_ns + 1)
}

/// The moment of a wait that was asked about. At one at which it did not wait yet nothing kept it: what did so longest counts.
fn moment_of(span: &Span, at: u64) -> Option<u64> {
    Some(at).filter(|&at| at > span.from_ns)
}

/// What keeps a thread.
pub(super) struct Kept {
    mechanism: &'static str,
    says: String,
    also: Vec<String>,
    remedy: Option<String>,
    tunable: Option<(&'static str, i64)>,
}

impl Look<'_> {
    /// Who is to blame for the waits that are asked about.
    fn asked(&self, asked: &Asked) -> Vec<Blame> {
        let waits = || self.spans.all.iter().filter(|span| asked.is_about(self.recording, span));
        if let Some(at) = asked.at_ns {
            let found = waits().filter(|span| lasts(span, at)).max_by_key(|span| span.ns());
            let found = found.or_else(|| waits().find(|span| span.from_ns >= at));
            return found.map(|span| self.blame(span, moment_of(span, at), None)).into_iter().collect();
        }
        let mut blames: Vec<Blame> = Vec::new();
        for violation in Violation::all(self.recording, self.spans) {
            let is_it =
                |span: &&Span| Some(span.thread) == violation.number && span.from_ns == violation.began_ns;
            if let Some(wait) = waits().find(is_it) {
                blames.push(self.blame(wait, Some(violation.at_ns), Some(violation)));
            }
        }
        let mut longest: Vec<&Span> = waits().filter(|span| span.ns() > 0).collect();
        longest.sort_by_key(|span| (std::cmp::Reverse(span.ns()), span.from_ns, span.thread));
        for wait in longest {
            let is_told = |b: &Blame| b.wait.thread == wait.thread && b.wait.from_ns == wait.from_ns;
            if blames.iter().filter(|b| b.violated.is_none()).count() >= asked.worst {
                break;
            }
            // Asked of the few that are told: to find out which CPU owed it takes a look back through the records.
            if !blames.iter().any(is_told) && self.is_owed(wait) {
                blames.push(self.blame(wait, None, None));
            }
        }
        blames
    }

    /// False of a wait for a CPU that has not switched yet: it is coming up, and owes nothing before.
    fn is_owed(&self, span: &Span) -> bool {
        span.ns() >= BOOT_NS
            || For::of(span) != Some(For::Cpu)
            || span.from_ns >= self.first_switch_ns(self.owing_cpu(span))
    }

    /// `at` is the moment that matters most; without it what kept the thread longest counts.
    fn blame(&self, wait: &Span, at: Option<u64>, violated: Option<Violation>) -> Blame {
        let what = For::of(wait).unwrap_or(For::Cpu);
        let (part, is_part) = self.part(wait);
        // Who had the CPU is known as far back as the records of all CPUs reach.
        let known = Span { from_ns: part.from_ns.max(self.recording.header.whole_from_ns), ..part };
        let (cpu, kept, shares) = match what {
            For::Cpu => {
                let cpu = self.owing_cpu(wait);
                (Some(cpu), self.behind(&known, cpu, at), self.shares_of_cpu(cpu, &known))
            }
            For::Lock => (None, self.locked_out(&known, at), self.shares_of_owner(&known)),
            For::Cap => (None, self.capped(&known), Vec::new()),
        };
        let Kept { mechanism, says, mut also, remedy, tunable } = kept;
        if is_part {
            also.push(format!(
                "of so long a wait no more is read than {} from {}: the shares are of that",
                rounded(part.ns()),
                rounded(part.from_ns)
            ));
        }
        Blame { wait: *wait, what, cpu, violated, shares, mechanism, says, also, remedy, tunable }
    }

    /// The CPU on whose queue it waited last; of a kp queue the one that ran the worst meanwhile.
    fn owing_cpu(&self, wait: &Span) -> u32 {
        let records = &self.recording.records;
        // It may have been put there before it left its CPU: a wait begins when it has left.
        let until = records.partition_point(|record| record.time_ns <= wait.to_ns);
        let queued =
            records[..until].iter().rev().find(|r| r.kind == Kind::Enqueue && r.thread == wait.thread);
        if let Some(cpu) = queued.and_then(|record| event::queue_cpu(record.arg)) {
            return cpu;
        }
        let bound = self.recording.thread(wait.thread).and_then(|thread| thread.bound_cpu);
        let middle = wait.from_ns + wait.ns() / 2;
        let pri = |cpu: &u32| Moment::of(self, *cpu, middle).stand.dispatch_pri;
        bound.or_else(|| (0..self.recording.header.cpus).min_by_key(pri)).unwrap_or(0)
    }

    /// Why a CPU goes on with what it runs.
    fn behind(&self, wait: &Span, cpu: u32, at: Option<u64>) -> Kept {
        if !self.recording.tells_stands() {
            return self.untold(
                wait,
                cpu,
                "the recording ends before it says what threads and tunables there were",
            );
        }
        let victim = self.card(wait.thread, wait.pri);
        let (moment, mechanism) = match at {
            Some(at) => {
                let moment = Moment::of(self, cpu, at);
                let mechanism = moment.mechanism(self, &victim);
                (moment, mechanism)
            }
            None => dominant(self, cpu, wait, &victim),
        };
        if !moment.is_known {
            return self.untold(wait, cpu, "what that CPU ran then no event says");
        }
        let runner = match moment.runner {
            Some(thread) => self.card(thread, moment.stand.dispatch_pri.into()).to_string(),
            None => "its idle thread".to_owned(),
        };
        let mut kept = Kept {
            mechanism: mechanism.name(),
            says: format!("{victim} waited for cpu {cpu} behind {runner}: {}", mechanism.says()),
            also: Vec::new(),
            remedy: None,
            tunable: mechanism.tunable(),
        };
        kept.remedy = kept.tunable.map(|(name, value)| {
            format!("{name} = {value}: a thread of that priority sets cpu_kprunrun then, which preempts the kernel")
        });
        self.elsewhere(wait, cpu, &mut kept);
        if kept.remedy.is_none() {
            kept.remedy = stand::remedy(&mechanism, &victim, &runner, cpu);
        }
        kept
    }

    /// That a CPU went on, and no more: what could say why is not there.
    fn untold(&self, wait: &Span, cpu: u32, because: &str) -> Kept {
        let victim = self.recording.name(wait.thread);
        Kept {
            mechanism: "unknown",
            says: format!("{victim} waited for cpu {cpu}, and why is not told: {because}"),
            also: Vec::new(),
            remedy: None,
            tunable: None,
        }
    }

    /// Why no other CPU took it, if one was idle.
    fn elsewhere(&self, wait: &Span, cpu: u32, kept: &mut Kept) {
        let others = (0..self.recording.header.cpus).filter(|&other| other != cpu);
        let idle = others.map(|other| (self.idle_ns(other, wait), other)).max();
        let Some((idle_ns, other)) = idle.filter(|(ns, _)| *ns > wait.ns() / 20 && *ns > 0) else { return };
        let percent = 100.0 * idle_ns as f64 / wait.ns().max(1) as f64;
        let idle = format!("cpu {other} was idle for {percent:.0} % of that");
        let is_own = matches!(kept.mechanism, "better" | "equal");
        if let Some(bound) = self.recording.thread(wait.thread).and_then(|thread| thread.bound_cpu) {
            kept.also.push(format!("it is bound to cpu {bound}: {idle} and may not take it"));
            if is_own {
                kept.mechanism = "binding";
                kept.remedy = Some(format!("its binding taken away: cpu {other} would have taken it"));
            }
            return;
        }
        let refused = self.recording.records.iter().filter(|record| {
            record.kind == Kind::NoSteal
                && record.thread == wait.thread
                && (wait.from_ns..=wait.to_ns).contains(&record.time_ns)
        });
        let count = refused.count();
        if count > 0 {
            kept.also.push(format!(
                "{idle}, and left it {count} times where it was: it had not waited for nosteal_nsec"
            ));
            if is_own {
                kept.mechanism = "nosteal";
                kept.tunable = Some(("nosteal_nsec", 0));
                kept.remedy = Some("nosteal_nsec = 0: an idle CPU takes a thread at once".to_owned());
            }
        } else {
            kept.also.push(format!("{idle}, and did not take it"));
        }
    }

    fn capped(&self, wait: &Span) -> Kept {
        let victim = self.card(wait.thread, wait.pri);
        Kept {
            mechanism: "cap",
            says: format!(
                "{victim} was held by the CPU cap of its project or zone, which had used what it may"
            ),
            also: Vec::new(),
            remedy: Some("a higher cap, or none (project.cpu-cap, zone.cpu-cap)".to_owned()),
            tunable: None,
        }
    }

    /// How long a CPU ran its idle thread while a wait lasted.
    fn idle_ns(&self, cpu: u32, wait: &Span) -> u64 {
        let ran = self.ran_in(cpu, wait.from_ns, wait.to_ns).iter();
        let idle = ran.filter(|span| self.is_idle(span.thread)).map(|span| shares::overlap(span, wait));
        idle.fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests;
