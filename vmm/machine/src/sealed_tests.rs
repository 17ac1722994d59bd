//! Guest memory in the hands of another process: what it cannot do.
//!
//! # Invariants
//! - Everything is tried on the descriptor that a session hands over, and on one that was opened again from it.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};
use vm_memory::FileOffset;
use vm_memory::mmap::MmapRegionBuilder;

use super::{GuestMemory, GuestRam, SharedRam};

#[test]
fn memory_that_is_shared_can_be_read_and_neither_written_nor_resized() {
    let ram = GuestRam::new(8192).expect("memfd");
    let file = ram.share().expect("this host seals");
    let again = |file: &File| {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        OpenOptions::new().read(true).write(true).open(path)
    };
    let writable = |file: File| {
        MmapRegionBuilder::<()>::new(8192)
            .with_file_offset(FileOffset::new(file, 0))
            .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
            .with_mmap_flags(libc::MAP_SHARED)
            .build()
    };

    assert!(file.set_len(0).is_err() && file.set_len(1 << 20).is_err());
    assert!(file.write_at(b"x", 0).is_err());
    assert!(writable(file.try_clone().expect("open")).is_err());
    // Who opens it again for writing has no more of it.
    if let Ok(again) = again(&file) {
        assert!(again.write_at(b"x", 0).is_err());
        assert!(again.set_len(0).is_err() && again.set_len(1 << 20).is_err());
        assert!(writable(again).is_err());
    }
    let shared = SharedRam::map(file).expect("sealed");
    ram.write(4096, &7_u64.to_le_bytes()).expect("its owner still writes");
    assert_eq!((shared.read_u64(4096), shared.read_u64(8192)), (Some(7), None));
    assert!(SharedRam::map(tempfile()).is_err(), "a file without seals");
}

/// A file that is not a guest's memory.
fn tempfile() -> File {
    File::from(memfd_create("not-sealed", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("memfd"))
}
