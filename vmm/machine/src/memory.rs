//! Guest memory: how it is held, and how it is read while the guest runs.
//!
//! # Invariants
//! - No reference and no slice into guest memory exists outside vm-memory: everything is copied out by
//!   volatile loads, because the guest may change any byte at any time.
//! - A naturally aligned field of 1, 2, 4 or 8 bytes is read by one load, so it never tears.
//! - RAM lives in a memfd that is populated lazily: a page that was never touched costs nothing.
//! - No core that the host writes of a process has guest memory in it.
//! - Only this crate can write guest memory: before the guest starts, and afterwards through a [`super::Writer`] only.
//! - The memfd is sealed once it is mapped: nobody who is given it can map it writable, write to it, or change its size.
// Raw loads from memory that the guest writes cannot be expressed in safe Rust.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

use rustix::fs::{MemfdFlags, SealFlags, SeekFrom, fcntl_add_seals, fcntl_get_seals, memfd_create, seek};
use rustix::io::Errno;
use vm_memory::mmap::{MmapRegion, MmapRegionBuilder};
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// Bytes from which on the processor's string copy is faster than word by word.
const STRING_COPY_FROM: usize = 256;

/// Bytes of a block of [`GuestMemory::nonzero`].
pub const BLOCK: usize = 64;

/// Read access to a guest's memory, for code that watches the guest.
///
/// What is fast in one kind of memory has no slow default here: a wrapper that forgot to hand it on would be slow without a word.
pub trait GuestMemory: Send + Sync {
    /// Copies `out.len()` bytes from guest address `addr`; false, with `out` untouched, if any of them is
    /// outside guest memory. Aligned pieces of 8, 4, 2 and 1 bytes are read by one load each; loads made by
    /// one call are not reordered with those of a later one.
    fn read(&self, addr: u64, out: &mut [u8]) -> bool;

    /// As [`GuestMemory::read`], but the bytes may be read in any order and in pieces of any size: only for a copy that is
    /// verified afterwards as a whole. It is several times faster, where memory has such a way.
    fn copy(&self, addr: u64, out: &mut [u8]) -> bool {
        self.read(addr, out)
    }

    /// Sets bit `n % 64` of word `n / 64` of `blocks` for each block `n` of [`BLOCK`] bytes from `addr` on in which any byte
    /// is not 0, and clears the others; `len` need not be a whole number of blocks. The bytes may be read in any order and
    /// in pieces of any size. False if any of the `len` bytes is outside guest memory, or if `blocks` is too short for them.
    /// Memory that has no faster way is read a block at a time.
    fn nonzero(&self, addr: u64, len: usize, blocks: &mut [u64]) -> bool {
        if len.div_ceil(BLOCK) > 64 * blocks.len() {
            return false;
        }
        blocks.fill(0);
        (0..len.div_ceil(BLOCK)).all(|n| {
            let mut block = [0; BLOCK];
            let some = &mut block[..(len - n * BLOCK).min(BLOCK)];
            let is_read = self.read(addr.wrapping_add((n * BLOCK) as u64), some);
            blocks[n / 64] |= u64::from(block != [0; BLOCK]) << (n % 64);
            is_read
        })
    }

    /// Says that the bytes at these addresses will be read soon. It changes nothing, whatever they are. Memory that stands still while it
    /// is looked at is in the cache, or not worth a hint.
    fn prefetch(&self, _addrs: &[u64]) {}

    /// What there is to read: where each run of addresses begins, and its length in bytes, by address.
    fn ranges(&self) -> Vec<(u64, u64)>;

    /// Those parts of [`GuestMemory::ranges`] in which anything but zeros can be: who reads the others only makes them take room.
    fn populated(&self) -> Vec<(u64, u64)> {
        self.ranges()
    }

    /// The 8 bytes at `addr`, by one acquire load if `addr` is aligned; `None` if outside guest memory.
    fn read_u64(&self, addr: u64) -> Option<u64> {
        let mut raw = [0; 8];
        self.read(addr, &mut raw).then(|| u64::from_le_bytes(raw))
    }

    /// The 4 bytes at `addr`, by one acquire load if `addr` is aligned; `None` if outside guest memory.
    fn read_u32(&self, addr: u64) -> Option<u32> {
        let mut raw = [0; 4];
        self.read(addr, &mut raw).then(|| u32::from_le_bytes(raw))
    }

    /// The 2 bytes at `addr`, by one acquire load if `addr` is aligned; `None` if outside guest memory.
    fn read_u16(&self, addr: u64) -> Option<u16> {
        let mut raw = [0; 2];
        self.read(addr, &mut raw).then(|| u16::from_le_bytes(raw))
    }

    /// The byte at `addr`, by one acquire load; `None` if outside guest memory.
    fn read_u8(&self, addr: u64) -> Option<u8> {
        let mut raw = [0; 1];
        self.read(addr, &mut raw).then(|| raw[0])
    }
}

/// RAM of a KVM guest: a memfd, mapped once, at guest address 0.
#[derive(Debug)]
pub struct GuestRam {
    mapping: GuestMemoryMmap,
    window: Window,
    file: File,
}

impl GuestRam {
    /// Maps `len` bytes of zeroed memory.
    ///
    /// # Errors
    /// What the host said to memfd_create, ftruncate or mmap.
    pub(super) fn new(len: u64) -> io::Result<GuestRam> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memfd_create("umpire-guest-ram", flags)?);
        file.set_len(len)?;
        let size = usize::try_from(len).map_err(io::Error::other)?;
        let range = (GuestAddress(0), size, Some(FileOffset::new(file.try_clone()?, 0)));
        let mapping = GuestMemoryMmap::from_ranges_with_files([range]).map_err(io::Error::other)?;
        let start = mapping.get_host_address(GuestAddress(0)).map_err(io::Error::other)?;
        let host = NonNull::new(start.cast_const().cast_mut()).ok_or_else(at_zero)?;
        keep_out_of_cores(host, size);
        // Mappings that exist stay writable: ours, which KVM runs the guest on. A host that does not know the seal cannot share.
        if fcntl_add_seals(&file, SEALS).is_err() {
            fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
        }
        Ok(GuestRam { mapping, window: Window { guest: 0, len, host }, file })
    }

    /// The memory as a file to be given to another process: open for reading only, and sealed, so that it cannot be opened again
    /// and mapped writable, be written to or be resized either.
    ///
    /// # Errors
    /// If this host does not know the seals, or does not let the file be opened again.
    pub fn share(&self) -> io::Result<File> {
        check_seals(&self.file)?;
        File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// Bytes of RAM.
    pub fn len(&self) -> u64 {
        self.window.len
    }

    /// True if there is no RAM; a machine always has some.
    pub fn is_empty(&self) -> bool {
        self.window.len == 0
    }

    /// Where the mapping starts in this process, for KVM.
    pub(super) fn host_address(&self) -> u64 {
        self.window.host.as_ptr() as u64
    }

    /// The mapping, for linux-loader.
    pub(super) fn mapping(&self) -> &GuestMemoryMmap {
        &self.mapping
    }

    /// Writes `bytes` at guest address `addr`: before the guest runs, or for a [`super::Writer`]. A naturally aligned word of 1, 2,
    /// 4 or 8 bytes is written by one store.
    ///
    /// # Errors
    /// If any byte would land outside guest memory; nothing is written then.
    pub(super) fn write(&self, addr: u64, bytes: &[u8]) -> io::Result<()> {
        if self.window.locate(addr, bytes.len()).is_none() {
            return Err(io::Error::other(format!(
                "there is no memory for {} bytes at {addr:#x}",
                bytes.len()
            )));
        }
        let at = GuestAddress(addr);
        let stored = match *bytes {
            [a, b] if addr.is_multiple_of(2) => {
                self.mapping.store(u16::from_le_bytes([a, b]), at, Ordering::SeqCst)
            }
            [a, b, c, d] if addr.is_multiple_of(4) => {
                self.mapping.store(u32::from_le_bytes([a, b, c, d]), at, Ordering::SeqCst)
            }
            [a, b, c, d, e, f, g, h] if addr.is_multiple_of(8) => {
                self.mapping.store(u64::from_le_bytes([a, b, c, d, e, f, g, h]), at, Ordering::SeqCst)
            }
            ref other => self.mapping.write_slice(other, at),
        };
        stored.map_err(io::Error::other)
    }
}

impl GuestMemory for GuestRam {
    #[inline]
    fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        self.window.read(addr, out)
    }

    #[inline]
    fn copy(&self, addr: u64, out: &mut [u8]) -> bool {
        self.window.copy(addr, out)
    }

    fn nonzero(&self, addr: u64, len: usize, blocks: &mut [u64]) -> bool {
        self.window.nonzero(addr, len, blocks)
    }

    fn prefetch(&self, addrs: &[u64]) {
        addrs.iter().for_each(|&addr| self.window.prefetch(addr));
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        vec![(0, self.window.len)]
    }

    fn populated(&self) -> Vec<(u64, u64)> {
        data_of(&self.file, self.window.len)
    }
}

/// RAM of a guest that another process runs, at guest address 0, mapped for reading.
#[derive(Debug)]
pub struct SharedRam {
    _mapping: MmapRegion,
    window: Window,
    file: File,
}

impl SharedRam {
    /// Maps what [`GuestRam::share`] gave.
    ///
    /// # Errors
    /// If the file is not sealed, so that it could become shorter while it is read, or cannot be mapped.
    pub fn map(file: File) -> io::Result<SharedRam> {
        check_seals(&file)?;
        let len = file.metadata()?.len();
        let size = usize::try_from(len).map_err(io::Error::other)?;
        let region = MmapRegionBuilder::new(size)
            .with_file_offset(FileOffset::new(file.try_clone()?, 0))
            .with_mmap_prot(libc::PROT_READ)
            .with_mmap_flags(libc::MAP_SHARED | libc::MAP_NORESERVE)
            .build()
            .map_err(io::Error::other)?;
        let host = NonNull::new(region.as_ptr()).ok_or_else(at_zero)?;
        keep_out_of_cores(host, size);
        Ok(SharedRam { _mapping: region, window: Window { guest: 0, len, host }, file })
    }
}

impl GuestMemory for SharedRam {
    fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        self.window.read(addr, out)
    }

    fn copy(&self, addr: u64, out: &mut [u8]) -> bool {
        self.window.copy(addr, out)
    }

    fn nonzero(&self, addr: u64, len: usize, blocks: &mut [u64]) -> bool {
        self.window.nonzero(addr, len, blocks)
    }

    fn prefetch(&self, addrs: &[u64]) {
        addrs.iter().for_each(|&addr| self.window.prefetch(addr));
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        vec![(0, self.window.len)]
    }

    fn populated(&self) -> Vec<(u64, u64)> {
        data_of(&self.file, self.window.len)
    }
}

/// Leaves a mapping of guest memory out of a core that the host writes of this process: `--core-on` and `::dump` are how one asks
/// for it.
fn keep_out_of_cores(host: NonNull<u8>, len: usize) {
    // SAFETY: the `len` bytes from `host` were mapped by the caller just now; the advice changes none of them.
    let _unknown = unsafe { libc::madvise(host.as_ptr().cast(), len, libc::MADV_DONTDUMP) };
}

/// Memory of this process that a simulated kernel lives in. Its guest addresses are host addresses.
#[derive(Debug)]
pub struct HostRanges {
    windows: Vec<Window>,
}

impl HostRanges {
    /// Makes the given ranges, each an address in this process and a length in bytes, readable.
    ///
    /// # Safety
    /// For as long as the value lives, every byte of every range must stay mapped and readable. Another thread
    /// that writes to the ranges must do so with atomics.
    pub unsafe fn new(ranges: &[(u64, u64)]) -> HostRanges {
        let mut windows: Vec<Window> = ranges
            .iter()
            .filter_map(|&(addr, len)| {
                let host = NonNull::new(std::ptr::with_exposed_provenance_mut(addr as usize))?;
                Some(Window { guest: addr, len, host })
            })
            .collect();
        windows.sort_by_key(|w| w.guest);
        HostRanges { windows }
    }

    /// The last window that begins at or before `addr`.
    fn window_of(&self, addr: u64) -> Option<&Window> {
        let after = self.windows.partition_point(|w| w.guest <= addr);
        self.windows.get(after.checked_sub(1)?)
    }
}

impl GuestMemory for HostRanges {
    fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        self.window_of(addr).is_some_and(|w| w.read(addr, out))
    }

    fn copy(&self, addr: u64, out: &mut [u8]) -> bool {
        self.window_of(addr).is_some_and(|w| w.copy(addr, out))
    }

    fn nonzero(&self, addr: u64, len: usize, blocks: &mut [u64]) -> bool {
        self.window_of(addr).is_some_and(|w| w.nonzero(addr, len, blocks))
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        self.windows.iter().map(|w| (w.guest, w.len)).collect()
    }
}

/// One run of guest addresses and where this process has it mapped.
///
/// Invariant: `len` bytes from `host` are mapped and readable while the window lives.
#[derive(Debug)]
struct Window {
    guest: u64,
    len: u64,
    host: NonNull<u8>,
}

// SAFETY: a window is only ever read, by volatile loads, and its memory stays mapped while it lives (its
// invariant), whichever thread holds it.
unsafe impl Send for Window {}
// SAFETY: as above; concurrent loads do not disturb each other.
unsafe impl Sync for Window {}

impl Window {
    /// Where `len` bytes at guest address `addr` are mapped, if all of them are.
    #[inline]
    fn locate(&self, addr: u64, len: usize) -> Option<*const u8> {
        let offset = addr.checked_sub(self.guest)?;
        if offset.checked_add(len as u64)? > self.len {
            return None;
        }
        // SAFETY: `offset + len <= self.len`, and the window's invariant says that so many bytes are mapped.
        Some(unsafe { self.host.as_ptr().add(offset as usize) }.cast_const())
    }

    /// See [`GuestMemory::nonzero`].
    fn nonzero(&self, addr: u64, len: usize, blocks: &mut [u64]) -> bool {
        let Some(from) = self.locate(addr, len) else { return false };
        if len.div_ceil(BLOCK) > 64 * blocks.len() {
            return false;
        }
        blocks.fill(0);
        let is_aligned = (from as usize).is_multiple_of(size_of::<u64>());
        let whole = if is_aligned { len / BLOCK } else { 0 };
        for (word, n) in blocks.iter_mut().zip((0..whole).step_by(64)) {
            for bit in 0..(whole - n).min(64) {
                // SAFETY: block `n + bit` ends within the `len` bytes that were located from `from` on.
                let block = unsafe { from.add((n + bit) * BLOCK) };
                // SAFETY: the block is a part of what was located, and as aligned as `from`, to 8.
                *word |= u64::from(unsafe { any(block) }) << bit;
            }
        }
        // What is left of a range that is not aligned, or not a whole number of blocks.
        (whole * BLOCK..len).step_by(BLOCK).all(|at| {
            let mut block = [0; BLOCK];
            let is_read = self.read(addr + at as u64, &mut block[..(len - at).min(BLOCK)]);
            blocks[at / BLOCK / 64] |= u64::from(block != [0; BLOCK]) << (at / BLOCK % 64);
            is_read
        })
    }

    /// See [`GuestMemory::prefetch`].
    #[inline]
    fn prefetch(&self, addr: u64) {
        #[cfg(target_arch = "x86_64")]
        if let Some(at) = self.locate(addr, 1) {
            // SAFETY: the address is mapped, and a hint to the processor's cache reads nothing that anybody could see.
            unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast()) };
        }
    }

    /// See [`GuestMemory::copy`].
    #[inline]
    fn copy(&self, addr: u64, out: &mut [u8]) -> bool {
        let Some(from) = self.locate(addr, out.len()) else { return false };
        if out.len() < STRING_COPY_FROM {
            return self.read(addr, out);
        }
        // SAFETY: `locate` found so many bytes mapped from `from`, and `out` has room for as many; the two do not overlap,
        // since no slice of guest memory exists. The processor's own copy is used because the guest may write
        // meanwhile: to the compiler it is one opaque instruction, not a racy load.
        unsafe {
            std::arch::asm!(
                "rep movsb",
                inout("rcx") out.len() => _,
                inout("rsi") from => _,
                inout("rdi") out.as_mut_ptr() => _,
                options(nostack, preserves_flags),
            );
        }
        fence(Ordering::Acquire);
        true
    }

    /// See [`GuestMemory::read`].
    #[inline]
    fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        let Some(mut from) = self.locate(addr, out.len()) else { return false };
        let mut rest = out;
        if (from as usize).is_multiple_of(8) {
            let (words, tail) = rest.as_chunks_mut::<8>();
            for word in words {
                // SAFETY: the words are a part of what was located from `from` on, which is aligned to 8 and steps by 8.
                *word = unsafe { from.cast::<u64>().read_volatile() }.to_ne_bytes();
                // SAFETY: still inside the located range, or one past its end.
                from = unsafe { from.add(8) };
            }
            rest = tail;
        }
        while !rest.is_empty() {
            let size = piece(from as usize, rest.len());
            let (now, later) = rest.split_at_mut(size);
            // SAFETY: `size` bytes from `from` are inside the range that was located, and `piece` made `from`
            // aligned to `size`.
            unsafe { load(from, now) };
            rest = later;
            // SAFETY: still inside the located range, or one past its end.
            from = unsafe { from.add(size) };
        }
        fence(Ordering::Acquire);
        true
    }
}

/// True if any byte of a block is not 0.
///
/// # Safety
/// [`BLOCK`] bytes at `block` must be mapped and readable, and `block` aligned to 8.
#[inline]
unsafe fn any(block: *const u8) -> bool {
    let words = block.cast::<u64>();
    let all = (0..BLOCK / size_of::<u64>()).fold(0, |all, n| {
        // SAFETY: the caller promises so many words.
        let word = unsafe { words.add(n) };
        // SAFETY: the caller promises that it is readable and aligned.
        all | unsafe { word.read_volatile() }
    });
    all != 0
}

/// The greatest power of two, 8 at most, that `addr` is aligned to and that is no more than `left` (not 0).
#[inline]
fn piece(addr: usize, left: usize) -> usize {
    let aligned = 1 << addr.trailing_zeros().min(3);
    let fits = 1 << left.ilog2().min(3);
    aligned.min(fits)
}

/// Fills `out`, of 8, 4, 2 or 1 bytes, by one volatile load.
///
/// # Safety
/// `out.len()` bytes at `from` must be mapped and readable, and `from` aligned to their number.
#[inline]
unsafe fn load(from: *const u8, out: &mut [u8]) {
    match out.len() {
        8 => {
            // SAFETY: the caller promises 8 readable bytes, aligned to 8.
            let value = unsafe { from.cast::<u64>().read_volatile() };
            out.copy_from_slice(&value.to_ne_bytes());
        }
        4 => {
            // SAFETY: the caller promises 4 readable bytes, aligned to 4.
            let value = unsafe { from.cast::<u32>().read_volatile() };
            out.copy_from_slice(&value.to_ne_bytes());
        }
        2 => {
            // SAFETY: the caller promises 2 readable bytes, aligned to 2.
            let value = unsafe { from.cast::<u16>().read_volatile() };
            out.copy_from_slice(&value.to_ne_bytes());
        }
        _ => {
            // SAFETY: the caller promises a readable byte.
            let value = unsafe { from.read_volatile() };
            out[..1].copy_from_slice(&[value]);
        }
    }
}

/// What is sealed once the memory is mapped: its size, new mappings that could write, and the seals.
const SEALS: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE).union(SealFlags::SEAL);

fn check_seals(file: &File) -> io::Result<()> {
    match fcntl_get_seals(file) {
        Ok(seals) if seals.contains(SEALS) => Ok(()),
        Ok(_) => Err(io::Error::other(
            "the guest's memory is not sealed against writers: this host's kernel has no F_SEAL_FUTURE_WRITE (Linux 5.1)",
        )),
        Err(e) => {
            Err(io::Error::other(format!("this is no memory of a guest: its seals cannot be read: {e}")))
        }
    }
}

/// Where a file of `len` bytes has data; all of it on a file system that cannot say.
fn data_of(file: &File, len: u64) -> Vec<(u64, u64)> {
    let (mut all, mut at) = (Vec::new(), 0);
    while at < len {
        let from = match seek(file, SeekFrom::Data(at)) {
            Ok(from) => from,
            Err(Errno::NXIO) => break,
            Err(_) => return vec![(0, len)],
        };
        let to = seek(file, SeekFrom::Hole(from)).unwrap_or(len).clamp(from + 1, len.max(from + 1));
        all.push((from, to - from));
        at = to;
    }
    all
}

fn at_zero() -> io::Error {
    io::Error::other("guest memory was mapped at address 0")
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod ram_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_ranges_of_two_arrays_read_each_and_nothing_between() {
        let arrays = Box::new(([1_u64, 2, 3], [9_u8; 8], [4_u64, 5]));
        let first = (&raw const arrays.0).expose_provenance() as u64;
        let last = (&raw const arrays.2).expose_provenance() as u64;
        // SAFETY: `arrays` outlives `ranges`, and nothing writes to it.
        let ranges = unsafe { HostRanges::new(&[(last, 16), (first, 24), (0, 4096)]) };
        assert_eq!(ranges.read_u64(first + 16), Some(3));
        assert_eq!(ranges.read_u64(last + 8), Some(5));
        assert_eq!(ranges.read_u64(last + 9), None);
        assert_eq!(ranges.read_u64(first + 17), None);
        assert_eq!(ranges.read_u8(first.min(last) - 1), None);
        assert_eq!(ranges.read_u8(64), None);
    }
}
