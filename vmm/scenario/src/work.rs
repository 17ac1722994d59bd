//! What a thread does: a workload's name and parameters, turned into the arguments of its record.
//!
//! # Invariants
//! - Every argument is in the range that [`umpire_shared::work`] gives it; every thread and interrupt that is
//!   named exists, and can play the part that it is named for.

use umpire_shared::program::Thread;
use umpire_shared::work::compute::Mode;
use umpire_shared::work::levels::{Levels, PilHold};
use umpire_shared::work::memory::{Memory, PageScanner};
use umpire_shared::work::network::{Network, SoftRing, SqueuePoll};
use umpire_shared::work::pair::{Pair, Pingpong};
use umpire_shared::work::{self, Kind, MAX_ARGS, Param, ThreadRef, WORKS, Workload};

use super::error::{Fault, quoted};
use super::field::Value;
use super::namespace::Namespace;
use super::network;
use super::suggest::choices;

/// Reads `work = "name"` or `work = { name = { parameter = value } }`: what it says.
pub(super) fn read(value: &Value<'_>, namespace: &Namespace) -> Result<Workload, Box<Fault>> {
    let names: Vec<&str> = WORKS.iter().map(|w| w.name).collect();
    if value.is_string() {
        let number = value.word("workload", &names)?;
        return workload(number, value, &[], namespace);
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
    workload(number, entry, &entry.map()?, namespace)
}

fn workload(
    number: usize,
    at: &Value<'_>,
    given: &[Value<'_>],
    namespace: &Namespace,
) -> Result<Workload, Box<Fault>> {
    let work = &WORKS[number];
    let names: Vec<&str> = work.params.iter().map(|p| p.name).collect();
    let mut words = [0; MAX_ARGS];
    for value in given {
        if !names.contains(&value.key.as_ref()) {
            let hint = super::suggest::hint(&value.key, &names);
            let message = format!("workload `{}` has no parameter `{}`{hint}", work.name, quoted(&value.key));
            return Err(value.key_fault(message).help(choices(&names)));
        }
    }
    for (word, param) in words.iter_mut().zip(work.params) {
        *word = match given.iter().find(|value| value.key == param.name) {
            Some(value) => argument(param, value, namespace)?,
            None if param.required => {
                let message =
                    format!("workload `{}` needs the parameter `{}`: {}", work.name, param.name, param.doc);
                let help = format!("write: work = {{ {} = {{ {} = \"...\" }} }}", work.name, param.name);
                return Err(at.fault(message).help(help));
            }
            None => param.default,
        };
    }
    Ok(Workload::from_record(number as u32, &words)
        .expect("invariant: each word is one that its parameter takes"))
}

fn argument(param: &Param, value: &Value<'_>, namespace: &Namespace) -> Result<u64, Box<Fault>> {
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
        Kind::Thread => place("thread", &namespace.threads),
        Kind::Interrupt => place("interrupt", &namespace.interrupts),
        Kind::Taskq => namespace.taskq(value).map(|place| place as u64),
        Kind::Stream => namespace.stream(value).map(|place| place as u64),
    }
}

/// Why thread number `me` cannot do what its record says together with the other threads; `None` if it can.
pub(super) fn misfit(me: usize, all: &[Thread]) -> Option<String> {
    let thread = all.get(me)?;
    if is_in_user_mode(thread) && !thread.lwp {
        return Some("mode \"user\" needs a thread with an LWP: add `lwp = true`".to_owned());
    }
    if let Some(fault) = network::misfit(me, all) {
        return Some(fault);
    }
    let (other, wanted) = match thread.work {
        Workload::Pair(Pair::Pingpong(Pingpong { peer })) => {
            let back = Pair::Pingpong(Pingpong { peer: ThreadRef(me as u32) });
            let fits = all.get(peer.0 as usize)?.work == Workload::Pair(back);
            (unless(fits, peer, me)?, "runs pingpong with this one as its peer")
        }
        Workload::Network(Network::SoftRing(SoftRing { sink: Some(sink), .. })) => {
            let fits = |work| matches!(work, Workload::Network(Network::SoftRing(_) | Network::Squeue(_)));
            (
                unless(fits(all.get(sink.0 as usize)?.work), sink, me)?,
                "runs squeue or soft_ring, to take packets",
            )
        }
        Workload::Network(Network::SqueuePoll(SqueuePoll { squeue: to }))
        | Workload::Memory(Memory::PageScanner(PageScanner { writer: to, .. })) => {
            let fits = matches!(all.get(to.0 as usize)?.work, Workload::Network(Network::Squeue(_)));
            (unless(fits, to, me)?, "runs squeue")
        }
        Workload::Levels(Levels::PilHold(PilHold { sink: Some(to), .. })) => {
            let fits = matches!(all.get(to.0 as usize)?.work, Workload::Levels(Levels::Woken(_)));
            (unless(fits, to, me)?, "runs woken: an squeue's lock is not taken at a raised level")
        }
        _ => return None,
    };
    let other = umpire_shared::unpack_name(&all.get(other.0 as usize)?.name);
    Some(format!("`{other}` must be another thread that {wanted}"))
}

/// The named thread if it is wrong; `None` if it fits and is not the thread that names it.
fn unless(fits: bool, named: ThreadRef, me: usize) -> Option<ThreadRef> {
    (!fits || named.0 as usize == me).then_some(named)
}

/// Whether a parameter sends the thread to user mode; rwlocks have a parameter `mode` too, which has other words.
fn is_in_user_mode(thread: &Thread) -> bool {
    let (_, words) = thread.work.record();
    thread.work.about().params.iter().zip(words).any(|(param, word)| {
        matches!(param.kind, Kind::Choice(words) if words == Mode::WORDS) && word == Mode::User as u64
    })
}
