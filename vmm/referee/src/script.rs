//! Whether the scenario's events had the results that they should have, and in time.
//!
//! # Invariants
//! - An event that was not due before the run ended (`--run` shortens it), that the run was too short to see finished, or that
//!   the guest did not live to see, is neither met nor failed.
//! - Events come one after the other, so only the first that is not finished is told; those behind it are counted.
//! - Being late is held against an event only where the host was not too busy to say.

use umpire_shared::errno;
use umpire_shared::program::class;

use crate::report::{EventReport, Observed, Outcome, VariantReport};
use umpire_rows::number::rounded;
use umpire_scenario::{NEVER, Script, ScriptedEvent, Variant};
use umpire_watch::glass::{EventResult, ThreadCard};

/// Time before the end of a run that is too short to say of an event that it did not happen, in ns: a tick at the usual `hz`, for
/// which whoever has the CPU may keep it.
const TOO_SHORT_NS: u64 = 10_000_000;

/// What one event means for its run.
enum Verdict {
    Met,
    /// The run ended before it was due.
    NotDue,
    /// The run ended before anything could be said.
    Open,
    /// Finished too late, by so many ns, or not at all in so many, in words.
    Late(u64, String),
    /// The run is over, and its time had come so many ns before.
    NeverBegan(u64),
    /// It did not begin, as it should not, in so many ns.
    KeptOff,
    /// Another result, in words.
    Failed(String),
}

/// How long the run was to be, and what of it does not count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// What was planned, in ns. On a busy host a run is longer, and may see events that belong to no run of that length.
    pub(super) planned_ns: u64,
    /// Time in which the sampler was stopped, and perhaps the guest, in ns.
    pub(super) gaps_ns: u64,
    /// By how much the host may have delayed anything, in ns; `u64::MAX` if by any time.
    pub(super) kept_ns: u64,
}

/// Events of one kind of verdict: the first is told, the others are counted.
#[derive(Default)]
struct Told {
    first: Option<(usize, String)>,
    more: usize,
}

impl Told {
    fn add(&mut self, n: usize, sentence: String) {
        match self.first {
            None => self.first = Some((n, sentence)),
            Some(_) => self.more += 1,
        }
    }

    /// One line of all of them; `others` is what became of the others, `end` what follows.
    fn line(self, variant: &Variant, others: &str, end: &str) -> Option<String> {
        let (n, sentence) = self.first?;
        let ScriptedEvent { event, label, .. } = &variant.events[n];
        let more = match self.more {
            0 => String::new(),
            1 => format!(", {others} one after it"),
            n => format!(", {others} {n} after it"),
        };
        Some(format!("event `{label}` at {}: {sentence}{more}{end}", rounded(event.at_ns)))
    }
}

/// How things stood at the end of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct End<'r> {
    /// What ran on each CPU, for the event that never began.
    pub(super) ran: &'r [(u32, ThreadCard)],
    /// What the script thread was at, for the event that was never finished; empty if that is not known.
    pub(super) script_at: &'r str,
}

/// Reports every event of the variant and lowers the outcome where one was not as expected.
pub(super) fn judge(
    report: &mut VariantReport,
    variant: &Variant,
    seen: &[EventResult],
    end: End<'_>,
    span: Span,
) {
    let [mut late, mut open, mut never] = [Told::default(), Told::default(), Told::default()];
    let missed = |by_ns: u64| match by_ns <= span.kept_ns {
        true => (None, Outcome::Inconclusive),
        false => (Some(false), Outcome::Fail),
    };
    for (n, scripted) in variant.events.iter().enumerate() {
        let seen = seen.get(n).copied().unwrap_or_default();
        let (met, outcome) = match verdict(scripted, seen, report, span) {
            Verdict::Met => (Some(true), Outcome::Pass),
            Verdict::NotDue => (None, Outcome::Pass),
            // A guest that was to die, or a run that was interrupted, has its own word for that.
            Verdict::Open if report.observed == Observed::Panic || report.was_ended_early() => {
                (None, Outcome::Pass)
            }
            Verdict::Open => {
                let what =
                    if scripted.expect == NEVER { "say that it never began" } else { "see it finished" };
                open.add(n, format!("inconclusive: the run was too short to {what}"));
                (None, Outcome::Inconclusive)
            }
            Verdict::KeptOff if span.kept_ns == u64::MAX => {
                open.add(n, "inconclusive: it never began, and the host may have kept it off".to_owned());
                (None, Outcome::Inconclusive)
            }
            Verdict::KeptOff => (Some(true), Outcome::Pass),
            Verdict::NeverBegan(by_ns) => {
                never.add(n, "it never began".to_owned());
                missed(by_ns)
            }
            Verdict::Late(by_ns, sentence) => {
                late.add(n, sentence);
                missed(by_ns)
            }
            Verdict::Failed(sentence) => {
                let at = rounded(scripted.event.at_ns);
                report.why.push(format!("event `{}` at {at}: {sentence}", scripted.label));
                (Some(false), Outcome::Fail)
            }
        };
        report.outcome = report.outcome.max(outcome);
        report.events.push(EventReport {
            event: scripted.label.clone(),
            at_ns: scripted.event.at_ns,
            began_ns: Some(seen.began_ns).filter(|ns| *ns != 0),
            ended_ns: Some(seen.ended_ns).filter(|ns| *ns != 0),
            expect: name(scripted.expect),
            result: (seen.ended_ns != 0).then(|| name(seen.errno)),
            met,
        });
    }
    // The script thread is still at an event that began.
    let is_stuck = seen.iter().any(|event| event.began_ns != 0 && event.ended_ns == 0);
    let why = if is_stuck { String::new() } else { kept_off(variant, end.ran) };
    let stuck = match is_stuck && !end.script_at.is_empty() {
        true => format!("; the script thread {}", end.script_at),
        false => String::new(),
    };
    report.why.extend(late.line(variant, "and late too:", &stuck));
    report.why.extend(open.line(variant, "and the same of", &stuck));
    report.why.extend(never.line(variant, "nor did the", &why));
}

/// Why the script thread did nothing, by what ran instead.
fn kept_off(variant: &Variant, ran: &[(u32, ThreadCard)]) -> String {
    let on_cpu = |(cpu, card): &(u32, ThreadCard)| {
        let class = class::NAMES.get(usize::from(card.class)).unwrap_or(&"?");
        format!("cpu {cpu} ran `{}` ({class} {})", card.name, card.pri)
    };
    let who: Vec<String> = ran.iter().map(on_cpu).collect();
    let who = if who.is_empty() { String::new() } else { format!("; at the end {}", who.join(", ")) };
    let Script { class, pri } = variant.script;
    // Every CPU listens to a console, and nothing that takes interrupts keeps it off.
    let script = match variant.console {
        true => "acts from a console, above every class, but no CPU took its interrupt".to_owned(),
        false => format!("is a {} {pri}", class::NAMES.get(class as usize).unwrap_or(&"?")),
    };
    let is_outranked = ran.iter().any(|(_, card)| i32::from(card.pri) > variant.script.global_pri());
    let hint = match is_outranked {
        _ if variant.console => "",
        true => "; say `console = true` to act above that",
        false => {
            "; a raised level may mask the interrupt that is to wake it: with `console = true` every CPU listens"
        }
    };
    format!(": the script thread {script}{who}{hint}")
}

fn verdict(scripted: &ScriptedEvent, seen: EventResult, report: &VariantReport, span: Span) -> Verdict {
    let at_ns = scripted.event.at_ns;
    let is_never = scripted.expect == NEVER;
    let within_ns = scripted.within_ns.saturating_add(span.gaps_ns);
    let end_ns = report.run_ns.min(span.planned_ns.saturating_add(span.gaps_ns));
    if seen.ended_ns == 0 {
        if at_ns >= span.planned_ns || seen.began_ns == 0 && at_ns >= report.run_ns {
            return Verdict::NotDue;
        }
        if seen.began_ns != 0 && is_never && seen.began_ns < span.planned_ns {
            return Verdict::Failed("it began, expected never".to_owned());
        }
        let due_ns = at_ns.saturating_add(within_ns);
        let waited_ns = end_ns.saturating_sub(at_ns).saturating_sub(span.gaps_ns);
        let cut = report.observed == Observed::Panic || report.was_ended_early();
        return match seen.began_ns {
            _ if cut || waited_ns < TOO_SHORT_NS => Verdict::Open,
            _ if is_never => Verdict::KeptOff,
            _ if due_ns > end_ns => Verdict::Open,
            0 => Verdict::NeverBegan(waited_ns),
            _ => Verdict::Late(waited_ns, "it began and was never finished".to_owned()),
        };
    }
    if is_never && seen.began_ns >= span.planned_ns {
        return Verdict::KeptOff;
    }
    if seen.errno != scripted.expect {
        return Verdict::Failed(format!("{}, expected {}", name(seen.errno), name(scripted.expect)));
    }
    let took_ns = seen.ended_ns.saturating_sub(at_ns);
    if at_ns >= span.planned_ns || took_ns <= within_ns {
        return Verdict::Met;
    }
    let (took, within) = (rounded(took_ns), rounded(scripted.within_ns));
    Verdict::Late(took_ns - within_ns, format!("finished {took} after its time, expected within {within}"))
}

/// An errno's name, or its number if it is none of ours.
fn name(number: u32) -> String {
    match number {
        NEVER => "never".to_owned(),
        _ => errno::name(number).map_or_else(|| format!("errno {number}"), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RunOptions;
    use umpire_scenario::Scenario;

    const MS: u64 = 1_000_000;
    const NOTHING: End<'_> = End { ran: &[], script_at: "" };

    const FILE: &str = r#"
id = "events"
title = "Two events"
source = "a test"
run = "1s"
[[thread]]
name = "t"
class = "SYS"
pri = 60
work = "spin"
[[event]]
at = "100ms"
offline = { cpu = 1 }
expect = "EBUSY"
[[event]]
at = "200ms"
within = "50ms"
pause = { for = "10ms" }
[[bound]]
monitor = "runq"
limit = "0s"
"#;

    fn seen(at_ms: u64, ended_ms: u64, errno: u32) -> EventResult {
        let (at_ns, ended_ns) = (at_ms * MS, ended_ms * MS);
        EventResult { at_ns, began_ns: at_ns, ended_ns, errno, ..EventResult::default() }
    }

    /// The report of a run of `run_ms` that held, with these results of its two events.
    fn judged(run_ms: u64, observed: Observed, results: &[EventResult], is_noisy: bool) -> VariantReport {
        spanned((run_ms, run_ms, 0), observed, results, is_noisy)
    }

    /// The same for a run that was planned to be so long, and in which nobody looked for so long.
    fn spanned(
        (run_ms, planned_ms, gaps_ms): (u64, u64, u64),
        observed: Observed,
        results: &[EventResult],
        is_noisy: bool,
    ) -> VariantReport {
        let scenario = Scenario::parse(FILE, "events.toml").unwrap_or_else(|e| panic!("{e}"));
        let variant = &scenario.variants[0];
        let mut report = VariantReport::nothing(&scenario, variant, &RunOptions::default());
        (report.observed, report.outcome, report.run_ns) = (observed, Outcome::Pass, run_ms * MS);
        let kept_ns = if is_noisy { u64::MAX } else { 0 };
        let span = Span { planned_ns: planned_ms * MS, gaps_ns: gaps_ms * MS, kept_ns };
        judge(&mut report, variant, results, End { ran: &[], script_at: "sleeps" }, span);
        report
    }

    #[test]
    fn events_with_their_results_in_time_pass() {
        let report = judged(1000, Observed::Held, &[seen(100, 101, errno::EBUSY), seen(200, 210, 0)], false);
        assert_eq!(report.outcome, Outcome::Pass, "{:?}", report.why);
        assert_eq!(report.events[0].result.as_deref(), Some("EBUSY"));
        assert!(report.events.iter().all(|e| e.met == Some(true)) && report.why.is_empty());
    }

    #[test]
    fn event_with_another_result_fails() {
        let report = judged(1000, Observed::Held, &[seen(100, 101, 0), seen(200, 210, 0)], true);
        assert_eq!((report.outcome, report.events[0].met), (Outcome::Fail, Some(false)));
        assert_eq!(report.why, ["event `offline cpu 1` at 100ms: ok, expected EBUSY"]);
    }

    #[test]
    fn event_that_is_late_fails_unless_the_host_was_busy() {
        let results = [seen(100, 101, errno::EBUSY), seen(200, 251, 0)];
        let report = judged(1000, Observed::Held, &results, false);
        assert_eq!(report.outcome, Outcome::Fail);
        assert!(
            report.why[0].contains("finished 51ms after its time, expected within 50ms"),
            "{:?}",
            report.why
        );
        assert_eq!(judged(1000, Observed::Held, &results, true).outcome, Outcome::Inconclusive);
    }

    #[test]
    fn event_that_is_never_finished_fails() {
        let report = judged(1000, Observed::Held, &[seen(100, 0, 0)], false);
        assert_eq!(report.outcome, Outcome::Fail);
        assert!(
            report.why[0].ends_with("it began and was never finished; the script thread sleeps"),
            "{:?}",
            report.why
        );
        assert!(report.why[1].ends_with("it never began"), "{:?}", report.why);
        assert_eq!(report.events[1].result, None);
    }

    #[test]
    fn events_that_never_began_are_one_line_that_says_what_ran() {
        let scenario = Scenario::parse(FILE, "events.toml").unwrap_or_else(|e| panic!("{e}"));
        let hog =
            ThreadCard { name: "a/0".into(), class: class::RT as u8, pri: 110, ..ThreadCard::default() };
        for (console, expected) in [
            (
                false,
                "event `offline cpu 1` at 100ms: it never began, nor did the one after it: the script thread is a SYS 99; at \
                 the end cpu 1 ran `a/0` (RT 110); say `console = true` to act above that",
            ),
            (
                true,
                "event `offline cpu 1` at 100ms: it never began, nor did the one after it: the script thread acts from a \
                 console, above every class, but no CPU took its interrupt; at the end cpu 1 ran `a/0` (RT 110)",
            ),
        ] {
            let mut variant = scenario.variants[0].clone();
            variant.console = console;
            let mut report = VariantReport::nothing(&scenario, &variant, &RunOptions::default());
            (report.observed, report.outcome, report.run_ns) = (Observed::Held, Outcome::Pass, 1000 * MS);
            let span = Span { planned_ns: 1000 * MS, gaps_ns: 0, kept_ns: 0 };
            let ran = [(1, hog.clone())];
            judge(&mut report, &variant, &[], End { ran: &ran, script_at: "" }, span);
            assert_eq!(report.why, [expected]);
            assert_eq!(report.outcome, Outcome::Fail);
        }
    }

    #[test]
    fn script_of_another_class_is_named_and_told_what_to_do_against_what_keeps_it_off() {
        let scenario = Scenario::parse(FILE, "events.toml").unwrap_or_else(|e| panic!("{e}"));
        let mut variant = scenario.variants[0].clone();
        let card =
            |pri| ThreadCard { name: "a".into(), class: class::RT as u8, pri, ..ThreadCard::default() };
        for (script, expected) in [
            (
                Script { class: class::RT, pri: 9 },
                "is a RT 9; at the end cpu 0 ran `a` (RT 110); say `console",
            ),
            (
                Script { class: class::RT, pri: 20 },
                "is a RT 20; at the end cpu 0 ran `a` (RT 110); a raised level",
            ),
            (
                Script { class: class::TS, pri: 59 },
                "is a TS 59; at the end cpu 0 ran `a` (RT 110); say `console",
            ),
        ] {
            variant.script = script;
            let said = kept_off(&variant, &[(0, card(110))]);
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn event_that_must_never_begin_passes_if_it_did_not_and_fails_if_it_did() {
        let text = FILE.replace("EBUSY", "never").replace("within = \"50ms\"", "expect = \"never\"");
        let scenario = Scenario::parse(&text, "events.toml").unwrap_or_else(|e| panic!("{e}"));
        let variant = &scenario.variants[0];
        let began = EventResult { ended_ns: 0, ..seen(100, 0, 0) };
        for (seen, run_ms, kept_ns, outcome) in [
            (&[][..], 1000, 0, Outcome::Pass),
            (&[seen(100, 101, 0)], 1000, 0, Outcome::Fail),
            (&[began], 1000, 0, Outcome::Fail),
            // So near the end, or on such a host, nothing need begin.
            (&[], 205, 0, Outcome::Inconclusive),
            (&[], 1000, u64::MAX, Outcome::Inconclusive),
        ] {
            let mut report = VariantReport::nothing(&scenario, variant, &RunOptions::default());
            (report.observed, report.outcome, report.run_ns) = (Observed::Held, Outcome::Pass, run_ms * MS);
            let span = Span { planned_ns: run_ms * MS, gaps_ns: 0, kept_ns };
            judge(&mut report, variant, seen, NOTHING, span);
            assert_eq!(report.outcome, outcome, "{:?}", report.why);
        }
    }

    #[test]
    fn event_without_within_means_what_the_written_out_default_means() {
        let written = FILE.replace("expect = \"EBUSY\"", "within = \"900ms\"");
        let left_out = FILE.replace("expect = \"EBUSY\"", "");
        let verdicts = |text: &str| {
            let scenario = Scenario::parse(text, "events.toml").unwrap_or_else(|e| panic!("{e}"));
            let variant = &scenario.variants[0];
            let runs = [(1000, seen(100, 0, 0)), (500, seen(100, 0, 0)), (1000, EventResult::default())];
            runs.map(|(run_ms, event)| {
                let mut report = VariantReport::nothing(&scenario, variant, &RunOptions::default());
                (report.observed, report.outcome, report.run_ns) =
                    (Observed::Held, Outcome::Pass, run_ms * MS);
                let span = Span { planned_ns: run_ms * MS, gaps_ns: 0, kept_ns: 0 };
                judge(&mut report, variant, &[event, seen(200, 210, 0)], NOTHING, span);
                report.outcome
            })
        };
        assert_eq!(verdicts(&left_out), verdicts(&written));
        assert_eq!(verdicts(&left_out), [Outcome::Fail, Outcome::Inconclusive, Outcome::Fail]);
    }

    #[test]
    fn event_that_is_late_by_no_more_than_the_host_kept_is_inconclusive() {
        for (kept_ms, outcome) in [(1, Outcome::Inconclusive), (0, Outcome::Fail)] {
            let scenario = Scenario::parse(FILE, "events.toml").unwrap_or_else(|e| panic!("{e}"));
            let variant = &scenario.variants[0];
            let mut report = VariantReport::nothing(&scenario, variant, &RunOptions::default());
            (report.observed, report.outcome, report.run_ns) = (Observed::Held, Outcome::Pass, 1000 * MS);
            let span = Span { planned_ns: 1000 * MS, gaps_ns: 0, kept_ns: kept_ms * MS };
            judge(&mut report, variant, &[seen(100, 101, errno::EBUSY), seen(200, 251, 0)], NOTHING, span);
            assert_eq!(report.outcome, outcome, "{:?}", report.why);
        }
    }

    #[test]
    fn events_that_are_late_are_one_line() {
        let text = FILE.replace("expect = \"EBUSY\"", "within = \"1ms\"");
        let scenario = Scenario::parse(&text, "events.toml").unwrap_or_else(|e| panic!("{e}"));
        let variant = &scenario.variants[0];
        let mut report = VariantReport::nothing(&scenario, variant, &RunOptions::default());
        (report.observed, report.outcome, report.run_ns) = (Observed::Held, Outcome::Pass, 1000 * MS);
        let span = Span { planned_ns: 1000 * MS, gaps_ns: 0, kept_ns: 0 };
        judge(&mut report, variant, &[seen(100, 300, 0), seen(200, 310, 0)], NOTHING, span);
        let line = "event `offline cpu 1` at 100ms: finished 200ms after its time, expected within 1ms, and late too: one after it";
        assert_eq!(report.why, [line]);
    }

    #[test]
    fn event_that_the_run_was_too_short_for_is_inconclusive() {
        let report = judged(230, Observed::Held, &[seen(100, 101, errno::EBUSY)], false);
        assert_eq!((report.outcome, report.events[1].met), (Outcome::Inconclusive, None));
    }

    #[test]
    fn event_after_the_planned_end_of_a_run_that_a_busy_host_made_longer_says_nothing() {
        let first = seen(100, 101, errno::EBUSY);
        for second in [EventResult::default(), seen(200, 0, 0), seen(200, 270, 0)] {
            let report = spanned((500, 150, 0), Observed::Held, &[first, second], false);
            assert_eq!(report.outcome, Outcome::Pass, "{second:?}: {:?}", report.why);
        }
    }

    #[test]
    fn event_is_given_the_time_in_which_the_sampler_was_stopped() {
        let first = seen(100, 101, errno::EBUSY);
        for (second, outcome) in [
            (seen(200, 1849, 0), Outcome::Pass),
            (seen(200, 1851, 0), Outcome::Fail),
            (EventResult::default(), Outcome::Inconclusive),
        ] {
            let report = spanned((1800, 1000, 1600), Observed::Held, &[first, second], false);
            assert_eq!(report.outcome, outcome, "{second:?}: {:?}", report.why);
        }
    }

    #[test]
    fn event_after_the_end_of_a_shortened_run_says_nothing() {
        let report = judged(150, Observed::Held, &[seen(100, 101, errno::EBUSY)], false);
        assert_eq!((report.outcome, report.events[1].met), (Outcome::Pass, None));
    }

    #[test]
    fn event_that_a_guest_which_had_to_die_did_not_live_to_see_says_nothing() {
        let report = judged(1000, Observed::Panic, &[seen(100, 101, errno::EBUSY)], false);
        assert_eq!((report.outcome, report.events[1].met), (Outcome::Pass, None));
    }
}
