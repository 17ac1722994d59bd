//! How long it takes to get to a machine of another process, or of the past: attaching, and cores.
//!
//! # Invariants
//! - Attaching and opening a core are measured on whole processes, from their start to their end with a table printed.
//! - Whatever was made for it, a process or a file, is gone afterwards.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use umpire_reach::core::{self, CoreFile, Told};
use umpire_scenario::builtin;
use umpire_watch::glass::Target;

use super::crowd::{self, THREADS};
use super::running::RunningGuest;
use super::{BenchRow, Better, failed, median};
use crate::report::RunError;

/// Processes that are started, and cores that are written.
const ROUNDS: usize = 11;
/// A VM has to be there within this.
const LIMIT: Duration = Duration::from_secs(30);
/// Memory of the great guest that its kernel allocates from: with everything else it has 256 MiB.
const GREAT: &str = "110m";
/// For how long a guest runs before its core is written.
const RUN: Duration = Duration::from_millis(500);
/// The first table that is asked for.
const TABLE: &str = "::cpuinfo";

/// The row of attaching to a VM and seeing a table.
pub(super) fn attach() -> Result<BenchRow, RunError> {
    let place = Place::new()?;
    let mut run = place.umpire(&["run", "i1532", "--variant", "kpreemptpri=100", "--hold", "violation"]);
    let vm = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(failed)?;
    let _vm = Running(vm);
    let begin = Instant::now();
    while !place.said(&["ps"])?.contains("held") {
        if begin.elapsed() > LIMIT {
            return Err(RunError::Unsupported("measure attaching: no VM was held within 30 s".to_owned()));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let took = place.timed(&["mdb", "i1532", "-e", TABLE])?;
    Ok(BenchRow {
        what: format!("umpire mdb NAME -e {TABLE}: attach to the first table"),
        value: took,
        goal: 30.0,
        unit: "ms",
        better: Better::Less,
        note: format!("median of {ROUNDS} processes, from start to end; the VM is held"),
    })
}

/// The rows of a great guest's core, and of that of `i1532`.
pub(super) fn cores() -> Result<Vec<BenchRow>, RunError> {
    let place = Place::new()?;
    let guest = RunningGuest::start(&crowd::crowded_with(&format!("memory = \"{GREAT}\"\n"))?)?;
    thread::sleep(RUN);
    let (mut took, mut written) = (Vec::new(), None);
    for n in 0..ROUNDS {
        let path = place.path.join(format!("great{n}"));
        let begin = Instant::now();
        written = Some(core::write(guest.target(), &Told::default(), &path).map_err(failed)?);
        took.push(begin.elapsed().as_secs_f64() * 1e3);
        fs::remove_file(&path).map_err(failed)?;
    }
    drop(guest);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (memory, data) = written.map_or((0, 0), |written| (written.memory, written.data));
    let great = BenchRow {
        what: format!("core of a guest of {:.0} MiB, {THREADS} threads", mib(memory)),
        value: median(took),
        goal: 1000.0,
        unit: "ms",
        better: Better::Less,
        note: format!("median of {ROUNDS}; {:.1} MiB of it are not zero, the rest are holes", mib(data)),
    };

    let scenario =
        builtin::find("i1532").expect("invariant: i1532 is built in").scenario().map_err(failed)?;
    let guest = RunningGuest::start(&scenario)?;
    thread::sleep(RUN);
    let path = place.path.join("core");
    core::write(guest.target(), &Told::default(), &path).map_err(failed)?;
    let packed = place.path.join("packed");
    core::write(guest.target(), &Told { zstd: true, ..Told::default() }, &packed).map_err(failed)?;
    drop(guest);
    let on_disk = |path: &Path| fs::metadata(path).map(|file| mib(512 * file.blocks())).map_err(failed);
    let size = BenchRow {
        what: "core of i1532, on disk".to_owned(),
        value: on_disk(&path)?,
        goal: 10.0,
        unit: "MiB",
        better: Better::Less,
        note: format!("compressed: {:.2} MiB", on_disk(&packed)?),
    };
    let argument = path.to_string_lossy().into_owned();
    let opened = BenchRow {
        what: format!("umpire mdb CORE -e {TABLE}: a core to the first table"),
        value: place.timed(&["mdb", &argument, "-e", TABLE])?,
        goal: 30.0,
        unit: "ms",
        better: Better::Less,
        note: format!("median of {ROUNDS} processes, from start to end"),
    };
    Ok(vec![great, size, opened])
}

/// The core of a guest as it stands.
pub(super) fn core_of(guest: &RunningGuest) -> Result<CoreFile, RunError> {
    let place = Place::new()?;
    let path = place.path.join("core");
    core::write(guest.target(), &Told::default(), &path).map_err(failed)?;
    let symbols = guest.target().symbols().map_err(failed)?;
    CoreFile::open(&path, guest.target().layout(), symbols).map_err(failed)
}

/// A folder for sessions and files.
struct Place {
    path: PathBuf,
    program: PathBuf,
}

impl Place {
    fn new() -> Result<Place, RunError> {
        let path = env::temp_dir().join(format!("umpire-bench-{}", process::id()));
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
        Ok(Place { path, program: env::current_exe().map_err(failed)? })
    }

    /// `umpire` with its sessions here.
    fn umpire(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env("XDG_RUNTIME_DIR", &self.path).args(arguments);
        command
    }

    fn output(&self, arguments: &[&str]) -> Result<Output, RunError> {
        let output = self.umpire(arguments).output().map_err(failed)?;
        if output.status.success() {
            return Ok(output);
        }
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(RunError::Unsupported(format!("measure `umpire {}`: it said {told}", arguments.join(" "))))
    }

    fn said(&self, arguments: &[&str]) -> Result<String, RunError> {
        Ok(String::from_utf8_lossy(&self.output(arguments)?.stdout).into_owned())
    }

    /// ms from the start of such a process to its end: the median of some.
    fn timed(&self, arguments: &[&str]) -> Result<f64, RunError> {
        let mut took = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            self.output(arguments)?;
            took.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        Ok(median(took))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.path);
    }
}

/// A run that is ended when nobody needs it any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}
