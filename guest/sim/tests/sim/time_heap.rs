//! The heap of what is due first, against a sorted list; the load averages, against floating point.
//!
//! # Invariants
//! - The models know nothing of heaps and fixed points.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};

use umpire_kernel::cell::Cell;
use umpire_kernel::time::heap::{Due, Heap, NOWHERE};
use umpire_kernel::time::loadavg::{FRACTION_BITS, calcloadavg};

const ITEMS: usize = 40;

struct Item {
    key: AtomicU64,
    place: AtomicU32,
}

impl Due for Item {
    type Key = u64;

    fn key(&self) -> u64 {
        self.key.get()
    }

    fn place(&self) -> &AtomicU32 {
        &self.place
    }
}

/// A generator of Marsaglia's, so that each run of the test is the same.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[test]
fn random_operations_agree_with_a_sorted_list() {
    for seed in 1..=200 {
        let mut draw = Draw(seed * 0x9e37_79b9);
        let items: Vec<Item> =
            (0..ITEMS).map(|_| Item { key: AtomicU64::new(0), place: AtomicU32::new(NOWHERE) }).collect();
        let heap = Heap::new(ITEMS);
        let mut model: Vec<Option<u64>> = vec![None; ITEMS];
        for step in 0..500 {
            let n = draw.below(ITEMS as u64) as usize;
            // There are few values, so that many are equal.
            let key = draw.below(30);
            match (model[n], draw.below(3)) {
                (None, _) => {
                    items[n].key.set(key);
                    heap.insert(&items, n as u32);
                    model[n] = Some(key);
                }
                (Some(_), 0) => {
                    heap.remove(&items, n as u32);
                    model[n] = None;
                }
                (Some(_), _) => {
                    items[n].key.set(key);
                    heap.moved(&items, n as u32);
                    model[n] = Some(key);
                }
            }
            let least = model.iter().flatten().min().copied();
            let first = heap.first().map(|n| items[n as usize].key.get());
            assert_eq!(first, least, "seed {seed} step {step}");
            assert_eq!(heap.len() as usize, model.iter().flatten().count(), "seed {seed} step {step}");
            for (item, known) in items.iter().zip(&model) {
                assert_eq!(item.place.get() != NOWHERE, known.is_some(), "seed {seed} step {step}");
            }
        }
        let mut drained = Vec::new();
        while let Some(n) = heap.first() {
            drained.push(items[n as usize].key.get());
            heap.remove(&items, n);
        }
        let mut sorted: Vec<u64> = model.into_iter().flatten().collect();
        sorted.sort_unstable();
        assert_eq!(drained, sorted, "seed {seed}");
    }
}

#[test]
fn load_averages_follow_an_exponential_decay() {
    for seed in 1..=50 {
        let mut draw = Draw(seed * 0x9e37_79b9);
        let averages: [AtomicI64; 3] = Default::default();
        let mut model = [0.0f64; 3];
        let mut load = 0;
        for second in 0..4000 {
            if second % 200 == 0 {
                load = draw.below(20);
            }
            calcloadavg(&averages, load);
            for (average, minutes) in model.iter_mut().zip([1.0, 5.0, 15.0]) {
                *average += (load as f64 - *average) * (1.0 - f64::exp(-1.0 / (60.0 * minutes)));
            }
            for (n, average) in averages.iter().enumerate() {
                let value = average.get() as f64 / f64::from(1u32 << FRACTION_BITS);
                let is_near = (value - model[n]).abs() < 0.02 + 0.02 * model[n];
                assert!(is_near, "seed {seed} second {second} average {n}: {value} for {}", model[n]);
            }
        }
    }
}
