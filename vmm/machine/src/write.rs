//! Writing into a machine that runs, because somebody asked for it: with a log of all that was written.
//!
//! # Invariants
//! - It is the one way to write guest memory once the guest runs, and it is not a part of [`super::MachineView`]: who is to look only
//!   has none.
//! - Everything that was written is in the log, in order; when the log is full nothing more is written.

use std::io;
use std::sync::{Arc, PoisonError};

use super::boot_state::BootState;
use super::memory::GuestMemory;
use super::tsc::GuestTsc;
use super::view::MachineView;
use super::wait::Watched;

/// Writes that a run may see.
const MOST: usize = 4096;
/// Characters of what a write says that it is for.
const MAX_WHAT: usize = 128;

/// Something that was written into a guest from outside.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Written {
    /// When, in ns after the guest's boot; `None` on a host that does not share its time-stamp counter.
    pub at_ns: Option<u64>,
    /// What the writer called it: the name of a tunable, or an address.
    pub what: String,
    /// Where.
    pub addr: u64,
    /// How many bytes, 1 to 8.
    pub bytes: u64,
    /// What was there.
    pub old: u64,
    /// What is there now.
    pub new: u64,
}

/// Writes into a machine.
#[derive(Debug, Clone)]
pub struct Writer {
    pub(super) watched: Arc<Watched>,
    pub(super) tsc: GuestTsc,
}

impl Writer {
    /// Writes 1, 2, 4 or 8 bytes of `value`, by one store if `addr` is a multiple of their number, and notes it as `what`.
    ///
    /// # Errors
    /// If there is no memory, if it is another number of bytes, or if too much was written before. Nothing is written then.
    pub fn write(&self, what: &str, addr: u64, value: u64, bytes: usize) -> io::Result<Written> {
        if !matches!(bytes, 1 | 2 | 4 | 8) {
            return Err(io::Error::other(format!(
                "{bytes} bytes cannot be written at once: it may be 1, 2, 4 or 8"
            )));
        }
        let what: String = what.chars().filter(|c| c.is_ascii_graphic()).take(MAX_WHAT).collect();
        let ram = &self.watched.ram;
        // The lock is held until the write is done: the log's order is that of the writes.
        let mut log = self.watched.writes.lock().unwrap_or_else(PoisonError::into_inner);
        room(&log, 1)?;
        let mut old = [0; 8];
        if !ram.read(addr, &mut old[..bytes]) {
            return Err(io::Error::other(format!("there is no memory for {bytes} bytes at {addr:#x}")));
        }
        let raw = value.to_le_bytes();
        ram.write(addr, &raw[..bytes])?;
        let mut new = [0; 8];
        new[..bytes].copy_from_slice(&raw[..bytes]);
        let written = Written {
            at_ns: self.now_ns(),
            what,
            addr,
            bytes: bytes as u64,
            old: u64::from_le_bytes(old),
            new: u64::from_le_bytes(new),
        };
        log.push(written.clone());
        Ok(written)
    }

    /// ns since the guest's boot, where that can be known, without the time for which the guest was held.
    pub(super) fn now_ns(&self) -> Option<u64> {
        // The base moves under this lock.
        let state = self.watched.shared.lock();
        let base = BootState::read(self.watched.ram.as_ref()).tsc_base;
        self.tsc.since_ns(base.wrapping_add(state.holds.owed())).filter(|_| base != 0)
    }

    /// Whether so many things that a debugger writes, other than words of memory, have room in the log.
    ///
    /// # Errors
    /// If they have not.
    pub(super) fn reserve(&self, more: usize) -> io::Result<()> {
        room(&self.watched.writes.lock().unwrap_or_else(PoisonError::into_inner), more)
    }

    /// Notes one of them, once it has been written.
    pub(super) fn log(&self, written: Written) {
        self.watched.writes.lock().unwrap_or_else(PoisonError::into_inner).push(written);
    }
}

fn room(log: &[Written], more: usize) -> io::Result<()> {
    if log.len() + more > MOST {
        return Err(io::Error::other(format!("{MOST} writes are the most that one run may see")));
    }
    Ok(())
}

impl MachineView {
    /// What has been written into the machine from outside, in order.
    pub fn writes(&self) -> Vec<Written> {
        self.writes_after(0)
    }

    /// The same but for the first so many. It allocates nothing where there are none.
    pub fn writes_after(&self, count: usize) -> Vec<Written> {
        let writes = self.watched.writes.lock().unwrap_or_else(PoisonError::into_inner);
        writes.get(count..).map_or_else(Vec::new, <[Written]>::to_vec)
    }
}
