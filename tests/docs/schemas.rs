//! The JSON Schemas that `umpire schema` prints: made of the checked tables of SPECIFICATION.md, and held to what is really printed.
//!
//! # Invariants
//! - A schema names every key of its table and no other, so a key that is printed and not documented breaks a test.
//! - `UMPIRE_BLESS=1` writes the files from the tables; nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Map, Value, json};
use toml::de::{DeTable, DeValue};

use crate::markdown::{root, rows, write};
use crate::scenario_schema::scenario;

/// The dialect of all of them.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keys that are lists of objects, each with the table of these.
type Lists = &'static [(&'static str, &'static str)];

/// The schemas of lines of output: the name, the table, and the tables of the objects in its lists.
const OUTPUTS: &[(&str, &str, Lists)] = &[
    ("run", "umpire.run/1", &[("bounds", "bounds of umpire.run/1"), ("events", "events of umpire.run/1")]),
    ("repeat", "umpire.repeat/1", &[]),
    ("list", "umpire.list/1", &[]),
    ("doctor", "umpire.doctor/1", &[]),
    ("bench", "umpire.bench/1", &[]),
    ("event", "umpire.event/1", &[]),
    ("events", "umpire.events/1", &[]),
    ("latency", "umpire.latency/1", &[]),
    ("divergence", "umpire.divergence/1", &[]),
    ("compare", "umpire.compare/1", &[]),
    ("why", "umpire.why/1", &[]),
    ("ps", "umpire.ps/1", &[]),
    ("gdb", "umpire.gdb/1", &[]),
    ("ps.guest", "umpire.ps.guest/1", &[]),
    ("mpstat", "umpire.mpstat/1", &[]),
    ("prstat", "umpire.prstat/1", &[]),
    ("kstat", "umpire.kstat/1", &[]),
    ("psrinfo", "umpire.psrinfo/1", &[]),
    ("priocntl", "umpire.priocntl/1", &[]),
    ("dispadmin", "umpire.dispadmin/1", &[]),
];

/// Keys of a run that are there only if something was done to it from outside: they stand in a table of their own.
const OUTSIDE: &[(&str, &str, &str)] = &[
    ("writes", "list", "what was written into the machine from outside"),
    ("core", "string", "the path of the core that was written of it"),
    ("flight", "string", "the path of the flight recorder's recording"),
    ("latencies", "list", "with --latency: the rows of `umpire latency`"),
    ("held_ns", "number", "for how long the machine was held"),
    ("ended_from_outside", "boolean", "true if an inspector or gdb ended the run before its time"),
];

/// What a type of the tables is in JSON; what is not known may be anything.
pub(crate) fn kind(of: &str) -> Value {
    let of = of.replace(", or ", " or ");
    let of = of.split(", ").next().unwrap_or_default();
    match of {
        "string" | "duration" => json!({ "type": "string" }),
        "number" => json!({ "type": "number" }),
        "null" => json!({ "type": "null" }),
        "list of numbers" => json!({ "type": "array", "items": { "type": "number" } }),
        "boolean" => json!({ "type": "boolean" }),
        "object" | "table" => json!({ "type": "object" }),
        "tables" => json!({ "type": "array", "items": { "type": "object" } }),
        "list" => json!({ "type": "array" }),
        "list of strings" => json!({ "type": "array", "items": { "type": "string" } }),
        _ if of.starts_with("bytes") => json!({ "type": "string" }),
        _ => match of.split_once(" or ") {
            Some((a, b)) => match (&kind(a)["type"], b) {
                (Value::String(a), "null") => json!({ "type": [a, "null"] }),
                (Value::String(a), b) => match &kind(b)["type"] {
                    Value::String(b) if a != b => json!({ "type": [a, b] }),
                    _ => json!({ "type": a }),
                },
                _ => json!({}),
            },
            None => json!({}),
        },
    }
}

pub(crate) fn described(mut kind: Value, meaning: &str) -> Value {
    if !meaning.is_empty() {
        kind["description"] = meaning.into();
    }
    kind
}

pub(crate) fn object(properties: Map<String, Value>, required: Vec<String>) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// The schema of a line of output.
fn output(name: &str, table: &str, lists: &[(&str, &str)]) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for row in rows(table) {
        let (key, meaning) = (row[0].trim_matches('`').to_owned(), &row[2]);
        let mut kind = kind(&row[1]);
        if key == "schema" {
            kind = json!({ "const": table });
        }
        if let Some((_, of)) = lists.iter().find(|(list, _)| *list == key) {
            kind["items"] = output("", of, &[]);
        }
        let may_be_absent =
            ["only for", "likewise: how many there were", "not there", "left out", "only if", "only where"];
        if !may_be_absent.iter().any(|words| meaning.contains(words)) {
            required.push(key.clone());
        }
        properties.insert(key, described(kind, meaning));
    }
    if name == "run" {
        for (key, of, meaning) in OUTSIDE {
            properties.insert((*key).to_owned(), described(kind(of), meaning));
        }
        // What devices and streams did.
        for key in ["packets", "readers"] {
            properties.insert(key.to_owned(), kind("list"));
        }
    }
    object(properties, required)
}

/// Rows of the debugger's commands: `tests/mdb/schema.rs` makes the file of what they print.
fn of_commands() -> Value {
    let text = fs::read_to_string(file("mdb")).expect("the schema is there");
    serde_json::from_str(&text).expect("JSON")
}

fn schemas() -> Vec<(&'static str, Value)> {
    let mut all: Vec<(&str, Value)> =
        OUTPUTS.iter().map(|(name, table, lists)| (*name, output(name, table, lists))).collect();
    all.push(("scenario", scenario()));
    all.push(("mdb", of_commands()));
    for (name, schema) in &mut all {
        schema["$schema"] = DIALECT.into();
        schema["title"] = format!("umpire {name}").into();
    }
    all
}

fn file(name: &str) -> PathBuf {
    root().join(format!("vmm/cli/schemas/{name}.json"))
}

#[test]
fn schemas_are_those_of_the_specification() {
    for (name, schema) in schemas() {
        let text = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
        if std::env::var_os("UMPIRE_BLESS").is_some() {
            // The program that was built before has the old ones in it.
            write(file(name), &text);
            continue;
        }
        let found = fs::read_to_string(file(name)).unwrap_or_default();
        assert!(found == text, "{name}: UMPIRE_BLESS=1 cargo test --test docs writes it");
        let printed = umpire(&["schema", name]);
        assert_eq!(printed, text, "umpire schema {name}");
    }
    let listed: Vec<String> = umpire(&["schema"]).lines().map(str::to_owned).collect();
    let mut names: Vec<&str> = schemas().iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(listed, names);
}

fn umpire(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_umpire")).args(arguments).output().expect("the program starts");
    String::from_utf8(output.stdout).expect("text")
}

/// Why a value does not fit a schema, by name.
fn misfit(name: &str, value: &Value) -> Option<String> {
    let schema = schemas().into_iter().find(|(of, _)| *of == name).expect("a schema").1;
    let mut faults = Vec::new();
    check(&schema, &schema, value, name, &mut faults);
    (!faults.is_empty()).then(|| faults.join("; "))
}

/// The words of JSON Schema that the schemas are made of, besides those that only tell.
const KNOWN: [&str; 15] = [
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "anyOf",
    "oneOf",
    "$ref",
    "pattern",
    "minimum",
    "maximum",
    "minProperties",
    "maxProperties",
];
const TOLD: [&str; 4] = ["description", "title", "$schema", "$defs"];

/// Checks a value against a schema, as far as the schemas go: a word that is not known fails the test.
fn check(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let words = schema.as_object().expect("a schema is an object");
    if let Some(word) =
        words.keys().find(|word| !KNOWN.contains(&word.as_str()) && !TOLD.contains(&word.as_str()))
    {
        panic!("{at}: {word} is not checked");
    }
    if let Some(Value::String(to)) = words.get("$ref") {
        let to =
            root.pointer(to.trim_start_matches('#')).unwrap_or_else(|| panic!("{at}: {to} leads nowhere"));
        return check(root, to, value, at, faults);
    }
    let fits = |schema: &&Value| {
        let mut faults = Vec::new();
        check(root, schema, value, at, &mut faults);
        faults.is_empty()
    };
    if let Some(Value::Array(any)) = words.get("anyOf")
        && !any.iter().any(|schema| fits(&schema))
    {
        faults.push(format!("{at}: {value} is none of those that it may be"));
    }
    if let Some(Value::Array(one)) = words.get("oneOf")
        && one.iter().filter(fits).count() != 1
    {
        faults.push(format!("{at}: {value} is not exactly one of those that it may be"));
    }
    let number = |word: &str| words.get(word).and_then(Value::as_f64);
    let is_beyond = |value: f64| {
        number("minimum").is_some_and(|least| value < least)
            || number("maximum").is_some_and(|most| value > most)
    };
    if value.as_f64().is_some_and(is_beyond) {
        faults.push(format!("{at}: {value} is out of range"));
    }
    let count = value.as_object().map(|object| object.len() as f64);
    let is_too_few = |count: f64| number("minProperties").is_some_and(|least| count < least);
    let is_too_many = |count: f64| number("maxProperties").is_some_and(|most| count > most);
    if count.is_some_and(|count| is_too_few(count) || is_too_many(count)) {
        faults.push(format!("{at}: {value} has too few keys, or too many"));
    }
    let is = |kind: &Value| match kind.as_str().expect("a type") {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("{at}: {other} is no type"),
    };
    let fits = match words.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is),
        Some(kind) => is(kind),
        None => true,
    };
    if !fits {
        faults.push(format!("{at}: {value} is not of type {}", words["type"]));
    }
    if words.get("const").is_some_and(|only| only != value) {
        faults.push(format!("{at}: {value} is not {}", words["const"]));
    }
    if let Some(Value::Array(only)) = words.get("enum")
        && !only.contains(value)
    {
        faults.push(format!("{at}: {value} is none of {only:?}"));
    }
    if let (Some(Value::String(pattern)), Some(text)) = (words.get("pattern"), value.as_str())
        && !regex_lite::Regex::new(pattern).expect("a pattern").is_match(text)
    {
        faults.push(format!("{at}: {text} does not match {pattern}"));
    }
    if let (Some(items), Some(values)) = (words.get("items"), value.as_array()) {
        values
            .iter()
            .enumerate()
            .for_each(|(n, value)| check(root, items, value, &format!("{at}[{n}]"), faults));
    }
    let Some(object) = value.as_object() else { return };
    for key in words.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        if !object.contains_key(key) {
            faults.push(format!("{at}: {key} is missing"));
        }
    }
    for (key, value) in object {
        let at = format!("{at}.{key}");
        match (words.get("properties").and_then(|all| all.get(key)), words.get("additionalProperties")) {
            (Some(schema), _) => check(root, schema, value, &at, faults),
            (None, Some(Value::Bool(false))) => faults.push(format!("{at} is too much")),
            (None, Some(schema @ Value::Object(_))) => check(root, schema, value, &at, faults),
            (None, _) => {}
        }
    }
}

/// A scenario file as JSON.
fn json_of(table: &DeTable<'_>) -> Value {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), of(value.get_ref()))).collect()
}

fn of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).expect("a number").into()
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().expect("a number").into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(values) => values.iter().map(|value| of(value.get_ref())).collect(),
        DeValue::Table(table) => json_of(table),
    }
}

#[test]
fn every_output_fits_its_schema() {
    let folder = tempfile::tempdir().expect("a folder");
    let recording = folder.path().join("r").display().to_string();
    let run = [
        "run",
        "i1532",
        "--sim",
        "--variant",
        "kpreemptpri=100",
        "--run",
        "300ms",
        "--json",
        "--record",
        &recording,
    ];
    let outputs: [(&str, &[&str]); 11] = [
        ("run", &run),
        ("run", &["run", "cmt_spread", "offline_online", "srs_polling", "pi_release", "--sim", "--json"]),
        ("list", &["list", "--json"]),
        ("event", &["events", &recording, "--json"]),
        ("events", &["events", &recording, "--by", "thread,probe", "--json"]),
        ("events", &["events", &recording, "--by", "cpu", "--json"]),
        ("events", &["events", &recording, "--by", "pri,arg", "--json"]),
        ("latency", &["latency", &recording, "--json"]),
        ("why", &["why", &recording, "--json"]),
        ("compare", &["compare", &recording, &recording, "--json"]),
        ("mdb", &["mdb", "--run", "i1532", "--sim", "--json", "-e", "::cpuinfo", "-e", "::thread"]),
    ];
    for (name, arguments) in outputs {
        let said = umpire(arguments);
        assert!(!said.is_empty(), "{arguments:?}");
        for line in said.lines() {
            let value: Value = serde_json::from_str(line).expect("JSON");
            let schema = value["schema"].as_str().expect("a schema");
            let name = if name == "mdb" {
                name
            } else {
                schema.trim_start_matches("umpire.").trim_end_matches("/1")
            };
            assert_eq!(misfit(name, &value), None, "{line}");
        }
    }
    // What is not there in a line of a schema is missed, and what is not of it is too much.
    let line = umpire(&["list", "--json"]);
    let mut value: Value = serde_json::from_str(line.lines().next().expect("a line")).expect("JSON");
    value["more"] = 1.into();
    assert!(misfit("list", &value).is_some_and(|why| why.contains("more")));
}

/// What the commands of Solaris are asked.
const TOOLS: &[&str] = &[
    "ps",
    "ps -elcL",
    "ps -l",
    "mpstat",
    "mpstat -p",
    "mpstat -a",
    "prstat",
    "prstat -mL",
    "kstat cpu:0:sys cpu_info:0",
    "kstat -p cpu:0:sys cpu_info:0",
    "kstat -j cpu:0:sys",
    "psrinfo -v",
    "psrinfo -p",
    "psrinfo -vp",
    "priocntl -l",
    "dispadmin -l",
    "dispadmin -c TS -g",
    "dispadmin -c FX -g",
    "dispadmin -c RT -g",
    "dispadmin -c FSS -g",
];

#[test]
fn every_answer_of_a_command_of_solaris_fits_its_schema_which_has_no_key_too_many() {
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for tool in TOOLS {
        let run = ["--run", "i1532", "--sim", "--at", "50ms", "--json"];
        let words: Vec<&str> = tool.split(' ').chain(run).collect();
        let said = umpire(&words);
        assert!(!said.is_empty(), "{tool}");
        for line in said.lines() {
            let value: Value = serde_json::from_str(line).expect("JSON");
            let name = value["schema"].as_str().expect("a schema").to_owned();
            let of = name.trim_start_matches("umpire.").trim_end_matches("/1");
            assert_eq!(misfit(of, &value), None, "{tool}: {line}");
            seen.entry(name).or_default().extend(value.as_object().expect("an object").keys().cloned());
        }
    }
    assert_eq!(seen.len(), 7);
    for (name, keys) in seen {
        let told = rows(&name).into_iter().map(|row| row[0].trim_matches('`').to_owned());
        assert_eq!(keys, told.collect(), "{name}");
    }
}

#[test]
fn every_scenario_of_the_tree_fits_the_schema_and_a_mistake_does_not() {
    let folders = ["scenarios", "scenarios/mutants"];
    let mut count = 0;
    for folder in folders {
        for entry in fs::read_dir(root().join(folder)).expect("scenarios").flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|e| e != "toml") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("readable");
            let value: Value = json_of(
                DeTable::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display())).get_ref(),
            );
            assert_eq!(misfit("scenario", &value), None, "{}", path.display());
            count += 1;
        }
    }
    assert!(count > 100, "{count} scenarios");
    let text = fs::read_to_string(root().join("scenarios/i1532.toml")).expect("readable");
    for (from, to) in [("class", "klass"), ("run ", "runn "), ("expect", "expects"), ("cpus ", "cpu ")] {
        let wrong = text.replacen(from, to, 1);
        assert_ne!(wrong, text);
        let value: Value = json_of(DeTable::parse(&wrong).expect("TOML").get_ref());
        assert!(misfit("scenario", &value).is_some(), "{from} -> {to}");
    }
}

/// A scenario with one line that may be wrong.
const GOOD: &str = r#"
id = "keys"
title = "t"
source = "s"
run = "1s"
cpus = 2
set = { kpreemptpri = 99 }
[[thread]]
name = "t"
class = "SYS"
pri = 60
cpu = 1
work = { spin = { mode = "user" } }
[[event]]
at = "1ms"
offline = { cpu = 1 }
[[bound]]
monitor = "starvation"
limit = "1s"
[[variant]]
name = "v"
expect = "held"
"#;

#[test]
fn schema_of_scenarios_knows_words_ranges_and_what_excludes_what() {
    let told = |text: &str| misfit("scenario", &json_of(DeTable::parse(text).expect("TOML").get_ref()));
    assert_eq!(told(GOOD), None);
    for (from, to) in [
        ("monitor = \"starvation\"", "monitor = \"starv\""),
        ("monitor = \"starvation\"", "probe = \"poked\""),
        ("monitor = \"starvation\"", "monitor = \"starvation\"\nprobe = \"poke\""),
        ("{ spin =", "{ spinn ="),
        ("{ spin = { mode = \"user\" } }", "\"spinn\""),
        ("mode = \"user\"", "moode = \"user\""),
        ("mode = \"user\"", "mode = \"users\""),
        ("{ spin = { mode = \"user\" } }", "{ periodic = { busy_us = -1 } }"),
        ("{ spin = { mode = \"user\" } }", "{ spin = {}, periodic = {} }"),
        ("kpreemptpri = 99", "kprempt = 99"),
        ("kpreemptpri = 99", "kpreemptpri = 100000"),
        ("pri = 60", "pri = 500"),
        ("pri = 60", "pri = -1"),
        ("cpu = 1\nwork", "cpu = 17\nwork"),
        ("cpus = 2", "cpus = 17"),
        ("cpus = 2", "cpus = 0"),
        ("cpus = 2", "cpus = { chips = 17 }"),
        ("cpus = 2", "mutants = [\"no such\"]"),
        ("offline = { cpu = 1 }", "offline = { cpu = 1 }\nonline = { cpu = 1 }"),
        ("offline = { cpu = 1 }", ""),
        ("offline = { cpu = 1 }", "offline = { cpu = 99 }"),
        ("offline = { cpu = 1 }", "offline = {}"),
        ("offline = { cpu = 1 }", "tunable = { no_such = 1 }"),
        ("offline = { cpu = 1 }", "flush = { stream = \"s\", side = \"left\" }"),
    ] {
        let wrong = GOOD.replacen(from, to, 1);
        assert_ne!(wrong, GOOD, "{from}");
        assert!(told(&wrong).is_some(), "{from} -> {to}");
    }
}
