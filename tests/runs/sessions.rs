//! VMs that others look into while they run: `umpire ps`, `umpire mdb NAME`, holds, writes, and cores.
//!
//! # Invariants
//! - Each test has a directory of sessions of its own, so tests do not meet each other's VMs.
//! - What is waited for is asked for again and again, within a limit; nothing sleeps.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::binary::{Said, command, finish, pid, spawn};
use crate::trials;

/// For how long something may take to come.
const LIMIT: Duration = Duration::from_secs(30);

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trials::kvm("sessions::vm_is_listed_looked_into_by_ten_and_gone_afterwards", looked_into),
        trials::kvm("sessions::vm_that_ends_under_an_inspector_is_reported", ends_under_an_inspector),
        trials::kvm("sessions::clients_that_break_the_rules_neither_stop_nor_break_the_run", bad_clients),
        trials::kvm("sessions::vm_that_was_killed_leaves_no_name_that_matters", killed),
        trials::kvm(
            "sessions::hung_guest_of_1532_comes_back_when_the_operator_lowers_kpreemptpri",
            comes_back,
        ),
        trials::kvm("sessions::machine_is_stopped_for_as_long_as_wanted_and_nobody_is_charged", held),
        trials::kvm("sessions::interrupt_ends_a_run_that_is_held", interrupted),
        trials::kvm("sessions::interrupt_ends_a_tool_that_waits", tool_that_waits),
        trials::kvm("sessions::core_of_a_violation_is_read_by_mdb_and_gdb_and_never_written", core_of_kvm),
        trials::anywhere("sessions::core_of_a_simulated_run_answers_as_the_run_did", core_of_sim),
        trials::anywhere("sessions::name_of_no_vm_exits_2_and_says_what_there_is", no_such_name),
    ]
}

/// `umpire` with its sessions in a folder.
fn umpire_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = command();
    command.env("XDG_RUNTIME_DIR", folder).args(arguments);
    command
}

fn said_in(folder: &Path, arguments: &[&str]) -> Said {
    finish(spawn(&mut umpire_in(folder, arguments)))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

/// The only VM there is, once it is in this state.
fn vm(folder: &Path, state: &str) -> Value {
    let begin = Instant::now();
    loop {
        let said = said_in(folder, &["ps", "--json"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let mut lines = said.out.lines();
        if let Some(line) = lines.next() {
            let vm: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(lines.next(), None, "one VM");
            if vm["state"] == state {
                return vm;
            }
        }
        assert!(begin.elapsed() < LIMIT, "no VM is {state}");
    }
}

fn run(folder: &Path, arguments: &[&str]) -> Child {
    let all = [&["run", "i1532", "--json"][..], arguments].concat();
    spawn(&mut umpire_in(folder, &all))
}

/// The one line of JSON of a run.
fn report(said: &Said) -> Value {
    serde_json::from_str(said.out.trim()).unwrap_or_else(|e| panic!("{e}: {}\n{}", said.out, said.err))
}

fn looked_into() {
    let folder = folder();
    let path = folder.path();
    let run = run(path, &["--variant", "kpreemptpri=99", "--run", "4s"]);
    let vm = vm(path, "running");
    let is_right = vm["name"] == "i1532" && vm["variant"] == "kpreemptpri=99" && vm["cpus"] == 2;
    assert!(is_right && vm["schema"] == "umpire.ps/1", "{vm}");
    let look =
        ["mdb", "i15", "-e", "::walk cpu | ::print cpu_t cpu_id", "-e", "::cpuinfo -v", "-e", "::umpire"];
    let inspectors: Vec<Child> = (0..10).map(|_| spawn(&mut umpire_in(path, &look))).collect();
    for inspector in inspectors {
        let said = finish(inspector);
        assert!(said.code == Some(0) && said.out.contains("RNRN"), "{}{}", said.out, said.err);
        assert!(said.out.contains("so far, "), "{}", said.out);
    }
    // Not open for writing, and nobody is there of that name.
    let said = said_in(path, &["mdb", "-e", "kpreemptpri/W 0t100"]);
    assert!(said.code == Some(1) && said.err.contains("not open for writing"), "{}", said.err);
    let said = said_in(path, &["mdb", "nobody", "-e", "::status"]);
    assert!(said.code == Some(2) && said.err.contains("there are: i1532"), "{}", said.err);
    let report = report(&finish(run));
    assert_eq!(
        (&report["exits"], report.get("writes"), report.get("held_ns")),
        (&0.into(), None, None),
        "{report}"
    );
    assert_eq!(said_in(path, &["ps"]).out.lines().count(), 1, "a header, and nothing");
}

fn ends_under_an_inspector() {
    let folder = folder();
    let path = folder.path();
    let run = run(path, &["--variant", "kpreemptpri=99", "--run", "60s"]);
    vm(path, "running");
    // `;` would end the debugger's statement.
    let gone = r"!printf 'while test -S %s\073 do :\073 done' $XDG_RUNTIME_DIR/umpire/i1532 | sh";
    let said = said_in(
        path,
        &[
            "mdb",
            "-e",
            "::status",
            "-e",
            ":k",
            "-e",
            gone,
            "-e",
            "::cpuinfo",
            "-e",
            "::msgbuf",
            "-e",
            "::status",
        ],
    );
    assert!(said.err.contains("the VM has ended") && !said.err.contains("panicked"), "{}", said.err);
    assert!(said.out.contains("KRNRN") && said.code == Some(1), "{}{}", said.out, said.err);
    let said = finish(run);
    let run_ns = report(&said)["run_ns"].as_u64().expect("a number");
    assert!(run_ns < 59_000_000_000, "{run_ns}");
}

fn killed() {
    let folder = folder();
    let path = folder.path();
    let run = run(path, &["--variant", "kpreemptpri=99", "--run", "60s"]);
    vm(path, "running");
    kill_process(pid(&run), Signal::KILL).expect("it runs");
    assert_eq!(finish(run).code, None);
    assert!(path.join("umpire/i1532").exists(), "the name has stayed");
    let said = said_in(path, &["mdb", "i1532", "-e", "::status"]);
    assert!(said.code == Some(2) && said.err.contains("there is no VM `i1532`"), "{}", said.err);
    assert_eq!(said_in(path, &["ps"]).out.lines().count(), 1);
    assert!(!path.join("umpire/i1532").exists(), "who met it has taken it away");
}

/// The second half of illumos #1532: the machine hangs, the operator types the fix into it, and it comes back.
/// What docs/tutorial-mdb.md ends with: the lines that it types are those that are typed here.
fn comes_back() {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tutorial-mdb.md"));
    let document = document.expect("the tutorial");
    let (_, ending) = document.split_once("\n## The fix, typed into the hung machine\n").expect("its end");
    let ending = ending.split("\n## ").next().expect("invariant: a split has a first part");
    let lines = |sign: &str| -> Vec<String> {
        ending.lines().filter_map(|line| line.strip_prefix(sign)).map(str::to_owned).collect()
    };
    let shell = lines("$ umpire ");
    let [run, ps, mdb] = &shell[..] else { panic!("a run, a list, a debugger: {shell:?}") };
    let folder = folder();
    let path = folder.path();
    let run: Vec<&str> = run.split_whitespace().chain(["--json"]).collect();
    let run = spawn(&mut umpire_in(path, &run));
    vm(path, "held");
    let listed = said_in(path, &ps.split_whitespace().collect::<Vec<_>>());
    assert!(listed.out.contains("i1532") && listed.out.contains("held"), "{}", listed.out);
    let typed = lines("> ");
    let commands = typed.iter().flat_map(|line| ["-e", line]);
    let said = said_in(path, &mdb.split_whitespace().chain(commands).collect::<Vec<_>>());
    assert_eq!(said.code, Some(0), "{}", said.err);
    let parts = [
        "qemu-system-x86_",
        "kpreemptpri:    100\n",
        "kpreemptpri:    0x64            =       0x63\n",
        "kpreemptpri:    99\n",
        "every CPU runs\n",
    ];
    let mut rest = said.out.as_str();
    for part in parts {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("`{part}` in its turn: {}", said.out)).1;
    }
    let said = finish(run);
    let report = report(&said);
    assert_eq!(report["observed"], "violated");
    let write = &report["writes"][0];
    assert_eq!(
        (&write["what"], &write["old"], &write["new"]),
        (&"kpreemptpri".into(), &100.into(), &99.into())
    );
    // It was starved for as long as the machine was left alone, and no longer.
    let starved = &report["bounds"][0];
    assert_eq!(starved["monitor"], "starvation");
    let (worst, run_ns) = (starved["worst_ns"].as_u64(), report["run_ns"].as_u64());
    assert!(worst < run_ns.map(|ns| ns / 2), "{report}");
    assert!(report["held_ns"].as_u64() > Some(0), "{report}");
}

fn held() {
    let folder = folder();
    let path = folder.path();
    let run = run(path, &["--variant", "kpreemptpri=99", "--run", "1500ms"]);
    vm(path, "running");
    // Longer than the in-guest deadman and every monitor have patience for.
    let hold = [
        "mdb", "i1532", "-e", ":s", "-e", "::regs", "-e", "!sleep 3", "-e", ":c", "-e", ":s -c 1", "-e", ":c",
    ];
    let said = said_in(path, &hold);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("every CPU stands still") && said.out.contains("%rip"), "{}", said.out);
    assert!(
        said.out.contains("CPU 1 stands still") && said.out.ends_with("every CPU runs\n"),
        "{}",
        said.out
    );
    let said = finish(run);
    let report = report(&said);
    assert!(report["observed"] == "held" && matches!(said.code, Some(0 | 4)), "{}{}", said.out, said.err);
    assert!(report["held_ns"].as_u64() > Some(2_900_000_000), "{report}");
    let all = report["bounds"].as_array().expect("a list");
    assert!(all.iter().all(|bound| bound["worst_ns"].as_u64() < Some(1_000_000_000)), "{report}");
}

fn interrupted() {
    let folder = folder();
    let run = run(folder.path(), &["--variant", "kpreemptpri=99", "--run", "200ms", "--hold", "end"]);
    vm(folder.path(), "held");
    // A debugger that leaves does not let go what the run holds.
    assert_eq!(said_in(folder.path(), &["mdb", "-e", "::cpuinfo", "-e", ":s"]).code, Some(0));
    vm(folder.path(), "held");
    kill_process(pid(&run), Signal::INT).expect("it runs");
    let said = finish(run);
    assert!(said.err.contains("the run is over: held") && said.code == Some(130), "{}", said.err);
    for at in ["start", "violation"] {
        let arguments = ["--variant", "kpreemptpri=100", "--run", "60s", "--hold", at];
        let run = self::run(folder.path(), &arguments);
        vm(folder.path(), "held");
        kill_process(pid(&run), Signal::TERM).expect("it runs");
        let said = finish(run);
        assert!(said.err.contains(": held. Look with") && said.code == Some(143), "{at}: {}", said.err);
    }
}

fn tool_that_waits() {
    let folder = folder();
    let run = run(folder.path(), &["--variant", "kpreemptpri=99", "--run", "60s"]);
    vm(folder.path(), "running");
    let mut tool = spawn(&mut umpire_in(folder.path(), &["mpstat", "i1532", "1000"]));
    let answer = BufReader::new(tool.stdout.take().expect("a pipe")).lines().next();
    assert!(answer.expect("an answer").expect("text").contains("CPU"));
    kill_process(pid(&tool), Signal::INT).expect("it runs");
    assert_eq!(finish(tool).code, Some(130));
    kill_process(pid(&run), Signal::INT).expect("it runs");
    assert_eq!(finish(run).code, Some(130));
}

fn core_of_kvm() {
    let folder = folder();
    let path = folder.path();
    let cores = path.join("cores");
    let cores = cores.to_str().expect("plain");
    let run = run(path, &["--variant", "kpreemptpri=100", "--run", "300ms", "--core-on", "violation", cores]);
    let core = report(&finish(run))["core"].as_str().expect("its path").to_owned();
    let found = fs::metadata(&core).expect("there");
    assert!(std::os::unix::fs::MetadataExt::blocks(&found) * 512 < 10 << 20);
    let said = said_in(
        path,
        &["mdb", &core, "-e", "::status", "-e", "::cpuinfo -v", "-e", "::umpire", "-e", "::regs"],
    );
    assert_eq!(said.code, Some(0), "{}", said.err);
    for part in ["crash dump", "mac_soft_ring_worker (SYS 99", "%rip", "qemu-system-x86_"] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    let said = said_in(path, &["mdb", &core, "-e", "::walk thread | ::findstack"]);
    assert!(said.out.contains("vcpu_loop"), "the thread that runs has its stack: {}", said.out);
    let said = said_in(path, &["mdb", "-w", &core, "-e", "kpreemptpri/W 0t99"]);
    assert!(said.code == Some(2) && said.err.contains("never written"), "{}", said.err);
    let said = said_in(path, &["mdb", &core, "-e", "kpreemptpri/W 0t99"]);
    assert!(said.code == Some(1) && said.err.contains("not open for writing"), "{}", said.err);
    let cut = path.join("cut.core");
    fs::write(&cut, &fs::read(&core).expect("readable")[..5000]).expect("writable");
    let said = said_in(path, &["mdb", cut.to_str().expect("plain"), "-e", "::status"]);
    assert!(said.code == Some(2) && said.err.contains("truncated"), "{}", said.err);
    gdb(path, &core);
}

/// Reads the core with gdb, where there is one.
fn gdb(folder: &Path, core: &str) {
    let image = folder.join("guest.elf");
    let said = said_in(folder, &["image", image.to_str().expect("plain")]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-ex", "info threads", "-ex", "thread 2", "-ex", "bt", "-ex", "x/1xg 0x1000"]);
    let Ok(output) = gdb.arg(image).arg(core).output() else {
        println!("SKIPPED: there is no gdb on this host");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    for part in ["LWP 1", "LWP 2", "vcpu_loop", "0x3130455249504d55"] {
        assert!(said.contains(part), "{part}: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn core_of_sim() {
    let folder = folder();
    let path = folder.path();
    let cores = path.join("cores");
    let cores = cores.to_str().expect("plain");
    let arguments =
        ["--variant", "kpreemptpri=100", "--run", "300ms", "--sim", "--core-on", "end", cores, "--core-zstd"];
    let core = report(&finish(run(path, &arguments)))["core"].as_str().expect("its path").to_owned();
    assert!(core.ends_with("i1532.kpreemptpri=100.1.core.zst"), "{core}");
    let look = ["-e", "::cpuinfo -v", "-e", "::thread ! wc -l", "-e", "kpreemptpri/D"];
    let of_core = said_in(path, &[&["mdb", &core], &look[..]].concat());
    let live = ["mdb", "--run", "i1532", "--sim", "--at", "300ms"];
    let of_run = said_in(path, &[&live, &look[..]].concat());
    assert_eq!((of_core.code, of_run.code), (Some(0), Some(0)), "{}{}", of_core.err, of_run.err);
    // Where a simulated kernel lies is chance: addresses differ.
    let plain = |text: &str| -> Vec<String> {
        let is_address = |word: &str| word.len() >= 12 && word.chars().all(|c| c.is_ascii_hexdigit());
        text.split_whitespace().filter(|word| !is_address(word)).map(str::to_owned).collect()
    };
    assert_eq!(plain(&of_core.out), plain(&of_run.out));
    let said = said_in(path, &["run", "i1532", "--sim", "--core-on", "never", cores]);
    assert!(said.code == Some(2) && said.err.contains("violation, panic or end"), "{}", said.err);
}

fn no_such_name() {
    let folder = folder();
    for name in ["nobody", "..", "../../etc/passwd", ""] {
        let said = said_in(folder.path(), &["mdb", name, "-e", "::status"]);
        assert_eq!(said.code, Some(2), "{name}: {}", said.err);
    }
    let said = said_in(folder.path(), &["mdb", "-e", "::status"]);
    assert!(said.code == Some(2) && said.err.contains("none runs"), "{}", said.err);
}

/// What a client may send that means no good: the run goes on, and others are answered.
fn bad_clients() {
    let folder = folder();
    let path = folder.path();
    let run = run(path, &["--variant", "kpreemptpri=99", "--run", "4s"]);
    vm(path, "running");
    let connect = || UnixStream::connect(path.join("umpire/i1532")).expect("somebody listens");
    let framed = |json: &str| [&(json.len() as u32).to_le_bytes(), json.as_bytes()].concat();
    let hello = framed(r#"{"hello":{"version":1,"writable":false}}"#);
    let write = framed(r#"{"write":{"what":"x","addr":1048576,"bytes":8,"value":7}}"#);
    let mut open = Vec::new();
    for bytes in [
        vec![],
        vec![1, 2, 3],
        u32::MAX.to_le_bytes().to_vec(),
        framed("no JSON at all"),
        framed(r#""clocks""#),
        framed(r#"{"hello":{"version":99,"writable":true}}"#),
        [hello.clone(), framed(r#"{"stop":{"cpu":99}}"#), framed(r#"{"registers":{"cpu":4294967295}}"#)]
            .concat(),
        [hello.clone(), framed(r#"{"stop":{"cpu":1}}"#), vec![9, 0]].concat(),
    ] {
        let mut client = connect();
        client.write_all(&bytes).expect("taken");
        open.push(client);
    }
    let mut reader = connect();
    reader.set_read_timeout(Some(LIMIT)).expect("a limit");
    reader.write_all(&[hello, write].concat()).expect("taken");
    reader.shutdown(Shutdown::Write).expect("open");
    let mut said = Vec::new();
    reader.read_to_end(&mut said).expect("two replies");
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("welcome") && said.contains("not open for writing"), "{said}");
    open.extend((0..80).map(|_| connect()));
    drop(open);
    let look = said_in(path, &["mdb", "-e", "::cpuinfo"]);
    assert!(look.code == Some(0) && look.out.contains("KRNRN"), "{}", look.err);
    let report = report(&finish(run));
    assert!(report["observed"] == "held" && report.get("writes").is_none(), "{report}");
}
