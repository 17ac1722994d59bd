//! Builds the guest image and tells the VMM where it is.
//!
//! # Invariants
//! - The guest is built by a cargo of its own, in `target/guest`, from an environment without anything that
//!   the outer cargo, clippy or the user's RUSTFLAGS meant for the host.
//! - The guest is always optimised and always has full debug information: the glass reads its types.
//! - A build for distribution (the profile `dist`) carries it compressed, which takes some ten milliseconds at each start; any other as it is.
//! - If the guest's target is missing it is added, with a warning; if that fails, the build stops and says what to type.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The profile whose programs are to be small.
const SMALL: &str = "dist";
const TARGET: &str = "x86_64-unknown-none";
const PACKAGE: &str = "umpire-image";

/// What else the image depends on, besides what its dep-info names; relative to the workspace.
const INPUTS: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "guest/image/Cargo.toml",
    "guest/image/build.rs",
    "guest/image/kernel.ld",
    "guest/kernel/Cargo.toml",
    "guest/workloads/Cargo.toml",
    "shared/Cargo.toml",
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let workspace = path_of("CARGO_MANIFEST_DIR")?
        .ancestors()
        .nth(2)
        .map(Path::to_owned)
        .ok_or("cannot find the workspace two folders above vmm/machine")?;
    let out = path_of("OUT_DIR")?;
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    let target_dir = out
        .ancestors()
        .nth(4)
        .map(|dir| dir.join("guest"))
        .ok_or("cannot find cargo's target directory above OUT_DIR")?;

    for input in INPUTS.iter().map(|name| workspace.join(name)).filter(|path| path.exists()) {
        rerun_if_changed(&workspace, &input);
    }
    println!("cargo::rerun-if-changed=build.rs");
    require_target()?;
    build_guest(&workspace, &target_dir)?;

    let built = target_dir.join(TARGET).join("release").join(PACKAGE);
    for input in dep_info(&built.with_extension("d"))? {
        rerun_if_changed(&workspace, &input);
    }
    println!("cargo::rustc-check-cfg=cfg(is_image_compressed)");
    let embedded = if profile_of(&out).is_some_and(|profile| profile == SMALL) {
        println!("cargo::rustc-cfg=is_image_compressed");
        let compressed = out.join("guest.elf.zst");
        compress(&built, &compressed)?;
        compressed
    } else {
        let elf = out.join("guest.elf");
        copy_if_changed(&built, &elf)?;
        elf
    };
    println!("cargo::rustc-env=UMPIRE_GUEST_ELF={}", embedded.display());
    Ok(())
}

/// The profile that `OUT_DIR` is of; cargo says only whether it inherits from `dev` or `release`.
fn profile_of(out: &Path) -> Option<&str> {
    out.ancestors().nth(3)?.file_name()?.to_str()
}

fn compress(built: &Path, to: &Path) -> Result<(), String> {
    let told = |e: std::io::Error| format!("cannot compress {} into {}: {e}", built.display(), to.display());
    let image = fs::read(built).map_err(told)?;
    let compressed = zstd::bulk::compress(&image, 19).map_err(told)?;
    fs::write(to, compressed).map_err(told)
}

/// Makes sure that the guest's target is installed.
fn require_target() -> Result<(), String> {
    if is_target_installed() {
        return Ok(());
    }
    println!("cargo::warning=the target {TARGET} is not installed: running `rustup target add {TARGET}`");
    let mut rustup = Command::new("rustup");
    scrub(&mut rustup);
    let added = rustup.args(["target", "add", TARGET]).output();
    if is_target_installed() {
        return Ok(());
    }
    let reason = match added {
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(e) => e.to_string(),
    };
    Err(format!(
        "the guest needs the target {TARGET}, which could not be added ({reason})\n\
         type: rustup target add {TARGET}\n\
         (without rustup, install the rust-std component for {TARGET} of your toolchain)"
    ))
}

fn is_target_installed() -> bool {
    let mut rustc = Command::new(rustc());
    scrub(&mut rustc);
    let Ok(output) = rustc.args(["--print", "target-libdir", "--target", TARGET]).output() else {
        return false;
    };
    output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
}

/// Runs the guest's own cargo.
fn build_guest(workspace: &Path, target_dir: &Path) -> Result<(), String> {
    let flags = [
        "-Crelocation-model=static".to_owned(),
        "-Cforce-frame-pointers=yes".to_owned(),
        format!("--remap-path-prefix={}=.", workspace.display()),
    ];
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    scrub(&mut cargo);
    cargo
        .current_dir(workspace)
        .args(["build", "--release", "--package", PACKAGE, "--bin", PACKAGE, "--target", TARGET])
        .arg("--target-dir")
        .arg(target_dir)
        .env("RUSTC", rustc())
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort");
    if workspace.join("Cargo.lock").exists() {
        cargo.arg("--locked");
    }
    let output = cargo.output().map_err(|e| format!("cannot run cargo for the guest image: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("cannot build the guest image ({PACKAGE} for {TARGET}):\n{said}"))
}

/// Takes away what the outer cargo said to this build script, and what the user meant for the host.
fn scrub(command: &mut Command) {
    const KEEP: &[&str] =
        &["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_TERM_"];
    const DROP: &[&str] = &["CARGO", "RUSTC", "RUSTFLAGS", "RUSTDOC", "DEP_", "CLIPPY_"];
    const DROP_WHOLE: &[&str] =
        &["TARGET", "HOST", "PROFILE", "OUT_DIR", "OPT_LEVEL", "DEBUG", "NUM_JOBS", "LD_LIBRARY_PATH"];
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let starts = |list: &[&str]| list.iter().any(|prefix| text.starts_with(prefix));
        if DROP_WHOLE.contains(&&*text) || starts(DROP) && !starts(KEEP) {
            command.env_remove(&name);
        }
    }
}

fn rustc() -> OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// The files that a dep-info file names after the colon; a space in a name is escaped by a backslash.
fn dep_info(path: &Path) -> Result<Vec<PathBuf>, String> {
    let text = fs::read_to_string(path)
        .map_err(|e| format!("cannot read the guest's dependencies from {}: {e}", path.display()))?;
    let names = text.lines().filter_map(|line| line.split_once(": ")).flat_map(|(_, names)| {
        let escaped = names.replace("\\ ", "\0");
        escaped.split_ascii_whitespace().map(|name| name.replace('\0', " ")).collect::<Vec<_>>()
    });
    Ok(names.map(PathBuf::from).collect())
}

/// Makes cargo watch a file, by a path relative to the package. In a target directory that was copied to another workspace an
/// absolute path would still mean the old one, and an edit in the new one would leave the image as it is.
fn rerun_if_changed(workspace: &Path, path: &Path) {
    match path.strip_prefix(workspace) {
        Ok(inside) => println!("cargo::rerun-if-changed={}", Path::new("../..").join(inside).display()),
        Err(_) => println!("cargo::rerun-if-changed={}", path.display()),
    }
}

/// Copies the image if it is another, so that the VMM is compiled again only then.
fn copy_if_changed(from: &Path, to: &Path) -> Result<(), String> {
    let image = fs::read(from).map_err(|e| format!("cannot read the guest image {}: {e}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == image) {
        return Ok(());
    }
    fs::write(to, image).map_err(|e| format!("cannot write the guest image {}: {e}", to.display()))
}

fn path_of(variable: &str) -> Result<PathBuf, String> {
    env::var_os(variable).map(PathBuf::from).ok_or(format!("cargo did not set {variable}"))
}
