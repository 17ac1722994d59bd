//! What a sleeping thread sleeps on, and which timeout is to wake it.
//!
//! # Invariants
//! - What the guest's clock reads is told as "at least": it is the latest moment that the kernel has noted anywhere.

use umpire_shared::sys::callo::{CALLOUT_NORMAL, func, state};
use umpire_shared::sys::sobject::sobj;
use umpire_shared::sys::thread::ts;

use super::stall::Look;
use super::{About, Sender, Stall, Timeout};
use crate::glass::{Datum, Object};

/// Callouts that are looked through for the sender of a signal, at most.
const MAX_CALLOUTS: u64 = 32_768;
/// What a task queue's threads sleep on while they wait for tasks, with the queue's number in between.
const WAITS_FOR_TASKS: (&str, &str) = ("k_taskq.taskq_cache.objects[", "].tq_dispatch_cv");
/// What the network's workers sleep on, with the number of the list's member in between: the member's packets, and where it says from
/// which device they come.
const WORKERS: [(&str, &str, &str); 3] = [
    ("k_net.soft_rings", "s_ring_cv", "s_ring_count"),
    ("k_net.squeues", "sq_worker_cv", "sq_count"),
    ("k_net.srs", "srs_async", "srs_count"),
];
/// ns in a second.
const SECOND: u64 = 1_000_000_000;

/// What thread number `thread`, which sleeps on no lock, is at, and whom it waits for.
pub(super) fn stall<'g>(
    look: &Look<'g>,
    thread: u32,
    t: Datum<'g>,
    kind: u8,
    on: Object,
) -> (Stall, Vec<u32>) {
    let timeout = timeout(look, thread);
    let (about, mut waits_for) = about(look, t, kind, &on);
    if let Some(Timeout { cpu, is_normal, state: at, .. }) = timeout.filter(|t| t.overdue_ns() > 0) {
        if is_normal && at == state::EXPIRED {
            waits_for.extend(busy(look, cpu));
        } else if at == state::PENDING {
            // The table's cyclic is to take it off: whatever keeps the CPU from its interrupt runs there.
            let owes = look.seen.cpus.iter().find(|sample| u64::from(sample.id) == cpu && !sample.is_idle());
            waits_for.extend(owes.and_then(|sample| look.index_of(sample.thread)));
        }
    }
    (Stall::Asleep { on, about, timeout }, waits_for)
}

/// The callout threads of a CPU that are not at rest: they are to run what has expired.
fn busy(look: &Look<'_>, cpu: u64) -> Vec<u32> {
    let mut threads = look.callout_threads(cpu);
    threads.retain(|&thread| !rests(look, thread));
    threads
}

/// True if a callout thread has nothing to do: it sleeps, and not in a callout, but for want of tasks; or there is none.
fn rests(look: &Look<'_>, thread: u32) -> bool {
    let Some(t) = look.kernel("k_threads").and_then(|all| all.element(thread.into())) else { return true };
    let on = look.glass.object_at(t.number_at("t_wchan").unwrap_or(0));
    let is_uncalled = queue_of(look, &on).is_some_and(|queue| !has_tasks(queue));
    match t.number_at("t_state").map(|state| state as u32) {
        Some(ts::SLEEP) => is_uncalled,
        Some(ts::RUN | ts::ONPROC | ts::WAIT) => false,
        _ => true,
    }
}

fn about<'g>(look: &Look<'g>, t: Datum<'g>, kind: u8, on: &Object) -> (About, Vec<u32>) {
    if on.addr == t.addr {
        return (About::Time, Vec::new());
    }
    let place = number_in(&on.path);
    let member = |all: &str, what: &str| look.kernel(all)?.element(place?)?.number_at(what);
    if kind == sobj::SEMA {
        let list = if on.path.starts_with("k_work.bells[") { "k_work.bells" } else { "k_work.semas" };
        return (About::Units(member(list, "s_count").unwrap_or(0)), Vec::new());
    }
    if let Some((list, _, count)) = WORKERS.iter().find(|(list, cv, _)| is_member(&on.path, list, cv)) {
        let device = |n| look.kernel("k_intr.devices")?.element(n)?.at("dev_name")?.text();
        let source = match *list {
            "k_net.soft_rings" => member(list, "s_ring_set")
                .and_then(|set| look.kernel("k_net.srs")?.element(set)?.number_at("srs_device")),
            "k_net.squeues" => member(list, "sq_source"),
            _ => member(list, "srs_device"),
        };
        let packets = member(list, count).unwrap_or(0);
        return (About::Packets(packets, source.and_then(device)), Vec::new());
    }
    if on.path.starts_with("k_signals[") {
        let sender = sender(look, place.unwrap_or(0));
        let next = match sender {
            Some(Sender { executor: Some(executor), .. }) => vec![executor],
            Some(Sender { cpu, is_normal: true, state: state::EXPIRED, .. }) => busy(look, cpu),
            _ => Vec::new(),
        };
        return (About::Signal(member("k_signals", "sg_count").unwrap_or(0), sender), next);
    }
    if on.path.starts_with("k_callout.callouts[") {
        let executor = member("k_callout.callouts", "c_executor").and_then(|addr| look.index_of(addr));
        return (About::Callout(executor), executor.into_iter().collect());
    }
    if let Some(wait) = super::stream::wait(look, on) {
        return (About::Stream(wait), Vec::new());
    }
    if let Some(queue) = queue_of(look, on) {
        let name = queue.at("tq_name").and_then(|name| name.text()).unwrap_or_default();
        let instance = queue.number_at("tq_instance").unwrap_or(0);
        return (About::Tasks { name, instance, are_there: has_tasks(queue) }, Vec::new());
    }
    (About::Nothing, Vec::new())
}

/// True if a path is `list[#].member`.
fn is_member(path: &str, list: &str, member: &str) -> bool {
    let rest = path.strip_prefix(list).and_then(|rest| rest.strip_prefix('['));
    rest.and_then(|rest| rest.split_once("]."))
        .is_some_and(|(number, found)| number.parse::<u64>().is_ok() && found == member)
}

/// The task queue for whose tasks a thread waits that sleeps there.
fn queue_of<'g>(look: &Look<'g>, on: &Object) -> Option<Datum<'g>> {
    let (before, behind) = WAITS_FOR_TASKS;
    let number = on.path.strip_prefix(before)?.strip_suffix(behind)?.parse().ok()?;
    look.kernel("k_taskq.taskq_cache.objects")?.element(number)
}

/// True if a task is on a queue's ring.
fn has_tasks(queue: Datum<'_>) -> bool {
    let head = queue.at("tq_task");
    head.is_some_and(|head| head.number_at("tqent_next").is_some_and(|next| next != head.addr))
}

/// The callout that is to send a signal; of several, the one that is farthest.
fn sender(look: &Look<'_>, signal: u64) -> Option<Sender> {
    let all = look.kernel("k_callout.callouts")?;
    let sends = |callout: u64| {
        let c = all.element(callout)?;
        let at = c.number_at("c_state")? as u8;
        let sent = func::sends(c.number_at("c_func")? as u8, c.number_at("c_arg")?);
        if at == state::FREE || sent != Some(signal) {
            return None;
        }
        let table = c.number_at("c_table")?;
        Some(Sender {
            callout,
            cpu: table >> 1,
            is_normal: table & 1 == u64::from(CALLOUT_NORMAL),
            state: at,
            executor: look.index_of(c.number_at("c_executor")?).filter(|_| at == state::EXECUTING),
        })
    };
    (0..all.len()?.min(MAX_CALLOUTS)).filter_map(sends).max_by_key(|sender| sender.state)
}

/// The number in the first brackets of a path.
pub(super) fn number_in(path: &str) -> Option<u64> {
    path.split_once('[')?.1.split_once(']')?.0.parse().ok()
}

/// The timeout that a thread has asked for, if it has.
fn timeout(look: &Look<'_>, thread: u32) -> Option<Timeout> {
    let callout = look.kernel("k_callout.callouts")?.element(thread.into())?;
    let at = callout.number_at("c_state")? as u8;
    if at == state::FREE || callout.number_at("c_func")? != u64::from(func::WAKE) {
        return None;
    }
    let table = callout.number_at("c_table")?;
    Some(Timeout {
        cpu: table >> 1,
        is_normal: table & 1 == u64::from(CALLOUT_NORMAL),
        state: at,
        due_ns: callout.number_at("c_expiration")?,
        now_ns: latest_ns(look),
    })
}

/// What the guest's clock reads, at least: the last tick, or the last change of what a thread was at, whichever is later.
fn latest_ns(look: &Look<'_>) -> u64 {
    let hz = u64::from(look.seen.hz.max(1));
    let ticks = u128::from(look.seen.lbolt) * u128::from(SECOND) / u128::from(hz);
    let origin = look.number("k_clock.tick_origin").unwrap_or(0);
    let tick = origin.saturating_add(u64::try_from(ticks).unwrap_or(0));
    let threads = look.kernel("k_threads");
    let count = look.seen.arena.map_or(0, |arena| arena.count);
    let starts = (0..count).filter_map(|n| threads?.element(n.into())?.number_at("t_mstart"));
    starts.max().unwrap_or(0).max(tick)
}
