//! Tests of the rewriter on a small input, and of the files of faults on the kernel as it is. Nothing is built.
//!
//! # Invariants
//! - What a test expects of an operator is its whole list of faults: one more is as wrong as one less.

use std::collections::BTreeSet;
use std::path::Path;

use crate::draw::draw;
use crate::fault::{Fault, faults_of};
use crate::find::find;
use crate::named;
use crate::rules;
use crate::splice::splice;
use crate::tree::Tree;

const SMALL: &str = "\
const NONE: i32 = -1;

/// Gives the CPU up.
fn yields(t: &Kthread, n: u32) -> bool {
    if platform::kernel().is_mutant(mutant::ONE) {
        return true;
    }
    probe::fire(Kind::Yield, t, 0);
    if n == 1 && t.is_front() {
        setfrontdq(t);
        return false;
    }
    match n {
        7 => t.t_pri.set(NONE),
        _ if !t.is_idle() => {}
        _ => {}
    }
    true
}

#[cfg(test)]
mod tests {
    fn yields() -> bool {
        true
    }
}
";

fn small() -> Vec<Fault> {
    let found = find("small.rs", SMALL).expect("it is Rust");
    let mut faults = faults_of("small.rs", SMALL, &found.sites);
    (1..).zip(&mut faults).for_each(|(id, fault)| fault.id = id);
    faults
}

#[test]
fn operators_change_what_runs_and_nothing_that_is_a_mutant_s_or_a_probe_s() {
    let keys: Vec<String> = small().into_iter().map(|fault| fault.key).collect();
    let expected = [
        "body: `` -> `return true;`",
        "body: `` -> `return false;`",
        "condition: `n == 1 && t.is_front()` -> `true`",
        "condition: `n == 1 && t.is_front()` -> `false`",
        "binary: `n == 1 && t.is_front()` -> `n == 1 || t.is_front()`",
        "binary: `n == 1` -> `n != 1`",
        "constant: `1` -> `0`",
        "deleted: `setfrontdq(t);` -> ``",
        "swapped: `setfrontdq(t)` -> `setbackdq(t)`",
        "no exit: `return false;` -> ``",
        "constant: `false` -> `true`",
        "guard: `` -> `if false`",
        "guard: `!t.is_idle()` -> `true`",
        "guard: `!t.is_idle()` -> `false`",
        "negation: `!t.is_idle()` -> `t.is_idle()`",
        "constant: `true` -> `false`",
    ];
    assert_eq!(keys, expected.map(|key| format!("small.rs yields: {key}")));
}

#[test]
fn file_with_faults_is_rust_and_its_last_branches_are_what_was_there() {
    let faults = small();
    let spliced = splice(SMALL, &faults.iter().collect::<Vec<_>>());
    assert!(syn::parse_file(&spliced.text).is_ok(), "{}", spliced.text);
    assert_eq!(spliced.text.lines().count(), SMALL.lines().count(), "lines stay where they are");
    assert_eq!(spliced.faulty.len(), faults.len());

    let call = "if crate::fault::chosen(8) {  } else { (if crate::fault::chosen(9) { setbackdq(t) } else { setfrontdq(t) }); }";
    assert!(spliced.text.contains(call), "{}", spliced.text);
    assert!(spliced.text.contains("{ if crate::fault::chosen(1) { return true; } if "), "{}", spliced.text);
    assert!(spliced.text.contains("7 if !crate::fault::chosen(12) => "), "{}", spliced.text);
}

#[test]
fn key_does_not_know_lines_and_numbers_what_is_twice_in_a_function() {
    let moved = format!("\n\n{}", SMALL.replace("return false;", "setfrontdq(t);\n        return false;"));
    let found = find("small.rs", &moved).expect("it is Rust");
    let keys: BTreeSet<String> =
        faults_of("small.rs", &moved, &found.sites).into_iter().map(|f| f.key).collect();
    assert!(small().iter().all(|fault| keys.contains(&fault.key)));
    assert!(keys.contains("small.rs yields: deleted: `setfrontdq(t);` -> `` #2"), "{keys:?}");
}

#[test]
fn diff_shows_the_lines_as_they_are_and_as_they_would_be() {
    let swapped = small().into_iter().find(|fault| fault.key.contains("setbackdq")).expect("it is there");
    assert_eq!(swapped.diff(SMALL), "    -         setfrontdq(t);\n    +         setbackdq(t);\n");
}

#[test]
fn sample_takes_of_each_area_its_share_and_does_not_mind_a_fault_elsewhere() {
    let fault = |file: &str, n: u32| Fault {
        file: file.to_owned(),
        id: n,
        key: format!("{file} {n}"),
        ..small().into_iter().next().expect("there are some")
    };
    let mut all: Vec<Fault> =
        (0..300).map(|n| fault(["disp/a.rs", "disp/b.rs", "time/c.rs"][n % 3], n as u32)).collect();
    all.push(fault("lgrp/d.rs", 300));
    let keys = |all: &[Fault], area: &str| -> Vec<String> {
        let sample = draw(all, 1, 30);
        sample.into_iter().filter(|f| f.area() == area).map(|f| f.key.clone()).collect()
    };
    assert_eq!([keys(&all, "disp").len(), keys(&all, "time").len(), keys(&all, "lgrp").len()], [19, 10, 1]);

    let before = keys(&all, "time");
    all.retain(|fault| fault.id % 30 != 0);
    assert_eq!(keys(&all, "time"), before, "faults of disp went");
    assert_ne!(draw(&all, 2, 30), draw(&all, 1, 30), "the seed draws");
}

#[test]
fn faults_with_names_and_faults_that_are_none_are_in_the_kernel() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders above");
    let tree = Tree::read(root).expect("the kernel can be read");
    let faults = tree.faults().expect("each named fault is found once");
    assert!(faults.len() > 2000, "only {} faults", faults.len());
    let keys: BTreeSet<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys.len(), faults.len(), "keys are different");

    let equivalent = named::equivalent().expect("equivalent.toml is as it should be");
    let lost: Vec<&String> = equivalent.keys().filter(|key| !keys.contains(key.as_str())).collect();
    assert!(lost.is_empty(), "equivalent.toml names no fault: {lost:#?}");
}

#[test]
fn functions_that_keep_a_scenario_s_rule_are_in_the_kernel() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders above");
    let faults = Tree::read(root).and_then(|tree| tree.faults()).expect("the kernel has faults");
    let rules = rules::rules().expect("scenarios.toml is as it should be");
    let lost = rules.values().filter_map(|names| rules::faults_in(&faults, names).err());
    assert_eq!(lost.collect::<Vec<_>>(), [""; 0]);
    // A scenario whose kernel has a rule switched off is in another folder.
    let folder = std::fs::read_dir(root.join("scenarios")).expect("there are scenarios");
    let paths = folder.map(|entry| entry.expect("a scenario can be looked at").path());
    let ids = paths.filter(|path| path.extension().is_some_and(|ext| ext == "toml"));
    let ids = ids.filter_map(|path| path.file_stem().map(|id| id.to_string_lossy().into_owned()));
    let without: Vec<String> = ids.filter(|id| !rules.contains_key(id)).collect();
    assert!(without.is_empty(), "scenarios.toml says of these not what keeps their rules: {without:?}");
    let of_nobody = rules.keys().filter(|id| !root.join(format!("scenarios/{id}.toml")).exists());
    assert_eq!(of_nobody.collect::<Vec<_>>(), [""; 0]);
}
