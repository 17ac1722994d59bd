//! The registers of a vCPU as gdb numbers them.
//!
//! # Invariants
//! - One table says name, size and order; the description for gdb, the packets and single registers all go through it.
//! - A register that the kernel has no use for, or whose value is not known, is told as unavailable, never as 0.

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::sync::LazyLock;

use gdbstub::arch::{Arch, RegId, Registers as GdbRegisters};
use umpire_machine::Registers;

/// A feature of gdb's x86-64, with its registers in order: name, bits, type; and the name that the machine has for it.
struct Feature {
    name: &'static str,
    registers: &'static [(&'static str, u32, &'static str)],
}

const INT: &str = "int64";
const SEGMENT: &str = "int32";
const X87: &str = "i387_ext";
const XMM: &str = "uint128";

const FEATURES: [Feature; 3] = [
    Feature {
        name: "org.gnu.gdb.i386.core",
        registers: &[
            ("rax", 64, INT),
            ("rbx", 64, INT),
            ("rcx", 64, INT),
            ("rdx", 64, INT),
            ("rsi", 64, INT),
            ("rdi", 64, INT),
            ("rbp", 64, "data_ptr"),
            ("rsp", 64, "data_ptr"),
            ("r8", 64, INT),
            ("r9", 64, INT),
            ("r10", 64, INT),
            ("r11", 64, INT),
            ("r12", 64, INT),
            ("r13", 64, INT),
            ("r14", 64, INT),
            ("r15", 64, INT),
            ("rip", 64, "code_ptr"),
            ("eflags", 32, SEGMENT),
            ("cs", 32, SEGMENT),
            ("ss", 32, SEGMENT),
            ("ds", 32, SEGMENT),
            ("es", 32, SEGMENT),
            ("fs", 32, SEGMENT),
            ("gs", 32, SEGMENT),
            ("st0", 80, X87),
            ("st1", 80, X87),
            ("st2", 80, X87),
            ("st3", 80, X87),
            ("st4", 80, X87),
            ("st5", 80, X87),
            ("st6", 80, X87),
            ("st7", 80, X87),
            ("fctrl", 32, SEGMENT),
            ("fstat", 32, SEGMENT),
            ("ftag", 32, SEGMENT),
            ("fiseg", 32, SEGMENT),
            ("fioff", 32, SEGMENT),
            ("foseg", 32, SEGMENT),
            ("fooff", 32, SEGMENT),
            ("fop", 32, SEGMENT),
        ],
    },
    Feature {
        name: "org.gnu.gdb.i386.sse",
        registers: &[
            ("xmm0", 128, XMM),
            ("xmm1", 128, XMM),
            ("xmm2", 128, XMM),
            ("xmm3", 128, XMM),
            ("xmm4", 128, XMM),
            ("xmm5", 128, XMM),
            ("xmm6", 128, XMM),
            ("xmm7", 128, XMM),
            ("xmm8", 128, XMM),
            ("xmm9", 128, XMM),
            ("xmm10", 128, XMM),
            ("xmm11", 128, XMM),
            ("xmm12", 128, XMM),
            ("xmm13", 128, XMM),
            ("xmm14", 128, XMM),
            ("xmm15", 128, XMM),
            ("mxcsr", 32, SEGMENT),
        ],
    },
    Feature { name: "org.gnu.gdb.i386.segments", registers: &[("fs_base", 64, INT), ("gs_base", 64, INT)] },
];

fn registers() -> impl Iterator<Item = (&'static str, u32, &'static str)> {
    FEATURES.iter().flat_map(|feature| feature.registers.iter().copied())
}

/// The machine's name of a register of gdb's.
fn own_name(name: &str) -> &str {
    if name == "eflags" { "rflags" } else { name }
}

/// The description that gdb asks for.
static XML: LazyLock<String> = LazyLock::new(|| {
    let mut xml =
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">\
                   <architecture>i386:x86-64</architecture>"
            .to_owned();
    for Feature { name, registers } in &FEATURES {
        // Writing to a String cannot fail.
        let _ = write!(xml, "<feature name=\"{name}\">");
        for (name, bits, kind) in *registers {
            let _ = write!(xml, "<reg name=\"{name}\" bitsize=\"{bits}\" type=\"{kind}\"/>");
        }
        xml += "</feature>";
    }
    xml + "</target>"
});

/// x86-64, as the guest's kernel uses it.
#[derive(Debug)]
pub(super) enum X8664 {}

impl Arch for X8664 {
    type Usize = u64;
    type Registers = Known;
    type BreakpointKind = usize;
    type RegId = Register;

    fn target_description_xml() -> Option<&'static str> {
        Some(&XML)
    }
}

/// A register of gdb's, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Register {
    name: &'static str,
    len: usize,
}

impl RegId for Register {
    fn from_raw_id(id: usize) -> Option<(Register, Option<NonZeroUsize>)> {
        let (name, bits, _) = registers().nth(id)?;
        let len = bits as usize / 8;
        Some((Register { name, len }, NonZeroUsize::new(len)))
    }
}

/// What is known of a vCPU's registers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// They.
    pub registers: Registers,
    /// True if rax is among those that are known.
    pub has_rax: bool,
}

impl Known {
    fn get(&self, name: &str) -> Option<u64> {
        let is_known = name != "rax" || self.has_rax;
        let mut named = self.registers.named();
        named.find(|(own, _)| *own == own_name(name) && is_known).map(|(_, value)| value)
    }

    /// The bytes of a register, if it is known.
    pub(super) fn bytes(&self, register: Register) -> Option<Vec<u8>> {
        let value = self.get(register.name)?;
        Some(value.to_le_bytes()[..register.len].to_vec())
    }

    /// Gives a register another value; false if it cannot be given one.
    pub(super) fn put(&mut self, register: Register, bytes: &[u8]) -> bool {
        let name = own_name(register.name);
        if bytes.len() != register.len || bytes.len() > 8 {
            return false;
        }
        let mut raw = [0; 8];
        raw[..bytes.len()].copy_from_slice(bytes);
        let value = u64::from_le_bytes(raw);
        // Segments stay as they are; a debugger that writes all registers writes them as they were.
        let is_general = self.registers.general_names().any(|general| general == name);
        match self.registers.named().find(|(own, _)| *own == name) {
            Some((_, old)) if old == value => true,
            Some(_) if is_general => self.registers.set(name, value),
            _ => false,
        }
    }
}

impl GdbRegisters for Known {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        self.registers.rip
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        for (name, bits, _) in registers() {
            let value = self.get(name).map(u64::to_le_bytes);
            for n in 0..bits as usize / 8 {
                write_byte(value.and_then(|bytes| bytes.get(n).copied()));
            }
        }
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        let mut rest = bytes;
        for (name, bits, _) in registers() {
            let (value, more) = rest.split_at_checked(bits as usize / 8).ok_or(())?;
            rest = more;
            let mut raw = [0; 8];
            // Of what is longer nothing is kept: the machine has no such register.
            let len = value.len().min(raw.len());
            raw[..len].copy_from_slice(&value[..len]);
            self.registers.set(own_name(name), u64::from_le_bytes(raw));
        }
        self.has_rax = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_register_of_the_machine_has_a_number_at_gdb_and_comes_back_as_it_went() {
        let mut known = Known { has_rax: true, ..Known::default() };
        for (n, (name, _)) in Registers::default().named().enumerate() {
            known.registers.set(name, 0x1111 * (n as u64 + 1));
            assert!(registers().any(|(gdb, ..)| own_name(gdb) == name), "{name}");
        }
        let mut bytes = Vec::new();
        known.gdb_serialize(|byte| bytes.push(byte.unwrap_or(0)));
        let mut back = Known::default();
        back.gdb_deserialize(&bytes).expect("whole");
        assert_eq!(back, known);
        assert!(back.gdb_deserialize(&bytes[1..]).is_err());
    }

    #[test]
    fn rax_that_is_not_known_and_xmm_registers_are_unavailable() {
        let known = Known { registers: Registers { rax: 1, rbx: 2, ..Registers::default() }, has_rax: false };
        let mut bytes = Vec::new();
        known.gdb_serialize(|byte| bytes.push(byte));
        assert_eq!((bytes[0], bytes[8]), (None, Some(2)));
        let xmm = Register::from_raw_id(40).expect("there").0;
        assert_eq!((xmm.name, known.bytes(xmm)), ("xmm0", None));
        assert!(Register::from_raw_id(59).is_none());
    }

    #[test]
    fn segment_keeps_its_value_and_a_general_register_gets_another() {
        let mut known = Known { registers: Registers { cs: 0x23, ..Registers::default() }, has_rax: true };
        let register = |id| Register::from_raw_id(id).expect("there").0;
        assert!(known.put(register(16), &7_u64.to_le_bytes()) && known.registers.rip == 7);
        assert!(known.put(register(17), &2_u32.to_le_bytes()) && known.registers.rflags == 2);
        assert!(known.put(register(18), &0x23_u32.to_le_bytes()));
        assert!(!known.put(register(18), &8_u32.to_le_bytes()) && !known.put(register(0), &[1]));
        assert!(!known.put(register(40), &[0; 16]));
    }
}
