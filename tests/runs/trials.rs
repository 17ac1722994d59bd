//! Tests that may need KVM: skipped by name and with the reason where there is none, and given their CPUs where there is.
//!
//! # Invariants
//! - A test holds its share of the host's CPUs for as long as it runs.
//! - A run that does not pass beside others is reported and repeated alone. The repetition counts: the company is the tests' own doing,
//!   and a guest is not blamed for it. One that fails alone fails. One of which the referee says alone that the host was too busy to
//!   say is asked again, [`ALONE`] times in all: a host has neighbours, and a guest that can never be judged still fails.
//! - Only a host without KVM skips. A KVM that is there and does not work fails.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::LazyLock;

use libtest_mimic::{Arguments, Completion, Trial};
use umpire_machine::host::{Host, HostError};

use crate::binary::Said;
use crate::budget::{Budget, CPU, HOST};
use crate::choice::WHY_NOT;

/// What the test program was asked for.
static ASKED: LazyLock<Arguments> = LazyLock::new(Arguments::from_args);

/// The exit code of a run that passes, and of one that is inconclusive.
const PASS: i32 = 0;
const INCONCLUSIVE: i32 = 4;
/// How often a run is made alone at most.
const ALONE: usize = 3;

/// A run of one scenario on KVM that may have company.
pub struct Run {
    /// `<scenario>::<variant>`.
    pub name: String,
    /// Whether it was chosen to be run.
    pub is_chosen: bool,
}

/// A test that any host can run, and that keeps a CPU busy. It fails by panicking.
pub fn anywhere(name: impl Into<String>, check: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let _share = HOST.take(CPU);
        check();
        Ok(())
    })
}

/// A test that needs KVM, `kvm::<name>`, and the host for itself. It fails by panicking.
pub fn kvm(name: &str, check: impl FnOnce() + Send + 'static) -> Trial {
    ignorable(name, None, move || {
        let _alone = HOST.take_all();
        check();
    })
}

/// A test that any host can run on which a program is installed: skipped by name, with the reason, where it is not.
pub fn with(program: &str, name: &str, check: impl FnOnce() + Send + 'static) -> Trial {
    let why = is_missing(program);
    skippable(name, why.is_some(), why, move || {
        let _share = HOST.take(CPU);
        check();
    })
}

/// Says so, if a program is not installed.
fn is_missing(program: &str) -> Option<String> {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    (!is_there).then(|| format!("there is no {program} on this host"))
}

/// A test that needs KVM, the host for itself, and a program beside: skipped by name, with the reason, where that is not installed.
pub fn kvm_with(program: &str, name: &str, check: impl FnOnce() + Send + 'static) -> Trial {
    ignorable(name, is_missing(program), move || {
        let _alone = HOST.take_all();
        check();
    })
}

/// A run that needs KVM and as much of the host's CPUs as `busy` says, in thousandths of one; `check` panics if what the run said is
/// wrong.
pub fn kvm_beside_others(
    run: Run,
    busy: impl FnOnce() -> u64 + Send + 'static,
    start: impl Fn() -> Said + Send + 'static,
    check: impl FnOnce(&Said) + Send + 'static,
) -> Trial {
    let why_not = (!run.is_chosen).then(|| WHY_NOT.to_owned());
    let name = run.name;
    ignorable(&name.clone(), why_not, move || {
        let (said, first) = undisturbed(&HOST, busy(), start);
        if let Some(first) = first {
            eprintln!(
                "kvm::{name}: ended with {:?} beside others, so it was repeated alone: {}",
                first.code,
                first.out.trim()
            );
        }
        check(&said);
    })
}

/// Makes a run with its share of the budget, and repeats it alone if it does not pass in company, or can say nothing. Returns what the
/// last one says, and what the first one said if it had to be repeated.
fn undisturbed(budget: &Budget, busy: u64, start: impl Fn() -> Said) -> (Said, Option<Said>) {
    let share = budget.take(busy);
    let first = start();
    let was_alone = share.was_alone();
    if first.code == Some(PASS) || was_alone && first.code != Some(INCONCLUSIVE) {
        return (first, None);
    }
    drop(share);
    let _alone = budget.take_all();
    let mut said = start();
    for _ in usize::from(was_alone) + 1..ALONE {
        if said.code == Some(INCONCLUSIVE) {
            said = start();
        }
    }
    (said, Some(first))
}

/// The tests of what is here.
pub fn trials() -> Vec<Trial> {
    vec![
        anywhere(
            "trials::what_does_not_pass_beside_others_is_repeated_alone_and_once",
            repeats_alone_and_once,
        ),
        anywhere("trials::nextest_is_told_beforehand_what_is_ignored", nextest_is_told),
    ]
}

/// nextest lists all tests and then the ignored ones, and would call a test that skips itself passed.
fn nextest_is_told() {
    let list = |more: &[&str]| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--list", "--format", "terse"]).args(more);
        let said =
            command.env("NEXTEST", "1").env_remove("UMPIRE_TESTS").output().expect("it lists its tests");
        let text = String::from_utf8(said.stdout).expect("names in ASCII");
        text.lines().filter(|line| line.starts_with("kvm::")).map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let (all, ignored) = (list(&[]), list(&["--ignored"]));
    let told = |name: &str| ignored.contains(&format!("kvm::{name}: test"));
    assert!(ignored.is_subset(&all) && !all.is_empty());
    assert!(told("i1532::force_kprunrun"), "it is the second green variant: {ignored:?}");
    assert_eq!(
        told("i1532::kpreemptpri_100"),
        why_no_kvm().is_some(),
        "the first red one needs KVM and no more"
    );
}

fn repeats_alone_and_once() {
    let budget = Budget::of(2);
    let runs = Cell::new(0);
    let ends_with = |code| {
        runs.set(runs.get() + 1);
        Said { code: Some(code), out: String::new(), err: String::new() }
    };
    for (code, in_company, alone) in [(1, 2, 1), (INCONCLUSIVE, 1 + ALONE, ALONE)] {
        // The repetition, which has no company, does not pass either: it counts, unless it can say nothing.
        let mut company = Some(budget.take(CPU));
        let start = RefCell::new(|| {
            company.take();
            ends_with(code)
        });
        let (said, first) = undisturbed(&budget, CPU, || start.borrow_mut()());
        let first = first.and_then(|said| said.code);
        assert_eq!(
            (said.code, first, runs.replace(0)),
            (Some(code), Some(code), in_company),
            "beside others, then alone"
        );
        undisturbed(&budget, CPU, || ends_with(code));
        assert_eq!(runs.replace(0), alone, "it was alone");
    }
    let passes_at_last = || ends_with(if runs.get() < 2 { INCONCLUSIVE } else { PASS });
    assert_eq!(undisturbed(&budget, CPU, passes_at_last).0.code, Some(PASS));
    assert_eq!(runs.replace(0), 3, "no more often than it takes");
    let _company = budget.take(CPU);
    let (said, first) = undisturbed(&budget, CPU, || ends_with(PASS));
    assert_eq!((said.code, first.is_none(), runs.get()), (Some(PASS), true, 1), "what passes counts at once");
}

/// A test `kvm::<name>` that is ignored if there is no KVM, or for the reason `why_not`, unless the caller of the test program asks
/// for ignored tests.
fn ignorable(name: &str, why_not: Option<String>, check: impl FnOnce() + Send + 'static) -> Trial {
    let no_kvm = why_no_kvm();
    let is_ignored = no_kvm.is_some() || why_not.is_some();
    let is_asked_for = ASKED.ignored || ASKED.include_ignored;
    let why = no_kvm.or(why_not.filter(|_| !is_asked_for));
    skippable(&format!("kvm::{name}"), is_ignored, why, check)
}

/// A test that skips itself for the reason `why`.
fn skippable(
    name: &str,
    is_ignored: bool,
    why: Option<String>,
    check: impl FnOnce() + Send + 'static,
) -> Trial {
    // nextest runs each test in a process and calls a test that skips itself passed, so it has to be told beforehand. `--ignored`
    // picks the tests that are marked, so they are marked for it too. Otherwise a test skips itself when its turn comes, because
    // only then can the reason be printed.
    let is_told = is_ignored && (std::env::var_os("NEXTEST").is_some() || ASKED.ignored);
    let trial = Trial::ignorable_test(name, move || {
        if let Some(why) = why {
            return Ok(Completion::ignored_with(why));
        }
        check();
        Ok(Completion::Completed)
    });
    trial.with_ignored_flag(is_told)
}

/// Why there is no KVM, if there is none. Looks once.
fn why_no_kvm() -> Option<String> {
    static WHY: LazyLock<Option<String>> = LazyLock::new(|| match Host::probe() {
        Err(e @ (HostError::Missing { .. } | HostError::Denied { .. } | HostError::NoModule { .. })) => {
            Some(e.to_string())
        }
        _ => None,
    });
    WHY.clone()
}
