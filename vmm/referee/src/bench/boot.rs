//! From process start to the first kernel thread running, KVM's own object creation taken out.
//!
//! # Invariants
//! - Measured on whole processes: the parent notes the time, starts `umpire boot-probe`, and the child tells when its guest's
//!   first thread ran, by the guest's own time-stamp.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{BenchRow, Better};
use super::{failed, median};
use crate::Guest;
use crate::report::RunError;
use umpire_machine::{GUEST_IMAGE, Machine, MachineConfig};
use umpire_scenario::Tracing;
use umpire_scenario::builtin;
use umpire_shared::boot::phase;

/// Processes that are started.
const ROUNDS: usize = 21;
/// A probe's guest has to come up within this.
const LIMIT: Duration = Duration::from_secs(10);

/// The row.
pub(super) fn boot() -> Result<BenchRow, RunError> {
    let program = std::env::current_exe().map_err(failed)?;
    let mut own = Vec::new();
    let mut create = Vec::new();
    for _ in 0..ROUNDS {
        let mut command = Command::new(&program);
        let output = command.args(["boot-probe", &now_ns().to_string()]).output().map_err(failed)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut numbers = text.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
        let (Some(total_ns), Some(create_ns)) = (numbers.next(), numbers.next()) else {
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(RunError::Unsupported(format!("measure the boot: the probe said {text:?} {told:?}")));
        };
        own.push(total_ns.saturating_sub(create_ns) as f64 / 1e6);
        create.push(create_ns as f64 / 1e6);
    }
    let note =
        format!("median of {ROUNDS} processes; KVM's object creation, {:.2} ms, taken out", median(create));
    Ok(BenchRow {
        what: "process start to first kernel thread, 2 vCPUs".to_owned(),
        value: median(own),
        goal: 5.0,
        unit: "ms",
        better: Better::Less,
        note,
    })
}

/// What `umpire boot-probe` does: boots i1532 on 2 vCPUs and returns ns from `spawned_at_ns` (of the system's clock) to the
/// guest's first thread, and ns of KVM's object creation in it.
///
/// # Errors
/// [`RunError`] if the machine cannot be set up or does not come up.
pub fn boot_probe(spawned_at_ns: u64) -> Result<(u64, u64), RunError> {
    // A run reads its guest's debug information meanwhile: so does the probe.
    let _reading = Guest::start_reading();
    let builtin = builtin::find("i1532").expect("invariant: i1532 is built in");
    let scenario = builtin.scenario().map_err(failed)?;
    let variant = &scenario.variants[0];
    let program = variant.program(&scenario, Tracing::Off);
    let config = MachineConfig {
        image: &GUEST_IMAGE,
        ncpus: 2,
        nthreads: variant.threads.len() as u32,
        program: &program,
        trace_records: 0,
    };
    let mut machine = Machine::build(&config).map_err(failed)?;
    machine.start().map_err(failed)?;
    let begin = SystemTime::now();
    while machine.view().boot_state().phase < phase::FIRST_THREAD {
        if begin.elapsed().is_ok_and(|t| t > LIMIT) {
            return Err(RunError::Unsupported("measure the boot: no thread ran within 10 s".to_owned()));
        }
        std::thread::yield_now();
    }
    let ago = machine.tsc().since_ns(machine.view().boot_state().first_thread_tsc).unwrap_or(0);
    let total = now_ns().saturating_sub(ago).saturating_sub(spawned_at_ns);
    Ok((total, machine.build_times().create_ns()))
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64)
}
