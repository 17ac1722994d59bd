//! `[tables.CLASS]`: dispatcher tables of a scenario or variant, inline or in files of their own.
//!
//! # Invariants
//! - A file's path is relative to the scenario's file; a built-in scenario finds those that are built in, and no others.
//! - A file is read up to [`dispadmin::MAX_BYTES`] and only if it is text.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use umpire_shared::program::{TableRow, class};

use super::builtin;
use super::dispadmin::{self, MAX_BYTES, Slip};
use super::error::{Fault, Text, quoted};
use super::field::{Fields, Value};
use super::plain;
use super::suggest::choices;
use super::ticks::Span;

/// Where the files of dispatcher tables are.
#[derive(Debug, Clone)]
pub(super) enum Shelf {
    /// In this folder.
    Folder(PathBuf),
    /// In the program.
    Builtin,
}

impl Shelf {
    /// The folder of a scenario's file.
    pub fn beside(scenario: &Path) -> Shelf {
        Shelf::Folder(scenario.parent().map(Path::to_owned).unwrap_or_default())
    }

    /// The text of a file, and how messages call it.
    fn text(&self, name: &str) -> Result<(String, String), String> {
        match self {
            Shelf::Builtin => builtin::table(name)
                .map(|text| (text.to_owned(), format!("scenarios/{name}")))
                .ok_or_else(|| "it is not built in".to_owned()),
            Shelf::Folder(folder) => {
                let path = folder.join(name);
                let text = read(&path).map_err(|e| e.to_string())?;
                Ok((text, path.to_string_lossy().into_owned()))
            }
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    plain::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        let message = format!("it has more than {MAX_BYTES} bytes, which no table needs");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(text)
}

/// The tables of a scenario under one setting: rows and their quanta, by class.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    by_class: Vec<(u32, Vec<(TableRow, Span)>)>,
}

impl Tables {
    /// These tables, with the `tables` key of one of the file's tables laid over them.
    pub fn changed(&self, fields: &Fields<'_>, shelf: &Shelf) -> Result<Tables, Box<Fault>> {
        let mut tables = self.clone();
        for entry in fields.optional("tables", Value::map)?.unwrap_or_default() {
            let number = class_of(&entry)?;
            let rows = table(&entry, number, shelf)?;
            tables.by_class.retain(|(class, _)| *class != number);
            tables.by_class.push((number, rows));
        }
        tables.by_class.sort_by_key(|(class, _)| *class);
        Ok(tables)
    }

    /// Every row with its quantum, a class after the other.
    pub fn rows(&self) -> impl Iterator<Item = (TableRow, Span)> {
        self.by_class.iter().flat_map(|(_, rows)| rows.iter().copied())
    }
}

fn class_of(entry: &Value<'_>) -> Result<u32, Box<Fault>> {
    let number = (0..).zip(class::NAMES).find(|(_, name)| **name == entry.key).map(|(number, _)| number);
    let number = number.filter(|number| dispadmin::rows_of(*number).is_some());
    number.ok_or_else(|| {
        let names: Vec<&str> = (0..)
            .zip(class::NAMES)
            .filter(|(number, _)| dispadmin::rows_of(*number).is_some())
            .map(|(_, name)| *name)
            .collect();
        let message = format!("there is no dispatcher table of `{}`", quoted(&entry.key));
        entry.key_fault(message).help(choices(&names))
    })
}

fn table(entry: &Value<'_>, class: u32, shelf: &Shelf) -> Result<Vec<(TableRow, Span)>, Box<Fault>> {
    let fields = entry.table("a dispatcher table", &["file", "rows"])?;
    match (fields.get("file"), fields.get("rows")) {
        (Some(file), None) => {
            let name = file.string()?;
            let (text, path) = shelf.text(name).map_err(|cause| {
                let message = format!("cannot read the dispatcher table `{}`: {cause}", quoted(name));
                file.fault(message).help("the path is relative to the scenario's file")
            })?;
            let text = Text { file: &path, text: &text };
            dispadmin::read(class, text.text).map_err(|Slip { at, message }| text.fault(at, message))
        }
        (None, Some(rows)) => {
            dispadmin::read(class, rows.string()?).map_err(|Slip { at, message }| rows.fault_at(at, message))
        }
        _ => Err(entry
            .fault("a dispatcher table has either `file` or `rows`")
            .help("write: file = \"my.tbl\", with what `dispadmin -g` printed")),
    }
}
