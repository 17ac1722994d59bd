//! Writing a core: the machine is paused, its registers and its memory are copied, it goes on.
//!
//! # Invariants
//! - A file that exists is never overwritten; the new one is its owner's only.
//! - Memory that was never touched is not read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use umpire_machine::memory::GuestMemory;
use umpire_machine::{GUEST_IMAGE, Registers};
use umpire_watch::glass::{Root, Target};

use super::{CoreError, FORMAT, Meta, NOTE, NOTE_CORE, NOTE_META, PAGE, PRSTATUS, PRSTATUS_REGS, Told};

/// Bytes of an ELF header, and of a program header.
const HEADERS: (usize, usize) = (64, 56);
/// How hard zstd tries.
const LEVEL: i32 = 3;
/// Bytes that are copied at once.
const PIECE: usize = 16 * PAGE;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes of memory that the core holds.
    pub memory: u64,
    /// Bytes that are in it and not holes, before compression.
    pub data: u64,
}

/// Writes a core of a target, which is paused for as long as that takes.
///
/// # Errors
/// [`CoreError`] if there is a file already, if the target cannot be paused, or if the file cannot be written.
pub fn write(target: &dyn Target, told: &Told, path: &Path) -> Result<Written, CoreError> {
    let io = |source| CoreError::Io { doing: "write", path: path.to_owned(), source };
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = made.map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => io(taken(path)),
        _ => io(e),
    })?;
    let result = dump(target, told, file, io);
    if result.is_err() {
        // What is there of it is of no use to anybody.
        let _gone = fs::remove_file(path);
    }
    result
}

/// What is to be done about something that has this path already.
fn taken(path: &Path) -> io::Error {
    let what = if path.is_dir() {
        "it is a directory; give the path of a file in it"
    } else {
        "there is something of that name, which is not overwritten; give another path"
    };
    io::Error::new(io::ErrorKind::AlreadyExists, what)
}

fn dump(
    target: &dyn Target,
    told: &Told,
    file: File,
    io: impl Fn(io::Error) -> CoreError,
) -> Result<Written, CoreError> {
    let _pause = target.pause().map_err(|lacks| CoreError::Target(lacks.to_string()))?;
    let memory = target.memory();
    let ranges = memory.ranges();
    let head = head(&notes(target, told), &ranges);
    let mut out = if told.zstd {
        Out::Packed(zstd::Encoder::new(file, LEVEL).map_err(&io)?)
    } else {
        Out::Sparse(file)
    };
    out.data(&head).map_err(&io)?;
    let data = body(&*memory, &ranges, &mut out).map_err(&io)?;
    out.end().map_err(&io)?;
    Ok(Written { memory: ranges.iter().map(|(_, len)| len).sum(), data })
}

/// Writes every range; gives how many bytes were not holes.
fn body(memory: &dyn GuestMemory, ranges: &[(u64, u64)], out: &mut Out) -> io::Result<u64> {
    let populated = memory.populated();
    let mut data = 0;
    let mut piece = vec![0; PIECE];
    for &(start, len) in ranges {
        let end = start + len;
        let mut at = start;
        for &(from, length) in &populated {
            let (from, to) = (from.max(at), (from + length).min(end));
            if from >= to {
                continue;
            }
            out.hole(from - at)?;
            at = from;
            while at < to {
                let size = (to - at).min(PIECE as u64) as usize;
                let bytes = &mut piece[..size];
                if !memory.copy(at, bytes) {
                    return Err(io::Error::other(format!("the guest's memory at {at:#x} cannot be read")));
                }
                for page in bytes.chunks(PAGE) {
                    if page.iter().all(|byte| *byte == 0) {
                        out.hole(page.len() as u64)?;
                    } else {
                        out.data(page)?;
                        data += page.len() as u64;
                    }
                }
                at += size as u64;
            }
        }
        out.hole(end - at)?;
    }
    Ok(data)
}

/// Where a core goes.
enum Out {
    /// A file with holes.
    Sparse(File),
    /// A zstd frame.
    Packed(zstd::Encoder<'static, File>),
}

impl Out {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Out::Sparse(file) => file.write_all(bytes),
            Out::Packed(packer) => packer.write_all(bytes),
        }
    }

    fn hole(&mut self, len: u64) -> io::Result<()> {
        match self {
            Out::Sparse(file) => file.seek(SeekFrom::Current(len as i64)).map(drop),
            Out::Packed(packer) => io::copy(&mut io::Read::take(io::repeat(0), len), packer).map(drop),
        }
    }

    fn end(self) -> io::Result<()> {
        match self {
            // A hole at the end has to be made.
            Out::Sparse(mut file) => {
                let len = file.stream_position()?;
                file.set_len(len)
            }
            Out::Packed(packer) => packer.finish().map(drop),
        }
    }
}

/// The ELF header, the program headers and the notes, up to the first page of memory.
fn head(notes: &[u8], ranges: &[(u64, u64)]) -> Vec<u8> {
    let (elf, program) = HEADERS;
    let phnum = ranges.len() + 1;
    let notes_at = elf + phnum * program;
    let mut at = (notes_at + notes.len()).next_multiple_of(PAGE) as u64;
    let mut out = Vec::with_capacity(at as usize);
    out.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend(4_u16.to_le_bytes()); // ET_CORE
    out.extend(62_u16.to_le_bytes()); // EM_X86_64
    out.extend(1_u32.to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out.extend((elf as u64).to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out.extend(0_u32.to_le_bytes());
    for half in [elf, program, phnum, 0, 0, 0] {
        out.extend((half as u16).to_le_bytes());
    }
    let mut header = |kind: u32, flags: u32, offset: u64, addr: u64, len: u64, align: u64| {
        out.extend(kind.to_le_bytes());
        out.extend(flags.to_le_bytes());
        for word in [offset, addr, addr, len, len, align] {
            out.extend(word.to_le_bytes());
        }
    };
    header(4, 0, notes_at as u64, 0, notes.len() as u64, 4);
    for &(addr, len) in ranges {
        header(1, 7, at, addr, len, 1);
        at += len;
    }
    out.extend(notes);
    out.resize(out.len().next_multiple_of(PAGE), 0);
    out
}

fn notes(target: &dyn Target, told: &Told) -> Vec<u8> {
    let identity = target.identity();
    let mut notes = Vec::new();
    for cpu in 0..identity.cpus {
        if let Ok(registers) = target.registers(cpu) {
            note(&mut notes, NOTE_CORE, 1, &prstatus(cpu, &registers));
        }
    }
    let meta = Meta {
        format: FORMAT,
        umpire: env!("CARGO_PKG_VERSION").to_owned(),
        kind: target.name().to_owned(),
        build_id: crate::build_id(&GUEST_IMAGE).unwrap_or_default(),
        identity,
        root: match target.root() {
            Root::At(addr) => Some(addr),
            Root::BootBlock => None,
        },
        has_symbols: target.symbols().is_ok(),
        written_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        verdicts: told.verdicts.clone(),
        console: told.console.clone(),
        panic: told.panic.clone(),
    };
    // Plain data has a form as JSON.
    note(&mut notes, NOTE, NOTE_META, &serde_json::to_vec(&meta).unwrap_or_default());
    notes
}

fn note(out: &mut Vec<u8>, name: &[u8], kind: u32, content: &[u8]) {
    for word in [name.len() as u32 + 1, content.len() as u32, kind] {
        out.extend(word.to_le_bytes());
    }
    for part in [name, content] {
        out.extend(part);
        let end = out.len() + usize::from(std::ptr::eq(part, name));
        out.resize(end.next_multiple_of(4), 0);
    }
}

fn prstatus(cpu: u32, registers: &Registers) -> [u8; PRSTATUS.0] {
    let (_, pid_at, regs_at) = PRSTATUS;
    let mut out = [0; PRSTATUS.0];
    out[pid_at..pid_at + 4].copy_from_slice(&(cpu + 1).to_le_bytes());
    for (n, name) in PRSTATUS_REGS.iter().enumerate() {
        let value = registers.named().find(|(known, _)| known == name).map_or(0, |(_, value)| value);
        out[regs_at + 8 * n..][..8].copy_from_slice(&value.to_le_bytes());
    }
    out
}
