//! Where the moments of the screen come from: a simulated run, which its seed repeats up to each of them, or a VM that runs.
//!
//! # Invariants
//! - Each moment of a simulated run is of the same run. Going to one again, for the debugger, finds the machine as it was shown.
//! - A VM that was started for the screen ends with it; one that was there before goes on.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use umpire_mdb::view::View;
use umpire_reach::Attached;
use umpire_reach::client::Connected;
use umpire_reach::core::write;
use umpire_reach::names::{Directory, safe};
use umpire_referee::{RunOptions, rings, write_recording};
use umpire_rows::number;
use umpire_shared::tunable::TUNABLES;

use super::still::Still;
use crate::Backends;
use crate::args::WatchArgs;
use crate::exit::Exit;
use crate::mdb;
use crate::stand::{Image, Stand, look_at};
use crate::streams::Streams;

/// A VM that has not come up by then never will.
const BOOT_LIMIT: Duration = Duration::from_secs(10);
/// How often it is looked for.
const BOOT_POLL: Duration = Duration::from_millis(5);

/// Where moments come from.
#[derive(Debug)]
pub(super) enum Source {
    /// A simulated run.
    Simulated(Simulated),
    /// A VM.
    Vm(Vm),
}

impl Source {
    /// What the arguments ask for: a simulated run, the VM of that name, or a run on KVM.
    pub fn of(args: &WatchArgs) -> Result<Source, String> {
        if args.sim {
            return Simulated::of(args).map(Source::Simulated);
        }
        let is_there = Directory::of_user().and_then(|directory| directory.names());
        let is_there = is_there.is_ok_and(|names| match &args.run {
            Some(word) => names.iter().any(|name| name.starts_with(word.as_str())),
            None => true,
        });
        if !is_there {
            return Vm::started(args).map(Source::Vm);
        }
        if !args.settings.is_empty() || args.cpus.is_some() {
            return Err(
                "--set and --cpus are about a run that is started for the screen, and it would show a VM that runs: \
                 leave them out, or name a scenario of which no VM runs (umpire ps)"
                    .to_owned(),
            );
        }
        Vm::there(args.run.as_deref()).map(Source::Vm)
    }

    /// What the screen is called.
    pub fn title(&self) -> &str {
        match self {
            Source::Simulated(run) => &run.title,
            Source::Vm(vm) => &vm.title,
        }
    }

    /// True if time passes only when it is asked to.
    pub fn waits(&self) -> bool {
        matches!(self, Source::Simulated(_))
    }

    /// The next moment; `None` when the run is over.
    pub fn next(&mut self, image: &mut Image, backends: &mut Backends<'_>) -> Result<Option<Still>, String> {
        match self {
            Source::Simulated(run) => run.next(image, backends),
            Source::Vm(vm) => vm.next(image),
        }
    }

    /// The debugger, with a thread in the variable `thread`, until it is left: at a moment of a simulated run, or at a VM as it is now.
    pub fn debug(
        &self,
        at_ns: u64,
        thread: Option<u64>,
        image: &mut Image,
        backends: &mut Backends<'_>,
        streams: &mut Streams<'_>,
    ) -> io::Result<()> {
        match self {
            Source::Simulated(run) => run.debug(at_ns, thread, image, backends, streams),
            Source::Vm(vm) => vm.debug(thread, image, streams),
        }
    }

    /// Writes a core, here: of a simulated run at this moment, of a VM as it is now. Says what became of it.
    pub fn core(&self, at_ns: u64, image: &mut Image, backends: &mut Backends<'_>) -> String {
        let written = match self {
            Source::Simulated(run) => run.core(at_ns, image, backends),
            Source::Vm(vm) => image.get().and_then(|image| dump(&View::new(&vm.attached, image))),
        };
        match written {
            Ok(path) => format!("{}: a core; umpire mdb {}", path.display(), path.display()),
            Err(message) => message,
        }
    }

    /// Writes a recording, here: of a simulated run up to this moment, of a VM what its rings hold now. Says what became of it.
    pub fn record(&self, at_ns: u64, backends: &mut Backends<'_>) -> String {
        let written = match self {
            Source::Simulated(run) => run.record(at_ns, backends),
            Source::Vm(vm) => rings(&vm.attached)
                .and_then(|recording| write_recording(&recording, free(&recording.header.scenario, "rec")?)),
        };
        match written {
            Ok(path) => format!("{}: a recording; umpire why {}", path.display(), path.display()),
            Err(message) => message,
        }
    }
}

/// A simulated run.
#[derive(Debug)]
pub(super) struct Simulated {
    stand: Stand,
    title: String,
    step_ns: u64,
    end_ns: u64,
    at_ns: u64,
}

impl Simulated {
    fn of(args: &WatchArgs) -> Result<Simulated, String> {
        let stand = stand(args, Some(args.seed))?;
        let (scenario, variant) = stand.chosen()?;
        let title = format!("{} {}", scenario.id, variant.name);
        let at_ns = args.at_ns.unwrap_or(0).saturating_sub(args.every_ns);
        Ok(Simulated { stand, title, step_ns: args.every_ns, end_ns: scenario.run_ns, at_ns })
    }

    fn next(&mut self, image: &mut Image, backends: &mut Backends<'_>) -> Result<Option<Still>, String> {
        if self.at_ns >= self.end_ns {
            return Ok(None);
        }
        self.at_ns = (self.at_ns + self.step_ns).min(self.end_ns);
        let mut still = None;
        let mut said = Vec::new();
        let mut nowhere = io::sink();
        let mut streams = Streams::plain(&mut nowhere, &mut said);
        let stand = Stand { at_ns: Some(self.at_ns), ..self.stand.clone() };
        let look = look_at(&stand, image, backends, &mut streams, &mut |target, report, image, _| {
            still = Some(Still::of(&mdb::view_of(target, report, image)));
            Ok(Exit::Pass)
        });
        drop(streams);
        match (still, look) {
            (Some(Ok(still)), _) => Ok(Some(Still { at_ns: self.at_ns, ..still })),
            (Some(Err(failure)), _) => Err(failure.message),
            (None, Err(e)) => Err(e.to_string()),
            (None, Ok(_)) => Err(String::from_utf8_lossy(&said).trim().to_owned()),
        }
    }

    fn core(&self, at_ns: u64, image: &mut Image, backends: &mut Backends<'_>) -> Result<PathBuf, String> {
        let stand = Stand { at_ns: Some(at_ns), ..self.stand.clone() };
        let mut written = Err("the run did not come to that moment".to_owned());
        let mut nowhere = (io::sink(), io::sink());
        let mut streams = Streams::plain(&mut nowhere.0, &mut nowhere.1);
        let look = look_at(&stand, image, backends, &mut streams, &mut |target, report, image, _| {
            written = dump(&mdb::view_of(target, report, image));
            Ok(Exit::Pass)
        });
        look.map_err(|e| e.to_string())?;
        written
    }

    fn record(&self, at_ns: u64, backends: &mut Backends<'_>) -> Result<PathBuf, String> {
        let stand = Stand { at_ns: Some(at_ns), ..self.stand.clone() };
        let (scenario, variant) = stand.chosen()?;
        let path = free(&scenario.id, "rec")?;
        let options = RunOptions { seed: stand.seed, record: Some(path.clone()), ..RunOptions::default() };
        (backends.sim)(&scenario, &variant, &options).map_err(|e| e.to_string())?;
        Ok(path)
    }

    fn debug(
        &self,
        at_ns: u64,
        thread: Option<u64>,
        image: &mut Image,
        backends: &mut Backends<'_>,
        streams: &mut Streams<'_>,
    ) -> io::Result<()> {
        let stand = Stand { at_ns: Some(at_ns), ..self.stand.clone() };
        streams.say(&format!("the debugger at {}; ::quit goes back to the screen", number::exact(at_ns)));
        look_at(&stand, image, backends, streams, &mut |target, report, image, streams| {
            mdb::converse_about(thread, &mdb::view_of(target, report, image), streams)
        })?;
        Ok(())
    }
}

fn stand(args: &WatchArgs, seed: Option<u64>) -> Result<Stand, String> {
    let run = args.run.clone().ok_or("say which scenario to watch: `umpire watch i1532`")?;
    Ok(Stand { run, at_ns: None, settings: args.settings.clone(), cpus: args.cpus, seed })
}

/// A VM that runs.
#[derive(Debug)]
pub(super) struct Vm {
    attached: Attached,
    title: String,
    /// Its process, if it was started for the screen.
    _process: Option<Process>,
}

/// A process that ends with its value.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // If it has ended by itself there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Vm {
    fn there(name: Option<&str>) -> Result<Vm, String> {
        let attached = mdb::attach::attach(name, false).map_err(|e| e.to_string())?;
        Ok(Vm::new(attached, None))
    }

    fn new(attached: Attached, process: Option<Process>) -> Vm {
        let identity = &attached.welcome().identity;
        let title = format!("{} {}", identity.scenario, identity.variant);
        Vm { attached, title, _process: process }
    }

    /// Starts a run of its own, which stays there when it is over, and attaches to it.
    fn started(args: &WatchArgs) -> Result<Vm, String> {
        let (scenario, variant) = stand(args, None)?.chosen()?;
        let id =
            args.run.as_deref().and_then(|run| run.strip_suffix(&format!(":{}", variant.name)).or(Some(run)));
        let program = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut command = Command::new(program);
        command.args(["run", id.unwrap_or(&scenario.id), "--variant", &variant.name, "--hold", "end"]);
        args.settings.iter().for_each(|setting| {
            let tunable = TUNABLES.get(setting.number).map_or("", |tunable| tunable.name);
            command.args(["--set", &format!("{tunable}={}", setting.value)]);
        });
        if let Some(cpus) = args.cpus {
            command.args(["--cpus", &cpus.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Process(command.spawn().map_err(|e| format!("cannot start the run: {e}"))?);
        let pid = process.0.id();
        let begin = Instant::now();
        loop {
            if let Some(name) = name_of(pid) {
                let attached = mdb::attach::attach(Some(&name), false).map_err(|e| e.to_string())?;
                return Ok(Vm::new(attached, Some(process)));
            }
            let has_ended = process.0.try_wait().is_ok_and(|end| end.is_some());
            if has_ended || begin.elapsed() > BOOT_LIMIT {
                let id = &scenario.id;
                return Err(format!(
                    "the run has not come up: `umpire run {id}` says why; `umpire watch {id} --sim` needs no KVM"
                ));
            }
            thread::sleep(BOOT_POLL);
        }
    }

    fn next(&mut self, image: &mut Image) -> Result<Option<Still>, String> {
        let view = View::new(&self.attached, image.get()?);
        if view.root().is_err() {
            // The guest boots.
            return Ok(Some(Still::default()));
        }
        let still = Still::of(&view).map_err(|failure| failure.message)?;
        if !self.attached.is_there() {
            return Ok(None);
        }
        Ok(Some(still))
    }

    fn debug(&self, thread: Option<u64>, image: &mut Image, streams: &mut Streams<'_>) -> io::Result<()> {
        streams.say("the debugger at the machine as it is now; ::quit goes back to the screen");
        match image.get() {
            Ok(image) => mdb::converse_about(thread, &View::new(&self.attached, image), streams).map(|_| ()),
            Err(message) => {
                streams.say(&message);
                Ok(())
            }
        }
    }
}

/// Files that have the same name but for a number.
const MAX_SAME: u32 = 1000;

/// Writes a core into the current directory, under a name that is free.
fn dump(view: &View<'_>) -> Result<PathBuf, String> {
    let target = view.target();
    let path = free(&target.identity().scenario, "core")?;
    write(target, &view.told(false), &path).map_err(|e| e.to_string())?;
    Ok(path)
}

/// A path in the current directory that no file has yet, called after a scenario.
fn free(scenario: &str, suffix: &str) -> Result<PathBuf, String> {
    let name = safe(scenario);
    let numbered = (2..MAX_SAME).map(|n| format!("{name}-{n}.{suffix}"));
    let mut free = std::iter::once(format!("{name}.{suffix}")).chain(numbered).map(PathBuf::from);
    free.find(|path| !path.exists())
        .ok_or_else(|| format!("there are a thousand {suffix} files of it here already"))
}

/// The name of the VM of a process, once it has one.
fn name_of(pid: u32) -> Option<String> {
    let directory = Directory::of_user().ok()?;
    let names = directory.names().ok()?;
    names
        .into_iter()
        .find(|name| Connected::to(&directory, name, false).is_ok_and(|c| c.welcome().pid == pid))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{self, Args};

    #[test]
    fn settings_of_a_run_are_refused_where_a_vm_is_watched() {
        for option in [["--set", "kpreemptpri=99"], ["--cpus", "4"]] {
            let words = [&["umpire", "watch"][..], &option].concat();
            let args = Args::try_parse_from(words).expect("they can be read");
            let Some(args::Command::Watch(args)) = args.command else { panic!("not what was typed") };
            let told = Source::of(&args).map(drop).unwrap_err();
            assert!(told.contains("--set and --cpus are about a run"), "{told}");
        }
    }
}
