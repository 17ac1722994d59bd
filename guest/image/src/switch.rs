//! Contexts: how one is saved, continued and made.
//!
//! # Invariants
//! - A context that is not running is its stack pointer, `t_sp`. From there upwards lie r15, r14, r13, r12, rbx, rbp and
//!   the address to go on at: [`Context`].
//! - Interrupts may come between any two instructions of a switch, so at each of them rsp is within a stack in use.
//! - The kernel uses neither x87 nor SSE, so there is nothing else to save; the flags are dead across a call.
#![allow(unsafe_code)]

use core::arch::{asm, naked_asm};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::stack;
use umpire_kernel::Kthread;
use umpire_kernel::cell::Cell;
use umpire_kernel::thread::thread_start;

/// What lies at `t_sp` of a thread that is not running.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Context {
    /// Callee-saved, like those that follow.
    pub r15: u64,
    /// See `r15`.
    pub r14: u64,
    /// See `r15`.
    pub r13: u64,
    /// See `r15`.
    pub r12: u64,
    /// See `r15`.
    pub rbx: u64,
    /// The frame pointer.
    pub rbp: u64,
    /// Where it goes on.
    pub rip: u64,
}

/// The platform's `switch`.
pub fn switch(from: &'static Kthread, to: &'static Kthread) {
    // SAFETY: the kernel holds both threads' `t_lock`: `from` is the running context, and `to.t_sp` was stored by
    // this function or by `thread_init` and has not been continued since.
    unsafe { switch_context(&from.t_sp, to.t_sp.get()) };
}

/// Saves the running context, its stack pointer into `save`, and continues the one at `load`.
///
/// # Safety
/// `load` is a saved context that no other CPU continues.
#[unsafe(naked)]
unsafe extern "C" fn switch_context(save: &AtomicUsize, load: usize) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Writes the return addresses on the current thread's stack, the innermost first, and returns how many: it follows the frame pointers,
/// which the image is compiled with.
#[inline(never)]
pub fn pcstack(out: &mut [usize]) -> usize {
    let t = umpire_kernel::platform::curthread();
    // A frame is two words: where the caller's begins, and the return address.
    let stack = t.t_stkbase.get()..t.t_stk.get().saturating_sub(2 * size_of::<usize>());
    let mut frame: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    let mut depth = 0;
    while depth < out.len() && stack.contains(&frame) && frame.is_multiple_of(size_of::<usize>()) {
        // SAFETY: both words are on the current thread's stack, which is mapped, and which nobody else writes.
        let [caller, address] = unsafe { ptr::read(ptr::with_exposed_provenance::<[usize; 2]>(frame)) };
        if address == 0 {
            break;
        }
        out[depth] = address;
        depth += 1;
        // Callers' frames are above; anything else is no frame.
        if caller <= frame {
            break;
        }
        frame = caller;
    }
    depth
}

/// An idle thread is running on its stack already, so it gets its bounds only. Any other thread gets a context
/// that begins at `thread_start`, as if called from nowhere: rbp and the return address are 0.
pub fn thread_init(t: &'static Kthread) {
    let stack = stack::stack(t.t_stack_slot);
    t.t_stkbase.set(stack.start as usize);
    t.t_stk.set(stack.end as usize);
    if t.t_stack_slot < umpire_kernel::platform::kernel().k_ncpus {
        return;
    }
    // A return address of 0 on top, and 16-byte alignment before the call that never was.
    let sp = stack.end as usize - size_of::<u64>() - size_of::<Context>();
    let start: fn() -> ! = thread_start;
    let context = Context { rip: start as usize as u64, ..Context::default() };
    // SAFETY: the slot's stack is mapped, and no CPU runs on it yet: a thread is made once, before it first runs.
    unsafe { ptr::write(ptr::with_exposed_provenance_mut(sp), context) };
    // Release: another CPU that continues the thread sees the context.
    t.t_sp.store(sp, Ordering::Release);
}
