//! The golden sessions once more, at other targets: at a core of the simulated machine, which must answer with every character of the
//! golden file, and at a VM of another process, whose answers must have the same form.
//!
//! # Invariants
//! - Every command and every walker is typed in some golden file: one that is forgotten fails the first test.
//! - What a target answers otherwise is in a table with its reason, and must be needed there.
//! - The VM is held, so that what is compared is the target and not the moment.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use regex_lite::Regex;
use serde_json::Value;
use umpire_mdb::dcmd::{self, DCMDS};
use umpire_mdb::lang::{Verb, parse};
use umpire_mdb::walker::WALKERS;
use umpire_scenario::builtin;

use crate::{Names, answer, difference};

/// The golden files whose sessions are typed at other targets; those of the tools are no sessions.
const FILES: [&str; 13] = [
    "b6256245", "callouts", "i1532", "language", "locks", "mistakes", "names", "network", "streams", "taskq",
    "time", "topology", "types",
];

/// For how long a VM may take to come.
const LIMIT: Duration = Duration::from_secs(60);

/// What a core answers otherwise than the machine that it is of, and why.
const OTHERWISE_ON_A_CORE: &[(&str, &str)] = &[
    ("::status", "it says what is looked at"),
    ("::regs", "why there are none is another reason"),
    ("::walk thread |::findstack ! head -3", "the same of the registers of a thread that runs"),
    ("::threadlist -v ! head -7", "the same"),
    (":c", "why it cannot be controlled is another reason"),
    (":s", "the same"),
    (":k", "the same"),
];

/// What is not typed at a VM, or is not compared there, and why.
const NOT_LIVE: &[(&str, &str)] = &[
    (":c", "the VM would go on: tests/runs/sessions.rs types it"),
    (":s", "the same"),
    (":k", "the VM would be gone"),
];

/// What a VM answers although a core of the simulator has no answer, and why.
const ONLY_LIVE: &[(&str, &str)] = &[
    ("::regs", "its CPUs have registers"),
    ("$c", "the same"),
    ("<rip=X", "the same"),
    ("0/X", "it has memory at 0 and above"),
    ("10::mutex", "the same"),
    ("10::list kthread_t t_link", "the same"),
    ("kernel::list Kernel lbolt", "the same"),
    ("::walk cpu | ::print cpu_t cpu_id | /X", "the same"),
];

/// A part of a golden file: arguments, and what is typed with what came back.
struct Part {
    file: &'static str,
    hides_times: bool,
    arguments: Vec<String>,
    typed: Vec<(String, String)>,
}

/// The golden files, part by part.
fn parts() -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for file in FILES {
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/mdb/golden").join(format!("{file}.txt"));
        let text = fs::read_to_string(path).expect("a golden file");
        let hides_times = text.starts_with("# Times");
        for line in text.lines().skip_while(|line| line.starts_with('#')) {
            if let Some(given) = line.strip_prefix("$ umpire mdb ") {
                let arguments = given.split_whitespace().map(str::to_owned).collect();
                parts.push(Part { file, hides_times, arguments, typed: Vec::new() });
                continue;
            }
            let typed = &mut parts.last_mut().expect("a golden file begins with its arguments").typed;
            match (line.strip_prefix("> "), typed.last_mut()) {
                (Some(command), _) => typed.push((command.to_owned(), String::new())),
                (None, Some((_, answer))) => *answer += &format!("{line}\n"),
                (None, None) => panic!("{file}: an answer before the first command: {line}"),
            }
        }
    }
    parts
}

#[test]
fn every_command_and_every_walker_is_typed_in_a_golden_file() {
    let mut met = BTreeSet::new();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/mdb/golden");
    let files =
        fs::read_dir(folder).expect("the golden files").map(|file| file.expect("a golden file").path());
    let texts: Vec<String> = files.map(|path| fs::read_to_string(path).expect("a golden file")).collect();
    for command in texts.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("> ")) {
        // What is a mistake has no commands.
        for verb in
            parse(&command.replace(";; ", "\n")).iter().flatten().flat_map(|s| &s.pipeline).map(|c| &c.verb)
        {
            let Verb::Dcmd { name, args } = verb else { continue };
            met.extend(dcmd::find(name).map(|dcmd| format!("::{}", dcmd.name)));
            if name == "walk" {
                met.extend(args.first().map(|arg| format!("::walk {}", arg.text)));
            }
        }
    }
    let dcmds = DCMDS.iter().map(|dcmd| format!("::{}", dcmd.name));
    let all = dcmds.chain(WALKERS.iter().map(|walker| format!("::walk {}", walker.name)));
    let missing: BTreeSet<String> = all.filter(|one| !met.contains(one)).collect();
    assert_eq!(missing, BTreeSet::new(), "what no golden file types");
}

#[test]
fn core_answers_as_the_machine_that_it_is_of() {
    let folder = tempfile::tempdir().expect("a folder for cores");
    let otherwise: BTreeSet<&str> = OTHERWISE_ON_A_CORE.iter().map(|(command, _)| *command).collect();
    let mut needed = BTreeSet::new();
    let mut broken = Vec::new();
    for (n, part) in parts().iter().enumerate() {
        let path = core_of(part, &folder.path().join(format!("{n}.core")));
        for (command, expected) in &part.typed {
            let mut names = Names { hides_times: part.hides_times, ..Names::default() };
            let answered = names.masked(&answer(&[&path], command));
            if answered == *expected {
                continue;
            }
            needed.extend(otherwise.get(command.as_str()));
            if !otherwise.contains(command.as_str()) {
                let what = PathBuf::from(format!("{} > {command}", part.file));
                broken.push(difference(&what, expected, &answered));
            }
        }
    }
    assert!(broken.is_empty(), "{} answers of cores differ\n{}", broken.len(), broken.join("\n"));
    assert_eq!(needed, otherwise, "what is in the table is answered alike");
}

/// Writes a core of the simulated machine that a part of a golden file looks at.
fn core_of(part: &Part, path: &Path) -> String {
    let path = path.display().to_string();
    let arguments: Vec<&str> = part.arguments.iter().map(String::as_str).collect();
    let written = answer(&arguments, &format!("::dump {path}"));
    assert!(written.contains(" of memory"), "{written}");
    path
}

/// VMs that are asked, one after the other, before an answer is taken for wrong.
const VMS: usize = 3;

#[test]
fn live_guest_answers_in_the_same_form() {
    if !Path::new("/dev/kvm").exists() {
        return eprintln!("skipped: there is no /dev/kvm");
    }
    let folder = tempfile::tempdir().expect("a folder for cores and sessions");
    let mut broken = Vec::new();
    for (n, part) in parts().iter().enumerate() {
        let core = core_of(part, &folder.path().join(format!("{n}.core")));
        let is_typed = |(command, _): &&(String, String)| !NOT_LIVE.iter().any(|(other, _)| other == command);
        let commands: Vec<&str> =
            part.typed.iter().filter(is_typed).map(|(command, _)| command.as_str()).collect();
        let of_core = all_of(folder.path(), &core, &commands);
        // A VM that is held while a CPU changes what is looked at says so for as long as it is held: another one is asked then.
        let differences = (0..VMS).map(|_| {
            let vm = Vm::held(part, folder.path());
            let live = all_of(folder.path(), &vm.name, &commands);
            let all = commands.iter().zip(&of_core).zip(&live);
            all.filter_map(|((command, core), live)| {
                let how = answered(command, core, live).err()?;
                Some(format!("{} > {command}\n  {how}\n  core: {core:?}\n  live: {live:?}", part.file))
            })
            .collect::<Vec<_>>()
        });
        let mut last = Vec::new();
        for found in differences {
            last = found;
            if last.is_empty() {
                break;
            }
        }
        broken.extend(last);
    }
    assert!(broken.is_empty(), "{} answers of live guests differ\n{}", broken.len(), broken.join("\n"));
}

/// Says what is wrong with a live guest's answer, beside that of a core.
fn answered(command: &str, core: &Said, live: &Said) -> Result<(), String> {
    let is_only_live = ONLY_LIVE.iter().any(|(other, _)| *other == command);
    match is_only_live {
        true if live.errors.is_empty() && !core.errors.is_empty() => trusted(live),
        true => Err("it should be answered by the VM only".to_owned()),
        false => alike(core, live).and_then(|()| trusted(live)),
    }
}

/// What came back: as text, as JSON, and as errors.
#[derive(Debug, Default)]
struct Said {
    text: String,
    json: Vec<Value>,
    errors: String,
}

/// Says how the form of a live guest's answer differs from that of a core's.
fn alike(core: &Said, live: &Said) -> Result<(), String> {
    if core.errors.is_empty() != live.errors.is_empty() {
        return Err(format!("an error on one side only: {:?}, {:?}", core.errors, live.errors));
    }
    let title = |said: &Said| said.text.lines().next().filter(|line| is_title(line)).map(str::to_owned);
    if let (Some(of_core), Some(of_live)) = (title(core), title(live))
        && of_core != of_live
    {
        return Err(format!("headings differ: {of_core:?}, {of_live:?}"));
    }
    let keys = |said: &Said| -> Option<Vec<String>> {
        said.json.first().and_then(Value::as_object).map(|row| row.keys().cloned().collect())
    };
    if let (Some(of_core), Some(of_live)) = (keys(core), keys(live))
        && of_core != of_live
    {
        return Err(format!("keys differ: {of_core:?}, {of_live:?}"));
    }
    Ok(())
}

/// Says which row is not to be trusted, if one is not.
fn trusted(live: &Said) -> Result<(), String> {
    let trusted = Regex::new("^(clean|retried [0-9]+)$").expect("a pattern");
    let torn = live
        .json
        .iter()
        .find(|row| !row["verdict"].as_str().is_some_and(|verdict| trusted.is_match(verdict)));
    torn.map_or(Ok(()), |row| Err(format!("no verdict to be trusted: {row}")))
}

/// True for the headings of a table.
fn is_title(line: &str) -> bool {
    line.contains(char::is_alphabetic) && !line.contains(char::is_lowercase)
}

/// Types each command at a target, in one process for text and one for JSON.
fn all_of(folder: &Path, target: &str, commands: &[&str]) -> Vec<Said> {
    let mut all: Vec<Said> = commands.iter().map(|_| Said::default()).collect();
    for style in [None, Some("--json")] {
        let mut mdb = umpire(folder);
        mdb.args(["mdb", target]).args(style);
        for command in commands {
            // A line of the shell and a command that nobody has stand between the answers, and between the errors.
            mdb.args([
                "-e",
                &command.replace(";; ", "\n"),
                "-e",
                &format!("! echo {MARK}"),
                "-e",
                BETWEEN_ERRORS,
            ]);
        }
        let output = mdb.output().expect("umpire can be run");
        let (text, errors) = (texts(&output.stdout), texts(&output.stderr));
        let answers: Vec<&str> = text.split(&format!("{MARK}\n")).collect();
        let refused: Vec<String> = errors.split(NOBODY).map(|error| error.to_owned()).collect();
        assert_eq!(
            (answers.len(), refused.len()),
            (commands.len() + 1, commands.len() + 1),
            "{text}{errors}"
        );
        for ((said, answer), errors) in all.iter_mut().zip(answers).zip(refused) {
            // The error that stood between says where it is.
            let own = errors.lines().filter(|line| line.starts_with("mdb: "));
            own.for_each(|line| said.errors += &format!("{line}\n"));
            match style {
                None => answer.clone_into(&mut said.text),
                // What the shell prints is no JSON.
                Some(_) => {
                    said.json = answer
                        .lines()
                        .filter_map(|line| serde_json::from_str(line).ok())
                        .filter(Value::is_object)
                        .collect()
                }
            }
        }
    }
    all
}

const MARK: &str = "=-=-=";
const BETWEEN_ERRORS: &str = "::between";
const NOBODY: &str = "mdb: invalid command '::between'";

fn texts(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn umpire(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_umpire"));
    command.env("XDG_RUNTIME_DIR", folder);
    command
}

/// A VM that is held at the end of its run.
struct Vm {
    name: String,
    run: Child,
}

impl Vm {
    /// Runs on KVM what a part of a golden file looks at, and waits until it is held.
    fn held(part: &Part, folder: &Path) -> Vm {
        let argument =
            |flag: &str| part.arguments.iter().skip_while(|a| *a != flag).nth(1).map(String::as_str);
        let run = argument("--run").expect("a golden file runs a scenario");
        let (id, variant) = run.split_once(':').map_or((run, None), |(id, variant)| (id, Some(variant)));
        let scenario =
            builtin::find(id).expect("a scenario").scenario().expect("a scenario that can be read");
        let variant = variant.unwrap_or(&scenario.variants[0].name);
        let mut run = umpire(folder);
        run.args(["run", id, "--variant", variant, "--hold", "end"]);
        run.args(argument("--at").iter().flat_map(|at| ["--run", at]));
        run.args(argument("--set").iter().flat_map(|set| ["--set", set]));
        let child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("umpire can be run");
        let vm = Vm { name: id.to_owned(), run: child };
        let begin = Instant::now();
        loop {
            let Output { stdout, .. } =
                umpire(folder).args(["ps", "--json"]).output().expect("umpire can be run");
            if texts(&stdout).contains("\"state\":\"held\"") {
                return vm;
            }
            assert!(begin.elapsed() < LIMIT, "{id} is not held: {}", texts(&stdout));
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _gone = self.run.kill();
        let _reaped = self.run.wait();
    }
}
