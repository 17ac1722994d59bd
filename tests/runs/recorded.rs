//! Recordings as a user meets them: made by a run, counted, drawn, cut short, and asked for what they have not.
//!
//! # Invariants
//! - Everything here runs in the simulator, where a seed gives the same recording.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::binary::{LIMIT, command, finish, pid, spawn, umpire};
use crate::cli::parse;
use crate::processes;
use crate::trials;

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trials::anywhere("recorded::recording_is_counted_and_drawn_and_its_broken_tail_is_said", recording),
        trials::kvm("recorded::core_at_a_violation_holds_the_time_before_it", core),
        trials::kvm("recorded::flight_recorder_has_the_time_before_a_violation_that_nobody_expected", flight),
        trials::kvm("recorded::flight_recorder_has_the_time_before_an_interrupt", flight_of_interrupted),
        trials::anywhere("recorded::latencies_come_with_a_run_where_they_are_asked_for", latencies),
        trials::anywhere("recorded::flight_recorder_of_a_simulated_run_ends_at_its_violation", flight_of_sim),
        trials::anywhere("recorded::run_that_is_ended_by_force_leaves_what_it_had_recorded", killed),
    ]
}

/// Nobody asked for a recording: the rings have it all the same.
fn core() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let dir = folder.path().to_string_lossy().into_owned();
    let run = umpire(&["run", "i1532", "--variant", "kpreemptpri=100", "--core-on", "violation", &dir]);
    assert!(matches!(run.code, Some(0 | 4)), "{run:?}");
    let core = format!("{dir}/i1532.kpreemptpri=100.core");
    let counted = umpire(&["events", &core, "--by", "probe", "--json"]);
    assert!(counted.out.contains("\"probe\":\"runrun-raise\""), "{counted:?}");
    let why = umpire(&["why", &core, "mac_soft_ring_worker", "--worst", "1", "--json"]);
    let row = parse(why.out.trim());
    assert_eq!((&row["mechanism"], &row["open"]), (&"kpreemptpri".into(), &true.into()), "{why:?}");
}

/// The rings were there, and nobody drained them.
fn flight() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let dir = folder.path().join("flights").to_string_lossy().into_owned();
    let run = ["run", "i1532", "--variant", "kpreemptpri=100", "--flight", &dir, "--json"];
    let said = umpire(&run);
    assert!(matches!(said.code, Some(0 | 4)), "{said:?}");
    let file = parse(said.out.trim())["flight"].as_str().expect("a path").to_owned();
    assert_eq!(file, format!("{dir}/i1532.kpreemptpri=100.rec"));
    let why = umpire(&["why", &file, "mac_soft_ring_worker", "--worst", "1", "--json"]);
    let row = parse(why.out.lines().next().unwrap_or_default());
    assert_eq!((&row["mechanism"], &row["open"]), (&"kpreemptpri".into(), &true.into()), "{why:?}");

    let small = ["--set", "trace_records=100", "--run", "300ms"];
    let said = umpire(&[&run[..], &small].concat());
    let file = parse(said.out.trim())["flight"].as_str().expect("a path").to_owned();
    assert!(file.ends_with("-2.rec"), "a file that is there is not overwritten: {file}");
    let counted = umpire(&["events", &file, "--by", "cpu", "--json"]);
    let counts: Vec<u64> = counted.out.lines().filter_map(|line| parse(line)["count"].as_u64()).collect();
    assert!(counts.iter().all(|&n| n <= 128) && counts.iter().any(|&n| n > 64), "{counts:?}");

    let off = umpire(&[&run[..run.len() - 1], &["--set", "trace_records=0", "--run", "300ms"]].concat());
    assert!(off.out.contains("the flight recorder has no events"), "{off:?}");
    assert!(!off.out.contains(".rec"), "nothing was written: {off:?}");
}

/// Whoever ends a run wants to see what it did last.
fn flight_of_interrupted() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let dir = folder.path().to_string_lossy().into_owned();
    let run = ["run", "i1532", "--variant", "kpreemptpri=99", "--run", "1m", "--flight", &dir, "--json"];
    let run = spawn(command().args(run));
    processes::await_thread(pid(&run), "vcpu1", Duration::from_millis(100));
    kill_process(pid(&run), Signal::INT).expect("it runs");
    let said = finish(run);
    assert_eq!(said.code, Some(130), "{said:?}");
    let file =
        parse(said.out.trim())["flight"].as_str().unwrap_or_else(|| panic!("no flight: {said:?}")).to_owned();
    let counted = umpire(&["events", &file, "--by", "probe", "--json"]);
    assert!(counted.out.contains("\"probe\":\"on-cpu\""), "{counted:?}");
}

fn latencies() {
    let run = ["run", "i1532", "--sim", "--variant", "kpreemptpri=99", "--latency"];
    let said = umpire(&[&run[..], &["--json"]].concat());
    let report = parse(said.out.trim());
    let rows = report["latencies"].as_array().expect("a list");
    let alone = umpire(&["latency", "i1532:kpreemptpri=99", "--sim", "--json"]);
    let own: Vec<Value> = alone.out.lines().map(parse).collect();
    assert_eq!(rows.len(), own.len(), "the same as `umpire latency` has");
    for delay in ["run", "wakeup", "preemption", "interrupt"] {
        let row = rows.iter().find(|row| row["delay"] == delay).unwrap_or_else(|| panic!("no {delay}"));
        assert!(row["count"].as_u64() > Some(0) && row["p50_ns"].as_u64() <= row["max_ns"].as_u64(), "{row}");
        assert_eq!(row["host_ns"], 0, "a simulated host keeps nothing: {row}");
    }
    let told = umpire(&run);
    assert!(told.out.contains("  latencies of kpreemptpri=99:\n  DELAY"), "{}", told.out);
    let plain = umpire(&["run", "i1532", "--sim", "--variant", "kpreemptpri=99", "--json"]);
    assert!(parse(plain.out.trim()).get("latencies").is_none(), "nobody asked: {}", plain.out);
}

/// A seed's recording ends at the violation, has of each CPU what a ring would hold, and is not there without one.
fn flight_of_sim() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let dir = folder.path().to_string_lossy().into_owned();
    let said = umpire(&["run", "i1532", "--sim", "--flight", &dir, "--set", "trace_records=1000"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let made: Vec<String> = fs::read_dir(&dir)
        .expect("the folder")
        .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(made, ["i1532.kpreemptpri=100.1.rec"], "nothing was violated elsewhere");
    let file = format!("{dir}/{}", made[0]);
    let counted = umpire(&["events", &file, "--by", "cpu", "--json"]);
    for row in counted.out.lines().map(parse) {
        assert!(row["count"].as_u64() <= Some(1024), "{row}");
        assert!(row["last_ns"].as_u64() < Some(100_000_000), "the limit is 50 ms: {row}");
    }
    let why = umpire(&["why", &file, "--worst", "0", "--json"]);
    assert!(why.out.contains("\"mechanism\":\"kpreemptpri\""), "{why:?}");
    let twice = umpire(&["run", "i1532", "--sim", "--flight", &dir, "--record", "x"]);
    assert!(twice.code == Some(2) && twice.err.contains("cannot be used with"), "{}", twice.err);
}

/// The file is written while the guest runs.
fn killed() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("run.rec");
    let file = path.to_string_lossy().into_owned();
    let mut run = command();
    run.args(["run", "i1532", "--sim", "--variant", "force_kprunrun", "--run", "60s", "--record", &file]);
    let child = spawn(&mut run);
    let began = Instant::now();
    // Three blocks or so, of some hundred.
    while fs::metadata(&path).map_or(0, |file| file.len()) < 400_000 {
        assert!(began.elapsed() < LIMIT, "nothing is written while it runs");
        thread::yield_now();
    }
    kill_process(pid(&child), Signal::KILL).expect("it runs");
    let said = finish(child);
    assert_eq!(said.code, None, "it has not come to its end: {said:?}");
    let counted = umpire(&["events", &file, "--by", "probe", "--json"]);
    assert_eq!(counted.code, Some(0), "{}", counted.err);
    let is_said = ["it ends before the run did", "it ends in the middle of a block"];
    assert!(is_said.iter().any(|said| counted.err.contains(said)), "{}", counted.err);
    let count: u64 = counted.out.lines().filter_map(|line| parse(line)["count"].as_u64()).sum();
    assert!(count >= 65_536, "{count} events");
}

fn recording() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    for name in ["one", "two"] {
        let said =
            umpire(&["run", "i1532", "--sim", "--variant", "kpreemptpri=100", "--record", &path(name)]);
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
    let bytes = fs::read(path("one")).expect("a recording");
    assert!(bytes == fs::read(path("two")).expect("a recording"), "a seed gives the same bytes");

    let counted =
        umpire(&["events", &path("one"), "--by", "thread,probe", "--thread", "squeue_worker", "--json"]);
    let of = |probe: &str| counted.out.lines().map(parse).find(|row| row["probe"] == probe);
    let count = |probe: &str| of(probe).map_or(0, |row| row["count"].as_u64().expect("a number"));
    assert_eq!(count("enqueue"), count("on-cpu") + 1, "it is queued once more than it runs: {}", counted.out);

    let latency = umpire(&["latency", &path("one"), "--json"]);
    let rows: Vec<Value> = latency.out.lines().map(parse).collect();
    let worst = rows.iter().find(|row| row["delay"] == "run" && row["of"] == "squeue_worker").expect("a row");
    assert!(worst["max_ns"].as_u64() > Some(1_900_000_000) && worst["open"] == 1, "{worst}");

    for (name, begin) in
        [("a.html", "<!doctype html>"), ("a.svg", "<svg"), ("a.json", "{"), ("a.pftrace", "\n")]
    {
        let said = umpire(&["timeline", &path("one"), "-o", &path(name)]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let drawn = fs::read(path(name)).expect("a file");
        assert!(drawn.starts_with(begin.as_bytes()) && drawn.len() > 2_000, "{name}: {} bytes", drawn.len());
    }
    let svg = fs::read_to_string(path("a.svg")).expect("text");
    assert!(svg.contains("starvation: mac_soft_ring_worker waited 50ms"), "{svg}");

    fs::write(path("cut"), &bytes[..bytes.len() / 2]).expect("a file");
    let cut = umpire(&["events", &path("cut"), "--by", "probe"]);
    assert_eq!(cut.code, Some(0), "{}", cut.err);
    assert!(cut.err.contains("it ends in the middle of a block"), "{}", cut.err);
    fs::write(path("nothing"), &bytes[..600]).expect("a file");
    let contrast = umpire(&["compare", &path("one"), &path("cut")]);
    assert!(contrast.code == Some(0) && contrast.err.contains("cut: it ends in"), "{}", contrast.err);
    for (arguments, what) in [
        (&["why", &path("nothing")][..], "nothing of it can be read"),
        (&["events", &path("none")], "it cannot be opened: No such file"),
        (&["events", &path("a.svg")], "it is no recording: it begins with \"<svg"),
        (&["events", &path("one"), "--thread", "nobody"], "there is no thread `nobody`; there are "),
        (&["events", &path("one"), "--probe", "no"], "there is no probe `no`; there are on-cpu"),
        (&["events", &path("one"), "--cpu", "2"], "there is no cpu 2; the guest has 2"),
        (&["timeline", &path("one"), "-o", &path("a.png")], "ends with none of .html, .svg, .pftrace, .json"),
        (
            &["events", &path("one"), "--from", "3s", "--to", "1s"],
            "nothing lies between --from 3s and --to 1s",
        ),
        (&["latency", &path("")], "it is a directory or a device"),
        (
            &["run", "i1532", "--sim", "--variant", "mode=user", "--record", &path("no/x")],
            "there is no folder ",
        ),
        (&["events", "i1532:no such variant", "--sim"], "no such variant"),
        (&["run", "i1532", "--sim", "--record", &path("x")], "--record writes one run to one file"),
        (
            &["run", "i1532", "--sim", "--variant", "mode=user", "--record", &path("no/such/folder")],
            "cannot write the recording to",
        ),
    ] {
        let said = umpire(arguments);
        assert!(said.code == Some(2) && said.err.contains(what), "{arguments:?}: {}", said.err);
    }
}
