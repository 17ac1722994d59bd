//! Breakpoints and single steps, as a vCPU's own thread meets them.
//!
//! KVM's own guest debugging does not work on every host: a software KVM takes the request and stops nowhere. So the guest's gate
//! takes part. A breakpoint is an `int3` in the kernel's text, a step is the trap flag; either traps through the guest's own
//! interrupt table into the gate, which tells the VMM by one load ([`DEBUG_TRAP`](umpire_shared::boot::DEBUG_TRAP)). If a debugger
//! is the cause, the vCPU is put back where the kernel was, so that nothing of the detour can be seen; if not, the gate goes on and
//! the kernel has an exception like any other.
//!
//! # Invariants
//! - A trap is a debugger's if it is at an address that has ever had a breakpoint, or if a debugger has ever been there and the trap
//!   flag caused it. A CPU that ran into a breakpoint which is gone by now runs the instruction that is there again.
//! - Whoever is told of a stop finds every vCPU wanted out of the guest: that is done under the lock under which the stop is noted.
//! - No vCPU is held for a debugger that has gone: both are looked at under the same lock.

use std::ops::Range;
use std::sync::atomic::{Ordering, fence};

use kvm_bindings::{KVM_GUESTDBG_BLOCKIRQ, KVM_GUESTDBG_ENABLE, kvm_guest_debug};
use kvm_ioctls::VcpuFd;

use super::debug::{Stop, Why};
use super::gate::{InGate, TRAP_FLAG};
use super::memory::{GuestMemory, GuestRam};
use super::registers::Registers;
use super::vcpu::Shared;

/// The vector of a step.
const STEP: u64 = 1;
/// The vector of a breakpoint.
const BREAKPOINT: u64 = 3;
/// `hlt`, which ends with an interrupt.
const HLT: u8 = 0xf4;
/// `pushf`, which stores the trap flag.
const PUSHF: u8 = 0x9c;

/// The step that a vCPU's thread is at, if it is at one.
#[derive(Debug, Default)]
pub(super) struct Stepper {
    /// The step goes on while the CPU is in there.
    range: Option<Range<u64>>,
    /// The instruction that is being stepped over stores flags.
    stores_flags: bool,
}

impl Stepper {
    /// Has the vCPU trap after its next instruction in the kernel.
    pub(super) fn begin(&mut self, range: Range<u64>, fd: &VcpuFd, ram: &GuestRam) {
        let Some(registers) = Registers::of(fd) else { return };
        let registers = match InGate::of(registers, ram) {
            Some(gate) if gate.is_halted() => gate.outer,
            Some(gate) => {
                gate.set_trap_flag(ram, true);
                self.range = Some(range);
                return;
            }
            None => registers,
        };
        let opcode = ram.read_u8(registers.rip);
        self.stores_flags = opcode == Some(PUSHF);
        // No interrupt comes between: the step is over one instruction of this thread's. Only a halt needs one to end.
        block_interrupts(fd, opcode != Some(HLT));
        if set(fd, ram, Registers { rflags: registers.rflags | TRAP_FLAG, ..registers }) {
            self.range = Some(range);
        }
    }

    /// Ends the step wherever it is.
    pub(super) fn cancel(&mut self, fd: &VcpuFd, ram: &GuestRam) {
        if self.range.take().is_none() {
            return;
        }
        block_interrupts(fd, false);
        let Some(registers) = Registers::of(fd) else { return };
        match InGate::of(registers, ram) {
            Some(gate) => gate.set_trap_flag(ram, false),
            None => {
                let rflags = registers.rflags & !TRAP_FLAG;
                // A vCPU that KVM does not take back is told by KVM_RUN.
                let _set = fd.set_regs(&Registers { rflags, ..registers }.general());
            }
        }
    }

    fn is_stepping(&self) -> bool {
        self.range.is_some()
    }

    /// The step's instruction is done: true if it was the last.
    fn arrived(&mut self, registers: Registers, fd: &VcpuFd, ram: &GuestRam, has_breakpoint: bool) -> bool {
        block_interrupts(fd, false);
        let range = self.range.take().unwrap_or_default();
        if std::mem::take(&mut self.stores_flags)
            && let Some(flags) = ram.read_u64(registers.rsp)
        {
            // The flags were stored with the trap flag of the step.
            let _written = ram.write(registers.rsp, &(flags & !TRAP_FLAG).to_le_bytes());
        }
        if !range.contains(&registers.rip) || has_breakpoint {
            return true;
        }
        self.begin(range, fd, ram);
        !self.is_stepping()
    }
}

/// Gives a vCPU that is out of the guest other registers; false if it is somewhere in the gate where it cannot have any, or if KVM
/// refuses.
pub(super) fn set(fd: &VcpuFd, ram: &GuestRam, registers: Registers) -> bool {
    match Registers::of(fd).map(|now| InGate::of(now, ram)) {
        Some(None) => fd.set_regs(&registers.general()).is_ok(),
        Some(Some(gate)) if gate.is_halted() => gate.leave(fd, registers),
        Some(Some(_)) | None => false,
    }
}

fn block_interrupts(fd: &VcpuFd, is_blocked: bool) {
    let control = if is_blocked { KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ } else { 0 };
    // A KVM that cannot do it lets an interrupt come first: the step then ends in its handler.
    let _set = fd.set_guest_debug(&kvm_guest_debug { control, ..kvm_guest_debug::default() });
}

/// What a trap means.
enum Trap {
    /// Somebody is told.
    Stop(Why),
    /// It was meant for a debugger that wants it no more.
    Again,
}

impl Shared {
    /// Deals with a trap that the vCPU has told of: called by its own thread after the exit, with the step that it is at.
    pub(super) fn trapped(&self, cpu: usize, fd: &mut VcpuFd, ram: &GuestRam, step: &mut Stepper) {
        // The load is to be completed before the registers can be read or set: by an entry that ends before its first instruction.
        fd.set_kvm_immediate_exit(1);
        let _completed = fd.run().map(drop);
        fd.set_kvm_immediate_exit(0);
        // As after any EINTR: what a kicker wrote is looked at after the clearing.
        fence(Ordering::SeqCst);
        let Some((gate, vector)) = Registers::of(fd).and_then(|inner| InGate::of_trap(inner, ram)) else {
            return;
        };
        let at = if vector == BREAKPOINT { gate.outer.rip.wrapping_sub(1) } else { gate.outer.rip };
        let (trap, has_breakpoint) = {
            let state = self.lock();
            let debug = &state.debug;
            let trap = match vector {
                BREAKPOINT if debug.has_breakpoint(at) => Some(Trap::Stop(Why::Breakpoint(at))),
                BREAKPOINT if debug.had_breakpoint(at) => Some(Trap::Again),
                STEP if step.is_stepping() => Some(Trap::Stop(Why::Step)),
                STEP if debug.was_attached() => Some(Trap::Again),
                _ => None,
            };
            (trap, debug.has_breakpoint(at))
        };
        let Some(trap) = trap else { return };
        let rflags = gate.outer.rflags & !TRAP_FLAG;
        let registers = Registers { rip: at, rflags, ..gate.outer };
        if !gate.leave(fd, registers) {
            return;
        }
        match trap {
            Trap::Stop(Why::Step) if !step.arrived(registers, fd, ram, has_breakpoint) => {}
            Trap::Stop(why) => {
                step.cancel(fd, ram);
                self.stop_for_debugger(Stop { cpu: cpu as u32, why });
            }
            Trap::Again => {}
        }
    }
}
