//! The scenarios that are part of the program: everything in `scenarios/`.
//!
//! # Invariants
//! - A built-in scenario's ID is its file's name; a test checks it, and that each loads.
//! - Mutants' scenarios show that a monitor can fail; `umpire run` without an ID leaves them out.

use super::error::ScenarioError;
use super::file::Scenario;

/// One scenario of the built-in set.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    /// Its ID, and the name of its file.
    pub id: &'static str,
    /// Whether it runs a kernel that is broken on purpose.
    pub is_mutant: bool,
    /// Its file's text.
    pub text: &'static str,
}

macro_rules! builtin {
    ($($folder:literal $id:literal $is_mutant:literal;)*) => {
        /// Every built-in scenario, in the order in which they are listed and run.
        pub const BUILTIN: &[Builtin] = &[$(Builtin {
            id: $id,
            is_mutant: $is_mutant,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/", $folder, $id, ".toml")),
        }),*];
    };
}

builtin! {
    "" "i1532" false;
    "" "healthy" false;
    "" "stuck_clock" false;
    "mutants/" "lost_kprunrun" true;
    "mutants/" "clock_stops" true;
    "mutants/" "stale_maxrunpri" true;
    "mutants/" "skewed_nrunnable" true;
    "mutants/" "wrong_qactmap" true;
}

impl Builtin {
    /// The scenario.
    ///
    /// # Errors
    /// Never, as a test shows; the type is that of every other scenario.
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        let folder = if self.is_mutant { "scenarios/mutants/" } else { "scenarios/" };
        let mut scenario = Scenario::parse(self.text, &format!("{folder}{}.toml", self.id))?;
        scenario.origin = self.id.to_owned();
        Ok(scenario)
    }
}

/// The built-in scenario of this ID.
pub fn find(id: &str) -> Option<&'static Builtin> {
    BUILTIN.iter().find(|builtin| builtin.id == id)
}

#[cfg(test)]
mod tests {
    use umpire_shared::mutant::MUTANTS;
    use umpire_shared::program::Program;

    use super::*;
    use crate::scenario::{Expect, Tracing};

    #[test]
    fn every_builtin_loads_encodes_and_decodes() {
        for builtin in BUILTIN {
            let scenario = builtin.scenario().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(scenario.id, builtin.id);
            for variant in &scenario.variants {
                let bytes = variant.program(&scenario, Tracing::Off);
                let program = Program::decode(&bytes).expect("what was encoded decodes");
                assert_eq!(program.header().tunables, variant.tunables);
                assert_eq!(program.header().mutants, variant.mutants);
                assert!(program.threads().eq(variant.threads.iter().copied()));
                assert!(program.interrupts().eq(scenario.interrupts.iter().copied()));
            }
        }
    }

    #[test]
    fn every_mutant_has_a_scenario_whose_monitor_catches_it() {
        for mutant in MUTANTS {
            let scenario =
                find(mutant.name).expect("a scenario a mutant").scenario().unwrap_or_else(|e| panic!("{e}"));
            let on = |expect| scenario.variants.iter().find(|v| v.expect == expect).map(|v| v.mutants);
            assert_eq!(on(Expect::Held), Some(0), "{}", mutant.name);
            assert_eq!(on(Expect::Violated), Some(mutant.bit), "{}", mutant.name);
            assert!(scenario.bounds.iter().any(|b| b.monitor.name() == mutant.caught_by), "{}", mutant.name);
        }
    }

    #[test]
    fn every_scenario_file_is_built_in() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        for folder in [folder.clone(), folder.join("mutants")] {
            for entry in std::fs::read_dir(&folder).expect("the folder of scenarios").flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let Some(id) = name.strip_suffix(".toml") else { continue };
                assert!(find(id).is_some(), "{name} is not in the table of built-in scenarios");
            }
        }
    }
}
