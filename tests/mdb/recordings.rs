//! Recordings for the sessions that look at one, in a folder of their own.
//!
//! | file | what |
//! |---|---|
//! | `i1532.rec` | a run of 200 ms that violates a bound, whole |
//! | `cut.rec` | the same without its end |
//! | `head.rec` | the same without its events |
//! | `lossy.rec` | the same, whose ending says that events were lost |
//!
//! # Invariants
//! - A seed gives the same recording: what is typed at it is answered with the same characters.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;
use umpire_record::{Ending, Recording, Writer, open};

/// The folder.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
        let folder = tempfile::tempdir().expect("a folder for recordings");
        fill(folder.path());
        folder
    });
    FOLDER.path()
}

fn fill(folder: &Path) {
    let run =
        ["run", "i1532", "--sim", "--variant", "kpreemptpri=100", "--run", "200ms", "--record", "i1532.rec"];
    let mut umpire = Command::new(env!("CARGO_BIN_EXE_umpire"));
    let output = umpire.current_dir(folder).args(run).output().expect("umpire can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let whole = fs::read(folder.join("i1532.rec")).expect("it was recorded");
    fs::write(folder.join("cut.rec"), &whole[..whole.len() - 40]).expect("a file");
    fs::write(folder.join("head.rec"), &whole[..300]).expect("a file");
    let recording = open(&folder.join("i1532.rec"), 0..=u64::MAX).expect("a recording");
    fs::write(folder.join("lossy.rec"), lossy(&recording)).expect("a file");
}

fn lossy(of: &Recording) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(&mut bytes, &of.header).expect("memory takes all");
    writer.roster(&of.threads).expect("memory takes all");
    writer.records(&of.records).expect("memory takes all");
    writer.samples(&of.samples).expect("memory takes all");
    let ending = Ending { lost: 65, lost_of: vec![0, 65], ..of.ending.clone().unwrap_or_default() };
    writer.finish(&ending).expect("memory takes all");
    bytes
}
