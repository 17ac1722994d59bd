//! Sessions of the debugger in the documents: what they type is typed, and what they show comes back.
//!
//! A block that is fenced as `mdb ARGUMENTS` is a session of `umpire mdb ARGUMENTS`: each line that begins with `> ` is typed, and
//! what follows it is the answer. `UMPIRE_BLESS=1` writes the answers anew.
//!
//! # Invariants
//! - Addresses are compared by their place among those of the answer: a process has others each time.

use std::fs;
use std::path::PathBuf;

use crate::{Names, answer, difference};

/// The documents with sessions in them, and how many each has at least.
const DOCUMENTS: [(&str, usize); 3] =
    [("docs/tutorial-mdb.md", 5), ("docs/for-drgn-crash-bpftrace-users.md", 3), ("docs/write-a-dcmd.md", 1)];

#[test]
fn sessions_of_the_documents_come_out_as_they_show() {
    for (name, least) in DOCUMENTS {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
        let is = fs::read_to_string(&path).expect("a document");
        let (should_be, sessions) = carried_out(&is);
        assert!(sessions >= least, "{name} has {sessions} sessions");
        if masked(&is) == masked(&should_be) {
            continue;
        }
        if std::env::var_os("UMPIRE_BLESS").is_some() {
            fs::write(&path, should_be).expect("a document that can be written");
            continue;
        }
        panic!("{}", difference(&path, &masked(&is), &masked(&should_be)));
    }
}

/// The document with the answers that come now, and its number of sessions.
fn carried_out(document: &str) -> (String, usize) {
    let (mut out, mut sessions) = (String::new(), 0);
    let mut arguments: Option<Vec<&str>> = None;
    for line in document.lines() {
        match (&arguments, line.strip_prefix("```")) {
            (None, Some(info)) => {
                arguments = info.strip_prefix("mdb ").map(|words| words.split_whitespace().collect());
                sessions += usize::from(arguments.is_some());
                out += &format!("{line}\n");
            }
            (Some(_), Some(_)) => {
                arguments = None;
                out += &format!("{line}\n");
            }
            (Some(words), None) => {
                if let Some(typed) = line.strip_prefix("> ") {
                    out += &format!("{line}\n{}", answer(words, typed));
                }
            }
            (None, None) => out += &format!("{line}\n"),
        }
    }
    (out, sessions)
}

/// The document with the addresses of each answer replaced.
fn masked(document: &str) -> String {
    let mut out = String::new();
    let mut names = Names::default();
    for line in document.lines() {
        if line.starts_with("> ") || line.starts_with("```") {
            names = Names::default();
        }
        out += &names.masked(line);
        out.push('\n');
    }
    out
}
