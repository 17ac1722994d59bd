//! What a thread does: a workload's name and parameters, turned into the arguments of its record.
//!
//! # Invariants
//! - Every argument is in the range that [`umpire_shared::work`] gives it; every thread and interrupt that is
//!   named exists, and can play the part that it is named for.

use umpire_shared::program::Thread;
use umpire_shared::work::{self, Kind, MAX_ARGS, Param, WORKS, Work};

use super::cast::Cast;
use super::error::{Fault, quoted};
use super::field::Value;
use super::suggest::choices;

/// Reads `work = "name"` or `work = { name = { parameter = value } }`: the workload's number and arguments.
pub(super) fn read(value: &Value<'_>, cast: &Cast) -> Result<(usize, [u64; MAX_ARGS]), Box<Fault>> {
    let names: Vec<&str> = WORKS.iter().map(|w| w.name).collect();
    if value.is_string() {
        let number = value.word("workload", &names)?;
        return Ok((number, arguments(&WORKS[number], value, &[], cast)?));
    }
    let entries = value.map()?;
    let [entry] = entries.as_slice() else {
        let message = format!("`work` must name one workload, found {}", entries.len());
        return Err(value
            .fault(message)
            .help("write: work = \"spin\", or: work = { spin = { mode = \"user\" } }"));
    };
    let Some(number) = work::find(&entry.key) else {
        let hint = super::suggest::hint(&entry.key, &names);
        return Err(entry
            .key_fault(format!("unknown workload `{}`{hint}", quoted(&entry.key)))
            .help(choices(&names)));
    };
    Ok((number, arguments(&WORKS[number], entry, &entry.map()?, cast)?))
}

fn arguments(
    work: &Work,
    at: &Value<'_>,
    given: &[Value<'_>],
    cast: &Cast,
) -> Result<[u64; MAX_ARGS], Box<Fault>> {
    let names: Vec<&str> = work.params.iter().map(|p| p.name).collect();
    let mut args = [0; MAX_ARGS];
    for value in given {
        if !names.contains(&value.key.as_ref()) {
            let hint = super::suggest::hint(&value.key, &names);
            let message = format!("workload `{}` has no parameter `{}`{hint}", work.name, quoted(&value.key));
            return Err(value.key_fault(message).help(choices(&names)));
        }
    }
    for (arg, param) in args.iter_mut().zip(work.params) {
        *arg = match given.iter().find(|value| value.key == param.name) {
            Some(value) => argument(param, value, cast)?,
            None if param.required => {
                let message =
                    format!("workload `{}` needs the parameter `{}`: {}", work.name, param.name, param.doc);
                let help = format!("write: work = {{ {} = {{ {} = \"...\" }} }}", work.name, param.name);
                return Err(at.fault(message).help(help));
            }
            None => param.default,
        };
    }
    Ok(args)
}

fn argument(param: &Param, value: &Value<'_>, cast: &Cast) -> Result<u64, Box<Fault>> {
    let place = |what: &str, names: &[String]| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        value.word(what, &names).map(|place| place as u64)
    };
    match param.kind {
        Kind::Number(min, max) => {
            let bound = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            value.number(bound(min), bound(max)).map(i64::cast_unsigned)
        }
        Kind::Choice(words) => value.word(&format!("`{}`", param.name), words).map(|place| place as u64),
        Kind::Thread => place("thread", &cast.threads),
        Kind::Interrupt => place("interrupt", &cast.interrupts),
    }
}

/// Whether a parameter sends its thread to user mode; locks have a `mode` too, of other words.
fn is_user_mode(param: &Param, arg: u64) -> bool {
    let Kind::Choice(words) = param.kind else { return false };
    param.name == "mode" && usize::try_from(arg).ok().and_then(|place| words.get(place)) == Some(&"user")
}

/// Why thread number `me` cannot do what its record says together with the others; `None` if it can.
pub(super) fn misfit(me: usize, all: &[Thread]) -> Option<String> {
    let thread = all.get(me)?;
    let work = WORKS.get(thread.work as usize)?;
    for (param, &arg) in work.params.iter().zip(&thread.args) {
        if is_user_mode(param, arg) && !thread.lwp {
            return Some("mode \"user\" needs a thread with an LWP: add `lwp = true`".to_owned());
        }
        let Kind::Thread = param.kind else { continue };
        let Some(other) = usize::try_from(arg).ok().and_then(|place| all.get(place)) else { continue };
        let doing = other.work as usize;
        let fits = match thread.work as usize {
            work::PINGPONG => doing == work::PINGPONG && other.args[0] == me as u64 && arg != me as u64,
            work::SOFT_RING => matches!(doing, work::SOFT_RING | work::SQUEUE) && arg != me as u64,
            _ => true,
        };
        if !fits {
            let other = umpire_shared::unpack_name(&other.name).to_owned();
            return Some(match thread.work as usize {
                work::PINGPONG => {
                    format!("`{other}` must be another thread that runs pingpong with this one as its peer")
                }
                _ => {
                    format!("`{other}` must be another thread that runs squeue or soft_ring, to take packets")
                }
            });
        }
    }
    None
}
