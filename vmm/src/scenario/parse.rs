//! A scenario's TOML text, read strictly into a [`Scenario`].
//!
//! # Invariants
//! - One pass over the file decides: names first (so that threads may refer to each other in any order), then
//!   what uses them, then each variant as a whole.

use std::collections::HashSet;

use toml::de::DeTable;
use umpire_shared::mutant::MUTANTS;
use umpire_shared::program::Interrupt;
use umpire_shared::tunable::{COUNT, TUNABLES};
use umpire_shared::{MAX_CPUS, MAX_THREADS, pack_name};

use super::bound;
use super::error::{Fault, Text};
use super::field::{Fields, Value};
use super::file::{DEFAULT_SAMPLE_HZ, Scenario};
use super::thread::{self, Draft};
use super::variant::{Expect, GuestDeadman, Variant};
use super::work::Cast;

const KEYS: [&str; 13] = [
    "id",
    "title",
    "source",
    "teaches",
    "cpus",
    "run",
    "sample_hz",
    "set",
    "mutants",
    "thread",
    "interrupt",
    "bound",
    "variant",
];
/// Variants that a file may have.
const MAX_VARIANTS: usize = 256;
/// Interrupts that a program may have.
const MAX_INTERRUPTS: usize = 64;
/// Interrupts that one CPU may take: the kernel has a fixed number of cyclics a CPU.
const MAX_INTERRUPTS_A_CPU: usize = 16;
/// Run times, in ns, that make sense: 1 ms to an hour.
pub(crate) const RUN_NS: (u64, u64) = (1_000_000, 3_600_000_000_000);
/// Sampling rates, in Hz, that make sense.
pub(crate) const SAMPLE_HZ: (i64, i64) = (1, 1_000_000);

/// Reads a whole file.
pub(super) fn scenario(text: Text<'_>) -> Result<Scenario, Box<Fault>> {
    let table = DeTable::parse(text.text).map_err(|e| syntax(text, &e))?;
    let root = Fields::open(text, "a scenario", &table, &KEYS)?;
    let cpus = optional(&root, "cpus", |v| v.number(1, MAX_CPUS as i64))?.unwrap_or(2) as u32;
    let drafts = tables(&root, "thread", Draft::read)?;
    let interrupts = tables(&root, "interrupt", |v| interrupt(v, cpus))?;
    let cast = cast(&root, &drafts, &interrupts, cpus)?;
    let base = Settings::default().changed(&root)?;
    // The scenario's own threads are checked even if every variant replaces them.
    let threads = thread::records(&drafts, &cast)?;
    let bounds = tables(&root, "bound", bound::read)?;
    let mut variants = match root.get("variant") {
        Some(list) => variants(&list, &Whole { drafts: &drafts, cast: &cast, base: &base })?,
        None => Vec::new(),
    };
    if variants.is_empty() {
        variants.push(base.variant("default", Expect::Held, None, threads));
    }
    if bounds.is_empty() && variants.iter().any(|v| v.expect != Expect::Panic) {
        let help = "add: [[bound]] with monitor = \"starvation\" and limit = \"50ms\"";
        return Err(root
            .fault("a scenario that expects \"held\" or \"violated\" needs a [[bound]]")
            .help(help));
    }
    Ok(Scenario {
        id: id(&root)?,
        title: root.need("title", "\"What it shows\"")?.line(100)?.to_owned(),
        source: root.need("source", "\"illumos #1532\"")?.line(200)?.to_owned(),
        teaches: optional(&root, "teaches", |v| v.line(300))?.unwrap_or_default().to_owned(),
        origin: text.file.to_owned(),
        cpus,
        run_ns: root.need("run", "\"2s\"")?.duration(RUN_NS.0, RUN_NS.1)?,
        sample_hz: optional(&root, "sample_hz", |v| v.number(SAMPLE_HZ.0, SAMPLE_HZ.1))?
            .map_or(DEFAULT_SAMPLE_HZ, |hz| hz as u32),
        interrupts,
        bounds,
        variants,
    })
}

fn syntax(text: Text<'_>, error: &toml::de::Error) -> Box<Fault> {
    let span = error.span().unwrap_or(0..0);
    text.fault(span, format!("not valid TOML: {}", error.message().replace('\n', ", ")))
}

fn id(root: &Fields<'_>) -> Result<String, Box<Fault>> {
    let value = root.need("id", "\"my_scenario\"")?;
    let id = value.line(64)?;
    if !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-') {
        return Err(value.fault("an ID has lower-case letters, digits, `_` and `-` only"));
    }
    Ok(id.to_owned())
}

/// The value of a key, read, if the key is there.
fn optional<'t, T>(
    fields: &Fields<'t>,
    key: &str,
    read: impl Fn(&Value<'t>) -> Result<T, Box<Fault>>,
) -> Result<Option<T>, Box<Fault>> {
    fields.get(key).map(|value| read(&value)).transpose()
}

/// The tables of an array of tables, read; none if the key is not there.
fn tables<'t, T>(
    root: &Fields<'t>,
    key: &str,
    read: impl Fn(&Value<'t>) -> Result<T, Box<Fault>>,
) -> Result<Vec<T>, Box<Fault>> {
    match root.get(key) {
        Some(list) => list.list()?.iter().map(read).collect(),
        None => Ok(Vec::new()),
    }
}

fn interrupt(value: &Value<'_>, cpus: u32) -> Result<Interrupt, Box<Fault>> {
    let fields = value.table("[[interrupt]]", &["name", "cpu", "pil", "rate_hz"])?;
    let cpu = fields.need("cpu", "0")?.number(0, i64::from(cpus) - 1);
    let cpu = cpu.map_err(|fault| fault.help(format!("the scenario has {cpus} CPUs, counted from 0")))?;
    Ok(Interrupt {
        name: pack_name(thread::name(&fields)?),
        cpu: cpu as u32,
        pil: fields.need("pil", "6")?.number(1, 9)? as u32,
        rate_hz: fields.need("rate_hz", "1000")?.number(1, 100_000)?.cast_unsigned(),
    })
}

/// Everybody's names, each unique, and not more than the kernel has room for.
fn cast(
    root: &Fields<'_>,
    drafts: &[Draft<'_>],
    interrupts: &[Interrupt],
    cpus: u32,
) -> Result<Cast, Box<Fault>> {
    let count: usize = drafts.iter().map(Draft::len).sum();
    if count == 0 || count > MAX_THREADS {
        let message = format!("a scenario has 1 to {MAX_THREADS} threads, found {count}");
        return Err(at_list(root, "thread", message));
    }
    if interrupts.len() > MAX_INTERRUPTS {
        let message =
            format!("a scenario has at most {MAX_INTERRUPTS} interrupts, found {}", interrupts.len());
        return Err(at_list(root, "interrupt", message));
    }
    let most = (0..cpus).map(|cpu| interrupts.iter().filter(|i| i.cpu == cpu).count()).max().unwrap_or(0);
    if most > MAX_INTERRUPTS_A_CPU {
        let message = format!("one CPU takes at most {MAX_INTERRUPTS_A_CPU} interrupts, found {most}");
        return Err(at_list(root, "interrupt", message));
    }
    let threads: Vec<String> = drafts.iter().flat_map(Draft::names).collect();
    let interrupts: Vec<String> =
        interrupts.iter().map(|i| umpire_shared::unpack_name(&i.name).to_owned()).collect();
    unique(root, "thread", drafts.iter().map(|d| d.name))?;
    unique(root, "thread", threads.iter().map(String::as_str))?;
    unique(root, "interrupt", interrupts.iter().map(String::as_str))?;
    Ok(Cast { threads, interrupts, cpus })
}

fn at_list(root: &Fields<'_>, key: &str, message: String) -> Box<Fault> {
    match root.get(key) {
        Some(value) => value.key_fault(message),
        None => root.fault(message).help(format!("add a [[{key}]] table")),
    }
}

fn unique<'n>(root: &Fields<'_>, key: &str, names: impl Iterator<Item = &'n str>) -> Result<(), Box<Fault>> {
    let mut seen = HashSet::new();
    let Some(twice) = names.into_iter().find(|name| !seen.insert(*name)) else { return Ok(()) };
    let message = format!("two of the [[{key}]] tables are named `{twice}`");
    // Point at the second table that says so; a numbered name is not in the file as such.
    let named = |entry: &Value<'_>| {
        let name = entry.map().ok()?.into_iter().find(|field| field.key == "name")?;
        (name.string().ok()? == twice).then(|| name.fault(message.clone()))
    };
    let mut faults = root.get(key).and_then(|list| list.list().ok()).unwrap_or_default().into_iter();
    Err(faults
        .by_ref()
        .filter_map(|entry| named(&entry))
        .nth(1)
        .unwrap_or_else(|| at_list(root, key, message)))
}

/// Tunables and mutants, as far as they are set.
#[derive(Debug, Clone)]
struct Settings {
    tunables: [i64; COUNT],
    mutants: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { tunables: std::array::from_fn(|n| TUNABLES[n].default), mutants: 0 }
    }
}

impl Settings {
    /// These settings with the `set` and `mutants` of a table on top.
    fn changed(&self, fields: &Fields<'_>) -> Result<Settings, Box<Fault>> {
        let mut settings = self.clone();
        if let Some(set) = fields.get("set") {
            for entry in set.map()? {
                let names: Vec<&str> = TUNABLES.iter().map(|t| t.name).collect();
                let Some(number) = TUNABLES.iter().position(|t| t.name == entry.key) else {
                    return Err(unknown_key(&entry, "tunable", &names));
                };
                let tunable = &TUNABLES[number];
                let value = entry.number(tunable.min, tunable.max);
                settings.tunables[number] = value.map_err(|fault| fault.help(tunable.doc))?;
            }
        }
        if let Some(mutants) = fields.get("mutants") {
            let names: Vec<&str> = MUTANTS.iter().map(|m| m.name).collect();
            for mutant in mutants.list()? {
                settings.mutants |= MUTANTS[mutant.word("mutant", &names)?].bit;
            }
        }
        Ok(settings)
    }

    fn variant(
        &self,
        name: &str,
        expect: Expect,
        guest_deadman: Option<GuestDeadman>,
        threads: Vec<umpire_shared::program::Thread>,
    ) -> Variant {
        let Settings { tunables, mutants } = self.clone();
        Variant { name: name.to_owned(), expect, guest_deadman, tunables, mutants, threads }
    }
}

fn unknown_key(entry: &Value<'_>, what: &str, names: &[&str]) -> Box<Fault> {
    use super::error::quoted;
    use super::suggest::{choices, hint};
    let message = format!("unknown {what} `{}`{}", quoted(&entry.key), hint(&entry.key, names));
    entry.key_fault(message).help(choices(names))
}

/// What all variants start from.
struct Whole<'w, 't> {
    drafts: &'w [Draft<'t>],
    cast: &'w Cast,
    base: &'w Settings,
}

fn variants<'t>(list: &Value<'t>, whole: &Whole<'_, 't>) -> Result<Vec<Variant>, Box<Fault>> {
    let tables = list.list()?;
    if tables.len() > MAX_VARIANTS {
        return Err(
            list.key_fault(format!("a scenario has at most {MAX_VARIANTS} variants, found {}", tables.len()))
        );
    }
    let mut variants: Vec<Variant> = Vec::new();
    for table in &tables {
        let variant = variant(table, whole)?;
        if variants.iter().any(|v| v.name == variant.name) {
            let fields = table.map()?;
            let name = fields.iter().find(|field| field.key == "name").unwrap_or(table);
            return Err(name.fault(format!("two of the [[variant]] tables are named `{}`", variant.name)));
        }
        variants.push(variant);
    }
    Ok(variants)
}

fn variant<'t>(table: &Value<'t>, whole: &Whole<'_, 't>) -> Result<Variant, Box<Fault>> {
    let keys = ["name", "set", "mutants", "expect", "guest_deadman", "thread"];
    let fields = table.table("[[variant]]", &keys)?;
    let name = fields.need("name", "\"kpreemptpri=99\"")?.line(60)?;
    let expect = fields.need("expect", "\"held\"")?.word("expectation", &Expect::WORDS)?;
    let guest_deadman =
        optional(&fields, "guest_deadman", |v| v.word("state of the deadman", &GuestDeadman::WORDS))?;
    let guest_deadman = guest_deadman.map(|place| [GuestDeadman::Silent, GuestDeadman::Fired][place]);
    let mut drafts = whole.drafts.to_vec();
    for change in optional(&fields, "thread", Value::map)?.unwrap_or_default() {
        let Some(draft) = drafts.iter_mut().find(|draft| draft.name == change.key) else {
            let names: Vec<&str> = whole.drafts.iter().map(|draft| draft.name).collect();
            return Err(unknown_key(&change, "thread", &names));
        };
        *draft = draft.changed(&change)?;
    }
    let threads = thread::records(&drafts, whole.cast)?;
    let settings = whole.base.changed(&fields)?;
    Ok(settings.variant(name, Expect::from_place(expect), guest_deadman, threads))
}

#[cfg(test)]
mod tests;
