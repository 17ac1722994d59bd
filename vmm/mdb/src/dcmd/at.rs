//! `::at`: the moment of a recording that is looked at.
//!
//! # Invariants
//! - What is printed of a moment can be typed, and means the same moment.

use umpire_record::Violation;

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::{Call, Word};
use crate::lang::Failure;
use crate::recorded::{Recorded, Time, exact_ms};

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "at",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "[time | +time | -time | violation [number] | begin | end]",
    about: "print or set the moment of a recording that is looked at",
    help: "Stands at a moment of a recording, in guest time after boot: what other commands print is how everything stood then. A\n\
           time is a number, perhaps with a fraction, and a unit (ns, us, ms, s, m); with a sign it counts from where one stands.\n\
           violation   the moment at which a bound was broken: the first one's, or that of a number (decimal)\n\
           begin, end  the first and the last event\n\
           Without an argument it says where that is, and at which moments bounds were broken. A session begins at the first of\n\
           them, or else at the end.",
    examples: &[
        ("::at", "where one stands"),
        ("::at 55.5ms; ::cpuinfo", "the CPUs at a time"),
        ("::at -20us; ::thread", "the threads a little earlier"),
        ("::at violation", "where a bound was broken"),
    ],
    run: Run::Recorded(run),
};

fn run(recorded: &Recorded<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let (first, last) = recorded.recording().interval();
    let to = match call.args {
        [] => return Ok(Answer::rows(std::iter::once(here(recorded)).chain(violations(recorded)))),
        [word] if word.text == "begin" => first,
        [word] if word.text == "end" => last,
        [word] if word.text == "violation" => broken(recorded, word, None)?,
        [word, number] if word.text == "violation" => {
            let n = number.text.parse::<usize>().ok().filter(|n| *n > 0);
            let n = n.ok_or_else(|| call.misused_at(&number.at, format!("`{}` is no number from 1 on", number.text)))?;
            broken(recorded, number, Some(n))?
        }
        [word] => {
            let wrong = || call.misused_at(&word.at, format!("`{}` is no time, like 55.5ms or -20us", word.text));
            let to = Time::parse(&word.text).ok_or_else(wrong)?.from(recorded.at_ns());
            return moved(recorded, to).map_err(|failure| failure.or_at(&word.at));
        }
        [_, more, ..] => return Err(call.misused_at(&more.at, format!("unexpected argument `{}`", more.text))),
    };
    moved(recorded, to)
}

fn moved(recorded: &Recorded<'_>, to: u64) -> Result<Answer, Failure> {
    recorded.stand_at(to)?;
    Ok(Answer::rows([here(recorded)]))
}

/// The moment at which a bound was broken: the first one's, or that of a number from 1 on.
fn broken(recorded: &Recorded<'_>, word: &Word, number: Option<usize>) -> Result<u64, Failure> {
    let all = recorded.violations();
    let missing = || {
        let what = match all.len() {
            0 => "no bound was broken at a moment that is known".to_owned(),
            n => format!("there are {n} violations; ::at lists them"),
        };
        Failure::at(word.at.clone(), what)
    };
    all.get(number.unwrap_or(1) - 1).map(|violation| violation.at_ns).ok_or_else(missing)
}

/// Where one stands, and where that is as seen from the violations.
fn here(recorded: &Recorded<'_>) -> Row {
    let at = recorded.at_ns();
    let (first, last) = recorded.recording().interval();
    let is_at = recorded.violations().iter().position(|violation| violation.at_ns == at);
    let which = match is_at {
        Some(n) => format!(", violation {}", n + 1),
        None if at == last => ", the end".to_owned(),
        None if at == first => ", the beginning".to_owned(),
        None => String::new(),
    };
    Row::line(format!("at {} of {} to {}{which}", exact_ms(at), exact_ms(first), exact_ms(last)))
        .with("at_ns", at)
        .with("first_ns", first)
        .with("last_ns", last)
        .with("violation", is_at.map(|n| n as u64 + 1))
}

fn violations<'r>(recorded: &'r Recorded<'_>) -> impl Iterator<Item = Row> + 'r {
    let row = |(n, violation): (u64, &Violation)| {
        let text = format!("violation {n}: {}, at {}", violation.text, exact_ms(violation.at_ns));
        Row::line(text)
            .with("violation", n)
            .with("monitor", violation.monitor.as_str())
            .with("of", violation.thread.clone())
            .with("thread", violation.number)
            .with("began_ns", violation.began_ns)
            .with("at_ns", violation.at_ns)
    };
    (1..).zip(recorded.violations()).map(row)
}
