//! One build with every fault that compiles.
//!
//! # Invariants
//! - A fault that the compiler complains of is left out, and nothing else is: a complaint that leads to no fault is an error of this
//!   program.
//! - What was left out is remembered by its key, so that the next build does not ask again.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::fault::Fault;
use crate::splice::Spliced;
use crate::tree::{KERNEL, Tree};

/// Most rounds of asking the compiler; it finds what is wrong phase by phase.
const MAX_ROUNDS: usize = 30;

/// How much longer a block is than what is in it, as it is written here.
const BRACES: usize = 8;

/// What was built.
#[derive(Debug)]
pub struct Built {
    /// The binary `umpire`.
    pub umpire: PathBuf,
    /// The program of the simulator's tests, if they are wanted.
    pub tests: Option<PathBuf>,
    /// The faults that are in both.
    pub faults: Vec<Fault>,
}

/// Compiles the copy with as many of the faults as compile; the simulator's tests as well if they are wanted.
///
/// # Errors
///
/// The copy does not compile for another reason.
pub fn build(tree: &Tree, mut faults: Vec<Fault>, with_tests: bool) -> Result<Built, String> {
    let memory = tree.work.join("do-not-compile.txt");
    let mut dropped: BTreeSet<String> =
        fs::read_to_string(&memory).unwrap_or_default().lines().map(str::to_owned).collect();
    let all = faults.len();
    faults.retain(|fault| !dropped.contains(&fault.key));
    for round in 1.. {
        let written = tree.write(&faults)?;
        let complaints = check(tree)?;
        if complaints.is_empty() {
            break;
        }
        let mut bad = BTreeSet::new();
        for complaint in &complaints {
            bad.extend(blamed(complaint, &written)?);
        }
        eprintln!("mutate: round {round}: {} of {} faults do not compile", bad.len(), faults.len());
        if round == MAX_ROUNDS {
            return Err(format!(
                "after {round} rounds there are still faults that do not compile: {}",
                complaints[0].text
            ));
        }
        dropped.extend(faults.iter().filter(|fault| bad.contains(&fault.id)).map(|fault| fault.key.clone()));
        faults.retain(|fault| !bad.contains(&fault.id));
        let lines: Vec<&str> = dropped.iter().map(String::as_str).collect();
        fs::write(&memory, lines.join("\n")).map_err(|e| format!("{}: {e}", memory.display()))?;
    }
    eprintln!("mutate: {} faults in the kernel, of {all}; building", faults.len());
    let umpire = executable(tree, &["build", "-p", "umpire", "--bin", "umpire"], "umpire")?;
    let ask = ["test", "-p", "umpire-sim", "--test", "sim", "--no-run"];
    let tests = with_tests.then(|| executable(tree, &ask, "sim")).transpose()?;
    Ok(Built { umpire, tests, faults })
}

/// What the compiler complains of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Complaint {
    text: String,
    /// Where, the primary places first: a file of the kernel and its bytes.
    spans: Vec<(String, Range<usize>)>,
}

fn check(tree: &Tree) -> Result<Vec<Complaint>, String> {
    let (output, _) = cargo(tree, &["check", "-p", "umpire-kernel"])?;
    Ok(output.iter().filter_map(complaint).collect())
}

fn executable(tree: &Tree, args: &[&str], name: &str) -> Result<PathBuf, String> {
    let (output, succeeded) = cargo(tree, args)?;
    if !succeeded {
        let said = output.iter().filter_map(|line| line["message"]["rendered"].as_str());
        return Err(format!("cannot build {name} with faults in it:\n{}", said.collect::<String>()));
    }
    let of_that_name = output.iter().filter(|line| line["target"]["name"] == name);
    let path = of_that_name.filter_map(|line| line["executable"].as_str()).next_back();
    path.map(PathBuf::from).ok_or(format!("cargo does not say where {name} is"))
}

/// Runs cargo in the copy; gives the messages that it writes, and whether it succeeded.
fn cargo(tree: &Tree, args: &[&str]) -> Result<(Vec<Value>, bool), String> {
    let output = Command::new("cargo")
        .args(args)
        .args(["--message-format", "json", "--quiet"])
        .arg("--target-dir")
        .arg(tree.work.join("build"))
        .current_dir(tree.copy())
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .stderr(Stdio::null())
        .output()
        .map_err(|e| format!("cannot run cargo: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok((text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(), output.status.success()))
}

fn complaint(line: &Value) -> Option<Complaint> {
    let message = &line["message"];
    if line["reason"] != "compiler-message" || message["level"] != "error" {
        return None;
    }
    let mut spans: Vec<&Value> = message["spans"].as_array()?.iter().collect();
    if spans.is_empty() {
        // The count of errors at the end.
        return None;
    }
    spans.sort_by_key(|span| span["is_primary"] != true);
    let place = |span: &&Value| {
        let file = span["file_name"].as_str()?.strip_prefix(KERNEL)?.strip_prefix('/')?;
        let at = |key: &str| span[key].as_u64().and_then(|n| usize::try_from(n).ok());
        Some((file.to_owned(), at("byte_start")?..at("byte_end")?))
    };
    let text = message["rendered"].as_str().unwrap_or_default().to_owned();
    Some(Complaint { text, spans: spans.iter().filter_map(place).collect() })
}

/// The faults whose text a complaint is about; or else those of the place that it names, of the smallest place around it, of the
/// places in it, or of those between it and another place that it names, in this order. The last are ways out that are not there:
/// a value that is used after it was moved is complained of at both of these, and not at the `return` between them.
fn blamed(complaint: &Complaint, written: &[(String, Spliced)]) -> Result<Vec<u32>, String> {
    type Finds = fn(&Spliced, &Range<usize>) -> Option<Vec<u32>>;
    let ways: [Finds; 4] = [
        |spliced, at| {
            let inside = spliced.faulty.iter().filter(|(_, range)| holds(range, at));
            inside.min_by_key(|(_, range)| range.len()).map(|(id, _)| vec![*id])
        },
        |spliced, at| {
            let in_braces = |range: &Range<usize>| holds(at, range) && at.len() <= range.len() + BRACES;
            spliced.places.iter().find(|(_, range)| in_braces(range)).map(|(ids, _)| ids.clone())
        },
        |spliced, at| {
            let around = spliced.places.iter().filter(|(_, range)| holds(range, at));
            around.min_by_key(|(_, range)| range.len()).map(|(ids, _)| ids.clone())
        },
        |spliced, at| {
            let inside = spliced.places.iter().filter(|(_, range)| holds(at, range));
            inside.max_by_key(|(_, range)| range.len()).map(|(ids, _)| ids.clone())
        },
    ];
    let spliced = |name: &str| written.iter().find(|(file, _)| file == name).map(|(_, spliced)| spliced);
    let between = || {
        let ((name, primary), others) = complaint.spans.split_first()?;
        let found = spliced(name)?;
        let hulls = others.iter().filter(|(other, _)| other == name).map(|(_, at)| hull(primary, at));
        let inside = |hull: Range<usize>| {
            let places = found.places.iter().filter(|(_, range)| holds(&hull, range));
            let ids: Vec<u32> = places.flat_map(|(ids, _)| ids.iter().copied()).collect();
            (!ids.is_empty()).then_some((hull.len(), ids))
        };
        hulls.filter_map(inside).min().map(|(_, ids)| ids)
    };
    ways.iter()
        .find_map(|way| complaint.spans.iter().find_map(|(name, at)| way(spliced(name)?, at)))
        .or_else(between)
        .ok_or_else(|| format!("the kernel does not compile, and no fault is to blame:\n{}", complaint.text))
}

/// The smallest range that holds both.
fn hull(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.min(b.start)..a.end.max(b.end)
}

fn holds(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start <= b.start && b.end <= a.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn way_out_that_is_missing_is_blamed_for_what_is_used_after_it_was_moved() {
        let spliced = Spliced {
            text: String::new(),
            faulty: Vec::new(),
            places: vec![(vec![1], 10..400), (vec![2], 150..160), (vec![3], 300..310)],
        };
        let complaint = Complaint {
            text: String::new(),
            spans: [200..205, 0..5, 140..145].map(|at| ("net/srs.rs".to_owned(), at)).to_vec(),
        };
        let written = [("net/srs.rs".to_owned(), spliced)];
        assert_eq!(blamed(&complaint, &written[..]), Ok(vec![1]), "the smallest place around it");
        let (name, mut spliced) = written.into_iter().next().expect("invariant: one");
        spliced.places.remove(0);
        assert_eq!(blamed(&complaint, &[(name, spliced)]), Ok(vec![2]), "the one between");
    }
}
