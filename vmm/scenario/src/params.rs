//! What a scheduling class takes beside its name: priority, user's offset, quantum, duty cycle.
//!
//! # Invariants
//! - A key that means nothing to the class is a fault, unless it stands below the table that gives the class: a variant
//!   that changes the class leaves the old class's parameters behind.
//! - Without a class every number is accepted: an event that is to fail may ask for nonsense.

use umpire_shared::program::{QUANTUM_INFINITE, class};

use super::error::Fault;
use super::field::Value;
use super::layers::Layers;
use super::ticks::Span;
use umpire_rows::number;

/// Keys of these parameters.
pub(super) const KEYS: [&str; 5] = ["pri", "nice", "upri", "quantum", "duty_cycle"];

/// The user's offset for one step of `nice`.
const UPRI_A_NICE: i64 = 3;
/// Ticks that a quantum may have: a day at the highest `hz`.
const TICKS: (i64, i64) = (1, 864_000_000);
/// ns that a quantum may have.
const QUANTUM_NS: (u64, u64) = (1, 3_600_000_000_000);
/// The numbers that an event that is to fail may ask for.
const ANYTHING: (i64, i64) = (-32_768, 32_767);

/// A quantum as a file gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantum {
    /// In ticks, or without end.
    Ticks(i32),
    /// In time: the ticks depend on `hz`.
    Time(Span),
}

/// The parameters that are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Params {
    /// The priority.
    pub pri: Option<i64>,
    /// The user's offset.
    pub upri: Option<i64>,
    /// The quantum.
    pub quantum: Option<Quantum>,
    /// The target duty cycle in per cent.
    pub duty_cycle: Option<i64>,
}

/// Whether a class has a priority that can be chosen.
pub(super) fn has_priority(class: u32) -> bool {
    class::CLASSES[class as usize].pri.is_some()
}

fn takes(class: u32, key: &str) -> bool {
    match key {
        "pri" => has_priority(class),
        "nice" | "upri" => matches!(class, class::TS | class::IA | class::FX | class::FSS),
        "quantum" => matches!(class, class::FX | class::RT),
        _ => class == class::SDC,
    }
}

/// Reads the parameters for a class that is given `height` tables up.
pub(super) fn read(layers: &Layers<'_>, class: Option<u32>, height: usize) -> Result<Params, Box<Fault>> {
    let chosen = |key: &str| match (layers.find(key), class) {
        (Some((at, value)), Some(class)) if !takes(class, key) => match at >= height {
            true => Err(misfit(&value, class)),
            false => Ok(None),
        },
        (found, _) => Ok(found),
    };
    let range = |strict| if class.is_some() { strict } else { ANYTHING };
    let number = |found: Option<(usize, Value<'_>)>, strict| {
        let (min, max) = range(strict);
        found.map(|(_, value)| value.number(min, max)).transpose()
    };
    let pri = match (chosen("pri")?, class) {
        (Some((_, value)), Some(class)) => Some(priority(&value, class)?),
        (found, _) => number(found, ANYTHING)?,
    };
    let upri = match (chosen("nice")?, chosen("upri")?) {
        (Some((a, nice)), Some((b, _))) if a == b => {
            return Err(nice
                .key_fault("`nice` and `upri` are two names of one thing")
                .help("keep one of them"));
        }
        (Some((a, nice)), upri) if upri.as_ref().is_none_or(|(b, _)| a > *b) => {
            let (min, max) = range((-20, 19));
            Some(-nice.number(min, max)? * UPRI_A_NICE)
        }
        (_, upri) => number(upri, (-i64::from(class::MAXUPRI), class::MAXUPRI.into()))?,
    };
    let quantum = chosen("quantum")?.map(|(_, value)| quantum(&value, range(TICKS))).transpose()?;
    let duty_cycle = number(chosen("duty_cycle")?, (1, 100))?;
    Ok(Params { pri, upri, quantum, duty_cycle })
}

fn priority(value: &Value<'_>, class: u32) -> Result<i64, Box<Fault>> {
    let class::Class { name, pri, .. } = class::CLASSES[class as usize];
    let (min, max) = pri.unwrap_or_default();
    value
        .number(min.into(), max.into())
        .map_err(|fault| fault.help(format!("class {name} has priorities {min} to {max}")))
}

fn quantum(value: &Value<'_>, ticks: (i64, i64)) -> Result<Quantum, Box<Fault>> {
    if value.is_number() {
        return value.number(ticks.0, ticks.1).map(|ticks| Quantum::Ticks(ticks as i32));
    }
    if value.is_string() && value.string()? == "infinite" {
        return Ok(Quantum::Ticks(QUANTUM_INFINITE));
    }
    let ns = value.duration(QUANTUM_NS.0, QUANTUM_NS.1).map_err(|fault| {
        let example = number::exact(20_000_000);
        fault.help(format!(
            "write: quantum = \"{example}\", quantum = 2 (clock ticks) or quantum = \"infinite\""
        ))
    })?;
    Ok(Quantum::Time(Span::of_ns(ns)))
}

fn misfit(value: &Value<'_>, class: u32) -> Box<Fault> {
    let takers: Vec<&str> = (0..)
        .zip(class::NAMES)
        .filter(|(number, _)| takes(*number, &value.key))
        .map(|(_, name)| *name)
        .collect();
    let message = format!("class {} takes no `{}`", class::NAMES[class as usize], value.key);
    value.key_fault(message).help(format!("it is for {}", takers.join(", ")))
}
