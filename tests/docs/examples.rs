//! Every example of the documents is used as it stands there.
//!
//! # Invariants
//! - A block ```` ```toml ```` is a whole scenario, and holds up in the simulator; a part of one is fenced as `toml fragment`,
//!   and is understood with [`AROUND`] about it.
//! - A line `$ ...` of a ```` ```console ```` block is understood by the program; one with `--sim` is run for real, and the
//!   verdicts printed below it must come out again; of `umpire why` all that is printed there.
//! - Nothing here needs KVM.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use umpire_cli::{Backends, Exit, main_with};
use umpire_record::{Ending, Header, Thread, Writer};
use umpire_referee::{Look, RunError, RunOptions, VariantReport};
use umpire_scenario::{Scenario, Variant};

use crate::markdown::{Block, blocks, documents, read};

/// Commands of the documents that are not the program's.
const NOT_OURS: [&str; 2] = ["cargo test --workspace", "UMPIRE_BLESS=1 cargo test --test docs"];

/// One command of a document, and the lines that it is said to print.
struct Example {
    at: String,
    command: String,
    shown: Vec<String>,
}

/// The scenarios of a document, written to a folder of their own, each as `<id>.toml`.
fn unpack(document: &Path) -> (TempDir, Vec<Block>) {
    let folder = TempDir::new().expect("a folder for the examples");
    let all = blocks(&read(document));
    for block in all.iter().filter(|block| block.info == "toml") {
        let scenario = Scenario::parse(&block.text, "example.toml")
            .unwrap_or_else(|e| panic!("{}: {e}", document.display()));
        let path = folder.path().join(format!("{}.toml", scenario.id));
        std::fs::write(path, &block.text).expect("the example can be written");
    }
    (folder, all)
}

fn examples(document: &Path, blocks: &[Block]) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    for block in blocks.iter().filter(|block| block.info == "console") {
        for line in block.text.lines() {
            match (line.strip_prefix("$ "), found.last_mut()) {
                (Some(command), _) => found.push(Example {
                    at: format!("{}: `{command}`", document.display()),
                    command: command.to_owned(),
                    shown: Vec::new(),
                }),
                (None, Some(example)) => example.shown.push(line.to_owned()),
                (None, None) => panic!("{}: output without a command: {line}", document.display()),
            }
        }
    }
    found
}

/// The program's arguments in a command of a document; `None` for a command that is not the program's.
fn arguments(example: &Example) -> Option<Vec<String>> {
    let command = &example.command;
    if NOT_OURS.contains(&command.as_str()) {
        return None;
    }
    let ours = command.strip_prefix("umpire").or_else(|| command.strip_prefix("cargo run --release --"));
    let ours = ours.unwrap_or_else(|| panic!("{}: not a command of ours", example.at));
    let is_plain = !ours.contains(['\'', '"', '|', '>', ';', '\\']);
    assert!(is_plain, "{}: a command in a document is plain words", example.at);
    Some(ours.split_whitespace().map(str::to_owned).collect())
}

#[test]
fn every_command_is_understood() {
    for document in documents() {
        let (folder, blocks) = unpack(&document);
        for example in examples(&document, &blocks) {
            let Some(mut arguments) = arguments(&example) else { continue };
            let is_file = |word: &str| FILES.iter().any(|ending| word.ends_with(ending));
            for word in arguments.iter_mut().filter(|word| is_file(word)) {
                *word = folder.path().join(&*word).to_string_lossy().into_owned();
            }
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let inspect =
                Box::new(|s: &Scenario, v: &Variant, o: &RunOptions, _, _: &mut Look<'_>| nothing(s, v, o));
            let backends = Backends {
                kvm: Box::new(nothing),
                sim: Box::new(nothing),
                inspect,
                bench: Box::new(|_, _| Ok(())),
            };
            let words = ["umpire".to_owned()].into_iter().chain(arguments);
            let exit = main_with(words, backends, &mut out, &mut err);
            // `umpire doctor` says with the same code that this host has no KVM.
            let is_fine = exit != Exit::Usage || example.command == "umpire doctor";
            assert!(is_fine, "{}: {}", example.at, String::from_utf8_lossy(&err));
        }
    }
}

/// How the names of files end that a command reads or writes.
const FILES: [&str; 7] = [".toml", ".rec", ".svg", ".html", ".pftrace", "pages", "cores"];

/// A run that shows nothing. A recording of it has a header, the scenario's threads and an ending.
fn nothing(s: &Scenario, v: &Variant, o: &RunOptions) -> Result<VariantReport, RunError> {
    if let Some(path) = &o.record {
        let file = File::create(path).expect("a file for the test");
        let header = Header { scenario: s.id.clone(), cpus: s.cpus, ..Header::default() };
        let name = |padded: &[u8]| String::from_utf8_lossy(padded).trim_end_matches('\0').to_owned();
        let thread = |(id, t): (u64, &umpire_shared::program::Thread)| Thread {
            id,
            name: name(&t.name),
            ..Thread::default()
        };
        let threads: Vec<Thread> = (0..).zip(&v.threads).map(thread).collect();
        let mut writer = Writer::begin(file, &header).expect("the file takes it");
        writer.roster(&threads).expect("the file takes it");
        writer.finish(&Ending::default()).expect("the file takes it");
    }
    Ok(VariantReport::nothing(s, v, o))
}

/// What a fragment leaves out.
const AROUND: (&str, &str) = (
    "id = \"fragment\"\ntitle = \"A fragment\"\nsource = \"a document\"\nrun = \"2s\"\n",
    "\n[[bound]]\nmonitor = \"deadman\"\nlimit = \"1s\"\n",
);

#[test]
fn every_fragment_is_understood() {
    let mut understood = 0;
    for document in documents() {
        for block in blocks(&read(&document)).iter().filter(|block| block.info == "toml fragment") {
            let text = format!("{}{}{}", AROUND.0, block.text, AROUND.1);
            Scenario::parse(&text, "fragment.toml").unwrap_or_else(|e| panic!("{}: {e}", document.display()));
            understood += 1;
        }
    }
    assert!(understood > 3, "only {understood} fragments");
}

#[test]
fn every_simulated_command_shows_the_verdicts_that_the_document_shows() {
    let mut compared = 0;
    for document in documents() {
        let (folder, blocks) = unpack(&document);
        for example in examples(&document, &blocks) {
            let Some(arguments) = arguments(&example).filter(|words| words.iter().any(|w| w == "--sim"))
            else {
                continue;
            };
            let said = umpire(&arguments, folder.path());
            // What an example shows is something; a picture goes to its file.
            assert!(!said.is_empty() || arguments[0] == "timeline", "{}: it shows nothing", example.at);
            // Who is to blame is shown as it is told, to the letter.
            if arguments[0] == "why" && !example.shown.is_empty() {
                assert_eq!(said.trim_end(), example.shown.join("\n"), "{}", example.at);
            }
            let expected = verdicts(&example.shown);
            let found = verdicts(&said.lines().map(str::to_owned).collect::<Vec<_>>());
            for (who, verdict) in &expected {
                assert_eq!(found.get(who), Some(verdict), "{}: {who:?}\n{said}", example.at);
                compared += 1;
            }
        }
    }
    assert!(compared > 0, "no document shows a simulated verdict");
}

/// What the program prints on stdout, run in `folder`. In a run that is cut short a bound may have nothing to judge.
fn umpire(arguments: &[String], folder: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_umpire")).args(arguments).current_dir(folder).output();
    let output = output.expect("the program runs");
    let code = output.status.code();
    assert!(
        matches!(code, Some(0 | 1 | 4)),
        "{arguments:?}: {code:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("the program prints text")
}

/// The rows of a table of verdicts: scenario and variant, then expected, observed and outcome.
fn verdicts(lines: &[String]) -> HashMap<(String, String), Vec<String>> {
    let Some(head) = lines.iter().find(|line| line.starts_with("SCENARIO ")) else { return HashMap::new() };
    let starts = ["SCENARIO", "VARIANT", "EXPECT", "OBSERVED", "OUTCOME", "WORST"];
    let starts = starts.map(|title| head.find(title).expect("a table of verdicts has its columns"));
    let after_head = lines.iter().skip_while(|line| !line.starts_with("SCENARIO ")).skip(1);
    let table = after_head.take_while(|line| line.len() > starts[5] && !line.starts_with(' '));
    let cell = |line: &str, n: usize| line.get(starts[n]..starts[n + 1]).unwrap_or("").trim().to_owned();
    table
        .map(|line| ((cell(line, 0), cell(line, 1)), (2..5).map(|n| cell(line, n)).collect()))
        .filter(|(_, verdict): &(_, Vec<String>)| {
            verdict[0] == "held" || verdict[0] == "violated" || verdict[0] == "panic"
        })
        .collect()
}

#[test]
fn every_scenario_holds_up_in_the_simulator() {
    let mut run = 0;
    for document in documents() {
        let (folder, blocks) = unpack(&document);
        for block in blocks.iter().filter(|block| block.info == "toml") {
            let scenario = Scenario::parse(&block.text, "example.toml").unwrap_or_else(|e| panic!("{e}"));
            let file = format!("{}.toml", scenario.id);
            let words = ["run", &file, "--sim", "--json"].map(str::to_owned);
            let said = umpire(&words, folder.path());
            let passed = said.lines().filter(|line| line.contains("\"outcome\":\"pass\"")).count();
            assert_eq!(passed, scenario.variants.len(), "{}: {file}\n{said}", document.display());
            run += 1;
        }
    }
    assert!(run > 1, "the documents have scenarios in them");
}
