//! What the command line sets: this wins over the scenario and over every variant.
//!
//! # Invariants
//! - An override is applied to a checked scenario and gives a checked scenario, or an error that names both sides.
//! - What a variant expects is never overridden: a user who sets the fix aside must see the bug.

use std::str::FromStr;

use umpire_shared::MAX_CPUS;
use umpire_shared::tunable::{self, TUNABLES};
use umpire_shared::unpack_name;

use super::file::Scenario;
use super::stream;
use super::suggest::{choices, hint};
use super::topology::Topology;
use umpire_rows::number;

/// What the command line sets; the default sets nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Tunables, in the order given; the last of the same name wins.
    pub settings: Vec<Setting>,
    /// Virtual CPUs, 1 to 16.
    pub cpus: Option<u32>,
    /// How long to run, in ns.
    pub run_ns: Option<u64>,
    /// Samples a second.
    pub sample_hz: Option<u32>,
}

/// One tunable and its value, checked for its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its number in [`TUNABLES`].
    pub number: usize,
    /// The value, in the tunable's range.
    pub value: i64,
}

/// Why an override cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// It is not `NAME=VALUE`.
    #[error("cannot set `{found}`: expected NAME=VALUE with a whole number, like kpreemptpri=100")]
    Form {
        /// The text as given.
        found: String,
    },
    /// There is no such tunable.
    #[error("cannot set `{name}`: there is no such tunable{hint}; {choices}")]
    Tunable {
        /// The name as given.
        name: String,
        /// "; did you mean ...?", or nothing.
        hint: String,
        /// The names there are.
        choices: String,
    },
    /// The tunable does not take this value.
    #[error("cannot set {name} to {value}: it must be from {min} to {max} ({doc})")]
    Range {
        /// The tunable.
        name: &'static str,
        /// The value as given.
        value: String,
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
        /// What it does.
        doc: &'static str,
    },
    /// Something is bound to a CPU that the machine no longer has.
    #[error("cannot run {scenario} with {cpus} CPUs: {who} needs cpu {cpu}; give --cpus {} or more", cpu + 1)]
    CpuGone {
        /// The scenario's ID.
        scenario: String,
        /// The thread or interrupt.
        who: String,
        /// The CPU that it needs.
        cpu: u32,
        /// CPUs asked for.
        cpus: u32,
    },
    /// There is too little memory for its streams.
    #[error("cannot run {scenario}: {found}")]
    Memory {
        /// The scenario's ID.
        scenario: String,
        /// What was found, and how much it must be.
        found: String,
    },
    /// The scenario is about a machine of its own shape.
    #[error(
        "cannot run {scenario} with {cpus} CPUs: its chips, cores and strands make {shape}; leave --cpus out"
    )]
    Topology {
        /// The scenario's ID.
        scenario: String,
        /// CPUs that its topology makes.
        shape: u32,
        /// CPUs asked for.
        cpus: u32,
    },
}

impl FromStr for Setting {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Setting, OverrideError> {
        let form = || OverrideError::Form { found: text.to_owned() };
        let (name, value) = text.split_once('=').ok_or_else(form)?;
        let (name, value) = (name.trim(), value.trim());
        let number = tunable::find(name).ok_or_else(|| {
            let names: Vec<&str> = TUNABLES.iter().map(|t| t.name).collect();
            OverrideError::Tunable {
                name: name.to_owned(),
                hint: hint(name, &names),
                choices: choices(&names),
            }
        })?;
        let digits = value.strip_prefix('-').unwrap_or(value);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(form());
        }
        let tunable = &TUNABLES[number];
        match value.parse() {
            Ok(value) if (tunable.min..=tunable.max).contains(&value) => Ok(Setting { number, value }),
            _ => Err(OverrideError::Range {
                name: tunable.name,
                value: value.to_owned(),
                min: tunable.min,
                max: tunable.max,
                doc: tunable.doc,
            }),
        }
    }
}

impl Overrides {
    /// The command line's options that set the same, each with a blank before it.
    pub fn arguments(&self) -> String {
        let mut out = String::new();
        for setting in &self.settings {
            out += &format!(" --set {}={}", TUNABLES[setting.number].name, setting.value);
        }
        if let Some(cpus) = self.cpus {
            out += &format!(" --cpus {cpus}");
        }
        if let Some(run_ns) = self.run_ns {
            out += &format!(" --run {}", number::exact(run_ns));
        }
        if let Some(hz) = self.sample_hz {
            out += &format!(" --sample-hz {hz}");
        }
        out
    }
}

impl Scenario {
    /// This scenario with the command line's settings.
    ///
    /// # Errors
    /// [`OverrideError::CpuGone`] if a thread, an interrupt, a processor set or an event needs a CPU beyond the new
    /// number, [`OverrideError::Topology`] if the number is not that of the scenario's topology, [`OverrideError::Memory`] if there is
    /// too little memory for its streams.
    pub fn with(mut self, overrides: &Overrides) -> Result<Scenario, OverrideError> {
        for variant in &mut self.variants {
            for setting in &overrides.settings {
                variant.tunables[setting.number] = setting.value;
            }
            variant.count_ticks();
            let is_given = overrides.settings.iter().any(|setting| setting.number == tunable::STRMEM);
            let strmem = variant.tunables[tunable::STRMEM];
            if let Some(found) = stream::misfit_of_memory(strmem, is_given, &variant.streams) {
                return Err(OverrideError::Memory { scenario: self.id, found });
            }
        }
        self.run_ns = overrides.run_ns.unwrap_or(self.run_ns);
        self.sample_hz = overrides.sample_hz.unwrap_or(self.sample_hz);
        self.cpus = overrides.cpus.unwrap_or(self.cpus).clamp(1, MAX_CPUS as u32);
        if let Some(shape) = self.topology.map(Topology::cpus).filter(|shape| *shape != self.cpus) {
            return Err(OverrideError::Topology { scenario: self.id, shape, cpus: self.cpus });
        }
        match self.beyond_the_last_cpu() {
            Some((who, cpu)) => {
                Err(OverrideError::CpuGone { scenario: self.id.clone(), who, cpu, cpus: self.cpus })
            }
            None => Ok(self),
        }
    }

    fn beyond_the_last_cpu(&self) -> Option<(String, u32)> {
        let last = |n: u64| n.checked_ilog2();
        let mut needs = Vec::new();
        for variant in &self.variants {
            let threads =
                variant.threads.iter().map(|t| ("thread", unpack_name(&t.name), u32::try_from(t.cpu).ok()));
            let interrupts = variant.interrupts.iter().flat_map(|i| {
                let from = u32::try_from(i.from).ok();
                [Some(i.cpu), from].map(|cpu| ("interrupt", unpack_name(&i.name), cpu))
            });
            needs.extend(threads.chain(interrupts));
            needs.extend(variant.events.iter().map(|e| ("event", e.label.as_str(), e.cpu())));
        }
        needs.extend(self.psets.iter().map(|p| ("processor set", unpack_name(&p.name), last(p.cpus))));
        let gone = needs.into_iter().filter_map(|(kind, name, cpu)| Some((kind, name, cpu?)));
        let (kind, name, cpu) = gone.filter(|(.., cpu)| *cpu >= self.cpus).max_by_key(|(.., cpu)| *cpu)?;
        Some((format!("{kind} {name}"), cpu))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    #[test]
    fn setting_of_a_misspelt_tunable_suggests_the_nearest() {
        let error = "kprempt_pri=1".parse::<Setting>().expect_err("no such tunable").to_string();
        assert!(error.contains("did you mean `kpreemptpri`?"), "{error}");
    }

    #[test]
    fn setting_out_of_range_or_form_is_refused() {
        for text in ["kpreemptpri=181", "kpreemptpri=-1", "hz=99999999999999999999"] {
            assert!(matches!(text.parse::<Setting>(), Err(OverrideError::Range { .. })), "{text}");
        }
        for text in ["kpreemptpri", "kpreemptpri=", "kpreemptpri=high", "=5x", "hz=1.5", "hz=--1"] {
            assert!(text.parse::<Setting>().is_err(), "{text}");
        }
    }

    #[test]
    fn override_of_a_tunable_wins_over_every_variant() {
        let settings = vec!["kpreemptpri=100".parse().expect("a good setting")];
        let scenario = load("i1532").expect("built in");
        let expects: Vec<_> = scenario.variants.iter().map(|v| v.expect).collect();
        let scenario = scenario.with(&Overrides { settings, ..Overrides::default() }).expect("applies");
        assert!(scenario.variants.iter().all(|v| v.tunables[tunable::KPREEMPTPRI] == 100));
        assert!(scenario.variants.iter().map(|v| v.expect).eq(expects));
    }

    #[test]
    fn override_of_cpus_below_a_bound_thread_is_refused() {
        let error =
            load("i1532").expect("built in").with(&Overrides { cpus: Some(1), ..Overrides::default() });
        let error = error.expect_err("cpu 1 is gone").to_string();
        assert!(error.contains("needs cpu 1") && error.contains("--cpus 2"), "{error}");
    }

    #[test]
    fn override_of_cpus_below_the_one_that_an_interrupt_comes_from_is_refused() {
        let text = "id = \"i\"\ntitle = \"t\"\nsource = \"s\"\ncpus = 4\nrun = \"1s\"\n\
            [[interrupt]]\nname = \"nic\"\ncpu = 0\npil = 6\nrate_hz = 100\nfrom = 3\n\
            [[thread]]\nname = \"t\"\nclass = \"TS\"\npri = 0\nwork = \"spin\"\n\
            [[bound]]\nmonitor = \"runq\"\nlimit = \"0s\"\n";
        let scenario = || Scenario::parse(text, "i.toml").expect("a good file");
        let on = |cpus| scenario().with(&Overrides { cpus: Some(cpus), ..Overrides::default() });
        let error = on(3).expect_err("cpu 3 is gone").to_string();
        assert!(error.contains("interrupt nic needs cpu 3"), "{error}");
        assert!(on(4).is_ok());
    }

    #[test]
    fn arguments_of_overrides_repeat_them() {
        let overrides = Overrides {
            settings: vec!["kpqpri=-1".parse().expect("a good setting")],
            cpus: Some(4),
            run_ns: Some(1_500_000_000),
            sample_hz: Some(10_000),
        };
        assert_eq!(overrides.arguments(), " --set kpqpri=-1 --cpus 4 --run 1500ms --sample-hz 10000");
    }
}
