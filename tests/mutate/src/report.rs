//! What became of the faults, as tables and lists.
//!
//! # Invariants
//! - A rate is of the faults that are known to change something: equivalents are counted beside it.
//! - Every survivor is named, with its place and its difference.

use std::collections::BTreeMap;

use umpire_rows::{Column, Kind, Table, Value, json, text};

use crate::fault::Fault;
use crate::outcome::{Fate, Outcome};
use crate::rules::{ENOUGH, Tried};
use crate::sighting::Detector;
use crate::tree::{KERNEL, Tree};

/// The schema of an outcome's row.
const OUTCOME: &str = "umpire.mutate/1";

/// How many faults a scenario that sees enough is shown with.
const SHOWN: usize = 2;

/// A line of the table of rates.
#[derive(Debug, Default, Clone)]
struct Rate {
    area: String,
    faults: u64,
    equivalent: u64,
    by: BTreeMap<Detector, u64>,
    survived: u64,
}

impl Rate {
    fn add(&mut self, outcome: &Outcome<'_>) {
        self.faults += 1;
        match &outcome.fate {
            Fate::Equivalent(_) => self.equivalent += 1,
            Fate::Caught(seen) => *self.by.entry(seen[0].by).or_default() += 1,
            Fate::Survived(_) => self.survived += 1,
        }
    }

    fn caught(&self) -> u64 {
        self.by.values().sum()
    }

    /// Per cent of the faults that change something; none if there is no such fault.
    fn percent(&self, of: u64) -> Option<u64> {
        (self.faults > self.equivalent).then(|| 100 * of / (self.faults - self.equivalent))
    }

    fn by(&self, detector: Detector) -> u64 {
        self.by.get(&detector).copied().unwrap_or_default()
    }
}

/// The rates by area and detector, and the survivors.
pub fn summary(tree: &Tree, outcomes: &[Outcome<'_>]) -> String {
    let mut areas: BTreeMap<&str, Rate> = BTreeMap::new();
    let mut all = Rate { area: "all".to_owned(), ..Rate::default() };
    for outcome in outcomes {
        let area = areas.entry(outcome.fault.area()).or_default();
        area.area = outcome.fault.area().to_owned();
        area.add(outcome);
        all.add(outcome);
    }
    let rows: Vec<Rate> = areas.into_values().chain([all.clone()]).collect();
    let table = rates().fitted(rows.iter());
    let mut out = text::header(&table, None) + "\n";
    for row in &rows {
        out += &(text::row(&table, None, row) + "\n");
    }
    let seen_in_runs = all.caught() - all.by(Detector::Test);
    let percent = |of| all.percent(of).unwrap_or_default();
    out += &format!(
        "\n{} of {} real faults caught ({}%), {} of them by a scenario ({}%)\n",
        all.caught(),
        all.faults - all.equivalent,
        percent(all.caught()),
        seen_in_runs,
        percent(seen_in_runs)
    );
    for outcome in outcomes {
        if let Fate::Survived(trace) = &outcome.fate {
            out += &format!(
                "\nsurvived, {}: {}\n{}",
                trace.as_str(),
                place(outcome.fault),
                described(tree, outcome.fault)
            );
        }
    }
    out
}

/// What each scenario saw of the faults of its functions: how many, and the first few that a monitor's verdict shows.
pub fn scenarios(tried: &[Tried<'_>]) -> String {
    let table = rules().fitted(tried.iter());
    let mut out = text::header(&table, None) + "\n";
    for row in tried {
        out += &(text::row(&table, None, row) + "\n");
    }
    let few: Vec<&str> =
        tried.iter().filter(|row| !row.is_enough()).map(|row| row.scenario.as_str()).collect();
    out += &format!(
        "\n{} of {} scenarios turn red for {ENOUGH} faults by a monitor",
        tried.len() - few.len(),
        tried.len()
    );
    out += &if few.is_empty() { "\n".to_owned() } else { format!("; not these: {}\n", few.join(", ")) };
    for row in tried {
        out += &format!("\n{}\n", row.scenario);
        let few = row.seen.iter().take(if row.is_enough() { SHOWN } else { usize::MAX });
        for (fault, seen) in few {
            out += &format!("    {}: {}\n", fault.title(), seen[0]);
        }
    }
    out
}

fn rules<'f>() -> Table<Tried<'f>> {
    let by = |key, title, detector: Detector| {
        Column::new(key, Kind::Count, move |tried: &Tried<'_>| tried.by(detector) as u64).titled(title, 12)
    };
    Table::nested(vec![
        Column::new("scenario", Kind::Text, |tried: &Tried<'_>| tried.scenario.clone())
            .titled("SCENARIO", 30),
        Column::new("faults", Kind::Count, |tried: &Tried<'_>| tried.faults as u64).titled("TRIED", 8),
        by("monitor", "MONITOR", Detector::Monitor),
        by("event", "EVENT", Detector::Event),
        by("expectation", "EXPECTATION", Detector::Expectation),
        by("panic", "PANIC", Detector::Panic),
        by("hang", "HANG", Detector::Hang),
        by("doubt", "DOUBT", Detector::Doubt),
    ])
}

/// One fault: its key and its difference.
pub fn described(tree: &Tree, fault: &Fault) -> String {
    format!("  {}\n{}", fault.key, fault.diff(tree.text(&fault.file)))
}

/// Where a fault is.
pub fn place(fault: &Fault) -> String {
    format!("{KERNEL}/{}:{}", fault.file, fault.line)
}

/// An outcome for machines.
pub fn line(outcome: &Outcome<'_>) -> String {
    json::line(&outcomes(), outcome)
}

fn rates() -> Table<Rate> {
    let count = |key, title, take: fn(&Rate) -> u64| Column::new(key, Kind::Count, take).titled(title, 12);
    Table::nested(vec![
        Column::new("area", Kind::Text, |rate: &Rate| rate.area.clone()).titled("AREA", 12),
        count("faults", "FAULTS", |rate| rate.faults),
        count("equivalent", "EQUIVALENT", |rate| rate.equivalent),
        Column::new("caught_percent", Kind::Percent, |rate: &Rate| rate.percent(rate.caught()))
            .titled("CAUGHT", 8),
        count("monitor", "MONITOR", |rate| rate.by(Detector::Monitor)),
        count("event", "EVENT", |rate| rate.by(Detector::Event)),
        count("expectation", "EXPECTATION", |rate| rate.by(Detector::Expectation)),
        count("panic", "PANIC", |rate| rate.by(Detector::Panic)),
        count("hang", "HANG", |rate| rate.by(Detector::Hang)),
        count("doubt", "DOUBT", |rate| rate.by(Detector::Doubt)),
        count("test", "TEST", |rate| rate.by(Detector::Test)),
        count("survived", "SURVIVED", |rate| rate.survived),
    ])
}

fn outcomes<'f>() -> Table<Outcome<'f>> {
    Table::new(
        OUTCOME,
        vec![
            Column::new("fault", Kind::Text, |o: &Outcome<'_>| o.fault.key.clone()),
            Column::new("place", Kind::Text, |o: &Outcome<'_>| place(o.fault)),
            Column::new("area", Kind::Text, |o: &Outcome<'_>| o.fault.area().to_owned()),
            Column::new("fate", Kind::Text, |o: &Outcome<'_>| match &o.fate {
                Fate::Equivalent(_) => "equivalent",
                Fate::Caught(seen) => seen[0].by.as_str(),
                Fate::Survived(_) => "survived",
            }),
            Column::new("why", Kind::Text, |o: &Outcome<'_>| match &o.fate {
                Fate::Equivalent(why) => why.clone(),
                Fate::Survived(trace) => trace.as_str().to_owned(),
                Fate::Caught(seen) => seen[0].to_string(),
            }),
            Column::new("seen", Kind::Nested, |o: &Outcome<'_>| match &o.fate {
                Fate::Caught(seen) => seen.iter().map(|sighting| sighting.to_string()).collect::<Value>(),
                _ => Value::List(Vec::new()),
            }),
        ],
    )
}
