//! Invariants of absence: the sources are searched for what must not be in this repository.
//!
//! # Invariants
//! - A test that fails names every file and line that breaks its rule, not the first only.
//! - Comments and documentation may name anything: only code is looked at, except by the rule on their own words.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

mod floors;

/// Every file that may hold `unsafe` code, and no other.
const UNSAFE_FILES: &[&str] = &[
    // Shared pointers of the kernel's objects, owners of locks, and the platform's functions, bound at link time.
    "guest/kernel/src/lock/owner.rs",
    "guest/kernel/src/lock/ptr.rs",
    "guest/kernel/src/platform.rs",
    // The x86-64 platform.
    "guest/image/src/apic.rs",
    "guest/image/src/console.rs",
    "guest/image/src/epitaph.rs",
    "guest/image/src/event_ring.rs",
    "guest/image/src/fault.rs",
    "guest/image/src/heap.rs",
    "guest/image/src/level.rs",
    "guest/image/src/mutex_exit.rs",
    "guest/image/src/root.rs",
    "guest/image/src/start.rs",
    "guest/image/src/switch.rs",
    "guest/image/src/time.rs",
    "guest/image/src/words.rs",
    // The simulated platform.
    "guest/sim/src/coroutine.rs",
    "guest/sim/src/glue.rs",
    "guest/sim/src/machine.rs",
    // Guest memory, KVM and the host's signals and clocks.
    "vmm/machine/src/build.rs",
    "vmm/machine/src/clock.rs",
    "vmm/machine/src/confine/tests.rs",
    "vmm/machine/src/confine/told.rs",
    "vmm/machine/src/memory.rs",
    "vmm/machine/src/precedence.rs",
    "vmm/machine/src/signals.rs",
    "vmm/machine/src/tsc.rs",
    // The wire between the simulator's memory and the glass.
    "src/simulated.rs",
];

/// What a package may link besides crates from outside; a package that is not named here may link nothing of ours.
const LINKS: &[(&str, &[&str])] = &[
    ("umpire-shared", &[]),
    ("umpire-kernel", &["umpire-shared"]),
    ("umpire-workloads", &["umpire-shared", "umpire-kernel"]),
    ("umpire-image", &["umpire-shared", "umpire-kernel", "umpire-workloads"]),
    ("umpire-sim", &["umpire-shared", "umpire-kernel", "umpire-workloads"]),
    ("umpire-machine", &["umpire-shared"]),
    ("umpire-rows", &[]),
    ("umpire-watch", &["umpire-machine", "umpire-rows", "umpire-shared"]),
    ("umpire-reach", &["umpire-machine", "umpire-shared", "umpire-watch"]),
    ("umpire-record", &["umpire-rows", "umpire-shared", "umpire-watch"]),
    (
        "umpire-mdb",
        &["umpire-machine", "umpire-reach", "umpire-record", "umpire-rows", "umpire-shared", "umpire-watch"],
    ),
    ("umpire-scenario", &["umpire-rows", "umpire-shared", "umpire-watch"]),
    (
        "umpire-referee",
        &[
            "umpire-machine",
            "umpire-mdb",
            "umpire-reach",
            "umpire-record",
            "umpire-rows",
            "umpire-scenario",
            "umpire-shared",
            "umpire-watch",
        ],
    ),
    (
        "umpire-cli",
        &[
            "umpire-machine",
            "umpire-mdb",
            "umpire-reach",
            "umpire-record",
            "umpire-referee",
            "umpire-rows",
            "umpire-scenario",
            "umpire-shared",
            "umpire-watch",
        ],
    ),
    ("umpire-mutate", &["umpire-rows"]),
    (
        "umpire",
        &["umpire-cli", "umpire-machine", "umpire-referee", "umpire-shared", "umpire-sim", "umpire-watch"],
    ),
];

/// Packages that link nothing from outside: they are compiled for the guest, or cross the glass.
const PURE: &[&str] = &["umpire-shared", "umpire-kernel", "umpire-workloads", "umpire-image"];

/// Words for a person: no thread, CPU or lock is one.
const PERSON: &[&str] = &["he", "him", "his", "himself"];

/// Most lines of a source file.
const MAX_LINES: usize = 600;

#[test]
fn packages_link_only_what_the_picture_shows() {
    let mut broken = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap_or_default();
        let may = LINKS.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, may)| may);
        for dependency in package["dependencies"].as_array().expect("a list") {
            let other = dependency["name"].as_str().unwrap_or_default();
            let is_ours = dependency["path"].is_string();
            let is_linked = dependency["kind"].is_null();
            if is_linked && (is_ours && !may.contains(&other) || !is_ours && PURE.contains(&name)) {
                broken.push(format!("{name} links {other}"));
            }
        }
    }
    assert_none(&broken);
}

#[test]
fn every_source_file_says_what_it_is_and_its_invariants() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        if !text.starts_with("//! ") {
            broken.push(format!("{path}: does not open with `//!`"));
        }
        if !text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .any(|line| line.starts_with("//! # Invariants"))
        {
            broken.push(format!("{path}: names no invariants"));
        }
    }
    assert_none(&broken);
}

#[test]
fn no_source_file_is_long() {
    let long = sources().filter_map(|(path, text)| {
        let lines = text.lines().count();
        (lines > MAX_LINES).then(|| format!("{path}: {lines} lines, {MAX_LINES} at most"))
    });
    assert_none(&long.collect::<Vec<_>>());
}

#[test]
fn unsafe_code_is_only_in_the_files_that_may_have_it() {
    let has: BTreeSet<String> = lines_of_code()
        .filter(|line| words(&line.text).any(|word| word == "unsafe"))
        .map(|line| line.path)
        .collect();
    let may: BTreeSet<String> = UNSAFE_FILES.iter().map(|&path| path.to_owned()).collect();
    let more = has.difference(&may).map(|path| format!("{path}: has unsafe code, and may not"));
    let stale = may
        .difference(&has)
        .map(|path| format!("{path}: may have unsafe code, and has none: take it off the list"));
    assert_none(&more.chain(stale).collect::<Vec<_>>());
}

#[test]
fn kernel_and_workloads_have_no_assembly_and_no_mutable_statics() {
    let broken = lines_of_code().filter(|line| {
        let is_kernel = line.path.starts_with("guest/kernel/") || line.path.starts_with("guest/workloads/");
        is_kernel
            && ["asm!", "static mut ", "use std::", "extern crate std"]
                .iter()
                .any(|bad| line.text.contains(bad))
    });
    assert_none(&broken.map(|line| line.to_string()).collect::<Vec<_>>());
}

#[test]
fn guest_assembly_is_only_in_the_image() {
    let broken = lines_of_code()
        .filter(|line| line.path.starts_with("guest/") && !line.path.starts_with("guest/image/"))
        .filter(|line| line.text.contains("asm!"));
    assert_none(&broken.map(|line| line.to_string()).collect::<Vec<_>>());
}

#[test]
fn only_the_judge_among_the_monitors_looks_through_the_glass() {
    let looks = |line: &Line| ["Glass", "Sampler", "GuestMemory"].iter().any(|name| line.text.contains(name));
    let monitors = lines_of_code().filter(|line| line.path.starts_with("vmm/watch/src/monitor/"));
    let (judge, others): (Vec<_>, Vec<_>) =
        monitors.filter(looks).partition(|line| line.path.contains("/monitor/judge"));
    assert!(!judge.is_empty(), "the judge looks through the glass");
    assert_none(&others.iter().map(|line| line.to_string()).collect::<Vec<_>>());
}

#[test]
fn nothing_is_unwrapped_without_a_reason() {
    let broken = lines_of_code().filter(|line| line.text.contains(".unwrap()"));
    assert_none(&broken.map(|line| line.to_string()).collect::<Vec<_>>());
}

#[test]
fn no_test_is_ignored() {
    let broken = lines_of_code().filter(|line| line.text.trim().starts_with("#[ignore"));
    assert_none(&broken.map(|line| line.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_thread_is_it_in_comments_and_documents() {
    // This file spells what it looks for.
    let is_looked_at = |path: &PathBuf| has_prose(path) && shown(path) != file!();
    let mut broken = Vec::new();
    let mut looked_at = 0;
    for path in files(&root()).filter(is_looked_at) {
        looked_at += 1;
        let text = read(&path);
        let about_persons =
            text.lines().enumerate().filter(|(_, line)| names_a_person(prose_of(&path, line)));
        broken.extend(about_persons.map(|(n, line)| format!("{}:{}: {}", shown(&path), n + 1, line.trim())));
    }
    assert!(looked_at > 100, "only {looked_at} files have prose");
    assert_none(&broken);
}

#[test]
fn a_thread_that_is_he_is_found_in_prose_only() {
    let found = |path: &str, line: &str| names_a_person(prose_of(Path::new(path), line));
    assert!(found("a.rs", "    t.run(); // He waits."));
    assert!(found("a.rs", "//! \"Quoted\", and his."));
    assert!(found("a.toml", "at = \"#1\" # the end of his turn"));
    assert!(found("a.md", "It is him."));
    assert!(!found("a.rs", "let his = \"// he\"; // the history of this"));
    assert!(!found("a.toml", "title = \"#1532: he waits\""));
}

#[test]
fn every_file_that_the_documents_name_exists() {
    let root = root();
    let mut broken = Vec::new();
    let mut named = 0;
    for path in files(&root).filter(|path| path.extension().is_some_and(|e| e == "md")) {
        let text = read(&path);
        for name in text.split('`').skip(1).step_by(2).filter(|name| is_path(name)) {
            named += 1;
            let name = name.trim_end_matches("**").trim_end_matches('*');
            let folder = path.parent().unwrap_or(&root);
            if !root.join(name).exists() && !folder.join(name).exists() {
                broken.push(format!("{}: there is no {name}", shown(&path)));
            }
        }
    }
    assert!(named > 0, "the documents name no file at all");
    assert_none(&broken);
}

/// True for a file that is written by hand, in a language whose comments [`prose_of`] knows.
fn has_prose(path: &Path) -> bool {
    path.extension().is_some_and(|e| ["rs", "toml", "md", "ld"].iter().any(|known| e == *known))
}

/// The comment of a line of Rust or TOML, the whole line of any other file.
fn prose_of<'a>(path: &Path, line: &'a str) -> &'a str {
    let mark = match path.extension().and_then(|e| e.to_str()) {
        Some("rs") => "//",
        Some("toml") => "#",
        _ => return line,
    };
    let is_outside_a_string = |at: usize| line[..at].matches('"').count().is_multiple_of(2);
    line.match_indices(mark).find(|&(at, _)| is_outside_a_string(at)).map_or("", |(at, _)| &line[at..])
}

fn names_a_person(text: &str) -> bool {
    words(text).any(|word| PERSON.iter().any(|person| word.eq_ignore_ascii_case(person)))
}

/// True for a text that stands for a file of this repository: a relative path with a folder and a known suffix.
fn is_path(text: &str) -> bool {
    let suffix = [".rs", ".toml", ".md", ".sh", ".ld"].iter().any(|suffix| text.ends_with(suffix));
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let first = text.split('/').next().unwrap_or_default();
    text.contains('/')
        && suffix
        && plain
        && ["guest", "vmm", "shared", "src", "tests", "scenarios", "docs"].contains(&first)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// A line of a source file without its comment.
struct Line {
    path: String,
    number: usize,
    text: String,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.number, self.text.trim())
    }
}

/// Every line of code but this file's own, which has to spell what it looks for.
fn lines_of_code() -> impl Iterator<Item = Line> {
    sources().filter(|(path, _)| path != file!()).flat_map(|(path, text)| {
        let line = |(n, line): (usize, &str)| Line {
            path: path.clone(),
            number: n + 1,
            text: line.split("//").next().unwrap_or_default().to_owned(),
        };
        text.lines().enumerate().map(line).collect::<Vec<_>>()
    })
}

/// Every Rust file by its path from the root, with its text.
fn sources() -> impl Iterator<Item = (String, String)> {
    let root = root();
    let rust = files(&root).filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let sources: BTreeMap<String, String> = rust.map(|path| (shown(&path), read(&path))).collect();
    assert!(sources.len() > 50, "only {} source files found", sources.len());
    sources.into_iter()
}

/// Every file of the repository, without what is built or hidden.
fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || name == "target" {
                continue;
            }
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.into_iter()
}

fn packages() -> Vec<Value> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root()).args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = command.output().expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    assert_eq!(
        names,
        LINKS.iter().map(|(name, _)| *name).collect(),
        "packages and the table of what they link"
    );
    packages
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn assert_none(broken: &[String]) {
    assert!(broken.is_empty(), "{} found:\n{}", broken.len(), broken.join("\n"));
}
