//! What each command gives up before it begins: the list of system calls that its main thread keeps, and where it may write.
//!
//! # Invariants
//! - It is given up after the arguments are known and before there is a second thread.
//! - A command may write where its arguments say, to the names of this user's sessions, and, for a recording that is not kept, to the
//!   folder for temporary files.

use std::env;
use std::path::Path;
use std::sync::OnceLock;

use umpire_machine::confine::{self, Confined, Places, Role, enter};
use umpire_reach::gdb::Address;
use umpire_reach::names::Directory;

use super::args::{Args, Command, RunArgs};

/// Set to anything but 0 it does what `--no-seccomp` does, also for what a command starts.
const NO_SECCOMP: &str = "UMPIRE_NO_SECCOMP";

/// Gives up what a command has no use for.
pub(super) fn of_command(args: &Args) {
    filters(args.no_seccomp);
    let mut places = Places::default();
    match &args.command {
        // A debugger's `!` runs programs, a screen and a measurement have runs started; each may write anywhere.
        Some(Command::Mdb(_) | Command::Watch(_) | Command::Bench(_) | Command::BootProbe { .. }) => {
            let _confined = enter(Role::Debugger);
            return;
        }
        // It says what was given up, so it does it itself.
        Some(Command::Doctor(_)) => return,
        Some(Command::Run(args)) => of_run(args, &mut places),
        Some(Command::Gdb(args)) => {
            sessions(&mut places);
            address(&args.listen, &mut places);
        }
        Some(Command::Image { file }) => places.file(file),
        Some(Command::Timeline(args)) => {
            places.file(&args.out);
            places.beneath(&env::temp_dir());
        }
        Some(Command::Events(_) | Command::Latency(_) | Command::Compare(_) | Command::Why(_)) => {
            places.beneath(&env::temp_dir());
        }
        Some(Command::Ps(_)) => sessions(&mut places),
        None
        | Some(Command::List(_) | Command::Completions { .. } | Command::Man(_) | Command::Schema { .. }) => {
        }
    }
    give_up(&places);
}

/// Gives up what a command of Solaris has no use for.
pub(super) fn of_tool(is_unfiltered: bool) {
    filters(is_unfiltered);
    let mut places = Places::default();
    sessions(&mut places);
    give_up(&places);
}

fn filters(are_unwanted: bool) {
    let variable = env::var_os(NO_SECCOMP).is_some_and(|value| !value.is_empty() && value != "0");
    if are_unwanted || variable {
        confine::without_filters();
    }
}

/// What the process gave up, once it has.
static GIVEN_UP: OnceLock<GivenUp> = OnceLock::new();

/// What landlock made of it, and the rest.
type GivenUp = (Result<Option<&'static str>, String>, Confined);

/// What is not to be had on this host is left out; `umpire doctor` says so.
fn give_up(places: &Places) {
    let landlock = confine::write_only(places);
    GIVEN_UP.get_or_init(|| (landlock, enter(Role::Main)));
}

/// What the process gave up, in a sentence.
pub(super) fn told() -> String {
    let Some((landlock, confined)) = GIVEN_UP.get() else { return "nothing was given up".to_owned() };
    let landlock = match landlock {
        Ok(Some(what)) => (*what).to_owned(),
        Ok(None) => "none on this host".to_owned(),
        Err(why) => why.clone(),
    };
    let rights = if confined.no_new_privs { "no_new_privs" } else { "no_new_privs is refused" };
    format!("given up: {rights}; seccomp: main {}; landlock: {landlock}", confined.filter)
}

/// As a run gives up, for who says what is in force: where to write, and the rest.
pub(super) fn as_a_run() -> GivenUp {
    filters(false);
    (confine::write_only(&Places::default()), enter(Role::Main))
}

fn of_run(args: &RunArgs, places: &mut Places) {
    let files = [&args.trace, &args.record, &args.junit, &args.tap, &args.markdown];
    files.into_iter().flatten().for_each(|file| places.file(file));
    for dir in [&args.report, &args.flight].into_iter().flatten() {
        places.beneath(dir);
    }
    if args.latency {
        // Its runs are recorded for that.
        places.beneath(&env::temp_dir());
    }
    if let Some([_, dir]) = args.core_on.as_deref() {
        places.beneath(Path::new(dir));
    }
    if !args.sim {
        sessions(places);
    }
    if let Some(gdb) = &args.gdb {
        address(gdb, places);
    }
}

/// The directory of this user's sessions; one that cannot be had is told by who needs it.
fn sessions(places: &mut Places) {
    if let Ok(directory) = Directory::of_user() {
        places.beneath(directory.path());
    }
}

fn address(address: &Address, places: &mut Places) {
    match address {
        Address::Own => {}
        Address::Path(path) => places.file(path),
        Address::Port(at) => places.port(at.port()),
    }
}
