//! The bytes of a scenario's message, and whether they came as they went.
//!
//! # Invariants
//! - Data begin with who sent them and their number there, which are written when they are sent. Behind that stands how many bytes there
//!   are, if there is room for it, and then each byte tells its own place.
//! - Only what says so is looked at: packets of devices and what modules make have bytes of their own.

use umpire_kernel::cell::Cell;
use umpire_kernel::streams::message::{Mblk, m};

/// Where the length stands.
const LENGTH_AT: usize = 16;
/// Where bytes that tell their places begin.
const BYTES_AT: usize = 24;
/// The upper half of a length.
const MARK: u64 = 0x756d_7069 << 32;

/// Writes the data of a message of so many bytes into an empty block that has room for them.
pub fn write(mp: &Mblk, sender: u64, number: u64, bytes: usize) {
    mp.append_u64(sender);
    mp.append_u64(number);
    if bytes >= BYTES_AT {
        mp.append_u64(MARK | bytes as u64);
    }
    mp.fill_to(bytes, byte);
}

/// True if the data of a message are what was written, in however many blocks they lie; false if they are longer or shorter or have
/// another byte somewhere.
pub fn is_intact(mp: &'static Mblk) -> bool {
    let has_data = mp.blocks().any(|bp| bp.db_type() == m::DATA);
    let blocks = || mp.blocks().filter(move |bp| !has_data || bp.db_type() == m::DATA);
    let bytes = || blocks().flat_map(|bp| bp.data().iter().map(Cell::get));
    let mut length = [0; 8];
    for (to, from) in length.iter_mut().zip(bytes().skip(LENGTH_AT)) {
        *to = from;
    }
    let length = u64::from_le_bytes(length);
    if length & !u64::from(u32::MAX) != MARK {
        return true;
    }
    let length = (length & u64::from(u32::MAX)) as usize;
    bytes().count() == length && bytes().enumerate().skip(BYTES_AT).all(|(at, found)| found == byte(at))
}

/// The byte at a place: neighbours differ, and so do places that whole blocks lie between.
fn byte(at: usize) -> u8 {
    (at + at / 256 + 1) as u8
}
