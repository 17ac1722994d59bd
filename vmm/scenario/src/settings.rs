//! `set`, `mutants`, `console` and `script`: what a scenario or variant sets of the kernel.
//!
//! # Invariants
//! - Tunables are in their ranges; one that is not set has its default.
//! - Of several `set`s, `console`s and `script`s the last wins; mutants add up.
//! - The script thread has a priority of its own or acts from a console, not both.

use umpire_shared::mutant;
use umpire_shared::program::class;
use umpire_shared::sys::disp::MAXCLSYSPRI;
use umpire_shared::tunable::{self, COUNT, TUNABLES};

use super::error::Fault;
use super::field::{Fields, Value};
use super::layers::Layers;
use super::params;

/// Classes that the script thread may have: it has no project, and no duty cycle.
const SCRIPT_CLASSES: [u32; 5] = [class::SYS, class::TS, class::IA, class::FX, class::RT];

/// At what priority events are made to happen where they do not come from a console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script {
    /// The class: one of [`class`].
    pub class: u32,
    /// The priority, as a thread's.
    pub pri: i32,
}

impl Script {
    /// As a daemon's kernel thread would act.
    pub const DEFAULT: Script = Script { class: class::SYS, pri: MAXCLSYSPRI };

    fn read(value: &Value<'_>) -> Result<Script, Box<Fault>> {
        let layers = Layers::of(value.table("`script`", &["class", "pri"])?);
        let names = SCRIPT_CLASSES.map(|class| class::NAMES[class as usize]);
        let class = SCRIPT_CLASSES[layers.need("class", "\"RT\"")?.word("class", &names)?];
        layers.need("pri", "10")?;
        let pri = params::read(&layers, Some(class), 0)?.pri.unwrap_or_default();
        Ok(Script { class, pri: pri as i32 })
    }

    /// Its global priority when it begins to run; one of a class that ages may change.
    pub fn global_pri(&self) -> i32 {
        match self.class {
            class::RT => MAXCLSYSPRI + 1 + self.pri,
            _ => self.pri,
        }
    }
}

/// Tunables and mutants, as far as they are set.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Every tunable, by number.
    pub tunables: [i64; COUNT],
    /// True if the file gives `strmem`.
    pub has_strmem: bool,
    /// The rules that the kernel breaks.
    pub mutants: mutant::Set,
    /// True if events come from an operator at a console.
    pub console: bool,
    /// At what priority they happen otherwise, if it is given.
    pub script: Option<Script>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            tunables: std::array::from_fn(|n| TUNABLES[n].default),
            has_strmem: false,
            mutants: mutant::Set::NONE,
            console: false,
            script: None,
        }
    }
}

impl Settings {
    /// These settings with the `set`, `mutants`, `console` and `script` of a table on top.
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
                settings.has_strmem |= number == tunable::STRMEM;
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
        settings.script = fields.optional("script", Script::read)?.or(settings.script);
        let of_both = fields.get("script").or_else(|| fields.get("console"));
        if let Some(key) = of_both.filter(|_| settings.console && settings.script.is_some()) {
            let message =
                "a console acts above every class, so `script` means nothing beside `console = true`";
            return Err(key.key_fault(message).help("keep one of them, or write: console = false"));
        }
        Ok(settings)
    }
}
