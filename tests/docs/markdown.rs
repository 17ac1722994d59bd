//! The part of Markdown that the documents use: files, checked tables, fenced blocks.
//!
//! # Invariants
//! - A document that cannot be read, or a table that is not there, fails the test that asked for it, by name.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository, as text.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// Writes a file of the repository that is blessed. A test beside this one reads it: it is never there in part.
pub(crate) fn write(path: impl AsRef<Path>, text: &str) {
    let path = root().join(path);
    let new = path.with_extension("new");
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
    written.unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
}

/// Every document: the Markdown files of the root and of `docs/`, relative to the root.
pub(crate) fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["", "docs"] {
        for entry in fs::read_dir(root().join(folder)).expect("the folder of documents").flatten() {
            let name = entry.file_name();
            if Path::new(&name).extension().is_some_and(|e| e == "md") {
                found.push(Path::new(folder).join(name));
            }
        }
    }
    found.sort();
    assert!(found.len() > 5, "the documents are where they were");
    found
}

/// What stands before the name of a checked table.
pub(crate) const MARK: &str = "<!-- checked: ";

/// The lines of a checked table of SPECIFICATION.md, its two head lines not counted.
pub(crate) fn rows(name: &str) -> Vec<Vec<String>> {
    let text = read("SPECIFICATION.md");
    let mark = format!("{MARK}{name} -->");
    let at = text.lines().position(|line| line == mark).unwrap_or_else(|| panic!("no table `{name}`"));
    let lines = text.lines().skip(at + 1).take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<String>> = lines.skip(2).map(cells).collect();
    assert!(!rows.is_empty(), "the table `{name}` is empty");
    rows
}

/// One column of a checked table, backquotes taken away.
pub(crate) fn column(name: &str, n: usize) -> Vec<String> {
    rows(name).iter().map(|row| row[n].trim_matches('`').to_owned()).collect()
}

/// The cells of a line of a table; `\|` is not a border.
pub(crate) fn cells(line: &str) -> Vec<String> {
    let line = line.replace("\\|", "\0");
    line.trim_matches('|').split('|').map(|cell| cell.trim().replace('\0', "|")).collect()
}

/// A fenced block.
pub(crate) struct Block {
    /// What stands behind the fence.
    pub(crate) info: String,
    /// The lines between the fences, each with its newline.
    pub(crate) text: String,
}

/// The fenced blocks of a document, in order.
pub(crate) fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in document.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, Some(info)) => open = Some(Block { info: info.to_owned(), text: String::new() }),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fenced block is never closed");
    blocks
}
