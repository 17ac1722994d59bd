//! The local APIC: the one-shot timer, pokes, cross calls, and acknowledgement. It is reached as memory, from CPL 3.
//!
//! # Invariants
//! - Each CPU sees its own APIC at the same address, and registers are written whole, as 32-bit words.
//! - The two halves of a poke or cross call are written at level 15, so that one sent by an interrupt handler cannot come
//!   between them.
//! - A register write costs 2.5 us on a software KVM: a value that is known to be in the register is not written again.
#![allow(unsafe_code)]

use core::ptr;

use crate::level::Masked;
use crate::{time, words};
use umpire_shared::boot::{LAPIC, vector_of};

/// Level of the timer's interrupt.
const TIMER_PIL: u32 = 14;
/// Level of a poke.
const POKE_PIL: u32 = 11;
/// Level of a cross call.
const XC_SYS_PIL: u32 = 13;
/// The gate drops this vector without acknowledging it, as the architecture asks for.
const SPURIOUS_VECTOR: u32 = 0xff;

/// Registers, by their distance from [`LAPIC`].
mod register {
    pub const EOI: u64 = 0x0b0;
    pub const SPURIOUS: u64 = 0x0f0;
    pub const COMMAND_LOW: u64 = 0x300;
    pub const COMMAND_HIGH: u64 = 0x310;
    pub const LVT_TIMER: u64 = 0x320;
    pub const LVT_LINT0: u64 = 0x350;
    pub const LVT_LINT1: u64 = 0x360;
    pub const TIMER_INITIAL: u64 = 0x380;
    pub const TIMER_DIVIDE: u64 = 0x3e0;
}

const SOFTWARE_ENABLE: u32 = 1 << 8;
const LVT_MASKED: u32 = 1 << 16;
/// The timer counts KVM's bus clock, 1 GHz, undivided: its unit is the nanosecond.
const DIVIDE_BY_1: u32 = 0b1011;

/// Enables the calling CPU's APIC, its timer disarmed.
pub fn enable() {
    write(register::SPURIOUS, SOFTWARE_ENABLE | SPURIOUS_VECTOR);
    write(register::LVT_LINT0, LVT_MASKED);
    write(register::LVT_LINT1, LVT_MASKED);
    write(register::TIMER_DIVIDE, DIVIDE_BY_1);
    write(register::LVT_TIMER, vector_of(TIMER_PIL));
}

/// Acknowledges the highest interrupt in service.
#[inline(always)]
pub fn acknowledge() {
    write(register::EOI, 0);
}

/// A deadline further away than 2^32 ns (4.3 s) fires early; the code that armed it looks at the clock and arms it again.
pub fn timer(deadline_ns: u64) {
    let count = match deadline_ns {
        u64::MAX => 0,
        _ => deadline_ns.saturating_sub(time::now()).clamp(1, u64::from(u32::MAX)),
    };
    write(register::TIMER_INITIAL, count as u32);
}

/// The platform's `poke`.
#[inline(always)]
pub fn poke(cpu: u32) {
    interrupt(cpu, POKE_PIL);
}

/// The platform's `xcall`.
#[inline(always)]
pub fn xcall(cpu: u32) {
    interrupt(cpu, XC_SYS_PIL);
}

/// Sends a CPU the interrupt of a level.
#[inline(always)]
fn interrupt(cpu: u32, level: u32) {
    let _masked = Masked::new();
    if !words::swap_icr_dest(cpu) {
        write(register::COMMAND_HIGH, cpu << 24);
    }
    write(register::COMMAND_LOW, vector_of(level));
}

#[inline(always)]
fn write(register: u64, value: u32) {
    let at = ptr::with_exposed_provenance_mut::<u32>((LAPIC + register) as usize);
    // SAFETY: the APIC's page is mapped at this address, and a write to a register of it touches no memory of Rust's.
    unsafe { ptr::write_volatile(at, value) };
}
