//! Whatever others hand to Umpire, made wrong in every way that a seed draws: scenario files, recordings, cores, lines for the debugger,
//! frames of the attach socket. The glass has its images in `umpire-watch` (`hostile_tests`), gdb's packets theirs in `umpire-reach`.
//!
//! ```sh
//! UMPIRE_FUZZ=1000000 cargo test -p umpire --test fuzz -- --nocapture                 every target, a million inputs, of slow ones a share
//! UMPIRE_FUZZ=1000000 UMPIRE_FUZZ_SEED=7 cargo test -p umpire --test fuzz scenario    one of them, from another seed on
//! ```
//!
//! # Invariants
//! - An input that makes its reader panic, or take longer than [`PATIENCE`], is written to a file, and the test says which.
//! - Input n of a seed is always the same. Without `UMPIRE_FUZZ` a short run of each is made: that is the corpus of every test run.

mod events;
mod inputs;

use std::io::Write;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use umpire_machine::GUEST_IMAGE;
use umpire_mdb::recorded::Recorded;
use umpire_mdb::session::{Output, Session, Style};
use umpire_reach::core::CoreFile;
use umpire_reach::wire::{self, Reply, Request};
use umpire_record::{Recording, Seen, Stored};
use umpire_scenario::Scenario;
use umpire_watch::glass::{Glass, Layout, Needs, Sampler, Symbols, Target};

use inputs::Inputs;

/// Inputs of a target where nothing else is asked for.
const SHORT: u64 = 2_000;
/// Far beyond what any reader needs for one input.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many inputs of a target there are to be; of one that is slow a share.
fn count(share: u64) -> u64 {
    let asked = std::env::var("UMPIRE_FUZZ").ok().and_then(|n| n.parse().ok());
    (asked.unwrap_or(SHORT) / share).max(1)
}

fn seed() -> u64 {
    std::env::var("UMPIRE_FUZZ_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Where an input that breaks its reader is kept.
fn kept(target: &str, n: u64) -> PathBuf {
    std::env::temp_dir().join(format!("umpire-fuzz-{target}-{}-{n}", seed()))
}

/// Shows a reader so many inputs that are made of these.
fn fuzz(target: &'static str, share: u64, sound: Vec<Vec<u8>>, words: &[&str], read: impl Fn(&[u8])) {
    assert!(!sound.is_empty(), "{target} has something to begin with");
    let inputs = Inputs::new(seed(), sound, words);
    let total = count(share);
    let (at, input) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    // Who waits for the next input notices when it does not come.
    let (over, is_over) = mpsc::channel::<()>();
    let watched = (Arc::clone(&at), Arc::clone(&input));
    let watchdog = thread::spawn(move || {
        let mut last = u64::MAX;
        while let Err(mpsc::RecvTimeoutError::Timeout) = is_over.recv_timeout(PATIENCE) {
            let now = watched.0.load(Ordering::Relaxed);
            if now == last {
                let path = kept(target, now);
                let _kept = std::fs::write(&path, &*watched.1.lock().expect("nobody panics with it"));
                eprintln!(
                    "{target}: input {now} takes longer than {PATIENCE:?}; it is in {}",
                    path.display()
                );
                std::process::exit(1);
            }
            last = now;
        }
    });
    for n in 0..total {
        let bytes = inputs.input(n);
        input.lock().expect("nobody panics with it").clone_from(&bytes);
        at.store(n, Ordering::Relaxed);
        if catch_unwind(AssertUnwindSafe(|| read(&bytes))).is_err() {
            let path = kept(target, n);
            std::fs::write(&path, &bytes).expect("the input can be kept");
            panic!(
                "{target}: input {n} of seed {} makes its reader panic; it is in {}",
                seed(),
                path.display()
            );
        }
    }
    drop(over);
    watchdog.join().expect("the watchdog only watches");
    println!("{target}: {total} inputs");
}

fn umpire(arguments: &[&str]) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_umpire")).args(arguments).output().expect("the program starts");
    assert!(
        output.status.code().is_some_and(|code| code != 2),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn scenario_files() {
    let sound =
        umpire_scenario::builtin::BUILTIN.iter().map(|builtin| builtin.text.as_bytes().to_vec()).collect();
    let words = [
        "[[thread]]",
        "[[event]]",
        "[[bound]]",
        "[[variant]]",
        "count = 16384",
        "= -1",
        "\"3600s\"",
        "{",
        "}",
        "\u{202e}",
        "1e999",
    ];
    fuzz("scenario", 1, sound, &words, |bytes| drop(Scenario::parse_bytes(bytes, "fuzz")));
}

/// The file of a recording of 20 ms of a scenario.
fn recording_of(scenario: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(scenario);
    let (variant, file) = (first_variant(scenario), path.display().to_string());
    umpire(&["run", scenario, "--sim", "--run", "20ms", "--variant", &variant, "--record", &file]);
    std::fs::read(path).expect("it was written")
}

/// The same, read.
fn recorded(scenario: &str) -> Recording {
    umpire_record::read(&recording_of(scenario)[..], 0..=u64::MAX).expect("it is sound")
}

#[test]
fn recordings() {
    let sound = ["i1532", "pi_release"].map(recording_of).to_vec();
    let all: RangeInclusive<u64> = 0..=u64::MAX;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fuzz.rec");
    fuzz("recording", 2, sound, &["\0\0\0\0", "\u{7f}\u{7f}\u{7f}\u{7f}"], |bytes| {
        std::fs::write(&path, bytes).expect("writable");
        let (read, stored) = (umpire_record::read(bytes, all.clone()), Stored::open(&path, all.clone()));
        assert_eq!(read.is_ok(), stored.is_ok(), "{:?} and {:?}", read.err(), stored.err());
        let (Ok(recording), Ok(mut stored)) = (read, stored) else { return };
        let records = stored.fold(
            |_| Vec::new(),
            |records, _, seen| {
                if let Seen::Record(record) = seen {
                    records.push(*record);
                }
            },
        );
        assert!(records == recording.records && stored.told().damage == recording.damage);
        drop(umpire_record::svg(&recording, all.clone()));
        drop(umpire_record::perfetto(&recording));
        let (recorded, mut rows) = (Recorded::new("fuzz", &recording), Vec::new());
        let mut output = Output { to: &mut rows, style: Style::Json, requires_clean: false };
        drop(Session::new(&recorded, false).run(ASKED_OF_A_RECORDING, &mut output));
    });
}

/// Every command that reads a recording.
const ASKED_OF_A_RECORDING: &str = "::status; ::at; ::at begin; ::cpuinfo -v; ::at end; ::thread; ::threadlist; ::umpire; ::events -n 99; \
     ::events -k arg; ::walk cpu | ::walk cpu_dispq | ::events -c 0";

fn first_variant(id: &str) -> String {
    let scenario = umpire_scenario::load(id).unwrap_or_else(|e| panic!("{e}"));
    scenario.variants[0].name.clone()
}

#[test]
fn cores() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().display().to_string();
    let variant = first_variant("i1532");
    umpire(&["run", "i1532", "--sim", "--run", "20ms", "--variant", &variant, "--core-on", "end", &dir]);
    let written = std::fs::read_dir(folder.path()).expect("a folder").flatten().next().expect("a core");
    let sound = vec![std::fs::read(written.path()).expect("readable")];
    let layout = Arc::new(Layout::from_elf(&GUEST_IMAGE).expect("the built-in image has a layout"));
    let symbols = Arc::new(Symbols::from_elf(&GUEST_IMAGE).expect("the built-in image has symbols"));
    let path = folder.path().join("fuzz");
    let needs =
        Needs { runners: true, owners: true, taskqs: true, memory: true, streams: true, ..Needs::NOTHING };
    fuzz("core", 20, sound, &["\u{7f}ELF", "CORE\0", "UMPIRE\0", "\"root\":null"], |bytes| {
        std::fs::File::create(&path).and_then(|mut file| file.write_all(bytes)).expect("writable");
        let Ok(core) = CoreFile::open(&path, Arc::clone(&layout), Arc::clone(&symbols)) else { return };
        let glass = Arc::new(Glass::new(&core as &dyn Target));
        drop(Sampler::once(Arc::clone(&glass), needs));
        drop(glass.thread_names());
    });
}

#[test]
fn lines_for_the_debugger() {
    let lines = [
        "::cpuinfo -v",
        "::walk thread | ::print kthread_t t_pri t_epri",
        "kpreemptpri/W 0t99",
        "ffff8000 + (3 * 4) % 2 ::print -ta cpu_t",
        "*(cpu_list)/20X",
        "::stacks -m unix | ::grep '.>0' | ::map 'x+1'",
        "<dot=K;0t10=E",
        "a::b::c | ! cat",
        "$<macro",
        "::echo \"a\\n\" 'b'",
        ".::whatis -v",
        "lbolt::array int 4 | /D",
        "0x10,5?i",
        "thread::findstack -v ! grep x",
    ];
    let sound = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    let words = [
        "::",
        "|",
        "/",
        "\\",
        "*",
        "((((((((",
        "))))",
        "0t",
        "0i",
        "#",
        ",",
        "'",
        "\"",
        "!",
        "<",
        "$",
        "18446744073709551616",
        "%%",
        "~-",
    ];
    fuzz("mdb", 1, sound, &words, |bytes| drop(umpire_mdb::lang::parse(&String::from_utf8_lossy(bytes))));
}

#[test]
fn frames_of_the_attach_socket() {
    let frame = |json: &str| [&(json.len() as u32).to_le_bytes()[..], json.as_bytes()].concat();
    let sound = [
        r#"{"hello":{"version":1,"writable":false}}"#,
        r#""clocks""#,
        r#"{"registers":{"cpu":0}}"#,
        r#"{"standing":{"cpu":0,"kick":false}}"#,
        r#"{"stop":{"cpu":null}}"#,
        r#"{"write":{"what":"kpreemptpri","addr":1,"bytes":4,"value":99}}"#,
        r#"{"refused":{"why":"..."}}"#,
    ];
    let sound = sound.iter().map(|json| frame(json)).collect();
    let words = ["null", "-1", "{", "[[[[[[", "\"cpu\":18446744073709551616", "\u{7f}\u{7f}\u{7f}\u{7f}"];
    fuzz("frame", 1, sound, &words, |bytes| {
        drop(wire::receive::<Request>(bytes, 16 << 10));
        drop(wire::receive::<Reply>(bytes, 8 << 20));
    });
}
