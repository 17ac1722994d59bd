//! A fault's way from the gate to the epitaph. The kernel handles no fault, so every fault is the kernel's end.
//!
//! # Invariants
//! - The code here runs at level 15, on a stack of its own, since the fault may be that no stack was left.
//! - A second fault publishes what the first one has written so far; a third does not leave the gate.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::fmt;

use crate::epitaph::{Registers, die, die_at_once, register};
use crate::words::FaultRecord;
use crate::{root, stack, words};
use umpire_shared::boot::reason;
use umpire_shared::{MAX_CPUS, NAME_LEN};

const STACK_BYTES: usize = 4096;
/// Registers that `fault_entry` pushes: the general ones.
const PUSHED: usize = 16;
const PAGE_FAULT: u64 = 14;

#[repr(C, align(16))]
struct Stack(UnsafeCell<[u8; STACK_BYTES]>);

// SAFETY: each CPU runs on its own stack, and nothing refers to its contents.
unsafe impl Sync for Stack {}

static STACKS: [Stack; MAX_CPUS] = [const { Stack(UnsafeCell::new([0; STACK_BYTES])) }; MAX_CPUS];

/// The top of a CPU's fault stack.
pub fn stack_top(cpu: u32) -> u64 {
    (STACKS[cpu as usize].0.get().expose_provenance() + STACK_BYTES) as u64
}

global_asm!(
    r"
    .globl fault_entry
fault_entry:
    push r15
    push r14
    push r13
    push r12
    push r11
    push r10
    push r9
    push r8
    push 0                          // rsp: the fault record has it
    push rbp
    push rdi
    push rsi
    push rdx
    push rcx
    push rbx
    push rax
    cld
    mov rdi, rsp
    call {fault}
    ud2
    ",
    fault = sym fault,
);

/// `pushed` is in the order of [`umpire_shared::boot::EPITAPH_REGS`].
extern "C" fn fault(pushed: &[u64; PUSHED]) -> ! {
    let (depth, record) = words::fault();
    if depth > 1 {
        die_at_once();
    }
    let mut registers: Registers = [0; _];
    registers[..PUSHED].copy_from_slice(pushed);
    registers[register::RSP] = record.rsp;
    registers[register::RIP] = record.rip;
    registers[register::RFLAGS] = record.rflags;
    registers[register::CR2] = record.cr2;

    let vector = record.vector as u32;
    let overflowed = if record.vector == PAGE_FAULT { stack::slot_guarded_at(record.cr2) } else { None };
    match overflowed {
        Some(slot) => die(reason::STACK_OVERFLOW, vector, &registers, format_args!("{}", Overflow { slot })),
        None => die(reason::FAULT, vector, &registers, format_args!("{}", Fault { record })),
    }
}

struct Overflow {
    slot: u32,
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = self.slot;
        let mut name = [0; NAME_LEN];
        match root::thread_of_slot(slot) {
            Some(t) => write!(f, "stack overflow: thread {} (slot {slot})", t.name(&mut name)),
            None => write!(f, "stack overflow: the boot stack of CPU {slot} (slot {slot})"),
        }
    }
}

struct Fault {
    record: FaultRecord,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FaultRecord { vector, error, rip, cr2, gate_rip, .. } = self.record;
        match NAMES.get(vector as usize).filter(|name| !name.is_empty()) {
            Some(name) => write!(f, "{name}")?,
            None => write!(f, "exception {vector}")?,
        }
        if vector == PAGE_FAULT {
            let access = match error {
                // Without no-execute pages the CPU does not say that it was fetching.
                _ if cr2 == rip => "jump to",
                e if e & 0x02 != 0 => "write to",
                _ => "read of",
            };
            let cause = if error & 1 == 0 { "nothing is mapped there" } else { "forbidden there" };
            write!(f, ": {access} {cr2:#x}, {cause}")?;
        } else if error != 0 {
            write!(f, ", error code {error:#x}")?;
        }
        write!(f, ", at rip {rip:#x}")?;
        if gate_rip != 0 {
            write!(f, ", met by the gate at {gate_rip:#x}")?;
        }
        Ok(())
    }
}

/// Exceptions by vector; empty where there is none.
const NAMES: [&str; 22] = [
    "divide error",
    "debug exception",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "device not available",
    "double fault",
    "",
    "invalid TSS",
    "segment not present",
    "stack-segment fault",
    "general protection fault",
    "page fault",
    "",
    "x87 floating-point error",
    "alignment check",
    "machine check",
    "SIMD floating-point error",
    "virtualization exception",
    "control protection exception",
];
