//! `::sizeof`: bytes of a type.
//!
//! # Invariants
//! - The size is that of the guest's debug information.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "sizeof",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "type",
    about: "print the size of a type",
    help: "Prints how many bytes a value of a type takes.",
    examples: &[("::sizeof kthread_t", "sizeof (kthread_t) = 0x2c0")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let words = call.options("")?.rest;
    let name = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    if name.is_empty() {
        return Err(call.misused("it needs a type"));
    }
    let size = view.types().size(view.type_named(&name)?);
    let row = Row {
        value: Some(size),
        text: format!("sizeof ({name}) = {size:#x}"),
        data: vec![("type", name.into()), ("size_bytes", size.into())],
    };
    Ok(Answer::rows([row]))
}
