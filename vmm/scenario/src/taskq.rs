//! `[[taskq]]` tables, and what a variant changes in them, turned into records of task queues.
//!
//! # Invariants
//! - A record that leaves here keeps the kernel's rules: flags that exclude each other do not come together.
//! - The kernel gets as many threads as its queues can have at most, as long as there is a queue that anything uses.

use umpire_shared::pack_name;
use umpire_shared::program::{MAX_TASKQS, TaskQueue, Thread};
use umpire_shared::sys::taskq::tqflag;
use umpire_shared::sys::zio;
use umpire_shared::tunable::{self, COUNT};
use umpire_shared::work::memory::Memory;
use umpire_shared::work::tasks::Tasks;
use umpire_shared::work::{Kind, Workload};

use super::error::Fault;
use super::field::{Fields, Value};
use super::layers::Layers;
use super::namespace::at_list;
use super::thread;
use super::variant::Variant;

/// Keys of a task queue.
const KEYS: [&str; 8] = ["name", "threads", "pri", "minalloc", "maxalloc", "instance", "duty_cycle", "flags"];
/// What `flags` may say, and the bit that it means.
const FLAGS: [(&str, u32); 5] = [
    ("prepopulate", tqflag::PREPOPULATE),
    ("cpr_safe", tqflag::CPR_SAFE),
    ("dynamic", tqflag::DYNAMIC),
    ("threads_cpu_pct", tqflag::THREADS_CPU_PCT),
    ("dc_batch", tqflag::DC_BATCH),
];
/// Threads of a queue, or per cent of the CPUs.
const THREADS: (i64, i64) = (1, 1000);
/// Threads of `system_taskq` that a scenario has: its backing thread, and so many for each CPU and beside.
const SYSTEM_A_CPU: u32 = 4;
const SYSTEM_BESIDE: u32 = 8;
/// Threads of a dynamic queue beside its most: one is let through, one backs them all, and one may be ending.
const DYNAMIC_BESIDE: u32 = 3;
/// The queue that every kernel with task queues has.
pub(super) const SYSTEM: &str = "system_taskq";

/// One `[[taskq]]` table as it stands in the file.
#[derive(Debug, Clone)]
pub(super) struct Draft<'t> {
    /// Its name.
    pub name: &'t str,
    layers: Layers<'t>,
}

impl<'t> Draft<'t> {
    /// Reads a `[[taskq]]` table.
    pub fn read(value: &Value<'t>) -> Result<Draft<'t>, Box<Fault>> {
        let fields = value.table("[[taskq]]", &KEYS)?;
        let name = thread::name(&fields)?;
        if name == SYSTEM {
            let message = format!("every kernel with task queues has `{SYSTEM}`, and only one");
            return Err(fields.need("name", "\"zio\"")?.fault(message).help("give the queue another name"));
        }
        Ok(Draft { name, layers: Layers::of(fields) })
    }

    /// The same queue with what a variant's `taskq."name" = { ... }` changes.
    pub fn changed(&self, value: &Value<'t>) -> Result<Draft<'t>, Box<Fault>> {
        let fields = value.table("a variant's taskq", &KEYS[1..])?;
        Ok(Draft { name: self.name, layers: self.layers.with(fields) })
    }

    fn record(&self) -> Result<TaskQueue, Box<Fault>> {
        let layers = &self.layers;
        let number = |key: &str, (min, max), default: i64| {
            layers.optional(key, |v| v.number(min, max)).map(|n| n.unwrap_or(default))
        };
        let all = (0, i64::from(i32::MAX));
        let threads = layers.need("threads", "1")?.number(THREADS.0, THREADS.1)?;
        let mut flags = 0;
        let list = layers.get("flags");
        for word in list.as_ref().map(Value::list).transpose()?.unwrap_or_default() {
            flags |= FLAGS[word.word("flag", &FLAGS.map(|(name, _)| name))?].1;
        }
        let duty_cycle = layers.get("duty_cycle").map(|v| v.number(1, 100)).transpose()?;
        if duty_cycle.is_some() {
            flags |= tqflag::DUTY_CYCLE;
        }
        // Only a flag of the list excludes anything.
        if let (Some(list), Some(message)) = (&list, misfit(flags)) {
            return Err(list.key_fault(message));
        }
        Ok(TaskQueue {
            name: pack_name(self.name),
            nthreads: threads as u32,
            pri: number("pri", (0, 99), 60)? as i32,
            minalloc: number("minalloc", (0, 4096), 1)? as u32,
            maxalloc: number("maxalloc", all, i64::from(i32::MAX))? as u32,
            instance: number("instance", (0, 1_000_000), -1)? as i32,
            duty_cycle: duty_cycle.unwrap_or(0) as u32,
            flags,
        })
    }
}

/// Why threads cannot do what they are to: they use user memory, and there is nothing to swap it to; `None` if they can.
pub(super) fn misfit_of_memory(threads: &[Thread], tunables: &[i64; COUNT]) -> Option<String> {
    let uses = |t: &&Thread| matches!(t.work, Workload::Memory(Memory::AnonUser(_)));
    let user = threads.iter().find(uses).filter(|_| tunables[tunable::ZPOOL] == 0)?;
    Some(format!(
        "`{}` runs anon_user, which needs a pool to swap to",
        umpire_shared::unpack_name(&user.name)
    ))
}

/// The records of all queues, in the order of the file. `table` is the table that a fault of all of them together points at.
pub(super) fn records(drafts: &[Draft<'_>], table: &Fields<'_>) -> Result<Vec<TaskQueue>, Box<Fault>> {
    if drafts.len() > MAX_TASKQS {
        let message = format!("a scenario has at most {MAX_TASKQS} task queues, found {}", drafts.len());
        return Err(at_list(table, "taskq", message));
    }
    drafts.iter().map(Draft::record).collect()
}

/// Threads that the kernel's task queues can have at most; 0 if there is no queue, no thread that uses one, and no stream.
pub(super) fn pool(variant: &Variant, cpus: u32) -> u32 {
    let Variant { taskqs, threads, tunables, streams, .. } = variant;
    let uses = |t: &Thread| t.work.about().params.iter().any(|param| matches!(param.kind, Kind::Taskq));
    let has_pool = tunables[tunable::ZPOOL] != 0;
    let made = |t: &Thread| match t.work {
        Workload::Tasks(Tasks::TaskqMaker(maker)) => maker.threads as u32 + DYNAMIC_BESIDE,
        _ => 0,
    };
    let made: u32 = threads.iter().map(made).sum();
    if taskqs.is_empty() && streams.is_empty() && !threads.iter().any(uses) && !has_pool && made == 0 {
        return 0;
    }
    let own = |tq: &TaskQueue| match tq.flags {
        flags if flags & tqflag::DYNAMIC != 0 => tq.nthreads + DYNAMIC_BESIDE,
        flags if flags & tqflag::THREADS_CPU_PCT != 0 => (cpus * tq.nthreads / 100).max(1) + 1,
        _ => tq.nthreads + 1,
    };
    let of_zfs = match has_pool {
        true => {
            zio::threads(cpus, tunables[tunable::ZIO_TASKQ_BATCH_PCT] as u32) + zio::DAEMON_NAMES.len() as u32
        }
        false => 0,
    };
    taskqs.iter().map(own).sum::<u32>() + made + of_zfs + 1 + SYSTEM_A_CPU * cpus + SYSTEM_BESIDE
}

fn misfit(flags: u32) -> Option<&'static str> {
    let has = |flag: u32| flags & flag != 0;
    let kinds = [tqflag::DYNAMIC, tqflag::CPR_SAFE, tqflag::THREADS_CPU_PCT];
    if kinds.iter().filter(|kind| has(**kind)).count() > 1 {
        return Some("`dynamic`, `cpr_safe` and `threads_cpu_pct` exclude each other");
    }
    if has(tqflag::DYNAMIC) && has(tqflag::DUTY_CYCLE) {
        return Some("a dynamic queue has no duty cycle");
    }
    (has(tqflag::DC_BATCH) && !has(tqflag::DUTY_CYCLE))
        .then_some("`dc_batch` is for queues with a `duty_cycle`")
}
