//! Cores: a machine as it stood, as an ELF file that gdb reads too.
//!
//! ```text
//!   ELF header      ET_CORE, x86-64
//!   PT_NOTE         CORE / NT_PRSTATUS, one a CPU whose registers are known: pr_pid is its number + 1
//!                   UMPIRE / 1: what Umpire knows of it, as JSON (`Meta`)
//!   PT_LOAD         one for each run of guest addresses; a page that holds nothing but zeros is a hole in the file
//! ```
//! Compressed, it is all of that in one zstd frame.
//!
//! # Invariants
//! - A core is complete or it is not there: one that could not be written is taken away.
//! - Whatever the bytes of a file are, reading them gives a core or an error, and takes no more memory than [`MAX_CORE`].

mod read;
mod write;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use umpire_watch::glass::{Identity, Panic, Verdicts};

pub use read::CoreFile;
pub use write::{Written, write};

/// True if a file begins as a core does, compressed or not. What it is can be told only by reading it.
pub fn is_core(path: &Path) -> bool {
    let mut begin = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut begin));
    read.is_ok() && (begin == *b"\x7fELF" || begin == ZSTD_MAGIC)
}

/// The version of the format.
pub const FORMAT: u32 = 1;
/// Bytes that a core may have: the memory of the greatest guest, and some.
pub const MAX_CORE: u64 = 2 << 30;
/// The name of Umpire's note.
const NOTE: &[u8] = b"UMPIRE";
/// The name of the notes on registers.
const NOTE_CORE: &[u8] = b"CORE";
/// The type of Umpire's note.
const NOTE_META: u32 = 1;
/// Bytes of a page.
const PAGE: usize = 4096;
/// What a zstd frame begins with.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Bytes of a `struct elf_prstatus`, and where its number and its registers lie.
const PRSTATUS: (usize, usize, usize) = (336, 32, 112);
/// The registers of a `struct elf_prstatus` in their order; `orig_rax` is of no use here.
const PRSTATUS_REGS: [&str; 27] = [
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
    "orig_rax", "rip", "cs", "rflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
];

/// What Umpire knows of a core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of the program that wrote it.
    pub umpire: String,
    /// The kind of machine: a kind of KVM, or `sim`.
    pub kind: String,
    /// The build ID of the guest's image.
    pub build_id: String,
    /// The run.
    pub identity: Identity,
    /// The address of the kernel's root object; none if the boot block has it.
    pub root: Option<u64>,
    /// True if the guest runs the image's code, so that its symbols are names of its code.
    pub has_symbols: bool,
    /// When it was written, in seconds since 1970.
    pub written_at: u64,
    /// What the referee had found.
    pub verdicts: Option<Verdicts>,
    /// What the guest had written to its console.
    pub console: String,
    /// How it had panicked, if it had and its memory does not say so.
    #[serde(default)]
    pub panic: Option<Panic>,
}

/// What a core is told beside what its machine shows.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// What the referee has found.
    pub verdicts: Option<Verdicts>,
    /// What the guest has written to its console.
    pub console: String,
    /// How it panicked, if it did and its memory does not say so: in the simulator.
    pub panic: Option<Panic>,
    /// True if the file is to be compressed.
    pub zstd: bool,
}

/// Why a core could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The file system said no.
    #[error("cannot {doing} the core {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// The machine cannot be dumped.
    #[error("cannot write a core: {0}")]
    Target(String),
    /// It is no core.
    #[error("{} is no core of Umpire's: {why}", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// A part of it is missing.
    #[error("the core {} is truncated: {why}", path.display())]
    Truncated {
        /// Which file.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// Another Umpire wrote it.
    #[error("the core {} is of another Umpire: {why}", path.display())]
    Version {
        /// Which file.
        path: PathBuf,
        /// How it differs.
        why: String,
    },
}
