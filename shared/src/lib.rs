//! What crosses the glass: the only vocabulary that the guest and the host have in common.
//!
//! # Invariants
//! - No dependency, no allocation, no `unsafe`, and nothing that runs: constants, record layouts,
//!   and codecs from and to bytes.
//! - Every record is little-endian and of fixed size, so that both sides agree without a compiler's help.
//!
//! # What is not here
//! Kernel structures. What their fields may hold is in [`sys`]; where the fields lie, the host learns from the guest's own DWARF.
#![no_std]

pub mod boot;
pub mod errno;
pub mod event;
pub mod mutant;
pub mod program;
pub mod roster;
pub mod sys;
pub mod tunable;
pub mod work;

/// Most virtual CPUs that a machine may have.
pub const MAX_CPUS: usize = 16;
/// Most threads that a scenario may name (the kernel adds its own: [`roster`]).
pub const MAX_THREADS: usize = 16384;
/// Bytes in a name record, terminating NUL included: `t_name` holds 31 characters.
pub const NAME_LEN: usize = 32;

/// Puts `name` into a fixed, NUL-padded record; what does not fit is cut.
pub fn pack_name(name: &str) -> [u8; NAME_LEN] {
    let mut out = [0; NAME_LEN];
    let mut len = name.len().min(NAME_LEN - 1);
    while !name.is_char_boundary(len) {
        len -= 1;
    }
    out[..len].copy_from_slice(&name.as_bytes()[..len]);
    out
}

/// The text of a name record: up to the first NUL, and only as far as it is valid UTF-8.
pub fn unpack_name(record: &[u8]) -> &str {
    let len = record.iter().position(|&b| b == 0).unwrap_or(record.len());
    match core::str::from_utf8(&record[..len]) {
        Ok(s) => s,
        Err(e) => core::str::from_utf8(&record[..e.valid_up_to()]).unwrap_or(""),
    }
}
