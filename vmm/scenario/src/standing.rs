//! `standing`: the bounds that a scenario has without writing them down.
//!
//! What no sound kernel breaks, whatever its load, need not be thought of anew in each file: a run queue that is wrong, a thread on two
//! CPUs, time that is charged to nobody. Each monitor says in its declaration whether there is such a bound of it, and its limit.
//!
//! # Invariants
//! - A monitor that has a bound in the file has no standing one: who writes one down means that one.
//! - A standing bound can be broken within the run: one whose limit is not below it is left away.

use umpire_watch::monitor::{BoundSpec, MonitorKind};

use super::error::Fault;
use super::field::Value;

/// The standing bounds that `standing` asks for, beside the file's `own`: `true` for all, `{ without = [...] }` for all but some.
pub(super) fn read(value: &Value<'_>, own: &[BoundSpec], run_ns: u64) -> Result<Vec<BoundSpec>, Box<Fault>> {
    let without = match value.is_table() {
        true => left_out(value, own)?,
        false if value.boolean()? => Vec::new(),
        false => return Ok(Vec::new()),
    };
    let is_wanted =
        |kind: &MonitorKind| !without.contains(kind) && own.iter().all(|bound| bound.monitor != *kind);
    let bounds = MonitorKind::ALL.into_iter().filter(is_wanted).filter_map(MonitorKind::standing);
    Ok(bounds.filter(|bound| bound.limit_ns < run_ns).collect())
}

fn left_out(value: &Value<'_>, own: &[BoundSpec]) -> Result<Vec<MonitorKind>, Box<Fault>> {
    let list = value.table("`standing`", &["without"])?.need("without", "[\"heartbeat\"]")?;
    let mut without = Vec::new();
    for name in list.list()? {
        let kind = MonitorKind::ALL[name.word("monitor", &MonitorKind::names())?];
        if kind.standing().is_none() {
            return Err(name.fault(format!("the monitor `{}` has no standing bound", kind.name())));
        }
        if own.iter().any(|bound| bound.monitor == kind) {
            let message =
                format!("`{}` has a [[bound]] of its own here, and so no standing one", kind.name());
            return Err(name.fault(message).help("take it out of `without`"));
        }
        without.push(kind);
    }
    Ok(without)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scenario;

    const FILE: &str = r#"id = "a"
title = "A"
source = "test"
run = "150ms"
standing = true

[[thread]]
name = "t"
class = "TS"
pri = 0
work = "spin"

[[bound]]
monitor = "order"
limit = "7ms"
"#;

    fn kinds(standing: &str) -> Result<Vec<(MonitorKind, bool)>, String> {
        let text = FILE.replacen("standing = true", standing, 1);
        let scenario = Scenario::parse(&text, "s.toml").map_err(|e| e.to_string())?;
        Ok(scenario.bounds.iter().map(|bound| (bound.monitor, bound.is_standing)).collect())
    }

    #[test]
    fn own_bounds_come_first_and_stand_for_themselves() {
        let all = kinds("standing = true").expect("a good file");
        assert_eq!(all[0], (MonitorKind::Order, false));
        assert!(all[1..].iter().all(|(kind, is_standing)| *is_standing && *kind != MonitorKind::Order));
        assert!(all.contains(&(MonitorKind::Heartbeat, true)));
        assert!(!all.iter().any(|(kind, _)| *kind == MonitorKind::Taskq), "a second is not below the run");
        assert_eq!(kinds("standing = false").map(|all| all.len()), Ok(1));
        let but = kinds("standing = { without = [\"heartbeat\"] }").expect("a good file");
        assert_eq!(but.len(), all.len() - 1);
        assert!(!but.contains(&(MonitorKind::Heartbeat, true)));
    }

    #[test]
    fn what_is_left_out_has_to_be_there() {
        for (standing, expected) in [
            (
                "standing = { without = [\"hearbeat\"] }",
                "unknown monitor `hearbeat`; did you mean `heartbeat`?",
            ),
            ("standing = { without = [\"progress\"] }", "the monitor `progress` has no standing bound"),
            ("standing = { without = [\"order\"] }", "`order` has a [[bound]] of its own here"),
            ("standing = { but = [] }", "`standing` has no field `but`"),
            ("standing = \"all\"", "expected true or false for `standing`"),
        ] {
            let said = kinds(standing).expect_err("a bad file");
            assert!(said.contains(expected), "{standing}: {said}");
        }
    }
}
