//! How fast and how rightly it is judged, and what the VMM takes to do so.
//!
//! # Invariants
//! - These rows run whole variants through the referees that `umpire run` uses.

use std::time::Instant;

use super::super::{KvmReferee, SimReferee};
use super::{BenchRow, Better};
use super::{failed, median};
use crate::report::{Observed, RunError, RunOptions};
use umpire_scenario::{Scenario, builtin};

const RUNS: usize = 15;
const DETECT_RUN_NS: u64 = 150_000_000;

/// From the bound's expiry to the verdict, and exits to the VMM meanwhile.
pub(super) fn detect(kvm: &mut KvmReferee) -> Result<[BenchRow; 2], RunError> {
    let mut scenario = built_in("i1532")?;
    scenario.run_ns = DETECT_RUN_NS;
    let variant = scenario.variants[0].clone();
    let (mut after, mut exits) = (Vec::new(), 0);
    for _ in 0..RUNS {
        let report = kvm.run(&scenario, &variant, &RunOptions::default())?;
        exits += report.exits;
        after.extend(report.bounds.iter().filter_map(|b| b.detect_after_ns).map(|ns| ns as f64 / 1e6));
    }
    let worst = after.iter().copied().fold(0.0, f64::max);
    let seen = after.len();
    let detect = BenchRow {
        what: "from a bound's expiry to the verdict, 1 kHz".to_owned(),
        value: median(after),
        goal: 2.0,
        unit: "ms",
        better: Better::Less,
        note: format!("median of {seen} verdicts in {RUNS} runs of i1532; worst {worst:.2} ms"),
    };
    let exits = BenchRow {
        what: "guest exits to the VMM between first and last sample".to_owned(),
        value: exits as f64,
        goal: 0.0,
        unit: "exits",
        better: Better::Less,
        note: format!("all {RUNS} runs together"),
    };
    Ok([detect, exits])
}

const ALARM_SAMPLES: u64 = 1_000_000;
const ALARM_HZ: u32 = 40_000;

/// False alarms of `healthy`.
pub(super) fn false_alarms(kvm: &mut KvmReferee) -> Result<BenchRow, RunError> {
    let mut scenario = built_in("healthy")?;
    scenario.sample_hz = ALARM_HZ;
    scenario.run_ns = 2_000_000_000;
    let variant = scenario.variants[0].clone();
    let (mut alarms, mut samples, mut torn) = (0, 0, 0);
    while samples < ALARM_SAMPLES {
        let report = kvm.run(&scenario, &variant, &RunOptions::default())?;
        if report.interrupted || report.observed == Observed::Nothing {
            break;
        }
        samples += report.samples;
        torn += report.torn;
        alarms += report.bounds.iter().filter(|b| !b.held).count();
    }
    Ok(BenchRow {
        what: "false alarms of `healthy` in 10^6 samples".to_owned(),
        value: alarms as f64,
        goal: 0.0,
        unit: "alarms",
        better: Better::Less,
        note: format!("{samples} samples at up to {} kHz; {torn} queues torn", ALARM_HZ / 1000),
    })
}

const SEEDS: u64 = 100;

/// Seeds of i1532 a second in the simulator, on one core: of the variant with the bug, with all variants in the note.
pub(super) fn seeds(sim: &mut SimReferee) -> Result<BenchRow, RunError> {
    let scenario = built_in("i1532")?;
    // The image is read once; that is not the simulator's speed.
    run_seed(sim, &scenario, 0, 1)?;
    let all = scenario.variants.len();
    let mut rate = |seeds: u64, variants: usize| {
        let begin = Instant::now();
        for seed in 0..seeds {
            run_seed(sim, &scenario, seed, variants)?;
        }
        Ok::<_, RunError>(seeds as f64 / begin.elapsed().as_secs_f64())
    };
    let (one, every) = (rate(SEEDS, 1)?, rate(SEEDS / 5, all)?);
    Ok(BenchRow {
        what: "simulator: seeds of i1532 a second, one core".to_owned(),
        value: one,
        goal: 50.0,
        unit: "seeds/s",
        better: Better::More,
        note: format!(
            "kpreemptpri=100, 2 virtual seconds, 2000 samples; {every:.0} seeds/s of all {all} variants together"
        ),
    })
}

fn run_seed(sim: &mut SimReferee, scenario: &Scenario, seed: u64, variants: usize) -> Result<(), RunError> {
    let options = RunOptions { seed: Some(seed), ..RunOptions::default() };
    for variant in &scenario.variants[..variants] {
        sim.run(scenario, variant, &options)?;
    }
    Ok(())
}

/// Memory of this process beside guest RAM, after everything above.
pub(super) fn memory() -> Result<BenchRow, RunError> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(failed)?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let (anon, file) = (kib("RssAnon:").unwrap_or(0.0), kib("RssFile:").unwrap_or(0.0));
    Ok(BenchRow {
        what: "memory of the VMM beside guest RAM".to_owned(),
        value: (anon + file) / 1024.0,
        goal: 40.0,
        unit: "MiB",
        better: Better::Less,
        note: format!(
            "{:.1} MiB of its own, {:.1} MiB of mapped files, after all of the above",
            anon / 1024.0,
            file / 1024.0
        ),
    })
}

fn built_in(id: &str) -> Result<Scenario, RunError> {
    let builtin =
        builtin::find(id).ok_or_else(|| RunError::Unsupported(format!("measure: no scenario {id}")))?;
    builtin.scenario().map_err(failed)
}
