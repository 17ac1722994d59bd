//! What is in memory and in the registers before the first instruction.
//!
//! # Invariants
//! - Everything here happens before a vCPU runs; afterwards the VMM never writes guest memory.
//! - Each vCPU starts in 64-bit mode at CPL 3, with interrupts enabled, on its own idle stack.

use std::mem::offset_of;

use kvm_bindings::{CpuId, kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};
use umpire_shared::boot::{
    BOOT_BLOCK, BOOT_MAGIC, BootBlock, GDT, IDT, PAGE_TABLES, TSS, TSS_STRIDE, selector,
};

use super::MachineError;
use super::image::Facts;
use super::layout::Layout;
use super::memory::GuestRam;
use super::tables;

mod cr0 {
    pub const PROTECTION: u64 = 1;
    pub const MONITOR_COPROCESSOR: u64 = 1 << 1;
    pub const EXTENSION_TYPE: u64 = 1 << 4;
    pub const NUMERIC_ERROR: u64 = 1 << 5;
    pub const WRITE_PROTECT: u64 = 1 << 16;
    pub const PAGING: u64 = 1 << 31;
}

mod cr4 {
    pub const PHYSICAL_EXTENSION: u64 = 1 << 5;
    pub const OS_FXSR: u64 = 1 << 9;
    pub const OS_SIMD_EXCEPTIONS: u64 = 1 << 10;
    pub const FSGSBASE: u64 = 1 << 16;
}

mod efer {
    pub const LONG_MODE_ENABLE: u64 = 1 << 8;
    pub const LONG_MODE_ACTIVE: u64 = 1 << 10;
}

/// RFLAGS of a starting vCPU: interrupts enabled, IOPL 3, and the bit that always reads 1.
const START_FLAGS: u64 = 1 << 9 | 3 << 12 | 1 << 1;

/// Writes the tables, the scenario's program, and the boot block, except what only KVM knows.
///
/// # Errors
/// [`MachineError::Config`] if the page tables do not fit, [`MachineError::Os`] if memory is too small.
pub(super) fn write(
    ram: &GuestRam,
    layout: &Layout,
    facts: &Facts,
    program: &[u8],
) -> Result<(), MachineError> {
    let put = |(addr, bytes): &tables::Piece| put(ram, *addr, bytes);
    put(&tables::gdt())?;
    put(&tables::idt(facts.gate_vectors))?;
    for cpu in 0..layout.ncpus {
        put(&tables::tss(cpu))?;
    }
    tables::page_tables(layout)?.iter().try_for_each(put)?;
    put(&(layout.program, program.to_vec()))?;
    boot_block(layout).iter().try_for_each(put)
}

/// Completes the boot block with the frequency of the guest's time-stamp counter.
///
/// # Errors
/// [`MachineError::Os`] if there is no memory.
pub(super) fn write_tsc_khz(ram: &GuestRam, tsc_khz: u64) -> Result<(), MachineError> {
    put(ram, BOOT_BLOCK + offset_of!(BootBlock, tsc_khz) as u64, &tsc_khz.to_le_bytes())
}

fn put(ram: &GuestRam, addr: u64, bytes: &[u8]) -> Result<(), MachineError> {
    ram.write(addr, bytes).map_err(|e| MachineError::os("write the guest's tables", e))
}

fn boot_block(layout: &Layout) -> Vec<tables::Piece> {
    let fields = [
        (offset_of!(BootBlock, magic), BOOT_MAGIC),
        (offset_of!(BootBlock, ncpus), layout.ncpus),
        (offset_of!(BootBlock, program), layout.program),
        (offset_of!(BootBlock, program_len), layout.program_len),
        (offset_of!(BootBlock, console), layout.console),
        (offset_of!(BootBlock, events), layout.trace_rings),
        (offset_of!(BootBlock, events_stride), layout.trace_stride),
        (offset_of!(BootBlock, events_records), layout.trace_records),
        (offset_of!(BootBlock, heap), layout.heap),
        (offset_of!(BootBlock, heap_len), layout.heap_len),
        (offset_of!(BootBlock, stacks), layout.stacks),
        (offset_of!(BootBlock, stack_stride), layout.stack_stride),
        (offset_of!(BootBlock, nstacks), layout.nstacks),
    ];
    fields.iter().map(|&(at, value)| (BOOT_BLOCK + at as u64, value.to_le_bytes().to_vec())).collect()
}

/// The general registers that vCPU `cpu` starts with: as if `_start(cpu, boot block)` had been called. The built-in image
/// needs the first argument only.
pub(super) fn regs(layout: &Layout, entry: u64, cpu: u64) -> kvm_regs {
    kvm_regs {
        rip: entry,
        rflags: START_FLAGS,
        rsp: layout.stack_top(cpu) - 8,
        rdi: cpu,
        rsi: BOOT_BLOCK,
        ..Default::default()
    }
}

/// The system registers that vCPU `cpu` starts with; `reset` is what KVM made it with.
pub(super) fn sregs(reset: &kvm_sregs, cpu: u64, has_fsgsbase: bool) -> kvm_sregs {
    let (code, data) = kernel_segments();
    let task = kvm_segment {
        base: TSS + cpu * TSS_STRIDE,
        limit: tables::TSS_LEN as u32 - 1,
        selector: selector::TSS + 16 * cpu as u16,
        type_: 11,
        present: 1,
        ..Default::default()
    };
    let fsgsbase = if has_fsgsbase { cr4::FSGSBASE } else { 0 };
    kvm_sregs {
        cs: code,
        ds: data,
        es: data,
        ss: data,
        fs: data,
        gs: kvm_segment { base: tables::gate_words(cpu), ..data },
        tr: task,
        ldt: kvm_segment { unusable: 1, type_: 2, ..Default::default() },
        gdt: kvm_dtable { base: GDT, limit: tables::GDT_LIMIT, ..Default::default() },
        idt: kvm_dtable { base: IDT, limit: tables::IDT_LIMIT, ..Default::default() },
        cr0: cr0::PROTECTION
            | cr0::MONITOR_COPROCESSOR
            | cr0::EXTENSION_TYPE
            | cr0::NUMERIC_ERROR
            | cr0::WRITE_PROTECT
            | cr0::PAGING,
        cr3: PAGE_TABLES,
        cr4: cr4::PHYSICAL_EXTENSION | cr4::OS_FXSR | cr4::OS_SIMD_EXCEPTIONS | fsgsbase,
        efer: efer::LONG_MODE_ENABLE | efer::LONG_MODE_ACTIVE,
        ..*reset
    }
}

/// Code and stack segment of the kernel.
pub(super) fn kernel_segments() -> (kvm_segment, kvm_segment) {
    let code = kvm_segment { l: 1, db: 0, ..segment(selector::KERNEL_CODE, 11) };
    (code, segment(selector::KERNEL_DATA, 3))
}

/// A flat ring-3 segment.
fn segment(selector: u16, type_: u8) -> kvm_segment {
    kvm_segment {
        limit: u32::MAX,
        selector,
        type_,
        present: 1,
        dpl: 3,
        db: 1,
        s: 1,
        g: 1,
        ..Default::default()
    }
}

/// What CPUID tells vCPU `cpu`: what the host supports, with its own APIC id.
pub(super) fn cpuid(supported: &CpuId, cpu: u32) -> CpuId {
    let mut own = supported.clone();
    for entry in own.as_mut_slice() {
        match entry.function {
            0x1 => entry.ebx = entry.ebx & 0x00ff_ffff | cpu << 24,
            0xb | 0x1f => entry.edx = cpu,
            _ => {}
        }
    }
    own
}

/// True if the host lets its guests use the FSGSBASE instructions.
pub(super) fn has_fsgsbase(supported: &CpuId) -> bool {
    supported.as_slice().iter().any(|e| e.function == 7 && e.index == 0 && e.ebx & 1 != 0)
}
