//! Links between documents, functions of the map and tests behind invariants exist.
//!
//! # Invariants
//! - Paths in backquotes are not looked at here: `tests/architecture.rs` does that.

use std::path::Path;

use crate::markdown::{cells, documents, read, root};

#[test]
fn every_link_leads_somewhere() {
    for document in documents() {
        let text = read(&document);
        let folder = document.parent().unwrap_or(Path::new(""));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { document.clone() } else { folder.join(file) };
            assert!(
                root().join(&path).exists(),
                "{}: the link to {target} leads nowhere",
                document.display()
            );
            let has_anchor = anchor.is_empty() || anchors(&read(&path)).contains(&anchor.to_owned());
            assert!(has_anchor, "{}: {file} has no heading #{anchor}", document.display());
        }
    }
}

/// The anchors of a document's headings, as repository viewers make them.
fn anchors(text: &str) -> Vec<String> {
    let keep = |c: char| c.is_alphanumeric() || c == '-' || c == ' ' || c == '_';
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|title| title.chars().filter(|&c| keep(c)).collect::<String>().replace(' ', "-"))
        .collect()
}

#[test]
fn every_function_of_the_map_is_in_its_file() {
    let text = read("docs/facts-to-files.md");
    let mut checked = 0;
    for row in text.lines().filter(|line| line.starts_with("| ")).map(cells) {
        let [_, names, file] = &row[..] else { continue };
        let Some(file) = file.strip_prefix('`').and_then(|file| file.strip_suffix('`')) else { continue };
        // The second table leads out of the kernel, to whole files.
        if ["vmm/", "scenarios/", "guest/"].iter().any(|folder| file.starts_with(folder)) {
            continue;
        }
        let folder = if file.starts_with("shared/") { "" } else { "guest/kernel/src" };
        let source = read(Path::new(folder).join(file));
        for name in names.split('`').skip(1).step_by(2) {
            let has = |c: char| c.is_alphanumeric() || c == '_';
            let is_there = source.split(|c| !has(c)).any(|word| word == name);
            assert!(is_there, "docs/facts-to-files.md: {file} does not mention `{name}`");
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} names were checked");
}

#[test]
fn every_test_that_the_invariants_name_exists() {
    let tests = read("tests/architecture.rs") + &read("tests/floors/mod.rs");
    let text = read("ARCHITECTURE.md");
    let names: Vec<&str> =
        text.split('`').skip(1).step_by(2).filter_map(|word| word.strip_prefix("architecture::")).collect();
    for name in &names {
        let function = name.rsplit("::").next().unwrap_or_default();
        assert!(tests.contains(&format!("fn {function}(")), "ARCHITECTURE.md: there is no test {name}");
    }
    assert!(names.len() > 4, "the invariants name their tests");
}
