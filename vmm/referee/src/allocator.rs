//! What glibc's allocator asks of the system once, asked before anybody gives up to ask.
//!
//! # Invariants
//! - Whichever thread first gives back the top of an arena that is not the main thread's makes glibc read
//!   `/proc/sys/vm/overcommit_memory`. The sampler gives back memory when it has handed records out, and its filter lets it open nothing:
//!   so a thread that may open files gives some back before the sampler is there.
//! - Another allocator asks nothing, and some microseconds are lost.

use std::hint::black_box;
use std::thread;

/// Bytes of a piece: less than glibc maps by itself (128 KiB at least).
const PIECE: usize = 96 << 10;
/// Pieces: together more than glibc keeps at the top of an arena once a program has given back large ones.
const PIECES: usize = 400;

/// Asks it. The pieces are never touched, and so take no memory.
pub(super) fn settle() {
    let asking = || (0..PIECES).map(|_| black_box(Vec::<u8>::with_capacity(PIECE))).collect::<Vec<_>>();
    // Nothing in it panics; if something did, nothing was asked.
    let _ = thread::spawn(move || drop(black_box(asking()))).join();
}
