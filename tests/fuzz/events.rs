//! Events that a hostile guest writes into its rings: whoever reads a recording of them has to get along with any.
//!
//! A file is compressed, and one that was changed is hardly ever read to its end. So the events are changed here by themselves, each a
//! row of bytes.
//!
//! # Invariants
//! - The CPU of an event is one of the guest's: the reader knows from whose ring it took it.

use std::fs::File;
use std::io::sink;
use std::path::Path;

use umpire_mdb::recorded::Recorded;
use umpire_mdb::session::{Output, Session, Style};
use umpire_record::{Asked, Ending, Events, Key, Latencies, Recording, Stored, Writer, blame_of};
use umpire_scenario::builtin::BUILTIN;
use umpire_shared::event::Kind;
use umpire_watch::glass::TraceRecord;
use umpire_watch::probes::{Absences, ProbeBound, judge};

use crate::{ASKED_OF_A_RECORDING, fuzz, recorded};

/// Events of an input, at most.
const EVENTS: usize = 200;
/// Bytes of a row: moment, thread, argument, priority, CPU and kind.
const ROW: usize = 30;

fn row(record: &TraceRecord) -> [u8; ROW] {
    let mut row = [0; ROW];
    row[..8].copy_from_slice(&record.time_ns.to_le_bytes());
    row[8..16].copy_from_slice(&record.thread.to_le_bytes());
    row[16..24].copy_from_slice(&record.arg.to_le_bytes());
    row[24..28].copy_from_slice(&record.pri.to_le_bytes());
    (row[28], row[29]) = (record.cpu as u8, record.kind as u8);
    row
}

fn record(row: &[u8], cpus: u32) -> Option<TraceRecord> {
    let word = |at: usize| row[at..at + 8].iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    let kind = Kind::from_number(row[29].into())?;
    let (cpu, pri) = (u32::from(row[28]) % cpus, (word(22) >> 16) as i32);
    Some(TraceRecord { time_ns: word(0), cpu, kind, thread: word(8), pri, arg: word(16) })
}

/// Everything that is made of a recording.
fn read(recording: &Recording) {
    let interval = umpire_record::around(recording);
    drop(umpire_record::svg(recording, interval));
    drop(umpire_record::perfetto(recording));
    umpire_record::chrome(recording, &mut sink()).expect("a sink takes all");
    umpire_record::html(recording, &mut sink()).expect("a sink takes all");
    drop(Latencies::of(recording).rows());
    for at_ns in [None, Some(recording.interval().1 / 2)] {
        drop(umpire_record::blame(recording, &Asked { threads: Vec::new(), at_ns, worst: 9 }));
    }
    let all: Vec<&TraceRecord> = recording.records.iter().collect();
    drop(umpire_record::tally(recording, &all, &[Key::Thread, Key::Probe, Key::Arg]));
    let _all_alike = umpire_record::divergence(recording, recording);
    drop(umpire_record::contrasts(recording, recording));
    let (seen, mut rows) = (Recorded::new("fuzz", recording), Vec::new());
    let mut output = Output { to: &mut rows, style: Style::Text, requires_clean: false };
    drop(Session::new(&seen, false).run(ASKED_OF_A_RECORDING, &mut output));
    let mut writer = Writer::begin(sink(), &recording.header).expect("a sink takes all");
    writer.records(&recording.records).expect("a sink takes all");
    writer.finish(&Ending::default()).expect("a sink takes all");
}

/// Records of a block of the file that is gone through.
const BLOCK: usize = 40;

/// What is told of a recording that is gone through in its file.
fn go_through(recording: &Recording, path: &Path) {
    let all = 0..=u64::MAX;
    let mut writer = Writer::begin(File::create(path).expect("writable"), &recording.header).expect("a file");
    recording.records.chunks(BLOCK).for_each(|block| writer.records(block).expect("a file"));
    writer.samples(&recording.samples).expect("a file");
    writer.roster(&recording.threads).expect("a file");
    writer.finish(&recording.ending.clone().unwrap_or_default()).expect("a file");
    let mut in_memory = Events::Whole(umpire_record::open(path, all.clone()).expect("it is sound"));
    let mut in_file = Events::Stored(Stored::open(path, all).expect("it is sound"));
    let [one, other] = [&mut in_memory, &mut in_file].map(|events| Latencies::of_events(events).rows());
    assert_eq!(one, other, "latencies");
    for at_ns in [None, Some(recording.interval().1 / 2)] {
        let asked = Asked { threads: Vec::new(), at_ns, worst: 9 };
        // Of events that contradict each other shares may be others: what a CPU ran is not one thing after the other then.
        let told = blame_of(&mut in_file, None, &asked).expect("nobody is named");
        assert!(told.blames.len() <= 9 + recording.ending.as_ref().map_or(0, |ending| ending.breaches.len()));
    }
}

#[test]
fn events_of_a_guest() {
    let bounds: Vec<ProbeBound> = BUILTIN
        .iter()
        .flat_map(|builtin| umpire_scenario::load(builtin.id).unwrap_or_else(|e| panic!("{e}")).probes)
        .collect();
    assert!(bounds.len() > 20, "{} bounds on events", bounds.len());
    let recording = recorded("i1532");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fuzz.rec");
    let rows = |scenario| {
        let all = recorded(scenario).records;
        all.chunks(EVENTS).take(3).map(|some| some.iter().flat_map(row).collect()).collect::<Vec<Vec<u8>>>()
    };
    let sound = ["i1532", "pi_release", "zfs_pageout", "stream_full"].into_iter().flat_map(rows).collect();
    fuzz("event", 20, sound, &["\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}", "\0\0\0\0"], |bytes| {
        let cpus = recording.header.cpus;
        let mut records: Vec<TraceRecord> =
            bytes.chunks_exact(ROW).filter_map(|row| record(row, cpus)).collect();
        records.sort_by_key(|record| record.time_ns);
        let seen = umpire_watch::probes::Recorded {
            records: &records,
            total: records.len() as u64,
            lost: 0,
            names: &[],
            end_ns: records.last().map_or(0, |record| record.time_ns),
            absences: &Absences::default(),
        };
        bounds.iter().for_each(|bound| drop(judge(bound, &seen)));
        let recording = Recording { records, ..recording.clone() };
        read(&recording);
        go_through(&recording, &path);
    });
}
