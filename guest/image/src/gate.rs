//! The gate: all the code that runs in ring 0.
//!
//! A software KVM emulates each of these instructions (0.65 us), so there are few of them. The gate leaves to the
//! kernel what the kernel can do for itself at CPL 3: saving registers and flags, acknowledging, deciding.
//!
//! `W` is the address of this CPU's words (TSS.RSP0). An interrupt from CPL 3 finds
//! ```text
//! W-8 ss   W-16 rsp   W-24 rflags   W-32 cs   W-40 rip   W-48 level, or error code   W-56 rax, or vector
//! ```
//!
//! | what arrives | what the gate does |
//! |---|---|
//! | interrupt above the CPU's level | raises the level, puts rax, the old level and rip on the interrupted stack below a 128-byte gap, goes on at `event_entry` |
//! | interrupt at or below it | sets its bit in `hw_pending` and counts it as one to be acknowledged |
//! | interrupt in the gate's own `hlt` | the same, then returns to the code that halted |
//! | #GP at a `hlt` of the kernel | steps over it, and halts if nothing is pending |
//! | a breakpoint or a step | tells the VMM, which takes the CPU out of the gate if a debugger of its own is the cause; else as below |
//! | any other exception | fills the fault record, goes on at `fault_entry` on the fault stack, at level 15 |
//! | the third fault of a CPU | rings the doorbell and stops |
//! | the APIC's spurious vector | returns at once, and must not acknowledge |
//!
//! # Invariants
//! - Interrupts are disabled in the gate, except in its `sti; hlt`. So code at CPL 3 on the same CPU sees everything
//!   that the gate does to the words happen between two instructions.
//! - Looking at the pending words and halting are one step: `sti` takes effect after `hlt` has begun, and even if
//!   it did not, an interrupt from ring 0 never resumes the `hlt` but returns to the kernel.
//! - Masked interrupts stay unacknowledged until any pending one is taken, so the local APIC holds back its own vectors of that class
//!   and below meanwhile; classes are levels. As many are acknowledged then as were masked (`level.rs`).
//! - The lowest word on the interrupted stack is written first: if it falls into a guard page, the outer frame
//!   and rax (W-56) are still whole, and the fault is reported as if the kernel had met it.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::mem::offset_of;

use crate::words::{FaultRecord, GateWords};
use umpire_shared::boot::{DEBUG_TRAP, DOORBELL, GATE_STRIDE, GATE_WORDS, doorbell};

const FAULT: usize = offset_of!(GateWords, fault);

global_asm!(
    r#"
    .pushsection .text.gate, "ax", @progbits
    .globl gate_vectors
    .balign 4096
gate_vectors:
    .set v, 0
    .rept 256
    .balign 16
    .if v == 13
        jmp gate_general_protection
    .elseif v == 8 || (v >= 10 && v <= 14) || v == 17 || v == 21 || v == 29 || v == 30
        .byte 0x6a, v               // push v
        jmp gate_exception
    .elseif v == 1 || v == 3
        .byte 0x6a, 0               // push 0: no error code
        .byte 0x6a, v               // push v
        jmp gate_debug
    .elseif v < 32
        .byte 0x6a, 0               // push 0: no error code
        .byte 0x6a, v               // push v
        jmp gate_exception
    .elseif v == 255
        iretq
    .else
        .byte 0x6a, (v >> 4)        // push its level
        jmp gate_interrupt
    .endif
    .set v, v + 1
    .endr

    .balign 16
gate_interrupt:
    test byte ptr [rsp + 16], 3     // cs: did it meet the kernel, or the gate's hlt?
    jz 3f
    push rax
    mov eax, [rsp + 8]
    cmp eax, [rsp + 56 + {pil}]
    jbe 2f
    xchg eax, [rsp + 56 + {pil}]
    mov [rsp + 8], rax              // the old level
    mov rax, [rsp + 40]             // the interrupted stack
    pop qword ptr [rax - 160]       // rax
    pop qword ptr [rax - 152]       // the old level
    pop qword ptr [rax - 136]       // rip; rbp's place is left free below it
    sub qword ptr [rsp + 16], 160
    push offset event_entry
    iretq
2:  bts dword ptr [rsp + 56 + {hw_pending}], eax
    add dword ptr [rsp + 56 + {unacknowledged}], 1
    pop rax
    add rsp, 8
    iretq
3:  mov eax, [rsp]
    mov rsp, [rsp + 32]             // W-56, where the hlt left it: never computed, the CPU aligns frames
    bts dword ptr [rsp + 56 + {hw_pending}], eax
    add dword ptr [rsp + 56 + {unacknowledged}], 1
    pop rax
    add rsp, 8
    iretq

    .balign 16
gate_general_protection:
    push rax
    test byte ptr [rsp + 24], 3
    jz 3f
    mov rax, [rsp + 16]
    cmp byte ptr [rax], 0xf4        // hlt
    jne 3f
    add qword ptr [rsp + 16], 1
    cmp qword ptr [rsp + 56 + {hw_pending}], 0
    jne 2f
1:  sti
    hlt
    jmp 1b
2:  pop rax
    add rsp, 8
    iretq
3:  pop rax
    push 13
    jmp gate_exception

    .balign 16
gate_debug:
    push rax
    mov eax, {debug_trap}
    mov eax, [rax]                  // here a debugger of the VMM's takes the CPU away
    pop rax

gate_exception:
    push rax
    push rcx
    mov rax, rsp
    and rax, -{stride}
    add rax, {words}                // W, however deep the stack is
    cmp dword ptr [rax + {depth}], 2
    jae 3f
    add dword ptr [rax + {depth}], 1
    mov dword ptr [rax + {pil}], 15
    mov rcx, [rsp + 16]
    mov [rax + {vector}], rcx
    mov rcx, [rsp + 24]
    mov [rax + {error}], rcx
    mov rcx, cr2
    mov [rax + {cr2}], rcx
    xor ecx, ecx
    test byte ptr [rsp + 40], 3
    jnz 2f
    mov rcx, [rax - 56]             // met the gate: the kernel's rax is in the outer frame
    mov [rsp + 8], rcx
    mov rcx, [rsp + 32]
2:  mov [rax + {gate_rip}], rcx
    mov rcx, [rax - 40]
    mov [rax + {rip}], rcx
    mov rcx, [rax - 24]
    mov [rax + {rflags}], rcx
    mov rcx, [rax - 16]
    mov [rax + {rsp}], rcx
    mov rcx, [rax + {fault_stack}]
    mov [rax - 16], rcx
    mov qword ptr [rax - 40], offset fault_entry
    mov rcx, [rsp + 8]
    mov [rax - 48], rcx
    pop rcx
    lea rsp, [rax - 48]
    pop rax
    iretq
3:  mov eax, {doorbell}
    mov dword ptr [rax], {stopped}
4:  cli
    hlt
    jmp 4b
    .globl gate_end
gate_end:
    .popsection
    "#,
    pil = const offset_of!(GateWords, mach.mcpu_pri),
    hw_pending = const offset_of!(GateWords, mach.mcpu_hw_pending),
    unacknowledged = const offset_of!(GateWords, unacknowledged),
    depth = const offset_of!(GateWords, fault_depth),
    fault_stack = const offset_of!(GateWords, fault_stack),
    vector = const FAULT + offset_of!(FaultRecord, vector),
    error = const FAULT + offset_of!(FaultRecord, error),
    rip = const FAULT + offset_of!(FaultRecord, rip),
    rsp = const FAULT + offset_of!(FaultRecord, rsp),
    rflags = const FAULT + offset_of!(FaultRecord, rflags),
    cr2 = const FAULT + offset_of!(FaultRecord, cr2),
    gate_rip = const FAULT + offset_of!(FaultRecord, gate_rip),
    stride = const GATE_STRIDE,
    words = const GATE_WORDS,
    doorbell = const DOORBELL,
    debug_trap = const DEBUG_TRAP,
    stopped = const doorbell::STOPPED,
);
