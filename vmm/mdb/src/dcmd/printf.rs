//! `::printf`: members of an object in a format of one's own.
//!
//! # Invariants
//! - Each `%` takes one member; too few or too many are refused before anything is printed.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::object::Object;
use crate::printer::Printer;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "printf",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "format type member ...",
    about: "print formatted data",
    help: "Prints members of the object of a type at the address as the format says: %d %i signed, %u unsigned, %x %X hexadecimal,\n\
           %o octal, %p pointer, %a symbol, %s text, %c character, %y as ::print does, %% a per cent sign. Between % and the letter\n\
           stand - and 0 and a width, as in C; lengths (h, l, ll) are passed over.",
    examples: &[("::walk thread | ::printf \"%-20s %3d\\n\" kthread_t t_name t_pri", "two members, aligned")],
    run: Run::View(run),
};

/// A piece of a format.
enum Piece {
    Text(String),
    Conversion { left: bool, zero: bool, width: usize, letter: char },
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let addr = call.address()?;
    let [format, of, members @ ..] = call.args else {
        return Err(call.misused("it needs a format, a type, and a member for each % of the format"));
    };
    let pieces = pieces(&format.text).map_err(|failure| failure.or_at(&format.at))?;
    let wanted = pieces.iter().filter(|piece| matches!(piece, Piece::Conversion { .. })).count();
    if wanted != members.len() {
        return Err(call.misused(format!("the format takes {wanted} members, {} are given", members.len())));
    }
    let object = view.object(view.type_named(&of.text).map_err(|failure| failure.or_at(&of.at))?, addr)?;
    let (mut text, mut next) = (String::new(), members.iter());
    for piece in &pieces {
        match piece {
            Piece::Text(plain) => text += plain,
            Piece::Conversion { left, zero, width, letter } => {
                let Some(member) = next.next() else { break };
                let value = object.get(&member.text).and_then(|m| converted(&m, *letter));
                let value = value.map_err(|failure| failure.or_at(&member.at))?;
                text += &match (left, zero) {
                    (true, _) => format!("{value:<width$}"),
                    (_, true) => format!("{value:0>width$}"),
                    _ => format!("{value:>width$}"),
                };
            }
        }
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Answer::rows([Row::line(text).with("addr", addr)]))
}

fn pieces(format: &str) -> Result<Vec<Piece>, Failure> {
    let (mut pieces, mut plain) = (Vec::new(), String::new());
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            plain.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            plain.push('%');
            chars.next();
            continue;
        }
        let (mut left, mut zero, mut width) = (false, false, 0_usize);
        let letter = loop {
            match chars.next() {
                Some('-') => left = true,
                Some('0') if width == 0 => zero = true,
                Some('?') => width = 16,
                Some(digit @ '0'..='9') => width = (width * 10 + (digit as usize - '0' as usize)).min(1000),
                Some('#' | 'h' | 'l') => {}
                Some(letter) => break letter,
                None => return Err(Failure::new("the format ends within a conversion")),
            }
        };
        if !"diuxXopascy".contains(letter) {
            return Err(Failure::new(format!("the format has no conversion %{letter}")));
        }
        pieces.push(Piece::Text(std::mem::take(&mut plain)));
        pieces.push(Piece::Conversion { left, zero, width, letter });
    }
    pieces.push(Piece::Text(plain));
    Ok(pieces)
}

fn converted(member: &Object<'_>, letter: char) -> Result<String, Failure> {
    if letter == 's' {
        return member.text("");
    }
    if letter == 'y' {
        return Printer::default().shown("", member);
    }
    let value = member.number()?;
    let size = member.view().types().size(member.of()).clamp(1, 8);
    let unsigned = value << (64 - 8 * size) >> (64 - 8 * size);
    Ok(match letter {
        'd' | 'i' => (value as i64).to_string(),
        'u' => unsigned.to_string(),
        'X' => format!("{unsigned:X}"),
        'o' => format!("{unsigned:o}"),
        'c' => (value as u8 as char).escape_default().to_string(),
        'a' => member.view().name_of(value).unwrap_or_else(|| format!("{value:#x}")),
        _ => format!("{unsigned:x}"),
    })
}
