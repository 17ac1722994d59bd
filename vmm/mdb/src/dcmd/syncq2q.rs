//! `::syncq2q`: the queues that use a perimeter.
//!
//! # Invariants
//! - An address a line, read queue before write queue of each pair.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::streams::{self, select};
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "syncq2q",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "",
    about: "print queues for a given syncq",
    help: "Prints the addresses of the queues in use whose inner perimeter is the syncq at the address.",
    examples: &[("::syncq -f SQ_MESSAGES | ::syncq2q | ::queue", "queues at perimeters where messages are parked")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let wanted = streams::syncq(view, call.address()?)?.addr();
    let mut found = Vec::new();
    for addr in walker::all(view, "queue_cache")? {
        let (pair, _) = streams::pair_of(view, addr)?;
        for side in ["qu_rqueue", "qu_wqueue"] {
            let queue = pair.get(side)?;
            if queue.n("q_syncq")? == wanted {
                found.push(queue.addr());
            }
        }
    }
    Ok(select::addresses(found))
}
