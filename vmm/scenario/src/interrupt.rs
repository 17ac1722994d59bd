//! `[[interrupt]]` tables, and what a variant changes in them, turned into interrupt records.
//!
//! # Invariants
//! - A record that leaves here keeps the kernel's rules: the CPU exists and has a cyclic to spare, and a handler that takes
//!   a lock runs at a level that may block.

use umpire_shared::program::{COST_DEFAULT, Interrupt};
use umpire_shared::sys::machlock::{LEVELS, LOCK_LEVEL};

use super::error::Fault;
use super::field::{Fields, Value};
use super::layers::Layers;
use super::namespace::{Namespace, at_list};
use super::thread;

/// Keys of an interrupt.
const KEYS: [&str; 11] =
    ["name", "cpu", "pil", "rate_hz", "burst", "start", "cost", "lock", "from", "packets", "flows"];
/// Interrupts that one CPU may take: the kernel has a fixed number of cyclics a CPU.
const MAX_A_CPU: usize = 16;
/// ns of the longest handler.
const COST_NS: u64 = 1_000_000_000;
/// ns of the latest start: the length of the longest run.
const HOUR_NS: u64 = 3_600_000_000_000;

/// One `[[interrupt]]` table as it stands in the file.
#[derive(Debug, Clone)]
pub(super) struct Draft<'t> {
    /// Its name.
    pub name: &'t str,
    layers: Layers<'t>,
}

impl<'t> Draft<'t> {
    /// Reads an `[[interrupt]]` table.
    pub fn read(value: &Value<'t>) -> Result<Draft<'t>, Box<Fault>> {
        let fields = value.table("[[interrupt]]", &KEYS)?;
        Ok(Draft { name: thread::name(&fields)?, layers: Layers::of(fields) })
    }

    /// The same interrupt with what a variant's `interrupt."name" = { ... }` changes.
    pub fn changed(&self, value: &Value<'t>) -> Result<Draft<'t>, Box<Fault>> {
        let fields = value.table("a variant's interrupt", &KEYS[1..])?;
        Ok(Draft { name: self.name, layers: self.layers.with(fields) })
    }

    fn record(&self, namespace: &Namespace) -> Result<Interrupt, Box<Fault>> {
        let layers = &self.layers;
        let cpu = namespace.cpu(&layers.need("cpu", "0")?)?;
        let pil = layers.need("pil", "6")?.number(1, i64::from(LEVELS) - 1)?;
        let rate_hz = layers.need("rate_hz", "1000")?.number(1, 100_000)?.cast_unsigned();
        let lock = layers.get("lock");
        if let Some(lock) = lock.as_ref().filter(|_| pil > i64::from(LOCK_LEVEL)) {
            let message = format!(
                "a handler at level {pil} is no thread and cannot wait for a lock: `pil` must be at most {LOCK_LEVEL}"
            );
            return Err(lock.key_fault(message));
        }
        let burst = layers.optional("burst", |v| v.number(1, 1024))?.unwrap_or(1);
        Ok(Interrupt {
            burst: burst as u32,
            start_ns: layers.optional("start", |v| v.duration(0, HOUR_NS))?.unwrap_or(0),
            cost_ns: layers.optional("cost", |v| v.duration(0, COST_NS))?.unwrap_or(COST_DEFAULT),
            lock: lock.map(|v| v.number(0, 15)).transpose()?.map_or(-1, |lock| lock as i32),
            from: layers.optional("from", |v| namespace.cpu(v))?.map_or(-1, |cpu| cpu as i32),
            packets: layers.optional("packets", |v| v.number(1, 1024))?.unwrap_or(1) as u32,
            flows: layers.optional("flows", |v| v.number(1, 64))?.unwrap_or(0) as u32,
            ..Interrupt::named(self.name, cpu, pil as u32, rate_hz)
        })
    }
}

/// The records of all interrupts, in the order of the file. `table` is the table that a fault of all of them together points at.
pub(super) fn records(
    drafts: &[Draft<'_>],
    namespace: &Namespace,
    table: &Fields<'_>,
) -> Result<Vec<Interrupt>, Box<Fault>> {
    let records = drafts.iter().map(|draft| draft.record(namespace)).collect::<Result<Vec<_>, _>>()?;
    // The cyclic of a cross trap is on the CPU that sends the trap.
    let has_cyclic = |i: &&Interrupt, cpu: u32| u32::try_from(i.from).unwrap_or(i.cpu) == cpu;
    let most = (0..namespace.cpus)
        .map(|cpu| records.iter().filter(|i| has_cyclic(i, cpu)).count())
        .max()
        .unwrap_or(0);
    if most > MAX_A_CPU {
        let message = format!("one CPU takes at most {MAX_A_CPU} interrupts, found {most}");
        return Err(at_list(table, "interrupt", message));
    }
    Ok(records)
}
