//! Tests of the test of the floors: a small crate of two floors, broken in every way that the rule knows.
//!
//! # Invariants
//! - Each snippet breaks the rule once, and the rule names the line.

use std::collections::BTreeMap;

use super::names::Tree;
use super::{Plan, arrows};

const FLOORS: &[(&str, &[&str])] = &[("low", &["low", "root"]), ("high", &["high", ""])];

/// What the rule says of a crate whose module `low` has this text.
fn broken(low: &str) -> Vec<String> {
    let files = [
        ("lib.rs", "pub mod low; pub mod high; pub mod root; pub use high::Shared;"),
        ("low/mod.rs", low),
        ("low/deep.rs", "use super::super::high::act;"),
        (
            "high.rs",
            "pub struct Shared; pub struct State { pub h_word: u32 } pub fn act() {} pub const N: u32 = 1; pub mod part { pub fn inner() {} }",
        ),
        ("root.rs", "use crate::high::State; pub struct Root { pub r_state: State, pub r_plain: u32 }"),
    ];
    let files: BTreeMap<String, String> = files.map(|(name, text)| (name.into(), text.into())).into();
    let plan = Plan { floors: FLOORS, roots: &["root"], allowed: &[] };
    let tree = Tree::parse(&files);
    plan.broken(&tree, &arrows::find(&tree, plan.roots))
}

fn assert_caught(low: &str, line: usize) {
    let broken = broken(low);
    assert!(broken.len() == 1 && broken[0].contains(&format!("mod.rs:{line}:")), "{low:?}: {broken:#?}");
}

#[test]
fn what_leads_down_is_fine() {
    assert_eq!(broken("pub fn f(x: u32) -> u32 { x }"), [""; 0]);
}

#[test]
fn a_use_on_several_lines_is_caught() {
    assert_caught("use crate::{\n    root::Root,\n    high::{\n        act,\n    },\n};", 4);
}

#[test]
fn what_is_re_exported_is_followed_to_its_home() {
    assert_caught("use crate::Shared;", 1);
}

#[test]
fn a_glob_is_caught() {
    assert_caught("use crate::high::*;", 1);
}

#[test]
fn a_path_through_an_imported_module_is_caught() {
    assert_caught("use crate::high as above;\nfn f() {\n    above::part::inner();\n}", 3);
}

#[test]
fn a_path_in_an_expression_a_type_or_a_pattern_is_caught() {
    assert_caught("fn f() {\n    crate::high::act();\n}", 2);
    assert_caught("fn f(\n    _: &crate::high::State,\n) {}", 2);
    assert_caught(
        "fn f(n: u32) -> bool {\n    matches!(n, 0) || match n {\n        crate::high::N => true, _ => false }\n}",
        3,
    );
}

#[test]
fn a_path_among_a_macros_tokens_is_caught() {
    assert_caught("fn f() {\n    format_args!(\"{}\",\n        crate::high::N);\n}", 3);
    assert_caught("macro_rules! m {\n    () => { $crate::high::act() };\n}", 2);
}

#[test]
fn a_use_in_a_function_is_caught() {
    assert_caught("fn f() {\n    use crate::high::act;\n    act();\n}", 2);
}

#[test]
fn a_field_of_a_root_that_holds_anothers_state_is_caught() {
    assert_caught(
        "fn f(root: &crate::root::Root) -> u32 {\n    root.r_plain +\n    root.r_state.h_word\n}",
        3,
    );
}

#[test]
fn super_super_is_followed() {
    assert_eq!(
        broken("mod deep;"),
        ["low/deep.rs:1: low::deep (low) uses super::super::high::act of high (high)"]
    );
}

#[test]
fn a_root_may_hold_what_is_above_and_call_none_of_it() {
    let files = |root: &str| {
        let files = [
            ("lib.rs", "pub mod low; pub mod high; pub mod root;"),
            ("low.rs", ""),
            ("high.rs", "pub struct State; impl State { pub fn new() -> State { State } pub fn act() {} }"),
            ("root.rs", root),
        ];
        let files: BTreeMap<String, String> = files.map(|(name, text)| (name.into(), text.into())).into();
        let tree = Tree::parse(&files);
        let plan = Plan { floors: FLOORS, roots: &["root"], allowed: &[] };
        plan.broken(&tree, &arrows::find(&tree, plan.roots))
    };
    let holds = "pub struct Root(crate::high::State); fn new() -> Root { Root(crate::high::State::new()) }";
    assert_eq!(files(holds), [""; 0]);
    assert_eq!(files("fn f() { crate::high::State::act(); }").len(), 1);
}

#[test]
fn methods_from_above_for_a_structure_below_are_caught() {
    let files = [
        ("lib.rs", "pub mod low; pub mod high; pub mod root;"),
        ("low.rs", "pub struct Low;"),
        ("high.rs", "use crate::low::Low;\nimpl Low { pub fn act(&self) {} }"),
        ("root.rs", ""),
    ];
    let files: BTreeMap<String, String> = files.map(|(name, text)| (name.into(), text.into())).into();
    let tree = Tree::parse(&files);
    let plan = Plan { floors: FLOORS, roots: &["root"], allowed: &[] };
    let broken = plan.broken(&tree, &arrows::find(&tree, plan.roots));
    assert!(broken.len() == 1 && broken[0].starts_with("high.rs:2:"), "{broken:#?}");
}
