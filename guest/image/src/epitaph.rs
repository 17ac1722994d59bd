//! Last words: what a dying guest leaves for the host, and how it stops.
//!
//! # Invariants
//! - The first CPU to die writes the epitaph; any other just stops. The magic is stored last.
//! - Nothing here allocates or takes a lock. If a CPU fails while it dies, what it has written so far is published.
//! - A CPU that has stopped never runs kernel code again.
#![allow(unsafe_code)]

use core::arch::asm;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::Ordering;

use crate::words;
use umpire_shared::boot::{
    DOORBELL, EPITAPH, EPITAPH_MAGIC, EPITAPH_NREGS, EPITAPH_TEXT, Epitaph, doorbell, reason,
};

/// Places of some registers in [`umpire_shared::boot::EPITAPH_REGS`].
pub mod register {
    /// Frame pointer.
    pub const RBP: usize = 6;
    /// Stack pointer.
    pub const RSP: usize = 7;
    /// Instruction pointer.
    pub const RIP: usize = 16;
    /// Flags.
    pub const RFLAGS: usize = 17;
    /// Address of a page fault.
    pub const CR2: usize = 18;
}

/// A set of registers as an epitaph has it.
pub type Registers = [u64; EPITAPH_NREGS];

/// Writes the epitaph and stops the machine. `why` is one of [`reason`], `vector` is that of the exception, or 0.
pub fn die(why: u32, vector: u32, registers: &Registers, message: fmt::Arguments<'_>) -> ! {
    words::set_pil(15);
    let me = words::cpu_id();
    let epitaph = epitaph();
    match epitaph.claimed.compare_exchange(0, me + 1, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {}
        Err(other) if other == me + 1 => publish(epitaph),
        Err(_) => stop_here(),
    }
    epitaph.reason.store(why, Ordering::Relaxed);
    epitaph.cpu.store(me, Ordering::Relaxed);
    epitaph.vector.store(vector, Ordering::Relaxed);
    epitaph.thread.store(words::curthread().addr() as u64, Ordering::Relaxed);
    for (to, &from) in epitaph.regs.iter().zip(registers) {
        to.store(from, Ordering::Relaxed);
    }
    // What does not fit is cut.
    let _ = Writer { epitaph, len: 0 }.write_fmt(message);
    publish(epitaph)
}

/// Publishes the epitaph as it is and stops the machine: for a CPU that failed while dying.
pub fn die_at_once() -> ! {
    publish(epitaph())
}

/// The platform's `stop`.
pub fn stop(why: u32, message: fmt::Arguments<'_>) -> ! {
    die(why, 0, &registers_here(), message)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let registers = registers_here();
    match info.location() {
        Some(at) => die(reason::PANIC, 0, &registers, format_args!("{} ({at})", info.message())),
        None => die(reason::PANIC, 0, &registers, format_args!("{}", info.message())),
    }
}

fn publish(epitaph: &Epitaph) -> ! {
    // Release: everything else is in place before the host believes it.
    epitaph.magic.store(EPITAPH_MAGIC, Ordering::Release);
    let bell = ptr::with_exposed_provenance_mut::<u32>(DOORBELL as usize);
    // SAFETY: the doorbell's page is mapped and has no memory behind it: the store goes to the VMM.
    unsafe { ptr::write_volatile(bell, doorbell::STOPPED) };
    stop_here()
}

fn stop_here() -> ! {
    loop {
        words::set_pil(15);
        words::forget_pending();
        // SAFETY: `hlt` at CPL 3 is a trap to the gate, which preserves every register and returns to the instruction after it.
        unsafe { asm!("hlt", options(nostack, preserves_flags)) };
    }
}

/// The registers that say where the caller is; the others are 0.
#[inline(always)]
fn registers_here() -> Registers {
    let (rip, rsp, rbp): (u64, u64, u64);
    // SAFETY: reads three registers.
    unsafe {
        asm!("lea {}, [rip]", "mov {}, rsp", "mov {}, rbp", out(reg) rip, out(reg) rsp, out(reg) rbp,
            options(nostack, preserves_flags, nomem));
    }
    let mut registers = [0; EPITAPH_NREGS];
    registers[register::RIP] = rip;
    registers[register::RSP] = rsp;
    registers[register::RBP] = rbp;
    registers
}

struct Writer {
    epitaph: &'static Epitaph,
    len: usize,
}

impl Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.len == EPITAPH_TEXT {
                return Err(fmt::Error);
            }
            self.epitaph.text[self.len].store(byte, Ordering::Relaxed);
            self.len += 1;
            self.epitaph.text_len.store(self.len as u32, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn epitaph() -> &'static Epitaph {
    // SAFETY: the epitaph's page is mapped for good, aligned, and the record is nothing but atomics.
    unsafe { &*ptr::with_exposed_provenance::<Epitaph>(EPITAPH as usize) }
}
