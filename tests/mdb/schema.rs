//! The JSON Schema of the debugger's rows (`umpire schema mdb`), made of what every example of every command prints.
//!
//! # Invariants
//! - Every key that an example prints is in the schema with its type, and nothing else is. A key may be absent, as which there are
//!   depends on the options, or null, as what is absent is.
//! - `UMPIRE_BLESS=1` writes the file; nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use umpire_mdb::dcmd::{DCMDS, Dcmd};
use umpire_mdb::session::Style;

use crate::corrupt::{MACHINES, lines, typed_for};
use crate::patched::core_of;

/// Lines for commands whose examples need an address that a machine has or has not.
const BESIDE: &[&str] = &[
    "::walk queue_cache | ::q2syncq",
    "::walk queue_cache | ::q2stream",
    "::walk queue_cache | ::q2otherq",
    "::walk queue_cache | ::q2wrq",
    "::walk stdata | ::str2mate",
    "::walk stdata | ::str2wrq",
    "::walk syncq | ::syncq2q",
    "::walk mblk | ::mblk2dblk",
    "::walk mblk | ::mblk_verify",
    "::walk turnstile | ::print turnstile_t ts_sobj | ::sobj2ts",
    "lbolt::array int 4",
];

/// The file, from the root of the workspace.
const FILE: &str = "vmm/cli/schemas/mdb.json";

/// By a row's schema: its keys, and the types that they were seen to have.
type Seen = BTreeMap<String, BTreeMap<String, BTreeSet<&'static str>>>;

fn type_of(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null => None,
        Value::Bool(_) => Some("boolean"),
        Value::Number(_) => Some("number"),
        Value::String(_) => Some("string"),
        Value::Array(_) => Some("array"),
        Value::Object(_) => Some("object"),
    }
}

/// What is printed at every machine.
fn seen() -> Seen {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let mut seen = Seen::new();
    for (scenario, at) in MACHINES {
        let core = core_of(scenario, at, folder.path());
        for line in lines().into_iter().chain(BESIDE.iter().map(|line| (*line).to_owned())) {
            let (printed, _) = typed_for(&core, &line, Style::Json, false);
            for row in printed.lines() {
                let row: Value = serde_json::from_str(row).unwrap_or_else(|e| panic!("{line}: {e}: {row}"));
                let schema = row["schema"].as_str().unwrap_or_else(|| panic!("{line}: {row}"));
                let keys = seen.entry(schema.to_owned()).or_default();
                for (key, value) in row.as_object().expect("a row is an object") {
                    keys.entry(key.clone()).or_default().extend(type_of(value));
                }
            }
        }
    }
    seen
}

/// The schema of all rows.
fn schema(seen: &Seen) -> Value {
    let of_row = |(name, keys): (&String, &BTreeMap<String, BTreeSet<&'static str>>)| {
        let of_key = |(key, types): (&String, &BTreeSet<&'static str>)| {
            let kind = match key.as_str() {
                "schema" => json!({ "const": name }),
                _ => json!({ "type": types.iter().copied().chain(["null"]).collect::<Vec<_>>() }),
            };
            (key.clone(), kind)
        };
        let properties: serde_json::Map<String, Value> = keys.iter().map(of_key).collect();
        json!({ "properties": properties })
    };
    // What needs registers, a session or a recording has keys that are not told.
    let name = |dcmd: &&Dcmd| format!("umpire.mdb.{}/1", dcmd.name);
    let rest: BTreeSet<String> = DCMDS.iter().map(name).filter(|name| !seen.contains_key(name)).collect();
    let rest = json!({ "properties": { "schema": { "enum": rest } } });
    let rows: Vec<Value> = seen.iter().map(of_row).chain([rest]).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "umpire mdb",
        "type": "object",
        "required": ["schema", "verdict"],
        "properties": {
            "verdict": { "type": "string", "description": "how consistent what was read is" },
        },
        "oneOf": rows,
    })
}

#[test]
fn rows_of_every_command_have_the_keys_of_the_schema() {
    let text = serde_json::to_string_pretty(&schema(&seen())).expect("JSON") + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("UMPIRE_BLESS").is_some() {
        fs::write(file, text).expect("the schema can be written");
        return;
    }
    let found = fs::read_to_string(file).unwrap_or_default();
    let differs = found.lines().zip(text.lines()).find(|(old, new)| old != new);
    assert!(
        found == text,
        "{FILE} differs first in {differs:?}: UMPIRE_BLESS=1 cargo test --test mdb schema"
    );
}
