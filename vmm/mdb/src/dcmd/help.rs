//! `::help`: what a command does, with examples.
//!
//! # Invariants
//! - docs/dcmds.md is made of the same text.

use super::{Address, DCMDS, Dcmd, Run, find, unknown};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::session::Session;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "help",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "[cmd]",
    about: "print help for a command, or how to find one",
    help: "Prints what a command does, what may stand in front of and behind it, and lines that use it.\n\
           Without an argument it says how to find commands.",
    examples: &[("::help", "how to begin"), ("::help cpuinfo", "all about ::cpuinfo")],
    run: Run::Session(run),
};

const BEGIN: &str = "\
Each line is an expression, a command, or both:
  ::cpuinfo -v               what runs and what waits on each CPU
  ::walk thread | ::thread   every thread
  ADDR::findstack            the stack of the thread at ADDR
  kpreemptpri/D              a variable as a decimal number
  ADDR::print kthread_t t_pri   a member of a structure
  ::stacks                   threads by stack
  ... ! grep sched           the shell takes what was printed

Find more by
  ::dcmds                    every command
  ::walkers                  what ::walk goes through
  ::formats                  the letters behind / ? and =
  ::help NAME                a command with examples
Numbers are hexadecimal; 0t99 is decimal. Press TAB to complete a word.";

const BEGIN_RECORDED: &str = "\
A recording holds what happened, and no memory. Each line is a command, and perhaps what it is about in front:
  ::status                   what was recorded, and what of it is lost
  ::at                       the moment that is looked at; ::at 55ms and ::at violation stand at another
  ::cpuinfo -v               what ran and what waited on each CPU then
  ::walk thread | ::thread   every thread then
  NAME::thread               the thread of a name
  ::events                   what happened about then
  ::umpire                   the verdicts
  ... ! grep sched           the shell takes what was printed

Find more by
  ::dcmds                    every command that a recording can answer
  ::walkers                  what ::walk goes through
  ::help NAME                a command with examples
CPUs and threads are known by their numbers. Numbers are hexadecimal; 0t99 is decimal. Press TAB to complete a word.";

fn run(session: &mut Session<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    match call.options("")?.rest {
        [] => Ok(Answer::line(if session.source().is_recording() { BEGIN_RECORDED } else { BEGIN })),
        [word] => {
            let name = word.text.trim_start_matches("::");
            let source = session.source();
            let failed = |message| Failure::at(word.at.clone(), message);
            let dcmd = find(name).ok_or_else(|| failed(unknown(name, source)))?;
            if !dcmd.run.takes(source) {
                return Err(failed(dcmd.refused(source)));
            }
            Ok(Answer::rows([Row::line(page(dcmd)).with("name", dcmd.name)]))
        }
        [_, more, ..] => Err(call.misused_at(&more.at, "one command at a time")),
    }
}

/// What `::help` prints of a command.
pub(crate) fn page(dcmd: &Dcmd) -> String {
    let indented = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let mut page = format!("NAME\n  {} - {}\n\nSYNOPSIS\n  {}\n", dcmd.name, dcmd.about, dcmd.synopsis());
    if !dcmd.aliases.is_empty() {
        page += &format!("  also called {}\n", dcmd.aliases.join(", "));
    }
    page += &format!("\nDESCRIPTION\n{}\nEXAMPLES\n", indented(dcmd.help));
    let width = dcmd.examples.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
    for (line, about) in dcmd.examples {
        page += &format!("  {line:<width$}   {about}\n");
    }
    page + &format!("\nATTRIBUTES\n  Target: {}\n  Interface Stability: Unstable", dcmd.run.targets())
}

/// Every command, as docs/dcmds.md has them.
pub fn reference() -> String {
    let section = |dcmd: &&Dcmd| format!("\n## {}\n\n```text\n{}\n```\n", dcmd.name, page(dcmd));
    DCMDS.iter().map(section).collect::<String>().trim_start_matches('\n').to_owned()
}
