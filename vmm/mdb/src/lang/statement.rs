//! Statements, pipelines, arguments and format lists.
//!
//! # Invariants
//! - A text is read as a whole before any of it is carried out: a mistake at its end costs nothing.

use super::cursor::Cursor;
use super::expression::{optional, required, variable_name, width};
use super::failure::Failure;
use super::syntax::{Arg, Command, FormatItem, Repeat, Statement, Verb};

/// Characters that begin a format.
const SIGILS: &str = "/?\\@=";
/// Format letters behind which values stand: they write or search.
const TAKES_VALUES: &str = "vwWZlLM";
/// Times that a format may be repeated.
const MAX_REPEAT: u64 = 65_536;

/// The statements of a text: lines, or several on a line with `;` between them.
///
/// # Errors
/// [`Failure`] with the place of the first mistake.
pub fn parse(text: &str) -> Result<Vec<Statement>, Failure> {
    let mut cursor = Cursor::new(text);
    let mut statements = Vec::new();
    loop {
        cursor.skip_blanks();
        match cursor.peek() {
            None => return Ok(statements),
            Some('\n' | ';') => {
                cursor.next();
            }
            Some(_) => {
                statements.push(statement(&mut cursor)?);
                cursor.skip_blanks();
                if !matches!(cursor.peek(), None | Some('\n' | ';')) {
                    return Err(cursor.unexpected("a command or the end of the statement"));
                }
            }
        }
    }
}

fn statement(cursor: &mut Cursor<'_>) -> Result<Statement, Failure> {
    let start = cursor.at;
    let addr = optional(cursor)?;
    cursor.skip_blanks();
    let count = if cursor.take(",") { Some(required(cursor)?) } else { None };
    cursor.skip_blanks();
    let mut pipeline = Vec::new();
    if let Some(first) = command(cursor)? {
        pipeline.push(first);
        loop {
            cursor.skip_blanks();
            if !cursor.take("|") {
                break;
            }
            cursor.skip_blanks();
            let next = command(cursor)?.ok_or_else(|| cursor.unexpected("a command behind the pipe"))?;
            pipeline.push(next);
        }
    }
    cursor.skip_blanks();
    let shell = cursor.take("!").then(|| cursor.take_while(|c| c != '\n' && c != ';').trim().to_owned());
    Ok(Statement { addr, count, pipeline, shell, at: start..cursor.at })
}

/// Reads a command; `None` if none begins here.
fn command(cursor: &mut Cursor<'_>) -> Result<Option<Command>, Failure> {
    let start = cursor.at;
    let verb = match cursor.peek() {
        Some(sigil) if SIGILS.contains(sigil) => {
            cursor.next();
            format(cursor, sigil)?
        }
        Some(':') if cursor.take("::") => match cursor.take_while(is_name) {
            "" => return Err(cursor.unexpected("the name of a command behind `::`")),
            name => return dcmd(cursor, name.to_owned(), start).map(Some),
        },
        Some(':' | '$') => {
            cursor.next();
            if !cursor.peek().is_some_and(|c| c.is_ascii_graphic() && !"|;!".contains(c)) {
                return Err(cursor.unexpected("the letter of a command"));
            }
            cursor.next();
            let name = cursor.since(start).to_owned();
            return dcmd(cursor, name, start).map(Some);
        }
        Some('>') => {
            cursor.next();
            let width = width(cursor)?;
            cursor.skip_blanks();
            Verb::Assign { width, name: variable_name(cursor)? }
        }
        _ => return Ok(None),
    };
    Ok(Some(Command { verb, at: start..cursor.at }))
}

fn dcmd(cursor: &mut Cursor<'_>, name: String, start: usize) -> Result<Command, Failure> {
    let at = start..cursor.at;
    let mut args = Vec::new();
    loop {
        cursor.skip_blanks();
        match cursor.peek() {
            None | Some('\n' | ';' | '|') => break,
            Some('!') if !cursor.rest().starts_with("!=") => break,
            Some(_) => args.push(arg(cursor)?),
        }
    }
    Ok(Command { verb: Verb::Dcmd { name, args }, at })
}

/// Reads an argument: pieces, quoted or not, up to a blank; or `$[expr]` alone.
fn arg(cursor: &mut Cursor<'_>) -> Result<Arg, Failure> {
    let start = cursor.at;
    if cursor.rest().starts_with("$[") {
        let value = Some(Box::new(computed(cursor)?));
        return Ok(Arg { text: String::new(), value, is_quoted: true, at: start..cursor.at });
    }
    let (mut text, mut is_quoted) = (String::new(), false);
    while let Some(c) = cursor.peek() {
        match c {
            '"' | '\'' => {
                is_quoted = true;
                quoted(cursor, c, &mut text)?;
            }
            ' ' | '\t' | '\r' | '\n' | ';' | '|' => break,
            '!' if !cursor.rest().starts_with("!=") => break,
            c => {
                text.push(c);
                cursor.next();
            }
        }
    }
    Ok(Arg { text, value: None, is_quoted, at: start..cursor.at })
}

fn quoted(cursor: &mut Cursor<'_>, quote: char, text: &mut String) -> Result<(), Failure> {
    let start = cursor.at;
    cursor.next();
    loop {
        match cursor.next() {
            None => {
                let message = format!("syntax error: unmatched `{quote}`");
                return Err(Failure::at(start..start + 1, message));
            }
            Some(c) if c == quote => return Ok(()),
            Some('\\') if quote == '"' => text.push(escaped(cursor)),
            Some(c) => text.push(c),
        }
    }
}

/// What stands behind a backslash in a C string.
fn escaped(cursor: &mut Cursor<'_>) -> char {
    match cursor.next() {
        Some('n') => '\n',
        Some('t') => '\t',
        Some('r') => '\r',
        Some('0') => '\0',
        Some('a') => '\u{7}',
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('v') => '\u{b}',
        Some(other) => other,
        None => '\\',
    }
}

/// Reads `$[expr]`, which comes next.
fn computed(cursor: &mut Cursor<'_>) -> Result<super::Expr, Failure> {
    let start = cursor.at;
    cursor.take("$[");
    let value = required(cursor)?;
    cursor.skip_blanks();
    if cursor.take("]") {
        return Ok(value);
    }
    Err(Failure::at(start..start + 2, "syntax error: unmatched `$[`"))
}

fn format(cursor: &mut Cursor<'_>, sigil: char) -> Result<Verb, Failure> {
    let (mut items, mut values) = (Vec::new(), Vec::new());
    loop {
        cursor.skip_blanks();
        let start = cursor.at;
        let repeat = match cursor.peek() {
            None | Some('\n' | ';' | '|' | '!') => break,
            Some('$') if cursor.rest().starts_with("$[") => Repeat::Computed(Box::new(computed(cursor)?)),
            Some(c) if c.is_ascii_digit() => Repeat::Times(times(cursor)?),
            Some(_) => Repeat::Times(1),
        };
        let Some(letter) = cursor.peek().filter(|c| c.is_ascii_alphabetic() || "+-^".contains(*c)) else {
            return Err(cursor.unexpected("a format letter (::formats lists them)"));
        };
        cursor.next();
        items.push(FormatItem { repeat, letter, at: start..cursor.at });
        if items.len() == 1 && TAKES_VALUES.contains(letter) && sigil != '=' {
            while let Some(value) = optional(cursor)? {
                values.push(value);
            }
            break;
        }
    }
    Ok(Verb::Format { sigil, items, values })
}

fn times(cursor: &mut Cursor<'_>) -> Result<u64, Failure> {
    let start = cursor.at;
    let digits = cursor.take_while(|c| c.is_ascii_digit());
    match digits.parse() {
        Ok(times) if times <= MAX_REPEAT => Ok(times),
        _ => Err(Failure::at(start..cursor.at, format!("a format is repeated {MAX_REPEAT} times at most"))),
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '`'
}
