//! The tutorial of timelines: its pictures are drawn again, and what it says that commands print is looked for in what they print.
//!
//! # Invariants
//! - A picture is what the program draws now; `UMPIRE_BLESS=1 cargo test --test docs` writes it anew.

use std::fs;
use std::process::Command;

use crate::markdown::{blocks, read, write};

/// Pictures of the tutorial, the variant of i1532 that each shows, and from when to when.
const PICTURES: [(&str, &str, &str); 2] = [
    ("timeline-i1532.svg", "kpreemptpri=100", "70ms"),
    ("timeline-i1532-fixed.svg", "kpreemptpri=99", "5ms"),
];

fn umpire(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_umpire")).args(arguments).output().expect("the program runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the program prints text")
}

#[test]
fn pictures_are_what_the_program_draws() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let tutorial = read("docs/tutorial-timeline.md");
    for (name, variant, to) in PICTURES {
        assert!(tutorial.contains(&format!("]({name})")), "the tutorial shows {name}");
        let path = folder.path().join(name).to_string_lossy().into_owned();
        umpire(&["timeline", "i1532", "--sim", "--variant", variant, "--to", to, "-o", &path]);
        let drawn = fs::read_to_string(&path).expect("a picture");
        if std::env::var_os("UMPIRE_BLESS").is_some() {
            write(format!("docs/{name}"), &drawn);
        }
        assert_eq!(
            read(format!("docs/{name}")),
            drawn,
            "docs/{name}: UMPIRE_BLESS=1 cargo test --test docs draws it"
        );
    }
}

#[test]
fn lines_of_blame_and_comparison_are_printed() {
    let mut compared = 0;
    for block in blocks(&read("docs/tutorial-timeline.md")).iter().filter(|block| block.info == "console") {
        let (command, shown) = block.text.split_once('\n').expect("a command");
        let words: Vec<&str> = command.trim_start_matches("$ umpire ").split_whitespace().collect();
        if !matches!(words.first(), Some(&("why" | "compare"))) {
            continue;
        }
        let said = umpire(&words);
        for line in shown.lines() {
            assert!(said.contains(line), "{command}: no `{line}` in\n{said}");
            compared += 1;
        }
    }
    assert!(compared > 8, "only {compared} lines were compared");
}
