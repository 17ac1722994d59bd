//! Which threads a bound is about: `pri >= 99 and class == SYS`.
//!
//! ```text
//! filter := test { "and" test }
//! test   := field op value
//! field  := pri | class | name | cpu
//! op     := == | != | >= | <= | > | < | ^=     (class: == and !=; name: ==, != and ^=, which is "begins with")
//! value  := a number, a word, or "a quoted text"
//! ```
//!
//! A thread that is one of a group has the group's name too: `name == victim` means `victim`, and `victim/0` and all others
//! whose number follows.
//!
//! # Invariants
//! - A filter that parsed can be evaluated for any thread: a thread on no CPU's queue equals no CPU number.
//! - An error points at the column, counted in characters from 1, and says what was expected there.

mod nobody;

use std::ops::Range;

use umpire_shared::program::class;

pub use nobody::{Candidate, Nobody};

/// The fields a filter may name.
const FIELDS: [&str; 4] = ["pri", "class", "name", "cpu"];
/// The operators, longest first, so that `>=` is not read as `>`.
const OPS: [(&str, Op); 7] = [
    ("==", Op::Eq),
    ("!=", Op::Ne),
    (">=", Op::Ge),
    ("<=", Op::Le),
    ("^=", Op::Begins),
    (">", Op::Gt),
    ("<", Op::Lt),
];

/// A parsed filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadFilter {
    tests: Vec<Placed>,
    /// The text that was parsed.
    text: String,
}

/// A test, and the bytes of the text where its value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    test: Test,
    value: Range<usize>,
}

/// Why a filter does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct FilterError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What was found and what was expected.
    pub message: String,
}

/// What a filter looks at.
#[derive(Debug, Clone, Copy)]
pub struct ThreadTraits<'a> {
    /// Effective priority.
    pub pri: i16,
    /// Class number.
    pub class: u8,
    /// `t_name`.
    pub name: &'a str,
    /// The CPU where it is: on whose queue it waits, to which it is bound, or where it ran; `None` if it has none.
    pub cpu: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Pri(Op, i64),
    Cpu(Op, i64),
    Class(Op, u32),
    Name(Op, String),
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `>=`
    Ge,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `<`
    Lt,
    /// `^=`, for names only.
    Begins,
}

impl Op {
    /// Whether two values compare so.
    pub(crate) fn holds<T: PartialOrd + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Op::Eq => left == right,
            Op::Ne => left != right,
            Op::Ge => left >= right,
            Op::Le => left <= right,
            Op::Gt => left > right,
            Op::Lt => left < right,
            Op::Begins => false,
        }
    }

    /// Whether the CPU whose queue a thread is on compares so with a number.
    pub(crate) fn holds_for_cpu(self, cpu: Option<u32>, value: i64) -> bool {
        match cpu {
            Some(cpu) => self.holds(&i64::from(cpu), &value),
            None => self == Op::Ne,
        }
    }

    /// Whether a thread's name, or that of its group, compares so with another.
    pub(crate) fn holds_for_name(self, name: &str, value: &str) -> bool {
        match self {
            Op::Begins => name.starts_with(value),
            Op::Ne => !is_called(name, value),
            _ => is_called(name, value),
        }
    }
}

/// True if a thread of this name is called so, or is one of a group that is.
fn is_called(name: &str, called: &str) -> bool {
    name == called || group(name) == Some(called)
}

/// The name of the group that a thread of this name is one of, if it is numbered.
pub fn group(name: &str) -> Option<&str> {
    let (group, number) = name.rsplit_once('/')?;
    (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(group)
}

impl ThreadFilter {
    /// Parses a filter.
    ///
    /// # Errors
    /// [`FilterError`] with the column of the first thing that does not fit.
    pub fn parse(text: &str) -> Result<ThreadFilter, FilterError> {
        let mut tokens = Tokens { text, at: 0 };
        let mut tests = vec![test(&mut tokens)?];
        while let Some((at, word)) = tokens.next()? {
            if word != "and" {
                return Err(tokens.error(at, format!("found `{word}`, expected `and` or the end")));
            }
            tests.push(test(&mut tokens)?);
        }
        Ok(ThreadFilter { tests, text: text.into() })
    }

    /// True if a thread is meant.
    pub fn matches(&self, thread: &ThreadTraits<'_>) -> bool {
        self.tests.iter().all(|placed| match &placed.test {
            Test::Pri(op, value) => op.holds(&i64::from(thread.pri), value),
            Test::Cpu(op, value) => op.holds_for_cpu(thread.cpu, *value),
            Test::Class(op, value) => op.holds(&u32::from(thread.class), value),
            Test::Name(op, value) => op.holds_for_name(thread.name, value),
        })
    }

    /// The text that was parsed.
    pub fn source(&self) -> &str {
        self.text.trim()
    }
}

fn test(tokens: &mut Tokens<'_>) -> Result<Placed, FilterError> {
    let fields = FIELDS.join(", ");
    let Some((at, field)) = tokens.next()? else {
        return Err(tokens.error(tokens.at, format!("found the end, expected one of {fields}")));
    };
    if !FIELDS.contains(&field) {
        let nearest = FIELDS
            .into_iter()
            .map(|f| (strsim::jaro_winkler(f, field), f))
            .filter(|(score, _)| *score > 0.6)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let hint = nearest.map(|(_, f)| format!("; did you mean `{f}`?")).unwrap_or_default();
        return Err(tokens.error(at, format!("found `{field}`, expected one of {fields}{hint}")));
    }
    let (op_at, op) = operator(tokens, field)?;
    let (fits, those) = match field {
        "name" => (matches!(op, Op::Eq | Op::Ne | Op::Begins), "==, != or ^="),
        "class" => (matches!(op, Op::Eq | Op::Ne), "== or !="),
        _ => (op != Op::Begins, "==, !=, >=, <=, > or <"),
    };
    if !fits {
        return Err(tokens.error(op_at, format!("`{field}` can only be compared with {those}")));
    }
    let Some((at, value)) = tokens.next()? else {
        return Err(
            tokens.error(tokens.at, format!("found the end, expected what to compare `{field}` with"))
        );
    };
    let test = match field {
        "name" => Test::Name(op, value.into()),
        "class" => match class::NAMES.iter().position(|n| *n == value) {
            Some(n) => Test::Class(op, n as u32),
            None => {
                let classes = class::NAMES.join(", ");
                return Err(tokens.error(at, format!("found class `{value}`, expected one of {classes}")));
            }
        },
        _ => match value.parse() {
            Ok(number) if field == "pri" => Test::Pri(op, number),
            Ok(number) => Test::Cpu(op, number),
            Err(_) => {
                return Err(tokens.error(at, format!("found `{value}`, expected a number for `{field}`")));
            }
        },
    };
    Ok(Placed { test, value: at..tokens.at })
}

/// The operator behind a field.
pub(crate) fn operator(tokens: &mut Tokens<'_>, field: &str) -> Result<(usize, Op), FilterError> {
    let expected = "expected one of ==, !=, >=, <=, ^=, >, <";
    match tokens.next()? {
        None => Err(tokens.error(tokens.at, format!("found the end after `{field}`, {expected}"))),
        Some((at, word)) => match OPS.iter().find(|(text, _)| *text == word) {
            Some((_, op)) => Ok((at, *op)),
            None => Err(tokens.error(at, format!("found `{word}` after `{field}`, {expected}"))),
        },
    }
}

/// Words, operators and quoted texts, with their byte positions.
pub(crate) struct Tokens<'a> {
    pub(crate) text: &'a str,
    /// The byte behind the last one.
    pub(crate) at: usize,
}

impl<'a> Tokens<'a> {
    /// The next one, with its byte.
    pub(crate) fn next(&mut self) -> Result<Option<(usize, &'a str)>, FilterError> {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        let start = self.at + (rest.len() - trimmed.len());
        self.at = start;
        let Some(first) = trimmed.chars().next() else { return Ok(None) };
        if first == '"' {
            let Some(len) = trimmed[1..].find('"') else {
                return Err(self.error(start, "a quoted text that does not end, expected `\"`".into()));
            };
            self.at = start + len + 2;
            return Ok(Some((start, &trimmed[1..=len])));
        }
        let is_op = |c: char| matches!(c, '=' | '!' | '<' | '>');
        let len = if trimmed.starts_with("^=") {
            Some(2)
        } else if is_op(first) {
            trimmed.find(|c| !is_op(c))
        } else {
            let end = trimmed.find(|c: char| is_op(c) || c.is_whitespace() || c == '"');
            end.into_iter().chain(trimmed.find("^=")).min()
        };
        let word = &trimmed[..len.unwrap_or(trimmed.len())];
        self.at = start + word.len();
        Ok(Some((start, word)))
    }

    /// The fault of what stands at a byte.
    pub(crate) fn error(&self, at: usize, message: String) -> FilterError {
        FilterError { column: column(self.text, at), message }
    }
}

/// The column, in characters from 1, of a byte of the text.
fn column(text: &str, at: usize) -> usize {
    text.get(..at).map_or(0, |before| before.chars().count()) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: ThreadTraits<'_> =
        ThreadTraits { pri: 99, class: class::SYS as u8, name: "squeue_worker", cpu: Some(1) };

    #[track_caller]
    fn check(filter: &str, thread: ThreadTraits<'_>, expect: bool) {
        let parsed = ThreadFilter::parse(filter).expect("invariant: the test's filter is right");
        assert_eq!(parsed.matches(&thread), expect, "{filter}");
    }

    #[track_caller]
    fn check_error(filter: &str, column: usize, part: &str) {
        let error = ThreadFilter::parse(filter).expect_err("invariant: the test's filter is wrong");
        assert_eq!(error.column, column, "{error}");
        assert!(error.message.contains(part), "{error}");
    }

    #[test]
    fn matches_each_operator_compares_numbers() {
        check("pri >= 99", WORKER, true);
        check("pri>99", WORKER, false);
        check("pri < 100", WORKER, true);
        check("pri <= 98", WORKER, false);
        check("pri == 99", WORKER, true);
        check("pri != 99", WORKER, false);
    }

    #[test]
    fn matches_all_tests_must_hold() {
        check("pri >= 60 and class == SYS and cpu == 1", WORKER, true);
        check("pri >= 60 and class == TS", WORKER, false);
        check("name == squeue_worker and cpu != 0", WORKER, true);
        check("name == \"a b\"", ThreadTraits { name: "a b", ..WORKER }, true);
    }

    #[test]
    fn matches_a_name_is_the_thread_s_or_its_group_s_or_how_it_begins() {
        let second = ThreadTraits { name: "victim/2", ..WORKER };
        check("name == victim", second, true);
        check("name == victim/2", second, true);
        check("name == victim/1", second, false);
        check("name != victim", second, false);
        check("name == vic", second, false);
        check("name ^= vic", second, true);
        check("name^=\"victim/\"", second, true);
        check("name ^= ictim", second, false);
        check("name == victim", ThreadTraits { name: "victim/x", ..WORKER }, false);
        check("name == victim", ThreadTraits { name: "victim/", ..WORKER }, false);
        check("name == a^b", ThreadTraits { name: "a^b", ..WORKER }, true);
    }

    #[test]
    fn matches_thread_on_no_cpu_equals_none_and_differs_from_all() {
        let on_kp = ThreadTraits { cpu: None, ..WORKER };

        check("cpu == 0", on_kp, false);
        check("cpu >= 0", on_kp, false);
        check("cpu != 0", on_kp, true);
    }

    #[test]
    fn parse_unknown_field_suggests_the_nearest() {
        check_error("prio >= 99", 1, "did you mean `pri`?");
        check_error("pri >= 99 and nmae == x", 15, "did you mean `name`?");
    }

    #[test]
    fn parse_wrong_piece_points_at_its_column() {
        check_error("", 1, "expected one of pri, class, name, cpu");
        check_error("pri", 4, "expected one of ==");
        check_error("pri => 9", 5, "found `=>`");
        check_error("pri >= ", 8, "expected what to compare");
        check_error("pri >= high", 8, "expected a number");
        check_error("class > SYS", 7, "only be compared");
        check_error("class ^= S", 7, "only be compared with == or !=");
        check_error("pri ^= 9", 5, "only be compared with ==, !=, >=");
        check_error("name >= a", 6, "only be compared with ==, != or ^=");
        check_error("class == XX", 10, "expected one of SYS, TS");
        check_error("pri >= 9 or cpu == 1", 10, "expected `and`");
        check_error("name == \"x", 9, "does not end");
        check_error("é >= 1", 1, "expected one of pri");
    }

    #[test]
    fn parse_any_cut_of_a_filter_never_panics() {
        let whole = "pri >= 99 and name != \"é x\" and class==SYS";
        for (end, _) in whole.char_indices() {
            let _ = ThreadFilter::parse(&whole[..end]);
        }
    }
}
