//! What `umpire run` is to do: the scenarios that were named, with the settings of the command line, and where cores go.
//!
//! # Invariants
//! - A word that cannot be run is said and left out; what can be run is.
//! - What a variant expects is never changed by the command line.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::args::RunArgs;
use super::exit::Exit;
use super::load::load;
use super::stand::variant_of;
use super::streams::Streams;
use umpire_referee::{CoreOn, CoreWish};
use umpire_scenario::builtin::BUILTIN;
use umpire_scenario::{Overrides, Scenario};

/// What is to be run.
pub(super) struct Plan {
    pub scenarios: Vec<Scenario>,
    /// The words that are no scenario that can be run, each with the reason.
    pub refused: Vec<(String, String)>,
    /// The usage error, if a word was refused.
    pub exit: Exit,
}

/// The scenarios asked for, with the command line's settings. What cannot be run is said, and left out.
pub(super) fn plan(args: &RunArgs, streams: &mut Streams<'_>) -> Plan {
    let overrides = overrides(args);
    let words: Vec<&OsStr> = match args.scenarios.as_slice() {
        [] => BUILTIN.iter().filter(|b| !b.is_mutant).map(|b| OsStr::new(b.id)).collect(),
        given => given.iter().map(OsString::as_os_str).collect(),
    };
    let mut exit = Exit::Pass;
    let (mut plan, mut refused) = (Vec::new(), Vec::new());
    for word in words {
        let scenario = load(word).map_err(|e| e.to_string());
        match scenario.and_then(|s| s.with(&overrides).map_err(|e| e.to_string())) {
            Ok(scenario) => plan.push(scenario),
            Err(message) => {
                streams.say(&format!("umpire: {message}"));
                exit = Exit::Usage;
                refused.push((word.to_string_lossy().into_owned(), message));
            }
        }
    }
    if let Some(name) = &args.variant {
        // A scenario that was named has to have it; of all scenarios those are meant that do.
        if !args.scenarios.is_empty() {
            for scenario in &plan {
                let Err(why) = variant_of(scenario, Some(name)) else { continue };
                streams.say(&format!("umpire: {}: {why}", scenario.id));
                exit = Exit::Usage;
                refused.push((scenario.id.clone(), why));
            }
        }
        for scenario in &mut plan {
            scenario.variants.retain(|v| v.name == *name);
        }
        plan.retain(|scenario| !scenario.variants.is_empty());
        if plan.is_empty() && exit == Exit::Pass {
            streams.say(&format!(
                "umpire: no scenario has a variant `{name}`; `umpire list ID` shows those of one"
            ));
            exit = Exit::Usage;
        }
    }
    Plan { scenarios: plan, refused, exit }
}

/// What the command line sets over every scenario.
pub(super) fn overrides(args: &RunArgs) -> Overrides {
    Overrides {
        settings: args.settings.clone(),
        cpus: args.cpus,
        run_ns: args.run_ns,
        sample_hz: args.sample_hz,
    }
}

/// The core that the arguments ask for.
///
/// # Errors
/// What is wrong with them.
pub(super) fn core(args: &RunArgs) -> Result<Option<CoreWish>, String> {
    let Some([when, dir]) = args.core_on.as_deref() else { return Ok(None) };
    let when = when.to_string_lossy();
    let on = match &*when {
        "violation" => CoreOn::Violation,
        "panic" => CoreOn::Panic,
        "end" => CoreOn::End,
        other => {
            return Err(format!("--core-on {other}: it may be violation, panic or end; then the directory"));
        }
    };
    if dir.is_empty() {
        return Err(format!("--core-on {when}: no directory is given; `.` is this one"));
    }
    let dir = PathBuf::from(dir);
    fits(&dir).map_err(|why| format!("--core-on {when} {}: {why}", dir.display()))?;
    Ok(Some(CoreWish { on, dir, zstd: args.core_zstd }))
}

/// Whether files can be written into a directory, which may have to be made first: nothing is made yet.
pub(super) fn fits(dir: &Path) -> Result<(), String> {
    let there = dir.ancestors().map(|part| if part.as_os_str().is_empty() { Path::new(".") } else { part });
    let Some(there) = there.into_iter().find(|part| fs::symlink_metadata(part).is_ok()) else {
        return Err("there is no such place".to_owned());
    };
    if !there.is_dir() {
        return Err(format!("{} is no directory; give another", there.display()));
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| {
        format!("nothing can be written into {}: {}; give another", there.display(), io::Error::from(e))
    })
}
