//! What an exit from the guest means, and how a vCPU ends.
//!
//! # Invariants
//! - Every exit is either a ring of the doorbell, a trap that the gate tells of, or the end of its vCPU; none is a panic, and none is ignored.

use std::fmt;

use kvm_ioctls::VcpuExit;
use umpire_shared::boot::{DEBUG_TRAP, DOORBELL, doorbell};

use super::registers::Registers;

/// Why a vCPU left the guest for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// It rang [`doorbell::STOPPED`]: the kernel stopped itself, and an epitaph says why.
    Stopped,
    /// It rang the doorbell with a code that means nothing, or not with a 32-bit store.
    UnknownRing {
        /// What it stored, zero-extended.
        value: u64,
        /// Bytes stored.
        len: usize,
    },
    /// A fault while delivering a fault: the guest's tables or its gate are broken.
    TripleFault,
    /// An access to an address without memory.
    Mmio {
        /// The guest-physical address.
        addr: u64,
        /// Bytes.
        len: usize,
        /// True for a store.
        is_write: bool,
    },
    /// An I/O port, of which there are none.
    Port {
        /// Its number.
        port: u16,
        /// True for an `out`.
        is_write: bool,
    },
    /// A halt that nothing in this machine ends.
    Halt,
    /// KVM refused the vCPU's state.
    FailEntry {
        /// The processor's reason.
        reason: u64,
    },
    /// KVM could not emulate an instruction, or worse.
    InternalError,
    /// An exit that no Umpire guest causes, by the name of KVM's exit reason.
    Unexpected(&'static str),
    /// KVM_RUN itself failed.
    RunFailed {
        /// The host's error number.
        errno: i32,
    },
    /// The vCPU's thread panicked, which is a defect of the VMM.
    Panicked,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = |is_write| if is_write { "wrote to" } else { "read from" };
        match *self {
            EndReason::Stopped => write!(f, "the kernel stopped the machine"),
            EndReason::UnknownRing { value, len } => {
                write!(f, "rang the doorbell with {value:#x} ({len} bytes), which means nothing")
            }
            EndReason::TripleFault => write!(f, "triple fault"),
            EndReason::Mmio { addr, len, is_write } => {
                write!(f, "{} address {addr:#x} ({len} bytes), where there is no memory", verb(is_write))
            }
            EndReason::Port { port, is_write } => {
                write!(f, "{} I/O port {port:#x}, which does not exist", verb(is_write))
            }
            EndReason::Halt => write!(f, "halted with nothing to wake it"),
            EndReason::FailEntry { reason } => {
                write!(f, "KVM refused to enter the guest (hardware reason {reason:#x})")
            }
            EndReason::InternalError => write!(f, "KVM internal error: it could not emulate an instruction"),
            EndReason::Unexpected(what) => write!(f, "unexpected exit from the guest: {what}"),
            EndReason::RunFailed { errno } => {
                write!(f, "KVM_RUN failed: {}", std::io::Error::from_raw_os_error(errno))
            }
            EndReason::Panicked => write!(f, "the vCPU's thread panicked: a defect of umpire"),
        }
    }
}

/// How a vCPU ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VcpuEnd {
    /// Which.
    pub cpu: u32,
    /// Why.
    pub reason: EndReason,
    /// Where it was, if KVM could say.
    pub registers: Option<Registers>,
}

impl fmt::Display for VcpuEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPU {}: {}", self.cpu, self.reason)?;
        match self.registers {
            Some(r) => write!(f, " (rip {:#x}, rsp {:#x})", r.rip, r.rsp),
            None => Ok(()),
        }
    }
}

/// What to do after an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an exit that is not acted upon runs a guest that has ended"]
pub(super) enum Next {
    /// Run on.
    Run,
    /// Read the console, and run on.
    ReadConsole,
    /// The gate tells of a breakpoint or a step.
    Trap,
    /// This vCPU has ended.
    End(EndReason),
}

/// Judges one exit.
pub(super) fn judge(exit: &VcpuExit<'_>) -> Next {
    Next::End(match *exit {
        VcpuExit::MmioWrite(DOORBELL, data) => return ring(data),
        VcpuExit::MmioRead(DEBUG_TRAP, _) => return Next::Trap,
        VcpuExit::MmioWrite(addr, data) => EndReason::Mmio { addr, len: data.len(), is_write: true },
        VcpuExit::MmioRead(addr, ref data) => EndReason::Mmio { addr, len: data.len(), is_write: false },
        VcpuExit::IoOut(port, _) => EndReason::Port { port, is_write: true },
        VcpuExit::IoIn(port, _) => EndReason::Port { port, is_write: false },
        VcpuExit::Hlt => EndReason::Halt,
        VcpuExit::Shutdown => EndReason::TripleFault,
        VcpuExit::FailEntry(reason, _) => EndReason::FailEntry { reason },
        VcpuExit::InternalError => EndReason::InternalError,
        VcpuExit::MemoryFault { gpa, .. } => EndReason::Mmio { addr: gpa, len: 0, is_write: false },
        // KVM reports a signal through the return value; as an exit reason it is only a reason to go in again.
        VcpuExit::Intr => return Next::Run,
        VcpuExit::SystemEvent(..) => EndReason::Unexpected("system event"),
        VcpuExit::Hypercall(_) => EndReason::Unexpected("hypercall"),
        VcpuExit::X86Rdmsr(_) => EndReason::Unexpected("rdmsr"),
        VcpuExit::X86Wrmsr(_) => EndReason::Unexpected("wrmsr"),
        VcpuExit::IoapicEoi(_) => EndReason::Unexpected("I/O APIC end of interrupt"),
        VcpuExit::Debug(_) => EndReason::Unexpected("debug"),
        _ => EndReason::Unexpected("a reason that this program does not know"),
    })
}

fn ring(data: &[u8]) -> Next {
    let mut raw = [0; 8];
    let len = data.len().min(raw.len());
    raw[..len].copy_from_slice(&data[..len]);
    let value = u64::from_le_bytes(raw);
    match (len, value as u32) {
        (4, doorbell::STOPPED) => Next::End(EndReason::Stopped),
        (4, doorbell::CONSOLE) => Next::ReadConsole,
        _ => Next::End(EndReason::UnknownRing { value, len }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judge_of_the_doorbell_knows_its_codes_only() {
        let code = |n: u32| judge(&VcpuExit::MmioWrite(DOORBELL, &n.to_le_bytes()));
        assert_eq!(code(doorbell::STOPPED), Next::End(EndReason::Stopped));
        assert_eq!(code(doorbell::CONSOLE), Next::ReadConsole);
        assert_eq!(code(77), Next::End(EndReason::UnknownRing { value: 77, len: 4 }));
        let short = judge(&VcpuExit::MmioWrite(DOORBELL, &[1]));
        assert_eq!(short, Next::End(EndReason::UnknownRing { value: 1, len: 1 }));
    }

    #[test]
    fn judge_of_every_other_access_ends_the_vcpu() {
        let mut byte = [0];
        let ends = [
            (judge(&VcpuExit::Shutdown), EndReason::TripleFault),
            (judge(&VcpuExit::Hlt), EndReason::Halt),
            (judge(&VcpuExit::InternalError), EndReason::InternalError),
            (judge(&VcpuExit::FailEntry(5, 0)), EndReason::FailEntry { reason: 5 }),
            (judge(&VcpuExit::IoOut(0x80, &[1])), EndReason::Port { port: 0x80, is_write: true }),
            (judge(&VcpuExit::IoIn(0x60, &mut byte)), EndReason::Port { port: 0x60, is_write: false }),
            (judge(&VcpuExit::MmioRead(9, &mut [0])), EndReason::Mmio { addr: 9, len: 1, is_write: false }),
            (judge(&VcpuExit::MmioWrite(9, &[0, 0])), EndReason::Mmio { addr: 9, len: 2, is_write: true }),
        ];
        for (found, expected) in ends {
            assert_eq!(found, Next::End(expected));
        }
    }

    #[test]
    fn display_of_an_end_names_the_cpu_and_the_address() {
        let reason = EndReason::Mmio { addr: 0xdead_0000, len: 4, is_write: true };
        let registers = Some(Registers { rip: 0x10_0040, ..Registers::default() });
        let text = VcpuEnd { cpu: 3, reason, registers }.to_string();
        assert!(text.starts_with("CPU 3: wrote to address 0xdead0000"), "{text}");
        assert!(text.contains("rip 0x100040"), "{text}");
    }
}
