//! `::formats`: the letters of memory formats.
//!
//! # Invariants
//! - It lists the table, and nothing else.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::memory::{FORMATS, Format, Layout};
use crate::session::Session;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "formats",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "[-v]",
    about: "list format specifiers",
    help: "Lists the letters that may stand behind / (memory), ? (the image) and = (the value itself). A decimal number in front\n\
           of a letter repeats it; addr,count repeats the whole list.\n\
           -v  how many bytes each takes, and an example of each",
    examples: &[("::formats", "every letter"), ("::formats ! grep decimal", "those that are decimal")],
    run: Run::Session(run),
};

fn run(_: &mut Session<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("v")?;
    options.none_left(call)?;
    let is_long = options.has('v');
    let row = |format: &Format| Row {
        value: None,
        text: match is_long {
            false => format!("{} - {}", format.letter, format.about),
            true => format!("{} - {:<56} {:<10} {}", format.letter, format.about, bytes(format), example(format)),
        },
        data: vec![
            ("letter", format.letter.to_string().into()),
            ("size_bytes", (format.size as u64).into()),
            ("about", format.about.into()),
            ("example", example(format).into()),
        ],
    };
    Ok(Answer::rows(FORMATS.iter().map(row)))
}

/// How many bytes a letter takes, as `::formats -v` says it.
fn bytes(format: &Format) -> String {
    match format.size {
        0 => "-".to_owned(),
        1 => "1 byte".to_owned(),
        n => format!("{n} bytes"),
    }
}

/// A line that uses a letter.
fn example(format: &Format) -> String {
    match format.layout {
        Layout::Write => format!("addr/{} 0t99", format.letter),
        Layout::Search => format!("addr/{} 7f", format.letter),
        Layout::Instruction | Layout::AddressedInstruction => format!("swtch,3?{}", format.letter),
        Layout::Newline | Layout::Blank | Layout::Tab => format!("lbolt/X{}X", format.letter),
        Layout::Forward | Layout::Back | Layout::Again => format!("lbolt/X{}D", format.letter),
        _ => format!("lbolt/{}", format.letter),
    }
}
