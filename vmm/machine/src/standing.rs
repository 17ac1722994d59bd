//! Where a vCPU that runs was when its thread took it out of the guest for a moment: registers, and the stack above them.
//!
//! # Invariants
//! - It is read by the vCPU's own thread while that vCPU is out of the guest, so registers and stack fit each other.
//! - The registers are the kernel's, also those of a vCPU inside the gate (`gate.rs`), which does not touch the frame pointer.
//! - What a guest has in its registers is only ever an address to read at: a wild one gives an empty stack.

use std::sync::PoisonError;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use kvm_ioctls::VcpuFd;

use super::gate::InGate;
use super::memory::{GuestMemory, GuestRam};
use super::registers::Registers;
use super::vcpu::{Shared, State};

/// Bytes of the stack that are copied at most.
const MOST: usize = 8 * 1024;
/// Bytes that are copied at once: a stack may be nearer to the end of memory than [`MOST`].
const PIECE: usize = 512;

/// A moment of a vCPU.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Standing {
    /// The kernel's registers.
    pub registers: Registers,
    /// True if the vCPU was inside the gate, which an interrupt or a fault had called.
    pub is_in_gate: bool,
    /// The address of the first byte of `stack`.
    stack_at: u64,
    /// Memory from the stack pointer upwards.
    stack: Vec<u8>,
}

impl Standing {
    /// Of a vCPU that is out of the guest with these registers.
    pub fn of(registers: Registers, memory: &dyn GuestMemory) -> Standing {
        let outer = InGate::of(registers, memory).map(|gate| gate.outer);
        let registers = outer.unwrap_or(registers);
        let stack_at = registers.rsp & !7;
        let mut stack = Vec::with_capacity(MOST);
        let mut piece = [0; PIECE];
        while stack.len() < MOST && memory.copy(stack_at.wrapping_add(stack.len() as u64), &mut piece) {
            stack.extend_from_slice(&piece);
        }
        Standing { registers, is_in_gate: outer.is_some(), stack_at, stack }
    }

    /// The word at this address, if it is in the copy of the stack.
    pub fn word(&self, addr: u64) -> Option<u64> {
        let at = usize::try_from(addr.checked_sub(self.stack_at)?).ok()?;
        let bytes = self.stack.get(at..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    }
}

impl Shared {
    /// Takes a vCPU that runs out of the guest for as long as it takes to note where it stands. `None` if it has ended, or does not
    /// answer within `limit`.
    pub(super) fn ask(&self, cpu: usize, limit: Duration) -> Option<Standing> {
        *self.lock().standing.get_mut(cpu)? = None;
        self.asked[cpu].store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.kick(cpu);
        let is_open = |s: &mut State| s.standing[cpu].is_none() && s.live.contains(&(cpu as u32));
        let waited = self.changed.wait_timeout_while(self.lock(), limit, is_open);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.standing[cpu].take()
    }

    /// Answers [`Shared::ask`], if a thread has asked: called by the vCPU's own thread, outside the guest.
    pub(super) fn answer(&self, cpu: usize, fd: &VcpuFd, ram: &GuestRam) {
        if !self.asked[cpu].swap(false, Ordering::AcqRel) {
            return;
        }
        let standing = Registers::of(fd).map(|registers| Standing::of(registers, ram));
        self.lock().standing[cpu] = standing;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use umpire_shared::boot::{GATE_BLOCKS, GATE_STRIDE, GATE_WORDS};

    use super::*;
    use crate::memory::GuestRam;

    /// Memory whose gate of CPU 1 was called at `0x1234` with the stack pointer at `0x1f_0000`.
    fn memory() -> GuestRam {
        let ram = GuestRam::new(2 << 20).expect("memory for a test");
        let words = GATE_BLOCKS + GATE_STRIDE + GATE_WORDS;
        for (at, value) in [(words - 16, 0x1f_0000), (words - 24, 0x202), (words - 40, 0x1234)] {
            ram.write(at, &u64::to_le_bytes(value)).expect("inside");
        }
        ram.write(0x1f_0010, &0x77_u64.to_le_bytes()).expect("inside");
        ram
    }

    fn of(rip: u64, rsp: u64, rbp: u64, rflags: u64) -> Registers {
        Registers { rip, rsp, rbp, rflags, ..Registers::default() }
    }

    #[test]
    fn standing_in_the_kernel_has_its_registers_and_the_stack_above_them() {
        let registers = of(0x10, 0x1f_0008, 0x1f_0010, 2);

        let standing = Standing::of(registers, &memory());

        assert_eq!((standing.registers, standing.is_in_gate), (registers, false));
        assert_eq!(standing.word(0x1f_0010), Some(0x77));
        assert_eq!((standing.word(0x1f_0000), standing.word(0x1f_0008 + MOST as u64)), (None, None));
    }

    #[test]
    fn standing_in_the_gate_has_the_registers_of_what_the_gate_interrupted() {
        for depth in [0, 56, 0x200] {
            let rsp = GATE_BLOCKS + GATE_STRIDE + GATE_WORDS - depth;
            let standing = Standing::of(of(0x10, rsp, 0x1f_0040, 2), &memory());

            let expected = of(0x1234, 0x1f_0000, 0x1f_0040, 0x202);
            assert_eq!((standing.registers, standing.is_in_gate), (expected, true), "at depth {depth}");
            assert_eq!(standing.word(0x1f_0010), Some(0x77));
        }
    }

    #[test]
    fn standing_with_a_wild_stack_pointer_has_no_stack() {
        for rsp in [0, u64::MAX, 1 << 40] {
            let standing = Standing::of(Registers { rsp, ..Registers::default() }, &memory());
            assert_eq!(standing.word(rsp & !7), if rsp == 0 { Some(0) } else { None });
        }
    }
}
