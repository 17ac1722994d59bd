//! What somebody new types and is not meant to: it is answered at once, with what to do, and with exit code 2; and the first Ctrl-C
//! always counts.
//!
//! # Invariants
//! - Each test has a folder of its own, for its files and for its directory of sessions.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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
        trials::anywhere("misuse::fifo_or_socket_or_device_is_told_at_once", no_plain_files),
        trials::anywhere("misuse::arguments_of_tools_are_looked_at_before_anything_runs", tools),
        trials::anywhere("misuse::directory_for_cores_is_looked_at_before_anything_runs", core_directory),
        trials::anywhere("misuse::core_onto_a_folder_or_a_device_says_what_to_do", dump),
        trials::anywhere("misuse::time_below_zero_and_a_size_with_a_wrong_unit_are_shown", values),
        trials::anywhere("misuse::tools_answer_of_a_core_as_of_a_run", tools_of_a_core),
        trials::anywhere("misuse::option_about_a_scenario_means_nothing_of_a_file", idle_options),
        trials::anywhere("misuse::variant_that_a_named_scenario_lacks_is_said", lacking_variants),
        trials::anywhere("misuse::file_that_is_read_or_written_is_not_written_over", over),
        trials::anywhere("misuse::picture_of_a_time_in_which_nothing_was_is_not_drawn", nothing_to_draw),
        trials::anywhere("misuse::no_event_of_a_kind_is_said", no_events),
        trials::kvm("misuse::first_interrupt_ends_who_looks_into_a_vm", first_interrupt),
        trials::kvm("misuse::vm_of_which_one_cpu_runs_is_listed_as_such", one_cpu),
    ]
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

fn umpire_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = command();
    command.env("XDG_RUNTIME_DIR", folder).current_dir(folder).args(arguments);
    command
}

fn said_in(folder: &Path, arguments: &[&str]) -> Said {
    finish(spawn(&mut umpire_in(folder, arguments)))
}

/// It is refused, with exit code 2, and these words.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str], words: &[&str]) {
    let said = said_in(folder, arguments);
    let is_told = words.iter().all(|word| said.err.contains(word));
    assert!(said.code == Some(2) && is_told, "{arguments:?} {words:?}: {:?} {}", said.code, said.err);
}

fn no_plain_files() {
    let folder = folder();
    let path = folder.path();
    let made = Command::new("mkfifo").arg(path.join("x.toml")).status();
    assert!(made.is_ok_and(|status| status.success()));
    let _socket = UnixListener::bind(path.join("y.toml")).expect("a socket");
    refused(path, &["run", "x.toml", "--sim"], &["it is a FIFO", "plain file"]);
    refused(path, &["run", "./y.toml", "--sim"], &["it is a socket"]);
    refused(path, &["run", "/dev/tty", "--sim"], &["it is a device"]);
    refused(path, &["mdb", "x.toml", "-e", "::status"], &["no plain file"]);
    refused(path, &["mdb", "/dev/zero", "-e", "::status"], &["no plain file"]);
    refused(path, &["mdb", "--run", "./x.toml", "-e", "::status"], &["it is a FIFO"]);
    refused(path, &["list", "./x.toml"], &["it is a FIFO"]);
    let made = Command::new("mkfifo").args([path.join("fifo"), path.join("fifo.svg")]).status();
    assert!(made.is_ok_and(|status| status.success()));
    for source in ["fifo", "./y.toml", "/dev/tty"] {
        for command in ["events", "latency", "why"] {
            refused(path, &[command, source, "--sim"], &["cannot read"]);
        }
    }
    refused(path, &["compare", "fifo", "fifo"], &["cannot read"]);
    let run = ["run", "i1532", "--sim", "--run", "10ms", "--variant", "kpreemptpri=99"];
    for option in ["--trace", "--record"] {
        refused(path, &[&run[..], &[option, "fifo"]].concat(), &["it is a FIFO"]);
        refused(path, &[&run[..], &[option, "y.toml"]].concat(), &["it is a socket"]);
    }
    for option in ["--junit", "--tap", "--markdown"] {
        refused(path, &[&run[..], &[option, "fifo"]].concat(), &["FIFO that nobody reads"]);
        refused(path, &[&run[..], &[option, "y.toml"]].concat(), &["cannot write"]);
    }
    refused(path, &[&run[..], &["--report", "fifo"]].concat(), &["it is no folder"]);
    refused(path, &["timeline", "i1532", "--sim", "-o", "fifo.svg"], &["FIFO that nobody reads"]);
    refused(path, &["image", "fifo"], &["cannot write"]);
}

fn tools() {
    let folder = folder();
    for (arguments, words) in [
        ("kstat --run i1532 --sim -q -l", "mutually exclusive"),
        ("mpstat --run i1532 --sim nonsense", "unexpected operand `nonsense`"),
        ("mpstat --run i1532 --sim -P x", "number of a processor set"),
        ("prstat --run i1532 --sim -s colour", "no sort key `colour`"),
        ("ps -elcL --run i1532 --sim -p x", "a process's number"),
        ("psrinfo --run i1532 --sim x", "Invalid argument"),
        ("priocntl --run i1532 --sim", "-l is what there is"),
        ("dispadmin --run i1532 --sim -c XX -g", "no class `XX`"),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        // The machine would run up to a violation first, and that be told.
        let said = said_in(folder.path(), &arguments);
        assert!(
            said.code == Some(2) && said.err.contains(words),
            "{arguments:?}: {:?} {}",
            said.code,
            said.err
        );
        assert!(!said.err.contains("running up to"), "{arguments:?}: {}", said.err);
    }
}

fn core_directory() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("file"), "").expect("writable");
    for dir in ["file", "file/below"] {
        let run = ["run", "i1532", "--sim", "--core-on", "end", dir];
        let said = said_in(path, &run);
        assert!(said.code == Some(2) && said.err.contains("is no directory"), "{dir}: {}", said.err);
        assert!(said.out.is_empty(), "nothing was run: {}", said.out);
    }
    assert!(!path.join("new").exists());
}

fn dump() {
    let folder = folder();
    let path = folder.path();
    fs::create_dir(path.join("cores")).expect("made");
    for (file, words) in [("cores", "it is a directory"), ("/dev/null", "not overwritten")] {
        let said = said_in(
            path,
            &["mdb", "--run", "i1532", "--sim", "--at", "10ms", "-e", &format!("::dump {file}")],
        );
        assert!(said.code == Some(1) && said.err.contains(words), "{file}: {}", said.err);
        assert!(!said.err.contains("os error"), "{}", said.err);
    }
}

fn values() {
    let folder = folder();
    let path = folder.path();
    for arguments in [
        ["mpstat", "--run", "i1532", "--sim", "--at", "-1ms"],
        ["mdb", "--run", "i1532", "--sim", "--at", "-1ms"],
    ] {
        let said = said_in(path, &arguments);
        assert!(said.code == Some(2) && said.err.contains("'-1ms'"), "{arguments:?}: {}", said.err);
        assert!(!said.err.contains("umpire-cli"), "{}", said.err);
    }
    let said = said_in(path, &["mpstat", "--run", "i1532", "--nonsense"]);
    assert!(said.code == Some(2) && !said.err.contains("umpire-cli"), "{}", said.err);
    for (memory, words) in [("16MiB", "found `16MiB`"), ("1k", "found `1k`")] {
        let text = format!(
            "id = \"x\"\ntitle = \"x\"\nsource = \"x\"\nmemory = \"{memory}\"\nrun = \"1s\"\n[[thread]]\nname = \"t\"\nclass = \"TS\"\npri = 29\nwork = \"spin\"\n\
             [[bound]]\nmonitor = \"deadman\"\nlimit = \"1s\"\n"
        );
        fs::write(path.join("m.toml"), text).expect("writable");
        refused(path, &["run", "m.toml", "--sim"], &[words, "m.toml:4:"]);
    }
}

fn tools_of_a_core() {
    let folder = folder();
    let path = folder.path();
    let run = ["mdb", "--run", "i1532", "--sim", "--at", "300ms", "-e", "::dump run.core"];
    assert_eq!(said_in(path, &run).code, Some(0));
    for tool in [
        "mpstat",
        "prstat -mL",
        "ps -elcL",
        "psrinfo -vp",
        "priocntl -l",
        "dispadmin -c TS -g",
        "kstat -p cpu:1:sys:pswitch",
    ] {
        let mut words: Vec<&str> = tool.split(' ').collect();
        let live = said_in(
            path,
            &[&words[..1], &["--run", "i1532", "--sim", "--at", "300ms"], &words[1..]].concat(),
        );
        // The core is the first operand.
        let at = words
            .iter()
            .rposition(|word| word.starts_with('-') || ["TS"].contains(word))
            .map_or(1, |n| n + 1);
        words.insert(at, "./run.core");
        let core = said_in(path, &words);
        assert!(core.code == Some(0) && !core.out.is_empty(), "{words:?}: {}", core.err);
        assert_eq!(core.out, live.out, "{words:?}");
    }
    let said = said_in(path, &["mpstat", "./run.core", "1", "3"]);
    assert!(said.code == Some(0) && said.err.contains("one moment"), "{}", said.err);
    assert_eq!(said.out.lines().count(), 3, "a heading, and a line for each CPU: {}", said.out);
    refused(path, &["mpstat", "./none.core"], &["none.core"]);
}

/// A recording, `run.rec`, in a folder.
fn recorded(folder: &Path) {
    let said = said_in(
        folder,
        &["run", "i1532", "--sim", "--variant", "kpreemptpri=99", "--run", "20ms", "--record", "run.rec"],
    );
    assert!(matches!(said.code, Some(0 | 4)), "{}", said.err);
}

fn lacking_variants() {
    let folder = folder();
    let path = folder.path();
    let two = ["run", "i1532", "healthy", "--variant", "kpreemptpri=99", "--sim", "--run", "50ms"];
    let said = said_in(path, &two);
    let is_told = said.err.contains("healthy: there is no variant `kpreemptpri=99`; there are: ");
    assert!(said.code == Some(2) && is_told, "{:?} {}", said.code, said.err);
    // The one that has it is run all the same.
    let ran = said.out;
    assert!(ran.lines().any(|row| row.starts_with("i1532") && row.contains("kpreemptpri=99")), "{ran}");
    refused(path, &["run", "--sim", "--variant", "nonesuch"], &["no scenario has a variant `nonesuch`"]);
}

fn idle_options() {
    let folder = folder();
    let path = folder.path();
    recorded(path);
    for command in [
        &["events", "run.rec"][..],
        &["latency", "run.rec"],
        &["why", "run.rec"],
        &["timeline", "run.rec", "-o", "x.svg"],
    ] {
        for (option, more) in [
            ("--variant", &["kpreemptpri=99"][..]),
            ("--variant", &["nonesuch"]),
            ("--sim", &[]),
            ("--sim", &["--seed", "9"]),
        ] {
            let words = [&format!("{option} means nothing here"), "run.rec is a file"];
            refused(path, &[command, &[option], more].concat(), &words);
        }
    }
    assert!(!path.join("x.svg").exists());
    let two = ["latency", "i1532:kpreemptpri=99", "--sim", "--variant", "kpreemptpri=100"];
    refused(path, &two, &["--variant means nothing here", "`i1532:kpreemptpri=99` names its variant itself"]);
    refused(path, &["compare", "run.rec", "run.rec", "--sim"], &["--sim means nothing here"]);
    let named = ["compare", "run.rec", "i1532:mode=user", "--sim", "--variant", "mode=user"];
    refused(path, &named, &["--variant means nothing here", "run.rec is a file", "names its variant itself"]);
    // It is about the other side.
    assert_eq!(
        said_in(path, &["compare", "run.rec", "i1532", "--sim", "--variant", "mode=user"]).code,
        Some(0)
    );
    refused(path, &["events", "none.rec", "--sim"], &["cannot read none.rec"]);
}

fn over() {
    let folder = folder();
    let path = folder.path();
    recorded(path);
    let before = fs::read(path.join("run.rec")).expect("a recording");
    for name in ["rr.json", "rr.svg"] {
        fs::copy(path.join("run.rec"), path.join(name)).expect("copied");
        std::os::unix::fs::symlink(name, path.join(format!("link.{name}"))).expect("made");
        fs::hard_link(path.join(name), path.join(format!("hard.{name}"))).expect("made");
        for out in [name.to_owned(), format!("./{name}"), format!("link.{name}"), format!("hard.{name}")] {
            refused(
                path,
                &["timeline", name, "-o", &out],
                &["it is what is to be drawn", "give -o another path"],
            );
        }
        assert!(fs::read(path.join(name)).expect("a recording") == before, "{name} is as it was");
    }
    let run = ["run", "i1532", "--sim", "--run", "10ms", "--variant", "kpreemptpri=99"];
    std::os::unix::fs::symlink("y.rec", path.join("link")).expect("made");
    for other in ["./y.rec", "link"] {
        refused(
            path,
            &[&run[..], &["--record", "y.rec", "--trace", other]].concat(),
            &["write two files", "y.rec"],
        );
    }
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/stuck_clock.toml"));
    fs::write(path.join("my.toml"), text.expect("a scenario of the tree")).expect("writable");
    for option in ["--junit", "--tap", "--markdown"] {
        refused(
            path,
            &["run", "my.toml", "--sim", option, "./my.toml"],
            &["it is the file of scenario", option],
        );
    }
    let out = fs::File::create(path.join("out")).expect("writable");
    let said = finish(spawn(umpire_in(path, &[&run[..], &["--trace", "out"]].concat()).stdout(out)));
    assert!(said.code == Some(2) && said.err.contains("standard output goes there"), "{}", said.err);
}

fn nothing_to_draw() {
    let folder = folder();
    let path = folder.path();
    recorded(path);
    for interval in [&["--from", "10s"][..], &["--to", "0s"], &["--from", "1s", "--to", "1s"]] {
        for out in ["x.svg", "x.html", "x.json", "x.pftrace"] {
            refused(
                path,
                &[&["timeline", "run.rec", "-o", out], interval].concat(),
                &["no event of run.rec lies"],
            );
            assert!(!path.join(out).exists(), "{out}");
        }
    }
    refused(path, &["timeline", "run.rec", "-o", "x.svg", "--json"], &["unexpected argument '--json'"]);
}

fn no_events() {
    let folder = folder();
    let path = folder.path();
    recorded(path);
    for more in [&["--probe", "nosteal"][..], &["--from", "10s"], &["--to", "0s", "--by", "cpu"]] {
        let said = said_in(path, &[&["events", "run.rec"], more].concat());
        assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{}", said.err);
        assert!(said.err.contains("run.rec: no such event"), "{}", said.err);
        let quiet = said_in(path, &[&["events", "run.rec", "-q"], more].concat());
        assert_eq!((quiet.code, quiet.out + &quiet.err), (Some(0), String::new()));
    }
}

/// A run of i1532 that is held at its end, once it is there.
fn run(folder: &Path, state: &str, arguments: &[&str]) -> Child {
    let all = [&["run", "i1532", "--variant", "kpreemptpri=99", "--json"][..], arguments].concat();
    let run = spawn(&mut umpire_in(folder, &all));
    await_state(folder, state);
    run
}

fn await_state(folder: &Path, state: &str) {
    let begin = Instant::now();
    loop {
        let said = said_in(folder, &["ps", "--json"]);
        let vm = said.out.lines().next().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        if vm.is_some_and(|vm| vm["state"] == state) {
            return;
        }
        assert!(begin.elapsed() < LIMIT, "no VM is {state}: {}", said.out);
    }
}

fn first_interrupt() {
    let folder = folder();
    let path = folder.path();
    let held = run(path, "held", &["--run", "100ms", "--hold", "end"]);
    let mut repeats = umpire_in(path, &["mpstat", "i1532", "1"]);
    let mut reads = umpire_in(path, &["mdb", "i1532"]);
    reads.stdin(Stdio::piped());
    for command in [&mut repeats, &mut reads] {
        let mut child = spawn(command);
        let input = child.stdin.take();
        if let Some(mut input) = input.as_ref() {
            std::io::Write::write_all(&mut input, b"::status\n").expect("taken");
        }
        // Something is said before it sleeps, or reads on.
        let mut first = [0; 1];
        let mut out = child.stdout.take().expect("piped");
        std::io::Read::read_exact(&mut out, &mut first).expect("a first answer");
        kill_process(pid(&child), Signal::INT).expect("it runs");
        assert_eq!(finish(child).code, Some(130));
        drop(input);
    }
    kill_process(pid(&held), Signal::INT).expect("it runs");
    finish(held);
}

fn one_cpu() {
    let folder = folder();
    let path = folder.path();
    let held = run(path, "held", &["--run", "60s", "--hold", "start"]);
    assert_eq!(said_in(path, &["mdb", "i1532", "-e", ":c -c 1"]).code, Some(0));
    await_state(path, "held, 1 of 2 run");
    let said = said_in(path, &["ps"]);
    assert!(said.out.contains("held, 1 of 2 run"), "{}", said.out);
    kill_process(pid(&held), Signal::INT).expect("it runs");
    finish(held);
}
