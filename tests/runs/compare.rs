//! Two runs side by side, as a user compares them.
//!
//! # Invariants
//! - Everything here runs in the simulator, where a seed gives the same run.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::binary::umpire;
use crate::cli::parse;
use crate::trials;

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trials::anywhere("compare::fix_is_surely_shorter_and_the_first_dispatch_that_differs_is_named", fix),
        trials::anywhere("compare::run_is_like_itself", itself),
        trials::anywhere("compare::what_cannot_be_compared_is_said", misuse),
    ]
}

fn compare(arguments: &[&str]) -> Vec<Value> {
    let said = umpire(&[&["compare"], arguments, &["--json"]].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    said.out.lines().map(parse).collect()
}

fn fix() {
    let sides = ["i1532:check_runrun", "i1532:kpreemptpri=99", "--sim"];
    let rows = compare(&sides);
    let (apart, rows) = rows.split_first().expect("where they go apart");
    assert_eq!(
        (&apart["schema"], &apart["differs"], &apart["by_time"]),
        (&"umpire.divergence/1".into(), &true.into(), &true.into())
    );
    assert!(apart["alike"].is_u64() && apart["a_thread"].is_string(), "{apart}");
    let worker = rows.iter().find(|row| row["delay"] == "run" && row["of"] == "squeue_worker");
    let worker = worker.expect("it waited");
    assert!(worker["p"].as_f64() < Some(0.001), "it is surely another: {worker}");
    assert!(worker["difference_ns"].as_i64() < Some(-1_000), "{worker}");
    assert!(worker["b_longer"].as_f64() < Some(0.2), "{worker}");
    let loops = rows.iter().find(|row| row["delay"] == "run" && row["of"] == "qemu-system-x86_");
    assert!(
        loops.is_some_and(|row| row["p"].as_f64() > Some(0.05)),
        "what runs in between waits as before: {loops:?}"
    );

    let said = umpire(&[&["compare"][..], &sides].concat());
    assert!(said.out.starts_with("first divergent dispatch, after "), "{}", said.out);
    assert!(
        said.out.contains("\n  A: ") && said.out.contains(" runs ") && said.out.contains("B shorter, 99."),
        "{}",
        said.out
    );
}

fn itself() {
    let rows = compare(&["i1532", "i1532", "--sim", "--variant", "kpreemptpri=99"]);
    assert_eq!(rows[0]["differs"], false, "{}", rows[0]);
    assert!(rows[1..].iter().all(|row| row["difference_ns"] == 0), "{rows:?}");
    assert!(rows[1..].iter().all(|row| row["p"].is_null() || row["p"].as_f64() > Some(0.9)), "{rows:?}");
}

fn misuse() {
    for (arguments, what) in [
        (&["compare", "i1532", "no/such/file", "--sim"][..], "cannot read no/such/file: it cannot be opened"),
        (&["compare", "i1532:no such variant", "i1532", "--sim"], "no such variant"),
        (&["compare", "i1532"], "required"),
    ] {
        let said = umpire(arguments);
        assert!(said.code == Some(2) && said.err.contains(what), "{arguments:?}: {said:?}");
    }
}
