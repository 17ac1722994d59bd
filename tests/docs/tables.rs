//! Tables of SPECIFICATION.md against the tables of the source.
//!
//! # Invariants
//! - The tests compare with the libraries' public tables or with what the program prints, not with a second copy.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use umpire_cli::bench::Bench;
use umpire_cli::{Backends, Exit, main_with};
use umpire_referee::bench::{BenchRow, Better};
use umpire_referee::{
    BoundReport, CountReport, EventReport, Look, RunError, RunOptions, StallReport, VariantReport,
};
use umpire_scenario::{Scenario, Variant, load};
use umpire_shared::event::Kind as Probe;
use umpire_shared::mutant::{MUTANTS, Mutant, ShownBy};
use umpire_shared::tunable::{By, Read, TUNABLES};
use umpire_shared::work::{Kind, Param, WORKS};
use umpire_shared::{boot, program};
use umpire_watch::monitor::{Declaration, Excuse, MonitorKind};

use crate::markdown::{MARK, column, read, rows, write};

/// Held from the reading of the document to its writing.
static DOCUMENT: Mutex<()> = Mutex::new(());

/// A table as the source would write it, compared with the document, or written into it if that is asked for.
fn check(name: &str, head: &[&str], expected: &[Vec<String>]) {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|&h| h.to_owned()).collect();
    let mut table = line(&head) + "|" + &"---|".repeat(head.len()) + "\n";
    expected.iter().for_each(|row| table += &line(row));

    // Tables that are blessed at once are in one document.
    let _alone = DOCUMENT.lock().unwrap_or_else(PoisonError::into_inner);
    let text = read("SPECIFICATION.md");
    let mark = format!("{MARK}{name} -->\n");
    let (before, after) = text.split_once(&mark).unwrap_or_else(|| panic!("no table `{name}`"));
    let old: String = after.split_inclusive('\n').take_while(|l| l.starts_with('|')).collect();
    if std::env::var_os("UMPIRE_BLESS").is_some() {
        let new = format!("{before}{mark}{table}{}", &after[old.len()..]);
        write("SPECIFICATION.md", &new);
        return;
    }
    assert_eq!(
        old, table,
        "SPECIFICATION.md, table `{name}`: UMPIRE_BLESS=1 cargo test --test docs rewrites it"
    );
}

fn code(text: impl std::fmt::Display) -> String {
    format!("`{text}`")
}

#[test]
fn tables_derived_from_the_source_say_what_the_source_says() {
    // One test, so that a blessing writes one table after the other.
    let tunables: Vec<_> = TUNABLES
        .iter()
        .map(|t| {
            let read = match t.read {
                Read::Boot => "at boot",
                Read::Live => "live",
                Read::Derived(By::DispSetup) => "by disp_setup",
            };
            let [default, min, max] = [t.default, t.min, t.max].map(|n| n.to_string());
            vec![code(t.name), default, min, max, read.to_owned(), t.doc.to_owned()]
        })
        .collect();
    check("tunables", &["name", "default", "min", "max", "read", "what it does"], &tunables);

    let works: Vec<_> = WORKS.iter().map(|w| vec![code(w.name), w.doc.to_owned()]).collect();
    check("workloads", &["name", "what a thread that runs it does"], &works);

    let params = WORKS.iter().flat_map(|w| w.params.iter().map(|p| parameter(w.name, p)));
    check(
        "parameters",
        &["workload", "parameter", "takes", "default", "meaning"],
        &params.collect::<Vec<_>>(),
    );

    let mutants = |shown: fn(&Mutant) -> Option<&'static str>| -> Vec<_> {
        let row = |m: &Mutant| Some(vec![code(m.name), code(shown(m)?), m.breaks.to_owned()]);
        MUTANTS.iter().filter_map(row).collect()
    };
    let caught = mutants(|m| if let ShownBy::Monitor(monitor) = m.shown_by { Some(monitor) } else { None });
    check("mutants", &["name", "caught by", "what the kernel then does wrong"], &caught);
    let twins = mutants(|m| if let ShownBy::Scenario(id) = m.shown_by { Some(id) } else { None });
    check("twins", &["name", "shown by", "what the kernel then does wrong"], &twins);
    let tested = mutants(|m| if let ShownBy::Test(_, test) = m.shown_by { Some(test) } else { None });
    check("tested mutants", &["name", "shown by", "what the kernel then does wrong"], &tested);

    let monitors: Vec<_> = MonitorKind::ALL.iter().map(|kind| monitor(kind.declaration())).collect();
    check(
        "monitors",
        &[
            "monitor",
            "the bound is broken when",
            "charged with",
            "what it judges",
            "`threads`",
            "excuses",
            "standing",
        ],
        &monitors,
    );

    let excuses: Vec<_> = Excuse::ALL.iter().map(|e| vec![code(e.name()), e.why().to_owned()]).collect();
    check("excuses", &["excuse", "why a monitor does not accuse"], &excuses);
}

fn monitor(declared: &Declaration) -> Vec<String> {
    let excuses: Vec<_> = declared.excuses.iter().map(|excuse| code(excuse.name())).collect();
    let threads = if declared.takes_threads { "yes" } else { "no" };
    let [broken, charged, judges] =
        [declared.broken_when, declared.charged_with, declared.judges].map(str::to_owned);
    let standing = declared.standing_ms.map_or_else(String::new, |ms| code(format!("{ms}ms")));
    vec![code(declared.name), broken, charged, judges, threads.to_owned(), excuses.join(", "), standing]
}

fn parameter(work: &str, param: &Param) -> Vec<String> {
    let takes = match param.kind {
        Kind::Number(min, max) => format!("{min} to {max}"),
        Kind::Choice(words) => words.iter().map(code).collect::<Vec<_>>().join(", "),
        Kind::Thread => "the name of a thread".to_owned(),
        Kind::Interrupt => "the name of an interrupt".to_owned(),
        Kind::Taskq => "the name of a task queue, or `system_taskq`".to_owned(),
        Kind::Stream => "the name of a stream".to_owned(),
    };
    let default = match param.kind {
        _ if param.required => "required".to_owned(),
        Kind::Choice(words) => code(words[param.default as usize]),
        Kind::Thread | Kind::Interrupt | Kind::Taskq | Kind::Stream => "nobody".to_owned(),
        Kind::Number(..) => param.default.to_string(),
    };
    vec![code(work), code(param.name), takes, default, param.doc.to_owned()]
}

#[test]
fn exit_codes_are_those_of_the_program() {
    let codes = [
        Exit::Pass,
        Exit::Failed,
        Exit::Usage,
        Exit::GuestDied,
        Exit::Inconclusive,
        Exit::HungUp,
        Exit::Interrupted,
        Exit::Terminated,
    ];
    let expected: Vec<_> =
        codes.iter().map(|&exit| vec![(exit as u8).to_string(), format!("{exit:?}")]).collect();

    let found: Vec<_> = rows("exit codes").iter().map(|row| row[..2].to_vec()).collect();
    assert_eq!(found, expected);
    let readme = read("README.md");
    for row in rows("exit codes") {
        assert!(
            readme.contains(&format!("| {} | {}", row[0], row[2])),
            "README.md says the same of {}",
            row[0]
        );
    }
}

#[test]
fn probes_are_those_of_the_event_format() {
    let names: Vec<_> = (1..).map_while(Probe::from_number).map(|kind| kind.name().to_owned()).collect();

    assert_eq!(column("probes", 0), names);
}

#[test]
fn memory_map_has_the_constants_of_the_boot_block() {
    let constants = [
        ("", 0),
        ("BOOT_BLOCK", boot::BOOT_BLOCK),
        ("GDT", boot::GDT),
        ("TSS", boot::TSS),
        ("IDT", boot::IDT),
        ("GATE_BLOCKS", boot::GATE_BLOCKS),
        ("EPITAPH", boot::EPITAPH),
        ("PAGE_TABLES", boot::PAGE_TABLES),
        ("IMAGE", boot::IMAGE),
        ("DOORBELL", boot::DOORBELL),
        ("LAPIC", boot::LAPIC),
    ];
    let expected: Vec<_> =
        constants.iter().map(|&(name, address)| (format!("{address:#010x}"), name.to_owned())).collect();

    let found: Vec<_> = column("memory map", 0).into_iter().zip(column("memory map", 1)).collect();
    assert_eq!(found, expected);
}

#[test]
fn classes_are_those_of_the_scenario_program() {
    let row =
        rows("keys of a thread").into_iter().find(|row| row[0] == "`class`").expect("a row for the class");

    assert_eq!(row[2], program::class::NAMES.iter().map(code).collect::<Vec<_>>().join(", "));
}

#[test]
fn json_keys_are_those_that_are_printed() {
    let run = said(&["run", "i1532", "--sim", "--variant", "kpreemptpri=99", "--json"]);
    let run: serde_json::Value = serde_json::from_str(&run).expect("a JSON object");
    for (name, value) in [
        ("umpire.run/1", &run),
        ("bounds of umpire.run/1", &run["bounds"][0]),
        ("events of umpire.run/1", &run["events"][0]),
    ] {
        assert_eq!(keys(value), column(name, 0).into_iter().collect(), "{name}");
    }
    let repeat = said(&["run", "i1532", "--variant", "kpreemptpri=99", "--repeat", "2", "--json"]);
    let last = repeat.lines().last().and_then(|line| serde_json::from_str(line).ok());
    let last: serde_json::Value = last.expect("a JSON object");
    assert_eq!(last["runs"], 2);
    assert_eq!(keys(&last), column("umpire.repeat/1", 0).into_iter().collect());
    for (name, command) in
        [("umpire.list/1", "list"), ("umpire.doctor/1", "doctor"), ("umpire.bench/1", "bench")]
    {
        let text = said(&[command, "--json"]);
        let line = text.lines().next().unwrap_or_else(|| panic!("{command} prints nothing"));
        let value: serde_json::Value = serde_json::from_str(line).expect("a JSON object");
        assert_eq!(value["schema"], name);
        assert_eq!(keys(&value), column(name, 0).into_iter().collect(), "{name}");
    }
}

#[test]
fn json_keys_of_a_recording_are_those_that_are_printed() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("run.rec").to_string_lossy().into_owned();
    let program = env!("CARGO_BIN_EXE_umpire");
    let run = ["run", "i1532", "--sim", "--run", "100ms", "--variant", "kpreemptpri=99", "--record", &path];
    let run = std::process::Command::new(program).args(run).output().expect("the program starts");
    // So short a run judges nothing, which is another test's business.
    assert_eq!(
        run.status.code(),
        Some(Exit::Inconclusive as i32),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    for (name, arguments) in [
        ("umpire.event/1", &["events", &path, "--json"][..]),
        ("umpire.events/1", &["events", &path, "--by", "thread,probe,cpu,pri,arg", "--json"]),
        ("umpire.latency/1", &["latency", &path, "--json"]),
        ("umpire.why/1", &["why", &path, "--json"]),
        ("umpire.divergence/1", &["compare", &path, &path, "--json"]),
        ("umpire.compare/1", &["compare", &path, &path, "--json"]),
    ] {
        let text = said(arguments);
        let line = text.lines().find(|line| line.contains(name));
        let line = line.unwrap_or_else(|| panic!("{arguments:?} prints no {name}"));
        let value: serde_json::Value = serde_json::from_str(line).expect("a JSON object");
        assert_eq!(value["schema"], name);
        assert_eq!(keys(&value), column(name, 0).into_iter().collect(), "{name}");
    }
}

#[test]
fn json_keys_of_vms_are_those_that_are_printed() {
    if File::options().write(true).open("/dev/kvm").is_err() {
        println!("SKIPPED: there is no KVM on this host");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for the test");
    let umpire = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_umpire"));
        command.args(arguments).env("XDG_RUNTIME_DIR", folder.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    };
    let mut run = umpire(&["run", "healthy", "--hold", "start"]);
    let told = BufReader::new(run.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!({ told }.any(|line| line.contains(": held")), "it is held");
    for (name, arguments) in
        [("umpire.ps/1", &["ps", "--json"][..]), ("umpire.gdb/1", &["gdb", "healthy", "--json"])]
    {
        let mut said = umpire(arguments);
        let line = BufReader::new(said.stdout.take().expect("a pipe")).lines().next();
        let line = line.unwrap_or_else(|| panic!("{arguments:?} prints nothing")).expect("text");
        // Who serves gdb goes on.
        let _ended = said.kill();
        said.wait().expect("it ends");
        let value: serde_json::Value = serde_json::from_str(&line).expect("a JSON object");
        assert_eq!(value["schema"], name);
        assert_eq!(keys(&value), column(name, 0).into_iter().collect(), "{name}");
    }
    run.kill().expect("it runs");
    run.wait().expect("it ends");
}

#[test]
fn every_checked_table_has_a_test() {
    let sources: String = ["tables", "keys", "monitor", "schemas"]
        .iter()
        .map(|name| read(format!("tests/docs/{name}.rs")))
        .collect();
    for line in read("SPECIFICATION.md").lines() {
        let Some(name) = line.strip_prefix(MARK).and_then(|rest| rest.strip_suffix(" -->")) else { continue };
        assert!(sources.contains(&format!("\"{name}\"")), "no test asks for the table `{name}`");
    }
}

fn keys(value: &serde_json::Value) -> BTreeSet<String> {
    value.as_object().expect("a JSON object").keys().cloned().collect()
}

/// What a command prints on stdout, with backends that have seen one bound hold.
fn said(arguments: &[&str]) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let bench: Box<Bench<'_>> = Box::new(|_, each| {
        let (what, note) = ("a thing".to_owned(), "none".to_owned());
        each(BenchRow { what, value: 1.0, goal: 2.0, unit: "ns", better: Better::Less, note });
        Ok(())
    });
    let inspect = Box::new(|s: &Scenario, v: &Variant, o: &RunOptions, _, _: &mut Look<'_>| seen(s, v, o));
    let backends = Backends { kvm: Box::new(seen), sim: Box::new(seen), inspect, bench };
    let arguments = ["umpire"].into_iter().chain(arguments.iter().copied());
    main_with(arguments, backends, &mut out, &mut err);
    String::from_utf8(out).expect("the program prints text")
}

fn seen(
    scenario: &umpire_scenario::Scenario,
    variant: &umpire_scenario::Variant,
    options: &RunOptions,
) -> Result<VariantReport, RunError> {
    let mut report = VariantReport::nothing(scenario, variant, options);
    report.bounds = vec![BoundReport {
        monitor: "runq".to_owned(),
        thread: None,
        limit_ns: 0,
        worst_ns: 0,
        held: true,
        detect_after_ns: None,
        judged_ns: 1,
        judged_count: 1,
        unjudged: None,
        weak: Some("coarse".to_owned()),
        records: Some(CountReport { limit: 0, worst: 0 }),
        says: Vec::new(),
    }];
    let (event, expect) = ("pause".to_owned(), "ok".to_owned());
    let (began_ns, ended_ns, result, met) = (None, None, None, None);
    report.stalled = vec![StallReport { monitor: "progress".to_owned(), whys: Vec::new() }];
    report.events = vec![EventReport { event, at_ns: 1, began_ns, ended_ns, expect, result, met }];
    Ok(report)
}

#[test]
fn what_shows_a_mutant_exists() {
    for mutant in MUTANTS {
        match mutant.shown_by {
            ShownBy::Monitor(_) => drop(load(mutant.name).unwrap_or_else(|e| panic!("{e}"))),
            ShownBy::Scenario(id) => drop(load(id).unwrap_or_else(|e| panic!("{e}"))),
            ShownBy::Test(file, test) => {
                let source = read(format!("guest/sim/tests/sim/{file}.rs"));
                let id = format!("mutant::{}", mutant.name.to_uppercase());
                let is_there = source.contains(&format!("fn {test}()")) && source.contains(&id);
                assert!(is_there, "{}: no test {test} in {file}.rs, or it does not set {id}", mutant.name);
            }
        }
    }
}
