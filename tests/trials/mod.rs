//! Tests that may need KVM: skipped by name and with the reason where there is none, and alone on the host where there is.
//!
//! # Invariants
//! - A KVM test never runs beside another test of its process: vCPUs that wait for a host CPU prove nothing.
//! - Only a host without KVM skips. A KVM that is there and does not work fails.

use std::process::ExitCode;
use std::sync::{LazyLock, PoisonError, RwLock};

use libtest_mimic::{Arguments, Completion, Trial};
use umpire_machine::host::{Host, HostError};

/// Whoever holds it for writing has the host for itself.
static HOST: RwLock<()> = RwLock::new(());

/// Runs the trials that the arguments ask for, as `cargo test` and `cargo nextest` expect of a test program.
pub fn run(trials: Vec<Trial>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test that any host can do. It fails by panicking.
pub fn anywhere(name: &str, check: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let _beside_others = HOST.read().unwrap_or_else(PoisonError::into_inner);
        check();
        Ok(())
    })
}

/// A test that needs KVM, `kvm::<name>`. It fails by panicking.
pub fn kvm(name: &str, check: impl FnOnce() + Send + 'static) -> Trial {
    let why = why_no_kvm();
    // To nextest, which runs a process a test, one that skips itself has passed: it has to be told beforehand.
    let is_told = why.is_some() && std::env::var_os("NEXTEST").is_some();
    let trial = Trial::ignorable_test(format!("kvm::{name}"), move || {
        if let Some(why) = why {
            return Ok(Completion::ignored_with(why));
        }
        let _alone = HOST.write().unwrap_or_else(PoisonError::into_inner);
        check();
        Ok(Completion::Completed)
    });
    trial.with_ignored_flag(is_told)
}

/// Looks once.
fn why_no_kvm() -> Option<String> {
    static WHY: LazyLock<Option<String>> = LazyLock::new(|| match Host::probe() {
        Err(e @ (HostError::Missing { .. } | HostError::Denied { .. } | HostError::NoModule { .. })) => {
            Some(e.to_string())
        }
        _ => None,
    });
    WHY.clone()
}
