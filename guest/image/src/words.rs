//! The words that the gate and the kernel share on each CPU, and that only this CPU ever touches.
//!
//! # Invariants
//! - GS base points at this CPU's words for as long as it runs. The gate cannot rely on `gs`; it finds the words just
//!   above the stack that the TSS gives it.
//! - The kernel touches them with single instructions relative to `gs`, never through a reference (what [`mach`] gives is for
//!   readers outside). So neither
//!   an interrupt nor a move to another CPU can come between the address and the access.
//! - An interrupt restores the level that it found, so a thread's level is part of its context: it is the same
//!   before and after a preemption, on whatever CPU the thread goes on.
#![allow(unsafe_code)]

use core::arch::asm;
use core::mem::offset_of;
use core::ptr;

use umpire_kernel::sys::MachCpu;
use umpire_kernel::{Cpu, Kthread};
use umpire_shared::boot::{GATE_BLOCKS, GATE_STRIDE, GATE_WORDS};

/// One CPU's words.
#[repr(C)]
pub struct GateWords {
    /// What is pending, and the priority level.
    pub mach: MachCpu,
    /// The CPU's number.
    pub cpu_id: u32,
    /// The kernel's object for the CPU.
    pub cpu: *const Cpu,
    /// The thread that runs here.
    pub curthread: *const Kthread,
    /// Destination in the APIC's interrupt command register, plus one; 0 if unknown.
    pub icr_dest: u32,
    /// Interrupts in service that the gate has masked and that are not acknowledged yet.
    pub unacknowledged: u32,
    /// Faults that have happened here; the CPU is dying if it is not 0.
    pub fault_depth: u32,
    /// Top of the stack that faults are handled on.
    pub fault_stack: u64,
    /// The last fault.
    pub fault: FaultRecord,
}

/// What the gate noted about a fault. The general registers are still in place when the kernel gets to see it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FaultRecord {
    /// Exception vector.
    pub vector: u64,
    /// The CPU's error code, 0 if the vector has none.
    pub error: u64,
    /// Where the kernel was.
    pub rip: u64,
    /// Its stack pointer.
    pub rsp: u64,
    /// Its flags.
    pub rflags: u64,
    /// The address that a page fault was about.
    pub cr2: u64,
    /// Where in the gate, if the gate itself faulted on the kernel's behalf; else 0.
    pub gate_rip: u64,
}

const _: () = assert!(size_of::<GateWords>() as u64 <= GATE_STRIDE - GATE_WORDS);

/// Sets up the calling CPU's words, at level 15, without a thread.
pub fn init(cpu_id: u32, fault_stack: u64) {
    let words = words_of(cpu_id);
    let value = GateWords {
        mach: MachCpu::new(),
        cpu_id,
        cpu: ptr::null(),
        curthread: ptr::null(),
        icr_dest: 0,
        unacknowledged: 0,
        fault_depth: 0,
        fault_stack,
        fault: FaultRecord { vector: 0, error: 0, rip: 0, rsp: 0, rflags: 0, cr2: 0, gate_rip: 0 },
    };
    // SAFETY: the block of this CPU lies in mapped memory that nothing else uses, aligned to 256 bytes; the APIC
    // is still off, so no interrupt can change a word meanwhile.
    unsafe { ptr::write_volatile(words, value) };
}

/// The number of the calling CPU.
#[inline(always)]
pub fn cpu_id() -> u32 {
    let value: u32;
    // SAFETY: reads a word of this CPU; GS base is valid from the first instruction on.
    unsafe {
        asm!("mov {0:e}, gs:[{o}]", out(reg) value, o = const offset_of!(GateWords, cpu_id),
            options(nostack, preserves_flags, readonly));
    }
    value
}

/// Where a CPU's level and pending interrupts lie, for a reader outside: the guest itself reaches them as the module says.
pub fn mach(cpu_id: u32) -> &'static MachCpu {
    // SAFETY: the words lie in mapped memory for ever, `init` has made them, and the structure is of atomics: that the gate writes
    // them meanwhile is what they are for.
    unsafe { &(*words_of(cpu_id)).mach }
}

/// The kernel's object for the calling CPU, null before boot has set it.
#[inline(always)]
pub fn cpu() -> *const Cpu {
    let value: *const Cpu;
    // SAFETY: as in `cpu_id`. `nomem` holds: the word is reached by this module's assembly only. Not `pure`:
    // a switch in between may change the answer.
    unsafe {
        asm!("mov {}, gs:[{o}]", out(reg) value, o = const offset_of!(GateWords, cpu),
            options(nostack, preserves_flags, nomem));
    }
    value
}

/// The thread that runs on the calling CPU, null before boot has set it.
#[inline(always)]
pub fn curthread() -> *const Kthread {
    let value: *const Kthread;
    // SAFETY: as in `cpu`.
    unsafe {
        asm!("mov {}, gs:[{o}]", out(reg) value, o = const offset_of!(GateWords, curthread),
            options(nostack, preserves_flags, nomem));
    }
    value
}

/// Names the kernel's object for the calling CPU.
pub fn set_cpu(value: &'static Cpu) {
    // SAFETY: writes a word of this CPU that only `cpu` reads.
    unsafe {
        asm!("mov gs:[{o}], {}", in(reg) ptr::from_ref(value), o = const offset_of!(GateWords, cpu),
            options(nostack, preserves_flags));
    }
}

/// Names the thread that runs on the calling CPU.
#[inline(always)]
pub fn set_curthread(value: &'static Kthread) {
    // SAFETY: writes a word of this CPU that only `curthread` reads.
    unsafe {
        asm!("mov gs:[{o}], {}", in(reg) ptr::from_ref(value), o = const offset_of!(GateWords, curthread),
            options(nostack, preserves_flags));
    }
}

/// The priority level.
#[inline(always)]
pub fn pil() -> u32 {
    let value: u32;
    // SAFETY: reads a word of this CPU.
    unsafe {
        asm!("mov {0:e}, gs:[{o}]", out(reg) value, o = const offset_of!(GateWords, mach.mcpu_pri),
            options(nostack, preserves_flags, readonly));
    }
    value
}

/// Sets the priority level. The compiler moves no access to memory across it, and an interrupt on this CPU
/// sees this CPU's instructions in order.
#[inline(always)]
pub fn set_pil(value: u32) {
    // SAFETY: writes a word of this CPU; the gate compares with whatever is there.
    unsafe {
        asm!("mov dword ptr gs:[{o}], {0:e}", in(reg) value, o = const offset_of!(GateWords, mach.mcpu_pri),
            options(nostack, preserves_flags));
    }
}

/// Sets the priority level and returns the old one, in one instruction: the thread cannot move in between.
#[inline(always)]
pub fn swap_pil(value: u32) -> u32 {
    let old: u32;
    // SAFETY: exchanges a word of this CPU; the gate compares with whatever is there.
    unsafe {
        asm!("xchg dword ptr gs:[{o}], {0:e}", inout(reg) value => old, o = const offset_of!(GateWords, mach.mcpu_pri),
            options(nostack, preserves_flags));
    }
    old
}

/// What is pending: hardware in the low half, software in the high half, read in one instruction.
#[inline(always)]
pub fn pending() -> u64 {
    let value: u64;
    // SAFETY: reads `hw_pending` and, right behind it, `soft_pending` of this CPU.
    unsafe {
        asm!("mov {}, gs:[{o}]", out(reg) value, o = const offset_of!(GateWords, mach.mcpu_hw_pending),
            options(nostack, preserves_flags, readonly));
    }
    value
}

/// Makes a software interrupt pending.
#[inline(always)]
pub fn post(level: u32) {
    // SAFETY: sets a bit in a word of this CPU, in one instruction, so an interrupt cannot undo it.
    unsafe {
        asm!("or dword ptr gs:[{o}], {0:e}", in(reg) 1u32 << level, o = const offset_of!(GateWords, mach.mcpu_soft_pending),
            options(nostack));
    }
}

/// Clears a pending hardware interrupt; true if there was one.
#[inline(always)]
pub fn clear_hw(level: u32) -> bool {
    let was: u8;
    // SAFETY: changes a bit in a word of this CPU, in one instruction; `level` is below 32, so it is that word.
    unsafe {
        asm!("btr dword ptr gs:[{o}], {0:e}", "setc {1}", in(reg) level & 31, out(reg_byte) was,
            o = const offset_of!(GateWords, mach.mcpu_hw_pending), options(nostack));
    }
    was != 0
}

/// Clears a pending software interrupt; true if there was one.
#[inline(always)]
pub fn clear_soft(level: u32) -> bool {
    let was: u8;
    // SAFETY: as in `clear_hw`.
    unsafe {
        asm!("btr dword ptr gs:[{o}], {0:e}", "setc {1}", in(reg) level & 31, out(reg_byte) was,
            o = const offset_of!(GateWords, mach.mcpu_soft_pending), options(nostack));
    }
    was != 0
}

/// Takes one off the count of masked interrupts that are not acknowledged yet; false if there is none. At level 15 only: meanwhile
/// the gate adds to it, and nobody else takes off.
#[inline(always)]
pub fn take_unacknowledged() -> bool {
    let count: u32;
    // SAFETY: reads a word of this CPU.
    unsafe {
        asm!("mov {0:e}, gs:[{o}]", out(reg) count, o = const offset_of!(GateWords, unacknowledged),
            options(nostack, preserves_flags, readonly));
    }
    if count == 0 {
        return false;
    }
    // SAFETY: changes a word of this CPU in one instruction, so that what the gate adds meanwhile is not lost.
    unsafe {
        asm!("sub dword ptr gs:[{o}], 1", o = const offset_of!(GateWords, unacknowledged), options(nostack));
    }
    true
}

/// Forgets whatever is pending, unacknowledged: for a CPU that will not go on.
pub fn forget_pending() {
    // SAFETY: writes `hw_pending` and `soft_pending` of this CPU.
    unsafe {
        asm!("mov qword ptr gs:[{o}], 0", o = const offset_of!(GateWords, mach.mcpu_hw_pending),
            options(nostack, preserves_flags));
    }
}

/// Notes where the APIC's command register points to; returns true if it pointed there already. At level 15 only.
pub fn swap_icr_dest(cpu: u32) -> bool {
    let old: u32;
    // SAFETY: exchanges a word of this CPU that only this function uses.
    unsafe {
        asm!("xchg {0:e}, dword ptr gs:[{o}]", inout(reg) cpu + 1 => old,
            o = const offset_of!(GateWords, icr_dest), options(nostack, preserves_flags));
    }
    old == cpu + 1
}

/// Faults so far on this CPU, and the last one.
pub fn fault() -> (u32, FaultRecord) {
    let words = words_of(cpu_id());
    // SAFETY: this CPU's words, set up by `init`; after a fault the level is 15, and only another fault, from
    // which nothing returns here, would change them meanwhile.
    let words = unsafe { ptr::read_volatile(words) };
    (words.fault_depth, words.fault)
}

fn words_of(cpu_id: u32) -> *mut GateWords {
    ptr::with_exposed_provenance_mut((GATE_BLOCKS + u64::from(cpu_id) * GATE_STRIDE + GATE_WORDS) as usize)
}
