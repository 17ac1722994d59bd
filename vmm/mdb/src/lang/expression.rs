//! Expressions, numbers and names.
//!
//! # Invariants
//! - Every binary operator is left associative; the order of their strength is that of [`Binary`], loosest first.
//! - Parentheses and prefixes nest no deeper than [`MAX_DEPTH`].

use super::cursor::Cursor;
use super::failure::Failure;
use super::syntax::{Binary, Expr, Unary, Width};

/// Parentheses and prefixes within each other.
const MAX_DEPTH: usize = 100;
/// The base of numbers without a prefix.
const RADIX: u32 = 16;

/// The operators of each strength, loosest first.
const STRENGTHS: [&[(&str, Binary)]; 8] = [
    &[("|", Binary::Or)],
    &[("^", Binary::Xor)],
    &[("&", Binary::And)],
    &[("==", Binary::Equal), ("!=", Binary::Unequal)],
    &[("<<", Binary::ShiftLeft), (">>", Binary::ShiftRight)],
    &[("-", Binary::Subtract), ("+", Binary::Add)],
    &[("*", Binary::Multiply), ("%", Binary::Divide), ("#", Binary::RoundUp)],
    &[("%%", Binary::Modulus)],
];

/// Reads an expression; `None` if none begins here.
pub(super) fn optional(cursor: &mut Cursor<'_>) -> Result<Option<Expr>, Failure> {
    cursor.skip_blanks();
    let begins = match cursor.peek() {
        Some(c) => is_symbol_start(c) || c.is_ascii_digit() || "<*%-~#('".contains(c),
        None => false,
    };
    if begins { required(cursor).map(Some) } else { Ok(None) }
}

/// Reads an expression.
pub(super) fn required(cursor: &mut Cursor<'_>) -> Result<Expr, Failure> {
    binary(cursor, 0, 0)
}

fn binary(cursor: &mut Cursor<'_>, strength: usize, depth: usize) -> Result<Expr, Failure> {
    let Some(operators) = STRENGTHS.get(strength) else { return unary(cursor, depth) };
    let mut left = binary(cursor, strength + 1, depth)?;
    loop {
        cursor.skip_blanks();
        let start = cursor.at;
        let Some(op) = operator(cursor, operators) else { return Ok(left) };
        let at = start..cursor.at;
        let right = binary(cursor, strength + 1, depth)?;
        left = Expr::Binary { op, left: Box::new(left), right: Box::new(right), at };
    }
}

/// Takes the operator that comes next if it is one of these. `|` before a command and `=` before a format are no operators.
fn operator(cursor: &mut Cursor<'_>, operators: &[(&str, Binary)]) -> Option<Binary> {
    let rest = cursor.rest();
    let &(token, op) = operators.iter().find(|(token, _)| rest.starts_with(token))?;
    let behind = &rest[token.len()..];
    let is_other = match op {
        Binary::Divide => behind.starts_with('%'),
        Binary::Or => begins_command(behind.trim_start()),
        _ => false,
    };
    if is_other {
        return None;
    }
    cursor.at += token.len();
    Some(op)
}

/// True if a command of a pipeline begins here.
fn begins_command(text: &str) -> bool {
    let mut chars = text.chars();
    matches!(chars.next(), Some(':' | '/' | '?' | '\\' | '@' | '=' | '>' | '$'))
}

fn unary(cursor: &mut Cursor<'_>, depth: usize) -> Result<Expr, Failure> {
    cursor.skip_blanks();
    let start = cursor.at;
    if depth > MAX_DEPTH {
        let message =
            format!("syntax error: more than {MAX_DEPTH} prefixes and parentheses within each other");
        return Err(Failure::at(start..start + 1, message));
    }
    let op = match cursor.peek() {
        Some('*') => {
            cursor.next();
            Unary::Fetch(width(cursor)?)
        }
        Some('%') => {
            cursor.next();
            Unary::FetchObject(width(cursor)?)
        }
        Some('-') => {
            cursor.next();
            Unary::Negate
        }
        Some('~') => {
            cursor.next();
            Unary::Complement
        }
        Some('#') => {
            cursor.next();
            Unary::Not
        }
        _ => return primary(cursor, depth),
    };
    let at = start..cursor.at;
    Ok(Expr::Unary { op, of: Box::new(unary(cursor, depth + 1)?), at })
}

/// Reads `/c/` and the like, if it comes next.
pub(super) fn width(cursor: &mut Cursor<'_>) -> Result<Width, Failure> {
    if cursor.peek() != Some('/') {
        return Ok(Width::Eight);
    }
    cursor.next();
    let width = match cursor.peek() {
        Some('c' | '1') => Width::One,
        Some('s' | '2') => Width::Two,
        Some('i' | '4') => Width::Four,
        Some('l' | '8') => Width::Eight,
        _ => return Err(cursor.unexpected("a width: c, s, i, l, 1, 2, 4 or 8")),
    };
    cursor.next();
    if cursor.take("/") { Ok(width) } else { Err(cursor.unexpected("`/` behind the width")) }
}

fn primary(cursor: &mut Cursor<'_>, depth: usize) -> Result<Expr, Failure> {
    let start = cursor.at;
    match cursor.peek() {
        Some('(') => {
            cursor.next();
            let inner = binary(cursor, 0, depth + 1)?;
            cursor.skip_blanks();
            if cursor.take(")") { Ok(inner) } else { Err(cursor.unexpected("`)`")) }
        }
        Some('\'') => characters(cursor),
        Some('<') => {
            cursor.next();
            let name = variable_name(cursor)?;
            Ok(Expr::Variable { name, at: start..cursor.at })
        }
        Some(c) if c.is_ascii_digit() => number(cursor),
        Some(c) if is_symbol_start(c) => {
            let name = cursor.take_while(is_symbol);
            if name == "." {
                return Ok(Expr::Dot);
            }
            let number = u64::from_str_radix(name, RADIX).ok();
            Ok(Expr::Symbol { name: name.to_owned(), number, at: start..cursor.at })
        }
        _ => Err(cursor.unexpected("an expression")),
    }
}

/// Reads the name of a variable: letters, digits, `_`, `.`.
pub(super) fn variable_name(cursor: &mut Cursor<'_>) -> Result<String, Failure> {
    match cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.') {
        "" => Err(cursor.unexpected("the name of a variable")),
        name => Ok(name.to_owned()),
    }
}

/// `'text'`: up to 8 bytes, the first one the most significant.
fn characters(cursor: &mut Cursor<'_>) -> Result<Expr, Failure> {
    let start = cursor.at;
    cursor.next();
    let text = cursor.take_while(|c| c != '\'' && c != '\n');
    if !cursor.take("'") {
        return Err(Failure::at(start..cursor.at, "syntax error: unmatched `'`"));
    }
    if text.is_empty() || text.len() > 8 {
        let message = format!("a character constant has 1 to 8 bytes, not {}", text.len());
        return Err(Failure::at(start..cursor.at, message));
    }
    Ok(Expr::Number(text.bytes().fold(0, |value, byte| value << 8 | u64::from(byte))))
}

fn number(cursor: &mut Cursor<'_>) -> Result<Expr, Failure> {
    let start = cursor.at;
    let token = cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
    let (digits, radix) = match token.get(..2) {
        Some("0i" | "0I") => (&token[2..], 2),
        Some("0o" | "0O") => (&token[2..], 8),
        Some("0t" | "0T") => (&token[2..], 10),
        Some("0x" | "0X") => (&token[2..], 16),
        _ => (token, RADIX),
    };
    let is_fraction = radix == 10
        && cursor.rest().strip_prefix('.').is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()));
    if is_fraction {
        cursor.next();
        cursor.take_while(|c| c.is_ascii_digit());
        let text = &cursor.since(start)[2..];
        return match text.parse::<f64>() {
            Ok(value) => Ok(Expr::Number(value.to_bits())),
            Err(_) => Err(Failure::at(start..cursor.at, format!("`{text}` is not a decimal fraction"))),
        };
    }
    // Digits may be grouped: 0t1_000.
    match u64::from_str_radix(&digits.replace('_', ""), radix) {
        Ok(value) => Ok(Expr::Number(value)),
        Err(_) => {
            let message = format!("`{token}` is not a number of base {radix} that 64 bits hold");
            Err(Failure::at(start..cursor.at, message))
        }
    }
}

fn is_symbol_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == '.' || c == '`'
}

fn is_symbol(c: char) -> bool {
    is_symbol_start(c) || c.is_ascii_digit()
}
