//! `[[bound]]` tables with a `monitor`: its name, the threads it is about, and what it is held to.
//!
//! # Invariants
//! - A filter that passes [`somebody`] means a thread of at least one variant.
//! - The monitors, the keys that each takes and the language of thread filters belong to [`umpire_watch::monitor`]; only their
//!   places in the file belong to this module.

use std::collections::BTreeMap;

use umpire_shared::program::{Verb, class};
use umpire_shared::sys::zio;
use umpire_shared::{roster, tunable, unpack_name};
use umpire_watch::monitor::{BoundSpec, Candidate, MonitorKind, Nobody, Promise, Takes, ThreadFilter, group};

use super::error::{Fault, quoted};
use super::field::{Fields, Value};
use super::probe_bound;
use super::suggest::{choices, hint};
use super::variant::Variant;

const HOUR_NS: u64 = 3_600_000_000_000;

/// Reads one `[[bound]]` table.
pub(super) fn read(value: &Value<'_>) -> Result<BoundSpec, Box<Fault>> {
    let fields =
        value.table("[[bound]]", &["monitor", "threads", "limit", "tolerance", "window", "duty", "probe"])?;
    let place = fields.need("monitor", "\"starvation\"")?.word("monitor", &MonitorKind::names())?;
    let monitor = MonitorKind::ALL[place];
    let threads = match fields.get("threads") {
        Some(threads) if !monitor.declaration().takes_threads => {
            let message = format!("the monitor `{}` watches no threads", monitor.name());
            return Err(threads.key_fault(message).help("remove `threads`"));
        }
        Some(threads) => Some(filter(&threads)?),
        None => None,
    };
    let takes = monitor.declaration().takes;
    for other in [Takes::Promise, Takes::Limit].into_iter().filter(|&other| other != takes) {
        if let Some((key, found)) = other.keys().iter().find_map(|key| Some((key, fields.get(key)?))) {
            let message = format!("the monitor `{}` has no `{key}`", monitor.name());
            return Err(found.key_fault(message).help(instead(takes)));
        }
    }
    match takes {
        Takes::Limit => {
            let limit_ns = fields.need("limit", "\"50ms\"")?.duration(0, HOUR_NS)?;
            Ok(BoundSpec { monitor, threads, limit_ns, promise: None, is_standing: false })
        }
        Takes::Promise => {
            let promise = promise(&fields)?;
            Ok(BoundSpec {
                monitor,
                threads,
                limit_ns: promise.limit_ns(),
                promise: Some(promise),
                is_standing: false,
            })
        }
    }
}

/// What to do about a key of the other kind.
fn instead(takes: Takes) -> &'static str {
    match takes {
        Takes::Limit => "it belongs to `share`",
        Takes::Promise => "give `tolerance` and `window`",
    }
}

/// A promise: `tolerance` in per cent, `window`, and `duty` in per cent for duty cycles.
fn promise(fields: &Fields<'_>) -> Result<Promise, Box<Fault>> {
    let tolerance_percent = fields.need("tolerance", "5")?.number(1, 100)? as u32;
    let window_ns = fields.need("window", "\"1s\"")?.duration(1_000_000, HOUR_NS)?;
    let duty_percent = fields.get("duty").map(|duty| duty.number(1, 100)).transpose()?.map(|n| n as u32);
    Ok(Promise { tolerance_percent, window_ns, duty_percent })
}

fn filter(value: &Value<'_>) -> Result<ThreadFilter, Box<Fault>> {
    let text = value.string()?;
    ThreadFilter::parse(text).map_err(|e| value.fault_inside(e.column.saturating_sub(1), e.message))
}

/// Checks that each bound's filter means a thread of at least one variant. `root` is the table with the bounds.
pub(super) fn somebody(
    root: &Fields<'_>,
    bounds: &[BoundSpec],
    variants: &[Variant],
    cpus: u32,
) -> Result<(), Box<Fault>> {
    let Some(list) = root.get("bound").filter(|_| bounds.iter().any(|bound| bound.threads.is_some())) else {
        return Ok(());
    };
    let own = own_threads(variants);
    let everyone: Vec<Candidate<'_>> = own
        .iter()
        .map(|(name, classes)| Candidate { name, classes: *classes })
        .chain(taskqs(variants).map(|name| Candidate { name, classes: 1 << class::SYS | 1 << class::SDC }))
        .chain(roster::name::ALL.map(|name| Candidate { name, classes: 1 << class::SYS }))
        .collect();
    let mut tables = list.list()?;
    tables.retain(|table| !probe_bound::is_one(table).unwrap_or(false));
    for (value, bound) in tables.iter().zip(bounds) {
        let Some(filter) = &bound.threads else { continue };
        // Only the scenario's own threads have a workload.
        let is_of_workloads = bound.monitor == MonitorKind::Progress;
        let threads = if is_of_workloads { &everyone[..own.len()] } else { &everyone };
        let Err(nobody) = filter.find(threads, cpus) else { continue };
        if let Some(filter) = value.map()?.iter().find(|entry| entry.key == "threads") {
            return Err(nobody_is_meant(filter, &nobody, threads));
        }
    }
    Ok(())
}

/// The names of task queues, and so of their threads, and of a pool's other threads.
pub(super) fn taskqs(variants: &[Variant]) -> impl Iterator<Item = &str> {
    let own = variants.first().map_or(&[][..], |variant| &variant.taskqs);
    let has_pool = variants.iter().any(|variant| variant.tunables[tunable::ZPOOL] != 0);
    let of_zfs = zio::ZIO_QUEUE_NAMES.into_iter().chain(zio::DAEMON_NAMES).filter(move |_| has_pool);
    own.iter().map(|tq| unpack_name(&tq.name)).chain(of_zfs)
}

/// The scenario's threads, each with the classes that it has in any variant, at the start or by an event, a bit each.
fn own_threads(variants: &[Variant]) -> BTreeMap<&str, u32> {
    let mut classes: BTreeMap<&str, u32> = BTreeMap::new();
    for variant in variants {
        for thread in &variant.threads {
            *classes.entry(unpack_name(&thread.name)).or_default() |= 1 << thread.class;
        }
        for event in variant.events.iter().map(|scripted| &scripted.event) {
            let thread = variant.threads.get(event.target as usize).filter(|_| event.verb == Verb::Priocntl);
            let class = u32::try_from(event.args[0]).ok().filter(|&n| (n as usize) < class::NAMES.len());
            if let (Some(thread), Some(class)) = (thread, class) {
                *classes.entry(unpack_name(&thread.name)).or_default() |= 1 << class;
            }
        }
    }
    classes
}

/// The fault of a filter that leaves nobody.
fn nobody_is_meant(value: &Value<'_>, nobody: &Nobody, threads: &[Candidate<'_>]) -> Box<Fault> {
    let offset = nobody.column.saturating_sub(1);
    let Some(unknown) = &nobody.unknown else {
        let message = format!("no thread of any variant is meant by `{}`", quoted(&nobody.so_far));
        let whole: Vec<String> = threads.iter().map(with_classes).collect();
        let whole: Vec<&str> = whole.iter().map(String::as_str).collect();
        return value.fault_inside(offset, message).help(format!("the threads: {}", choices(&whole)));
    };
    // A group stands for its threads.
    let mut names: Vec<&str> = threads.iter().map(|t| group(t.name).unwrap_or(t.name)).collect();
    names.dedup();
    let message =
        format!("no thread of any variant is called `{}`{}", quoted(unknown), hint(unknown, &names));
    value.fault_inside(offset, message).help(choices(&names))
}

/// A thread's name and classes in words.
fn with_classes(thread: &Candidate<'_>) -> String {
    let classes = (0..).zip(class::NAMES).filter(|(n, _)| thread.classes >> n & 1 == 1);
    let classes: Vec<&str> = classes.map(|(_, name)| *name).collect();
    format!("{} ({})", thread.name, classes.join(" or "))
}

#[cfg(test)]
mod tests {
    use crate::{Scenario, ScenarioError};

    const SCENARIO: &str = "id = \"b\"\ntitle = \"t\"\nsource = \"s\"\nteaches = \"l\"\ncpus = 1\nrun = \"1s\"\n\
        [[thread]]\nname = \"t\"\nclass = \"TS\"\npri = 0\nwork = \"spin\"\n[[bound]]\n";

    fn parse(bound: &str) -> Result<Scenario, ScenarioError> {
        Scenario::parse(&format!("{SCENARIO}{bound}\n"), "b.toml")
    }

    #[test]
    fn share_takes_a_tolerance_a_window_and_perhaps_a_duty_cycle() {
        let scenario = parse("monitor = \"share\"\ntolerance = 5\nwindow = \"2s\"\nduty = 80");
        let scenario = scenario.unwrap_or_else(|e| panic!("{e}"));

        let promise = scenario.bounds[0].promise.expect("a share promises something");
        assert_eq!(
            (promise.tolerance_percent, promise.window_ns, promise.duty_percent),
            (5, 2_000_000_000, Some(80))
        );
        // The part of a window that may be missing.
        assert_eq!(scenario.bounds[0].limit_ns, 100_000_000);
    }

    #[test]
    fn bounds_that_promise_nothing_right_point_to_the_mistake() {
        let cases = [
            ("monitor = \"share\"\nwindow = \"2s\"", "`tolerance`"),
            ("monitor = \"share\"\ntolerance = 5", "`window`"),
            (
                "monitor = \"share\"\ntolerance = 0\nwindow = \"2s\"",
                "`tolerance` must be from 1 to 100, found 0",
            ),
            ("monitor = \"share\"\ntolerance = 5\nwindow = \"1us\"", "`window` must be from 1ms to"),
            (
                "monitor = \"share\"\ntolerance = 5\nwindow = \"2s\"\nduty = 101",
                "`duty` must be from 1 to 100",
            ),
            (
                "monitor = \"share\"\ntolerance = 5\nwindow = \"2s\"\nlimit = \"1ms\"",
                "`share` has no `limit`",
            ),
            ("monitor = \"order\"\nlimit = \"1ms\"\nduty = 5", "the monitor `order` has no `duty`"),
            (
                "monitor = \"progress\"\nlimit = \"1ms\"\nthreads = \"name == tt\"",
                "b.toml:15:20: no thread of any variant is called `tt`",
            ),
            ("monitor = \"order\"\nlimit = \"1ms\"\nthreads = \"pri > 1\"", "`order` watches no threads"),
        ];
        for (bound, expected) in cases {
            let error = parse(bound).expect_err(bound).to_string();
            assert!(error.contains(expected), "{bound}:\n{error}\nexpected: {expected}");
            assert!(error.starts_with("b.toml:"), "{error}");
        }
    }

    const GROUP: &str = "id = \"b\"\ntitle = \"t\"\nsource = \"s\"\ncpus = 2\nrun = \"1s\"\n\
        [[thread]]\nname = \"hog\"\nclass = \"SYS\"\npri = 60\nwork = \"spin\"\n\
        [[thread]]\nname = \"victim\"\nclass = \"TS\"\npri = 0\ncount = 3\nwork = \"spin\"\n\
        [[event]]\nat = \"1ms\"\npriocntl = { thread = \"hog\", class = \"RT\", pri = 0 }\n\
        [[variant]]\nname = \"v\"\nexpect = \"held\"\nthread = { victim = { class = \"FX\" } }\n\
        [[bound]]\nlimit = \"1s\"\n";

    fn parse_group(monitor: &str, filter: &str) -> Result<Scenario, String> {
        let text = format!("{GROUP}monitor = \"{monitor}\"\nthreads = \"{filter}\"\n");
        Scenario::parse(&text, "b.toml").map_err(|e| e.to_string())
    }

    #[test]
    fn filter_that_means_somebody_is_taken() {
        for filter in [
            "name == victim",
            "name == victim/2",
            "name ^= vic",
            "name == hog and class == RT",
            "name == victim and class == FX",
            "class == SYS and cpu == 1",
        ] {
            parse_group("progress", filter).map(|_| ()).unwrap_or_else(|e| panic!("{filter}:\n{e}"));
        }
        parse_group("latency", "name == callout_taskq").map(|_| ()).unwrap_or_else(|e| panic!("{e}"));
    }

    #[test]
    fn filter_that_means_nobody_shows_place_and_nearest_name() {
        let error = parse_group("progress", "name == victm").expect_err("a slip of the pen");
        let parts = [
            "b.toml:27:20: no thread of any variant is called `victm`; did you mean `victim`?",
            "= expected one of: hog, victim",
        ];
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        for (monitor, filter, part) in [
            ("progress", "name ^= ictim", ":20: no thread of any variant is called `ictim`"),
            ("progress", "name == victim/3", ":20: no thread of any variant is called `victim/3`"),
            ("progress", "name == callout_taskq", ":20: no thread of any variant is called `callout_taskq`"),
            (
                "latency",
                "name == hog and class == TS",
                ":37: no thread of any variant is meant by `name == hog and class == TS`",
            ),
            ("progress", "class == IA", "hog (SYS or RT), victim/0 (FX)"),
            ("latency", "cpu == 2", ":19: no thread of any variant is meant by `cpu == 2`"),
            ("latency", "pri > 200", ":18: no thread of any variant is meant by `pri > 200`"),
        ] {
            let error = parse_group(monitor, filter).expect_err(filter);
            assert!(error.contains(part), "{filter}:\n{error}\nexpected: {part}");
        }
    }
}
