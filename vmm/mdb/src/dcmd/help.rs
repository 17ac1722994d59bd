//! `::help`: what a command does, with examples.
//!
//! # Invariants
//! - docs/dcmds.md is made of the same text.

use super::{Address, DCMDS, Dcmd, Run, find, unknown};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;

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
    run: Run::View(run),
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

fn run(_: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    match call.options("")?.rest {
        [] => Ok(Answer::line(BEGIN)),
        [word] => {
            let name = word.text.trim_start_matches("::");
            let dcmd = find(name).ok_or_else(|| Failure::at(word.at.clone(), unknown(name)))?;
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
    page + "\nATTRIBUTES\n  Target: kvm, sim\n  Interface Stability: Unstable"
}

/// Every command, as docs/dcmds.md has them.
pub fn reference() -> String {
    let section = |dcmd: &&Dcmd| format!("\n## {}\n\n```text\n{}\n```\n", dcmd.name, page(dcmd));
    DCMDS.iter().map(section).collect::<String>().trim_start_matches('\n').to_owned()
}
