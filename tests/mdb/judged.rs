//! Every monitor at machines whose guests write what they like: words that the sampler reads are made wrong, more of them before each
//! pass.
//!
//! ```sh
//! UMPIRE_IMAGES=1000000 cargo test -p umpire --test mdb judged -- --nocapture
//! ```
//!
//! # Invariants
//! - Whatever the words, no monitor panics, and what is found can be told. What is found is not judged: a guest may lie as it likes.
//! - Image n of a machine is always the same, but for where the simulated kernel's memory lies.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use fastrand::Rng;
use umpire_watch::glass::{Glass, Target};
use umpire_watch::monitor::{BoundSpec, CpuReading, Judge, MonitorKind, Promise, Takes};

use crate::patched::{Corrupt, Patched, core_of};

/// Scenarios and moments: run queues and locks; projects under caps; processor sets; callouts; task queues; streams; networks.
const MACHINES: [(&str, &str); 7] = [
    ("healthy", "300ms"),
    ("cpu_caps", "300ms"),
    ("psets", "100ms"),
    ("callout_dependency", "60ms"),
    ("taskq_dependency", "50ms"),
    ("stream_full", "200ms"),
    ("squeue_drain", "100ms"),
];
/// Images of a machine, if `UMPIRE_IMAGES` does not say how many of all.
const IMAGES: u64 = 60;
/// Passes over an image.
const PASSES: u64 = 5;
/// Words that are made wrong before a pass, at most.
const WORDS: u64 = 40;
const MS: u64 = 1_000_000;

/// A bound of every monitor.
fn bounds(limit_ns: u64) -> Vec<BoundSpec> {
    let promise = Promise { tolerance_percent: 5, window_ns: 2 * MS, duty_percent: None };
    let bound = |monitor: MonitorKind| {
        let (limit_ns, promise) = match monitor.declaration().takes {
            Takes::Limit => (limit_ns, None),
            Takes::Promise => (promise.limit_ns(), Some(promise)),
        };
        BoundSpec { monitor, threads: None, limit_ns, promise, is_standing: false }
    };
    MonitorKind::ALL.map(bound).into()
}

/// Judges a machine, of which some of `places` are made wrong before each pass but the first. Gives how many bounds were broken.
fn torment(target: &dyn Target, memory: &Patched, places: &[u64], seed: u64) -> usize {
    memory.set(None);
    let mut rng = Rng::with_seed(seed);
    let limit_ns = [0, MS, u64::MAX][rng.usize(..3)];
    let mut judge = Judge::new(Arc::new(Glass::new(target)), bounds(limit_ns), MS);
    let (mut now_ns, mut readings) = (0, [CpuReading::default(); 16]);
    for pass in 0..PASSES {
        now_ns += 1 + rng.u64(..3 * MS);
        for reading in &mut readings {
            reading.ran_ns += rng.u64(..3 * MS);
            reading.is_ready = rng.bool();
            reading.guest_ns = (rng.u8(..4) > 0).then(|| 300 * MS + now_ns);
        }
        let _end = judge.pass(&readings, now_ns);
        let count = if places.is_empty() || pass + 1 == PASSES { 0 } else { rng.u64(..WORDS) };
        for _ in 0..count {
            let at = places[rng.usize(..places.len())];
            let sound = memory.sound_word(at);
            let other = memory.sound_word(places[rng.usize(..places.len())]);
            let wrong = match rng.u8(..7) {
                0 => rng.u64(..),
                1 => other,
                2 => sound.wrapping_add(1 + rng.u64(..16)),
                3 => sound.wrapping_sub(1 + rng.u64(..16)),
                4 => sound ^ 1 << rng.u8(..64),
                5 => u64::MAX - rng.u64(..64),
                _ => sound.wrapping_add(rng.u64(..1 << 40)),
            };
            memory.add(at, wrong);
        }
    }
    judge.findings().iter().filter(|finding| !finding.held && !finding.sentence.is_empty()).count()
}

/// The words that the sampler reads of a machine that is sound.
fn places(target: &dyn Target, memory: &Patched) -> Vec<u64> {
    *memory.seen.lock().expect("no test panics with it") = Some(Default::default());
    torment(target, memory, &[], 0);
    let seen = memory.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    seen.expect("it was wanted").into_keys().collect()
}

#[test]
fn judge_of_any_guest_panics_at_nothing() {
    let asked = std::env::var("UMPIRE_IMAGES").ok().and_then(|n| n.parse().ok());
    let images = asked.map_or(IMAGES, |all: u64| all / MACHINES.len() as u64);
    let folder = tempfile::tempdir().expect("a folder for the test");
    for (scenario, at) in MACHINES {
        let core = core_of(scenario, at, folder.path());
        let memory = Patched::of(&core);
        let corrupt = Corrupt { core: &core, memory: Arc::clone(&memory) };
        let places = places(&corrupt, &memory);
        let mut broken = 0;
        for seed in 1..=images {
            let judged = catch_unwind(AssertUnwindSafe(|| torment(&corrupt, &memory, &places, seed)));
            broken += judged.unwrap_or_else(|_| panic!("{scenario}: image {seed} makes a monitor panic"));
        }
        println!("{scenario}: {images} images, {} words, {broken} bounds were broken", places.len());
        // Else the images are too tame to show anything.
        assert!(places.len() > 1_000 && broken as u64 > images, "{scenario}: {broken} of {images}");
    }
}
