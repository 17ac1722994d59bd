//! A scenario's TOML text, read strictly into a [`Scenario`].
//!
//! # Invariants
//! - One pass over the file decides: names first (so that threads may refer to each other in any order), then
//!   what uses them, then each variant as a whole.

use toml::de::DeTable;

use super::bound;
use super::error::{Fault, Text};
use super::event;
use super::field::{Fields, Value};
use super::file::{DEFAULT_SAMPLE_HZ, Scenario};
use super::interrupt;
use super::namespace::Namespace;
use super::probe_bound;
use super::settings::{Script, Settings};
use super::table::{Shelf, Tables};
use super::thread;
use super::ticks::Place;
use super::topology::{self, Topology};
use super::variant::{Expect, GuestDeadman, Variant};
use super::{standing, stream, taskq};
use umpire_shared::sys::kmem::{MEMORY_DEFAULT, MEMORY_RANGE};
use umpire_shared::tunable;
use umpire_watch::monitor::{BoundSpec, MonitorKind};
use umpire_watch::probes::ProbeBound;

const KEYS: [&str; 23] = [
    "id",
    "title",
    "source",
    "teaches",
    "cpus",
    "run",
    "memory",
    "sample_hz",
    "set",
    "mutants",
    "console",
    "script",
    "tables",
    "project",
    "pset",
    "taskq",
    "stream",
    "thread",
    "interrupt",
    "event",
    "bound",
    "standing",
    "variant",
];
/// Keys of a variant.
const VARIANT_KEYS: [&str; 16] = [
    "name",
    "set",
    "mutants",
    "console",
    "script",
    "tables",
    "expect",
    "violates",
    "unjudged",
    "panic",
    "guest_deadman",
    "taskq",
    "stream",
    "thread",
    "interrupt",
    "event",
];
/// Variants that a file may have.
const MAX_VARIANTS: usize = 256;
/// CPUs of a scenario that does not give their number.
const CPUS: u32 = 2;
/// Run times, in ns, that make sense: 1 ms to an hour.
pub const RUN_NS: (u64, u64) = (1_000_000, 3_600_000_000_000);
/// Sampling rates, in Hz, that make sense.
pub const SAMPLE_HZ: (i64, i64) = (1, 1_000_000);

/// Reads a whole file. Files of dispatcher tables come from the shelf.
pub(super) fn scenario(text: Text<'_>, shelf: &Shelf) -> Result<Scenario, Box<Fault>> {
    let table = DeTable::parse(text.text).map_err(|e| syntax(text, &e))?;
    let root = Fields::open(text, "a scenario", &table, &KEYS)?;
    let cpus = root.get("cpus");
    let topology = cpus.as_ref().map(topology::read).transpose()?.unwrap_or(Topology::flat(CPUS));
    let threads = root.tables("thread", thread::Draft::read)?;
    let interrupts = root.tables("interrupt", interrupt::Draft::read)?;
    let taskqs = root.tables("taskq", taskq::Draft::read)?;
    let streams = root.tables("stream", stream::Draft::read)?;
    let named = Namespace {
        streams: streams.iter().map(|d| d.name.to_owned()).collect(),
        taskqs: taskqs.iter().map(|d| d.name.to_owned()).collect(),
        ..topology::places(&root, topology)?
    };
    let namespace = Namespace::gather(&root, &threads, &interrupts, named)?;
    let run_ns = root.need("run", "\"2s\"")?.duration(RUN_NS.0, RUN_NS.1)?;
    let mut bounds =
        tables_of_bounds(&root, false)?.iter().map(bound::read).collect::<Result<Vec<_>, _>>()?;
    if let Some(value) = root.get("standing") {
        bounds.extend(standing::read(&value, &bounds, run_ns)?);
    }
    let whole = Whole {
        shelf,
        namespace: &namespace,
        run_ns,
        bounds,
        probes: tables_of_bounds(&root, true)?.iter().map(probe_bound::read).collect::<Result<_, _>>()?,
    };
    let base = Base {
        settings: Settings::default().changed(&root)?,
        tables: Tables::default().changed(&root, shelf)?,
        taskqs,
        streams,
        threads,
        interrupts,
        events: root.get("event").map(|list| list.list_of_tables()).transpose()?.unwrap_or_default(),
    };
    // The scenario's own setting is checked even if every variant changes it.
    let own = whole.variant("default", &base, &root)?;
    let mut variants = match root.get("variant") {
        Some(list) => whole.variants(&list, &base)?,
        None => Vec::new(),
    };
    if variants.is_empty() {
        variants.push(own);
    }
    if whole.bounds.is_empty()
        && whole.probes.is_empty()
        && variants.iter().any(|v| v.expect != Expect::Panic)
    {
        let help = "add: [[bound]] with monitor = \"starvation\" and limit = \"50ms\"";
        return Err(root
            .fault("a scenario that expects \"held\" or \"violated\" needs a [[bound]]")
            .help(help));
    }
    bound::somebody(&root, &whole.bounds, &variants, topology.cpus())?;
    probe_bound::somebody(&root, &whole.probes, &variants)?;
    Ok(Scenario {
        id: id(&root)?,
        title: root.need("title", "\"What it shows\"")?.line(100)?.to_owned(),
        source: root.need("source", "\"illumos #1532\"")?.line(200)?.to_owned(),
        teaches: root.optional("teaches", |v| v.line(300))?.unwrap_or_default().to_owned(),
        origin: text.file.into(),
        cpus: topology.cpus(),
        topology: cpus.filter(Value::is_table).map(|_| topology),
        memory: root
            .optional("memory", |v| v.bytes(MEMORY_RANGE.0, MEMORY_RANGE.1))?
            .unwrap_or(MEMORY_DEFAULT),
        run_ns: whole.run_ns,
        sample_hz: root
            .optional("sample_hz", |v| v.number(SAMPLE_HZ.0, SAMPLE_HZ.1))?
            .map_or(DEFAULT_SAMPLE_HZ, |hz| hz as u32),
        bounds: whole.bounds,
        probes: whole.probes,
        variants,
        projects: namespace.projects,
        psets: namespace.psets,
    })
}

fn syntax(text: Text<'_>, error: &toml::de::Error) -> Box<Fault> {
    let span = error.span().unwrap_or(0..0);
    let line = text.text.get(..span.start).unwrap_or_default().rsplit('\n').next().unwrap_or_default();
    let fault = text.fault(span.clone(), format!("not valid TOML: {}", error.message().replace('\n', ", ")));
    match text.text.get(span) {
        Some(name) if line == "[" && error.message().contains("duplicate key") => {
            fault.help(format!("each has a table of its own: write [[{name}]] for [{name}]"))
        }
        _ => fault,
    }
}

fn id(root: &Fields<'_>) -> Result<String, Box<Fault>> {
    let value = root.need("id", "\"my_scenario\"")?;
    let id = value.line(64)?;
    if !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-') {
        return Err(value.fault("an ID has lower-case letters, digits, `_` and `-` only"));
    }
    Ok(id.to_owned())
}

/// What is the same for all variants.
struct Whole<'w> {
    shelf: &'w Shelf,
    namespace: &'w Namespace,
    run_ns: u64,
    bounds: Vec<BoundSpec>,
    probes: Vec<ProbeBound>,
}

/// The parts of a scenario that variants start from and change.
#[derive(Clone)]
struct Base<'t> {
    settings: Settings,
    tables: Tables,
    taskqs: Vec<taskq::Draft<'t>>,
    streams: Vec<stream::Draft<'t>>,
    threads: Vec<thread::Draft<'t>>,
    interrupts: Vec<interrupt::Draft<'t>>,
    events: Vec<Value<'t>>,
}

impl<'t> Base<'t> {
    /// The same parts, with what a variant's table changes.
    fn changed(&self, fields: &Fields<'t>, shelf: &Shelf) -> Result<Base<'t>, Box<Fault>> {
        let mut base = Base {
            settings: self.settings.changed(fields)?,
            tables: self.tables.changed(fields, shelf)?,
            ..self.clone()
        };
        for change in fields.optional("thread", Value::map)?.unwrap_or_default() {
            let Some(draft) = base.threads.iter_mut().find(|draft| draft.name == change.key) else {
                let names: Vec<&str> = self.threads.iter().map(|draft| draft.name).collect();
                return Err(change.unknown_key("thread", &names));
            };
            *draft = draft.changed(&change)?;
        }
        for change in fields.optional("taskq", Value::map)?.unwrap_or_default() {
            let Some(draft) = base.taskqs.iter_mut().find(|draft| draft.name == change.key) else {
                let names: Vec<&str> = self.taskqs.iter().map(|draft| draft.name).collect();
                return Err(change.unknown_key("taskq", &names));
            };
            *draft = draft.changed(&change)?;
        }
        for change in fields.optional("stream", Value::map)?.unwrap_or_default() {
            let Some(draft) = base.streams.iter_mut().find(|draft| draft.name == change.key) else {
                let names: Vec<&str> = self.streams.iter().map(|draft| draft.name).collect();
                return Err(change.unknown_key("stream", &names));
            };
            *draft = draft.changed(&change)?;
        }
        for change in fields.optional("interrupt", Value::map)?.unwrap_or_default() {
            let Some(draft) = base.interrupts.iter_mut().find(|draft| draft.name == change.key) else {
                let names: Vec<&str> = self.interrupts.iter().map(|draft| draft.name).collect();
                return Err(change.unknown_key("interrupt", &names));
            };
            *draft = draft.changed(&change)?;
        }
        base.events.extend(fields.optional("event", Value::list)?.unwrap_or_default());
        Ok(base)
    }
}

impl Whole<'_> {
    /// A variant of these parts that expects every bound to hold.
    fn variant(&self, name: &str, base: &Base<'_>, table: &Fields<'_>) -> Result<Variant, Box<Fault>> {
        let streams = stream::records(&base.streams, table)?;
        let (threads, thread_quanta) = thread::records(&base.threads, self.namespace, &streams)?;
        if let Some(message) = taskq::misfit_of_memory(&threads, &base.settings.tunables) {
            return Err(table.fault(message).help("add: set = { zpool = 1 }"));
        }
        let (events, event_quanta) = event::script(&base.events, self.namespace, &threads, self.run_ns)?;
        let (tables, row_quanta): (Vec<_>, Vec<_>) = base.tables.rows().unzip();
        let threads_spans = thread_quanta.into_iter().map(|(n, span)| (Place::Thread(n), span));
        let event_spans = event_quanta.into_iter().map(|(n, arg, span)| (Place::Event(n, arg), span));
        let row_spans = (0..).zip(row_quanta).map(|(n, span)| (Place::Row(n), span));
        let mut tunables = base.settings.tunables;
        let has_strmem = base.settings.has_strmem;
        if let Some(message) = stream::misfit_of_memory(tunables[tunable::STRMEM], has_strmem, &streams) {
            let set = table.get("set").and_then(|set| set.map().ok()).unwrap_or_default();
            let strmem = set.iter().find(|entry| entry.key == "strmem");
            let fault = strmem.map_or_else(|| table.fault(message.clone()), |v| v.fault(message.clone()));
            return Err(fault.help("without `strmem` a scenario gets as much as its streams need"));
        }
        stream::give_memory(&mut tunables, streams.len());
        let mut variant = Variant {
            name: name.to_owned(),
            expect: Expect::Held,
            violates: Vec::new(),
            violates_probes: Vec::new(),
            unjudged: Vec::new(),
            panic: None,
            guest_deadman: None,
            tunables,
            mutants: base.settings.mutants,
            console: base.settings.console,
            taskqs: taskq::records(&base.taskqs, table)?,
            streams,
            script: base.settings.script.unwrap_or(Script::DEFAULT),
            interrupts: interrupt::records(&base.interrupts, self.namespace, table)?,
            threads,
            events,
            tables,
            spans: threads_spans.chain(event_spans).chain(row_spans).collect(),
        };
        variant.count_ticks();
        Ok(variant)
    }

    fn variants<'t>(&self, list: &Value<'t>, base: &Base<'t>) -> Result<Vec<Variant>, Box<Fault>> {
        let tables = list.list_of_tables()?;
        if tables.len() > MAX_VARIANTS {
            let message = format!("a scenario has at most {MAX_VARIANTS} variants, found {}", tables.len());
            return Err(list.key_fault(message));
        }
        let mut variants: Vec<Variant> = Vec::new();
        for table in &tables {
            let fields = table.table("[[variant]]", &VARIANT_KEYS)?;
            let name = fields.need("name", "\"kpreemptpri=99\"")?;
            let text = name.line(60)?;
            if variants.iter().any(|v| v.name == text) {
                return Err(name.fault(format!("two of the [[variant]] tables are named `{text}`")));
            }
            let base = base.changed(&fields, self.shelf)?;
            let variant = self.variant(text, &base, &fields)?;
            variants.push(self.expecting(variant, &fields)?);
        }
        Ok(variants)
    }

    /// The variant with what its table expects.
    fn expecting(&self, variant: Variant, fields: &Fields<'_>) -> Result<Variant, Box<Fault>> {
        let expect = fields.need("expect", "\"held\"")?.word("expectation", &Expect::WORDS)?;
        let expect = Expect::from_place(expect);
        let (violates, violates_probes) =
            fields.optional("violates", |v| self.broken(v))?.unwrap_or_default();
        let unjudged = fields.optional("unjudged", |v| self.broken(v))?.unwrap_or_default().0;
        if let Some(both) =
            fields.get("unjudged").filter(|_| unjudged.iter().any(|kind| violates.contains(kind)))
        {
            let message = "what is to be violated has to judge something";
            return Err(both.key_fault(message).help("take it out of one of `violates` and `unjudged`"));
        }
        if let Some(violates) = fields.get("violates").filter(|_| expect == Expect::Held) {
            let message = "a variant that expects \"held\" violates nothing";
            return Err(violates.key_fault(message).help("write: expect = \"violated\""));
        }
        let panic = fields.optional("panic", |v| v.line(200))?;
        if let Some(panic) = fields.get("panic").filter(|_| expect != Expect::Panic) {
            let message = "`panic` is what a variant says that expects a panic";
            return Err(panic.key_fault(message).help("write: expect = \"panic\""));
        }
        let guest_deadman =
            fields.optional("guest_deadman", |v| v.word("state of the deadman", &GuestDeadman::WORDS))?;
        let guest_deadman = guest_deadman.map(|place| [GuestDeadman::Silent, GuestDeadman::Fired][place]);
        Ok(Variant {
            expect,
            violates,
            violates_probes,
            unjudged,
            panic: panic.map(str::to_owned),
            guest_deadman,
            ..variant
        })
    }

    /// A list of monitors, each of which has a bound here, and of bounds on probes.
    fn broken(&self, value: &Value<'_>) -> Result<(Vec<MonitorKind>, Vec<String>), Box<Fault>> {
        let mut names = MonitorKind::names();
        names.extend(self.probes.iter().map(|bound| bound.name.as_str()));
        let (mut monitors, mut probes) = (Vec::new(), Vec::new());
        for name in value.list()? {
            let place = name.word("monitor", &names)?;
            let Some(&kind) = MonitorKind::ALL.get(place) else {
                probes.push(names[place].to_owned());
                continue;
            };
            if !self.bounds.iter().any(|bound| bound.monitor == kind) {
                let message = format!("no [[bound]] has the monitor `{}`", kind.name());
                return Err(name.fault(message));
            }
            monitors.push(kind);
        }
        Ok((monitors, probes))
    }
}

/// The `[[bound]]` tables: those with a `probe`, or the others.
fn tables_of_bounds<'t>(root: &Fields<'t>, with_probe: bool) -> Result<Vec<Value<'t>>, Box<Fault>> {
    let mut tables = Vec::new();
    for table in root.get("bound").map(|list| list.list_of_tables()).transpose()?.unwrap_or_default() {
        if probe_bound::is_one(&table)? == with_probe {
            tables.push(table);
        }
    }
    Ok(tables)
}

#[cfg(test)]
mod machine_tests;
#[cfg(test)]
mod tests;
