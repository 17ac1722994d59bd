//! A vCPU inside the gate, as the VMM finds it: what it came from, and how it is put back into the kernel.
//!
//! # Invariants
//! - The gate's stack begins below the CPU's words with the frame of what called the gate: `W-8 ss  W-16 rsp  W-24 rflags  W-32 cs
//!   W-40 rip`; it does not touch other registers than rax and, in an exception, rcx.
//! - Only a vCPU in one of the two places where all it had is known is put back: in the gate's `hlt`, and where it tells of a trap.

use std::ops::Range;

use kvm_bindings::{KVM_MP_STATE_RUNNABLE, kvm_mp_state};
use kvm_ioctls::VcpuFd;
use umpire_shared::MAX_CPUS;
use umpire_shared::boot::{GATE_BLOCKS, GATE_STRIDE, GATE_WORDS};

use super::boot;
use super::memory::{GuestMemory, GuestRam};
use super::registers::Registers;

/// Where the saved rax is, below the words, of a CPU in the gate's `hlt`.
const HALTED: u64 = 56;
/// The same of one that tells of a trap; above it stand the vector and an error code of 0.
const TRAPPED: u64 = 64;
/// `hlt`
const HLT: u8 = 0xf4;
/// The trap flag: the processor traps after the next instruction.
pub(super) const TRAP_FLAG: u64 = 1 << 8;

/// A vCPU that is in the gate.
#[derive(Debug, Clone, Copy)]
pub(super) struct InGate {
    /// Address of its words.
    words: u64,
    /// What the kernel had when the gate was called; its rax only if it is known.
    pub outer: Registers,
    /// True if `outer` has the kernel's rax.
    pub has_rax: bool,
    /// True if it is in the gate's `hlt`.
    is_halted: bool,
}

impl InGate {
    /// Of a vCPU with these registers; `None` if it is on no stack of the gate's.
    pub(super) fn of(inner: Registers, memory: &dyn GuestMemory) -> Option<InGate> {
        let gates: Range<u64> = GATE_BLOCKS..GATE_BLOCKS + MAX_CPUS as u64 * GATE_STRIDE;
        // An empty stack's pointer is the address of the words themselves.
        let within = inner.rsp.checked_sub(1).filter(|at| gates.contains(at))?;
        let words = within - within % GATE_STRIDE + GATE_WORDS;
        let word = |below: u64| memory.read_u64(words - below);
        let (rsp, rflags, rip) = (word(16)?, word(24)?, word(40)?);
        let is_halted = inner.rsp == words - HALTED && memory.read_u8(inner.rip.wrapping_sub(1)) == Some(HLT);
        let rax = word(HALTED).filter(|_| is_halted);
        let outer = Registers { rip, rsp, rflags, rax: rax.unwrap_or(inner.rax), ..inner };
        Some(InGate { words, outer, has_rax: rax.is_some(), is_halted })
    }

    /// As [`InGate::of`], of a vCPU that has just told of a trap of the kernel's, and the trap's vector.
    pub(super) fn of_trap(inner: Registers, memory: &dyn GuestMemory) -> Option<(InGate, u64)> {
        let mut gate = InGate::of(inner, memory).filter(|gate| inner.rsp == gate.words - TRAPPED)?;
        let word = |below: u64| memory.read_u64(gate.words - below);
        let (vector, rax) = (word(HALTED)?, word(TRAPPED)?);
        (gate.outer.rax, gate.has_rax) = (rax, true);
        Some((gate, vector))
    }

    /// True if it halts there, and so can be put back at any time.
    pub(super) fn is_halted(&self) -> bool {
        self.is_halted
    }

    /// Puts the vCPU back into the kernel with these general registers; false if KVM refuses.
    pub(super) fn leave(&self, fd: &VcpuFd, registers: Registers) -> bool {
        let Ok(mut system) = fd.get_sregs() else { return false };
        (system.cs, system.ss) = boot::kernel_segments();
        let runnable = kvm_mp_state { mp_state: KVM_MP_STATE_RUNNABLE };
        fd.set_sregs(&system).is_ok()
            && fd.set_regs(&registers.general()).is_ok()
            && fd.set_mp_state(runnable).is_ok()
    }

    /// Sets or clears the trap flag with which the gate returns to the kernel.
    pub(super) fn set_trap_flag(&self, ram: &GuestRam, is_set: bool) {
        let rflags = self.outer.rflags & !TRAP_FLAG | if is_set { TRAP_FLAG } else { 0 };
        // The words are in memory: they were read just now.
        let _written = ram.write(self.words - 24, &rflags.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: u64 = GATE_BLOCKS + GATE_STRIDE + GATE_WORDS;

    fn memory() -> GuestRam {
        let ram = GuestRam::new(2 << 20).expect("memory for a test");
        for (below, value) in [(16, 0x1f_0000), (24, 0x302), (40, 0x1235), (56, 3), (64, 0x77)] {
            ram.write(WORDS - below, &u64::to_le_bytes(value)).expect("inside");
        }
        ram.write(0x2000, &[HLT]).expect("inside");
        ram
    }

    #[test]
    fn cpu_that_halts_in_the_gate_has_the_rax_that_the_gate_saved_and_another_has_not() {
        let ram = memory();
        let halted = Registers { rip: 0x2001, rsp: WORDS - HALTED, rax: 9, ..Registers::default() };
        let gate = InGate::of(halted, &ram).expect("in the gate");
        assert!(gate.is_halted() && gate.has_rax);
        assert_eq!((gate.outer.rip, gate.outer.rsp, gate.outer.rax), (0x1235, 0x1f_0000, 3));
        let busy = InGate::of(Registers { rip: 0x2002, ..halted }, &ram).expect("in the gate");
        assert!(!busy.is_halted() && !busy.has_rax);
        assert!(InGate::of(Registers { rsp: 0x1f_0000, ..halted }, &ram).is_none());
    }

    #[test]
    fn trap_is_known_by_the_depth_of_the_stack_and_has_its_vector() {
        let ram = memory();
        let trapped = Registers { rsp: WORDS - TRAPPED, rax: 9, ..Registers::default() };
        let (gate, vector) = InGate::of_trap(trapped, &ram).expect("a trap");
        assert_eq!((vector, gate.outer.rax, gate.outer.rip), (3, 0x77, 0x1235));
        assert!(InGate::of_trap(Registers { rsp: WORDS - 72, ..trapped }, &ram).is_none());
        gate.set_trap_flag(&ram, false);
        assert_eq!(ram.read_u64(WORDS - 24), Some(0x202));
    }
}
