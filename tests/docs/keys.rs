//! Keys and ranges of scenario files against what the parser says of wrong ones.
//!
//! # Invariants
//! - The tests only ask the parser, with files of one mistake each: its answers name the keys and ranges that there are.

use umpire_scenario::Scenario;

use crate::markdown::{column, rows};

/// A good scenario, one key a line.
const BASE: &str = r#"
id = "keys"
title = "One key a line"
source = "a test"
teaches = "nothing"
cpus = { chips = 1, cores = 2, strands = 1, lgroups = 1 }
run = "1s"
sample_hz = 1000
script = { class = "SYS", pri = 99 }
[[project]]
name = "p"
shares = 1
zone = 0
zone_shares = 1
cap = 1
zone_cap = 1
[[pset]]
name = "s"
cpus = [1]
[[taskq]]
name = "q"
threads = 1
pri = 60
minalloc = 1
maxalloc = 1
instance = 1
duty_cycle = 1
flags = ["prepopulate"]
[[stream]]
name = "s"
modules = ["pass"]
driver = "tl"
perimeter = "own"
hiwat = 1
lowat = 1
module_hiwat = 1
module_lowat = 1
close_time = "1s"
links = []
peer = "s"
[[thread]]
name = "t"
process = "p"
class = "SYS"
pri = 60
cpu = 0
binding = "affinity"
lgroup = 0
count = 1
lwp = false
project = "p"
pset = "default"
start = "0s"
work = "spin"
[[interrupt]]
name = "i"
cpu = 0
pil = 1
rate_hz = 1
burst = 1
start = "0"
cost = "0"
lock = 0
from = 0
packets = 1
flows = 1
[tables.FSS]
rows = "RES=1000\nQUANTUM=10"
[[event]]
at = "1ms"
within = "1ms"
pause = { for = "1ms" }
[[bound]]
monitor = "starvation"
threads = "pri >= 0"
limit = "1s"
[[bound]] # of records
probe = "poke"
where = "cpu == 0"
after = "0s"
max_gap = "1s"
[[variant]]
name = "v"
expect = "held"
guest_deadman = "silent"
thread = { t = { pri = 61 } }
"#;

/// The name of each table of keys, and where its keys stand.
const TABLES: [(&str, &str); 12] = [
    ("keys of a scenario", ""),
    ("keys of a project", "[[project]]"),
    ("keys of a processor set", "[[pset]]"),
    ("keys of a task queue", "[[taskq]]"),
    ("keys of a stream", "[[stream]]"),
    ("keys of a dispatcher table", "[tables.FSS]"),
    ("keys of an event", "[[event]]"),
    ("keys of a thread", "[[thread]]"),
    ("keys of an interrupt", "[[interrupt]]"),
    ("keys of a bound", "[[bound]]"),
    ("keys of a bound on records", "[[bound]] # of records"),
    ("keys of a variant", "[[variant]]"),
];

fn refused(text: &str) -> String {
    Scenario::parse(text, "keys.toml").map(|_| ()).expect_err("a file with a mistake").to_string()
}

/// The base with a line of its own at the start of a section.
fn with_line(section: &str, line: &str) -> String {
    match section {
        "" => format!("{line}\n{BASE}"),
        _ => BASE.replacen(section, &format!("{section}\n{line}"), 1),
    }
}

/// The base with another value for a key that it has; `None` if it has not.
fn with_value(section: &str, key: &str, value: &str) -> Option<String> {
    let from = BASE.find(section)? + section.len();
    let assignment = format!("\n{key} = ");
    let at = from + BASE[from..].find(&assignment)? + assignment.len();
    let is_in_section = section.is_empty() || !BASE[from..at].contains("\n[");
    let end = at + BASE[at..].find('\n')?;
    is_in_section.then(|| format!("{}{value}{}", &BASE[..at], &BASE[end..]))
}

#[test]
fn base_of_these_tests_is_a_good_scenario() {
    Scenario::parse(BASE, "keys.toml").unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn keys_are_those_that_the_parser_knows() {
    for (table, section) in TABLES {
        let said = refused(&with_line(section, "zzz = 1"));
        let choices = said.lines().find_map(|line| line.trim().strip_prefix("= expected one of: "));
        assert_eq!(choices.map(str::to_owned), Some(column(table, 0).join(", ")), "{table}: {said}");
    }
    let said = refused(&BASE.replace("pri = 61", "zzz = 1"));
    let choices = format!("= expected one of: {}", column("keys of a variant's thread", 0).join(", "));
    assert!(said.lines().any(|line| line.trim() == choices), "{said}");
    let said = refused(&BASE.replace("pri = 99", "zzz = 1"));
    let choices = format!("= expected one of: {}", column("keys of the script thread", 0).join(", "));
    assert!(said.lines().any(|line| line.trim() == choices), "{said}");
    let said = refused(&BASE.replace("chips = 1", "zzz = 1"));
    let choices = format!("= expected one of: {}", column("keys of the CPUs", 0).join(", "));
    assert!(said.lines().any(|line| line.trim() == choices), "{said}");
}

#[test]
fn keys_of_verbs_are_those_that_the_parser_knows() {
    for verb in umpire_shared::program::Verb::NAMES.iter().filter(|verb| **verb != "tunable") {
        let said = refused(&BASE.replace("pause = { for = \"1ms\" }", &format!("{verb} = {{ zzz = 1 }}")));
        let rows = rows("keys of verbs");
        let ours =
            rows.iter().filter(|row| row[0] == format!("`{verb}`")).map(|row| row[1].trim_matches('`'));
        let ours = ours.collect::<Vec<_>>().join(", ");
        let choices = said.lines().find_map(|line| line.trim().strip_prefix("= expected"));
        let choices = choices.map(|line| line.trim_start_matches(" one of").trim_start_matches(": "));
        assert_eq!(choices, Some(ours.as_str()), "{verb}: {said}");
    }
}

#[test]
fn ranges_are_those_that_the_parser_keeps() {
    let mut checked = 0;
    for (table, section) in TABLES {
        for row in rows(table) {
            let (key, kind, range) = (row[0].trim_matches('`'), row[1].as_str(), row[2].as_str());
            // `parse`'s own tests try the keys of other classes than the base's, with a thread of each class.
            if matches!(key, "nice" | "upri" | "duty_cycle") {
                continue;
            }
            let wrong = match kind {
                "number" => "-7",
                // Neither of the two limits is above an hour.
                "duration" => "\"100000m\"",
                _ => continue,
            };
            let text = with_value(section, key, wrong).unwrap_or_else(|| panic!("{section} has no {key}"));
            let said = refused(&text);
            // An event has the rest of the run.
            let range = range.replace("0 to before the end of the run", "0s to 999999999ns");
            let range = range.replace("up to the end of the run", "1ns to 999ms");
            // The last number of a CPU or a locality group, what all CPUs can do, and a class's priorities depend on the
            // rest of the file.
            let range = range
                .replace("`cpus` - 1", "1")
                .replace("`lgroups` - 1", "0")
                .replace("100 x `cpus`", "200")
                .replace("SYS 60 to 99; TS, IA, FSS, RT 0 to 59; FX 0 to 60", "60 to 99");
            assert!(said.contains(&format!("must be from {range}")), "{section} {key} ({range}): {said}");
            checked += 1;
        }
    }
    assert!(checked >= 9, "only {checked} ranges were checked");
}

#[test]
fn required_keys_are_those_that_the_parser_misses() {
    for (table, section) in TABLES {
        for row in rows(table) {
            let key = row[0].trim_matches('`');
            let line = |line: &&str| line.starts_with(&format!("{key} = "));
            let Some(text) = without(section, &line) else { continue };
            let missed = Scenario::parse(&text, "keys.toml").err().map(|e| e.to_string());
            let is_missed = missed.as_ref().is_some_and(|e| e.contains(&format!("needs the field `{key}`")));
            assert_eq!(is_missed, row[3] == "required", "{section} {key}: {missed:?}");
        }
    }
}

/// The base without the line of a section that `is_meant` points at; `None` if there is none.
fn without(section: &str, is_meant: &dyn Fn(&&str) -> bool) -> Option<String> {
    let mut here = "";
    let mut left_out = false;
    let mut text = String::new();
    for line in BASE.lines() {
        if line.starts_with('[') {
            here = line;
        }
        if here == section && is_meant(&line) {
            left_out = true;
        } else {
            text += &format!("{line}\n");
        }
    }
    left_out.then_some(text)
}
