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

/// Numbers that follow from a seed (Steele, Lea and Flood's splitmix).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

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
    let mut numbers = Numbers(seed);
    let limit_ns = [0, MS, u64::MAX][numbers.below(3) as usize];
    let mut judge = Judge::new(Arc::new(Glass::new(target)), bounds(limit_ns), MS);
    let (mut now_ns, mut readings) = (0, [CpuReading::default(); 16]);
    for pass in 0..PASSES {
        now_ns += 1 + numbers.below(3 * MS);
        for reading in &mut readings {
            reading.ran_ns += numbers.below(3 * MS);
            reading.is_ready = numbers.below(2) == 0;
            reading.guest_ns = (numbers.below(4) > 0).then(|| 300 * MS + now_ns);
        }
        let _end = judge.pass(&readings, now_ns);
        let count = if places.is_empty() || pass + 1 == PASSES { 0 } else { numbers.below(WORDS) };
        for _ in 0..count {
            let at = places[numbers.below(places.len() as u64) as usize];
            let sound = memory.sound_word(at);
            let other = memory.sound_word(places[numbers.below(places.len() as u64) as usize]);
            let wrong = match numbers.below(7) {
                0 => numbers.next(),
                1 => other,
                2 => sound.wrapping_add(1 + numbers.below(16)),
                3 => sound.wrapping_sub(1 + numbers.below(16)),
                4 => sound ^ 1 << numbers.below(64),
                5 => u64::MAX - numbers.below(64),
                _ => sound.wrapping_add(numbers.below(1 << 40)),
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
