//! `::mblk2dblk`: the data block of a message block.
//!
//! # Invariants
//! - The pointer is given as it is, whatever it points to.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::streams;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "mblk2dblk",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "",
    about: "convert mblk_t address to dblk_t address",
    help: "Prints the address of the data block that the message block at the address points to.",
    examples: &[("::mblk -t M_PROTO | ::mblk2dblk | ::print dblk_t db_ref", "how many share each")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let dblk = streams::mblk(view, call.address()?)?.n("b_datap")?;
    Ok(Answer::rows([Row { value: Some(dblk), text: format!("{dblk:x}"), data: vec![("addr", dblk.into())] }]))
}
