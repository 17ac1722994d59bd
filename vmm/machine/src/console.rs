//! The guest's console: text that it appends to a ring in its memory. The host reads it, and the guest does not notice.
//!
//! # Invariants
//! - The ring is the guest's: whatever it holds, reading is bounded and gives text.
//! - Every byte that the guest wrote is given once or counted as lost.

use std::mem::offset_of;

use umpire_shared::boot::{CONSOLE_LEN, ConsoleRing};

use super::memory::GuestMemory;

/// Bytes that a writer may be overwriting beyond the end that it has announced.
const WRITE_AHEAD: u64 = 4096;
/// Most text that is kept for the next [`Console::take`], in bytes.
const KEEP: usize = 1 << 20;

/// Reads one console ring.
#[derive(Debug)]
pub(super) struct Console {
    ring: u64,
    tail: u64,
    lost: u64,
    text: String,
}

impl Console {
    /// A reader of the ring at guest address `ring`.
    pub(super) fn new(ring: u64) -> Console {
        Console { ring, tail: 0, lost: 0, text: String::new() }
    }

    /// Bytes that the guest wrote and that no caller will see.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// What the next [`Console::take`] would give.
    pub(super) fn so_far(&self) -> &str {
        &self.text
    }

    /// What was read since the last call.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// Reads what the guest has written since the last call.
    pub(super) fn drain(&mut self, memory: &dyn GuestMemory) {
        let head = |at| memory.read_u64(at).unwrap_or(0);
        let head_at = self.ring + offset_of!(ConsoleRing, head) as u64;
        let before = head(head_at);
        // A head that went back is not the kernel's doing: begin anew from there.
        self.tail = self.tail.min(before);
        let first = self.tail.max(before.saturating_sub(CONSOLE_LEN as u64));
        let mut bytes = self.copy(memory, first, before);

        // What the guest overwrote meanwhile is not what it wrote then:
        //
        //   host                     guest
        //   before = head
        //   copy first..before       writes on, over the oldest bytes
        //   head again               may be WRITE_AHEAD bytes further than head says
        let valid_from =
            head(head_at).max(before).saturating_add(WRITE_AHEAD).saturating_sub(CONSOLE_LEN as u64);
        let torn = valid_from.saturating_sub(first).min(bytes.len() as u64);
        bytes.drain(..torn as usize);
        let missed = before - self.tail - bytes.len() as u64;
        self.lost = self.lost.saturating_add(missed);
        self.tail = before;
        self.keep(&bytes);
    }

    /// Bytes `first..end` of the console, at most a ring full.
    fn copy(&self, memory: &dyn GuestMemory, first: u64, end: u64) -> Vec<u8> {
        let text_at = self.ring + offset_of!(ConsoleRing, text) as u64;
        let mut bytes = vec![0; (end - first) as usize];
        let place = (first % CONSOLE_LEN as u64) as usize;
        let split = bytes.len().min(CONSOLE_LEN - place);
        let (low, high) = bytes.split_at_mut(split);
        let inside = memory.read(text_at + place as u64, low) && memory.read(text_at, high);
        debug_assert!(inside, "the layout puts the whole ring into memory");
        bytes
    }

    /// Adds to the text; drops the oldest of it if too much is left untaken.
    fn keep(&mut self, bytes: &[u8]) {
        self.text.push_str(&String::from_utf8_lossy(bytes));
        if self.text.len() > KEEP {
            let mut cut = self.text.len() - KEEP;
            while !self.text.is_char_boundary(cut) {
                cut += 1;
            }
            self.text.drain(..cut);
            self.lost = self.lost.saturating_add(cut as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::GuestRam;

    const RING: u64 = 4096;

    fn written(ram: &GuestRam, from: u64, text: &[u8]) {
        for (n, byte) in text.iter().enumerate() {
            let place = (from + n as u64) % CONSOLE_LEN as u64;
            ram.write(RING + offset_of!(ConsoleRing, text) as u64 + place, &[*byte]).expect("inside");
        }
        ram.write(RING, &(from + text.len() as u64).to_le_bytes()).expect("inside");
    }

    fn ram() -> GuestRam {
        GuestRam::new(RING + size_of::<ConsoleRing>() as u64).expect("memfd")
    }

    #[test]
    fn drain_gives_each_byte_once() {
        let ram = ram();
        let mut console = Console::new(RING);
        written(&ram, 0, b"hello ");
        console.drain(&ram);
        written(&ram, 6, b"world");
        console.drain(&ram);
        console.drain(&ram);
        assert_eq!(console.take(), "hello world");
        assert_eq!(console.take(), "");
        assert_eq!(console.lost(), 0);
    }

    #[test]
    fn drain_of_an_overrun_ring_counts_what_is_lost() {
        let ram = ram();
        let mut console = Console::new(RING);
        let text = vec![b'x'; 3 * CONSOLE_LEN];
        written(&ram, 0, &text);
        console.drain(&ram);
        let got = console.take().len() as u64;
        assert_eq!(got, CONSOLE_LEN as u64 - WRITE_AHEAD);
        assert_eq!(got + console.lost(), text.len() as u64);
    }

    #[test]
    fn drain_across_the_end_of_the_ring_keeps_the_order() {
        let ram = ram();
        let mut console = Console::new(RING);
        let start = CONSOLE_LEN as u64 - 3;
        written(&ram, 0, &vec![b'.'; start as usize]);
        console.drain(&ram);
        console.take();
        written(&ram, start, b"abcdef");
        console.drain(&ram);
        assert_eq!(console.take(), "abcdef");
    }

    #[test]
    fn drain_of_a_nonsense_head_is_bounded() {
        let ram = ram();
        let mut console = Console::new(RING);
        ram.write(RING, &u64::MAX.to_le_bytes()).expect("inside");
        console.drain(&ram);
        ram.write(RING, &5_u64.to_le_bytes()).expect("inside");
        console.drain(&ram);
        assert!(console.take().len() <= CONSOLE_LEN);
    }
}
