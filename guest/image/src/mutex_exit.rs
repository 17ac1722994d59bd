//! The critical section of `mutex_exit`: a look at the owner's word and a plain store, where an exchange would take three times as
//! long.
//!
//! # Invariants
//! - For the CPU that executes it, it is one step: an interrupt that comes after the look and before the store goes back to the look
//!   (`event_entry`). Until the store it changes nothing but flags, so it can be begun any number of times.
//! - Another CPU's change between look and store is lost: `sync/mutex.rs` of the kernel says why nobody relies on it.
#![allow(unsafe_code)]

use core::arch::{asm, global_asm};
use core::sync::atomic::AtomicUsize;

global_asm!(
    r"
    .globl mutex_exit_begin
    .globl mutex_exit_end
    .balign 16
mutex_exit_begin:
    cmp [rdi], rsi
    jne mutex_exit_end
    mov qword ptr [rdi], 0
mutex_exit_end:
    sete al
    ret
    ",
);

/// The platform's `drop_owner`.
#[inline(always)]
pub fn drop_owner(word: &AtomicUsize, owner: usize) -> bool {
    let is_dropped: u8;
    // SAFETY: the code above reads and writes the word, which lives as long as the reference and may be changed by anybody, and
    // returns; it changes rax and flags alone, and uses the stack for its return address: the kernel has no red zone. On x86 the
    // plain store is a release, and not being `nomem` the block is a barrier for the compiler.
    unsafe {
        asm!("call mutex_exit_begin", in("rdi") word.as_ptr(), in("rsi") owner, lateout("al") is_dropped);
    }
    is_dropped != 0
}
