//! `::list`: a linked list, by the member that links it.
//!
//! # Invariants
//! - It ends: a list that leads back or to nowhere is cut off there, and the link is named.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;
use crate::walker::list::follow;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "list",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "type member",
    about: "walk list using member as link pointer",
    help: "Gives the addresses of a list's elements: the one at the address, then the one that its member points to, and so on.",
    examples: &[
        ("::walk cpu | ::print cpu_t cpu_disp.disp_q[99].dq_first | ::list kthread_t t_link", "a level of a run queue"),
    ],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let first = call.address()?;
    let [name, member] = call.options("")?.rest else {
        return Err(call.misused("it needs a type and the member that links"));
    };
    let of = view.type_named(&name.text).map_err(|failure| failure.or_at(&name.at))?;
    // A member that is not there is a mistake of whoever typed it, not of the list.
    if first != 0 {
        view.object(of, first)?.n(&member.text).map_err(|failure| failure.or_at(&member.at))?;
    }
    let walk = follow(first, |at| view.object(of, at)?.n(&member.text));
    Ok(Answer::addresses(walk.addrs).ended(walk.ended))
}
