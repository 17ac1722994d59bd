//! `::sobj2ts`: the turnstile of a lock.
//!
//! # Invariants
//! - Only a turnstile in use is one's.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "sobj2ts",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "",
    about: "perform turnstile lookup on synch object",
    help: "Gives the turnstile of the lock at the address: the one on whose sleep queues its waiters are.",
    examples: &[("::walk turnstile | ::print turnstile_t ts_sobj | ::sobj2ts | ::turnstile", "there and back")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let addr = call.address()?;
    call.no_arguments()?;
    match kernel::turnstile_of(view, addr)? {
        Some(turnstile) => Ok(Answer::addresses([turnstile.addr()])),
        None => Err(Failure::new(format!("no thread waits for a lock at {addr:#x}: it has no turnstile"))),
    }
}
