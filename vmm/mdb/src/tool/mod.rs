//! The commands of people who do not know mdb: `kstat`, `mpstat`, `ps`, each one file and one line of [`TOOLS`].
//!
//! # Invariants
//! - A tool is a function from a moment of the guest, the moment before it if it repeats, and its arguments to an answer: the same
//!   rows are text and JSON. Headings, columns and letters are those of the Solaris command.
//! - What a tool cannot know of a guest is `-` or null, not a number.

use crate::answer::Answer;
use crate::call::{Call, Options, Word};
use crate::kstats::{self, Kstat};
use crate::lang::Failure;
use crate::procs::{self, Thread};
use crate::view::View;

macro_rules! tools {
    ($($file:ident),* $(,)?) => {
        $(mod $file;)*
        /// Every tool, by name.
        pub static TOOLS: &[&Tool] = &[$(&$file::TOOL),*];
    };
}

tools! { dispadmin, kstat, mpstat, priocntl, prstat, ps, psrinfo }

/// A tool.
#[derive(Debug)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Its options and operands.
    pub usage: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// What its options do.
    pub help: &'static str,
    /// The letters of its options, as for `getopt`.
    pub letters: &'static str,
    /// True if it may be repeated: its last operands are an interval and a count.
    pub repeats: bool,
    /// What stands between two of its answers.
    pub between: &'static str,
    /// Whether its arguments are right, as far as they say so without a guest: asked before there is one.
    pub check: fn(&Call<'_>) -> Result<(), Failure>,
    /// It.
    pub run: fn(&Moment<'_, '_>, &Call<'_>) -> Result<Answer, Failure>,
}

/// A moment of a guest.
pub struct Moment<'m, 't> {
    /// The guest.
    pub view: &'m View<'t>,
    /// What was counted by now.
    pub now: &'m Seen,
    /// What had been counted at the moment before, if this is not the first.
    pub before: Option<&'m Seen>,
}

/// What is counted, at a moment.
#[derive(Debug, Clone)]
pub struct Seen {
    /// ns since boot.
    pub now_ns: u64,
    /// The kstats.
    pub kstats: Vec<Kstat>,
    /// The threads.
    pub threads: Vec<Thread>,
}

/// How often, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// ns from one answer to the next.
    pub ns: u64,
    /// How many answers; none for as many as there may be.
    pub count: Option<u64>,
}

impl Seen {
    /// Looks.
    ///
    /// # Errors
    /// [`Failure`] while there is no kernel, or if it cannot be read.
    pub fn of(view: &View<'_>) -> Result<Seen, Failure> {
        let now_ns = crate::kernel::now_ns(view)?;
        Ok(Seen { now_ns, kstats: kstats::all(view)?, threads: procs::all(view, now_ns)? })
    }

    /// A kstat by its full name.
    pub fn kstat(&self, module: &str, instance: u64, name: &str) -> Option<&Kstat> {
        self.kstats.iter().find(|k| k.module == module && k.instance == instance && k.name == name)
    }
}

impl Tool {
    /// The interval that the operands ask for, if they ask for one.
    ///
    /// # Errors
    /// [`Failure`] with the usage if the arguments are wrong.
    pub fn interval(&self, call: &Call<'_>) -> Result<Option<Interval>, Failure> {
        self.read(call).map(|(_, _, interval)| interval)
    }

    /// The options, the operands that are no numbers, and the interval.
    ///
    /// # Errors
    /// As [`Tool::interval`].
    fn read<'c>(&self, call: &Call<'c>) -> Result<(Options<'c>, Vec<&'c Word>, Option<Interval>), Failure> {
        let options = call.options(self.letters)?;
        let (mut operands, mut numbers) = (Vec::new(), Vec::new());
        for word in options.rest {
            match seconds(&word.text) {
                Some(ns) if self.repeats => numbers.push((word, ns)),
                _ => operands.push(word),
            }
        }
        let interval = match numbers[..] {
            [] => None,
            [(word, 0), ..] => return Err(call.misused_at(&word.at, "the interval has to be greater than 0")),
            [(_, ns)] => Some(Interval { ns, count: None }),
            [(_, ns), (word, _)] => match word.text.parse() {
                Ok(count @ 1..) => Some(Interval { ns, count: Some(count) }),
                _ => return Err(call.misused_at(&word.at, "the count has to be a whole number from 1 on")),
            },
            [_, _, (word, _), ..] => {
                return Err(call.misused_at(&word.at, format!("unexpected operand `{}`", word.text)));
            }
        };
        Ok((options, operands, interval))
    }

    /// What `--help` says.
    pub fn page(&self) -> String {
        let more = if self.help.is_empty() { String::new() } else { format!("\n{}\n", self.help) };
        format!("{}\n\nUsage: {}\n{more}", self.about, self.synopsis())
    }

    /// The ways to type it.
    pub fn synopsis(&self) -> String {
        let Tool { name, usage, .. } = self;
        format!(
            "umpire {name} [NAME|CORE] {usage}\n       umpire {name} --run ID[:VARIANT] [--sim] [--seed N] [--at TIME] [--set NAME=VALUE] {usage}"
        )
    }
}

/// The tool of a name.
pub fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name).copied()
}

/// Seconds, perhaps with a fraction, in ns.
fn seconds(text: &str) -> Option<u64> {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let seconds: f64 = text.parse().ok().filter(|_| is_number)?;
    (seconds < 1e9).then_some((seconds * 1e9) as u64)
}

/// Refuses operands that a tool has no use for.
fn no_operands(operands: &[&Word], call: &Call<'_>) -> Result<(), Failure> {
    match operands {
        [] => Ok(()),
        [first, ..] => Err(call.misused_at(&first.at, format!("unexpected operand `{}`", first.text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word> {
        let word = |text: &str| Word { text: text.to_owned(), value: None, is_quoted: false, at: 0..1 };
        text.split_whitespace().map(word).collect()
    }

    fn interval(text: &str) -> Result<Option<Interval>, Failure> {
        let args = words(text);
        let call = Call {
            addr: None,
            dot: 0,
            args: &args,
            index: 0,
            piped: None,
            is_piped_out: false,
            usage: "kstat",
        };
        find("kstat").expect("a tool").interval(&call)
    }

    #[test]
    fn numbers_behind_the_operands_are_interval_and_count() {
        assert_eq!(interval("cpu:0:sys"), Ok(None));
        assert_eq!(interval("-p cpu 1 5"), Ok(Some(Interval { ns: 1_000_000_000, count: Some(5) })));
        assert_eq!(interval("0.25"), Ok(Some(Interval { ns: 250_000_000, count: None })));
    }

    #[test]
    fn numbers_that_are_no_interval_or_count_are_refused() {
        for text in ["0", "1 0", "1 0.5", "1 2 3"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn arguments_that_are_wrong_are_known_without_a_guest() {
        let wrong = [
            "kstat -q -l",
            "kstat cpu:0:sys:x:y",
            "kstat -T x",
            "mpstat nonsense",
            "mpstat -P x",
            "prstat -n x",
            "prstat -s colour",
            "prstat nonsense",
            "ps -p x",
            "ps nonsense",
            "psrinfo x",
            "priocntl",
            "priocntl -l x",
            "dispadmin",
            "dispadmin -c XX -g",
            "dispadmin -c SYS -g",
            "dispadmin -c TS -g -r 0",
        ];
        let right = [
            "kstat -p cpu:0:sys 1 2",
            "mpstat -P 1 1",
            "prstat -mL -s pri",
            "ps -elcL",
            "psrinfo -v 0",
            "priocntl -l",
            "dispadmin -l",
            "dispadmin -c TS -g -r 100",
        ];
        let check = |line: &str| {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            let (tool, args) = (find(name).expect("a tool"), words(rest));
            (tool.check)(&Call {
                addr: None,
                dot: 0,
                args: &args,
                index: 0,
                piped: None,
                is_piped_out: false,
                usage: name,
            })
        };
        for line in wrong {
            assert!(check(line).is_err(), "{line}");
        }
        for line in right {
            assert!(check(line).is_ok(), "{line}: {:?}", check(line));
        }
    }

    #[test]
    fn every_tool_says_what_it_does_and_they_are_in_order() {
        assert!(TOOLS.is_sorted_by_key(|tool| tool.name));
        assert!(TOOLS.iter().all(|tool| !tool.about.is_empty() && tool.page().contains(tool.usage)));
    }
}
