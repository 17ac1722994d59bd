//! Cores that are written and read again, and files that are none.
//!
//! # Invariants
//! - Whatever is done to a core's bytes, reading it is a core or an error that says what it is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::LazyLock;

use super::super::{Told, write};
use super::*;

/// Bytes of the machine that is dumped.
const SIZE: u64 = 128 << 10;

static KNOWN: LazyLock<(Arc<Layout>, Arc<Symbols>)> = LazyLock::new(|| {
    let layout = Layout::from_elf(&GUEST_IMAGE).expect("invariant: the built-in image has a layout");
    let symbols = Symbols::from_elf(&GUEST_IMAGE).expect("invariant: the built-in image has symbols");
    (Arc::new(layout), Arc::new(symbols))
});

fn open(path: &Path) -> Result<CoreFile, CoreError> {
    let (layout, symbols) = &*KNOWN;
    CoreFile::open(path, Arc::clone(layout), Arc::clone(symbols))
}

/// A machine with some bytes in it, two CPUs, and the registers of the second.
fn machine() -> CoreFile {
    let mut bytes = vec![0; SIZE as usize];
    bytes[0x1000..0x1008].copy_from_slice(&0x1234_u64.to_le_bytes());
    bytes[SIZE as usize - 1] = 7;
    let registers =
        Registers { rip: 0x10_0040, rsp: 0x2000, r15: 15, gs_base: 0x5300, cs: 0x23, ..Registers::default() };
    let (layout, symbols) = &*KNOWN;
    let identity = Identity { scenario: "i1532".to_owned(), variant: "v".to_owned(), seed: Some(7), cpus: 2 };
    CoreFile {
        memory: Arc::new(CoreMemory { bytes, ranges: vec![Range { addr: 0, len: SIZE, offset: 0 }] }),
        meta: Meta {
            format: FORMAT,
            umpire: "0".to_owned(),
            kind: "pvm".to_owned(),
            build_id: String::new(),
            identity,
            root: Some(0x1000),
            has_symbols: true,
            written_at: 0,
            verdicts: None,
            console: String::new(),
            panic: None,
        },
        name: "pvm".to_owned(),
        registers: Arc::new(vec![None, Some(registers)]),
        layout: Arc::clone(layout),
        symbols: Arc::clone(symbols),
        is_console_given: Mutex::default(),
    }
}

/// A core of that machine in a folder.
fn core(zstd: bool) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("a.core");
    let verdicts = Some(Verdicts { samples: 3, ..Verdicts::default() });
    let told = Told { verdicts, console: "hello\n".to_owned(), panic: None, zstd };
    let written = write(&machine(), &told, &path).expect("written");
    assert_eq!((written.memory, written.data), (SIZE, 2 * 4096));
    (folder, path)
}

fn said(path: &Path) -> String {
    open(path).map(|_| ()).expect_err("no core").to_string()
}

#[test]
fn core_that_was_written_reads_as_the_machine_did() {
    for zstd in [false, true] {
        let (_folder, path) = core(zstd);
        let read = open(&path).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((read.identity(), read.root()), (machine().identity(), Root::At(0x1000)));
        assert_eq!(read.registers(1).ok(), machine().registers(1).ok());
        assert!(read.registers(0).is_err() && read.clocks().is_err() && read.control().is_err());
        let memory = read.memory();
        assert_eq!((memory.read_u64(0x1000), memory.read_u8(SIZE - 1)), (Some(0x1234), Some(7)));
        assert_eq!((memory.read_u64(0x9000), memory.read_u8(SIZE)), (Some(0), None));
        assert_eq!(memory.read_u64(u64::MAX - 3), None);
        assert_eq!((read.console().as_deref(), read.verdicts().map(|v| v.samples)), (Ok("hello\n"), Ok(3)));
        assert_eq!(read.console().as_deref(), Ok(""));
        let found = fs::metadata(&path).expect("there");
        assert_eq!(found.mode() & 0o777, 0o600);
        assert!(found.blocks() * 512 < 64 << 10, "{} blocks: it has holes or is packed", found.blocks());
    }
}

#[test]
fn core_is_not_written_over_a_file_that_is_there() {
    let (_folder, path) = core(false);
    let before = fs::read(&path).expect("readable");
    let error = write(&machine(), &Told::default(), &path).expect_err("it is there");
    assert!(error.to_string().contains("cannot write the core"), "{error}");
    assert_eq!(fs::read(&path).expect("readable"), before);
}

#[test]
fn core_that_was_cut_says_so_wherever_it_was_cut() {
    for zstd in [false, true] {
        let (folder, path) = core(zstd);
        let whole = fs::read(&path).expect("readable");
        let cut = folder.path().join("cut");
        for len in (0..whole.len().min(600)).chain([whole.len() / 2, whole.len() - 1]) {
            fs::write(&cut, &whole[..len]).expect("writable");
            let said = said(&cut);
            assert!(said.contains("truncated") || zstd && len < 4, "{len} of {}: {said}", whole.len());
        }
    }
}

#[test]
fn core_whose_head_was_changed_is_a_core_or_an_error() {
    let (folder, path) = core(false);
    let whole = fs::read(&path).expect("readable");
    let changed = folder.path().join("changed");
    for at in 0..1600 {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            fs::write(&changed, &bytes).expect("writable");
            if let Ok(core) = open(&changed) {
                core.memory().read_u64(0x1000);
                let _known = core.registers(1);
            }
        }
    }
}

#[test]
fn file_that_is_no_core_of_this_umpire_is_refused_with_what_it_is() {
    let (folder, path) = core(false);
    let other = folder.path().join("other");
    let try_with = |bytes: &[u8]| {
        fs::write(&other, bytes).expect("writable");
        said(&other)
    };
    assert!(try_with(b"a text\n").contains("no ELF file"));
    assert!(try_with(&GUEST_IMAGE).contains("not a core for x86-64"));
    assert!(said(folder.path()).contains("no plain file"));
    assert!(said(&folder.path().join("nowhere")).contains("cannot read the core"));
    let whole = fs::read(&path).expect("readable");
    let replaced = |from: &str, to: &str| {
        let at = whole.windows(from.len()).position(|w| w == from.as_bytes()).expect("it is in the note");
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    assert!(try_with(&replaced("\"format\":1", "\"format\":9")).contains("its format is 9"));
    let ours = crate::build_id(&GUEST_IMAGE).expect("it has one");
    assert!(try_with(&replaced(&ours[..4], "zzzz")).contains("there is no debug information for it here"));
    assert!(try_with(&replaced("UMPIRE", "VMPIRE")).contains("another program wrote it"));
}
