//! Tests of going through a file: it shows what reading it has, in that order, and holds little of it meanwhile.
//!
//! # Invariants
//! - Every changed byte of a file is tried, not a choice of them.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::file::{Writer, open};
use crate::recording::{Ending, Header, Thread};
use tempfile::TempDir;
use umpire_shared::event::Kind;

/// Records of a block, and by how many the next block goes back in time.
const BLOCK: u64 = 50;
const BACK: u64 = 7;

fn record(time_ns: u64, n: u64) -> TraceRecord {
    TraceRecord { time_ns, cpu: (n % 3) as u32, kind: Kind::ALL[n as usize % 9], thread: n, pri: 1, arg: n }
}

/// A file of blocks that overlap in time, with samples between them and a roster behind them.
fn file(blocks: u64) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    let header = Header { scenario: "s".to_owned(), cpus: 3, ..Header::default() };
    let mut writer = Writer::begin(File::create(&path).expect("a file"), &header).expect("a header");
    for block in 0..blocks {
        let at = |n: u64| ((block * BLOCK + n).saturating_sub(BACK * (n % 2) * block.min(1))) / 2;
        let mut records: Vec<TraceRecord> = (0..BLOCK).map(|n| record(at(n), block * BLOCK + n)).collect();
        records.sort_by_key(|record| (record.time_ns, record.cpu));
        writer.records(&records).expect("a block");
        let sample = |n: u64| Sample { at_ns: (block * BLOCK + n * 10) / 2, ..Sample::default() };
        writer.samples(&(0..5).map(sample).collect::<Vec<_>>()).expect("a block");
    }
    writer.roster(&[Thread { name: "one".to_owned(), ..Thread::default() }]).expect("a roster");
    writer.finish(&Ending { lost: 3, ..Ending::default() }).expect("an ending");
    (folder, path)
}

/// Everything that is shown, put together again.
fn gone_through(stored: &mut Stored) -> Recording {
    let (records, samples) = stored.fold(
        |_| (Vec::new(), Vec::<Sample>::new()),
        |(records, samples), _, seen| match seen {
            Seen::Record(record) => records.push(*record),
            Seen::Sample(sample) => samples.push(sample.clone()),
        },
    );
    Recording { records, samples, ..stored.told().clone() }
}

fn is_same(one: &Recording, other: &Recording) -> bool {
    let told = |r: &Recording| (r.header.clone(), r.threads.clone(), r.ending.clone(), r.damage.clone());
    told(one) == told(other) && one.records == other.records && one.samples == other.samples
}

#[test]
fn what_is_shown_is_what_is_read_in_that_order() {
    let (_folder, path) = file(20);
    for interval in [0..=u64::MAX, 100..=200, 499..=499, 0..=0, 600..=700] {
        let whole = open(&path, interval.clone()).expect("a recording");
        let mut stored = Stored::open(&path, interval.clone()).expect("a recording");
        assert!(is_same(&gone_through(&mut stored), &whole), "{interval:?}");
        assert!(is_same(&gone_through(&mut stored), &whole), "{interval:?}, again");
    }
}

#[test]
fn what_is_held_is_a_block_and_what_overlaps_it_however_long_the_file_is() {
    let most_held = |blocks| {
        let (_folder, path) = file(blocks);
        let stored = Stored::open(&path, 0..=u64::MAX).expect("a recording");
        let of_records = stored.blocks.iter().filter(|block| block.is_records).copied();
        let (mut records, mut most) = (Records::of(of_records.collect()), 0);
        while records.load(&stored).expect("sound") {
            most = most.max(records.held.len());
        }
        most
    };
    let few = most_held(5);
    assert!(few <= 2 * BLOCK as usize, "{few}");
    assert_eq!(most_held(100), few);
}

#[test]
fn damage_costs_what_it_costs_a_reader() {
    let (_folder, path) = file(2);
    let sound = fs::read(&path).expect("readable");
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x41;
        fs::write(&path, &bytes).expect("writable");
        match (open(&path, 0..=u64::MAX), Stored::open(&path, 0..=u64::MAX)) {
            (Ok(whole), Ok(mut stored)) => {
                let seen = gone_through(&mut stored);
                assert!(is_same(&seen, &whole), "byte {at}: {:?} and {:?}", seen.damage, whole.damage);
            }
            (Err(_), Err(_)) => {}
            (whole, stored) => panic!("byte {at}: {whole:?} and {stored:?}"),
        }
    }
}

#[test]
fn events_of_another_time_than_their_block_are_damage_and_what_is_before_is_shown() {
    let (_folder, path) = file(4);
    let mut bytes = fs::read(&path).expect("readable");
    let blocks = Stored::open(&path, 0..=u64::MAX).expect("a recording").blocks;
    let third = blocks.iter().filter(|block| block.is_records).nth(2).expect("a third");
    // Its first moment, in its head.
    bytes[third.at as usize + 8..][..8].copy_from_slice(&third.times.1.to_le_bytes());
    fs::write(&path, &bytes).expect("writable");

    let mut stored = Stored::open(&path, 0..=u64::MAX).expect("a recording");
    assert!(stored.told().damage.is_none() && stored.told().ending.is_some(), "it is not seen from outside");
    let seen = gone_through(&mut stored);

    assert_eq!(seen.records.len() as u64, 2 * BLOCK);
    assert!(
        seen.damage.as_ref().is_some_and(|damage| damage.contains("has an event of")),
        "{:?}",
        seen.damage
    );
    assert!(seen.ending.is_none() && seen.threads.is_empty(), "what is behind the damage is not there");
    assert!(is_same(&seen, &open(&path, 0..=u64::MAX).expect("a recording")));
}
