//! `set`, `mutants` and `console`: what a scenario or variant sets of the kernel.
//!
//! # Invariants
//! - Tunables are in their ranges; one that is not set has its default.
//! - Of several `set`s, and of several `console`s, the last wins; mutants add up.

use umpire_shared::mutant;
use umpire_shared::tunable::{COUNT, TUNABLES};

use super::error::Fault;
use super::field::Fields;

/// Tunables and mutants, as far as they are set.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Every tunable, by number.
    pub tunables: [i64; COUNT],
    /// The rules that the kernel breaks.
    pub mutants: mutant::Set,
    /// True if events come from an operator at a console.
    pub console: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            tunables: std::array::from_fn(|n| TUNABLES[n].default),
            mutants: mutant::Set::NONE,
            console: false,
        }
    }
}

impl Settings {
    /// These settings with the `set`, `mutants` and `console` of a table on top.
    pub fn changed(&self, fields: &Fields<'_>) -> Result<Settings, Box<Fault>> {
        let mut settings = self.clone();
        if let Some(set) = fields.get("set") {
            for entry in set.map()? {
                let names: Vec<&str> = TUNABLES.iter().map(|t| t.name).collect();
                let Some(number) = TUNABLES.iter().position(|t| t.name == entry.key) else {
                    return Err(entry.unknown_key("tunable", &names));
                };
                let tunable = &TUNABLES[number];
                let value = entry.number(tunable.min, tunable.max);
                settings.tunables[number] = value.map_err(|fault| fault.help(tunable.doc))?;
            }
        }
        if let Some(mutants) = fields.get("mutants") {
            let (names, ids): (Vec<&str>, Vec<mutant::Id>) =
                mutant::of_scenarios().map(|m| (m.name, m.id)).unzip();
            for mutant in mutants.list()? {
                settings.mutants = settings.mutants.and(ids[mutant.word("mutant", &names)?]);
            }
        }
        settings.console = fields.optional("console", |v| v.boolean())?.unwrap_or(settings.console);
        Ok(settings)
    }
}
