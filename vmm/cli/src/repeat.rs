//! Several runs of one variant on one host: how often each verdict came, and how far each bound's value spreads.
//!
//! # Invariants
//! - Every run counts once, whatever came of it; nothing is averaged away: the worst is told beside the median.

use std::fmt::Write;

use umpire_referee::{BoundReport, Observed, Outcome, VariantReport};
use umpire_rows::number::{exact, rounded};
use umpire_rows::{Column, Kind, Table};

/// The schema of a summary.
pub const SCHEMA: &str = "umpire.repeat/1";

/// The runs of a variant so far.
#[derive(Debug, Clone, Default)]
pub struct Repeats {
    scenario: String,
    variant: String,
    runs: u64,
    /// By outcome, in the order of [`OUTCOMES`].
    outcomes: [u64; 4],
    /// By observation, in the order of [`OBSERVED`].
    observed: [u64; 4],
    bounds: Vec<Spread>,
}

const OUTCOMES: [Outcome; 4] = [Outcome::Pass, Outcome::Inconclusive, Outcome::Fail, Outcome::Error];
const OBSERVED: [Observed; 4] = [Observed::Held, Observed::Violated, Observed::Panic, Observed::Nothing];

/// The values of one bound.
#[derive(Debug, Clone)]
pub struct Spread {
    monitor: String,
    is_count: bool,
    limit: u64,
    violated: u64,
    values: Vec<u64>,
}

impl Repeats {
    /// Takes a run in.
    pub fn add(&mut self, report: &VariantReport) {
        (self.scenario, self.variant) = (report.scenario.clone(), report.variant.clone());
        self.runs += 1;
        for (count, _) in self.outcomes.iter_mut().zip(OUTCOMES).filter(|(_, o)| *o == report.outcome) {
            *count += 1;
        }
        for (count, _) in self.observed.iter_mut().zip(OBSERVED).filter(|(_, o)| *o == report.observed) {
            *count += 1;
        }
        for (n, bound) in report.bounds.iter().enumerate() {
            if self.bounds.len() == n {
                self.bounds.push(Spread::of(bound));
            }
            self.bounds[n].add(bound);
        }
    }

    /// The table of summaries.
    pub fn table() -> Table<Repeats> {
        let spreads = Spread::table();
        let outcome = |n: usize| move |r: &Repeats| r.outcomes[n];
        let observed = |n: usize| move |r: &Repeats| r.observed[n];
        Table::new(
            SCHEMA,
            vec![
                Column::new("scenario", Kind::Text, |r: &Repeats| r.scenario.clone()),
                Column::new("variant", Kind::Text, |r: &Repeats| r.variant.clone()),
                Column::new("runs", Kind::Count, |r: &Repeats| r.runs),
                Column::new("pass", Kind::Count, outcome(0)),
                Column::new("inconclusive", Kind::Count, outcome(1)),
                Column::new("fail", Kind::Count, outcome(2)),
                Column::new("error", Kind::Count, outcome(3)),
                Column::new("held", Kind::Count, observed(0)),
                Column::new("violated", Kind::Count, observed(1)),
                Column::new("panic", Kind::Count, observed(2)),
                Column::new("nothing", Kind::Count, observed(3)),
                Column::new("bounds", Kind::Nested, move |r: &Repeats| spreads.records(&r.bounds)),
            ],
        )
    }

    /// The summary in lines of text: verdicts, then a line a bound.
    pub fn told(&self) -> String {
        let named = |count: u64, name: &str| (count > 0).then(|| format!("{count} {name}"));
        let outcomes = self.outcomes.iter().zip(OUTCOMES).filter_map(|(n, o)| named(*n, o.as_str()));
        let observed = self.observed.iter().zip(OBSERVED).filter_map(|(n, o)| named(*n, o.as_str()));
        let (outcomes, observed): (Vec<_>, Vec<_>) = (outcomes.collect(), observed.collect());
        let mut text = format!(
            "{} {}: {} runs: {}; {}\n",
            self.scenario,
            self.variant,
            self.runs,
            outcomes.join(", "),
            observed.join(", ")
        );
        // A String takes everything; there is no error to handle.
        for spread in &self.bounds {
            let _ = writeln!(text, "  {}", spread.told());
        }
        text
    }
}

impl Spread {
    fn of(bound: &BoundReport) -> Spread {
        let limit = bound.records.map(|records| records.limit);
        Spread {
            monitor: bound.monitor.clone(),
            is_count: limit.is_some(),
            limit: limit.unwrap_or(bound.limit_ns),
            violated: 0,
            values: Vec::new(),
        }
    }

    fn add(&mut self, bound: &BoundReport) {
        self.violated += u64::from(!bound.held);
        let count = bound.records.map(|records| records.worst);
        let value = count.unwrap_or(bound.worst_ns);
        let place = self.values.partition_point(|other| *other <= value);
        self.values.insert(place, value);
    }

    /// The lower one of two in the middle.
    fn median(&self) -> u64 {
        self.values.get(self.values.len().saturating_sub(1) / 2).copied().unwrap_or(0)
    }

    fn worst(&self) -> u64 {
        self.values.last().copied().unwrap_or(0)
    }

    fn table() -> Table<Spread> {
        let ns = |take: fn(&Spread) -> u64| move |s: &Spread| (!s.is_count).then(|| take(s));
        let count = |take: fn(&Spread) -> u64| move |s: &Spread| s.is_count.then(|| take(s));
        Table::nested(vec![
            Column::new("monitor", Kind::Text, |s: &Spread| s.monitor.clone()),
            Column::new("violated", Kind::Count, |s: &Spread| s.violated),
            Column::new("limit_ns", Kind::Ns, ns(|s| s.limit)).left_out_if_absent(),
            Column::new("median_ns", Kind::Ns, ns(Spread::median)).left_out_if_absent(),
            Column::new("worst_ns", Kind::Ns, ns(Spread::worst)).left_out_if_absent(),
            Column::new("limit", Kind::Count, count(|s| s.limit)).left_out_if_absent(),
            Column::new("median", Kind::Count, count(Spread::median)).left_out_if_absent(),
            Column::new("worst", Kind::Count, count(Spread::worst)).left_out_if_absent(),
        ])
    }

    fn told(&self) -> String {
        let (limit, median, worst) = (self.limit, self.median(), self.worst());
        let [limit, median, worst] = match self.is_count {
            true => [limit, median, worst].map(|n| n.to_string()),
            false => [exact(limit), rounded(median), rounded(worst)],
        };
        let violated =
            if self.violated > 0 { format!(", violated {} times", self.violated) } else { String::new() };
        format!("{}: median {median}, worst {worst}, limit {limit}{violated}", self.monitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_referee::{CountReport, RunOptions};
    use umpire_rows::json;
    use umpire_scenario::load;

    fn report(outcome: Outcome, observed: Observed, worst_ns: u64, pokes: u64) -> VariantReport {
        let scenario = load("i1532").expect("built in");
        let bound = |monitor: &str, worst_ns, held, records| BoundReport {
            monitor: monitor.to_owned(),
            thread: None,
            limit_ns: 50_000_000,
            worst_ns,
            held,
            detect_after_ns: None,
            judged_ns: 1,
            judged_count: 1,
            unjudged: None,
            weak: None,
            records,
            says: Vec::new(),
        };
        let records = CountReport { limit: 2, worst: pokes };
        VariantReport {
            outcome,
            observed,
            bounds: vec![
                bound("starvation", worst_ns, true, None),
                bound("pokes", 0, pokes <= 2, Some(records)),
            ],
            ..VariantReport::nothing(&scenario, &scenario.variants[0], &RunOptions::default())
        }
    }

    #[test]
    fn summary_counts_verdicts_and_tells_median_and_worst_of_each_bound() {
        let mut repeats = Repeats::default();
        repeats.add(&report(Outcome::Pass, Observed::Held, 3_000_000, 0));
        repeats.add(&report(Outcome::Inconclusive, Observed::Held, 9_000_000, 1));
        repeats.add(&report(Outcome::Fail, Observed::Violated, 1_000_000, 7));

        let told = "i1532 kpreemptpri=100: 3 runs: 1 pass, 1 inconclusive, 1 fail; 2 held, 1 violated\n  \
            starvation: median 3ms, worst 9ms, limit 50ms\n  pokes: median 1, worst 7, limit 2, violated 1 times\n";
        assert_eq!(repeats.told(), told);
        let expected = r#"{"schema":"umpire.repeat/1","scenario":"i1532","variant":"kpreemptpri=100","runs":3,"pass":1,"inconclusive":1,"fail":1,"error":0,"held":2,"violated":1,"panic":0,"nothing":0,"bounds":[{"monitor":"starvation","violated":0,"limit_ns":50000000,"median_ns":3000000,"worst_ns":9000000},{"monitor":"pokes","violated":1,"limit":2,"median":1,"worst":7}]}"#;
        assert_eq!(json::line(&Repeats::table(), &repeats), expected);
    }

    #[test]
    fn tables_of_summaries_are_declared_rightly() {
        assert_eq!(Repeats::table().faults(), [""; 0]);
        assert_eq!(Spread::table().faults(), [""; 0]);
    }
}
