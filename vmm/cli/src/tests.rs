//! The command line end to end, with backends that answer from a script.
//!
//! # Invariants
//! - No test here touches KVM, the simulator or the network.

use std::cell::RefCell;
use std::fs;

use super::{Backends, Exit, main_with};
use umpire_referee::{Look, Observed, Outcome, RunError, RunOptions, VariantReport};
use umpire_scenario::{Expect, Scenario, Variant};

/// What a command said and how it ended.
struct Said {
    exit: Exit,
    out: String,
    err: String,
}

type Answer<'a> = &'a dyn Fn(&Scenario, &Variant, &RunOptions) -> Result<VariantReport, RunError>;

fn umpire(arguments: &[&str], answer: Answer<'_>) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let inspect = Box::new(|s: &Scenario, v: &Variant, o: &RunOptions, _, _: &mut Look<'_>| answer(s, v, o));
    let backends =
        Backends { kvm: Box::new(answer), sim: Box::new(answer), inspect, bench: Box::new(|_, _| Ok(())) };
    let arguments = std::iter::once("umpire").chain(arguments.iter().copied());
    let exit = main_with(arguments, backends, &mut out, &mut err);
    Said {
        exit,
        out: String::from_utf8_lossy(&out).into_owned(),
        err: String::from_utf8_lossy(&err).into_owned(),
    }
}

/// The honest answer: what the variant's expectation says happens.
fn as_expected(s: &Scenario, v: &Variant, o: &RunOptions) -> Result<VariantReport, RunError> {
    let observed = match v.expect {
        Expect::Violated => Observed::Violated,
        Expect::Held => Observed::Held,
        Expect::Panic => Observed::Panic,
    };
    Ok(VariantReport { observed, outcome: Outcome::Pass, ..VariantReport::nothing(s, v, o) })
}

/// What a kernel that obeys `kpreemptpri` shows under the variant's tunables.
fn by_tunable(s: &Scenario, v: &Variant, o: &RunOptions) -> Result<VariantReport, RunError> {
    let starves = v.tunables[umpire_shared::tunable::KPREEMPTPRI] > 99;
    let observed = if starves { Observed::Violated } else { Observed::Held };
    let outcome = if observed.meets(v.expect) { Outcome::Pass } else { Outcome::Fail };
    Ok(VariantReport { observed, outcome, ..VariantReport::nothing(s, v, o) })
}

fn never(_: &Scenario, _: &Variant, _: &RunOptions) -> Result<VariantReport, RunError> {
    panic!("nothing was to be run")
}

#[test]
fn umpire_alone_shows_three_examples_and_succeeds() {
    let said = umpire(&[], &never);
    assert_eq!((said.exit, said.out.matches("\n  umpire run").count()), (Exit::Pass, 3), "{}", said.out);
    assert!(said.err.is_empty());
}

#[test]
fn help_goes_to_stdout_and_succeeds() {
    let said = umpire(&["--help"], &never);
    assert_eq!(said.exit, Exit::Pass);
    assert!(said.out.starts_with("Examples:") && said.out.contains("Exit codes:"), "{}", said.out);
}

#[test]
fn unknown_option_is_a_usage_error_on_stderr() {
    let said = umpire(&["run", "--cpu", "3"], &never);
    assert_eq!(said.exit, Exit::Usage);
    assert!(said.out.is_empty() && said.err.contains("--cpus"), "{}", said.err);
}

#[test]
fn run_as_expected_exits_0_with_a_row_a_variant() {
    let said = umpire(&["run", "i1532"], &as_expected);
    assert_eq!(said.exit, Exit::Pass, "{}", said.err);
    assert_eq!(said.out.lines().filter(|line| line.starts_with("i1532  ")).count(), 6, "{}", said.out);
    assert!(said.err.contains("6 of 6 variants as expected"), "{}", said.err);
}

#[test]
fn run_without_id_runs_all_but_the_mutants() {
    let said = umpire(&["run", "--json"], &as_expected);
    let has = |id: &str| said.out.contains(&format!("\"scenario\":\"{id}\""));
    assert!(has("i1532") && has("healthy") && has("stuck_clock") && !has("clock_stops"), "{}", said.out);
}

#[test]
fn run_with_the_fix_taken_away_exits_1_and_says_how_to_repeat_it() {
    let arguments = ["run", "i1532", "--variant", "kpreemptpri=99", "--set", "kpreemptpri=100"];
    let said = umpire(&arguments, &by_tunable);
    assert_eq!(said.exit, Exit::Failed);
    let repeat = "  repeat: umpire run i1532 --variant kpreemptpri=99 --set kpreemptpri=100\n";
    assert!(said.out.contains(repeat), "{}", said.out);
}

#[test]
fn run_json_prints_one_object_a_variant_and_nothing_else() {
    let said = umpire(&["run", "i1532", "--json"], &as_expected);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), 6);
    for line in lines {
        let value: serde_json::Value = serde_json::from_str(line).expect("a JSON object");
        assert_eq!(value["schema"], "umpire.run/1");
        assert_eq!(value["scenario"], "i1532");
    }
}

#[test]
fn run_with_a_bad_file_among_good_ones_still_runs_the_good_ones_and_exits_2() {
    let folder = std::env::temp_dir().join(format!("umpire-cli-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for the test");
    let path = folder.join("bad.toml");
    fs::write(&path, "id = \"bad\"\nfoo = 1\n").expect("a file for the test");
    let said = umpire(&["run", "stuck_clock", &path.to_string_lossy(), "i1532"], &as_expected);
    fs::remove_dir_all(&folder).expect("the folder can go");
    assert_eq!(said.exit, Exit::Usage);
    assert!(said.err.contains("bad.toml:2:1: a scenario has no field `foo`"), "{}", said.err);
    assert!(said.out.contains("stuck_clock") && said.out.contains("i1532"), "{}", said.out);
}

#[test]
fn run_that_cannot_be_set_up_keeps_earlier_results_and_says_why_once() {
    let failing = |s: &Scenario, v: &Variant, o: &RunOptions| match v.name.as_str() {
        "kpreemptpri=100" => as_expected(s, v, o),
        _ => Err(RunError::SetUp("no /dev/kvm; load kvm_intel".into())),
    };
    let said = umpire(&["run", "i1532"], &failing);
    assert_eq!(said.exit, Exit::Usage);
    assert_eq!(said.err.matches("no /dev/kvm").count(), 1, "{}", said.err);
    assert!(said.out.contains("violated  violated  pass"), "{}", said.out);
    // What stopped two variants is not tried on the rest of the scenario.
    assert!(said.err.contains("1 of 6 variants as expected, 3 not run"), "{}", said.err);
}

#[test]
fn run_json_of_a_failure_says_on_stderr_why_and_how_to_repeat_it() {
    let said = umpire(&["run", "i1532", "--json", "--variant", "mode=user"], &by_tunable);
    assert_eq!((said.exit, said.out.lines().count()), (Exit::Failed, 1));
    assert!(said.err.contains("repeat: umpire run i1532 --variant mode=user\n"), "{}", said.err);
}

#[test]
fn run_interrupted_stops_after_that_report_and_exits_130() {
    let calls = RefCell::new(0);
    let interrupted = |s: &Scenario, v: &Variant, o: &RunOptions| {
        *calls.borrow_mut() += 1;
        as_expected(s, v, o).map(|report| VariantReport { interrupted: true, ..report })
    };
    let said = umpire(&["run"], &interrupted);
    assert_eq!((said.exit, *calls.borrow()), (Exit::Interrupted, 1));
    assert!(said.err.contains("interrupted"), "{}", said.err);
}

#[test]
fn exit_code_of_several_is_the_worst() {
    let mixed = |s: &Scenario, v: &Variant, o: &RunOptions| {
        let (outcome, observed) = match v.name.as_str() {
            "kpreemptpri=100" => (Outcome::Inconclusive, Observed::Held),
            "kpreemptpri=99" => (Outcome::Error, Observed::Panic),
            _ => (Outcome::Fail, Observed::Held),
        };
        as_expected(s, v, o).map(|report| VariantReport { outcome, observed, ..report })
    };
    assert_eq!(umpire(&["run", "i1532"], &mixed).exit, Exit::GuestDied);
    let order =
        [Exit::Pass, Exit::Inconclusive, Exit::Failed, Exit::GuestDied, Exit::Usage, Exit::Interrupted];
    for (n, worse) in order.iter().enumerate() {
        assert!(order[..n].iter().all(|exit| exit.worse(*worse) == *worse && worse.worse(*exit) == *worse));
    }
}

#[test]
fn sweep_of_seeds_shows_one_row_and_names_the_seeds_that_failed() {
    let third_fails = |s: &Scenario, v: &Variant, o: &RunOptions| {
        let outcome = if o.seed == Some(12) { Outcome::Fail } else { Outcome::Pass };
        as_expected(s, v, o).map(|report| VariantReport { outcome, ..report })
    };
    let arguments = ["run", "i1532", "--sim", "--seed", "10", "--seeds", "5", "--variant", "kpreemptpri=99"];
    let said = umpire(&arguments, &third_fails);
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.out.contains("fail 4/5") && said.out.contains("these did not: 12"), "{}", said.out);
    assert!(said.out.contains("--variant kpreemptpri=99 --sim --seed 12\n"), "{}", said.out);
}

#[test]
fn seed_without_sim_and_trace_of_many_runs_are_usage_errors() {
    assert_eq!(umpire(&["run", "i1532", "--seed", "3"], &never).exit, Exit::Usage);
    let last = u64::MAX.to_string();
    let said = umpire(&["run", "i1532", "--sim", "--seed", &last, "--seeds", "2"], &never);
    assert!(said.exit == Exit::Usage && said.err.contains("is too great for --seeds 2"), "{}", said.err);
    let said = umpire(&["run", "i1532", "--trace", "t.json"], &never);
    assert_eq!(said.exit, Exit::Usage);
    assert!(said.err.contains("--variant"), "{}", said.err);
}

#[test]
fn option_that_asks_for_several_runs_of_one_file_is_the_one_that_is_named() {
    let one = ["run", "i1532", "--variant", "kpreemptpri=99"];
    for (more, words) in [
        (&["--sim", "--seeds", "3"][..], "--seeds 3 asks for 3 runs"),
        (&["--repeat", "2"], "--repeat 2 asks for 2 runs"),
    ] {
        for option in ["--record", "--trace"] {
            let said = umpire(&[&one[..], more, &[option, "z.rec"]].concat(), &never);
            let is_told = said.err.contains(words) && said.err.contains(option);
            assert!(said.exit == Exit::Usage && is_told && !said.err.contains("--variant"), "{}", said.err);
        }
    }
}

#[test]
fn quiet_says_nothing_but_errors() {
    for more in [&[][..], &["--json"], &["--trace", "-", "--variant", "kpreemptpri=100"]] {
        let said = umpire(&[&["run", "i1532", "-q"], more].concat(), &as_expected);
        assert_eq!((said.exit, said.err.as_str()), (Exit::Pass, ""), "{more:?}");
        let said = umpire(&[&["run", "i1532", "-q", "--set", "kpreemptpri=100"], more].concat(), &by_tunable);
        assert_eq!(
            said.err.contains("repeat: "),
            said.exit == Exit::Failed && !more.is_empty(),
            "{}",
            said.err
        );
    }
}

#[test]
fn standard_input_is_named_once() {
    for command in ["run", "list"] {
        let said = umpire(&[command, "-", "i1532", "-"], &never);
        assert_eq!(said.exit, Exit::Usage);
        assert_eq!(said.err.matches("name it once").count(), 1, "{}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    }
}

#[test]
fn help_of_ps_tells_of_a_guest_s_processes_too() {
    let said = umpire(&["ps", "--help"], &never);
    assert!(said.exit == Exit::Pass && said.out.contains("[-eAlcL] [-p pid]"), "{}", said.out);
}

#[test]
fn help_says_why_two_options_exclude_each_other() {
    let help = umpire(&["run", "--help"], &never).out.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "Not with --record and --trace",
        "Not with --record, --trace, --report and --latency",
        "Not with --report",
    ] {
        assert!(help.contains(words), "{help}");
    }
}

#[test]
fn options_about_a_run_are_refused_where_nothing_is_run() {
    for arguments in [
        &["mpstat", "vm", "--set", "kpreemptpri=99"][..],
        &["kstat", "vm", "--sim"],
        &["prstat", "vm", "--cpus", "2"],
        &["ps", "-e", "--at", "1ms"],
        &["mdb", "--cpus", "2"],
    ] {
        let said = umpire(arguments, &never);
        assert!(said.exit == Exit::Usage && said.err.contains("--run"), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn unknown_variant_or_tunable_says_what_there_is() {
    let said = umpire(&["run", "i1532", "--variant", "nope"], &never);
    assert!(said.exit == Exit::Usage && said.err.contains("kpreemptpri=99"), "{}", said.err);
    let said = umpire(&["run", "i1532", "--set", "kprempt=1"], &never);
    assert!(said.exit == Exit::Usage && said.err.contains("did you mean `kpreemptpri`?"), "{}", said.err);
}

#[test]
fn list_shows_every_id_as_text_and_as_json() {
    let text = umpire(&["list"], &never);
    let json = umpire(&["list", "--json"], &never);
    for builtin in umpire_scenario::builtin::BUILTIN {
        assert!(text.out.contains(builtin.id), "{}", text.out);
        assert!(
            json.out.contains(&format!(r#"{{"schema":"umpire.list/1","id":"{}""#, builtin.id)),
            "{}",
            json.out
        );
    }
}

#[test]
fn list_takes_a_line_a_scenario_and_keeps_mutants_apart() {
    let said = umpire(&["list"], &never);
    let builtin = umpire_scenario::builtin::BUILTIN;
    assert_eq!(said.out.lines().count(), builtin.len() + 3, "{}", said.out);
    let at = |text: &str| said.out.find(text).unwrap_or_else(|| panic!("no {text}: {}", said.out));
    assert!(at("stuck_clock") < at("Mutants, kernels") && at("Mutants, kernels") < at("clock_stops"));
    assert!(said.out.contains("why a wakeup at 99 must preempt"), "{}", said.out);
}

#[test]
fn list_of_an_id_shows_its_variants_and_bounds() {
    let said = umpire(&["list", "i1532", "stuck_clock"], &never);
    assert_eq!(said.exit, Exit::Pass, "{}", said.err);
    for line in [
        "i1532: A kernel-resident VCPU loop starves priority-99 network workers\n",
        "  machine: 2 CPUs, 2s a variant\n",
        "    kpreemptpri=100: violated\n",
        "    starvation of pri >= 99 within 50ms\n",
        "    snooping: panic\n",
    ] {
        assert!(said.out.contains(line), "no {line}: {}", said.out);
    }
    assert_eq!(umpire(&["list", "stuck_clock", "--json"], &never).out.lines().count(), 1);
    assert_eq!(umpire(&["list", "i1523"], &never).exit, Exit::Usage);
}

#[test]
fn unknown_measurement_is_answered_with_those_there_are() {
    let said = umpire(&["bench", "queu"], &never);
    assert_eq!(said.exit, Exit::Usage);
    assert!(said.err.contains("'queu'") && said.err.contains("false-alarms"), "{}", said.err);
    assert!(said.err.contains("a similar value exists: 'queue'"), "{}", said.err);
    assert_eq!(umpire(&["bench", "queue", "probe"], &never).exit, Exit::Pass);
}

#[test]
fn reader_that_goes_away_ends_the_output_and_not_the_judgement() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let runs = RefCell::new(0);
    let fails = |s: &Scenario, v: &Variant, o: &RunOptions| {
        *runs.borrow_mut() += 1;
        as_expected(s, v, o).map(|report| VariantReport { outcome: Outcome::Fail, ..report })
    };
    for (arguments, exit) in
        [(&["umpire", "list"][..], Exit::Pass), (&["umpire", "run", "i1532"], Exit::Failed)]
    {
        let inspect =
            Box::new(|s: &Scenario, v: &Variant, o: &RunOptions, _, _: &mut Look<'_>| never(s, v, o));
        let backends =
            Backends { kvm: Box::new(fails), sim: Box::new(never), inspect, bench: Box::new(|_, _| Ok(())) };
        assert_eq!(main_with(arguments.iter().copied(), backends, &mut Closed, &mut Vec::new()), exit);
    }
    assert_eq!(*runs.borrow(), 6, "every variant was run");
}
