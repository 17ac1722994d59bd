//! Traces as their user gets them: in order, to standard output, bounded in memory, the same bytes again; names that are not harmless.
//!
//! # Invariants
//! - No test here needs KVM.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use libtest_mimic::Trial;

use crate::binary::{Said, command, finish, spawn, umpire};
use crate::trials;

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trials::anywhere("traces::lines_are_in_order_and_go_to_standard_output_if_wanted", to_stdout),
        trials::anywhere("traces::reader_that_goes_away_and_disk_that_is_full_are_told_apart", full),
        trials::anywhere("traces::memory_does_not_grow_with_the_run", memory),
        trials::anywhere("traces::bounds_on_records_judge_the_same_beside_a_trace", judged),
        trials::anywhere("traces::same_seed_writes_the_same_bytes_pictures_included", same_bytes),
        trials::anywhere("traces::paths_need_not_be_text", any_bytes),
        trials::anywhere("traces::names_that_would_drive_a_terminal_are_shown_as_numbers", names),
    ]
}

const RUN: [&str; 7] = ["run", "i1532", "--sim", "--variant", "kpreemptpri=100", "--run", "300ms"];

fn with(more: &[&str]) -> Said {
    umpire(&[&RUN[..], more].concat())
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

fn to_stdout() {
    let folder = folder();
    let file = folder.path().join("trace").display().to_string();
    assert_eq!(with(&["--trace", &file]).code, Some(0));
    let said = with(&["--trace", "-"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(said.out, fs::read_to_string(&file).expect("it was written"));
    assert!(said.err.contains("SCENARIO") && said.err.contains("violated"), "the table: {}", said.err);
    let time = |line: &str| line.split(' ').next().and_then(|time| time.parse().ok());
    let times: Vec<u64> = said.out.lines().map(|line| time(line).expect("a time")).collect();
    assert!(times.len() > 100 && times.is_sorted(), "{} lines", times.len());
    let said = with(&["--trace", "-", "--json"]);
    assert!(said.code == Some(2) && said.err.contains("would both write to standard output"), "{}", said.err);
    let said = with(&["--record", "-"]);
    assert!(said.code == Some(2) && said.err.contains("--record - is no file"), "{}", said.err);
}

fn full() {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let mut run = command();
    let said = finish(spawn(run.args(RUN).args(["--trace", "-"]).stdout(writer)));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let disk = fs::File::options().write(true).open("/dev/full").expect("every Linux has it");
    let said = finish(spawn(command().args(RUN).args(["--trace", "-"]).stdout(disk)));
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("No space left on device (os error 28)"), "{}", said.err);
    // A limit on the size of files, as a disk that is full before the trace is whole.
    let folder = folder();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -f 8; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_umpire")]).args(RUN);
    shell.arg("--trace").arg(folder.path().join("trace")).stdout(std::process::Stdio::piped());
    let said = finish(spawn(shell.stderr(std::process::Stdio::piped())));
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.out.contains("File too large (os error 27)"), "{}{}", said.out, said.err);
}

/// The most memory that a run takes, in KiB: the shell's `ulimit` says whether it is enough.
fn runs_within(kib: u64, time: &str) -> Said {
    let mut shell = Command::new("sh");
    let limited = format!("ulimit -v {kib}; exec \"$0\" \"$@\"");
    shell.args(["-c", &limited, env!("CARGO_BIN_EXE_umpire"), "run", "healthy", "--sim", "--run", time]);
    shell.args(["--trace", "/dev/null"]).stdout(std::process::Stdio::piped());
    finish(spawn(shell.stderr(std::process::Stdio::piped())))
}

fn memory() {
    // Three million records take 127 MB; ten times as many would take more than there is.
    let room = 1_200_000;
    let said = runs_within(room, "2s");
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
}

fn judged() {
    // The only difference is that the records were written meanwhile.
    let folder = folder();
    let run = ["run", "stream_chain", "--sim", "--json"];
    let variant = umpire(&run).out.lines().next().map(str::to_owned).expect("a line");
    let name = crate::cli::parse(&variant)["variant"].as_str().expect("a name").to_owned();
    let alone = umpire(&[&run[..], &["--variant", &name]].concat());
    let trace = folder.path().join("trace").display().to_string();
    let beside = umpire(&[&run[..], &["--variant", &name, "--trace", &trace]].concat());
    assert_eq!((alone.code, &alone.out), (beside.code, &beside.out), "{}", beside.err);
}

fn same_bytes() {
    let made = |folder: &std::path::Path| {
        let at = |name: &str| folder.join(name).display().to_string();
        let seed = ["i1532", "--sim", "--seed", "7"];
        for picture in ["a.html", "a.svg", "a.pftrace", "a.json"] {
            let out = at(picture);
            let said = umpire(&[&["timeline"], &seed[..], &["-o", &out]].concat());
            assert_eq!(said.code, Some(0), "{}", said.err);
        }
        let run = [&["run"], &seed[..], &["--variant", "kpreemptpri=100", "--run", "300ms"]].concat();
        let mut outputs = Vec::new();
        for more in
            [&["--trace", &at("t"), "--record", &at("r")][..], &["--report", &at("report")], &["--json"]]
        {
            outputs.push(umpire(&[&run[..], more].concat()).out);
        }
        let mut files = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder").flatten() {
                match entry.path().is_dir() {
                    true => folders.push(entry.path()),
                    false => files.push(entry.path()),
                }
            }
        }
        let mut bytes: Vec<(String, Vec<u8>)> = files
            .into_iter()
            .map(|file| {
                let name = file.strip_prefix(folder).expect("in it").display().to_string();
                (name, fs::read(&file).expect("readable"))
            })
            .collect();
        bytes.sort();
        (outputs, bytes)
    };
    let (one, two) = (folder(), folder());
    let ((said, files), (again, files_again)) = (made(one.path()), made(two.path()));
    assert_eq!(said, again);
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert!(files.len() > 6, "{:?}", names(&files));
    assert_eq!(names(&files), names(&files_again));
    for ((name, bytes), (_, other)) in files.iter().zip(&files_again) {
        assert!(bytes == other, "{name} differs");
    }
}

fn any_bytes() {
    let folder = folder();
    let at = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
    let text = fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/stuck_clock.toml"));
    let (file, trace, record, dir) = (at(b"a\xff.toml"), at(b"t\xfe"), at(b"r\xfd"), at(b"d\xfc"));
    fs::write(&file, text.expect("a scenario of the tree")).expect("writable");
    let variant = umpire_scenario::load("stuck_clock").expect("built in").variants[0].name.clone();
    let mut run = command();
    run.arg("run").arg(&file).args(["--sim", "--variant", &variant, "--trace"]).arg(&trace);
    run.arg("--record").arg(&record).args(["--core-on", "end"]).arg(&dir);
    let said = finish(spawn(&mut run));
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(trace.exists() && record.exists() && dir.is_dir());
    for (subcommand, path) in [("events", &record), ("list", &file)] {
        let said = finish(spawn(command().arg(subcommand).arg(path)));
        assert_eq!(said.code, Some(0), "{subcommand}: {}", said.err);
    }
    let core = fs::read_dir(&dir).expect("a folder").flatten().next().expect("a core").path();
    let named = at(b"c\xfb");
    fs::rename(core, &named).expect("it can be moved");
    let said = finish(spawn(command().arg("mdb").arg(&named).args(["-e", "::cpuinfo"])));
    assert_eq!(said.code, Some(0), "{}", said.err);
}

fn names() {
    let folder = folder();
    let file = folder.path().join("a\u{1b}[2J\u{202e}b.toml");
    let said = umpire(&["run", &file.display().to_string(), "--sim"]);
    assert_eq!(said.code, Some(2));
    assert!(!said.err.contains('\u{1b}') && !said.err.contains('\u{202e}'), "{:?}", said.err);
    assert!(said.err.contains("\\u{1b}[2J\\u{202e}b"), "{:?}", said.err);
}
