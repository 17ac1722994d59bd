//! `[[bound]]` tables: a monitor's name, the threads it is about, and what it is held to.
//!
//! # Invariants
//! - The monitors, the keys that each takes and the language of thread filters belong to [`umpire_watch::monitor`]; only their
//!   places in the file belong to this module.

use umpire_watch::monitor::{BoundSpec, MonitorKind, Promise, Takes, ThreadFilter};

use super::error::Fault;
use super::field::{Fields, Value};

const HOUR_NS: u64 = 3_600_000_000_000;

/// Reads one `[[bound]]` table.
pub(super) fn read(value: &Value<'_>) -> Result<BoundSpec, Box<Fault>> {
    let fields = value.table("[[bound]]", &["monitor", "threads", "limit", "tolerance", "window", "duty"])?;
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
            Ok(BoundSpec { monitor, threads, limit_ns, promise: None })
        }
        Takes::Promise => {
            let promise = promise(&fields)?;
            Ok(BoundSpec { monitor, threads, limit_ns: promise.limit_ns(), promise: Some(promise) })
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
            ("monitor = \"order\"\nlimit = \"1ms\"\nthreads = \"pri > 1\"", "`order` watches no threads"),
        ];
        for (bound, expected) in cases {
            let error = parse(bound).expect_err(bound).to_string();
            assert!(error.contains(expected), "{bound}:\n{error}\nexpected: {expected}");
            assert!(error.starts_with("b.toml:"), "{error}");
        }
    }
}
