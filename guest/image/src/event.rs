//! An interrupt's way through the kernel, from the gate's `iretq` to the instruction that it interrupted.
//!
//! # Invariants
//! - At `event_entry` the level is the interrupt's own, and flags and registers are those of the interrupted code, except
//!   rax, which is at `[rsp]`. Above it lie the old level, room for rbp, rip, and a gap of 128 bytes.
//! - rbp and rip lie as after a call, so a walk along frame pointers goes on into the interrupted function.
//! - Who was interrupted between look and store of `mutex_exit` goes back to the look, before anything can switch it off.
//! - Interrupts of higher levels may come in between any two instructions: nothing below rsp is in use.
//! - Only the registers that a callee may change are saved: `event` preserves the others, and the kernel
//!   uses neither x87 nor SSE.
#![allow(unsafe_code)]

use core::arch::global_asm;

use crate::{apic, words};

global_asm!(
    r"
    .globl event_entry
event_entry:
    mov [rsp + 16], rbp
    lea rbp, [rsp + 16]
    pushfq
    cld
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    mov rcx, [rbp + 8]              // rip
    lea rdx, [rip + mutex_exit_begin]
    cmp rcx, rdx
    jbe 1f
    lea rsi, [rip + mutex_exit_end]
    cmp rcx, rsi
    jae 1f
    mov [rbp + 8], rdx
1:  mov edi, [rbp - 8]
    and rsp, -16
    call {event}
    lea rsp, [rbp - 88]
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    popfq
    pop rax
    lea rsp, [rsp + 8]              // the old level; flags stay
    pop rbp
    ret 128
    ",
    event = sym event,
);

/// Acknowledges the interrupt and has the kernel handle it; returns at level `old_pil`, perhaps on another CPU.
extern "C" fn event(old_pil: u32) {
    // The gate has raised the level to the interrupt's, and every interrupt that came in since has restored it.
    let level = words::pil();
    apic::acknowledge();
    umpire_kernel::intr::interrupt(level, old_pil);
}
