//! The pages that Umpire writes, as a browser shows them.
//!
//! # Invariants
//! - The browser is the real one, without a screen; what it shows is judged by its content: words of the document, and colours of the
//!   picture. Where it is not installed the tests are skipped by name.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::binary::{Said, finish, spawn, umpire};
use crate::trials;

/// Its name.
pub const BROWSER: &str = "chromium";

/// How long a page is looked at whose time does not matter.
const UNTIL_MS: Option<u32> = Some(4000);

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trials::with(BROWSER, "browser::timeline_shows_who_starved_whom", timeline),
        trials::with(BROWSER, "browser::timeline_goes_where_its_address_says", address),
        trials::with(BROWSER, "browser::picture_needs_no_script", picture),
        trials::with(BROWSER, "browser::page_of_a_million_events_is_soon_there", fluent),
    ]
}

/// A folder with the page of i1532, and the page's name.
fn page() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("run.html").to_string_lossy().into_owned();
    let said = umpire(&["timeline", "i1532", "--sim", "--variant", "kpreemptpri=100", "-o", &path]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    (folder, path)
}

/// What the browser says when it is asked for this.
/// `until_ms` ends its time, which goes as fast as it can then; without it time is what it is.
fn browse(folder: &Path, more: &[&str], until_ms: Option<u32>, address: &str) -> Said {
    let profile = folder.join("profile");
    let mut command = Command::new(BROWSER);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--window-size=1400,900",
    ]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    command.args(until_ms.map(|ms| format!("--virtual-time-budget={ms}")));
    command.args(more).arg(format!("file://{address}"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let said = finish(spawn(&mut command));
    assert_eq!(said.code, Some(0), "{}", said.err);
    said
}

/// The text of the element with this id.
fn element<'d>(document: &'d str, id: &str) -> &'d str {
    let (_, rest) =
        document.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no {id}: {document}"));
    let (_, rest) = rest.split_once('>').expect("a tag ends");
    rest.split_once("</").expect("an element ends").0
}

fn timeline() {
    let (folder, path) = page();
    let document = browse(folder.path(), &["--dump-dom"], UNTIL_MS, &path).out;
    assert!(document.contains("data-drawn="), "the script has not come to its end: {document}");
    assert_eq!(element(&document, "verdict"), "violated");
    let (_, why) = document.split_once("id=\"why\"").expect("the sentences");
    assert!(why.contains("because 99 &lt; kpreemptpri = 100, and the thread does not return to user mode"));
    assert!(why.contains("What would have ended it: kpreemptpri = 99"), "{why}");
    let summary = element(&document, "summary");
    for says in
        ["cpu 1: qemu-system-x86_ ", "mac_soft_ring_worker: waited to run ", "squeue_worker: waited to run "]
    {
        assert!(summary.contains(says), "{summary}");
    }
    let [red, hatched, ts] = seen(&shot(folder.path(), &path));
    assert!(red > 150, "a red rule down the lanes: {red} pixels");
    assert!(hatched > 2_000, "what waits is hatched: {hatched} pixels");
    assert!(ts > 2_000, "what cpu 1 ran has its class's colour: {ts} pixels");
}

fn address() {
    let (folder, path) = page();
    let document = browse(folder.path(), &["--dump-dom"], UNTIL_MS, &format!("{path}#from=1ms&to=3ms")).out;
    assert!(
        element(&document, "range").starts_with("1.000ms to 3.000ms (2ms)"),
        "{}",
        element(&document, "range")
    );
}

/// What a page of a million events may take a browser until it has drawn it and listens to keys, on a host with other work, in ms. On one
/// without it takes a tenth.
const MOST_MS: u64 = 8000;

/// Two pairs that pass a ball: a million and a half events in a while that is short for the simulator.
const BALLS: &str = r#"
id      = "balls"
title   = "Two pairs pass a ball"
source  = "a long page"
teaches = "nothing"
cpus    = 2
run     = "250ms"
thread  = [
    { name = "ping", class = "TS", pri = 45, cpu = 0, work = { pingpong = { peer = "pong" } } },
    { name = "pong", class = "TS", pri = 45, cpu = 0, work = { pingpong = { peer = "ping" } } },
    { name = "pang", class = "TS", pri = 45, cpu = 1, work = { pingpong = { peer = "pung" } } },
    { name = "pung", class = "TS", pri = 45, cpu = 1, work = { pingpong = { peer = "pang" } } },
]
bound   = [{ monitor = "deadman", limit = "200ms" }]
"#;

fn fluent() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("long.html").to_string_lossy().into_owned();
    let scenario = folder.path().join("balls.toml");
    fs::write(&scenario, BALLS).expect("writable");
    let said = umpire(&["timeline", &scenario.to_string_lossy(), "--sim", "-o", &path]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("balls.toml is long: drawn is what lies from "), "{}", said.err);
    let (_, events) = said.err.split_once("long.html: ").expect("how many");
    let events: u64 = events.split_once(" events").and_then(|(n, _)| n.parse().ok()).expect("how many");
    assert!((990_000..=1_000_000).contains(&events), "{events}");
    let document = browse(folder.path(), &["--dump-dom"], None, &path).out;
    let (_, drawn) = document.split_once("data-drawn=\"").expect("the script comes to its end");
    let drawn_ms: u64 = drawn.split_once('"').and_then(|(ms, _)| ms.parse().ok()).expect("ms");
    println!("{events} events are there after {drawn_ms} ms");
    assert!((1..=MOST_MS).contains(&drawn_ms), "{drawn_ms} ms");
}

fn picture() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("run.svg").to_string_lossy().into_owned();
    let run = ["timeline", "i1532", "--sim", "--variant", "kpreemptpri=100", "--to", "70ms", "-o", &path];
    let said = umpire(&run);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let [red, hatched, ts] = seen(&shot(folder.path(), &path));
    assert!(red > 60 && hatched > 2_000 && ts > 2_000, "{red} red, {hatched} hatched, {ts} of class TS");
}

/// What a file looks like there, a pixel three bytes.
pub fn shot(folder: &Path, address: &str) -> Vec<[u8; 3]> {
    let file = folder.join("shot.png");
    browse(folder, &[&format!("--screenshot={}", file.display())], UNTIL_MS, address);
    let decoder = png::Decoder::new(BufReader::new(File::open(file).expect("a picture")));
    let mut reader = decoder.read_info().expect("a PNG");
    let mut bytes = vec![0; reader.output_buffer_size().expect("a picture of some size")];
    let info = reader.next_frame(&mut bytes).expect("a picture");
    let samples = info.color_type.samples();
    bytes[..info.buffer_size()].chunks_exact(samples).map(|p| [p[0], p[1], p[2]]).collect()
}

/// Pixels that are red, pixels that are nearly black, and pixels of the class TS, in the part of the page that has the lanes.
fn seen(pixels: &[[u8; 3]]) -> [usize; 3] {
    let width = 1400;
    let lanes =
        pixels.iter().enumerate().filter(|(n, _)| (190..1000).contains(&(n % width)) && n / width > 80);
    let mut seen = [0; 3];
    for (_, &[r, g, b]) in lanes {
        seen[0] += usize::from(r > 150 && g < 40 && b < 70);
        seen[1] += usize::from(r < 60 && g < 60 && b < 60);
        seen[2] += usize::from([r, g, b] == [0x56, 0xb4, 0xe9]);
    }
    seen
}
