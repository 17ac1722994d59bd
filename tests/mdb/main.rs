//! Golden tests of the debugger: what is typed at a simulated machine, and every character that comes back.
//!
//! A file of `tests/mdb/golden/` begins with the arguments of `umpire mdb` behind `$`; each line that begins with `> ` is typed, and
//! what follows it is what was printed on stdout, then on stderr. A line `$ umpire TOOL ...` of another command is run by itself, and
//! what it prints follows. A file `*.rec` is one of `recordings.rs`. `UMPIRE_BLESS=1` writes the answers anew.
//!
//! # Invariants
//! - Addresses of the simulated kernel are those of a process and differ each time: each is replaced by its place among those that the
//!   answer has met, in the width that it had. Those of the image, which any change of the kernel moves, have no number.
//! - In a file whose first line begins with `# Times`, moments are replaced as well: in ns they are a matter of everything that ran.
//! - No answer holds the size of a structure that grows with the kernel.

mod corrupt;
mod documents;
mod judged;
mod patched;
mod recordings;
mod schema;
mod screen;
mod seed_streams;
mod seeds;
mod targets;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

/// Lines of a golden file that differ and are shown.
const SHOWN: usize = 12;

#[test]
fn language() {
    check("language");
}

#[test]
fn types() {
    check("types");
}

#[test]
fn i1532() {
    check("i1532");
}

#[test]
fn locks() {
    check("locks");
}

#[test]
fn time() {
    check("time");
}

#[test]
fn taskq_kstat() {
    check("taskq_kstat");
}

#[test]
fn mistakes() {
    check("mistakes");
}

#[test]
fn b6256245() {
    check("b6256245");
}

#[test]
fn names() {
    check("names");
}

#[test]
fn topology() {
    check("topology");
}

#[test]
fn callouts() {
    check("callouts");
}

#[test]
fn network() {
    check("network");
}

#[test]
fn taskq() {
    check("taskq");
}

#[test]
fn streams() {
    check("streams");
}

#[test]
fn recorded() {
    check("recorded");
}

#[test]
fn tools() {
    check("tools");
}

/// docs/dcmds.md is made of the help.
#[test]
fn reference_of_commands_is_that_of_the_help() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/dcmds.md");
    let is = fs::read_to_string(&path).expect("docs/dcmds.md");
    let (preface, _) = is.split_once("\n## ").expect("a preface, then the commands");
    let should_be = format!("{preface}\n{}\n", umpire_mdb::dcmd::reference().trim_end());
    if is == should_be {
        return;
    }
    if std::env::var_os("UMPIRE_BLESS").is_some() {
        return fs::write(&path, should_be).expect("docs/dcmds.md can be written");
    }
    panic!("{}", difference(&path, &is, &should_be));
}

#[test]
fn addresses_are_replaced_by_their_place_in_the_width_they_had() {
    let mut names = Names::default();
    let masked = names.masked(
        "00007f12a0b0c0d0 7f12a0b0c0d0 0x5512a0b0c0d0, 5512a0b0c0d0+8 ffffff01dde41b90 1234 0x1092b0",
    );
    assert_eq!(
        masked,
        "@1.............. @1.......... 0x@2.........., @2..........+8 ffffff01dde41b90 1234 0x@image"
    );
}

#[track_caller]
fn check(name: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/mdb/golden").join(format!("{name}.txt"));
    let expected = fs::read_to_string(&path).expect("a golden file");
    let answered = answered(&expected);
    if answered == expected {
        return;
    }
    if std::env::var_os("UMPIRE_BLESS").is_some() {
        fs::write(&path, answered).expect("a golden file that can be written");
        return;
    }
    panic!("{}", difference(&path, &expected, &answered));
}

/// The file as it would be written now: its commands, each with its answer.
fn answered(file: &str) -> String {
    let mut out = String::new();
    let mut arguments: Vec<&str> = Vec::new();
    // What the file says of itself stands before its commands: an answer may begin with the same character.
    let preface = file.lines().take_while(|line| line.starts_with('#'));
    preface.for_each(|line| out += &format!("{line}\n"));
    for line in file.lines() {
        if let Some(given) = line.strip_prefix("$ umpire mdb ") {
            arguments = given.split_whitespace().collect();
            out += &format!("{line}\n");
        } else if let Some(command) = line.strip_prefix("$ umpire ") {
            let words: Vec<&str> = command.split_whitespace().collect();
            out += &format!("{line}\n{}", Names::of(file).masked(&output_of(&words, command)));
        } else if let Some(command) = line.strip_prefix("> ") {
            out += &format!("{line}\n{}", Names::of(file).masked(&answer(&arguments, command)));
        }
    }
    out
}

/// What the debugger prints when a command is typed.
pub(crate) fn answer(arguments: &[&str], command: &str) -> String {
    // A line of its own for each `;;` of the file.
    let typed = command.replace(";; ", "\n");
    let words: Vec<&str> = ["mdb"].iter().chain(arguments).chain(&["-e", &typed]).copied().collect();
    output_of(&words, command)
}

/// What the program prints on stdout, then on stderr, for a user who has no VM that runs.
fn output_of(words: &[&str], command: &str) -> String {
    static SESSIONS: LazyLock<TempDir> =
        LazyLock::new(|| tempfile::tempdir().expect("a folder for the tests"));
    let mut umpire = Command::new(env!("CARGO_BIN_EXE_umpire"));
    if words.iter().any(|word| word.ends_with(".rec")) {
        umpire.current_dir(recordings::folder());
    }
    let output =
        umpire.env("XDG_RUNTIME_DIR", SESSIONS.path()).args(words).output().expect("umpire can be run");
    let told = String::from_utf8_lossy(&output.stderr);
    // What is narrated before the debugger begins is no answer.
    let told: String = told
        .lines()
        .filter(|line| !line.contains(": running up to ") && !line.contains(": stopped after "))
        .map(|line| format!("{line}\n"))
        .collect();
    let text = format!("{}{told}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(
        output.status.success(),
        told.is_empty(),
        "the exit code of `{command}`: {}\n{text}",
        output.status
    );
    text
}

/// Addresses that have been met.
#[derive(Default)]
pub(crate) struct Names {
    met: HashMap<u64, usize>,
    hides_times: bool,
}

impl Names {
    fn of(file: &str) -> Names {
        Names { hides_times: file.starts_with("# Times"), ..Names::default() }
    }

    pub(crate) fn masked(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut word = String::new();
        for c in text.chars().chain(['\0']) {
            if c.is_ascii_alphanumeric() || c == '_' {
                word.push(c);
                continue;
            }
            out += &self.name(&std::mem::take(&mut word));
            if c != '\0' {
                out.push(c);
            }
        }
        out
    }

    /// An address of a process: 12 digits from 55 to 7f, perhaps with zeros or `0x` in front.
    fn name(&mut self, word: &str) -> String {
        let (prefix, digits) = word.strip_prefix("0x").map_or(("", word), |digits| ("0x", digits));
        let significant = digits.trim_start_matches('0');
        let is_address = significant.len() == 12
            && [12, 16].contains(&digits.len())
            && ("55".."80").contains(&&significant[..2]);
        // Where the linker put something in the image changes with every change of the kernel.
        if significant.len() == 6 && significant.starts_with('1') && [6, 16].contains(&digits.len()) {
            return format!("{prefix}{:.<width$}", "@image", width = digits.len());
        }
        let is_hex = digits.chars().all(|c| c.is_ascii_hexdigit());
        if self.hides_times
            && prefix.is_empty()
            && is_hex
            && (7..=11).contains(&digits.len())
            && digits != "1000000"
        {
            return format!("{:.<width$}", "@time", width = digits.len());
        }
        match u64::from_str_radix(significant, 16) {
            Ok(address) if is_address => {
                let next = self.met.len() + 1;
                let name = format!("@{}", self.met.entry(address).or_insert(next));
                format!("{prefix}{name:.<width$}", width = digits.len())
            }
            _ => word.to_owned(),
        }
    }
}

pub(crate) fn difference(path: &Path, expected: &str, answered: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), answered.lines().collect());
    let first = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let from = first.saturating_sub(3);
    let part =
        |lines: &[&str]| lines.iter().skip(from).take(SHOWN).map(|l| format!("  {l}\n")).collect::<String>();
    format!(
        "{} differs from line {}; expected\n{}found\n{}UMPIRE_BLESS=1 cargo test --test mdb writes it anew",
        path.display(),
        first + 1,
        part(&old),
        part(&new)
    )
}
