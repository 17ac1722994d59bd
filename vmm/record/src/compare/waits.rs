//! Waits of two recordings, and how sure it is that one's are the longer ones.
//!
//! # Invariants
//! - The test asks nothing of how waits are distributed: it goes by their ranks (Mann and Whitney, normal approximation with ties
//!   and continuity corrected). Below [`LEAST`] waits on either side there is no number.

use std::collections::BTreeMap;

use statrs::distribution::{ContinuousCDF, Normal};

use crate::latency::Delay;
use crate::recording::Recording;
use crate::waits::each_wait;

/// Waits of each side that the approximation needs.
const LEAST: usize = 8;

/// Waits of one thread or class, for one thing, in two recordings.
#[derive(Debug, Clone, PartialEq)]
pub struct Contrast {
    /// The thread's name, or the class with a colon behind it.
    pub of: String,
    /// What was waited for.
    pub delay: Delay,
    /// The first recording's.
    pub a: Summary,
    /// The second's.
    pub b: Summary,
    /// How much longer the second's middle wait is, in ns.
    pub difference_ns: i64,
    /// How likely so great a difference of ranks is if there is none; none if there are too few waits.
    pub p: Option<f64>,
    /// How often a wait of the second is longer than one of the first, of equals half.
    pub longer: Option<f64>,
}

/// Waits in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// How many.
    pub count: u64,
    /// How many of these had not ended when the recording did: they are at least so long.
    pub open: u64,
    /// The middle, in ns.
    pub p50_ns: u64,
    /// So many of a hundred are no longer than this.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Summary {
    /// Of waits in their order, of which so many had not ended.
    fn of(sorted: &[u64], open: u64) -> Summary {
        let at = |share: f64| {
            let n = (share * sorted.len() as f64).ceil() as usize;
            sorted.get(n.saturating_sub(1)).copied().unwrap_or(0)
        };
        Summary {
            count: sorted.len() as u64,
            open,
            p50_ns: at(0.5),
            p99_ns: at(0.99),
            max_ns: sorted.last().copied().unwrap_or(0),
        }
    }
}

/// The waits of both, the surest difference first.
pub fn contrasts(a: &Recording, b: &Recording) -> Vec<Contrast> {
    let (mut a, b) = (waits(a), waits(b));
    let mut both: BTreeMap<(Delay, String), (Waits, Waits)> = BTreeMap::new();
    for (key, waits) in b {
        both.insert(key.clone(), (a.remove(&key).unwrap_or_default(), waits));
    }
    both.extend(a.into_iter().map(|(key, waits)| (key, (waits, Waits::default()))));
    let contrast = |((delay, of), (mut a, mut b)): ((Delay, String), (Waits, Waits))| {
        a.all.sort_unstable();
        b.all.sort_unstable();
        let (p, longer) = mann_whitney(&a.all, &b.all).unzip();
        let (a, b) = (Summary::of(&a.all, a.open), Summary::of(&b.all, b.open));
        let difference_ns = b.p50_ns.cast_signed().wrapping_sub(a.p50_ns.cast_signed());
        Contrast { of, delay, a, b, difference_ns, p, longer }
    };
    let mut all: Vec<Contrast> = both.into_iter().map(contrast).collect();
    all.sort_by(|x, y| {
        let sure = |c: &Contrast| c.p.unwrap_or(2.0);
        let large = |c: &Contrast| std::cmp::Reverse(c.difference_ns.unsigned_abs());
        x.delay
            .cmp(&y.delay)
            .then(sure(x).total_cmp(&sure(y)))
            .then_with(|| (large(x), &x.of).cmp(&(large(y), &y.of)))
    });
    all
}

/// Waits of one thread or class, for one thing.
#[derive(Debug, Default)]
struct Waits {
    /// How long each was.
    all: Vec<u64>,
    /// How many of them had not ended.
    open: u64,
}

fn waits(recording: &Recording) -> BTreeMap<(Delay, String), Waits> {
    let mut all: BTreeMap<(Delay, String), Waits> = BTreeMap::new();
    each_wait(recording, |delay, of, wait| {
        let waits = all.entry((delay, of)).or_default();
        waits.all.push(wait.ns);
        waits.open += u64::from(wait.is_open);
    });
    all
}

/// How likely the ranks of two sorted samples are if neither tends to be the larger, and how often one of `b` is larger than one of `a`.
fn mann_whitney(a: &[u64], b: &[u64]) -> Option<(f64, f64)> {
    if a.len() < LEAST || b.len() < LEAST {
        return None;
    }
    let (na, nb) = (a.len() as f64, b.len() as f64);
    let n = na + nb;
    // Over the values in their order: `larger` counts the pairs in which b is, of equal ones half.
    let (mut i, mut j, mut larger, mut ties) = (0, 0, 0.0, 0.0);
    while j < b.len() {
        let value = b[j];
        let equal_b = b[j..].partition_point(|&x| x == value);
        i += a[i..].partition_point(|&x| x < value);
        let equal_a = a[i..].partition_point(|&x| x == value);
        larger += equal_b as f64 * (i as f64 + equal_a as f64 / 2.0);
        j += equal_b;
    }
    let mut all: Vec<u64> = a.iter().chain(b).copied().collect();
    all.sort_unstable();
    for equals in all.chunk_by(|x, y| x == y) {
        let t = equals.len() as f64;
        ties += t * t * t - t;
    }
    let deviation = (na * nb / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)))).sqrt();
    if deviation == 0.0 {
        // All waits are equal.
        return Some((1.0, 0.5));
    }
    let away = ((larger - na * nb / 2.0).abs() - 0.5).max(0.0) / deviation;
    let p = (2.0 * Normal::standard().sf(away)).min(1.0);
    Some((p, larger / (na * nb)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_a_published_sample_give_its_statistic_and_its_probability() {
        // Hollander and Wolfe (1973), table 4.1, as in R's wilcox.test: W = 35 of 50, exact p = 0.2544 two-sided.
        let mut a = [80, 83, 189, 104, 145, 138, 191, 164, 73, 146];
        let mut b = [115, 88, 90, 74, 121];
        a.sort_unstable();
        b.sort_unstable();
        assert_eq!(mann_whitney(&a, &b), None, "five are too few");
        // The same with each observation of b twice is a sample of ten: the share of pairs stays.
        let twice: Vec<u64> = b.iter().flat_map(|&x| [x, x]).collect();
        let (p, longer) = mann_whitney(&a, &twice).expect("enough");
        assert!((longer - 15.0 / 50.0).abs() < 1e-9, "{longer}");
        assert!((0.12..0.16).contains(&p), "{p}");
    }

    #[test]
    fn samples_that_are_alike_are_not_told_apart_and_others_are() {
        let one: Vec<u64> = (0..100).collect();
        let more: Vec<u64> = (30..130).collect();
        let (p, longer) = mann_whitney(&one, &one).expect("enough");
        assert!(p > 0.99 && (longer - 0.5).abs() < 1e-9);
        let (p, longer) = mann_whitney(&one, &more).expect("enough");
        assert!(p < 1e-6 && longer > 0.7, "{p} {longer}");
        assert_eq!(mann_whitney(&[5; 20], &[5; 20]), Some((1.0, 0.5)));
    }
}
