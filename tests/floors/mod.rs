//! The floors of the kernel and the layers of what watches, compared with what the sources really use.
//!
//! # Invariants
//! - A module stands on the floor of the longest path in the table that leads to it; every module has one.
//! - It uses its own floor and those below. What it may use above stands in [`KERNEL_ROOTS`], or in [`KERNEL_ALLOWED`] by name and
//!   with the reason.
//! - A test that fails names every arrow that leads up, with its file and line.

mod arrows;
mod names;
mod self_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use arrows::{Arrow, Way};
use names::Tree;

/// The kernel's floors, from the ground: a name, and the modules that stand there.
///
/// The first is a circle of types that are mutual by nature: thread, CPU, run queue, partition and locality group point at
/// each other and embed the cells of locks, the root object holds them, and the platform names the current ones. What is to
/// come stands between `cpu` and `boot`, each with a line of its own.
const KERNEL_FLOORS: &[(&str, &[&str])] = &[
    ("sys", &["cell", "kernel", "lock::disp_lock", "lock::owner", "lock::ptr", "panic", "platform", "sys"]),
    ("lock", &["lock", "spl"]),
    ("mstate", &["kstat", "mstate", "probe"]),
    ("disp", &["disp", "lgrp"]),
    ("sync", &["sync"]),
    ("work", &["work"]),
    ("intr", &["intr"]),
    ("time", &["time"]),
    ("class", &["class", "cpucaps"]),
    ("thread", &["thread"]),
    ("cpu", &["cpu"]),
    ("kmem", &["kmem"]),
    ("taskq", &["taskq"]),
    ("zfs", &["zfs"]),
    ("vm", &["vm"]),
    ("streams", &["streams"]),
    ("net", &["net"]),
    ("boot", &["boot", "script", ""]),
];

/// Modules of the kernel's root objects. Each is a list of what the floors keep in it: it may hold a structure of any floor
/// and make it by its `new` or `default`, and it uses nothing else from above.
const KERNEL_ROOTS: &[&str] = &["kernel", "sys::cpu", "sys::thread"];

/// Arrows that may lead up, as `from -> to` with the reason.
const KERNEL_ALLOWED: &[(&str, &str, &str)] = &[
    ("boot", "kernel", "Kernel::new is the list of the states' new; only a platform calls it"),
    (
        "sys::spin",
        "kstat",
        "a turn is whole if its CPU counted no interrupt and no switch in it: two counters are read",
    ),
];

/// The layers within `vmm/watch`, lowest first; cargo orders the crates of the VMM.
const WATCH_LAYERS: &[(&str, &[&str])] = &[
    ("glass", &["glass"]),
    ("pictures", &["blame", "cpuinfo", "findstack", "why"]),
    ("monitor", &["monitor"]),
    ("probes", &["probes", ""]),
];

#[test]
fn no_module_of_the_kernel_uses_a_higher_floor() {
    let plan = Plan { floors: KERNEL_FLOORS, roots: KERNEL_ROOTS, allowed: KERNEL_ALLOWED };
    plan.check(&sources("guest/kernel/src"));
}

#[test]
fn no_module_that_watches_names_a_higher_one() {
    Plan { floors: WATCH_LAYERS, roots: &[], allowed: &[] }.check(&sources("vmm/watch/src"));
}

/// The floors that a crate must keep to.
struct Plan {
    floors: &'static [(&'static str, &'static [&'static str])],
    roots: &'static [&'static str],
    allowed: &'static [(&'static str, &'static str, &'static str)],
}

impl Plan {
    fn check(&self, files: &BTreeMap<String, String>) {
        let tree = Tree::parse(files);
        let all = arrows::find(&tree, self.roots);
        let broken = self.broken(&tree, &all);
        if std::env::var_os("UMPIRE_FLOORS").is_some() {
            eprintln!("{}", self.table(&all));
        }
        assert!(broken.is_empty(), "{}\n{} found:\n{}", self.table(&all), broken.len(), broken.join("\n"));
    }

    /// Everything that is not as the plan says.
    fn broken(&self, tree: &Tree, all: &[Arrow]) -> Vec<String> {
        let mut broken = Vec::new();
        for module in tree.modules.keys().filter(|module| self.floor(module).is_none()) {
            broken.push(format!("module {module} is on no floor: give it its place in the table"));
        }
        for name in self.floors.iter().flat_map(|(_, names)| *names) {
            if !tree.modules.contains_key(*name) {
                broken.push(format!("the table names {name}, and there is no such module"));
            }
        }
        let mut used = BTreeSet::new();
        for arrow in all.iter().filter(|arrow| self.leads_up(arrow)) {
            match self.allowed.iter().find(|(from, to, _)| *from == arrow.from && *to == arrow.to) {
                Some((from, to, _)) => _ = used.insert((*from, *to)),
                None => broken.push(format!(
                    "{}:{}: {} ({}) uses {} of {} ({})",
                    arrow.file,
                    arrow.line,
                    shown(&arrow.from),
                    self.name(&arrow.from),
                    arrow.what,
                    shown(&arrow.to),
                    self.name(&arrow.to)
                )),
            }
        }
        for (from, to, _) in self.allowed.iter().filter(|(from, to, _)| !used.contains(&(*from, *to))) {
            broken.push(format!("{from} may use {to}, and does not: take it off the list"));
        }
        broken
    }

    fn leads_up(&self, arrow: &Arrow) -> bool {
        let is_listed = arrow.way == Way::Embeds && self.roots.contains(&arrow.from.as_str());
        match (self.floor(&arrow.from), self.floor(&arrow.to)) {
            // A structure's methods are part of it: a module that adds some from above hides an arrow in every call.
            (Some(from), Some(to)) if arrow.way == Way::Methods => from > to,
            (Some(from), Some(to)) => from < to && !is_listed,
            _ => false,
        }
    }

    fn floor(&self, module: &str) -> Option<usize> {
        let holds = |name: &str| {
            name == module
                || !name.is_empty() && module.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"))
        };
        let places = self
            .floors
            .iter()
            .enumerate()
            .flat_map(|(n, (_, names))| names.iter().map(move |name| (n, *name)));
        places.filter(|(_, name)| holds(name)).max_by_key(|(_, name)| name.len()).map(|(n, _)| n)
    }

    fn name(&self, module: &str) -> &'static str {
        self.floor(module).map_or("nowhere", |n| self.floors[n].0)
    }

    /// How many modules of each floor use how many of each other floor.
    fn table(&self, arrows: &[Arrow]) -> String {
        let mut pairs: BTreeMap<(usize, usize), BTreeSet<(&str, &str)>> = BTreeMap::new();
        for arrow in arrows {
            if let (Some(from), Some(to)) = (self.floor(&arrow.from), self.floor(&arrow.to))
                && from != to
            {
                pairs.entry((from, to)).or_default().insert((&arrow.from, &arrow.to));
            }
        }
        let (mut text, mut all, mut up) = (String::new(), 0, 0);
        for ((from, to), modules) in &pairs {
            let is_up = if from < to { "  up" } else { "" };
            _ = writeln!(
                text,
                "{:>4} {} -> {}{is_up}",
                modules.len(),
                self.floors[*from].0,
                self.floors[*to].0
            );
            all += modules.len();
            up += if from < to { modules.len() } else { 0 };
        }
        _ = write!(text, "{all} arrows between modules of different floors, {up} of them up");
        text
    }
}

fn shown(module: &str) -> &str {
    if module.is_empty() { "the crate's root" } else { module }
}

/// The Rust files of a crate by their paths from its source folder.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let folder = super::root().join(folder);
    let of_crate =
        |path: &Path| path.strip_prefix(&folder).ok().map(|path| path.to_string_lossy().into_owned());
    let rust = super::files(&folder).filter(|path| path.extension().is_some_and(|e| e == "rs"));
    rust.filter_map(|path| Some((of_crate(&path)?, super::read(&path)))).collect()
}
