//! What somebody meets who describes streams: a stream that is closed under its users, who waits for what in one, and mistakes.
//!
//! # Invariants
//! - Each test has a folder of its own, for its files.

use std::fs;
use std::path::Path;

use libtest_mimic::Trial;

use crate::binary::{Said, command, finish, spawn};
use crate::trials;

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trials::anywhere("streams::close_is_noticed_by_whoever_uses_the_stream", closed),
        trials::anywhere("streams::close_that_takes_long_says_what_it_waits_for", drained),
        trials::anywhere("streams::who_waits_in_a_stream_is_told_with_stream_and_queue", waits),
        trials::anywhere("streams::mistakes_are_told_before_anything_runs", mistakes),
        trials::anywhere("streams::whatis_knows_queues_heads_and_perimeters", whatis),
        trials::anywhere("streams::commands_see_a_stream_that_is_linked_as_the_multiplexors", linked),
    ]
}

/// A scenario of a thread that does `work` with stream `s`, and what else the file says.
fn file(folder: &Path, stream: &str, work: &str, rest: &str) -> String {
    let text = format!(
        "id = \"s\"\ntitle = \"t\"\nsource = \"a test\"\ncpus = 2\nrun = \"200ms\"\n{stream}\n[[thread]]\nname = \"user\"\nclass = \"SYS\"\n\
         pri = 60\nwork = {{ {work} }}\n{rest}"
    );
    let path = folder.join("s.toml");
    fs::write(&path, text).expect("writable");
    path.display().to_string()
}

fn said(folder: &Path, arguments: &[&str]) -> Said {
    finish(spawn(command().env("XDG_RUNTIME_DIR", folder).current_dir(folder).args(arguments)))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

const STREAM: &str = "[[stream]]\nname = \"s\"\nmodules = [\"bufmod\"]";
const CONSERVED: &str = "[[bound]]\nmonitor = \"conservation\"\nlimit = \"30ms\"\n";
const CLOSE: &str = "[[event]]\nat = \"60ms\"\nclose = { stream = \"s\" }\n";
const PROGRESS: &str = "[[bound]]\nmonitor = \"progress\"\nlimit = \"60ms\"\n";

fn closed() {
    let folder = folder();
    let path = folder.path();
    let reader = "[[thread]]\nname = \"reader\"\nclass = \"SYS\"\npri = 60\nwork = { stream_read = { stream = \"s\" } }\n";
    for (stream, work, more) in [
        (STREAM, "stream_echo = { stream = \"s\" }", PROGRESS),
        (STREAM, "stream_write = { stream = \"s\" }", &format!("{reader}{PROGRESS}")),
        // Nobody reads, so what is under way is thrown away when the time is up.
        (&format!("{STREAM}\nclose_time = \"10ms\""), "stream_write = { stream = \"s\" }", ""),
    ] {
        let file = file(path, stream, work, &format!("{more}{CLOSE}{CONSERVED}"));
        for seed in 0..20 {
            let run = said(path, &["run", &file, "--sim", "--seed", &seed.to_string()]);
            assert!(run.code == Some(0), "{work} seed {seed}: {:?} {} {}", run.code, run.out, run.err);
        }
    }
}

fn drained() {
    let folder = folder();
    let path = folder.path();
    let file = file(path, STREAM, "stream_write = { stream = \"s\" }", &format!("{CLOSE}{CONSERVED}"));
    let run = said(path, &["run", &file, "--sim"]);
    let words = "closes stream s, and sleeps until the queue below the head has sent what it has: the write queue of bufmod has";
    assert!(run.code == Some(1) && run.out.contains(words), "{:?} {}", run.code, run.out);
    assert!(run.out.contains("for 14."), "{}", run.out);
}

fn waits() {
    let folder = folder();
    let path = folder.path();
    for (work, words) in [
        (
            "stream_write = { stream = \"s\" }",
            "sleeps at the head of stream s until there is room to write: the write queue of bufmod has",
        ),
        (
            "stream_read = { stream = \"s\" }",
            "sleeps at the head of stream s until something comes to be read",
        ),
    ] {
        let file = file(path, STREAM, work, PROGRESS);
        let run = said(path, &["run", &file, "--sim"]);
        assert!(run.code == Some(1) && run.out.contains(words), "{work}: {:?} {}", run.code, run.out);
        assert!(!run.out.contains("does not have"), "{}", run.out);
    }
}

fn mistakes() {
    let folder = folder();
    let path = folder.path();
    let read = "stream_read = { stream = \"s\" }";
    let with = |set: &str| format!("set = {{ strmem = {set} }}\n{STREAM}");
    for (stream, work, place, words) in [
        (with("1"), read, ":6:", "must be at least 32768"),
        (with("0"), read, ":6:", "is a kernel without STREAMS"),
        (STREAM.replace("[[stream]]", "[stream]"), read, ":6:", "write [[stream]] for [stream]"),
        ("[stream]\nname = \"s\"\n[stream]".to_owned(), read, ":8:", "write [[stream]] for [stream]"),
        (
            format!("{STREAM}\ndriver = \"sink\""),
            "stream_echo = { stream = \"s\" }",
            ":14:",
            "sends nothing back",
        ),
    ] {
        let file = file(path, &stream, work, CONSERVED);
        let run = said(path, &["run", &file, "--sim"]);
        let is_told = run.err.contains(place) && run.err.contains(words);
        assert!(run.code == Some(2) && is_told && run.out.is_empty(), "{words}: {:?} {}", run.code, run.err);
    }
}

fn whatis() {
    let folder = folder();
    let path = folder.path();
    let file = file(path, STREAM, "stream_read = { stream = \"s\" }", CONSERVED);
    for (typed, words) in [
        ("::queue -q -m bufmod | ::q2wrq | ::whatis", "the write queue of bufmod in stream s"),
        ("::queue -q -m bufmod | ::whatis", "of k_streams.queues.ar_objects, allocated from queue_cache"),
        ("::queue -q -m bufmod | ::q2syncq | ::whatis", "the syncq of bufmod in stream s"),
        ("::stdata -q | ::whatis", "the head of stream s"),
    ] {
        let run = said(path, &["mdb", "--run", &file, "--sim", "--at", "50ms", "-e", typed]);
        assert!(
            run.code == Some(0) && run.out.contains(words),
            "{typed}: {:?} {} {}",
            run.code,
            run.out,
            run.err
        );
    }
}

fn linked() {
    let folder = folder();
    let path = folder.path();
    let streams = "[[stream]]\nname = \"s\"\ndriver = \"mux\"\nlinks = [\"e\"]\n[[stream]]\nname = \"e\"\nmodules = [\"bufmod\"]";
    let file = file(path, streams, "stream_write = { stream = \"s\" }", CONSERVED);
    for (typed, words) in [
        ("::stdata -f STPLEX | ::stream", ["| mux ", "| bufmod ", "| loop "]),
        ("::stdata -f STRHASLINKS | ::stream", ["| strwhead ", "| mux ", "0x"]),
        ("::stdata -f STPLEX | ::str2wrq | ::q2otherq | ::queue -v", [" mux ", "QREADR", "QMTOUTPERIM"]),
        ("::stdata -f STPLEX | ::walk readq | ::queue", [" mux ", " bufmod ", " loop "]),
        ("::stdata -f STPLEX | ::whatis", ["the head of stream e", "", ""]),
    ] {
        let run = said(path, &["mdb", "--run", &file, "--sim", "--at", "50ms", "-e", typed]);
        let is_told = words.iter().all(|word| run.out.contains(word));
        assert!(run.code == Some(0) && is_told, "{typed}: {:?} {} {}", run.code, run.out, run.err);
    }
}
