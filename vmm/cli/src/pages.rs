//! What is made of the command line's own description: completions for shells, and pages for `man`.
//!
//! # Invariants
//! - Everything is made from the arguments as they are read: a new command or option is in them without a word here.

use std::io::{self, Write};

use clap::Command;
use clap_complete::Shell;
use umpire_mdb::tool::{self, Tool};

use super::args::{self, ManArgs};
use super::exit::Exit;
use super::streams::Streams;

/// Prints what a shell is to read to complete `umpire`'s commands and options.
pub(super) fn completions(shell: Shell, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut whole(), "umpire", &mut script);
    streams.out.write_all(&script)?;
    Ok(Exit::Pass)
}

/// Prints the page of `umpire`, or of one of its commands.
pub(super) fn man(args: &ManArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let mut whole = whole();
    // Gives every command its full name, and the options that all have.
    whole.build();
    let command = match &args.command {
        None => whole,
        Some(name) => match whole.find_subcommand(name).filter(|command| !command.is_hide_set()) {
            Some(command) => command.clone().display_name(format!("umpire-{name}")),
            None => {
                let names: Vec<&str> =
                    whole.get_subcommands().filter(|c| !c.is_hide_set()).map(Command::get_name).collect();
                streams
                    .say(&format!("umpire: there is no command `{name}`; there are: {}", names.join(", ")));
                return Ok(Exit::Usage);
            }
        },
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    streams.out.write_all(&page)?;
    Ok(Exit::Pass)
}

/// Every command, those of Solaris included, which read their arguments themselves.
fn whole() -> Command {
    let names: Vec<String> = args::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
    // `ps` is both: what it lists depends on its options.
    let tools = tool::TOOLS.iter().filter(|tool| !names.iter().any(|name| name == tool.name));
    args::command().subcommands(tools.map(of_solaris))
}

fn of_solaris(tool: &&Tool) -> Command {
    let about = format!("{} (a command of Solaris, on a guest)", tool.about);
    Command::new(tool.name).about(about).override_usage(tool.synopsis()).after_help(tool.help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(act: impl FnOnce(&mut Streams<'_>) -> io::Result<Exit>) -> (Exit, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = act(&mut Streams::plain(&mut out, &mut err)).expect("memory takes everything");
        (exit, String::from_utf8([out, err].concat()).expect("text"))
    }

    #[test]
    fn completions_know_every_command_and_its_options() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let (exit, script) = said(|streams| completions(shell, streams));
            assert_eq!(exit, Exit::Pass);
            for word in ["timeline", "mpstat", "until-violated", "hold"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn man_has_a_page_for_every_command_and_says_which_there_are() {
        let page = |command: Option<&str>| {
            said(|streams| man(&ManArgs { command: command.map(str::to_owned) }, streams))
        };
        assert!(page(None).1.contains(r".TH umpire 1"), "{}", page(None).1);
        for (name, word) in [("run", r"\-\-until\-violated"), ("kstat", "umpire kstat"), ("ps", "json")] {
            let (exit, text) = page(Some(name));
            assert!(exit == Exit::Pass && text.contains(word), "{name}: {text}");
            assert!(text.contains(&format!(".TH umpire-{name} 1")), "{name}: {text}");
        }
        let (exit, text) = page(Some("nonsense"));
        assert!(exit == Exit::Usage && text.contains("there are: run, list"), "{text}");
        assert_eq!(page(Some("boot-probe")).0, Exit::Usage);
    }
}
