//! `[[thread]]` tables, and what a variant changes in them, turned into thread records.
//!
//! # Invariants
//! - A record that leaves here keeps the kernel's rules: parameters fit the class, the CPU exists and is in
//!   the thread's processor set, the name fits.
//! - `count` threads share all but the name.

use umpire_shared::program::{QUANTUM_DEFAULT, Stream, Thread, binding, class};
use umpire_shared::{MAX_THREADS, NAME_LEN, pack_name};

use super::error::Fault;
use super::field::{Fields, Value};
use super::layers::Layers;
use super::namespace::Namespace;
use super::params::{self, Quantum};
use super::stream;
use super::ticks::Span;
use super::work;

/// Bytes that a thread's or interrupt's name may have; the kernel's record ends with a NUL.
pub const THREAD_NAME_MAX: usize = NAME_LEN - 1;

/// ns of the latest start: the length of the longest run.
const HOUR_NS: u64 = 3_600_000_000_000;

/// Keys of a thread.
const KEYS: [&str; 17] = [
    "name",
    "process",
    "class",
    "pri",
    "nice",
    "upri",
    "quantum",
    "duty_cycle",
    "project",
    "pset",
    "cpu",
    "binding",
    "lgroup",
    "count",
    "lwp",
    "start",
    "work",
];

/// One `[[thread]]` table as it stands in the file.
#[derive(Debug, Clone)]
pub(super) struct Draft<'t> {
    /// Its name in the file.
    pub name: &'t str,
    /// How many threads it stands for, if it says so; they are then numbered.
    count: Option<usize>,
    layers: Layers<'t>,
}

impl<'t> Draft<'t> {
    /// Reads a `[[thread]]` table, without looking at what names refer to.
    pub fn read(value: &Value<'t>) -> Result<Draft<'t>, Box<Fault>> {
        let fields = value.table("[[thread]]", &KEYS)?;
        let count = fields.optional("count", |v| v.number(1, MAX_THREADS as i64))?.map(|n| n as usize);
        let name = name(&fields)?;
        let longest = count.map_or_else(String::new, |count| format!("{name}/{}", count - 1));
        if longest.len() > THREAD_NAME_MAX {
            let message =
                format!("`{longest}` is too long for a thread's name: at most {THREAD_NAME_MAX} bytes");
            return Err(fields.need("name", "\"worker\"")?.fault(message));
        }
        Ok(Draft { name, count, layers: Layers::of(fields) })
    }

    /// How many threads it stands for.
    pub fn len(&self) -> usize {
        self.count.unwrap_or(1)
    }

    /// The names of the threads it stands for.
    pub fn names(&self) -> Vec<String> {
        match self.count {
            None => vec![self.name.to_owned()],
            Some(count) => (0..count).map(|n| format!("{}/{n}", self.name)).collect(),
        }
    }

    /// The same threads with what a variant's `thread."name" = { ... }` changes.
    pub fn changed(&self, value: &Value<'t>) -> Result<Draft<'t>, Box<Fault>> {
        let changeable: Vec<&str> =
            KEYS.iter().copied().filter(|key| !matches!(*key, "name" | "count")).collect();
        let fields = value.table("a variant's thread", &changeable)?;
        Ok(Draft { name: self.name, count: self.count, layers: self.layers.with(fields) })
    }

    fn record(&self, namespace: &Namespace) -> Result<(Thread, Option<Span>), Box<Fault>> {
        let layers = &self.layers;
        let class_value = layers.need("class", "\"TS\"")?;
        let class = class_value.word("class", class::NAMES)? as u32;
        let height = layers.find("class").map_or(0, |(height, _)| height);
        let params = params::read(layers, Some(class), height)?;
        if params.pri.is_none() && params::has_priority(class) {
            layers.need("pri", "59")?;
        }
        let project = layers.optional("project", |v| namespace.project(v))?;
        if class == class::FSS && namespace.projects.is_empty() {
            let message = "a thread of class FSS is in a project, and the scenario has none";
            return Err(class_value.fault(message).help("add a [[project]] table"));
        }
        let lwp = layers.optional("lwp", |v| Ok((v.boolean()?, v.clone())))?;
        if let Some((false, lwp)) = lwp.as_ref().filter(|_| class == class::SDC) {
            return Err(lwp.fault("a thread of class SDC has an LWP: its duty cycle is that of a process"));
        }
        let process = layers.optional("process", name_of)?.unwrap_or("");
        let place = self.place(namespace)?;
        let work = work::read(&layers.need("work", "\"spin\"")?, namespace)?;
        let (quantum, span) = match params.quantum {
            None => (QUANTUM_DEFAULT, None),
            Some(Quantum::Ticks(ticks)) => (ticks, None),
            Some(Quantum::Time(span)) => (QUANTUM_DEFAULT, Some(span)),
        };
        let plain = Thread::named(self.name, params.pri.unwrap_or(0) as i32, work);
        let thread = Thread {
            process: pack_name(process),
            class,
            upri: params.upri.unwrap_or(0) as i32,
            quantum,
            duty_cycle: params.duty_cycle.map_or(plain.duty_cycle, |percent| percent as u32),
            project: project.unwrap_or(0) as u32,
            pset: place.pset as u32,
            cpu: place.cpu,
            binding: place.binding as u32,
            lgroup: self.lgroup(place.pset, namespace)?,
            lwp: lwp.map_or(class != class::SYS, |(lwp, _)| lwp),
            start_ns: layers.optional("start", |v| v.duration(0, HOUR_NS))?.unwrap_or(0),
            ..plain
        };
        Ok((thread, span))
    }

    /// The locality group that is the thread's home at the start, -1 if the kernel chooses.
    fn lgroup(&self, pset: usize, namespace: &Namespace) -> Result<i32, Box<Fault>> {
        let Some(value) = self.layers.get("lgroup") else { return Ok(-1) };
        namespace.lgroup(&value, pset)?.map(|lgroup| lgroup as i32).ok_or_else(|| {
            let message = format!(
                "the processor set `{}` has no CPU in this locality group",
                namespace.pset_name(pset)
            );
            value
                .fault(message)
                .help("leave `lgroup` out: the kernel chooses a home among those that have one")
        })
    }

    /// Where the thread may run.
    fn place(&self, namespace: &Namespace) -> Result<Place, Box<Fault>> {
        let layers = &self.layers;
        let pset = layers.optional("pset", |v| namespace.pset_with_cpus(v))?.unwrap_or(0);
        let binding = layers.optional("binding", |v| Ok((v.word("binding", binding::NAMES)?, v.clone())))?;
        let Some(value) = layers.get("cpu") else {
            return match binding {
                Some((_, binding)) => Err(binding
                    .key_fault("`binding` says how a thread is bound to its `cpu`")
                    .help("add: cpu = 0")),
                None => Ok(Place { pset, cpu: -1, binding: binding::AFFINITY as usize }),
            };
        };
        let cpu = namespace.cpu(&value)?;
        let needed = namespace.pset_of(cpu);
        if needed != pset {
            let (there, here) = (namespace.pset_name(needed), namespace.pset_name(pset));
            let message = format!("cpu {cpu} is in the processor set `{there}`, the thread in `{here}`");
            return Err(value.fault(message).help(format!("write: pset = \"{there}\"")));
        }
        let binding = binding.map_or(binding::AFFINITY as usize, |(place, _)| place);
        Ok(Place { pset, cpu: cpu as i32, binding })
    }
}

/// Where a thread may run.
struct Place {
    pset: usize,
    cpu: i32,
    binding: usize,
}

/// Threads, and the quanta that are given in time, by thread.
pub(super) type Records = (Vec<Thread>, Vec<(usize, Span)>);

/// The records of all threads, in the order of the file.
pub(super) fn records(
    drafts: &[Draft<'_>],
    namespace: &Namespace,
    streams: &[Stream],
) -> Result<Records, Box<Fault>> {
    let mut quanta = Vec::new();
    let mut records = Vec::with_capacity(namespace.threads.len());
    let mut origins = Vec::with_capacity(namespace.threads.len());
    for draft in drafts {
        let (record, quantum) = draft.record(namespace)?;
        for name in draft.names() {
            quanta.extend(quantum.map(|span| (records.len(), span)));
            records.push(Thread { name: pack_name(&name), ..record });
            origins.push(draft);
        }
    }
    for (me, draft) in origins.iter().enumerate() {
        if let Some(misfit) = work::misfit(me, &records).or_else(|| stream::misfit(me, &records, streams)) {
            return Err(draft.layers.need("work", "\"spin\"")?.fault(misfit));
        }
    }
    Ok((records, quanta))
}

/// The `name` of a thread or interrupt: printable ASCII that fits a name record.
pub(super) fn name<'t>(fields: &Fields<'t>) -> Result<&'t str, Box<Fault>> {
    name_of(&fields.need("name", "\"worker\"")?)
}

/// A name: printable ASCII that fits a name record.
fn name_of<'t>(value: &Value<'t>) -> Result<&'t str, Box<Fault>> {
    let name = value.string()?;
    if name.is_empty() || name.len() > THREAD_NAME_MAX || !name.bytes().all(|b| b.is_ascii_graphic()) {
        let message = format!("a name has 1 to {THREAD_NAME_MAX} printable ASCII characters and no blanks");
        return Err(value.fault(message));
    }
    Ok(name)
}
