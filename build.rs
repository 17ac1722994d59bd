//! Tells the program which commit it was built from.
//!
//! # Invariants
//! - A tree without git builds as well, and says `unknown`.
//! - A build for release is done anew when the commit changes. One for development is not, which would build every test again: a `+`
//!   behind its commit says that later changes may be in it. A release of a tree that was changed says so by the same sign.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if is_release {
        for file in ["HEAD", "index", "logs/HEAD"] {
            if let Some(path) = git(&["rev-parse", "--git-path", file]) {
                println!("cargo::rerun-if-changed={path}");
            }
        }
    }
    let is_changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|said| !said.is_empty());
    let commit = match git(&["rev-parse", "--short=12", "HEAD"]) {
        Some(commit) if is_release && !is_changed => commit,
        Some(commit) => format!("{commit}+"),
        None => "unknown".to_owned(),
    };
    println!("cargo::rustc-env=UMPIRE_COMMIT={commit}");
    println!("cargo::rustc-env=UMPIRE_TARGET={}", env::var("TARGET").unwrap_or_default());
}

/// What git says, if there is one and it knows.
fn git(arguments: &[&str]) -> Option<String> {
    let said = Command::new("git").args(arguments).output().ok().filter(|said| said.status.success())?;
    Some(String::from_utf8(said.stdout).ok()?.trim().to_owned())
}
