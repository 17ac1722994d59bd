//! Where the process may write: nowhere but at the places that its arguments name.
//!
//! # Invariants
//! - What is open already stays so: a shell's `> file` is not asked.
//! - Reading is not restricted: a scenario, a core or a recording may lie anywhere.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, path_beneath_rules,
};

/// Devices that a run opens for writing.
const DEVICES: [&str; 4] = ["/dev/kvm", "/dev/null", "/dev/full", "/dev/tty"];
/// What of landlock is used: up to and without the requests to devices, which the filters of system calls look at.
const KNOWN: ABI = ABI::V4;

/// Where a command may write.
#[derive(Debug, Clone, Default)]
pub struct Places {
    paths: Vec<PathBuf>,
    port: Option<u16>,
}

impl Places {
    /// The files at this path, and what has to be made on the way there.
    pub fn file(&mut self, path: &Path) {
        let parents = path.ancestors().skip(1);
        let mut parents = parents.map(|part| if part.as_os_str().is_empty() { Path::new(".") } else { part });
        self.paths.extend(parents.find(|part| part.is_dir()).map(Path::to_owned));
        // The file may be there, and be a link to another place.
        let found = path.canonicalize().ok();
        self.paths.extend(found);
    }

    /// Whatever is beneath this directory, and the directory itself where it has to be made.
    pub fn beneath(&mut self, dir: &Path) {
        if dir.is_dir() {
            self.paths.push(dir.to_owned());
        } else {
            self.file(dir);
        }
    }

    /// A port of this host to be listened at; 0 is any.
    pub fn port(&mut self, port: u16) {
        self.port = Some(port);
    }

    /// The paths.
    #[cfg(test)]
    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }
}

/// Takes away from this thread, and all that it starts, to write elsewhere than at these places, to run a program, and to connect
/// to or listen at a port that is not among them. Gives what the host made of it: `None` if it does not know how.
///
/// # Errors
/// A sentence, if it knows and refused.
pub fn write_only(places: &Places) -> Result<Option<&'static str>, String> {
    match restrict(places) {
        Ok(RulesetStatus::FullyEnforced) => Ok(Some("all of it")),
        Ok(RulesetStatus::PartiallyEnforced) => Ok(Some("what this kernel knows of it")),
        Ok(RulesetStatus::NotEnforced) => Ok(None),
        Err(e) => Err(e.to_string()),
    }
}

fn restrict(places: &Places) -> Result<RulesetStatus, RulesetError> {
    let write = AccessFs::from_write(KNOWN);
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(write | AccessFs::Execute)?
        .handle_access(AccessNet::from_all(KNOWN))?
        .create()?;
    let devices = DEVICES.iter().map(PathBuf::from);
    let paths: Vec<PathBuf> = places.paths.iter().cloned().chain(devices).collect();
    // A path that is not there makes no rule.
    let mut rules: RulesetCreated = rules.add_rules(path_beneath_rules(paths, write))?;
    if let Some(port) = places.port {
        rules = rules.add_rule(NetPort::new(port, AccessNet::BindTcp))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}
