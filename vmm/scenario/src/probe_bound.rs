//! `[[bound]]` tables with a `probe`: what is asked of the records of the guest's probes.
//!
//! # Invariants
//! - A filter that passes [`somebody`] names threads that there are in at least one variant.
//! - The rules and the language of record filters belong to [`umpire_watch::probes`]; only their places in the file belong to this
//!   module.

use std::collections::BTreeSet;

use umpire_shared::event::Kind;
use umpire_shared::{roster, unpack_name};
use umpire_watch::monitor::{MonitorKind, group};
use umpire_watch::probes::{By, ProbeBound, RecordFilter, Rule, Sight};

use super::error::{Fault, quoted};
use super::field::{Fields, Value};
use super::suggest::{choices, hint};
use super::variant::Variant;

const HOUR_NS: u64 = 3_600_000_000_000;
/// The keys of such a table.
pub(super) const KEYS: [&str; 11] =
    ["probe", "where", "name", "after", "count", "max_gap", "then", "within", "before", "by", "order"];
/// What a bound may be held to: one of these.
const RULES: [&str; 3] = ["count", "max_gap", "then"];
/// Keys that mean something only beside `then`.
const OF_THEN: [&str; 4] = ["within", "before", "by", "order"];

/// True if a `[[bound]]` is one of these.
pub(super) fn is_one(value: &Value<'_>) -> Result<bool, Box<Fault>> {
    Ok(value.map()?.iter().any(|entry| entry.key == "probe"))
}

/// Reads one `[[bound]]` table.
pub(super) fn read(value: &Value<'_>) -> Result<ProbeBound, Box<Fault>> {
    let fields = value.table("[[bound]] with a `probe`", &KEYS)?;
    let what = sight(&fields.need("probe", "\"poke\"")?, fields.get("where").as_ref())?;
    let mut given = RULES.into_iter().filter_map(|key| fields.get(key));
    let help = "write one of: count = { max = 10 }, max_gap = \"50ms\", then = \"surrender\"";
    let Some(rule) = given.next() else {
        return Err(fields.fault("a bound on a probe says what its records are held to").help(help));
    };
    if let Some(other) = given.next() {
        let message = format!("a bound is held to one thing, found `{}` beside `{}`", other.key, rule.key);
        return Err(other.key_fault(message).help("write two [[bound]] tables"));
    }
    if rule.key != "then"
        && let Some(other) = OF_THEN.into_iter().find_map(|key| fields.get(key))
    {
        let message = format!("`{}` is about what follows, and this bound has no `then`", other.key);
        return Err(other.key_fault(message).help("add: then = \"surrender\""));
    }
    let (rule, kind) = match rule.key.as_ref() {
        "count" => (count(&rule)?, "count"),
        "max_gap" => (Rule::Gap(rule.duration(0, HOUR_NS)?), "gap"),
        _ => then(&fields, &rule)?,
    };
    let name = fields.optional("name", |name| own_name(name))?;
    Ok(ProbeBound {
        name: name.unwrap_or_else(|| format!("{} {kind}", what.kind.name())),
        what,
        after_ns: fields.optional("after", |after| after.duration(0, HOUR_NS))?.unwrap_or(0),
        rule,
    })
}

/// A name for results; that of a monitor would be mistaken for it.
fn own_name(value: &Value<'_>) -> Result<String, Box<Fault>> {
    let name = value.line(40)?;
    if MonitorKind::names().contains(&name) {
        return Err(value.fault(format!("`{name}` is a monitor's name")).help("give the bound another"));
    }
    Ok(name.to_owned())
}

/// A probe by its name, and which of its records.
fn sight(probe: &Value<'_>, filter: Option<&Value<'_>>) -> Result<Sight, Box<Fault>> {
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let kind = Kind::ALL[probe.word("probe", &names)?];
    let parse = |value: &Value<'_>| {
        let parsed = RecordFilter::parse(kind, value.string()?);
        parsed.map_err(|e| value.fault_inside(e.column.saturating_sub(1), e.message))
    };
    Ok(Sight { kind, filter: filter.map(parse).transpose()? })
}

/// A probe's name, or a table with a probe and a filter.
fn other_sight(value: &Value<'_>) -> Result<Sight, Box<Fault>> {
    if value.is_string() {
        return sight(value, None);
    }
    let fields = value.table("what follows", &["probe", "where"])?;
    sight(&fields.need("probe", "\"surrender\"")?, fields.get("where").as_ref())
}

fn count(value: &Value<'_>) -> Result<Rule, Box<Fault>> {
    let fields = value.table("`count`", &["min", "max"])?;
    let number = |key: &str| fields.optional(key, |v| v.number(0, i64::MAX)).map(|n| n.map(|n| n as u64));
    let (min, max) = (number("min")?, number("max")?);
    let (least, most) = (min.unwrap_or(0), max.unwrap_or(u64::MAX));
    if (least, most) == (0, u64::MAX) {
        return Err(value.fault("any count will do").help("write: count = { max = 10 }, or min = 1"));
    }
    if least > most {
        return Err(value.fault(format!("no count is at least {least} and at most {most}")));
    }
    Ok(Rule::Count { min: least, max })
}

fn then(fields: &Fields<'_>, then: &Value<'_>) -> Result<(Rule, &'static str), Box<Fault>> {
    let sight = other_sight(then)?;
    if let Some(order) = fields.get("order") {
        order.word("order", &["fifo"])?;
        if let Some(other) = OF_THEN.into_iter().filter(|key| *key != "order").find_map(|key| fields.get(key))
        {
            let message = format!("`{}` and `order` are two things", other.key);
            return Err(other.key_fault(message).help("write two [[bound]] tables"));
        }
        return Ok((Rule::Fifo(sight), "order"));
    }
    let within_ns = fields.optional("within", |v| v.duration(0, HOUR_NS))?;
    let before = fields.optional("before", other_sight)?;
    if within_ns.is_none() && before.is_none() {
        let message = "`then` says by when: without that, later is never too late";
        return Err(then.key_fault(message).help("add: within = \"1ms\", or before = \"off-cpu\""));
    }
    let by =
        fields.optional("by", |v| v.word("thing in common", &By::WORDS))?.map_or(By::Thread, |n| By::ALL[n]);
    Ok((Rule::Then { then: sight, by, within_ns, before }, "then"))
}

/// Checks that each filter's names are those of threads, and that no two bounds have one name. `root` is the table with the bounds.
pub(super) fn somebody(
    root: &Fields<'_>,
    bounds: &[ProbeBound],
    variants: &[Variant],
) -> Result<(), Box<Fault>> {
    let Some(list) = root.get("bound").filter(|_| !bounds.is_empty()) else { return Ok(()) };
    let threads = variants.iter().flat_map(|variant| &variant.threads);
    let own: BTreeSet<&str> = threads.map(|thread| unpack_name(&thread.name)).collect();
    let names: Vec<&str> =
        own.into_iter().chain(super::bound::taskqs(variants)).chain(roster::name::ALL).collect();
    let mut places = Vec::new();
    for value in list.list()? {
        if is_one(&value)? {
            places.push(value);
        }
    }
    for (n, (value, bound)) in places.iter().zip(bounds).enumerate() {
        if bounds[..n].iter().any(|other| other.name == bound.name) {
            let message = format!("two of the [[bound]] tables are named `{}`", bound.name);
            let entries = value.map()?;
            let at = entries.iter().find(|entry| entry.key == "name" || entry.key == "probe");
            let fault = at.map(|entry| entry.fault(message.clone())).unwrap_or_else(|| value.fault(message));
            return Err(fault.help("give one of them a `name`"));
        }
        for filter in filters(value)? {
            let (text, parsed) = filter;
            let Some((unknown, column)) = parsed.unknown_name(&names) else { continue };
            let mut known: Vec<&str> = names.iter().map(|name| group(name).unwrap_or(name)).collect();
            known.dedup();
            let message =
                format!("no thread of any variant is called `{}`{}", quoted(unknown), hint(unknown, &known));
            return Err(text.fault_inside(column - 1, message).help(choices(&known)));
        }
    }
    Ok(())
}

/// The filters of a `[[bound]]` that has been read, each with its place.
fn filters<'t>(value: &Value<'t>) -> Result<Vec<(Value<'t>, RecordFilter)>, Box<Fault>> {
    let mut found = Vec::new();
    let entries = value.map()?;
    let nested = entries.iter().filter(|entry| ["then", "before"].contains(&&*entry.key) && entry.is_table());
    let tables = nested.map(Value::map).collect::<Result<Vec<_>, _>>()?;
    for table in std::iter::once(entries.clone()).chain(tables) {
        let of = |key: &str| table.iter().find(|entry| entry.key == key);
        if let (Some(probe), Some(text)) = (of("probe"), of("where")) {
            found.extend(sight(probe, Some(text))?.filter.map(|filter| (text.clone(), filter)));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use crate::{Scenario, ScenarioError};
    use umpire_watch::probes::Rule;

    const SCENARIO: &str = "id = \"b\"\ntitle = \"t\"\nsource = \"s\"\ncpus = 2\nrun = \"1s\"\n\
        [[thread]]\nname = \"hog\"\nclass = \"TS\"\npri = 0\ncount = 2\nwork = \"spin\"\n\
        [[variant]]\nname = \"v\"\nexpect = \"violated\"\nviolates = [\"ticks\"]\n\
        [[bound]]\nprobe = \"tick\"\nname = \"ticks\"\ncount = { max = 3 }\n[[bound]]\n";

    /// A bound's text, its name, and whether its rule is the one that is meant.
    type Case = (&'static str, &'static str, fn(&Rule) -> bool);

    fn parse(bound: &str) -> Result<Scenario, ScenarioError> {
        Scenario::parse(&format!("{SCENARIO}{bound}\n"), "b.toml")
    }

    #[test]
    fn bound_on_a_probe_is_held_to_a_count_a_gap_a_follower_or_an_order() {
        let rules: [Case; 5] = [
            (
                "probe = \"poke\"\ncount = { min = 1, max = 2 }\nwhere = \"target == 1\"",
                "poke count",
                |rule| *rule == Rule::Count { min: 1, max: Some(2) },
            ),
            ("probe = \"tick\"\nmax_gap = \"50ms\"\nwhere = \"name == hog\"", "tick gap", |rule| {
                *rule == Rule::Gap(50_000_000)
            }),
            ("probe = \"wakeup\"\nthen = \"on-cpu\"\nwithin = \"1ms\"", "wakeup then", |rule| {
                matches!(rule, Rule::Then { within_ns: Some(1_000_000), before: None, .. })
            }),
            (
                "probe = \"wakeup\"\nthen = { probe = \"on-cpu\", where = \"name == hog/1\" }\nbefore = \"tick\"\nby = \"any\"",
                "wakeup then",
                |rule| matches!(rule, Rule::Then { within_ns: None, before: Some(_), .. }),
            ),
            ("probe = \"enqueue\"\nthen = \"dequeue\"\norder = \"fifo\"", "enqueue order", |rule| {
                matches!(rule, Rule::Fifo(_))
            }),
        ];
        for (text, name, is_right) in rules {
            let scenario = parse(text).unwrap_or_else(|e| panic!("{e}"));
            let bound = &scenario.probes[1];
            assert!(bound.name == name && is_right(&bound.rule), "{bound:?}");
            assert_eq!(scenario.variants[0].violates_probes, ["ticks"]);
        }
    }

    #[test]
    fn bound_on_a_probe_that_is_not_right_points_to_the_mistake() {
        for (bound, expected) in [
            ("probe = \"pok\"\ncount = { max = 1 }", "unknown probe `pok`; did you mean `poke`?"),
            ("prob = \"poke\"", "[[bound]] has no field `prob`; did you mean `probe`?"),
            ("probe = \"poke\"", "says what its records are held to"),
            (
                "probe = \"poke\"\nmax_gap = \"1s\"\ncount = { max = 1 }",
                "held to one thing, found `max_gap` beside `count`",
            ),
            ("probe = \"poke\"\ncount = { min = 0 }", "any count will do"),
            ("probe = \"poke\"\ncount = { min = 2, max = 1 }", "no count is at least 2 and at most 1"),
            ("probe = \"poke\"\ncount = { most = 1 }", "`count` has no field `most`"),
            ("probe = \"poke\"\nmax_gap = \"1s\"\nwithin = \"1s\"", "`within` is about what follows"),
            ("probe = \"poke\"\nthen = \"surrender\"", "`then` says by when"),
            (
                "probe = \"poke\"\nthen = \"surrender\"\norder = \"lifo\"",
                "unknown order `lifo`; did you mean `fifo`?",
            ),
            (
                "probe = \"poke\"\nthen = \"tick\"\norder = \"fifo\"\nwithin = \"1s\"",
                "`within` and `order` are two",
            ),
            ("probe = \"poke\"\nlimit = \"1s\"", "has no field `limit`"),
            (
                "probe = \"poke\"\nmax_gap = \"1s\"\nwhere = \"queue == 1\"",
                "b.toml:23:10: a record of `poke` has no `queue`",
            ),
            (
                "probe = \"poke\"\nmax_gap = \"1s\"\nwhere = \"name == hgo\"",
                "b.toml:23:18: no thread of any variant is called `hgo`; did you mean `hog`?",
            ),
            (
                "probe = \"poke\"\nthen = { probe = \"tick\", where = \"name ^= dog\" }\nwithin = \"1s\"",
                "no thread of any variant is called `dog`",
            ),
            ("probe = \"poke\"\nname = \"order\"\nmax_gap = \"1s\"", "`order` is a monitor's name"),
            (
                "probe = \"poke\"\nname = \"ticks\"\nmax_gap = \"1s\"",
                "two of the [[bound]] tables are named `ticks`",
            ),
        ] {
            let error = parse(bound).expect_err(bound).to_string();
            assert!(error.contains(expected), "{bound}:\n{error}\nexpected: {expected}");
            assert!(error.starts_with("b.toml:"), "{error}");
        }
    }
}
