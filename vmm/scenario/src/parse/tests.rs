//! Scenario files, good, bad and hostile.
//!
//! # Invariants
//! - Each bad file is a good one with one thing changed, so that a message can only be about that thing.

use umpire_shared::program::{Program, class};
use umpire_shared::work::locks::{RwHow, RwMix};
use umpire_shared::work::network::{SoftRing, Squeue};
use umpire_shared::work::{IntrRef, ThreadRef};
use umpire_shared::{tunable, unpack_name};

use crate::builtin::BUILTIN;
use crate::{Expect, Scenario, ScenarioError, Tracing};

const GOOD: &str = r#"id = "a"
title = "A"
source = "test"
run = "2s"
set = { hz = 100 }

[[thread]]
name = "ring"
class = "SYS"
pri = 99
cpu = 1
work = { soft_ring = { source = "nic0", sink = "sink/1" } }

[[thread]]
name = "sink"
class = "SYS"
pri = 60
count = 2
work = "squeue"

[[interrupt]]
name = "nic0"
cpu = 0
pil = 6
rate_hz = 1000

[[bound]]
monitor = "starvation"
threads = "pri >= 99"
limit = "50ms"

[[variant]]
name = "v"
mutants = []
expect = "held"
thread = { ring = { class = "TS", pri = 10, work = "spin" } }
"#;

fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse(text, "s.toml")
}

/// The message for the good file with `from` replaced.
fn message(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from} is not in the good file");
    match parse(&GOOD.replacen(from, to, 1)) {
        Ok(_) => panic!("accepted {to} for {from}"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn good_file_gives_its_threads_interrupts_and_variant() {
    let scenario = parse(GOOD).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((scenario.cpus, scenario.run_ns, scenario.sample_hz), (2, 2_000_000_000, 1000));
    let [variant] = scenario.variants.as_slice() else { panic!("one variant") };
    let names: Vec<&str> = variant.threads.iter().map(|t| unpack_name(&t.name)).collect();
    assert_eq!(names, ["ring", "sink/0", "sink/1"]);
    let ring = &variant.threads[0];
    assert_eq!((ring.class, ring.pri, ring.cpu, ring.lwp), (class::TS, 10, 1, true));
    assert_eq!(variant.threads[1].work, Squeue::defaults().into());
    assert!(!variant.threads[1].lwp && variant.threads[1].cpu == -1);
}

#[test]
fn thread_and_interrupt_names_become_their_places() {
    let start = GOOD.find("thread = { ring").expect("in the good file");
    let scenario = parse(&GOOD[..start]).unwrap_or_else(|e| panic!("{e}"));
    let ring = SoftRing { sink: Some(ThreadRef(2)), ..SoftRing::defaults(IntrRef(0)) };
    assert_eq!(scenario.variants[0].threads[0].work, ring.into());
    let alone = GOOD[..start].replacen(", sink = \"sink/1\"", "", 1);
    let scenario = parse(&alone).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(scenario.variants[0].threads[0].work, SoftRing { sink: None, ..ring }.into());
}

#[test]
fn lock_mode_is_not_taken_for_user_mode() {
    let text = GOOD.replacen("work = \"spin\"", "lwp = false, work = { rw_mix = { mode = \"writer\" } }", 1);
    let scenario = parse(&text).unwrap_or_else(|e| panic!("{e}"));
    let ring = &scenario.variants[0].threads[0];
    let writer = RwMix { mode: RwHow::Writer, ..RwMix::defaults() };
    assert_eq!((ring.work, ring.lwp), (writer.into(), false));
}

#[test]
fn file_without_variants_has_one_that_expects_held() {
    let start = GOOD.find("[[variant]]").expect("in the good file");
    let scenario = parse(&GOOD[..start]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(scenario.variants.len(), 1);
    assert_eq!((scenario.variants[0].name.as_str(), scenario.variants[0].expect), ("default", Expect::Held));
}

#[test]
fn misspelt_tunable_shows_place_nearest_and_choices() {
    let expected = "\
s.toml:5:9: unknown tunable `kpremptpri`; did you mean `kpreemptpri`?
  |
5 | set = { kpremptpri = 100 }
  |         ^^^^^^^^^^
  = expected one of: hz, kpreemptpri, kpqpri, upreemptpri, ";

    let found = message("hz = 100", "kpremptpri = 100");

    assert!(found.starts_with(expected), "{found}");
    assert!(found.ends_with(&format!("... ({} in all)", tunable::COUNT)), "{found}");
}

#[test]
fn priority_outside_its_class_shows_the_range() {
    let expected = "\
s.toml:10:7: `pri` must be from 60 to 99, found 59
   |
10 | pri = 59
   |       ^^
   = class SYS has priorities 60 to 99";
    assert_eq!(message("pri = 99", "pri = 59"), expected);
}

#[test]
fn script_of_a_variant_comes_before_the_scenarios_and_crosses_to_the_kernel() {
    let with = |scenario: &str, variant: &str| {
        let text = GOOD.replacen("set = {", &format!("{scenario}\nset = {{"), 1);
        let text = text.replacen("mutants = []", variant, 1);
        let scenario = parse(&text).unwrap_or_else(|e| panic!("{e}"));
        let variant = &scenario.variants[0];
        let program = variant.program(&scenario, Tracing::Off);
        let header = *Program::decode(&program).expect("a program decodes").header();
        assert_eq!((variant.script.class, variant.script.pri), (header.script_class, header.script_pri));
        assert_eq!(variant.console, header.console);
        (header.script_class, header.script_pri, header.console)
    };
    let rt = "script = { class = \"RT\", pri = 20 }";
    let ts = "script = { class = \"TS\", pri = 59 }";
    assert_eq!(with("", ""), (class::SYS, 99, false));
    assert_eq!(with(rt, ""), (class::RT, 20, false));
    assert_eq!(with(rt, ts), (class::TS, 59, false));
    assert_eq!(with("console = true", &format!("console = false\n{ts}")), (class::TS, 59, false));
}

#[test]
fn every_mistake_points_to_its_line_and_says_what_is_right() {
    let cases = [
        ("id = \"a\"", "id = \"A b\"", "s.toml:1:6: an ID has lower-case letters"),
        ("id = \"a\"\n", "", "needs the field `id`"),
        ("run = \"2s\"", "run = \"2 seconds\"", "s.toml:4:7: `run`: expected a duration"),
        ("run = \"2s\"", "run = 2", "expected a duration string like \"500ms\" for `run`, found an integer"),
        ("run = \"2s\"", "run = \"2ns\"", "`run` must be from 1ms to 3600s"),
        (
            "run = \"2s\"",
            "run = \"2s\"\nsamplehz = 1",
            "s.toml:5:1: a scenario has no field `samplehz`; did you mean `sample_hz`?",
        ),
        ("run = \"2s\"", "run = \"2s\"\ncpus = 17", "`cpus` must be from 1 to 16, found 17"),
        ("run = \"2s\"", "run = \"2s\"\ncpus = 1", "s.toml:12:7: `cpu` must be from 0 to 0, found 1"),
        ("hz = 100", "hz = 5", "`hz` must be from 10 to 10000, found 5"),
        ("hz = 100", "hz = \"100\"", "expected a whole number for `hz`, found a string"),
        ("hz = 100", "hz = 99999999999999999999", "`hz` must be from 10 to 10000"),
        (
            "name = \"ring\"",
            "nmae = \"ring\"",
            "s.toml:8:1: [[thread]] has no field `nmae`; did you mean `name`?",
        ),
        ("name = \"ring\"", "name = \"sink\"", "two of the [[thread]] tables are named `sink`"),
        ("name = \"ring\"", "name = \"a b\"", "s.toml:8:8: a name has 1 to 31 printable ASCII characters"),
        ("name = \"sink\"", "name = \"a-name-that-has-30-characters-\"", "is too long for a thread's name"),
        ("class = \"SYS\"", "class = \"SYSS\"", "s.toml:9:9: unknown class `SYSS`; did you mean `SYS`?"),
        ("work = \"squeue\"", "work = \"sqeue\"", "unknown workload `sqeue`; did you mean `squeue`?"),
        ("work = \"squeue\"", "work = \"soft_ring\"", "workload `soft_ring` needs the parameter `source`"),
        (
            "work = \"squeue\"",
            "work = { squeue = { cost = 1 } }",
            "has no parameter `cost`; did you mean `cost_us`?",
        ),
        (
            "work = \"squeue\"",
            "work = { squeue = { cost_us = -1 } }",
            "`cost_us` must be from 0 to 1000000, found -1",
        ),
        ("work = \"squeue\"", "work = { squeue = {}, spin = {} }", "`work` must name one workload, found 2"),
        (
            "work = \"spin\"",
            "lwp = false, work = { spin = { mode = \"user\" } }",
            "needs a thread with an LWP",
        ),
        (
            "work = \"spin\"",
            "work = { pingpong = { peer = \"sink/0\" } }",
            "must be another thread that runs pingpong",
        ),
        (
            "source = \"nic0\"",
            "source = \"nic1\"",
            "s.toml:12:33: unknown interrupt `nic1`; did you mean `nic0`?",
        ),
        ("sink = \"sink/1\"", "sink = \"sink/2\"", "unknown thread `sink/2`; did you mean `sink/"),
        ("sink = \"sink/1\"", "sink = \"ring\"", "must be another thread that runs squeue or soft_ring"),
        ("count = 2", "count = 0", "`count` must be from 1 to 16384, found 0"),
        ("count = 2", "count = 16384", "a scenario has 1 to 16384 threads, found 16385"),
        ("pil = 6", "pil = 16", "`pil` must be from 1 to 15, found 16"),
        ("pil = 6", "pil = 6.5", "expected a whole number for `pil`, found a float"),
        (
            "monitor = \"starvation\"",
            "monitor = \"starving\"",
            "unknown monitor `starving`; did you mean `starvation`?",
        ),
        ("monitor = \"starvation\"", "monitor = \"deadman\"", "the monitor `deadman` watches no threads"),
        ("threads = \"pri >= 99\"", "threads = \"prio >= 99\"", "s.toml:29:12: "),
        (
            "mutants = []",
            "mutants = [\"clock_stop\"]",
            "unknown mutant `clock_stop`; did you mean `clock_stops`?",
        ),
        ("mutants = []", "mutants = \"clock_stops\"", "expected an array for `mutants`, found a string"),
        ("expect = \"held\"", "expect = \"hold\"", "unknown expectation `hold`; did you mean `held`?"),
        (
            "expect = \"held\"",
            "expect = \"held\"\nguest_deadman = \"loud\"",
            "unknown state of the deadman `loud`",
        ),
        ("set = { hz", "script = { class = \"RT\" }\nset = { hz", "needs the field `pri`"),
        (
            "set = { hz",
            "script = { class = \"RT\", pri = 60 }\nset = { hz",
            "`pri` must be from 0 to 59, found 60",
        ),
        (
            "set = { hz",
            "script = { class = \"SDC\", pri = 1 }\nset = { hz",
            "s.toml:5:20: unknown class `SDC`",
        ),
        (
            "set = { hz",
            "script = { class = \"RT\", pri = 1, nice = 2 }\nset = { hz",
            "`script` has no field `nice`",
        ),
        (
            "set = { hz",
            "console = true\nscript = { class = \"RT\", pri = 1 }\nset = { hz",
            "s.toml:6:1: a console acts above every class, so `script` means nothing",
        ),
        (
            "mutants = []",
            "mutants = []\nscript = { class = \"SYS\", pri = 59 }",
            "`pri` must be from 60 to 99, found 59",
        ),
        ("thread = { ring", "thread = { rang", "unknown thread `rang`; did you mean `ring`?"),
        (
            "thread = { ring = {",
            "thread = { ring = { name = \"x\",",
            "a variant's thread has no field `name`",
        ),
        ("pri = 10", "pri = 60", "`pri` must be from 0 to 59, found 60"),
        ("[[interrupt]]", "[interrupt]", "expected an array for `interrupt`, found a table"),
        ("[[thread]]", "[[thread]", "s.toml:7:10: not valid TOML: "),
    ];
    for (from, to, expected) in cases {
        let found = message(from, to);
        assert!(found.contains(expected), "for {to}:\n{found}\nexpected: {expected}");
        assert!(
            found.lines().any(|line| line.trim_start().starts_with("| ") && line.contains('^')),
            "{found}"
        );
    }
}

#[test]
fn file_without_bounds_may_only_expect_a_panic() {
    let bound = GOOD.find("[[bound]]").expect("in the good file")
        ..GOOD.find("[[variant]]").expect("in the good file");
    let mut text = GOOD.to_owned();
    text.replace_range(bound, "");
    assert!(parse(&text).expect_err("no bound").to_string().contains("needs a [[bound]]"));
    assert!(parse(&text.replacen("\"held\"", "\"panic\"", 1)).is_ok());
}

#[test]
fn more_interrupts_than_a_cpu_takes_are_refused() {
    let more: String = (0..16)
        .map(|n| format!("[[interrupt]]\nname = \"i{n}\"\ncpu = 0\npil = 5\nrate_hz = 10\n"))
        .collect();
    let error = parse(&GOOD.replacen("[[bound]]", &format!("{more}[[bound]]"), 1))
        .expect_err("17 of them")
        .to_string();
    assert!(error.contains("one CPU takes at most 16 interrupts, found 17"), "{error}");
}

#[test]
fn two_variants_of_one_name_are_refused() {
    let variant = &GOOD[GOOD.find("[[variant]]").expect("in the good file")..];
    let error = parse(&format!("{GOOD}{variant}")).expect_err("twice").to_string();
    assert!(error.contains("two of the [[variant]] tables are named `v`"), "{error}");
}

/// A small generator of the xorshift family: the same bytes on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

/// Every file that is accepted encodes; every other one gives a message that points into it.
fn survives(bytes: &[u8]) {
    match Scenario::parse_bytes(bytes, "fuzz.toml") {
        Ok(scenario) => {
            for variant in &scenario.variants {
                let program = variant.program(&scenario, Tracing::On);
                assert!(umpire_shared::program::Program::decode(&program).is_some());
            }
        }
        Err(ScenarioError::Fault(fault)) => {
            let lines = 2 + bytes.iter().filter(|byte| **byte == b'\n').count();
            assert!(fault.line >= 1 && fault.line <= lines && fault.column >= 1, "{fault}");
            assert!(!fault.to_string().contains('\u{1b}'));
        }
        Err(e) => panic!("text cannot fail like this: {e}"),
    }
}

#[test]
fn mutated_files_never_panic() {
    let mut dice = Dice(0x1532);
    let pieces = [
        "\"",
        "[",
        "]]",
        "{",
        "}",
        "=",
        "\n",
        ",",
        "-",
        "9",
        "\u{1b}",
        "é",
        "'''",
        "\"\"\"",
        "[[thread]]\n",
        "0x",
        ".",
    ];
    for round in 0..6000 {
        // Every other one is the file that has every key in it.
        let builtin = BUILTIN[round / 2 % BUILTIN.len()].text;
        let text = if round % 2 == 0 { super::machine_tests::GOOD } else { builtin };
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(bytes.len());
            let end = (at + dice.roll(24)).min(bytes.len());
            match dice.roll(5) {
                0 => bytes[at] = dice.roll(256) as u8,
                1 => bytes.truncate(at.max(1)),
                2 => drop(bytes.drain(at..end).collect::<Vec<u8>>()),
                3 => drop(bytes.splice(at..at, pieces[dice.roll(pieces.len())].bytes())),
                _ => {
                    let copy = bytes[at..end].to_vec();
                    let to = dice.roll(bytes.len());
                    drop(bytes.splice(to..to, copy));
                }
            }
            if bytes.is_empty() {
                bytes.push(b'x');
            }
        }
        survives(&bytes);
    }
}

#[test]
fn hostile_files_end_with_a_message() {
    survives(b"");
    survives(&[0xff; 64]);
    survives("[".repeat(100_000).as_bytes());
    survives(format!("x = {}", "[".repeat(50_000)).as_bytes());
    survives(format!("x = {}1", "{ a = ".repeat(50_000)).as_bytes());
    survives(format!("a{} = 1", ".a".repeat(50_000)).as_bytes());
    survives("\u{feff}id = 1".as_bytes());
}
