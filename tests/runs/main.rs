//! One program of all tests that run the binary `umpire` as a user does: scenarios, guests that break, mutants, and the command
//! line.
//!
//! # Invariants
//! - A test that needs KVM is called `kvm::...`; without KVM it is skipped by name, with the reason.
//! - Only [`choice`] decides which tests run, and only [`budget`] which of them run side by side.

mod absent_host;
mod binary;
mod blame;
mod broken_guests;
mod browser;
mod budget;
mod cases;
mod choice;
mod cli;
mod compare;
mod confined;
mod faults;
mod gdb;
mod misuse;
mod mutants;
mod processes;
mod recorded;
mod reports;
mod scenarios;
mod sessions;
mod shell;
mod streams;
mod traces;
mod trials;
mod why;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let mut trials = scenarios::on_kvm(choice::of_environment());
    trials.extend(broken_guests::trials());
    trials.extend(cli::trials());
    trials.extend(recorded::trials());
    trials.extend(browser::trials());
    trials.extend(blame::trials());
    trials.extend(reports::trials());
    trials.extend(compare::trials());
    trials.extend(confined::trials());
    trials.extend(mutants::trials());
    trials.extend(scenarios::simulated());
    trials.extend(budget::trials());
    trials.extend(absent_host::trials());
    trials.extend(cases::trials());
    trials.extend(choice::trials());
    trials.extend(trials::trials());
    trials.extend(why::trials());
    trials.extend(sessions::trials());
    trials.extend(gdb::trials());
    trials.extend(faults::trials());
    trials.extend(misuse::trials());
    trials.extend(streams::trials());
    trials.extend(traces::trials());
    trials.extend(shell::trials());
    // Tests that wait for CPUs of the host hold a thread each: with more threads than CPUs, others fill the gaps.
    arguments.test_threads.get_or_insert(2 * budget::HOST.cpus());
    libtest_mimic::run(&arguments, trials).exit_code()
}
