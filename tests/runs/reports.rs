//! Reports as a user meets them: a folder of pages, and the files for what runs tests.
//!
//! # Invariants
//! - Everything here runs in the simulator. The page is looked at in a browser where one is installed.

use std::fs;
use std::thread;
use std::time::Instant;

use libtest_mimic::Trial;
use rustix::process::{Signal, kill_process};

use crate::binary::{LIMIT, command, finish, pid, spawn, umpire};
use crate::browser;
use crate::trials;

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trials::anywhere("reports::folder_has_a_page_that_leads_to_who_starved_whom_and_why", folder),
        trials::anywhere("reports::pages_of_an_earlier_report_go_and_other_files_stay", again),
        trials::anywhere("reports::first_signal_counts_while_a_page_is_written", ended),
        trials::anywhere("reports::files_for_what_runs_tests_are_written_beside", files),
        trials::with(browser::BROWSER, "reports::page_shows_verdicts_and_pictures_in_a_browser", page),
    ]
}

fn folder() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let dir = folder.path().join("pages").to_string_lossy().into_owned();
    let said = umpire(&["run", "i1532", "--sim", "--report", &dir]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let read =
        |name: &str| fs::read_to_string(format!("{dir}/{name}")).unwrap_or_else(|e| panic!("{name}: {e}"));
    let index = read("index.html");
    assert!(index.contains("<h1>umpire: 6 of 6 runs as expected</h1>"), "{index}");
    for part in [
        "<tr class=\"pass\"><td>i1532</td><td>kpreemptpri=100</td><td>violated</td><td>violated</td><td>pass</td><td>starvation ",
        "href=\"#i1532.kpreemptpri=100\"",
        "<section id=\"i1532.kpreemptpri=100\">",
        "because 99 &lt; kpreemptpri = 100, and the thread does not return to user mode",
        "starvation: mac_soft_ring_worker waited 50ms</text>",
        "href=\"i1532.kpreemptpri=100.html\"",
        "  mechanism: kpreemptpri\n",
        "  would have ended it: kpreemptpri = 99: ",
        "<tr><td>run</td><td>squeue_worker</td>",
        "umpire run i1532 --variant kpreemptpri=100 --sim --seed 1\n",
        "samples, 0 reads torn",
    ] {
        assert!(index.contains(part), "no `{part}` in\n{index}");
    }
    assert!(read("i1532.kpreemptpri=99.html").starts_with("<!doctype html>"));
    let again = umpire(&["why", &format!("{dir}/i1532.kpreemptpri=100.rec"), "--worst", "0"]);
    assert!(again.out.contains("mechanism: kpreemptpri"), "{again:?}");
}

/// A page of much takes long, and nobody has to wait for it.
fn ended() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let dir = folder.path().to_string_lossy().into_owned();
    let mut run = command();
    run.args(["run", "healthy", "--sim", "--run", "500ms", "--report", &dir]);
    let child = spawn(&mut run);
    let page = folder.path().join("healthy.default.html");
    let began = Instant::now();
    while !page.exists() {
        assert!(began.elapsed() < LIMIT, "no page is begun");
        thread::yield_now();
    }
    kill_process(pid(&child), Signal::TERM).expect("it runs");
    let said = finish(child);
    assert_eq!(said.code, Some(143), "{}", said.err);
    assert!(said.err.contains("interrupted"), "{}", said.err);
    let index = fs::read_to_string(folder.path().join("index.html")).expect("it is written all the same");
    assert!(index.contains("Its pages were being written when a signal came"), "{index}");
    assert!(folder.path().join("healthy.default.rec").exists() && !page.exists());
}

/// What an earlier report left in the folder goes, and what is not ours stays.
fn again() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = |name: &str| folder.path().join(name);
    let dir = folder.path().to_string_lossy().into_owned();
    let report = |variant: &str| {
        let said =
            umpire(&["run", "i1532", "--sim", "--run", "500ms", "--variant", variant, "--report", &dir]);
        assert_eq!(said.code, Some(0), "{}", said.err);
    };
    report("mode=user");
    for name in ["mine.rec", "i1532.mine.html", "notes"] {
        fs::write(path(name), "mine").expect("a file");
    }
    report("check_runrun");
    for (name, is_there) in [
        ("i1532.mode=user.rec", false),
        ("i1532.mode=user.html", false),
        ("i1532.check_runrun.rec", true),
        ("i1532.check_runrun.html", true),
        ("mine.rec", true),
        ("i1532.mine.html", true),
        ("notes", true),
    ] {
        assert_eq!(path(name).exists(), is_there, "{name}");
    }
}

fn files() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (junit, tap, markdown) = (path("j.xml"), path("t.tap"), path("s.md"));
    let run = [
        "run",
        "i1532",
        "--sim",
        "--set",
        "kpreemptpri=100",
        "--junit",
        &junit,
        "--tap",
        &tap,
        "--markdown",
        &markdown,
    ];
    let said = umpire(&run);
    assert_eq!(said.code, Some(1), "the fix was taken away: {}", said.err);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert!(
        read(&junit)
            .contains("<testsuite name=\"i1532\" tests=\"6\" skipped=\"0\" errors=\"0\" failures=\"1\""),
        "{}",
        read(&junit)
    );
    assert!(
        read(&tap).contains("\nnot ok 2 i1532 kpreemptpri=99\n") && read(&tap).contains("1..6"),
        "{}",
        read(&tap)
    );
    assert!(
        read(&markdown).contains("| i1532 | kpreemptpri=99 | held | violated | :x: fail |"),
        "{}",
        read(&markdown)
    );

    for (arguments, what) in [
        (
            &["run", "i1532", "--sim", "--junit", "/no/such/folder/j.xml"][..],
            "give --junit a path that can be written",
        ),
        (&["run", "i1532", "--sim", "--report", &junit], "give --report a folder that can be written"),
        (&["run", "i1532", "--sim", "--report", "x", "--record", "y"], "cannot be used with"),
    ] {
        let said = umpire(arguments);
        assert!(said.code == Some(2) && said.err.contains(what), "{arguments:?}: {said:?}");
    }
}

fn page() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let dir = folder.path().join("pages").to_string_lossy().into_owned();
    let said = umpire(&["run", "i1532", "--sim", "--variant", "kpreemptpri=100", "--report", &dir]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let pixels = browser::shot(folder.path(), &format!("{dir}/index.html"));
    let count = |r, g, b| pixels.iter().filter(|&&p| p == [r, g, b]).count();
    assert!(count(0x56, 0xb4, 0xe9) > 2_000, "what cpu 1 ran has its class's colour");
    assert!(count(0xcc, 0, 0) > 50, "there is a red rule");
}
