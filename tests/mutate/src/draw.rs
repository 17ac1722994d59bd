//! Which faults are tried: a sample by a seed, from every area its share.
//!
//! # Invariants
//! - Whether a fault is in a sample depends on its key and the seed, and on how many of its area are taken: a change elsewhere leaves
//!   the sample as it is.
//! - Each area gives its share of the sample, and at least one.

use std::collections::BTreeMap;

use crate::fault::{Fault, Operator};

/// Draws `count` of the faults that operators made; fewer if there are not so many.
pub fn draw(faults: &[Fault], seed: u64, count: usize) -> Vec<&Fault> {
    let mut areas: BTreeMap<&str, Vec<&Fault>> = BTreeMap::new();
    for fault in faults.iter().filter(|fault| fault.change.operator != Operator::Named) {
        areas.entry(fault.area()).or_default().push(fault);
    }
    let total: usize = areas.values().map(Vec::len).sum();
    let mut taken = Vec::new();
    // The seats that are left when each area has its whole share go to those with the most left over.
    let mut shares: Vec<(&str, usize, usize)> = areas
        .iter()
        .map(|(area, all)| (*area, (count * all.len() / total).max(1), count * all.len() % total))
        .collect();
    shares.sort_by_key(|(area, _, rest)| (std::cmp::Reverse(*rest), *area));
    let given: usize = shares.iter().map(|(_, share, _)| share).sum();
    let more = count.saturating_sub(given);
    for (n, (area, share, _)) in shares.iter().enumerate() {
        let mut all = areas[area].clone();
        all.sort_by_key(|fault| (mixed(seed, &fault.key), fault.id));
        taken.extend(all.into_iter().take(share + usize::from(n < more)));
    }
    taken.sort_by_key(|fault| fault.id);
    taken
}

/// The hash of a key, mixed with the seed as SplitMix64 does.
fn mixed(seed: u64, key: &str) -> u64 {
    let mut z = hash(key.as_bytes()) ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a: the same on every machine and by every compiler.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
