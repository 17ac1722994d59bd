//! Which threads a bound is about: `pri >= 99 and class == SYS`.
//!
//! ```text
//! filter := test { "and" test }
//! test   := field op value
//! field  := pri | class | name | cpu
//! op     := == | != | >= | <= | > | <          (class and name: == and != only)
//! value  := a number, a word, or "a quoted text"
//! ```
//!
//! # Invariants
//! - A filter that parsed can be evaluated for any thread: a thread on no CPU's queue equals no CPU number.
//! - An error points at the column, counted in characters from 1, and says what was expected there.

use umpire_shared::program::class;

/// The fields a filter may name.
const FIELDS: [&str; 4] = ["pri", "class", "name", "cpu"];
/// The operators, longest first, so that `>=` is not read as `>`.
const OPS: [(&str, Op); 6] =
    [("==", Op::Eq), ("!=", Op::Ne), (">=", Op::Ge), ("<=", Op::Le), (">", Op::Gt), ("<", Op::Lt)];

/// A parsed filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadFilter {
    tests: Vec<Test>,
    source: String,
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
    /// The CPU whose queue it is on; `None` on the kp queue.
    pub cpu: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Pri(Op, i64),
    Cpu(Op, i64),
    Class(Op, u32),
    Name(Op, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Eq,
    Ne,
    Ge,
    Le,
    Gt,
    Lt,
}

impl Op {
    fn holds<T: PartialOrd + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Op::Eq => left == right,
            Op::Ne => left != right,
            Op::Ge => left >= right,
            Op::Le => left <= right,
            Op::Gt => left > right,
            Op::Lt => left < right,
        }
    }
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
        Ok(ThreadFilter { tests, source: text.trim().into() })
    }

    /// True if a thread is meant.
    pub fn matches(&self, thread: &ThreadTraits<'_>) -> bool {
        self.tests.iter().all(|test| match test {
            Test::Pri(op, value) => op.holds(&i64::from(thread.pri), value),
            Test::Cpu(op, value) => match thread.cpu {
                Some(cpu) => op.holds(&i64::from(cpu), value),
                None => *op == Op::Ne,
            },
            Test::Class(op, value) => op.holds(&u32::from(thread.class), value),
            Test::Name(op, value) => op.holds(thread.name, value.as_str()),
        })
    }

    /// The text that was parsed.
    pub fn source(&self) -> &str {
        &self.source
    }
}

fn test(tokens: &mut Tokens<'_>) -> Result<Test, FilterError> {
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
    let is_text = matches!(field, "class" | "name");
    if is_text && !matches!(op, Op::Eq | Op::Ne) {
        return Err(tokens.error(op_at, format!("`{field}` can only be compared with == or !=")));
    }
    let Some((at, value)) = tokens.next()? else {
        return Err(
            tokens.error(tokens.at, format!("found the end, expected what to compare `{field}` with"))
        );
    };
    match field {
        "name" => Ok(Test::Name(op, value.into())),
        "class" => match class::NAMES.iter().position(|n| *n == value) {
            Some(n) => Ok(Test::Class(op, n as u32)),
            None => Err(tokens
                .error(at, format!("found class `{value}`, expected one of {}", class::NAMES.join(", ")))),
        },
        _ => match value.parse() {
            Ok(number) if field == "pri" => Ok(Test::Pri(op, number)),
            Ok(number) => Ok(Test::Cpu(op, number)),
            Err(_) => Err(tokens.error(at, format!("found `{value}`, expected a number for `{field}`"))),
        },
    }
}

fn operator(tokens: &mut Tokens<'_>, field: &str) -> Result<(usize, Op), FilterError> {
    let expected = "expected one of ==, !=, >=, <=, >, <";
    match tokens.next()? {
        None => Err(tokens.error(tokens.at, format!("found the end after `{field}`, {expected}"))),
        Some((at, word)) => match OPS.iter().find(|(text, _)| *text == word) {
            Some((_, op)) => Ok((at, *op)),
            None => Err(tokens.error(at, format!("found `{word}` after `{field}`, {expected}"))),
        },
    }
}

/// Words, operators and quoted texts, with their byte positions.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Result<Option<(usize, &'a str)>, FilterError> {
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
        let len = if is_op(first) {
            trimmed.find(|c| !is_op(c))
        } else {
            trimmed.find(|c: char| is_op(c) || c.is_whitespace() || c == '"')
        };
        let word = &trimmed[..len.unwrap_or(trimmed.len())];
        self.at = start + word.len();
        Ok(Some((start, word)))
    }

    fn error(&self, at: usize, message: String) -> FilterError {
        let column = self.text.get(..at).map_or(0, |before| before.chars().count()) + 1;
        FilterError { column, message }
    }
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
