//! The kstats of a guest, made of its counters as `kstat_read` would make them.
//!
//! | file | which |
//! |---|---|
//! | `cpu.rs` | `cpu:N:sys`, `cpu:N:vm`, `cpu:N:intrstat`, `cpu_info:N:cpu_infoN` |
//! | `system.rs` | `unix:0:sysinfo`, `unix:0:system_misc`, `unix:N:callout`, `unix:N:pset`, `caps:N:cpucaps_*` |
//! | `taskq.rs` | `unix:N:NAME` of each task queue |
//! | `pattern.rs` | which of them are asked for |
//!
//! # Invariants
//! - Kstats are in the order of module, instance and name, and the names of statistics are Solaris's, in its order.
//! - A statistic that this kernel has nothing to count for (file systems, terminals, paging) is 0, as it is on a Solaris that does
//!   none of it.

mod cpu;
mod pattern;
mod system;
mod taskq;

use umpire_rows::Value;

pub use pattern::{Pattern, Selector};

use crate::lang::Failure;
use crate::view::View;

/// A kstat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kstat {
    /// `ks_module`.
    pub module: &'static str,
    /// `ks_instance`.
    pub instance: u64,
    /// `ks_name`.
    pub name: String,
    /// `ks_class`.
    pub class: &'static str,
    /// When it was made, in ns after boot.
    pub crtime_ns: u64,
    /// When it was read, in ns after boot.
    pub snaptime_ns: u64,
    /// Its statistics, in their order.
    pub values: Vec<(&'static str, Stat)>,
}

/// The value of a statistic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stat {
    /// `KSTAT_DATA_UINT64`, or one of its narrower kin.
    Number(u64),
    /// `KSTAT_DATA_STRING`.
    Text(String),
}

impl From<u64> for Stat {
    fn from(number: u64) -> Stat {
        Stat::Number(number)
    }
}

impl From<&str> for Stat {
    fn from(text: &str) -> Stat {
        Stat::Text(text.to_owned())
    }
}

impl From<&Stat> for Value {
    fn from(stat: &Stat) -> Value {
        match stat {
            Stat::Number(number) => Value::Int(*number),
            Stat::Text(text) => Value::Text(text.clone()),
        }
    }
}

impl std::fmt::Display for Stat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stat::Number(number) => number.fmt(f),
            Stat::Text(text) => text.fmt(f),
        }
    }
}

impl Kstat {
    /// A kstat without statistics, made at boot and read now.
    fn new(
        module: &'static str,
        instance: u64,
        name: impl Into<String>,
        class: &'static str,
        now_ns: u64,
    ) -> Kstat {
        Kstat {
            module,
            instance,
            name: name.into(),
            class,
            crtime_ns: 0,
            snaptime_ns: now_ns,
            values: Vec::new(),
        }
    }

    fn add(&mut self, name: &'static str, value: impl Into<Stat>) {
        self.values.push((name, value.into()));
    }

    /// The number of a statistic; 0 if it has none of that name.
    pub fn number(&self, name: &str) -> u64 {
        match self.values.iter().find(|(of, _)| *of == name) {
            Some((_, Stat::Number(number))) => *number,
            _ => 0,
        }
    }

    /// The value of a statistic, of its times in seconds, or its class, for machines; absent if it has none of that name.
    pub fn value(&self, name: &str) -> Value {
        match name {
            "crtime" => Value::Float(self.crtime_ns as f64 / 1e9),
            "snaptime" => Value::Float(self.snaptime_ns as f64 / 1e9),
            "class" => self.class.into(),
            _ => self.values.iter().find(|(of, _)| *of == name).map(|(_, value)| Value::from(value)).into(),
        }
    }

    /// Its statistics as `kstat` prints them: by name, whatever the case of the letters, `crtime` and `snaptime` among them.
    pub fn printed(&self) -> Vec<(&'static str, String)> {
        let times = [("crtime", seconds(self.crtime_ns)), ("snaptime", seconds(self.snaptime_ns))];
        let values = self.values.iter().map(|(name, value)| (*name, value.to_string()));
        let mut all: Vec<_> = values.chain(times).collect();
        all.sort_by_key(|(name, _)| name.to_ascii_lowercase());
        all
    }
}

/// ns as `kstat` prints `crtime` and `snaptime`.
fn seconds(ns: u64) -> String {
    match ns {
        0 => "0".to_owned(),
        ns => format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000),
    }
}

/// Every kstat of the guest, now.
///
/// # Errors
/// [`Failure`] while there is no kernel, or if its counters cannot be read.
pub fn all(view: &View<'_>) -> Result<Vec<Kstat>, Failure> {
    let now_ns = crate::kernel::now_ns(view)?;
    let mut all = cpu::all(view, now_ns)?;
    all.extend(system::all(view, now_ns)?);
    all.extend(taskq::all(view, now_ns)?);
    all.sort_by(|a, b| (a.module, a.instance, &a.name).cmp(&(b.module, b.instance, &b.name)));
    Ok(all)
}
