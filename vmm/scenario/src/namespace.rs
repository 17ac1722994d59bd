//! The names that a scenario's file may refer to, and what each refers to.
//!
//! # Invariants
//! - Names of a kind are unique, and there are no more of a kind than the kernel has room for.

use std::collections::HashSet;

use umpire_shared::program::{Project, Pset};
use umpire_shared::{MAX_THREADS, unpack_name};

use super::error::Fault;
use super::field::{Fields, Value};
use super::interrupt;
use super::thread;
use super::topology::{self, Topology};

/// Interrupts that a program may have.
const MAX_INTERRUPTS: usize = 64;

/// What has a name or a number in a scenario, each kind in the order of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Namespace {
    /// Names of all threads, counted ones as `name/0`, `name/1` and so on.
    pub threads: Vec<String>,
    /// Names of all interrupts.
    pub interrupts: Vec<String>,
    /// Names of all task queues; `system_taskq` comes after them.
    pub taskqs: Vec<String>,
    /// Names of all streams.
    pub streams: Vec<String>,
    /// Projects.
    pub projects: Vec<Project>,
    /// Processor sets.
    pub psets: Vec<Pset>,
    /// Virtual CPUs.
    pub cpus: u32,
    /// How the CPUs share chips and cores, and divide into locality groups.
    pub topology: Option<Topology>,
}

impl Namespace {
    /// Collects the names of threads and interrupts, beside what `namespace` has already, and checks that names of a kind are
    /// unique.
    pub fn gather(
        root: &Fields<'_>,
        threads: &[thread::Draft<'_>],
        interrupts: &[interrupt::Draft<'_>],
        namespace: Namespace,
    ) -> Result<Namespace, Box<Fault>> {
        let count: usize = threads.iter().map(thread::Draft::len).sum();
        if count == 0 || count > MAX_THREADS {
            let message = format!("a scenario has 1 to {MAX_THREADS} threads, found {count}");
            return Err(at_list(root, "thread", message));
        }
        if interrupts.len() > MAX_INTERRUPTS {
            let message =
                format!("a scenario has at most {MAX_INTERRUPTS} interrupts, found {}", interrupts.len());
            return Err(at_list(root, "interrupt", message));
        }
        let names: Vec<String> = threads.iter().flat_map(thread::Draft::names).collect();
        unique(root, "thread", threads.iter().map(|d| d.name))?;
        unique(root, "thread", names.iter().map(String::as_str))?;
        unique(root, "interrupt", interrupts.iter().map(|d| d.name))?;
        unique(root, "taskq", namespace.taskqs.iter().map(String::as_str))?;
        unique(root, "stream", namespace.streams.iter().map(String::as_str))?;
        unique(root, "project", namespace.projects.iter().map(|p| unpack_name(&p.name)))?;
        unique(root, "pset", namespace.psets.iter().map(|p| unpack_name(&p.name)))?;
        let interrupts = interrupts.iter().map(|d| d.name.to_owned()).collect();
        Ok(Namespace { threads: names, interrupts, ..namespace })
    }

    /// A CPU's number.
    pub fn cpu(&self, value: &Value<'_>) -> Result<u32, Box<Fault>> {
        let cpu = value.number(0, i64::from(self.cpus) - 1);
        let cpu =
            cpu.map_err(|fault| fault.help(format!("the scenario has {} CPUs, counted from 0", self.cpus)))?;
        Ok(cpu as u32)
    }

    /// A thread, as its place.
    pub fn thread(&self, value: &Value<'_>) -> Result<usize, Box<Fault>> {
        let names: Vec<&str> = self.threads.iter().map(String::as_str).collect();
        value.word("thread", &names)
    }

    /// A task queue, as its place; `system_taskq` comes after those of the file.
    pub fn taskq(&self, value: &Value<'_>) -> Result<usize, Box<Fault>> {
        let names: Vec<&str> = self.taskqs.iter().map(String::as_str).chain([super::taskq::SYSTEM]).collect();
        value.word("task queue", &names)
    }

    /// A stream, as its place.
    pub fn stream(&self, value: &Value<'_>) -> Result<usize, Box<Fault>> {
        let names: Vec<&str> = self.streams.iter().map(String::as_str).collect();
        value.word("stream", &names)
    }

    /// A zone by its number: the place of its first project, by which it is named in programs, and that number.
    pub fn zone(&self, value: &Value<'_>) -> Result<(usize, u32), Box<Fault>> {
        let zone = value.number(0, topology::MAX_ZONE)? as u32;
        let first = self.projects.iter().position(|project| project.zone == zone);
        first.map(|first| (first, zone)).ok_or_else(|| {
            let mut zones: Vec<u32> = self.projects.iter().map(|project| project.zone).collect();
            zones.sort_unstable();
            zones.dedup();
            let zones: Vec<String> = zones.iter().map(u32::to_string).collect();
            let known = if zones.is_empty() {
                "there is none".to_owned()
            } else {
                format!("they are in {}", zones.join(", "))
            };
            value.fault(format!("no project is in zone {zone}; {known}"))
        })
    }

    /// A project, as its place.
    pub fn project(&self, value: &Value<'_>) -> Result<usize, Box<Fault>> {
        let names: Vec<&str> = self.projects.iter().map(|p| unpack_name(&p.name)).collect();
        value.word("project", &names)
    }

    /// A processor set, as its place plus one; `default` is 0.
    pub fn pset(&self, value: &Value<'_>) -> Result<usize, Box<Fault>> {
        let names = ["default"].into_iter().chain(self.psets.iter().map(|p| unpack_name(&p.name)));
        value.word("processor set", &names.collect::<Vec<_>>())
    }

    /// As [`Namespace::pset`], for a thread: no thread can run in a set without CPUs (`psrset -b` refuses it).
    pub fn pset_with_cpus(&self, value: &Value<'_>) -> Result<usize, Box<Fault>> {
        let place = self.pset(value)?;
        if place > 0 && self.psets[place - 1].cpus == 0 {
            let message = format!(
                "the processor set `{}` has no CPU, so no thread can run in it",
                self.pset_name(place)
            );
            return Err(value.fault(message).help("give the set CPUs, or the thread another set"));
        }
        Ok(place)
    }

    /// The processor set that a CPU is in at the start, as its place plus one; 0 for the default one.
    pub fn pset_of(&self, cpu: u32) -> usize {
        self.psets.iter().position(|p| p.cpus >> cpu & 1 == 1).map_or(0, |place| place + 1)
    }

    /// A locality group, by its number; `None` if the processor set, given as its place plus one, has no CPU in it.
    pub fn lgroup(&self, value: &Value<'_>, pset: usize) -> Result<Option<u32>, Box<Fault>> {
        let topology = self.topology.unwrap_or(Topology::flat(self.cpus));
        let lgroup = value.number(0, i64::from(topology.lgroups) - 1);
        let help = format!("`cpus` has lgroups = {}; groups are counted from 0", topology.lgroups);
        let lgroup = lgroup.map_err(|fault| fault.help(help))? as u32;
        let is_there = |cpu| topology.lgroup(lgroup) >> cpu & 1 == 1 && self.pset_of(cpu) == pset;
        Ok((0..self.cpus).any(is_there).then_some(lgroup))
    }

    /// The name of a processor set, by its place plus one.
    pub fn pset_name(&self, number: usize) -> &str {
        let set = number.checked_sub(1).and_then(|place| self.psets.get(place));
        set.map_or("default", |p| unpack_name(&p.name))
    }
}

/// A fault of a whole list of tables.
pub(super) fn at_list(root: &Fields<'_>, key: &str, message: String) -> Box<Fault> {
    match root.get(key) {
        Some(value) => value.key_fault(message),
        None => root.fault(message).help(format!("add a [[{key}]] table")),
    }
}

fn unique<'n>(root: &Fields<'_>, key: &str, names: impl Iterator<Item = &'n str>) -> Result<(), Box<Fault>> {
    let mut seen = HashSet::new();
    let Some(twice) = names.into_iter().find(|name| !seen.insert(*name)) else { return Ok(()) };
    let message = format!("two of the [[{key}]] tables are named `{twice}`");
    // The fault points at the second table of that name; a numbered name does not stand in the file as such.
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
