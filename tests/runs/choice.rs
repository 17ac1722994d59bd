//! Which variants run on KVM: all, or of each scenario the first that is violated or panics and the first that holds.
//!
//! # Invariants
//! - The choice depends on the scenario's file and on `UMPIRE_TESTS`, on nothing else.
//! - What is not chosen is listed, and is ignored by name with the reason: nothing is left out silently.

use libtest_mimic::Trial;
use umpire_scenario::builtin::BUILTIN;
use umpire_scenario::{Expect, Scenario, Variant};

use crate::trials;

/// The environment's variable, and its one value.
const VARIABLE: (&str, &str) = ("UMPIRE_TESTS", "all");
/// What is said of a variant that is not chosen.
pub const WHY_NOT: &str = "UMPIRE_TESTS=all runs it";

/// How many variants run on KVM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// A red and a green one of each scenario.
    OneRedOneGreen,
    /// Every one.
    All,
}

/// The choice that the environment makes.
///
/// # Panics
/// If the variable has another value: a typing error must not look like a complete run.
pub fn of_environment() -> Choice {
    let (name, all) = VARIABLE;
    let value = std::env::var_os(name);
    assert!(
        value.is_none() || value == Some(all.into()),
        "{name} is `{all}` or not set, but it is {value:?}"
    );
    if value.is_some() { Choice::All } else { Choice::OneRedOneGreen }
}

impl Choice {
    /// Whether a variant of a scenario is run on KVM.
    pub fn takes(self, scenario: &Scenario, variant: &Variant) -> bool {
        let is_green = |v: &Variant| v.expect == Expect::Held;
        let first = scenario.variants.iter().find(|other| is_green(other) == is_green(variant));
        self == Choice::All || first.is_some_and(|first| first.name == variant.name)
    }
}

/// The tests of what is here.
pub fn trials() -> Vec<Trial> {
    vec![trials::anywhere(
        "choice::takes_the_first_red_and_the_first_green_of_each_scenario",
        takes_the_first,
    )]
}

fn takes_the_first() {
    for builtin in BUILTIN {
        let scenario = builtin.scenario().unwrap_or_else(|e| panic!("{e}"));
        let variants = &scenario.variants;
        let is_taken = |choice: Choice, variant| choice.takes(&scenario, variant);
        assert!(variants.iter().all(|variant| is_taken(Choice::All, variant)), "{}", scenario.id);
        for (number, variant) in variants.iter().enumerate() {
            let is_like =
                |other: &Variant| (other.expect == Expect::Held) == (variant.expect == Expect::Held);
            let is_first = !variants[..number].iter().any(is_like);
            let what = format!("{} {}", scenario.id, variant.name);
            assert_eq!(is_taken(Choice::OneRedOneGreen, variant), is_first, "{what}");
        }
    }
}
