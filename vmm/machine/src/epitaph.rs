//! A dying guest's last words, as it left them in its memory.
//!
//! # Invariants
//! - An epitaph is read only when its magic is in place, which the guest stores last.

use std::mem::offset_of;

use umpire_shared::boot::{
    EPITAPH, EPITAPH_MAGIC, EPITAPH_NREGS, EPITAPH_REGS, EPITAPH_TEXT, Epitaph, reason,
};

use super::memory::GuestMemory;

/// An epitaph, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpitaphRecord {
    /// One of [`umpire_shared::boot::reason`].
    pub reason: u32,
    /// The CPU that died.
    pub cpu: u32,
    /// The exception vector of a fault, else 0.
    pub vector: u32,
    /// Address of the thread that ran there.
    pub thread: u64,
    /// Name and value of each register; zero where unknown.
    pub registers: [(&'static str, u64); EPITAPH_NREGS],
    /// What the kernel said.
    pub message: String,
}

impl EpitaphRecord {
    /// The epitaph in this memory, if there is one.
    pub fn read(memory: &dyn GuestMemory) -> Option<EpitaphRecord> {
        let word = |offset: usize| memory.read_u64(EPITAPH + offset as u64);
        let half = |offset: usize| memory.read_u32(EPITAPH + offset as u64);
        if word(offset_of!(Epitaph, magic))? != EPITAPH_MAGIC {
            return None;
        }
        let mut registers = EPITAPH_REGS.map(|name| (name, 0));
        for (n, (_, value)) in registers.iter_mut().enumerate() {
            *value = word(offset_of!(Epitaph, regs) + 8 * n)?;
        }
        let len = (half(offset_of!(Epitaph, text_len))? as usize).min(EPITAPH_TEXT);
        let mut text = vec![0; len];
        if !memory.read(EPITAPH + offset_of!(Epitaph, text) as u64, &mut text) {
            return None;
        }
        Some(EpitaphRecord {
            reason: half(offset_of!(Epitaph, reason))?,
            cpu: half(offset_of!(Epitaph, cpu))?,
            vector: half(offset_of!(Epitaph, vector))?,
            thread: word(offset_of!(Epitaph, thread))?,
            registers,
            message: String::from_utf8_lossy(&text).into_owned(),
        })
    }

    /// What the reason is called.
    pub fn reason_name(&self) -> &'static str {
        match self.reason {
            reason::PANIC => "panic",
            reason::FAULT => "fault",
            reason::STACK_OVERFLOW => "stack overflow",
            reason::DEADMAN => "deadman",
            _ => "unknown reason",
        }
    }

    /// The value of a register, by its name in [`EPITAPH_REGS`].
    pub fn register(&self, name: &str) -> Option<u64> {
        self.registers.iter().find(|r| r.0 == name).map(|r| r.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::GuestRam;

    fn put(ram: &GuestRam, offset: usize, bytes: &[u8]) {
        ram.write(EPITAPH + offset as u64, bytes).expect("inside");
    }

    #[test]
    fn read_without_magic_finds_nothing() {
        let ram = GuestRam::new(1 << 20).expect("memfd");
        put(&ram, offset_of!(Epitaph, reason), &reason::PANIC.to_le_bytes());
        assert_eq!(EpitaphRecord::read(&ram), None);
        assert_eq!(EpitaphRecord::read(&GuestRam::new(4096).expect("memfd")), None);
    }

    #[test]
    fn read_of_an_epitaph_gives_its_fields_and_bounds_its_text() {
        let ram = GuestRam::new(1 << 20).expect("memfd");
        put(&ram, offset_of!(Epitaph, magic), &EPITAPH_MAGIC.to_le_bytes());
        put(&ram, offset_of!(Epitaph, reason), &reason::STACK_OVERFLOW.to_le_bytes());
        put(&ram, offset_of!(Epitaph, cpu), &1_u32.to_le_bytes());
        put(&ram, offset_of!(Epitaph, regs) + 8 * 16, &0x10_1234_u64.to_le_bytes());
        put(&ram, offset_of!(Epitaph, text_len), &u32::MAX.to_le_bytes());
        put(&ram, offset_of!(Epitaph, text), b"overflow");
        let epitaph = EpitaphRecord::read(&ram).expect("written");
        assert_eq!((epitaph.reason_name(), epitaph.cpu), ("stack overflow", 1));
        assert_eq!(epitaph.register("rip"), Some(0x10_1234));
        assert_eq!(epitaph.message.len(), EPITAPH_TEXT);
        assert!(epitaph.message.starts_with("overflow"));
    }
}
