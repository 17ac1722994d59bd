//! Reading a core: a target that stands still for ever.
//!
//! # Invariants
//! - The file is read once, when it is opened: what becomes of it later does not matter. Its holes take no memory.
//! - A core of another format, of another guest, or without an end is refused with what it is.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use object::LittleEndian;
use object::elf::{EM_X86_64, ET_CORE, NT_PRSTATUS, PT_LOAD, PT_NOTE};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use rustix::fs::{SeekFrom, seek};
use umpire_machine::memory::GuestMemory;
use umpire_machine::{GUEST_IMAGE, Registers, Standing};
use umpire_watch::glass::{
    Ability, AskCpu, Asking, Control, CpuClocks, Identity, Lacks, Layout, Pause, Root, Symbols, Target,
    Verdicts,
};

use super::{
    CoreError, FORMAT, MAX_CORE, Meta, NOTE, NOTE_CORE, NOTE_META, PRSTATUS, PRSTATUS_REGS, ZSTD_MAGIC,
};

/// Ranges of memory that a core may have.
const MAX_RANGES: usize = 65_536;
/// CPUs that a core may have.
const MAX_CPUS: u32 = umpire_shared::MAX_CPUS as u32;

/// A core.
#[derive(Debug)]
pub struct CoreFile {
    memory: Arc<CoreMemory>,
    meta: Meta,
    name: String,
    registers: Arc<Vec<Option<Registers>>>,
    layout: Arc<Layout>,
    symbols: Arc<Symbols>,
    /// Whether the console was given.
    is_console_given: Mutex<bool>,
}

impl CoreFile {
    /// Reads a core of a guest that runs the image that `layout` and `symbols` are of: this program's.
    ///
    /// # Errors
    /// [`CoreError`] if it cannot be read, or is no core of such a guest.
    pub fn open(path: &Path, layout: Arc<Layout>, symbols: Arc<Symbols>) -> Result<CoreFile, CoreError> {
        let bytes = contents(path)?;
        let Parsed { ranges, meta, registers } = parse(&bytes, path)?;
        let ours = crate::build_id(&GUEST_IMAGE).unwrap_or_default();
        if meta.build_id != ours {
            let (umpire, theirs) = (&meta.umpire, &meta.build_id);
            let why = format!(
                "its guest's image has the build ID {theirs}, and this program's has {ours}: there is no debug information for it \
                 here; open it with the umpire ({umpire}) that wrote it"
            );
            return Err(CoreError::Version { path: path.to_owned(), why });
        }
        Ok(CoreFile {
            memory: Arc::new(CoreMemory { bytes, ranges }),
            name: format!("{} core", meta.kind),
            meta,
            registers: Arc::new(registers),
            layout,
            symbols,
            is_console_given: Mutex::new(false),
        })
    }

    /// What Umpire knows of it.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }
}

/// The bytes of a file, unpacked.
fn contents(path: &Path) -> Result<Vec<u8>, CoreError> {
    let io = |source| CoreError::Io { doing: "read", path: path.to_owned(), source };
    let foreign = |why: String| CoreError::Foreign { path: path.to_owned(), why };
    // Before it is opened: to open a FIFO waits for its writer.
    let found = fs::metadata(path).map_err(io)?;
    if !found.is_file() {
        return Err(foreign("it is no plain file".to_owned()));
    }
    let mut file = File::open(path).map_err(io)?;
    let mut magic = [0; 4];
    let begun = file.read_at(&mut magic, 0).map_err(io)?;
    if magic == ZSTD_MAGIC && begun == 4 {
        let mut bytes = Vec::new();
        let unpacker = zstd::Decoder::new(&mut file).map_err(io)?;
        return match unpacker.take(MAX_CORE + 1).read_to_end(&mut bytes) {
            Ok(len) if len as u64 > MAX_CORE => {
                Err(foreign(format!("unpacked, it has more than {MAX_CORE} bytes")))
            }
            Ok(_) => Ok(bytes),
            Err(e) => {
                let why = format!("its zstd frame cannot be unpacked: {e}");
                Err(CoreError::Truncated { path: path.to_owned(), why })
            }
        };
    }
    if found.len() > MAX_CORE {
        return Err(foreign(format!("it has {} bytes, and a core has {MAX_CORE} at most", found.len())));
    }
    sparse(&file, found.len()).map_err(io)
}

/// The bytes of a file with holes, which are not read.
fn sparse(file: &File, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    let mut at = 0;
    while at < len {
        let Ok(from) = seek(file, SeekFrom::Data(at)) else { break };
        let to = seek(file, SeekFrom::Hole(from))?.min(len);
        if from >= to {
            break;
        }
        file.read_exact_at(&mut bytes[from as usize..to as usize], from)?;
        at = to;
    }
    Ok(bytes)
}

/// What is in a core.
#[derive(Debug)]
struct Parsed {
    ranges: Vec<Range>,
    meta: Meta,
    registers: Vec<Option<Registers>>,
}

/// A run of guest addresses, and where its bytes lie in the file.
#[derive(Debug, Clone, Copy)]
struct Range {
    addr: u64,
    len: u64,
    offset: u64,
}

fn parse(bytes: &[u8], path: &Path) -> Result<Parsed, CoreError> {
    let foreign = |why: String| CoreError::Foreign { path: path.to_owned(), why };
    let truncated = |why: String| CoreError::Truncated { path: path.to_owned(), why };
    if !bytes.starts_with(b"\x7fELF") {
        return Err(match bytes.len() {
            0..4 => truncated(format!("it has {} bytes", bytes.len())),
            _ => foreign("it is no ELF file".to_owned()),
        });
    }
    let file = ElfFile64::<LittleEndian>::parse(bytes).map_err(|e| truncated(e.to_string()))?;
    let header = file.elf_header();
    let (kind, machine) = (header.e_type(LittleEndian), header.e_machine(LittleEndian));
    if (kind, machine) != (ET_CORE, EM_X86_64) {
        return Err(foreign(format!(
            "its ELF type is {} for machine {}, not a core for x86-64",
            kind.0, machine.0
        )));
    }
    let (mut ranges, mut meta, mut registers) = (Vec::new(), None, Vec::new());
    for segment in file.elf_program_headers() {
        let (offset, filesz) = (segment.p_offset(LittleEndian), segment.p_filesz(LittleEndian));
        let is_inside = offset.checked_add(filesz).is_some_and(|end| end <= bytes.len() as u64);
        if !is_inside {
            let why = format!("it has {} bytes, and a segment of {filesz} begins at {offset}", bytes.len());
            return Err(truncated(why));
        }
        if segment.p_type(LittleEndian) == PT_LOAD {
            let addr = segment.p_vaddr(LittleEndian);
            if ranges.len() >= MAX_RANGES || addr.checked_add(filesz).is_none() {
                return Err(foreign(format!("its memory at {addr:#x} makes no sense")));
            }
            ranges.push(Range { addr, len: filesz, offset });
        } else if segment.p_type(LittleEndian) == PT_NOTE
            && let Ok(Some(mut notes)) = segment.notes(LittleEndian, bytes)
        {
            while let Ok(Some(note)) = notes.next() {
                let kind = note.n_type(LittleEndian);
                match note.name() {
                    NOTE if kind.0 == NOTE_META => meta = Some(known(note.desc(), path)?),
                    NOTE_CORE if kind == NT_PRSTATUS => take(note.desc(), &mut registers),
                    _ => {}
                }
            }
        }
    }
    let meta =
        meta.ok_or_else(|| foreign("it has no note of Umpire's: another program wrote it".to_owned()))?;
    ranges.sort_by_key(|range| range.addr);
    Ok(Parsed { ranges, meta, registers })
}

/// Umpire's note, if it is of this format.
fn known(json: &[u8], path: &Path) -> Result<Meta, CoreError> {
    let version = |why| CoreError::Version { path: path.to_owned(), why };
    let value: serde_json::Value =
        serde_json::from_slice(json).map_err(|e| version(format!("its note cannot be read: {e}")))?;
    match value["format"].as_u64() {
        Some(n) if n == u64::from(FORMAT) => {
            serde_json::from_value(value).map_err(|e| version(format!("its note cannot be read: {e}")))
        }
        format => {
            let (umpire, format) = (&value["umpire"], format.map_or("?".to_owned(), |n| n.to_string()));
            Err(version(format!(
                "its format is {format}, written by {umpire}; this program reads format {FORMAT}"
            )))
        }
    }
}

/// The registers of a CPU, out of a `struct elf_prstatus`.
fn take(prstatus: &[u8], into: &mut Vec<Option<Registers>>) {
    let (size, pid_at, regs_at) = PRSTATUS;
    if prstatus.len() < size {
        return;
    }
    let word = |at: usize, bytes: usize| {
        let mut raw = [0; 8];
        raw[..bytes].copy_from_slice(&prstatus[at..at + bytes]);
        u64::from_le_bytes(raw)
    };
    let mut registers = Registers::default();
    for (n, name) in PRSTATUS_REGS.iter().enumerate() {
        // `orig_rax` is no register here.
        let _known = registers.set(name, word(regs_at + 8 * n, 8));
    }
    let cpu = word(pid_at, 4).wrapping_sub(1);
    if cpu < u64::from(MAX_CPUS) {
        let cpu = cpu as usize;
        into.resize(into.len().max(cpu + 1), None);
        into[cpu] = Some(registers);
    }
}

/// The memory of a core.
#[derive(Debug)]
struct CoreMemory {
    bytes: Vec<u8>,
    ranges: Vec<Range>,
}

impl GuestMemory for CoreMemory {
    fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        let after = self.ranges.partition_point(|range| range.addr <= addr);
        let Some(range) = after.checked_sub(1).map(|n| self.ranges[n]) else { return false };
        let into = addr - range.addr;
        if into.checked_add(out.len() as u64).is_none_or(|end| end > range.len) {
            return false;
        }
        let from = (range.offset + into) as usize;
        out.copy_from_slice(&self.bytes[from..from + out.len()]);
        true
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        self.ranges.iter().map(|range| (range.addr, range.len)).collect()
    }
}

impl CoreFile {
    fn lacks(&self, ability: Ability, why: &'static str) -> Lacks {
        Lacks::new(self, ability, why)
    }
}

impl Target for CoreFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> Identity {
        self.meta.identity.clone()
    }

    fn memory(&self) -> Arc<dyn GuestMemory> {
        Arc::<CoreMemory>::clone(&self.memory)
    }

    fn root(&self) -> Root {
        self.meta.root.map_or(Root::BootBlock, Root::At)
    }

    fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout)
    }

    fn symbols(&self) -> Result<Arc<Symbols>, Lacks> {
        let why = "its kernel was code of umpire itself, not of the guest's image";
        if self.meta.has_symbols {
            Ok(Arc::clone(&self.symbols))
        } else {
            Err(self.lacks(Ability::Symbols, why))
        }
    }

    fn clocks(&self) -> Result<&dyn CpuClocks, Lacks> {
        Err(self.lacks(Ability::Clocks, "nothing runs in a core"))
    }

    fn registers(&self, cpu: u32) -> Result<Registers, Lacks> {
        let known = self.registers.get(cpu as usize).copied().flatten();
        known.ok_or_else(|| self.lacks(Ability::Registers, "the core has none of that CPU"))
    }

    fn asker(&self, _whom: Asking) -> Result<Arc<dyn AskCpu>, Lacks> {
        if self.registers.iter().all(Option::is_none) {
            return Err(self.lacks(Ability::Asker, "the core has none of any CPU"));
        }
        Ok(Arc::new(Remembers { memory: Arc::clone(&self.memory), registers: Arc::clone(&self.registers) }))
    }

    fn console(&self) -> Result<String, Lacks> {
        let mut is_given = self.is_console_given.lock().unwrap_or_else(PoisonError::into_inner);
        let text = if *is_given { String::new() } else { self.meta.console.clone() };
        *is_given = true;
        Ok(text)
    }

    fn pause(&self) -> Result<Pause<'_>, Lacks> {
        Ok(Pause::of_still())
    }

    fn verdicts(&self) -> Result<Verdicts, Lacks> {
        let why = "nobody had judged its run when it was written";
        self.meta.verdicts.clone().ok_or_else(|| self.lacks(Ability::Verdicts, why))
    }

    fn control(&self) -> Result<Arc<dyn Control>, Lacks> {
        Err(self.lacks(Ability::Control, "a core stands still for ever, and is never changed"))
    }
}

/// Answers for the CPUs of a core.
struct Remembers {
    memory: Arc<CoreMemory>,
    registers: Arc<Vec<Option<Registers>>>,
}

impl AskCpu for Remembers {
    fn standing(&self, cpu: u32) -> Option<Standing> {
        let registers = self.registers.get(cpu as usize).copied().flatten()?;
        Some(Standing::of(registers, &*self.memory))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
