//! `::nmdel`: takes a name of `::nmadd` away.
//!
//! # Invariants
//! - Only a name that was added can be taken away.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "nmdel",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "name",
    about: "remove name from private symbol table",
    help: "Takes away a name that ::nmadd has given. The guest's own symbols stay.",
    examples: &[("1000::nmadd buffer; ::nmdel buffer", "there and gone")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("")?;
    let [name] = options.rest else { return Err(call.misused("it needs one name")) };
    let Some(added) = view.named().symbol(&name.text) else {
        return Err(Failure::at(name.at.clone(), format!("failed to locate symbol {} in private symbol table", name.text)));
    };
    view.named().remove_symbol(&name.text);
    Ok(Answer::rows([Row::line(format!("deleted {}, value={:x} size={:x}", name.text, added.value, added.size))]))
}
