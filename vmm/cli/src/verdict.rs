//! Verdicts: a row a variant, and below the rows what was seen of each variant that is worth a look.
//!
//! # Invariants
//! - Keys of the row and their order are a contract; a test compares them with the design's example line.
//! - A violation is shown whether it was expected or not; a failure always comes with the line that repeats it.

use crate::recorded::latency;
use std::fmt::Write;

use umpire_machine::Written;
use umpire_referee::{BoundReport, CountReport, EventReport, Observed, Outcome, StallReport, VariantReport};
use umpire_rows::number::{exact, rounded};
use umpire_rows::text::{printable, width};
use umpire_rows::{Column, Kind, Table, Tone, Value};
use umpire_watch::glass::{NicSample, Picture, ReaderSample};
use umpire_watch::why::Why;
use umpire_watch::{cpuinfo, findstack, why};

/// Lines of a dead guest's console that are shown, from its end.
const CONSOLE_LINES: usize = 20;

/// The schema of a row.
pub const SCHEMA: &str = "umpire.run/1";

/// What one variant came to: the report that stands for all its seeds.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The report.
    pub report: VariantReport,
    /// How many of several seeds passed, and how many there were.
    pub seeds: Option<(usize, usize)>,
}

/// The table of verdicts, for these scenario and variant names.
pub fn table<'n>(names: impl Iterator<Item = (&'n str, &'n str)>) -> Table<Verdict> {
    let (mut scenario, mut variant) = (0, 0);
    for (s, v) in names {
        scenario = scenario.max(width(s));
        variant = variant.max(width(v));
    }
    let (bounds, events, writes) = (bounds(), events(), writes());
    let (nics, readers, latencies) = (nics(), readers(), latency::nested());
    Table::new(
        SCHEMA,
        vec![
            column("scenario", Kind::Text, |r| r.scenario.clone()).titled("SCENARIO", scenario.min(24)),
            column("variant", Kind::Text, |r| r.variant.clone()).titled("VARIANT", variant.min(32)),
            column("expect", Kind::State, |r| r.expect.as_str()).titled("EXPECT", 8),
            column("observed", Kind::State, |r| r.observed.as_str()).titled("OBSERVED", 8),
            column("outcome", Kind::State, |r| r.outcome.as_str())
                .titled("OUTCOME", 13)
                .worded(outcome)
                .toned(|v: &Verdict| tone(v.report.outcome)),
            column("bounds", Kind::Nested, move |r| bounds.records(&r.bounds))
                .titled("WORST/LIMIT", 24)
                .worded(|v: &Verdict| worst(&v.report.bounds).map_or("-".to_owned(), ratio)),
            Column::derived("bounds", Kind::Ns, |v: &Verdict| worst(&v.report.bounds).map(|b| b.judged_ns))
                .titled("JUDGED", 6),
            Column::derived("bounds", Kind::Ns, |v: &Verdict| detection(&v.report)).titled("DETECT", 6),
            column("samples", Kind::Count, |r| r.samples).titled("SAMPLES", 7),
            column("torn", Kind::Count, |r| r.torn),
            column("exits", Kind::Count, |r| r.exits).titled("EXITS", 5),
            column("steal_ns", Kind::Ns, |r| r.steal_ns).titled("STEAL", 6),
            column("boot_ns", Kind::Ns, |r| r.boot_ns),
            column("run_ns", Kind::Ns, |r| r.run_ns),
            column("host", Kind::Nested, |r| {
                Value::Record(vec![
                    ("kvm", r.host_kvm.as_str().into()),
                    ("cpus", u64::from(r.host_cpus).into()),
                ])
            }),
            column("seed", Kind::Count, |r| r.seed).left_out_if_absent(),
            column("events", Kind::Nested, move |r| events.records(&r.events)),
            column("packets", Kind::Nested, move |r| (!r.nics.is_empty()).then(|| nics.records(&r.nics)))
                .left_out_if_absent(),
            column("readers", Kind::Nested, move |r| {
                (!r.readers.is_empty()).then(|| readers.records(&r.readers))
            })
            .left_out_if_absent(),
            column("stalled", Kind::Nested, |r| stalled(&r.stalled)).left_out_if_absent(),
            column("writes", Kind::Nested, move |r| {
                (!r.writes.is_empty()).then(|| writes.records(&r.writes))
            })
            .left_out_if_absent(),
            column("core", Kind::Text, |r| r.core.clone()).left_out_if_absent(),
            column("latencies", Kind::Nested, move |r| {
                (!r.latencies.is_empty()).then(|| latencies.records(&r.latencies))
            })
            .left_out_if_absent(),
            column("flight", Kind::Text, |r| r.flight.clone()).left_out_if_absent(),
            column("held_ns", Kind::Ns, |r| Some(r.held_ns).filter(|ns| *ns > 0)).left_out_if_absent(),
            column("ended_from_outside", Kind::Flag, |r| r.is_cut.then_some(true)).left_out_if_absent(),
        ],
    )
}

/// A column of the table of verdicts that is taken from the report alone.
fn column<V: Into<Value>>(
    key: &'static str,
    kind: Kind,
    value: impl Fn(&VariantReport) -> V + 'static,
) -> Column<Verdict> {
    Column::new(key, kind, move |verdict: &Verdict| value(&verdict.report))
}

fn bounds() -> Table<BoundReport> {
    Table::nested(vec![
        Column::new("monitor", Kind::Text, |b: &BoundReport| b.monitor.clone()),
        Column::new("thread", Kind::Text, |b: &BoundReport| b.thread.clone()),
        Column::new("limit_ns", Kind::Ns, |b: &BoundReport| b.records.is_none().then_some(b.limit_ns)),
        Column::new("worst_ns", Kind::Ns, |b: &BoundReport| b.records.is_none().then_some(b.worst_ns)),
        Column::new("held", Kind::Flag, |b: &BoundReport| b.held),
        Column::new("detect_after_ns", Kind::Ns, |b: &BoundReport| b.detect_after_ns),
        Column::new("judged_ns", Kind::Ns, |b: &BoundReport| b.judged_ns),
        Column::new("judged_count", Kind::Count, |b: &BoundReport| b.judged_count),
        Column::new("unjudged", Kind::Text, |b: &BoundReport| b.unjudged.clone()),
        Column::new("weak", Kind::Text, |b: &BoundReport| b.weak.clone()).left_out_if_absent(),
        Column::new("limit", Kind::Count, |b: &BoundReport| b.records.map(|r| r.limit)).left_out_if_absent(),
        Column::new("worst", Kind::Count, |b: &BoundReport| b.records.map(|r| r.worst)).left_out_if_absent(),
    ])
}

fn events() -> Table<EventReport> {
    Table::nested(vec![
        Column::new("event", Kind::Text, |e: &EventReport| e.event.clone()),
        Column::new("at_ns", Kind::Ns, |e: &EventReport| e.at_ns),
        Column::new("began_ns", Kind::Ns, |e: &EventReport| e.began_ns),
        Column::new("ended_ns", Kind::Ns, |e: &EventReport| e.ended_ns),
        Column::new("expect", Kind::Text, |e: &EventReport| e.expect.clone()),
        Column::new("result", Kind::Text, |e: &EventReport| e.result.clone()),
        Column::new("met", Kind::Flag, |e: &EventReport| e.met),
    ])
}

/// The packets that devices brought.
fn nics() -> Table<NicSample> {
    Table::nested(vec![
        Column::new("device", Kind::Text, |n: &NicSample| n.name.clone()),
        Column::new("arrived", Kind::Count, |n: &NicSample| n.arrived),
        Column::new("lost", Kind::Count, NicSample::lost),
        Column::new("overflow", Kind::Count, |n: &NicSample| n.overflow),
        Column::new("no_memory", Kind::Count, |n: &NicSample| n.no_memory),
        Column::new("dropped", Kind::Count, |n: &NicSample| n.dropped),
        Column::new("disorder", Kind::Count, |n: &NicSample| n.disorder),
        Column::new("polled", Kind::Count, |n: &NicSample| n.polled),
    ])
}

/// The streams that packets go up.
fn readers() -> Table<ReaderSample> {
    Table::nested(vec![
        Column::new("stream", Kind::Text, |r: &ReaderSample| r.name.clone()),
        Column::new("read", Kind::Count, |r: &ReaderSample| r.read),
        Column::new("lost", Kind::Count, |r: &ReaderSample| r.lost),
        Column::new("latency_ns", Kind::Ns, |r: &ReaderSample| r.latency_ns),
        Column::new("latency_max_ns", Kind::Ns, |r: &ReaderSample| r.latency_max_ns),
    ])
}

/// What became of packets, in a line; `None` if no stream has any.
fn packets(report: &VariantReport) -> Option<String> {
    let nic =
        |nic: &NicSample| format!("{}: {} packets, {} lost", printable(&nic.name), nic.arrived, nic.lost());
    let reader = |reader: &ReaderSample| {
        let name = printable(&reader.name);
        let lost = if reader.lost == 0 { String::new() } else { format!(", {} found no room", reader.lost) };
        match (reader.latency_ns, reader.latency_max_ns) {
            (Some(ns), Some(most)) => format!(
                "{name}: {} read{lost}, {} after they came, {} at most",
                reader.read,
                rounded(ns),
                rounded(most)
            ),
            _ => format!("{name}: none read{lost}"),
        }
    };
    let all: Vec<String> = report.nics.iter().map(nic).chain(report.readers.iter().map(reader)).collect();
    (!report.readers.is_empty()).then(|| all.join("; "))
}

/// What was written into the machine from outside.
fn writes() -> Table<Written> {
    Table::nested(vec![
        Column::new("at_ns", Kind::Ns, |w: &Written| w.at_ns),
        Column::new("what", Kind::Text, |w: &Written| w.what.clone()),
        Column::new("addr", Kind::Address, |w: &Written| w.addr),
        Column::new("bytes", Kind::Count, |w: &Written| w.bytes),
        Column::new("old", Kind::Count, |w: &Written| w.old),
        Column::new("new", Kind::Count, |w: &Written| w.new),
    ])
}

/// Why the threads that stood still did not run: a record a broken bound and thread.
fn stalled(all: &[StallReport]) -> Option<Value> {
    let each = all.iter().flat_map(|stall| stall.whys.iter().map(|why| (stall.monitor.as_str(), why)));
    let record = |(monitor, why): (&str, &Why)| {
        Value::Record(vec![("monitor", monitor.into()), ("why", why::json::records(why))])
    };
    Some(each.map(record).collect::<Value>()).filter(|_| !all.is_empty())
}

/// The outcome; of several seeds with how many passed.
fn outcome(verdict: &Verdict) -> String {
    let outcome = verdict.report.outcome.as_str();
    verdict.seeds.map_or(outcome.to_owned(), |(passed, runs)| format!("{outcome} {passed}/{runs}"))
}

/// From the expiry of a bound to its verdict, the longest of all.
fn detection(report: &VariantReport) -> Option<u64> {
    report.bounds.iter().filter_map(|bound| bound.detect_after_ns).max()
}

/// What there is to say about a report below its row; empty if the row says it all.
pub fn details(report: &VariantReport) -> String {
    let violated = report.bounds.iter().any(|bound| !bound.held);
    let passed = report.outcome == Outcome::Pass;
    let is_mute = report.bounds.iter().any(|bound| bound.unjudged.is_some() || bound.weak.is_some());
    if passed
        && !violated
        && !is_mute
        && report.writes.is_empty()
        && !report.core_lost
        && report.observed == Observed::Held
    {
        return packets(report).map_or_else(String::new, |line| format!("  {line}\n"));
    }
    let style = tone(report.outcome).style();
    let met = if report.observed.meets(report.expect) { "as expected" } else { "not as expected" };
    let (scenario, variant) = (printable(&report.scenario), printable(&report.variant));
    let (outcome, observed) = (report.outcome.as_str(), report.observed.as_str());
    let mut text = format!("{style}{scenario} {variant}{style:#}: {outcome} ({observed}, {met})\n");
    // A String takes everything; there is no error to handle.
    for bound in report.bounds.iter().filter(|bound| !bound.held) {
        let _ = writeln!(text, "  violated: {}", sentence(bound));
    }
    if let Some(line) = packets(report) {
        let _ = writeln!(text, "  {line}");
    }
    for (bound, why) in report.bounds.iter().filter_map(|bound| Some((bound, bound.unjudged.as_ref()?))) {
        let limit =
            bound.records.map_or_else(|| format!(" within {}", exact(bound.limit_ns)), |_| String::new());
        let _ = writeln!(text, "  not judged: {}{limit}: {}", bound.monitor, printable(why));
    }
    for (bound, why) in report.bounds.iter().filter_map(|bound| Some((bound, bound.weak.as_ref()?))) {
        let _ =
            writeln!(text, "  weak: {} within {}: {}", bound.monitor, exact(bound.limit_ns), printable(why));
    }
    for why in &report.why {
        let _ = writeln!(text, "  {}", printable(why).trim_end().replace('\n', "\n  "));
    }
    for picture in &report.pictures {
        let _ = write!(text, "\n{}\n", printable(&drawn(picture)).trim_end());
    }
    if report.observed == Observed::Panic || report.outcome == Outcome::Error {
        console(&mut text, &report.console);
    }
    if !passed {
        let _ = writeln!(text, "  repeat: {}", printable(&report.repeat));
    }
    text
}

/// A picture as mdb would draw it: `::cpuinfo -v`, then `::findstack` of each stack.
fn drawn(picture: &Picture) -> String {
    let stacks = picture.stacks.iter().map(findstack::findstack);
    std::iter::once(cpuinfo::cpuinfo(picture)).chain(stacks).collect::<Vec<_>>().join("\n")
}

fn console(text: &mut String, console: &str) {
    let lines: Vec<&str> = console.lines().collect();
    if lines.is_empty() {
        return;
    }
    text.push_str("  the guest's console:\n");
    for line in &lines[lines.len().saturating_sub(CONSOLE_LINES)..] {
        let _ = writeln!(text, "    {}", printable(line));
    }
}

fn sentence(bound: &BoundReport) -> String {
    if let Some(CountReport { worst, limit }) = bound.records {
        return format!("{} {worst} where {limit} is the limit", bound.monitor);
    }
    let limit = exact(bound.limit_ns);
    let who = bound.thread.as_deref().map(|thread| format!(" of {}", printable(thread))).unwrap_or_default();
    let detected =
        bound.detect_after_ns.map(|ns| format!(", seen {} after", rounded(ns))).unwrap_or_default();
    format!("{}{who} {} where {limit} is the limit{detected}", bound.monitor, rounded(bound.worst_ns))
}

/// The bound to show when there is room for one: a violated one first, else one that judged nothing, else the one nearest to its
/// limit.
fn worst(bounds: &[BoundReport]) -> Option<&BoundReport> {
    let nearness = |bound: &BoundReport| match bound
        .records
        .map_or((bound.worst_ns, bound.limit_ns), |r| (r.worst, r.limit))
    {
        (worst, 0) => worst as f64,
        (worst, limit) => worst as f64 / limit as f64,
    };
    bounds.iter().reduce(|best, bound| {
        let rank = |bound: &BoundReport| (!bound.held, bound.unjudged.is_some(), nearness(bound));
        if rank(bound) > rank(best) { bound } else { best }
    })
}

/// The bound to show when there is room for one, with its worst value and its limit; none if there is no bound.
pub fn nearest(report: &VariantReport) -> Option<String> {
    worst(&report.bounds).map(ratio)
}

fn ratio(bound: &BoundReport) -> String {
    let count = bound.records.map(|records| (records.worst.to_string(), records.limit.to_string()));
    let (worst, limit) = count.unwrap_or_else(|| (rounded(bound.worst_ns), exact(bound.limit_ns)));
    let worst = if bound.unjudged.is_some() { "unjudged".to_owned() } else { worst };
    format!("{} {worst}/{limit}", bound.monitor)
}

fn tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Pass => Tone::Good,
        Outcome::Inconclusive => Tone::Doubtful,
        Outcome::Fail | Outcome::Error => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_referee::RunOptions;
    use umpire_rows::{json, text};
    use umpire_scenario::{Expect, load};
    use umpire_watch::glass::CpuPicture;

    fn verdict(observed: Observed, outcome: Outcome, held: bool) -> Verdict {
        let scenario = load("i1532").expect("built in");
        let options = RunOptions { repeat: "umpire run i1532".to_owned(), ..RunOptions::default() };
        let bound = |monitor: &str, worst_ns, held| BoundReport {
            monitor: monitor.to_owned(),
            thread: None,
            limit_ns: 50_000_000,
            worst_ns,
            held,
            detect_after_ns: (!held).then_some(120_000),
            judged_ns: 1_000_000_000,
            judged_count: 1,
            unjudged: None,
            weak: None,
            records: None,
            says: Vec::new(),
        };
        let report = VariantReport {
            observed,
            outcome,
            bounds: vec![bound("deadman", 20_000_000, true), bound("starvation", 52_000_000, held)],
            pictures: vec![Picture { cpus: vec![CpuPicture::default()], ..Picture::default() }],
            ..VariantReport::nothing(&scenario, &scenario.variants[0], &options)
        };
        Verdict { report, seeds: None }
    }

    /// The report of the design's example.
    fn example() -> VariantReport {
        let scenario = load("i1532").expect("built in");
        VariantReport {
            expect: Expect::Violated,
            observed: Observed::Violated,
            outcome: Outcome::Pass,
            bounds: vec![BoundReport {
                monitor: "starvation".to_owned(),
                thread: Some("mac_soft_ring_worker".to_owned()),
                limit_ns: 50_000_000,
                worst_ns: 1_953_000_000,
                held: false,
                detect_after_ns: Some(120_000),
                judged_ns: 1_998_000_000,
                judged_count: 2,
                unjudged: None,
                weak: None,
                records: None,
                says: Vec::new(),
            }],
            samples: 2000,
            exits: 3,
            boot_ns: 9_000_000,
            run_ns: 2_000_000_000,
            host_kvm: "pvm".to_owned(),
            host_cpus: 2,
            ..VariantReport::nothing(&scenario, &scenario.variants[0], &RunOptions::default())
        }
    }

    fn line(report: VariantReport) -> String {
        json::line(&table([].into_iter()), &Verdict { report, seeds: None })
    }

    #[test]
    fn tables_of_a_run_are_declared_rightly() {
        assert_eq!(table([].into_iter()).faults(), [""; 0]);
        assert_eq!(bounds().faults(), [""; 0]);
        assert_eq!(events().faults(), [""; 0]);
        assert_eq!(writes().faults(), [""; 0]);
    }

    #[test]
    fn line_of_a_run_is_the_design_s_example() {
        let expected = r#"{"schema":"umpire.run/1","scenario":"i1532","variant":"kpreemptpri=100","expect":"violated","observed":"violated","outcome":"pass","bounds":[{"monitor":"starvation","thread":"mac_soft_ring_worker","limit_ns":50000000,"worst_ns":1953000000,"held":false,"detect_after_ns":120000,"judged_ns":1998000000,"judged_count":2,"unjudged":null}],"samples":2000,"torn":0,"exits":3,"steal_ns":0,"boot_ns":9000000,"run_ns":2000000000,"host":{"kvm":"pvm","cpus":2},"events":[]}"#;
        assert_eq!(line(example()), expected);
    }

    #[test]
    fn line_of_a_simulated_run_with_an_event_ends_with_both() {
        let event = EventReport {
            event: "offline cpu 1".to_owned(),
            at_ns: 100,
            began_ns: Some(101),
            ended_ns: None,
            expect: "EBUSY".to_owned(),
            result: None,
            met: Some(false),
        };
        let line = line(VariantReport { seed: Some(7), events: vec![event], ..example() });
        let expected = r#""seed":7,"events":[{"event":"offline cpu 1","at_ns":100,"began_ns":101,"ended_ns":null,"expect":"EBUSY","result":null,"met":false}]}"#;
        assert!(line.ends_with(expected), "{line}");
    }

    #[test]
    fn line_of_a_held_bound_says_null_for_what_is_absent() {
        let mut report = example();
        report.bounds[0].thread = None;
        report.bounds[0].detect_after_ns = None;
        let line = line(report);
        assert!(line.contains(r#""thread":null"#) && line.contains(r#""detect_after_ns":null"#), "{line}");
    }

    #[test]
    fn details_of_an_expected_violation_show_the_picture_and_no_repeat_line() {
        let text = details(&verdict(Observed::Violated, Outcome::Pass, false).report);
        assert!(text.contains(" ID ADDR ") && text.contains("violated: starvation 52ms"), "{text}");
        assert!(!text.contains("repeat:"), "{text}");
    }

    #[test]
    fn details_of_a_failure_end_with_the_line_that_repeats_it() {
        let text = details(&verdict(Observed::Held, Outcome::Fail, true).report);
        assert!(text.ends_with("  repeat: umpire run i1532\n"), "{text}");
    }

    #[test]
    fn details_of_a_quiet_pass_are_empty() {
        assert_eq!(details(&verdict(Observed::Held, Outcome::Pass, true).report), "");
    }

    #[test]
    fn row_shows_the_violated_bound_before_others_and_how_many_seeds_passed() {
        let verdict = Verdict { seeds: Some((3, 5)), ..verdict(Observed::Violated, Outcome::Pass, false) };
        let row = text::row(&table([].into_iter()), None, &verdict);
        assert!(row.contains("starvation 52ms/50ms          1s   120us"), "{row}");
        assert!(row.contains("pass 3/5"), "{row}");
    }
}
