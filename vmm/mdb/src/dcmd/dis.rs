//! `::dis`: code as instructions.
//!
//! # Invariants
//! - Code is read from the target, and from the image where the target has none of it.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::disassembler;
use crate::lang::Failure;
use crate::view::View;

/// Instructions before and behind the address with `-w`.
const WINDOW: usize = 10;
/// Instructions before and behind the place around which is looked.
const AROUND: usize = 4;
/// Instructions at most.
const MOST: u64 = 4096;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "dis",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "[-abfw] [-n cnt]",
    about: "disassemble near addr",
    help: "Shows the function that begins at the address; if it is a place in a function, the instructions around that place; or as\n\
           many instructions as -n says (decimal) from the address on.\n\
           -a  addresses as numbers\n\
           -b  addresses as numbers beside the names\n\
           -f  from the image, not from the guest's memory: they are the same unless something has written there\n\
           -w  the neighbourhood of the address, even if a function begins there",
    examples: &[("swtch::dis", "a function"), ("swtch::dis -n 3", "its first three instructions"), ("swtch+0x10::dis", "around a place")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let addr = call.address()?;
    let options = call.options("abfwn:")?;
    options.none_left(call)?;
    let function = view.image().symbol_at(addr).filter(|symbol| symbol.size > 0);
    let count = match options.argument('n') {
        Some(word) => Some(word.text.parse().map_err(|_| call.misused_at(&word.at, "-n takes a decimal number"))?),
        None => None,
    };
    let (start, end) = match (count, function) {
        (None, Some(symbol)) => (symbol.value, symbol.value + symbol.size),
        _ => (addr, u64::MAX),
    };
    let most = count.unwrap_or(if end == u64::MAX { WINDOW as u64 } else { MOST }).min(MOST);
    let mut rows = Vec::new();
    let mut at = start;
    while at < end && (rows.len() as u64) < most {
        let one = match disassembler::one(view, at) {
            Ok(one) => one,
            Err(failure) if rows.is_empty() => return Err(failure),
            Err(_) => break,
        };
        let name = view.image().symbol_at(at).map(|symbol| match at - symbol.value {
            0 => symbol.name.clone(),
            into @ 1..=9 => format!("{}+{into}", symbol.name),
            into => format!("{}+{into:#x}", symbol.name),
        });
        let name = name.unwrap_or_else(|| format!("{at:#x}"));
        let label = match (options.has('a'), options.has('b')) {
            (true, _) => format!("{at:x}"),
            (_, true) => format!("{at:x} {name}"),
            _ => name.clone(),
        };
        let bytes = one.bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        rows.push(Row {
            value: Some(at),
            text: format!("{:<31} {}", format!("{label}:"), one.text),
            data: vec![("addr", at.into()), ("name", name.into()), ("bytes", bytes.into()), ("text", one.text.into())],
        });
        at = at.saturating_add(one.length);
    }
    let begins_elsewhere = count.is_none() && function.is_some_and(|symbol| symbol.value != addr);
    if options.has('w') || begins_elsewhere {
        let here = rows.iter().position(|row| row.value.is_some_and(|at| at >= addr)).unwrap_or(0);
        rows.truncate(here + AROUND + 1);
        rows.drain(..here.saturating_sub(AROUND));
    }
    Ok(Answer::rows(rows))
}
