//! Cores of a run, written where they were asked for: at its first violation, at the guest's death, at its end.
//!
//! # Invariants
//! - One core a run. One that cannot be written is told, and does not end the run.

use std::fs;
use std::path::{Path, PathBuf};

use umpire_reach::core::{self, Told};
use umpire_reach::names::safe;
use umpire_watch::glass::{Identity, Panic, Target, Verdicts};

/// When a core is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreOn {
    /// At the first violation of a bound.
    Violation,
    /// When the guest has died.
    Panic,
    /// When the run is over.
    End,
}

/// What core is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreWish {
    /// When.
    pub on: CoreOn,
    /// Into which directory; it is made if it is not there.
    pub dir: PathBuf,
    /// True if it is to be compressed.
    pub zstd: bool,
}

/// Files that have the same name but for a number.
const MAX_SAME: u32 = 10_000;

/// What became of a core.
pub(super) type Dumped = Result<PathBuf, String>;

/// Writes the core of a run.
#[derive(Debug)]
pub(super) struct Dumper {
    wish: CoreWish,
    /// What became of it, once it was due.
    pub(super) dumped: Option<Dumped>,
}

impl Dumper {
    pub(super) fn of(wish: CoreWish) -> Dumper {
        Dumper { wish, dumped: None }
    }

    /// Writes it, if it is due now and was not before.
    pub(super) fn at(
        &mut self,
        on: CoreOn,
        target: &dyn Target,
        verdicts: impl FnOnce() -> Verdicts,
        (console, panic): (String, Option<Panic>),
    ) {
        if self.wish.on == on && self.dumped.is_none() {
            let told = Told { verdicts: Some(verdicts()), console, panic, zstd: self.wish.zstd };
            self.dumped = Some(self.write(target, &told));
        }
    }

    fn write(&self, target: &dyn Target, told: &Told) -> Dumped {
        let CoreWish { dir, zstd, .. } = &self.wish;
        fs::create_dir_all(dir).map_err(|e| format!("cannot make the directory {}: {e}", dir.display()))?;
        let path = free(dir, &target.identity(), if *zstd { "core.zst" } else { "core" })?;
        core::write(target, told, &path).map(|_| path).map_err(|e| e.to_string())
    }
}

/// A path in a directory that no file has yet, called after a machine.
///
/// # Errors
/// A sentence, if they are all taken.
pub(super) fn free(dir: &Path, identity: &Identity, suffix: &str) -> Result<PathBuf, String> {
    let Identity { scenario, variant, seed, .. } = identity;
    let seed = seed.map(|seed| format!(".{seed}")).unwrap_or_default();
    let name = safe(&format!("{scenario}.{variant}{seed}"));
    let number = |n| if n == 1 { String::new() } else { format!("-{n}") };
    let mut paths = (1..MAX_SAME).map(|n| dir.join(format!("{name}{}.{suffix}", number(n))));
    paths
        .find(|path| !path.exists())
        .ok_or_else(|| format!("{MAX_SAME} files are called {name}.{suffix} in {} already", dir.display()))
}
