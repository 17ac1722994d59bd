//! `::walk`: the addresses that a walker goes through.
//!
//! # Invariants
//! - What was met before a walk ended is given, whatever ended it.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::session::Session;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "walk",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "walker [variable]",
    about: "walk data structure",
    help: "Gives the addresses that a walker goes through. In a pipeline the next command is called with each of them;\n\
           with a variable its value is each of them instead of dot.\n\
           A walk over corrupt memory ends, and names the link that is wrong.",
    examples: &[
        ("::walk cpu", "the addresses of the CPUs"),
        ("::walk thread | ::thread", "every thread"),
        ("::walk cpu | ::walk cpu_dispq | ::print kthread_t t_name", "the names of what waits on run queues"),
        ("::walk thread t | ::eval '<t::print kthread_t t_pri'", "with a variable"),
    ],
    run: Run::Session(run),
};

fn run(session: &mut Session<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let rest = call.options("")?.rest;
    let [name, ..] = rest else { return Err(call.misused("it needs the name of a walker; ::walkers lists them")) };
    if let Some(more) = rest.get(2) {
        return Err(call.misused_at(&more.at, format!("unexpected argument `{}`", more.text)));
    }
    let walker = walker::find(&name.text).map_err(|failure| failure.or_at(&name.at))?;
    let walk = walker.through(session.source(), call.addr)?;
    Ok(Answer::addresses(walk.addrs).ended(walk.ended))
}
