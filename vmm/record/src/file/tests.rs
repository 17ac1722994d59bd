//! Tests of the file: what is written is read, and what is broken costs no more than it must.
//!
//! # Invariants
//! - Every cut and every changed byte of a file is tried, not a choice of them.

use super::*;
use crate::recording::{Ending, Header, Recording, Sample, Thread};
use umpire_shared::event::Kind;
use umpire_watch::glass::TraceRecord;

fn record(n: u64) -> TraceRecord {
    let kind = Kind::ALL[n as usize % Kind::ALL.len()];
    TraceRecord {
        time_ns: 1_000 * n,
        cpu: (n % 3) as u32,
        kind,
        thread: n % 7,
        pri: (n % 160) as i32 - 1,
        arg: n << 32,
    }
}

fn header() -> Header {
    Header {
        scenario: "i1532".to_owned(),
        variant: "v".to_owned(),
        cpus: 3,
        seed: Some(7),
        ..Header::default()
    }
}

/// A recording of `count` records in blocks of at most `chunk`.
fn file(count: u64, chunk: usize) -> Vec<u8> {
    let records: Vec<TraceRecord> = (0..count).map(record).collect();
    let thread = Thread {
        id: 0,
        name: "idle".to_owned(),
        class: "SYS".to_owned(),
        bound_cpu: None,
        is_idle: true,
        has_lwp: false,
    };
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(&mut bytes, &header()).expect("memory takes all");
    writer.roster(&[thread]).expect("memory takes all");
    for some in records.chunks(chunk) {
        writer.records(some).expect("memory takes all");
    }
    writer.samples(&[Sample { at_ns: 5_000, ..Sample::default() }]).expect("memory takes all");
    writer.finish(&Ending { lost: 3, ..Ending::default() }).expect("memory takes all");
    bytes
}

fn all(bytes: &[u8]) -> Result<Recording, FileError> {
    read(bytes, 0..=u64::MAX)
}

#[test]
fn what_is_written_is_read() {
    let recording = all(&file(1_000, 100)).expect("a recording");
    assert_eq!((recording.header, recording.damage), (header(), None));
    assert!(recording.records.iter().eq(&(0..1_000).map(record).collect::<Vec<_>>()));
    assert_eq!((recording.threads.len(), recording.samples[0].at_ns), (1, 5_000));
    assert_eq!(recording.ending.map(|ending| ending.lost), Some(3));
}

#[test]
fn read_of_an_interval_takes_that_alone() {
    let recording = read(&file(1_000, 100)[..], 250_000..=260_000).expect("a recording");
    assert!(recording.records.iter().map(|r| r.time_ns).eq((250..=260).map(|n| n * 1_000)));
    assert!(recording.samples.is_empty() && recording.ending.is_some());
}

#[test]
fn broken_tail_costs_the_tail() {
    let whole = file(1_000, 100);
    for cut in 0..whole.len() {
        match all(&whole[..cut]) {
            Ok(cut_off) => {
                assert!(
                    cut_off
                        .records
                        .iter()
                        .eq(&(0..1_000).map(record).collect::<Vec<_>>()[..cut_off.records.len()])
                );
                assert!(cut_off.records.len() % 100 == 0, "a block is there or not");
                assert!(cut_off.ending.is_none(), "the ending comes last");
            }
            Err(FileError::Foreign(_)) => assert!(cut < MAGIC.len()),
            Err(FileError::Empty) => assert!(cut < 300, "the header is short, and this is {cut}"),
            Err(other) => panic!("cut at {cut}: {other}"),
        }
    }
}

#[test]
fn changed_byte_is_found_or_changes_nothing_else() {
    let whole = file(300, 100);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        if let Ok(recording) = all(&bytes) {
            let is_said = recording.damage.is_some();
            // The times in a block's head have no checksum: they say which blocks can be skipped, and what an event must be between.
            assert!(is_said || recording.records.len() % 100 == 0, "byte {at}");
        }
    }
}

#[test]
fn what_is_no_recording_is_named() {
    let error = |bytes: &[u8]| all(bytes).expect_err("no recording").to_string();
    assert!(error(b"\x7fELF and so on").starts_with("it is no recording: it begins with \"\\u{7f}ELF and\""));
    let mut newer = file(1, 1);
    newer[8] = 9;
    assert!(error(&newer).contains("version 9"), "{}", error(&newer));
    assert!(error(&MAGIC).contains("ends before its header"));
}

#[test]
fn size_that_a_file_only_claims_is_refused() {
    let mut bytes = file(1, 1);
    // The size of the header block before compression.
    bytes[12 + 24..12 + 28].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(all(&bytes), Err(FileError::Empty)));
}
