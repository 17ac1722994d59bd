//! The boot block and the guest-physical map: what the VMM lays out before the first instruction.
//!
//! # Invariants
//! - The host writes the first group of fields before it starts a vCPU and never again;
//!   the guest writes the second group and the host only reads it, but for [`BootBlock::tsc_base`] while it holds every vCPU.
//! - Addresses are guest-physical, and also guest-virtual, since the guest is identity-mapped.
//!
//! ```text
//! 0x0000_0000  unmapped: a null dereference faults
//! 0x0000_1000  boot block
//! 0x0000_2000  GDT, then one TSS a CPU
//! 0x0000_4000  IDT
//! 0x0000_5000  gate blocks, 1 KiB a CPU: the ring-0 stack, then the words that gate and kernel share
//! 0x0000_9000  epitaph
//! 0x0001_0000  page tables
//! 0x0010_0000  the image, then program, console ring, event rings, kernel heap
//!              then thread stacks, each above an unmapped guard page
//! 0xfebf_f000  doorbell
//! 0xfee0_0000  the local APIC of the CPU that looks
//! ```

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// First word of a boot block: "UMPIRE01".
pub const BOOT_MAGIC: u64 = u64::from_le_bytes(*b"UMPIRE01");
/// Where the boot block lies.
pub const BOOT_BLOCK: u64 = 0x1000;
/// Where the global descriptor table lies.
pub const GDT: u64 = 0x2000;
/// Where the task state segments lie, [`TSS_STRIDE`] bytes apart.
pub const TSS: u64 = 0x3000;
/// Bytes between two task state segments.
pub const TSS_STRIDE: u64 = 128;
/// Where the interrupt descriptor table lies.
pub const IDT: u64 = 0x4000;
/// Where the gate blocks lie, [`GATE_STRIDE`] bytes apart.
pub const GATE_BLOCKS: u64 = 0x5000;
/// Bytes a CPU has for the ring-0 stack and the words above it.
pub const GATE_STRIDE: u64 = 0x400;
/// Offset of the shared words in a gate block. The ring-0 stack (TSS.RSP0) ends here, so the gate finds
/// them at a fixed distance from its stack pointer; the kernel's GS base points here.
pub const GATE_WORDS: u64 = 0x300;
/// Where the epitaph lies.
pub const EPITAPH: u64 = 0x9000;
/// Where page tables begin.
pub const PAGE_TABLES: u64 = 0x1_0000;
/// First byte that page tables may not use.
pub const PAGE_TABLES_END: u64 = 0x10_0000;
/// Where the image is linked and loaded.
pub const IMAGE: u64 = 0x10_0000;
/// The local APIC's registers, mapped uncached and reachable from CPL 3.
pub const LAPIC: u64 = 0xfee0_0000;

/// One page without memory behind it: a 32-bit store there leaves the guest for the VMM, which reads the value
/// as one of [`doorbell`]. Mapped uncached and reachable from CPL 3.
pub const DOORBELL: u64 = 0xfebf_f000;

/// In the doorbell's page: a 32-bit load from there, by the gate, tells the VMM that a breakpoint or a step (vector 3 or 1) has
/// interrupted the kernel. A VMM whose debugger caused it puts the CPU back into the kernel; to the gate of any other it is an
/// exception like the rest, whatever it loads.
pub const DEBUG_TRAP: u64 = DOORBELL + 8;

/// What a guest may ring for; nothing on a hot path does.
pub mod doorbell {
    /// The guest has stopped for good; an epitaph says why.
    pub const STOPPED: u32 = 1;
    /// Please read the console now.
    pub const CONSOLE: u32 = 2;
}

/// Selectors in the GDT, with the requested privilege level in them.
pub mod selector {
    /// Ring-0 code: the gate.
    pub const GATE_CODE: u16 = 0x08;
    /// Ring-0 data.
    pub const GATE_DATA: u16 = 0x10;
    /// Ring-3 data: the kernel's.
    pub const KERNEL_DATA: u16 = 0x18 | 3;
    /// Ring-3 code: the kernel.
    pub const KERNEL_CODE: u16 = 0x20 | 3;
    /// The first task state segment; each takes two slots, so CPU `n` has `TSS + 16 * n`.
    pub const TSS: u16 = 0x30;
}

/// An interrupt of priority level `pil` arrives at vector `pil << 4`, so that the local APIC's own
/// priority classes follow the levels.
pub const fn vector_of(pil: u32) -> u32 {
    pil << 4
}

/// How far the guest has come; see [`BootBlock::phase`].
pub mod phase {
    /// The VMM has not seen a sign of life.
    pub const NONE: u32 = 0;
    /// The kernel runs on CPU 0.
    pub const KERNEL: u32 = 1;
    /// Every CPU is in the dispatcher.
    pub const ONLINE: u32 = 2;
    /// A thread of the scenario has run.
    pub const FIRST_THREAD: u32 = 3;
}

/// What the VMM tells the kernel, and the little that the kernel tells back.
#[repr(C)]
#[derive(Debug)]
pub struct BootBlock {
    /// [`BOOT_MAGIC`].
    pub magic: AtomicU64,
    /// Virtual CPUs, 1 to [`crate::MAX_CPUS`].
    pub ncpus: AtomicU64,
    /// Frequency of the time-stamp counter in kHz.
    pub tsc_khz: AtomicU64,
    /// The encoded [`crate::program::Program`].
    pub program: AtomicU64,
    /// Its length in bytes.
    pub program_len: AtomicU64,
    /// The [`ConsoleRing`].
    pub console: AtomicU64,
    /// The event rings, one [`crate::event::EventRing`] a CPU, [`BootBlock::events_stride`] bytes apart; 0 if none.
    pub events: AtomicU64,
    /// Bytes between two event rings.
    pub events_stride: AtomicU64,
    /// Records of an event ring: a power of two.
    pub events_records: AtomicU64,
    /// Memory for the kernel's arenas.
    pub heap: AtomicU64,
    /// Its length in bytes.
    pub heap_len: AtomicU64,
    /// The first stack slot. A slot is one guard page, then the stack.
    pub stacks: AtomicU64,
    /// Bytes between two slots.
    pub stack_stride: AtomicU64,
    /// Slots: one for each CPU's idle thread first, then one a scenario thread.
    pub nstacks: AtomicU64,

    /// Guest to host: the address of the `Kernel` object, 0 before it exists.
    pub root: AtomicU64,
    /// Guest to host: one of [`phase`].
    pub phase: AtomicU32,
    /// Guest to host: CPUs that have reached their idle loop.
    pub cpus_up: AtomicU32,
    /// Guest to host: the time-stamp counter when the kernel's clock read 0. A host that has held every CPU adds the counts of that
    /// time before any of them goes on.
    pub tsc_base: AtomicU64,
    /// Guest to host: the time-stamp counter when the first scenario thread began to run; 0 before.
    pub first_thread_tsc: AtomicU64,
}

/// First word of a written [`Epitaph`]: "EPITAPH!". Stored last, with release ordering.
pub const EPITAPH_MAGIC: u64 = u64::from_le_bytes(*b"EPITAPH!");
/// Bytes that an epitaph's message may have.
pub const EPITAPH_TEXT: usize = 512;
/// Registers in an epitaph, in the order of [`EPITAPH_REGS`].
pub const EPITAPH_NREGS: usize = 19;
/// Names of the registers in an epitaph.
pub const EPITAPH_REGS: [&str; EPITAPH_NREGS] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15", "rip", "rflags", "cr2",
];

/// Why a guest died; see [`Epitaph::reason`].
pub mod reason {
    /// The kernel called its panic.
    pub const PANIC: u32 = 1;
    /// A fault in kernel code that the kernel does not handle.
    pub const FAULT: u32 = 2;
    /// A fault on a stack's guard page.
    pub const STACK_OVERFLOW: u32 = 3;
    /// The in-guest deadman, which panics only if `snooping` is set.
    pub const DEADMAN: u32 = 4;
}

/// A dying guest's last words, at [`EPITAPH`]. Written once, by the first CPU to panic.
#[repr(C)]
#[derive(Debug)]
pub struct Epitaph {
    /// [`EPITAPH_MAGIC`] once everything else is in place.
    pub magic: AtomicU64,
    /// Which CPU claimed the epitaph, plus one; 0 if none did.
    pub claimed: AtomicU32,
    /// One of [`reason`].
    pub reason: AtomicU32,
    /// The CPU that died.
    pub cpu: AtomicU32,
    /// The exception vector of a fault, else 0.
    pub vector: AtomicU32,
    /// The thread that ran there.
    pub thread: AtomicU64,
    /// Registers, in the order of [`EPITAPH_REGS`]; zero where unknown.
    pub regs: [AtomicU64; EPITAPH_NREGS],
    /// Bytes of the message.
    pub text_len: AtomicU32,
    /// The message.
    pub text: [AtomicU8; EPITAPH_TEXT],
}

/// Bytes of text that the console ring holds.
pub const CONSOLE_LEN: usize = 64 * 1024;

/// The console: the guest appends, the host reads behind it. Text that the host is too slow to read is
/// overwritten, and the host counts it as lost; the guest never waits.
#[repr(C)]
#[derive(Debug)]
pub struct ConsoleRing {
    /// Bytes ever written. Stored with release ordering after the bytes.
    pub head: AtomicU64,
    /// Held (non-zero) by the CPU that is writing.
    pub lock: AtomicU32,
    /// Keeps the text aligned.
    pub reserved: AtomicU32,
    /// Byte `n` of the console is at `n % CONSOLE_LEN`.
    pub text: [AtomicU8; CONSOLE_LEN],
}
