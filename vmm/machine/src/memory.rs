//! Guest memory: how it is held, and how it is read while the guest runs.
//!
//! # Invariants
//! - No reference and no slice into guest memory exists outside vm-memory: everything is copied out by
//!   volatile loads, because the guest may change any byte at any time.
//! - A naturally aligned field of 1, 2, 4 or 8 bytes is read by one load, so it never tears.
//! - RAM lives in a memfd that is populated lazily: a page that was never touched costs nothing.
//! - Only this crate can write guest memory, and it does so before the guest starts.
// Raw loads from memory that the guest writes cannot be expressed in safe Rust.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

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
    /// verified afterwards as a whole. It is several times faster.
    fn copy(&self, addr: u64, out: &mut [u8]) -> bool;

    /// Sets bit `n % 64` of word `n / 64` of `blocks` for each block `n` of [`BLOCK`] bytes from `addr` on in which any byte
    /// is not 0, and clears the others; `len` need not be a whole number of blocks. The bytes may be read in any order and
    /// in pieces of any size. False if any of the `len` bytes is outside guest memory, or if `blocks` is too short for them.
    fn nonzero(&self, addr: u64, len: usize, blocks: &mut [u64]) -> bool;

    /// Says that the bytes at these addresses will be read soon. It changes nothing, whatever they are.
    fn prefetch(&self, addrs: &[u64]);

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

/// [`GuestMemory::nonzero`] for memory that has no faster way: by a read a block.
pub fn nonzero_by_reads(memory: &dyn GuestMemory, addr: u64, len: usize, blocks: &mut [u64]) -> bool {
    if len.div_ceil(BLOCK) > 64 * blocks.len() {
        return false;
    }
    blocks.fill(0);
    (0..len.div_ceil(BLOCK)).all(|n| {
        let mut block = [0; BLOCK];
        let some = &mut block[..(len - n * BLOCK).min(BLOCK)];
        let is_read = memory.read(addr.wrapping_add((n * BLOCK) as u64), some);
        blocks[n / 64] |= u64::from(block != [0; BLOCK]) << (n % 64);
        is_read
    })
}

/// RAM of a KVM guest: a memfd, mapped once, at guest address 0.
#[derive(Debug)]
pub struct GuestRam {
    mapping: GuestMemoryMmap,
    window: Window,
}

impl GuestRam {
    /// Maps `len` bytes of zeroed memory.
    ///
    /// # Errors
    /// What the host said to memfd_create, ftruncate or mmap.
    pub(super) fn new(len: u64) -> io::Result<GuestRam> {
        let file = memfd()?;
        file.set_len(len)?;
        let size = usize::try_from(len).map_err(io::Error::other)?;
        let range = (GuestAddress(0), size, Some(FileOffset::new(file, 0)));
        let mapping = GuestMemoryMmap::from_ranges_with_files([range]).map_err(io::Error::other)?;
        let start = mapping.get_host_address(GuestAddress(0)).map_err(io::Error::other)?;
        let host = NonNull::new(start.cast_const().cast_mut())
            .ok_or_else(|| io::Error::other("guest memory was mapped at address 0"))?;
        Ok(GuestRam { mapping, window: Window { guest: 0, len, host } })
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

    /// Writes `bytes` at guest address `addr`; the guest does not run yet.
    ///
    /// # Errors
    /// If any byte would land outside guest memory.
    pub(super) fn write(&self, addr: u64, bytes: &[u8]) -> io::Result<()> {
        self.mapping.write_slice(bytes, GuestAddress(addr)).map_err(io::Error::other)
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

    /// A simulated machine stands still while it is looked at: its memory is in the cache or not worth a hint.
    fn prefetch(&self, _addrs: &[u64]) {}
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

/// An empty file in memory, closed on exec.
fn memfd() -> io::Result<File> {
    // SAFETY: the name is a NUL-terminated constant; the call touches no memory of ours but that.
    let fd = unsafe { libc::memfd_create(c"umpire-guest-ram".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just created and nothing else knows it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ram(len: u64) -> GuestRam {
        GuestRam::new(len).expect("memfd")
    }

    #[test]
    fn read_at_every_alignment_gives_what_was_written() {
        let ram = ram(4096);
        let bytes: Vec<u8> = (0..64).collect();
        ram.write(100, &bytes).expect("inside");
        for start in 0..16_usize {
            for len in 0..40_usize {
                let mut out = vec![0xee; len];
                assert!(ram.read(100 + start as u64, &mut out));
                assert_eq!(out, bytes[start..start + len]);
                out.fill(0xee);
                assert!(ram.copy(100 + start as u64, &mut out));
                assert_eq!(out, bytes[start..start + len]);
            }
        }
        assert_eq!(ram.read_u64(104), Some(u64::from_le_bytes([4, 5, 6, 7, 8, 9, 10, 11])));
        assert_eq!(ram.read_u32(101), Some(u32::from_le_bytes([1, 2, 3, 4])));
        assert_eq!(ram.read_u16(102), Some(u16::from_le_bytes([2, 3])));
        assert_eq!(ram.read_u8(163), Some(63));
    }

    #[test]
    fn read_past_the_end_is_refused_and_leaves_the_buffer() {
        let ram = ram(4096);
        let mut out = [7; 8];
        assert!(!ram.read(4089, &mut out));
        assert!(!ram.read(u64::MAX - 3, &mut out));
        assert!(!ram.read(1 << 40, &mut out));
        assert_eq!(out, [7; 8]);
        assert!(ram.read(4088, &mut out));
        assert!(ram.read(4096, &mut []));
        assert_eq!(ram.read_u64(4089), None);
        assert_eq!(ram.read_u8(4096), None);
    }

    /// Memory that reads as another does and has nothing but `read`.
    struct Plain<'a>(&'a GuestRam);

    impl GuestMemory for Plain<'_> {
        fn read(&self, addr: u64, out: &mut [u8]) -> bool {
            self.0.read(addr, out)
        }

        fn copy(&self, addr: u64, out: &mut [u8]) -> bool {
            self.0.read(addr, out)
        }

        fn nonzero(&self, addr: u64, len: usize, blocks: &mut [u64]) -> bool {
            nonzero_by_reads(self, addr, len, blocks)
        }

        fn prefetch(&self, _addrs: &[u64]) {}
    }

    #[test]
    fn nonzero_gives_the_blocks_in_which_a_byte_is_set_at_every_alignment() {
        let ram = ram(16384);
        for at in [100, 163, 164, 5000, 8190] {
            ram.write(at, &[1]).expect("inside");
        }
        for start in 95..105_u64 {
            for len in [0, 1, 4, 63, 64, 65, 130, 4080, 4097, 8095] {
                let mut found = [u64::MAX; 2];
                let mut plain = [0; 2];
                assert!(ram.nonzero(start, len, &mut found));
                assert!(Plain(&ram).nonzero(start, len, &mut plain));
                assert_eq!(found, plain, "{len} bytes from {start}");
                let is_set = |at: u64| at >= start && at < start + len as u64;
                let set = [100, 163, 164, 5000, 8190].into_iter().filter(|&at| is_set(at));
                let expect = set.fold([0; 2], |mut words: [u64; 2], at| {
                    let block = (at - start) as usize / BLOCK;
                    words[block / 64] |= 1 << (block % 64);
                    words
                });
                assert_eq!(found, expect, "{len} bytes from {start}");
            }
        }
        assert!(!ram.nonzero(16384 - 64, 65, &mut [0]), "past the end");
        assert!(!ram.nonzero(0, 65 * BLOCK, &mut [0]), "more blocks than bits");
        ram.prefetch(&[0, 16383, 16384, u64::MAX]);
    }

    #[test]
    fn write_past_the_end_is_refused() {
        assert!(ram(4096).write(4090, &[0; 8]).is_err());
    }

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
