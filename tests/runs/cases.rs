//! The files of `tests/cases`: small inputs that a referee once judged wrong, each with what is right.
//!
//! The first lines of a file say it, for these tests and for `tests/cases.sh`, which runs them many times on a busy host:
//! ```text
//! # right: pass          every variant does what it expects; on KVM it may be inconclusive
//! # right: fail          the run fails, because the guest or the file asks for what cannot be
//! # right: refused       the file is an error
//! # says: TEXT           what must be said besides, wherever there is a verdict
//! ```
//!
//! # Invariants
//! - Every file there is run. One that does not say what is right fails.

use std::fs;
use std::path::PathBuf;

use libtest_mimic::Trial;

use crate::binary::{Said, umpire};
use crate::trials;

/// Exit code of a run that nobody can judge.
const INCONCLUSIVE: i32 = 4;
/// Seeds of each case; `tests/cases.sh` runs more.
const SEEDS: &str = "10";

/// A file, and what is right.
struct Case {
    path: PathBuf,
    code: i32,
    says: Vec<String>,
}

pub fn trials() -> Vec<Trial> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let listed = fs::read_dir(&folder).unwrap_or_else(|e| panic!("cannot list {}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let both = |path: PathBuf| {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let (simulated, real) = (path.clone(), path);
        [
            trials::anywhere(format!("cases::{name}"), move || {
                let case = Case::read(simulated);
                case.check(&case.run(&["--sim", "--seeds", SEEDS]), false);
            }),
            trials::kvm(&format!("cases::{name}"), move || {
                let case = Case::read(real);
                case.check(&case.run(&[]), true);
            }),
        ]
    };
    paths.into_iter().flat_map(both).collect()
}

impl Case {
    fn read(path: PathBuf) -> Case {
        let text =
            fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
        let right = text.lines().next().and_then(|line| line.strip_prefix("# right: "));
        let code = match right {
            Some("pass") => 0,
            Some("fail") => 1,
            Some("refused") => 2,
            _ => panic!("{} does not begin with `# right: pass`, `fail` or `refused`", path.display()),
        };
        let says = text.lines().filter_map(|line| line.strip_prefix("# says: ")).map(str::to_owned).collect();
        Case { path, code, says }
    }

    fn run(&self, how: &[&str]) -> Said {
        let path = self.path.display().to_string();
        umpire(&[&["run", &path][..], how].concat())
    }

    fn check(&self, said: &Said, is_kvm: bool) {
        let (file, all) = (self.path.display(), format!("{}{}", said.out, said.err));
        let is_inconclusive = is_kvm && self.code != 2 && said.code == Some(INCONCLUSIVE);
        assert!(said.code == Some(self.code) || is_inconclusive, "{file}: {:?}\n{all}", said.code);
        for text in self.says.iter().filter(|_| !is_inconclusive) {
            assert!(all.contains(text), "{file} does not say `{text}`:\n{all}");
        }
    }
}
