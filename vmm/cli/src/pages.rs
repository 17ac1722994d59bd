//! What is made of the command line's own description: completions for shells, and pages for `man`.
//!
//! # Invariants
//! - Everything is made from the arguments as they are read: a new command or option is in them without a word here.

use std::io::{self, Write};

use clap::{Arg, ArgAction, Command};
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
        None => with_values(whole),
        Some(name) => match whole.find_subcommand(name).filter(|command| !command.is_hide_set()) {
            Some(command) => with_values(command.clone().display_name(format!("umpire-{name}"))),
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

/// The same command, with a synopsis in which options have their values, unless it has one of its own.
fn with_values(command: Command) -> Command {
    if command.get_overridden_usage().is_some() {
        return command;
    }
    let mut words = vec![command.get_bin_name().unwrap_or("umpire").to_owned()];
    let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    let (options, operands): (Vec<&Arg>, Vec<&Arg>) = shown().partition(|arg| !arg.is_positional());
    words.extend(options.into_iter().chain(operands).map(synopsis));
    if command.has_subcommands() {
        words.push("[COMMAND]".to_owned());
    }
    command.override_usage(words.join(" "))
}

/// An argument in a synopsis: `[--set NAME=VALUE]...`.
fn synopsis(arg: &Arg) -> String {
    let range = arg.get_num_args().unwrap_or_default();
    let names = [arg.get_short().map(|c| format!("-{c}")), arg.get_long().map(|long| format!("--{long}"))];
    let names: Vec<String> = names.into_iter().flatten().collect();
    let values = arg.get_value_names().filter(|_| range.takes_values());
    let values = values.unwrap_or_default().iter().map(|name| name.to_string()).collect::<Vec<_>>().join(" ");
    let mut word = names.join("|");
    word += &match (range.takes_values(), range.min_values(), arg.is_require_equals_set()) {
        (false, ..) => String::new(),
        (true, 0, true) => format!("[={values}]"),
        (true, _, true) => format!("={values}"),
        (true, ..) if word.is_empty() => values,
        (true, ..) => format!(" {values}"),
    };
    if !arg.is_required_set() {
        word = format!("[{word}]");
    }
    if matches!(arg.get_action(), ArgAction::Append) { word + "..." } else { word }
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
    fn every_option_is_described_in_its_page() {
        let mut whole = whole();
        whole.build();
        for command in std::iter::once(&whole).chain(whole.get_subcommands()) {
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let is_told = arg.get_long_help().is_some()
                    || arg.get_help().is_some() && !arg.is_hide_short_help_set();
                assert!(is_told, "{}: {}", command.get_name(), arg.get_id());
            }
        }
        let (_, page) = said(|streams| man(&ManArgs { command: Some("list".to_owned()) }, streams));
        assert!(page.contains("Let threads make every system call"), "{page}");
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
        let synopsis = page(Some("run")).1.replace('\\', "");
        for word in [
            "[--set NAME=VALUE]...",
            "[-q|--quiet]",
            "[--gdb[=ADDR]]",
            "[ID|PATH]...",
            "[--core-on violation|panic|end DIR]",
        ] {
            assert!(synopsis.contains(word), "no {word}: {synopsis}");
        }
        assert!(page(Some("timeline")).1.replace('\\', "").contains("-o|--out FILE "));
        // `ps` of a guest is in the page of `ps` of machines.
        assert!(page(Some("ps")).1.replace('\\', "").contains("[-eAlcL] [-p pid]"));
        let (exit, text) = page(Some("nonsense"));
        assert!(exit == Exit::Usage && text.contains("there are: run, list"), "{text}");
        assert_eq!(page(Some("boot-probe")).0, Exit::Usage);
    }
}
