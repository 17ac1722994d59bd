//! The copy of the workspace into which the faults are compiled.
//!
//! # Invariants
//! - Nothing outside of `target/mutate` is written.
//! - A file whose text has not changed is not written again, so that cargo builds only what has changed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Site, faults_of};
use crate::find;
use crate::named::{self, Named};
use crate::splice::{Spliced, splice};

/// The kernel's source folder, from the workspace.
pub const KERNEL: &str = "guest/kernel/src";

/// What asks which fault is chosen; it becomes a module of the kernel.
const SELECTOR: &str = include_str!("selector.rs.in");

/// A file of the kernel.
#[derive(Debug)]
pub struct Source {
    /// Its name, from the kernel's source folder.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// The workspace, and its copy.
#[derive(Debug)]
pub struct Tree {
    /// The workspace.
    pub root: PathBuf,
    /// Where everything of this program goes: `target/mutate`.
    pub work: PathBuf,
    /// The kernel's files.
    pub sources: Vec<Source>,
}

impl Tree {
    /// Reads the kernel of a workspace.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn read(root: &Path) -> Result<Tree, String> {
        let kernel = root.join(KERNEL);
        let mut sources = Vec::new();
        for path in files(&kernel)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs")) {
            let file = path.strip_prefix(&kernel).unwrap_or(&path).to_string_lossy().into_owned();
            sources.push(Source { file, text: read(&path)? });
        }
        sources.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(Tree { root: root.to_owned(), work: root.join("target/mutate"), sources })
    }

    /// Where the copy is.
    pub fn copy(&self) -> PathBuf {
        self.work.join("tree")
    }

    /// The text of a file of the kernel.
    pub fn text(&self, file: &str) -> &str {
        self.sources.iter().find(|source| source.file == file).map_or("", |source| &source.text)
    }

    /// Every fault that there is, numbered from 1.
    ///
    /// # Errors
    ///
    /// A file is not Rust, or a named fault is not to be found.
    pub fn faults(&self) -> Result<Vec<Fault>, String> {
        let named = named::named()?;
        if let Some(lost) = named.iter().find(|n| self.text(&n.file).is_empty()) {
            return Err(format!("named.toml: {}: there is no {}", lost.name, lost.file));
        }
        let mut all = Vec::new();
        for source in &self.sources {
            let sites = sites_of(source, &named)?;
            all.extend(faults_of(&source.file, &source.text, &sites));
        }
        for (n, fault) in all.iter_mut().enumerate() {
            fault.id = u32::try_from(n + 1).map_err(|e| e.to_string())?;
        }
        Ok(all)
    }

    /// Brings the copy up to date, with these faults compiled in; gives each file of the kernel as it was written.
    ///
    /// # Errors
    ///
    /// A file cannot be read or written.
    pub fn write(&self, faults: &[Fault]) -> Result<Vec<(String, Spliced)>, String> {
        let copy = self.copy();
        for path in files(&self.root)? {
            let name = path.strip_prefix(&self.root).unwrap_or(&path);
            if !name.starts_with(KERNEL) {
                write_if_changed(&copy.join(name), &fs::read(&path).map_err(|e| said(&path, &e))?)?;
            }
        }
        let kernel = copy.join(KERNEL);
        let mut written = Vec::new();
        for source in &self.sources {
            let mine: Vec<&Fault> = faults.iter().filter(|fault| fault.file == source.file).collect();
            let mut spliced = splice(&source.text, &mine);
            if source.file == "lib.rs" {
                spliced.text.push_str("\nmod fault;\n");
            }
            write_if_changed(&kernel.join(&source.file), spliced.text.as_bytes())?;
            written.push((source.file.clone(), spliced));
        }
        write_if_changed(&kernel.join("fault.rs"), SELECTOR.as_bytes())?;
        Ok(written)
    }
}

/// The places of a file, those of the named faults among them.
fn sites_of(source: &Source, named: &[Named]) -> Result<Vec<Site>, String> {
    let found = find::find(&source.file, &source.text)?;
    let mine = named.iter().filter(|fault| fault.file == source.file);
    let by_hand: Vec<Site> = mine.map(|fault| fault.site(&source.text, &found)).collect::<Result<_, _>>()?;
    Ok(found.sites.into_iter().chain(by_hand).collect())
}

/// Every file below a folder, without what is built or hidden.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|e| said(&folder, &e))? {
            let path = entry.map_err(|e| said(&folder, &e))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') || name == "target" {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|e| said(folder, &e))?;
    fs::write(path, bytes).map_err(|e| said(path, &e))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| said(path, &e))
}

fn said(path: &Path, e: &std::io::Error) -> String {
    format!("{}: {e}", path.display())
}
