//! `::formats`: the letters of memory formats.
//!
//! # Invariants
//! - It lists the table, and nothing else.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::memory::{FORMATS, Format};
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "formats",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "",
    about: "list format specifiers",
    help: "Lists the letters that may stand behind / (memory), ? (the image) and = (the value itself). A decimal number in front\n\
           of a letter repeats it; addr,count repeats the whole list.",
    examples: &[("::formats", "every letter"), ("::formats ! grep decimal", "those that are decimal")],
    run: Run::View(run),
};

fn run(_: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let row = |format: &Format| Row {
        value: None,
        text: format!("{} - {}", format.letter, format.about),
        data: vec![
            ("letter", format.letter.to_string().into()),
            ("size_bytes", (format.size as u64).into()),
            ("about", format.about.into()),
        ],
    };
    Ok(Answer::rows(FORMATS.iter().map(row)))
}
