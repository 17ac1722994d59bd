//! Classes, projects, processor sets, interrupts, tables and events of scenario files, good and bad.
//!
//! # Invariants
//! - Each bad file is a good one with one thing changed, so that a message can only be about that thing.

use std::collections::HashSet;

use umpire_shared::program::{NO_CHANGE, Program, QUANTUM_INFINITE, Thread, Verb, binding, class};
use umpire_shared::sys::stream::flush;
use umpire_shared::work::streams::MODULES;
use umpire_shared::{errno, tunable, unpack_name};

use crate::{Expect, Overrides, Scenario, Tracing, Variant};
use umpire_watch::monitor::MonitorKind;

/// A file with every key in it.
pub(super) const GOOD: &str = r#"id = "a"
title = "A"
source = "test"
run = "1s"
cpus = { chips = 1, cores = 2, strands = 2, lgroups = 2 }

[[project]]
name = "web"
shares = 3
[[project]]
name = "batch"
shares = 1
zone = 1
zone_shares = 20
cap = 400
zone_cap = 300

[[pset]]
name = "fast"
cpus = [2, 3]

[[thread]]
name = "ts"
class = "TS"
pri = 29
nice = -20
lgroup = 0
work = "spin"
[[thread]]
name = "fx"
class = "FX"
pri = 60
quantum = "21ms"
work = "spin"
[[thread]]
name = "rt"
class = "RT"
pri = 10
quantum = "infinite"
cpu = 1
binding = "soft"
work = "spin"
[[thread]]
name = "fss"
class = "FSS"
pri = 20
upri = -60
project = "batch"
count = 2
work = "spin"
[[thread]]
name = "sdc"
class = "SDC"
duty_cycle = 50
pset = "fast"
cpu = 3
work = "spin"

[[interrupt]]
name = "nic0"
cpu = 0
pil = 6
rate_hz = 1000
burst = 16
start = "10ms"
cost = "5us"
lock = 3
from = 2

[tables.FSS]
rows = """
RES=1000
QUANTUM=110
"""

[[event]]
at = "500ms"
offline = { cpu = 1 }
expect = "EBUSY"
within = "50ms"
[[event]]
at = "100ms"
priocntl = { thread = "fss/1", class = "FX", pri = 60, quantum = "30ms" }

[[bound]]
monitor = "starvation"
limit = "50ms"

[[variant]]
name = "v"
expect = "violated"
violates = ["starvation"]
thread = { ts = { class = "RT", pri = 5, quantum = 7 } }
interrupt = { nic0 = { rate_hz = 2000 } }
[[variant]]
name = "fast clock"
set = { hz = 1000 }
expect = "held"
[[variant]]
name = "dies"
expect = "panic"
panic = "deadman: timed out"
"#;

fn good() -> Scenario {
    parse(GOOD).unwrap_or_else(|e| panic!("{e}"))
}

fn parse(text: &str) -> Result<Scenario, String> {
    Scenario::parse(text, "s.toml").map_err(|e| e.to_string())
}

/// The message for the good file with `from` replaced.
fn message(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from} is not in the good file");
    parse(&GOOD.replacen(from, to, 1)).map(|_| panic!("accepted {to} for {from}")).unwrap_or_else(|e| e)
}

fn thread<'v>(variant: &'v Variant, name: &str) -> &'v Thread {
    variant.threads.iter().find(|t| unpack_name(&t.name) == name).expect("a thread of the file")
}

#[test]
fn threads_get_the_parameters_of_their_classes() {
    let scenario = good();
    let variant = &scenario.variants[1];
    assert_eq!((thread(variant, "ts").class, thread(variant, "ts").upri), (class::TS, 60));
    let rt = thread(variant, "rt");
    assert_eq!((rt.class, rt.quantum, rt.binding), (class::RT, QUANTUM_INFINITE, binding::SOFT));
    let fss = thread(variant, "fss/1");
    assert_eq!((fss.class, fss.upri, fss.project, fss.lwp), (class::FSS, -60, 1, true));
    let sdc = thread(variant, "sdc");
    assert_eq!((sdc.class, sdc.duty_cycle, sdc.pset, sdc.cpu, sdc.lwp), (class::SDC, 50, 1, 3, true));
}

#[test]
fn class_that_a_variant_changes_leaves_the_old_parameters_behind() {
    let scenario = good();
    let ts = thread(&scenario.variants[0], "ts");
    assert_eq!((ts.class, ts.pri, ts.upri, ts.quantum), (class::RT, 5, 0, 7));
}

#[test]
fn time_becomes_ticks_of_the_variant_s_hz_rounded_up() {
    let mut scenario = good();
    let ticks = |v: &Variant| {
        let event = v.events.iter().find(|e| e.event.verb == Verb::Priocntl).expect("an event");
        (thread(v, "fx").quantum, event.event.args[3], v.tables[0].values[0])
    };
    assert_eq!(ticks(&scenario.variants[0]), (3, 3, 11));
    assert_eq!(ticks(&scenario.variants[1]), (21, 30, 110));
    let settings = vec!["hz=200".parse().expect("a good setting")];
    scenario = scenario.with(&Overrides { settings, ..Overrides::default() }).expect("applies");
    assert!(scenario.variants.iter().all(|v| ticks(v) == (5, 6, 22)));
}

#[test]
fn interrupts_projects_sets_and_topology_reach_the_program() {
    let scenario = good();
    let bytes = scenario.variants[0].program(&scenario, Tracing::Off);
    let program = Program::decode(&bytes).expect("what was encoded decodes");
    let header = program.header();
    assert_eq!((scenario.cpus, header.chips, header.cores, header.strands, header.lgroups), (4, 1, 2, 2, 2));
    assert_eq!(program.threads().map(|t| t.lgroup).collect::<HashSet<_>>(), HashSet::from([-1, 0]));
    let nic = program.interrupts().next().expect("an interrupt");
    assert_eq!(
        (nic.rate_hz, nic.burst, nic.start_ns, nic.cost_ns, nic.lock, nic.from),
        (2000, 16, 10_000_000, 5000, 3, 2)
    );
    assert_eq!(scenario.variants[1].interrupts[0].rate_hz, 1000);
    let batch = program.projects().nth(1).expect("a project");
    assert_eq!((batch.shares, batch.zone, batch.zone_shares, batch.cap), (1, 1, 20, 400));
    assert_eq!(batch.zone_cap, 300);
    assert_eq!(program.projects().next().map(|web| web.cap), Some(0), "no cap unless one is given");
    assert_eq!(program.psets().map(|p| p.cpus).collect::<Vec<_>>(), [0b1100]);
    assert_eq!((program.events().len(), program.tables().len()), (2, 1));
}

#[test]
fn events_are_in_the_order_of_their_times_with_their_expectations() {
    let scenario = good();
    let [first, second] = scenario.variants[1].events.as_slice() else { panic!("two events") };
    assert_eq!((first.label.as_str(), first.expect, first.within_ns), ("priocntl fss/1", 0, 900_000_000));
    assert_eq!(first.event.target, 4);
    assert_eq!(first.event.args, [i64::from(class::FX), 60, NO_CHANGE, 30, NO_CHANGE]);
    assert_eq!((second.label.as_str(), second.expect), ("offline cpu 1", errno::EBUSY));
    assert_eq!((second.event.verb, second.event.args[0]), (Verb::Offline, 0));
    assert_eq!(second.within_ns, 50_000_000);
}

#[test]
fn expectations_of_variants_are_kept() {
    let scenario = good();
    assert_eq!(scenario.variants[0].violates, [MonitorKind::Starvation]);
    assert_eq!(scenario.variants[2].expect, Expect::Panic);
    assert_eq!(scenario.variants[2].panic.as_deref(), Some("deadman: timed out"));
}

#[test]
fn every_verb_is_understood() {
    let with_stream = format!(
        "{GOOD}\n[[stream]]\nname = \"s\"\ndriver = \"loop\"\n[[stream]]\nname = \"upper\"\ndriver = \"mux\"\n"
    );
    let place = |name| MODULES.iter().position(|known| *known == name);
    let module = |name| place(name).map_or(-1, |n| n as i64);
    let cases = [
        ("shares = { project = \"batch\", shares = 9 }", Verb::Shares, 1, vec![9]),
        ("cap = { project = \"batch\", cap = 150 }", Verb::Cap, 1, vec![150]),
        ("cap = { project = \"web\", cap = \"none\" }", Verb::Cap, 0, vec![0]),
        ("zone_cap = { zone = 1, cap = 150 }", Verb::ZoneCap, 1, vec![150]),
        ("zone_cap = { zone = 0, cap = \"none\" }", Verb::ZoneCap, 0, vec![0]),
        ("offline = { cpu = 1, force = true }", Verb::Offline, 1, vec![1]),
        ("online = { cpu = 1 }", Verb::Online, 1, vec![]),
        ("poweroff = { cpu = 1 }", Verb::Poweroff, 1, vec![]),
        ("bind = { thread = \"rt\", cpu = \"none\" }", Verb::Bind, 2, vec![-1, i64::from(binding::HARD)]),
        ("bind = { thread = \"rt\", cpu = 0, binding = \"soft\" }", Verb::Bind, 2, vec![0, 2]),
        ("pset_assign = { cpu = 1, pset = \"fast\" }", Verb::PsetAssign, 1, vec![1]),
        ("pset_bind = { thread = \"rt\", pset = \"default\" }", Verb::PsetBind, 2, vec![0]),
        ("pause = { for = \"10ms\" }", Verb::Pause, 0, vec![10_000_000]),
        ("tunable = { kpreemptpri = 100 }", Verb::Tunable, tunable::KPREEMPTPRI, vec![100]),
        ("focus = { thread = \"ts\", has = false }", Verb::Focus, 0, vec![0]),
        ("push = { stream = \"s\", module = \"bufmod\" }", Verb::Push, 0, vec![module("bufmod")]),
        ("pop = { stream = \"s\" }", Verb::Pop, 0, vec![]),
        ("flush = { stream = \"s\" }", Verb::Flush, 0, vec![i64::from(flush::RW), -1]),
        (
            "flush = { stream = \"s\", side = \"read\", band = 3 }",
            Verb::Flush,
            0,
            vec![i64::from(flush::R), 3],
        ),
        ("freeze = { stream = \"s\", for = \"1ms\" }", Verb::Freeze, 0, vec![1_000_000]),
        ("close = { stream = \"s\" }", Verb::Close, 0, vec![]),
        ("link = { stream = \"upper\", lower = \"s\" }", Verb::Link, 1, vec![0, 0]),
        ("unlink = { stream = \"upper\", persistent = true }", Verb::Unlink, 1, vec![-1, 1]),
        ("stop = { thread = \"rt\" }", Verb::Stop, 2, vec![]),
        ("run = { thread = \"ts\" }", Verb::Run, 0, vec![]),
    ];
    // `priocntl` has tests of its own.
    for &verb in Verb::ALL.iter().filter(|&&verb| verb != Verb::Priocntl) {
        assert!(cases.iter().any(|&(_, of, ..)| of == verb), "no case of {verb:?}");
    }
    for (text, number, target, args) in cases {
        let scenario =
            parse(&with_stream.replacen("offline = { cpu = 1 }", text, 1)).unwrap_or_else(|e| panic!("{e}"));
        let event = scenario.variants[1].events[1].event;
        assert_eq!((event.verb, event.target as usize), (number, target), "{text}");
        assert_eq!(event.args[..args.len()], args, "{text}");
        assert!(event.args[args.len()..].iter().all(|arg| *arg == NO_CHANGE), "{text}");
    }
}

#[test]
fn thread_is_unbound_from_what_bound_it() {
    let head = "id = \"a\"\ntitle = \"A\"\nsource = \"s\"\nrun = \"1s\"\n[[bound]]\nmonitor = \"runq\"\nlimit = \"0s\"\n";
    let check = |thread: &str, event: &str, how: u32| {
        let thread = format!("[[thread]]\nname = \"t\"\n{thread}\nstart = \"5ms\"\nwork = \"spin\"\n");
        let text = format!("{head}{thread}[[event]]\nat = \"10ms\"\n{event}\n");
        let scenario = parse(&text).unwrap_or_else(|e| panic!("{e}"));
        let last = scenario.variants[0].events.last().expect("there is one");
        assert_eq!(last.event.args[..2], [-1, i64::from(how)], "{thread}{event}");
        assert_eq!(scenario.variants[0].threads[0].start_ns, 5_000_000);
    };
    let let_go = "bind = { thread = \"t\", cpu = \"none\" }";
    let (sys, fx) = ("class = \"SYS\"\npri = 60", "class = \"FX\"\npri = 30");
    let bound = |class: &str, binding: &str| format!("{class}\ncpu = 1\n{binding}");
    check(&bound(sys, ""), let_go, binding::AFFINITY);
    check(&bound(sys, ""), "bind = { thread = \"t\", cpu = \"none\", binding = \"hard\" }", binding::HARD);
    check(&bound(sys, ""), &format!("{let_go}\nexpect = \"EPERM\""), binding::HARD);
    check(&bound(fx, ""), let_go, binding::AFFINITY);
    check(&bound(fx, "binding = \"soft\""), let_go, binding::SOFT);
    check(fx, let_go, binding::HARD);
    let event =
        |bind: &str| format!("bind = {{ thread = \"t\", {bind} }}\n[[event]]\nat = \"20ms\"\n{let_go}");
    check(fx, &event("cpu = 1, binding = \"affinity\""), binding::AFFINITY);
    check(&bound(fx, ""), &event("cpu = 0, binding = \"hard\""), binding::HARD);
    check(&bound(fx, ""), &event("cpu = \"none\""), binding::HARD);
}

#[test]
fn event_that_is_to_fail_may_ask_for_nonsense() {
    let to = "priocntl = { thread = \"rt\", pri = 999, nice = 400, duty_cycle = -1 }\nexpect = \"EINVAL\"";
    let scenario = parse(&GOOD.replacen("offline = { cpu = 1 }\nexpect = \"EBUSY\"", to, 1));
    assert_eq!(scenario.unwrap_or_else(|e| panic!("{e}")).variants[1].events[1].event.args[1], 999);
}

#[test]
fn every_mistake_points_to_its_line_and_says_what_is_right() {
    let event = "offline = { cpu = 1 }";
    let cases = [
        ("strands = 2,", "strands = 9,", "s.toml:5:8: a machine has 1 to 16 CPUs, found 18"),
        ("lgroups = 2", "lgroups = 3", "s.toml:5:55: 4 CPUs do not divide into 3 locality groups"),
        ("lgroups = 2", "lgroups = 4", "a group is whole chips, or whole cores of one chip"),
        ("lgroup = 0", "lgroup = 2", "`cpus` has lgroups = 2; groups are counted from 0"),
        ("lgroup = 0", "lgroup = 1", "the processor set `default` has no CPU in this locality group"),
        ("strands = 2,", "threads = 2,", "`cpus` has no field `threads`"),
        ("shares = 3", "shares = 65536", "`shares` must be from 0 to 65535, found 65536"),
        ("cap = 400", "cap = 401", "s.toml:15:7: `cap` must be from 1 to 400, found 401"),
        ("cap = 400", "cap = 0", "`cap` must be from 1 to 400, found 0"),
        (event, "cap = { project = \"web\", cap = 401 }", "`cap` must be from 1 to 400, found 401"),
        (event, "cap = { project = \"web\", cap = \"no\" }", "unknown cap `no`"),
        (event, "zone_cap = { zone = 2, cap = 1 }", "no project is in zone 2; they are in 0, 1"),
        ("zone_cap = 300", "zone_cap = 401", "`zone_cap` must be from 1 to 400, found 401"),
        (
            "zone = 1\nzone_shares = 20",
            "zone_shares = 20",
            "`zone_shares` is 20 here, and 1 for the same zone 0 in project `web`",
        ),
        ("zone = 1\nzone_shares = 20", "zone_shares = 1", "say it with the first project of the zone"),
        (event, "cap = { project = \"bach\", cap = 1 }", "unknown project `bach`; did you mean `batch`?"),
        ("name = \"web\"", "name = \"batch\"", "two of the [[project]] tables are named `batch`"),
        ("cpus = [2, 3]", "cpus = [2, 2]", "s.toml:20:12: this CPU is already in a processor set"),
        ("cpus = [2, 3]", "cpus = [2, 4]", "`cpus` must be from 0 to 3, found 4"),
        ("cpus = [2, 3]", "cpus = [0, 1, 2, 3]", "no CPU is left for the default processor set"),
        ("name = \"fast\"", "name = \"default\"", "`default` is the set of every CPU"),
        ("nice = -20", "nice = 20", "`nice` must be from -20 to 19, found 20"),
        ("nice = -20", "nice = 1\nupri = 1", "`nice` and `upri` are two names of one thing"),
        ("nice = -20", "quantum = 3", "class TS takes no `quantum`"),
        ("nice = -20", "duty_cycle = 3", "it is for SDC"),
        ("nice = -20", "binding = \"soft\"", "`binding` says how a thread is bound to its `cpu`"),
        ("quantum = \"21ms\"", "quantum = \"21\"", "write: quantum = \"20ms\", quantum = 2 (clock ticks)"),
        ("quantum = \"21ms\"", "quantum = 0", "`quantum` must be from 1 to"),
        ("quantum = \"21ms\"", "quantum = 1.5", "expected a duration string"),
        ("pri = 60\n", "pri = 61\n", "class FX has priorities 0 to 60"),
        ("pri = 10\n", "", "[[thread]] needs the field `pri`"),
        ("binding = \"soft\"", "binding = \"weak\"", "unknown binding `weak`"),
        ("project = \"batch\"", "project = \"bach\"", "unknown project `bach`; did you mean `batch`?"),
        ("duty_cycle = 50", "duty_cycle = 0", "`duty_cycle` must be from 1 to 100, found 0"),
        ("duty_cycle = 50", "pri = 98", "class SDC takes no `pri`"),
        ("duty_cycle = 50", "lwp = false", "a thread of class SDC has an LWP"),
        ("pset = \"fast\"", "pset = \"fats\"", "unknown processor set `fats`; did you mean `fast`?"),
        ("cpus = [2, 3]", "cpus = []", "the processor set `fast` has no CPU, so no thread can run in it"),
        ("pset = \"fast\"\n", "", "cpu 3 is in the processor set `fast`, the thread in `default`"),
        ("pil = 6", "pil = 16", "`pil` must be from 1 to 15, found 16"),
        ("pil = 6", "pil = 11", "`pil` must be at most 10"),
        ("lock = 3", "lock = 16", "`lock` must be from 0 to 15, found 16"),
        ("cost = \"5us\"", "cost = \"2s\"", "`cost` must be from 0s to 1s"),
        ("burst = 16", "burst = 0", "`burst` must be from 1 to 1024, found 0"),
        ("nic0 = { rate_hz", "nic1 = { rate_hz", "unknown interrupt `nic1`; did you mean `nic0`?"),
        ("rate_hz = 2000", "name = \"x\"", "a variant's interrupt has no field `name`"),
        ("[tables.FSS]", "[tables.SYS]", "s.toml:70:9: there is no dispatcher table of `SYS`"),
        ("QUANTUM=110", "QUANTUM=0", "s.toml:73:9: QUANTUM must be a whole number from 1"),
        ("rows = \"\"\"", "file = \"a.tbl\"\nrows = \"\"\"", "has either `file` or `rows`"),
        ("at = \"500ms\"", "at = \"1s\"", "an event comes before the run ends"),
        ("within = \"50ms\"", "within = \"501ms\"", "`within` must be from 1ns to 500ms"),
        (
            "expect = \"EBUSY\"",
            "expect = \"never\"",
            "an event that must never begin is not finished `within` anything",
        ),
        ("expect = \"EBUSY\"", "expect = \"EBUZY\"", "unknown result `EBUZY`; did you mean `EBUSY`?"),
        (event, "offlin = { cpu = 1 }", "[[event]] has no field `offlin`; did you mean `offline`?"),
        (event, "", "an event does exactly one thing, found 0"),
        (event, "offline = { cpu = 1 }\nonline = { cpu = 1 }", "does exactly one thing, found 2"),
        (event, "offline = { cpu = 4 }", "`cpu` must be from 0 to 3, found 4"),
        (event, "offline = { cpu = 1, hard = true }", "`offline` has no field `hard`"),
        (event, "bind = { thread = \"rt\", cpu = \"no\" }", "unknown CPU `no`"),
        (event, "focus = { thread = \"fss\" }", "unknown thread `fss`; did you mean `fss/"),
        (event, "stop = { thread = \"rtt\" }", "unknown thread `rtt`; did you mean `rt`?"),
        (event, "run = { cpu = 1 }", "`run` has no field `cpu`"),
        (event, "tunable = { hz = 100 }", "`hz` cannot change while the kernel runs"),
        (
            event,
            "tunable = { snooping = 1 }",
            "`snooping` cannot change while the kernel runs: it is read at boot",
        ),
        (event, "tunable = { kpqpri = 999 }", "`kpqpri` must be from -1 to 180, found 999"),
        (event, "tunable = { kpqpi = 1 }", "unknown tunable `kpqpi`; did you mean `kpqpri`?"),
        (event, "tunable = {}", "an event sets one tunable, found 0"),
        (event, "pause = { for = \"11s\" }", "`for` must be from 0s to 10s"),
        ("class = \"FX\", pri = 60,", "pri = 60,", "class FSS has priorities 0 to 59"),
        ("class = \"FX\", pri = 60,", "class = \"SYS\", pri = 60,", "class SYS takes no `quantum`"),
        ("violates = [\"starvation\"]", "violates = [\"runq\"]", "no [[bound]] has the monitor `runq`"),
        ("expect = \"held\"", "expect = \"held\"\nviolates = []", "expects \"held\" violates nothing"),
        ("expect = \"held\"", "expect = \"held\"\npanic = \"x\"", "write: expect = \"panic\""),
    ];
    for (from, to, expected) in cases {
        let found = message(from, to);
        assert!(found.contains(expected), "for {to}:\n{found}\nexpected: {expected}");
        assert!(found.lines().any(|l| l.trim_start().starts_with("| ") && l.contains('^')), "{found}");
    }
}

#[test]
fn fss_without_a_project_is_refused_in_a_thread_and_in_an_event() {
    let (from, to) = (GOOD.find("[[project]]").expect("is there"), GOOD.find("[[pset]]").expect("is there"));
    let none = format!("{}{}", &GOOD[..from], &GOOD[to..]).replace("project = \"batch\"\n", "");
    assert!(parse(&none).expect_err("no project").contains("a thread of class FSS is in a project"));
    let by_event =
        none.replace("class = \"FSS\"", "class = \"TS\"").replace("class = \"FX\", ", "class = \"FSS\", ");
    assert!(parse(&by_event).expect_err("no project").contains("a thread of class FSS is in a project"));
}

#[test]
fn table_in_a_file_is_found_beside_the_scenario_and_pointed_into() {
    let folder = std::env::temp_dir().join(format!("umpire-tables-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let path = folder.join("s.toml").to_string_lossy().into_owned();
    let text = GOOD.replacen("rows = \"\"\"\nRES=1000\nQUANTUM=110\n\"\"\"", "file = \"fss.tbl\"", 1);
    let parse = || Scenario::parse(&text, &path).map_err(|e| e.to_string());

    let missing = parse().expect_err("no such file");
    std::fs::write(folder.join("fss.tbl"), "RES=100\nQUANTUM=20\n").expect("a file for the test");
    let good = parse();
    std::fs::write(folder.join("fss.tbl"), "RES=100\nQUANTUM=many\n").expect("a file for the test");
    let bad = parse().expect_err("no number");
    std::fs::write(folder.join("fss.tbl"), vec![b'#'; 1 << 17]).expect("a file for the test");
    let long = parse().expect_err("too long");
    std::fs::remove_dir_all(&folder).expect("the folder can go");

    assert!(missing.contains("s.toml:71:8: cannot read the dispatcher table `fss.tbl`"), "{missing}");
    assert_eq!(good.unwrap_or_else(|e| panic!("{e}")).variants[1].tables[0].values[0], 200);
    assert!(bad.contains("fss.tbl:2:9: QUANTUM must be a whole number"), "{bad}");
    assert!(long.contains("more than 65536 bytes"), "{long}");
}

#[test]
fn override_of_cpus_against_topology_sets_and_events_is_refused() {
    let with = |text: &str, cpus| {
        let overrides = Overrides { cpus: Some(cpus), ..Overrides::default() };
        let scenario = parse(text).unwrap_or_else(|e| panic!("{e}"));
        scenario.with(&overrides).map(|_| ()).map_err(|e| e.to_string())
    };
    assert!(with(GOOD, 4).is_ok());
    assert!(with(GOOD, 8).expect_err("a topology").contains("make 4; leave --cpus out"));
    let flat = GOOD.replacen("{ chips = 1, cores = 2, strands = 2, lgroups = 2 }", "4", 1);
    assert!(with(&flat, 8).is_ok());
    let unbound = flat.replacen("cpu = 3\n", "", 1);
    assert!(with(&unbound, 3).expect_err("a set").contains("processor set fast needs cpu 3"));
}
