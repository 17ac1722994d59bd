//! What a thread waits for that sleeps in a stream: at its head, at a perimeter, or for its turn to open or close it.
//!
//! # Invariants
//! - What is told of queues is one read of each word, and no more links are followed than the one that is asked about.

use umpire_shared::program::MAX_STREAMS;
use umpire_shared::sys::stream::q;
use umpire_shared::sys::stropts::sd;
use umpire_shared::work::streams::state;

use super::stall::Look;
use super::{Awaited, QueueCard, StreamWait};
use crate::glass::{Datum, Object};

/// What a thread waits for that sleeps on this object; `None` if that is nothing of a stream.
pub(super) fn wait(look: &Look<'_>, on: &Object) -> Option<StreamWait> {
    let (arena, rest) = on.path.strip_prefix("k_streams.")?.split_once('[')?;
    let (n, member) = rest.split_once("].")?;
    let object = look.kernel("k_streams")?.at(arena)?.element(n.parse().ok()?)?;
    let head = || object.pointer_at("qu_rqueue.q_stream");
    let (head, what) = match (arena, member) {
        ("queues.ar_objects", "qu_rqueue.q_wait" | "qu_wqueue.q_wait") => {
            (head()?, at_queue(object, member)?)
        }
        ("queues.ar_objects", "qu_syncq.sq_wait" | "qu_syncq.sq_exitwait") => {
            let inside = object.number_at("qu_syncq.sq_count")?;
            (head()?, Awaited::Perimeter(object.at("qu_rqueue").and_then(card), inside))
        }
        ("stdatas.ar_objects", "sd_monitor" | "sd_iocmonitor") => (object, Awaited::Answer),
        ("stdatas.ar_objects", "sd_pollcv") => (object, Awaited::Poll),
        ("scenario", "ss_cv") => {
            let users = object.number_at("ss_users")?;
            let is_closing = object.number_at("ss_state") == Some(u64::from(state::CLOSING));
            let what = if is_closing && users != 0 { Awaited::Users(users) } else { Awaited::Turn };
            return Some(StreamWait { stream: format!("stream {}", object.at("ss_name")?.text()?), what });
        }
        _ => return None,
    };
    Some(StreamWait { stream: name(look, head), what })
}

/// What is waited for on the `q_wait` of a pair's queue.
fn at_queue(pair: Datum<'_>, member: &str) -> Option<Awaited> {
    let head = pair.pointer_at("qu_rqueue.q_stream")?;
    let (rq, wq) = (pair.at("qu_rqueue")?, pair.at("qu_wqueue")?);
    let is_read = member.starts_with("qu_rqueue");
    if head.number_at("sd_wrq") != Some(wq.addr) {
        return card(if is_read { rq } else { wq }).map(Awaited::Service);
    }
    if is_read {
        return Some(Awaited::Message);
    }
    let below = wq.pointer_at("q_next");
    match head.number_at("sd_flag")? & u64::from(sd::STRCLOSE) {
        0 => Some(Awaited::Room(below.and_then(|below| below.pointer_at("q_nfsrv")).and_then(card))),
        _ => Some(Awaited::Drain(below.and_then(card))),
    }
}

fn card(queue: Datum<'_>) -> Option<QueueCard> {
    Some(QueueCard {
        is_read: queue.number_at("q_flag")? & u64::from(q::QREADR) != 0,
        module: queue.at("q_idname")?.text()?,
        bytes: queue.number_at("q_count")?,
        hiwat: queue.number_at("q_hiwat")?,
        messages: queue.number_at("q_msgs")?,
    })
}

/// `stream udp0`, or a stream by the address of its head.
fn name(look: &Look<'_>, head: Datum<'_>) -> String {
    let counts = head.number_at("sd_counts").filter(|addr| *addr != 0);
    let named = || {
        let all = look.kernel("k_streams.scenario")?;
        let mut streams = (0..all.len()?.min(MAX_STREAMS as u64)).filter_map(|n| all.element(n));
        streams.find(|stream| stream.at("ss_counts").map(|at| at.addr) == counts)?.at("ss_name")?.text()
    };
    match counts.and_then(|_| named()) {
        Some(name) => format!("stream {name}"),
        None => format!("the stream of head {:#x}", head.addr),
    }
}
