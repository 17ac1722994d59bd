//! What a STREAMS command is asked to print: only those with a flag, without one, and so on; and whether rows or addresses.
//!
//! # Invariants
//! - As in mdb, a command that was given a filter, or `-q`, or whose rows go into a pipe gives addresses only.

use super::flags::Bit;
use crate::answer::{Answer, Row};
use crate::call::{Call, Options, Word};
use crate::lang::Failure;
use crate::view::View;
use crate::walker;

/// The bit of an option's argument, a name of the table in capitals or not; 0 without the option.
pub(crate) fn bit(options: &Options<'_>, letter: char, table: &[Bit]) -> Result<u64, Failure> {
    let Some(word) = options.argument(letter) else { return Ok(0) };
    let at = table.iter().position(|(name, _)| name.eq_ignore_ascii_case(&word.text));
    at.map(|n| 1 << n).ok_or_else(|| {
        let rows: Vec<String> = table.iter().map(|(name, about)| format!("  {name:<14} {about}")).collect();
        let message = format!("unrecognized flag `{}`; a flag is one of\n{}", word.text, rows.join("\n"));
        Failure::new(message).or_at(&word.at)
    })
}

/// The number of an option's argument.
pub(crate) fn number(call: &Call<'_>, options: &Options<'_>, letter: char) -> Result<Option<u64>, Failure> {
    options.argument(letter).map(|word| word_number(call, word)).transpose()
}

fn word_number(call: &Call<'_>, word: &Word) -> Result<u64, Failure> {
    let wrong = || {
        call.misused_at(&word.at, format!("`{}` is no number: 0t10 is decimal, 10 hexadecimal", word.text))
    };
    word.number().ok_or_else(wrong)
}

/// True if only addresses are to be printed.
pub(crate) fn is_quiet(call: &Call<'_>, options: &Options<'_>, filters: &str) -> bool {
    call.is_piped_out || options.has('q') || filters.chars().any(|letter| options.has(letter))
}

/// Refuses `-q` and `-v` at once, and arguments behind the options.
pub(crate) fn check(call: &Call<'_>, options: &Options<'_>) -> Result<(), Failure> {
    options.none_left(call)?;
    if options.has('q') && options.has('v') {
        return Err(call.misused("-q prints addresses only, and -v what they mean: give one of them"));
    }
    Ok(())
}

/// An address as STREAMS commands print it: in the width of a pointer.
pub(crate) fn address(addr: u64) -> Row {
    Row { value: Some(addr), text: format!("{addr:016x}"), data: vec![("addr", addr.into())] }
}

/// Addresses, and why there are no more of them.
pub(crate) fn addresses(all: impl IntoIterator<Item = u64>) -> Answer {
    Answer::rows(all.into_iter().map(address))
}

/// What belongs to the queue at the call's address, or to every read queue in use, each once: an address a line.
pub(crate) fn of_each_queue(
    view: &View<'_>,
    call: &Call<'_>,
    what: impl Fn(u64) -> Result<u64, Failure>,
) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let queues = walker::at_or_all(view, call, "queue_cache")?;
    let mut found = Vec::new();
    for queue in queues {
        let addr = what(queue)?;
        if !found.contains(&addr) {
            found.push(addr);
        }
    }
    Ok(addresses(found))
}
