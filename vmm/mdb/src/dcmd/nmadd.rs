//! `::nmadd`: a name for an address.
//!
//! # Invariants
//! - The name is the debugger's: the guest's symbols stay as they are.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::{Call, Options};
use crate::lang::Failure;
use crate::named::Added;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "nmadd",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-f] [-e end] [-s size] name",
    about: "add name to private symbol table",
    help: "Names the address in front (or dot): expressions may use the name, and addresses are shown by it. It wins over a name of\n\
           the guest; ::nmdel takes it away, ::nm -P lists what was added.\n\
           -e end   where what is named ends     -s size  how many bytes it takes (hexadecimal)\n\
           -f       although another address has that name in the guest",
    examples: &[("1000::nmadd -s 10 buffer; 1008=p", "an address that is shown by the new name")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("fe:s:")?;
    let [name] = options.rest else { return Err(call.misused("it needs one name")) };
    let value = call.addr.unwrap_or(call.dot);
    let size = match (number(&options, 's', call)?, number(&options, 'e', call)?) {
        (Some(size), _) => size,
        (None, Some(end)) => end.saturating_sub(value),
        (None, None) => 0,
    };
    let is_name = name.text.chars().all(|c| c.is_alphanumeric() || "_.`".contains(c));
    if !is_name || name.text.is_empty() || name.text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(call.misused_at(&name.at, format!("`{}` is no name", name.text)));
    }
    if let (Ok(there), false) = (view.symbol(&name.text), options.has('f'))
        && view.named().symbol(&name.text).is_none()
    {
        let message = format!("{} is at {there:x} in the guest already; -f names {value:x} so", name.text);
        return Err(Failure::at(name.at.clone(), message));
    }
    view.named().add_symbol(&name.text, Added { value, size });
    let row = Row::line(format!("added {}, value={value:x} size={size:x}", name.text));
    Ok(Answer::rows([row.worth(value).with("value", value).with("size_bytes", size)]))
}

fn number(options: &Options<'_>, flag: char, call: &Call<'_>) -> Result<Option<u64>, Failure> {
    let Some(word) = options.argument(flag) else { return Ok(None) };
    let read = || match word.text.strip_prefix("0t") {
        Some(decimal) => decimal.parse().ok(),
        None => u64::from_str_radix(word.text.trim_start_matches("0x"), 16).ok(),
    };
    match word.value.or_else(read) {
        Some(value) => Ok(Some(value)),
        None => Err(call.misused_at(&word.at, format!("`{}` is no number", word.text))),
    }
}
