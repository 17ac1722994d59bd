//! `umpire schema`: JSON Schemas of what is printed with `--json`, and of scenario files, for whoever reads or writes them by machine.
//!
//! # Invariants
//! - The schemas are files that a test makes of the tables of SPECIFICATION.md and holds to what is printed; here they are only shown.

use std::io::{self, Write};

use super::exit::Exit;
use super::streams::Streams;

/// Declares the schemas: the name and the file's text.
macro_rules! schemas {
    ($($name:literal),* $(,)?) => {
        /// Every schema, by name.
        const SCHEMAS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../schemas/", $name, ".json")))),*];
    };
}

schemas! {
    "bench", "compare", "dispadmin", "divergence", "doctor", "event", "events", "gdb", "kstat", "latency", "list", "mdb", "mpstat",
    "priocntl", "prstat", "ps", "ps.guest", "psrinfo", "repeat", "run", "scenario", "why",
}

/// Prints a schema, or the names of all.
pub(super) fn schema(name: Option<&str>, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let names = || SCHEMAS.iter().map(|(name, _)| *name);
    let Some(name) = name else {
        for name in names() {
            streams.line(name)?;
        }
        return Ok(Exit::Pass);
    };
    let Some((_, text)) = SCHEMAS.iter().find(|(of, _)| *of == name) else {
        let names: Vec<&str> = names().collect();
        streams.say(&format!("umpire: there is no schema `{name}`; there are: {}", names.join(", ")));
        return Ok(Exit::Usage);
    };
    streams.out.write_all(text.as_bytes())?;
    Ok(Exit::Pass)
}
