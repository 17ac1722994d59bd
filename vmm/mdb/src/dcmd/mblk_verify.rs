//! `::mblk_verify`: message blocks whose pointers lead out of their buffers.
//!
//! # Invariants
//! - A block that is sound is not mentioned.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::object::Object;
use crate::streams;
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "mblk_verify",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "",
    about: "verifies integrity of an mblk",
    help: "Checks that the message block at the address, or every one in use, reads and writes inside of its buffer, and prints a line\n\
           with what is wrong for each that does not.",
    examples: &[("::mblk_verify", "every message block that is corrupt")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let addrs = walker::at_or_all(view, call, "mblk")?;
    let mut answer = Answer::default();
    for addr in addrs {
        let problems = problems(&streams::mblk(view, addr)?)?;
        if !problems.is_empty() {
            let list = problems.join(", ");
            let data = vec![("addr", addr.into()), ("problems", list.as_str().into())];
            answer.rows.push(Row { value: Some(addr), text: format!("{addr:>16x}: {list}"), data });
        }
    }
    Ok(answer)
}

fn problems(mblk: &Object<'_>) -> Result<Vec<&'static str>, Failure> {
    let Ok(dblk) = streams::dblk(mblk.view(), mblk.n("b_datap")?) else { return Ok(vec!["b_datap is no data block"]) };
    let (base, lim) = (dblk.n("db_base")?, dblk.n("db_lim")?);
    let (rptr, wptr) = (mblk.n("b_rptr")?, mblk.n("b_wptr")?);
    let mut problems = Vec::new();
    if rptr < base || rptr > lim {
        problems.push("b_rptr out of range");
    }
    if wptr < base || wptr > lim {
        problems.push("b_wptr out of range");
    }
    Ok(problems)
}
