//! The JSON Schemas that `umpire schema` prints: made of the checked tables of SPECIFICATION.md, and held to what is really printed.
//!
//! # Invariants
//! - A schema names every key of its table and no other, so a key that is printed and not documented breaks a test.
//! - `UMPIRE_BLESS=1` writes the files from the tables; nothing else does.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Map, Value, json};
use toml::de::{DeTable, DeValue};

use crate::markdown::{root, rows};

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

/// Keys whose value is an object a variant's or a scenario's table leads to: the table's name.
const TABLES: &[(&str, &str)] = &[
    ("project", "keys of a project"),
    ("pset", "keys of a processor set"),
    ("taskq", "keys of a task queue"),
    ("stream", "keys of a stream"),
    ("thread", "keys of a thread"),
    ("interrupt", "keys of an interrupt"),
    ("event", "keys of an event"),
    ("bound", "keys of a bound"),
    ("variant", "keys of a variant"),
    ("script", "keys of the script thread"),
];

/// What a type of the tables is in JSON; what is not known may be anything.
fn kind(of: &str) -> Value {
    let of = of.replace(", or ", " or ");
    let of = of.split(", ").next().unwrap_or_default();
    match of {
        "string" | "duration" => json!({ "type": "string" }),
        "number" => json!({ "type": "number" }),
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

/// The words of a cell that has nothing but words in backquotes, with commas between them.
fn words(cell: &str) -> Option<Vec<&str>> {
    let words: Vec<&str> = cell.split(", ").collect();
    let all: Option<Vec<&str>> = words
        .iter()
        .map(|word| word.strip_prefix('`')?.strip_suffix('`').filter(|w| !w.contains('`')))
        .collect();
    all.filter(|words| words.len() > 1)
}

fn described(mut kind: Value, meaning: &str) -> Value {
    if !meaning.is_empty() {
        kind["description"] = meaning.into();
    }
    kind
}

fn object(properties: Map<String, Value>, required: Vec<String>) -> Value {
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

/// The schema of a table of a scenario file.
fn table(name: &str, is_change: bool) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    let mut tables = vec![name];
    if name == "keys of a bound" {
        tables.push("keys of a bound on records");
    }
    for row in tables.iter().flat_map(|name| rows(name)) {
        let (key, range, default, meaning) = (row[0].trim_matches('`'), &row[2], &row[3], &row[4]);
        let mut kind = kind(&row[1]);
        if let (Some(words), true) = (words(range), kind["type"] == "string") {
            kind["enum"] = words.into();
        }
        if let Some((_, of)) =
            TABLES.iter().find(|(table, _)| *table == key && *table != "variant" || key == "variant")
        {
            let of = TABLES.iter().find(|(table, _)| *table == key).map_or(*of, |(_, of)| *of);
            if row[1] == "tables" {
                kind["items"] = json!({ "$ref": format!("#/$defs/{}", anchor(of)) });
            } else if key == "script" {
                kind = json!({ "$ref": format!("#/$defs/{}", anchor(of)) });
            } else {
                // What changes, by name: a key of it has the same values, and none is required.
                kind["additionalProperties"] = json!({ "$ref": format!("#/$defs/{}_changes", anchor(of)) });
            }
        }
        if key == "cpus" && name == "keys of a scenario" {
            kind = json!({ "anyOf": [{ "type": "number" }, { "$ref": "#/$defs/keys_of_the_CPUs" }] });
        }
        if key == "tables" {
            kind["additionalProperties"] = json!({ "$ref": "#/$defs/keys_of_a_dispatcher_table" });
        }
        // A list of numbers, or of strings and numbers, is told by its range.
        if row[1].starts_with("list of") && row[1] != "list of strings" {
            kind = json!({ "type": "array" });
        }
        if default == "required"
            && !is_change
            && !meaning.contains("not where there is")
            && name != "keys of a bound"
        {
            required.push(key.to_owned());
        }
        properties.entry(key.to_owned()).or_insert(described(kind, meaning));
    }
    // SDC takes no priority, and who counts records has no limit: what depends on another key is the parser's to say.
    required.retain(|key| !(name == "keys of a thread" && key == "pri"));
    if name == "keys of an event" {
        for row in rows("keys of verbs") {
            let (verb, key) = (row[0].trim_matches('`'), row[1].trim_matches('`'));
            let verb = properties.get_mut(verb).expect("a verb is a key of an event");
            verb["properties"][key] = described(json!({}), &row[2]);
            verb["additionalProperties"] = false.into();
        }
    }
    object(properties, required)
}

fn anchor(name: &str) -> String {
    name.replace(' ', "_")
}

/// The schema of a scenario file.
fn scenario() -> Value {
    let mut schema = table("keys of a scenario", false);
    let mut defs = Map::new();
    for (_, name) in TABLES.iter().chain(&[("", "keys of the CPUs"), ("", "keys of a dispatcher table")]) {
        defs.insert(anchor(name), table(name, false));
        defs.insert(format!("{}_changes", anchor(name)), table(name, true));
    }
    schema["$defs"] = defs.into();
    schema
}

/// Rows of the debugger's commands and of those of Solaris: each command has keys of its own.
fn of_commands() -> Value {
    json!({
        "type": "object",
        "properties": {
            "schema": { "type": "string", "pattern": "^umpire\\.[^/]+/[0-9]+$" },
            "verdict": { "type": "string", "description": "how consistent what was read is" },
        },
        "required": ["schema"],
    })
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
            fs::write(file(name), &text).expect("the schema can be written");
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
const KNOWN: [&str; 10] = [
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "anyOf",
    "$ref",
    "pattern",
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
    if let Some(Value::Array(any)) = words.get("anyOf") {
        let fits = |schema: &Value| {
            let mut faults = Vec::new();
            check(root, schema, value, at, &mut faults);
            faults.is_empty()
        };
        if !any.iter().any(fits) {
            faults.push(format!("{at}: {value} is none of those that it may be"));
        }
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
    let outputs: [(&str, &[&str]); 12] = [
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
        ("mdb", &["mpstat", "--run", "i1532", "--sim", "--json"]),
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
