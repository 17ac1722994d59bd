//! What an address in the memory of STREAMS is, in words.
//!
//! # Invariants
//! - A queue is called by its side, its module and its stream, a stream by its name in the scenario or by its head.

use super::caches;
use crate::kernel;
use crate::lang::Failure;
use crate::object::Object;
use crate::view::View;

/// Whether the object of an arena of STREAMS is in use, and by which cache's word: `allocated from queue_cache`. `None` for other
/// arenas, and for those whose objects are not told apart.
///
/// # Errors
/// [`Failure`] if the cache's magazines cannot be read.
pub(crate) fn kept(view: &View<'_>, arena: &str, base: u64) -> Result<Option<String>, Failure> {
    let (cache, in_use) = match arena.strip_prefix("k_streams.") {
        Some("queues.ar_objects") => ("queue_cache", caches::pairs(view)?),
        Some("stdatas.ar_objects") => ("stream_head_cache", caches::stdatas(view)?),
        Some("syncqs.ar_objects") => ("syncq_cache", caches::syncqs(view)?),
        Some("memory.sm_mblks.ar_objects") => ("streams_mblk", caches::mblks(view)?),
        _ => return Ok(None),
    };
    let word = if in_use.contains(&base) { "allocated" } else { "freed" };
    Ok(Some(format!("{word} from {cache}")))
}

/// What of an object of STREAMS the address is in, with where that begins: a queue or the perimeter of a pair, or a stream's head.
///
/// # Errors
/// [`Failure`] if the object cannot be read.
pub(crate) fn what(
    view: &View<'_>,
    arena: &str,
    base: u64,
    addr: u64,
) -> Result<Vec<(u64, String)>, Failure> {
    match arena {
        "k_streams.queues.ar_objects" => {
            let pair = view.at("Queinfo", base)?;
            let sides = [("qu_rqueue", "read queue"), ("qu_wqueue", "write queue"), ("qu_syncq", "syncq")];
            let mut found = Vec::new();
            for (member, word) in sides {
                let part = pair.get(member)?;
                let is_in = (part.addr()..part.addr() + view.types().size(part.of())).contains(&addr);
                if is_in {
                    found.push((part.addr(), format!("the {word} of {}", module(view, &pair)?)));
                }
            }
            Ok(found)
        }
        "k_streams.stdatas.ar_objects" => Ok(vec![(base, format!("the head of {}", stream(view, base)?))]),
        _ => Ok(Vec::new()),
    }
}

/// `timod in stream udp0`; of a pair that is free, nobody.
fn module(view: &View<'_>, pair: &Object<'_>) -> Result<String, Failure> {
    let (name, head) = (pair.text("qu_rqueue.q_idname")?, pair.n("qu_rqueue.q_stream")?);
    Ok(match head {
        0 => "nobody".to_owned(),
        head => format!("{name} in {}", stream(view, head)?),
    })
}

/// `stream udp0`, or the stream of a head that is no scenario's.
fn stream(view: &View<'_>, head: u64) -> Result<String, Failure> {
    let all = kernel::arena(view, "k_streams.scenario")?;
    let counts = view.at("Stdata", head)?.n("sd_counts")?;
    match all.containing(counts) {
        Some((_, into)) => Ok(format!("stream {}", view.object(all.of, counts - into)?.text("ss_name")?)),
        None => Ok(format!("the stream of head {head:x}")),
    }
}
