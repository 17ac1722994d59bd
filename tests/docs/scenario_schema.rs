//! The JSON Schema of scenario files: made of the checked tables of SPECIFICATION.md, and of the tables of the source that name
//! tunables, workloads, monitors, probes and mutants.
//!
//! # Invariants
//! - What the schema refuses the parser refuses. The other way round it goes as far as one key can be judged without another.

use serde_json::{Map, Value, json};
use umpire_shared::event::Kind as Probe;
use umpire_shared::mutant::MUTANTS;
use umpire_shared::tunable::{Read, TUNABLES};
use umpire_shared::work::{Kind, Param, WORKS, Work};
use umpire_watch::monitor::MonitorKind;

use crate::markdown::rows;
use crate::schemas::{described, kind, object};

/// CPUs, and so locality groups, that there may be.
const MOST_CPUS: i64 = umpire_shared::MAX_CPUS as i64;

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

/// The words of a cell that has nothing but words in backquotes, with commas between them.
fn words(cell: &str) -> Option<Vec<&str>> {
    let words: Vec<&str> = cell.split(", ").collect();
    let all: Option<Vec<&str>> = words
        .iter()
        .map(|word| word.strip_prefix('`')?.strip_suffix('`').filter(|w| !w.contains('`')))
        .collect();
    all.filter(|words| words.len() > 1)
}

/// What a cell says of numbers: the least and the most, whatever the rest of the file says.
fn limits(range: &str) -> Option<(i64, i64)> {
    let (least, rest) = range.split_once(" to ")?;
    let least = least.parse().ok()?;
    let most = match rest {
        "`cpus` - 1" | "`lgroups` - 1" => MOST_CPUS - 1,
        "100 x `cpus`" => 100 * MOST_CPUS,
        number => number.parse().ok()?,
    };
    Some((least, most))
}

fn number((least, most): (i64, i64)) -> Value {
    json!({ "type": "number", "minimum": least, "maximum": most })
}

fn one_of(names: impl Iterator<Item = &'static str>) -> Value {
    json!({ "type": "string", "enum": names.collect::<Vec<_>>() })
}

fn probes() -> Value {
    one_of(Probe::ALL.iter().map(|probe| probe.name()))
}

/// Tunables and their ranges: all, or those that can be set while the guest runs.
fn tunables(while_it_runs: bool) -> Value {
    let can_be_set = TUNABLES.iter().filter(|t| !while_it_runs || !matches!(t.read, Read::Boot));
    let tunable = |t: &umpire_shared::tunable::Tunable| {
        let range = described(number((t.min, t.max)), t.doc);
        (t.name.to_owned(), range)
    };
    object(can_be_set.map(tunable).collect(), Vec::new())
}

fn parameter(param: &Param) -> Value {
    let takes = match param.kind {
        Kind::Number(least, most) => json!({ "type": "number", "minimum": least, "maximum": most }),
        Kind::Choice(words) => one_of(words.iter().copied()),
        Kind::Thread | Kind::Interrupt | Kind::Taskq | Kind::Stream => kind("string"),
    };
    described(takes, param.doc)
}

/// A workload by its name, or with parameters.
fn work() -> Value {
    let needs = |work: &Work| work.params.iter().filter(|p| p.required).map(|p| p.name.to_owned());
    let with = |work: &Work| {
        let params = work.params.iter().map(|param| (param.name.to_owned(), parameter(param)));
        (work.name.to_owned(), described(object(params.collect(), needs(work).collect()), work.doc))
    };
    let alone = one_of(WORKS.iter().filter(|work| needs(work).next().is_none()).map(|work| work.name));
    let mut parameters = object(WORKS.iter().map(with).collect(), Vec::new());
    parameters["minProperties"] = 1.into();
    parameters["maxProperties"] = 1.into();
    json!({ "anyOf": [alone, parameters] })
}

/// What a key takes by the tables of the source, if they say.
fn by_source(table: &str, key: &str) -> Option<Value> {
    match key {
        "monitor" => Some(one_of(MonitorKind::ALL.iter().map(|kind| kind.name()))),
        "probe" => Some(probes()),
        "then" | "before" => {
            let whole = json!({
                "type": "object",
                "properties": { "probe": probes(), "where": kind("string") },
                "required": ["probe"],
                "additionalProperties": false,
            });
            Some(json!({ "anyOf": [probes(), whole] }))
        }
        "set" => Some(tunables(false)),
        "tunable" if table == "keys of an event" => {
            let mut one = tunables(true);
            one["minProperties"] = 1.into();
            one["maxProperties"] = 1.into();
            Some(one)
        }
        "mutants" => {
            Some(json!({ "type": "array", "items": one_of(MUTANTS.iter().map(|mutant| mutant.name)) }))
        }
        "work" => Some(work()),
        // Of whichever class.
        "pri" if table != "keys of a task queue" => Some(number((0, 99))),
        _ => None,
    }
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
        let takes = by_source(name, key).unwrap_or_else(|| by_row(name, key, &row[1], range));
        if default == "required"
            && !is_change
            && !meaning.contains("not where there is")
            && name != "keys of a bound"
        {
            required.push(key.to_owned());
        }
        properties.entry(key.to_owned()).or_insert(described(takes, meaning));
    }
    // SDC takes no priority, and who counts records has no limit: what depends on another key is the parser's to say.
    required.retain(|key| !(name == "keys of a thread" && key == "pri"));
    let has_one = |keys: &[&str]| keys.iter().map(|key| json!({ "required": [key] })).collect::<Value>();
    match name {
        "keys of an event" => {
            let verbs = umpire_shared::program::Verb::NAMES;
            verbs
                .iter()
                .filter(|verb| **verb != "tunable")
                .for_each(|verb| properties[*verb] = of_verb(verb));
            let mut event = object(properties, required);
            event["oneOf"] = has_one(verbs);
            event
        }
        "keys of a bound" => {
            let mut bound = object(properties, required);
            bound["oneOf"] = has_one(&["monitor", "probe"]);
            bound
        }
        _ => object(properties, required),
    }
}

/// What a key takes, as its row says.
fn by_row(name: &str, key: &str, of: &str, range: &str) -> Value {
    let mut takes = kind(of);
    if let (Some(words), true) = (words(range), takes["type"] == "string") {
        takes["enum"] = words.into();
    }
    if let (Some(limits), true) = (limits(range), takes["type"] == "number") {
        takes = number(limits);
    }
    // `at most 9 of` those, or any of them.
    if let Some((before, list)) = range.split_once("of `").filter(|_| of.starts_with("list"))
        && (before.is_empty() || before.starts_with("at most"))
    {
        let words: Vec<&str> = list.trim_end_matches('`').split("`, `").collect();
        return json!({ "type": "array", "items": { "type": "string", "enum": words } });
    }
    if let Some((_, to)) = TABLES.iter().find(|(table, _)| *table == key) {
        let to = anchor(to);
        if of == "tables" {
            takes["items"] = json!({ "$ref": format!("#/$defs/{to}") });
        } else if key == "script" {
            takes = json!({ "$ref": format!("#/$defs/{to}") });
        } else {
            // What changes, by name: a key of it has the same values, and none is required.
            takes["additionalProperties"] = json!({ "$ref": format!("#/$defs/{to}_changes") });
        }
    }
    if key == "cpus" && name == "keys of a scenario" {
        takes = json!({ "anyOf": [number((1, MOST_CPUS)), { "$ref": "#/$defs/keys_of_the_CPUs" }] });
    }
    if key == "tables" {
        takes["additionalProperties"] = json!({ "$ref": "#/$defs/keys_of_a_dispatcher_table" });
    }
    // A list of numbers, or of strings and numbers, is told by its range.
    if of.starts_with("list of") && of != "list of strings" {
        takes = json!({ "type": "array" });
    }
    takes
}

/// What a verb takes, by the sentences of its keys.
fn of_verb(verb: &str) -> Value {
    let about = rows("keys of an event").into_iter().find(|row| row[0].trim_matches('`') == verb);
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for row in rows("keys of verbs").iter().filter(|row| row[0].trim_matches('`') == verb) {
        let (key, what) = (row[1].trim_matches('`'), row[2].as_str());
        if what.ends_with(", required") {
            required.push(key.to_owned());
        }
        properties.insert(key.to_owned(), described(of_verb_key(verb, key, what), what));
    }
    described(object(properties, required), &about.expect("a verb is a key of an event")[4])
}

fn of_verb_key(verb: &str, key: &str, what: &str) -> Value {
    let what = what.trim_end_matches(", required");
    let first = what.split("; ").next().unwrap_or_default();
    let of_table = |table: &str, key: &str| {
        let rows = rows(table);
        let row = rows.iter().find(|row| row[0].trim_matches('`') == key).expect("the sentence says so");
        by_row(table, key, &row[1], &row[2])
    };
    match what {
        // What is to fail may ask for numbers that nobody has.
        _ if first == "as in `[[thread]]`" && verb == "priocntl" && key != "class" => json!({}),
        _ if first == "as in `[[thread]]`" => of_table("keys of a thread", key),
        _ if first.starts_with("one of the modules") => {
            of_table("keys of a stream", "modules")["items"].clone()
        }
        "a CPU" => number((0, MOST_CPUS - 1)),
        _ if what.ends_with("`\"none\"`") => {
            let range = limits(first.split(", or").next().unwrap_or_default());
            let range = range.unwrap_or((0, MOST_CPUS - 1));
            json!({ "anyOf": [number(range), { "const": "none" }] })
        }
        _ if first.starts_with("`true`") || first.starts_with("`false`") => kind("boolean"),
        _ if first.starts_with('`') => {
            let all: Vec<&str> = what.split(['`', ',', ';', ' ']).filter(|word| !word.is_empty()).collect();
            json!({ "type": "string", "enum": all })
        }
        _ if limits(first).is_some() => limits(first).map_or_else(|| kind("number"), number),
        _ if first.starts_with("a zone") => kind("number"),
        _ => kind("string"),
    }
}

fn anchor(name: &str) -> String {
    name.replace(' ', "_")
}

/// The schema of a scenario file.
pub fn scenario() -> Value {
    let mut schema = table("keys of a scenario", false);
    let mut defs = Map::new();
    for (_, name) in TABLES.iter().chain(&[("", "keys of the CPUs"), ("", "keys of a dispatcher table")]) {
        defs.insert(anchor(name), table(name, false));
        defs.insert(format!("{}_changes", anchor(name)), table(name, true));
    }
    schema["$defs"] = defs.into();
    schema
}
