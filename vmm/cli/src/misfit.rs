//! Arguments of a run that are right one by one and not together: seeds beyond the last, a trace or a recording that several runs or
//! nobody can write, two options that write one file, or the scenario's. A trace or a recording goes to a file of its own, or nowhere (`/dev/null`).
//!
//! # Invariants
//! - What is refused is refused before anything runs, and nothing was opened: to open a FIFO waits for its reader.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use umpire_referee::TRACE_TO_STDOUT;
use umpire_scenario::builtin::find;
use umpire_scenario::{STDIN, Scenario};

use super::args::RunArgs;
use super::output::is_same;
use super::report::INDEX;

/// The one device that a trace or a recording may go to.
const NOWHERE: &str = "/dev/null";
/// Where the results go.
const STDOUT: &str = "/dev/stdout";

/// What the arguments ask for that cannot be, if anything: so many runs of these scenarios.
pub(super) fn misfit(args: &RunArgs, plan: &[Scenario], runs: usize) -> Option<String> {
    if args.seed.checked_add(args.seeds - 1).is_none() {
        return Some(format!(
            "--seed {} is too great for --seeds {}: seeds end at {}",
            args.seed,
            args.seeds,
            u64::MAX
        ));
    }
    if let Err(message) = super::plan::core(args) {
        return Some(message);
    }
    if let Some(dir) = &args.flight
        && let Err(why) = super::plan::fits(dir)
    {
        return Some(format!("--flight {}: {why}", dir.display()));
    }
    let (trace, record) = (args.trace.as_deref(), args.record.as_deref());
    let index = args.report.as_deref().map(|dir| dir.join(INDEX));
    let written = [
        ("--trace", trace),
        ("--record", record),
        ("--junit", args.junit.as_deref()),
        ("--tap", args.tap.as_deref()),
        ("--markdown", args.markdown.as_deref()),
        ("--report", index.as_deref()),
    ];
    if let Some(message) = twice(&written).or_else(|| onto(&written, plan)) {
        return Some(message);
    }
    let to_stdout = |path: Option<&Path>| path == Some(Path::new(TRACE_TO_STDOUT));
    if let Some((option, _)) = written.iter().find(|(option, path)| to_stdout(*path) && *option != "--trace")
    {
        return Some(format!("{option} - is no file, and this does not go to standard output; give a path"));
    }
    if to_stdout(trace) && args.json {
        return Some(
            "--trace - and --json would both write to standard output; give --trace a file".to_owned(),
        );
    }
    let files = [("--trace", trace), ("--record", record)];
    files.into_iter().find_map(|(option, path)| {
        let path = path?;
        if let Some(instead) = several(args, runs) {
            return Some(format!("{option} writes one run to one file: {instead}"));
        }
        if to_stdout(Some(path)) { None } else { refusal(option, path) }
    })
}

/// What to do so that there is one run, if there are several.
fn several(args: &RunArgs, runs: usize) -> Option<String> {
    match () {
        () if runs != 1 => Some("give one ID, and its --variant if it has several".to_owned()),
        () if args.seeds != 1 => {
            Some(format!("--seeds {} asks for {0} runs; give one seed, with --seed N", args.seeds))
        }
        () if args.repeat != 1 => Some(format!("--repeat {} asks for {0} runs; leave it out", args.repeat)),
        () => None,
    }
}

/// Which file that is read, or that the results go to, one of these would write over, if one would.
fn onto(written: &[(&str, Option<&Path>)], plan: &[Scenario]) -> Option<String> {
    let given = written.iter().filter_map(|(option, path)| Some((*option, (*path)?)));
    given.filter(|(_, path)| *path != Path::new(TRACE_TO_STDOUT)).find_map(|(option, path)| {
        let is_file = |scenario: &&Scenario| {
            scenario.origin != STDIN && scenario.origin.to_str().is_none_or(|word| find(word).is_none())
        };
        let is_it = |scenario: &&Scenario| is_same(path, Path::new(&scenario.origin));
        let scenario = plan.iter().filter(is_file).find(is_it);
        let what = match scenario {
            Some(scenario) => format!("it is the file of scenario {}", scenario.id),
            None if is_same(path, Path::new(STDOUT)) => "standard output goes there".to_owned(),
            None => return None,
        };
        Some(format!("cannot write to {}: {what}; give {option} another path", path.display()))
    })
}

/// Which two options would write into the same file, if two would. Nowhere is no file.
fn twice(written: &[(&str, Option<&Path>)]) -> Option<String> {
    let given: Vec<(&str, &Path)> =
        written.iter().filter_map(|(option, path)| Some((*option, (*path)?))).collect();
    let pairs = given.iter().enumerate().flat_map(|(n, a)| given[n + 1..].iter().map(move |b| (a, b)));
    let ((a, path), (b, other)) = pairs.filter(|(a, b)| is_same(a.1, b.1)).map(|(a, b)| (*a, *b)).next()?;
    let paths = if path == other {
        format!("{} is one", path.display())
    } else {
        format!("{} and {} are one", path.display(), other.display())
    };
    Some(format!("{a} and {b} write two files, and {paths}: give each a path of its own"))
}

/// Why what this option asks for must not be written there, if that is so.
fn refusal(option: &str, path: &Path) -> Option<String> {
    let shown = path.display();
    // A path that is not there yet is created, if its folder is there; one that cannot be is told by who tries.
    let Ok(found) = fs::metadata(path) else {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty())?;
        let is_missing = fs::metadata(folder).is_err_and(|cause| cause.kind() == ErrorKind::NotFound);
        let what = if option == "--trace" { "trace" } else { "recording" };
        return is_missing.then(|| {
            format!(
                "cannot write the {what} to {shown}: there is no folder {}; give {option} a path that can be written",
                folder.display()
            )
        });
    };
    let is_nowhere =
        || fs::metadata(NOWHERE).is_ok_and(|other| (other.dev(), other.ino()) == (found.dev(), found.ino()));
    let kind = found.file_type();
    let what = match () {
        () if kind.is_fifo() => "FIFO",
        () if kind.is_socket() => "socket",
        () if kind.is_dir() => "directory",
        () if (kind.is_char_device() || kind.is_block_device()) && !is_nowhere() => "device",
        () => return None,
    };
    Some(format!("cannot write to {shown}: it is a {what}; give {option} the path of a file"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixListener;

    #[test]
    fn two_options_do_not_write_into_one_file() {
        let at = |text| Some(Path::new(text));
        let told =
            twice(&[("--tap", at("x")), ("--junit", None), ("--markdown", at("x"))]).unwrap_or_default();
        assert!(told.starts_with("--tap and --markdown write two files, and x is one"), "{told}");
        let told = twice(&[("--record", at("x")), ("--trace", at("./x"))]).unwrap_or_default();
        assert!(told.contains("--record and --trace write two files, and x and ./x are one"), "{told}");
        assert_eq!(twice(&[("--tap", at("x")), ("--junit", at("y"))]), None);
        assert_eq!(twice(&[("--trace", at(NOWHERE)), ("--record", at(NOWHERE))]), None);
    }

    #[test]
    fn trace_goes_to_a_new_file_an_old_one_or_nowhere() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let old = folder.path().join("old");
        fs::write(&old, "").expect("a file");
        for path in [&folder.path().join("new"), &old, Path::new(NOWHERE)] {
            assert_eq!(refusal("--trace", path), None);
            assert_eq!(onto(&[("--trace", Some(path))], &[]), None);
        }
    }

    #[test]
    fn trace_does_not_go_to_what_is_no_file_or_is_the_scenario_s() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let socket = folder.path().join("socket");
        let _listener = UnixListener::bind(&socket).expect("a socket");
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
        assert!(made.success());
        // Not text, which is another path than the nearest text.
        let file = folder.path().join(OsStr::from_bytes(b"mine\xff.toml"));
        let built_in = umpire_scenario::builtin::BUILTIN.iter().find(|b| b.id == "i1532").expect("built in");
        fs::write(&file, built_in.text).expect("a scenario");
        let again = folder.path().join("again");
        fs::hard_link(&file, &again).expect("a second name");
        let scenario = umpire_scenario::load(&file).expect("a good file");
        for (path, what) in [
            (folder.path(), "it is a directory"),
            (Path::new("/dev/zero"), "it is a device"),
            (&socket, "it is a socket"),
            (&fifo, "it is a FIFO"),
        ] {
            let said = refusal("--trace", path).unwrap_or_default();
            assert!(said.contains(what), "{}: {said}", path.display());
        }
        for option in ["--trace", "--record", "--junit", "--tap", "--markdown", "--report"] {
            for path in [&file, &again] {
                let told = onto(&[(option, Some(path))], std::slice::from_ref(&scenario)).unwrap_or_default();
                let is_told = told.contains("it is the file of scenario i1532") && told.contains(option);
                assert!(is_told, "{option} {}: {told}", path.display());
            }
        }
    }
}
