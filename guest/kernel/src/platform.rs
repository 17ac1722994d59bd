//! Everything that the kernel asks of a machine, bound at link time so that it costs nothing.
//!
//! A platform crate defines the `umpire_*` functions below with `#[unsafe(no_mangle)]`.
//! `guest/image` does so for x86-64 over the ring-0 gate, `guest/sim` for a simulated machine.
//!
//! # Invariants
//! - `cpu()` may be stale as soon as it returns unless the caller cannot be moved: at `DISP_LEVEL` or
//!   above, or with `t_preempt` raised, or bound. `curthread()` is always right.
//! - An interrupt of a level at or below the CPU's priority level is not delivered; it is pending.
//!   Lowering the level delivers nothing by itself: [`crate::intr::spl::splx`] asks for what is pending.
//! - `halt` is called at level 15 and returns when something is pending: the check and the halt are one step.
// The declarations are this crate's half of a contract that each platform crate signs with its definitions;
// every function is `safe`, so that no caller needs `unsafe`.
#![allow(unsafe_code)]

use core::fmt;

use crate::{Cpu, Kernel, Kthread};
use umpire_shared::event::Kind;

// SAFETY: each platform crate defines these with exactly these signatures and asks nothing of the caller.
unsafe extern "Rust" {
    safe fn umpire_kernel() -> &'static Kernel;
    safe fn umpire_cpu() -> &'static Cpu;
    safe fn umpire_curthread() -> &'static Kthread;
    safe fn umpire_set_curthread(t: &'static Kthread);
    safe fn umpire_now() -> u64;
    safe fn umpire_timer(deadline_ns: u64);
    safe fn umpire_poke(cpu: u32);
    safe fn umpire_xcall(cpu: u32);
    safe fn umpire_thread_init(t: &'static Kthread);
    safe fn umpire_switch(from: &'static Kthread, to: &'static Kthread);
    safe fn umpire_thread_main(t: &'static Kthread);
    safe fn umpire_halt();
    safe fn umpire_pil() -> u32;
    safe fn umpire_set_pil(pil: u32);
    safe fn umpire_swap_pil(pil: u32) -> u32;
    safe fn umpire_post(pil: u32);
    safe fn umpire_pending() -> u32;
    safe fn umpire_take_pending(above: u32) -> u32;
    safe fn umpire_relax();
    safe fn umpire_interleave();
    safe fn umpire_spin(ns: u64);
    safe fn umpire_event(now: u64, kind: Kind, t: &Kthread, arg: u64);
    safe fn umpire_console(text: fmt::Arguments<'_>);
    safe fn umpire_stop(reason: u32, message: fmt::Arguments<'_>) -> !;
}

/// The kernel that the calling code belongs to.
#[inline(always)]
pub fn kernel() -> &'static Kernel {
    umpire_kernel()
}

/// The CPU that the calling code runs on.
#[inline(always)]
pub fn cpu() -> &'static Cpu {
    umpire_cpu()
}

/// The thread that runs here.
#[inline(always)]
pub fn curthread() -> &'static Kthread {
    umpire_curthread()
}

/// Tells the platform which thread runs here from now on; called at `DISP_LEVEL` or above.
#[inline(always)]
pub fn set_curthread(t: &'static Kthread) {
    umpire_set_curthread(t);
}

/// `gethrtime`: nanoseconds since boot, the same on every CPU, never going back on one.
#[inline(always)]
pub fn now() -> u64 {
    umpire_now()
}

/// Arms this CPU's one-shot timer for an absolute time in ns (interrupt at level 14); `u64::MAX` disarms it.
/// A deadline in the past fires at once.
#[inline(always)]
pub fn timer(deadline_ns: u64) {
    umpire_timer(deadline_ns);
}

/// Sends the poke interrupt (level 11) to a CPU, the caller's own included.
#[inline(always)]
pub fn poke(cpu: u32) {
    umpire_poke(cpu);
}

/// Sends the interrupt of a cross call (level 13) to a CPU, the caller's own included.
#[inline(always)]
pub fn xcall(cpu: u32) {
    umpire_xcall(cpu);
}

/// Prepares a thread so that the first switch to it calls [`crate::thread::thread_start`] on its own stack.
pub fn thread_init(t: &'static Kthread) {
    umpire_thread_init(t);
}

/// Saves the caller's context in `from` and continues `to` where it stopped. Returns when somebody
/// switches back to `from`, perhaps on another CPU. Called at `DISP_LEVEL` or above, with both threads'
/// `t_lock` held.
#[inline(always)]
pub fn switch(from: &'static Kthread, to: &'static Kthread) {
    umpire_switch(from, to);
}

/// Runs what a scenario wants thread `t` to do; returns when it is done.
pub fn thread_main(t: &'static Kthread) {
    umpire_thread_main(t);
}

/// Stops this CPU until an interrupt is pending. The level is 15.
#[inline(always)]
pub fn halt() {
    umpire_halt();
}

/// This CPU's priority level.
#[inline(always)]
pub fn pil() -> u32 {
    umpire_pil()
}

/// Sets this CPU's priority level; delivers nothing.
#[inline(always)]
pub fn set_pil(pil: u32) {
    umpire_set_pil(pil);
}

/// Sets this CPU's priority level and returns the old one, in one step.
#[inline(always)]
pub fn swap_pil(pil: u32) -> u32 {
    umpire_swap_pil(pil)
}

/// Makes a software interrupt of this level pending on this CPU.
#[inline(always)]
pub fn post(pil: u32) {
    umpire_post(pil);
}

/// The levels that are pending here, bit `n` for level `n`.
#[inline(always)]
pub fn pending() -> u32 {
    umpire_pending()
}

/// Takes the highest pending level above `above`, 0 if there is none, and acknowledges it.
#[inline(always)]
pub fn take_pending(above: u32) -> u32 {
    umpire_take_pending(above)
}

/// One turn of a loop that waits for another CPU.
#[inline(always)]
pub fn relax() {
    umpire_relax();
}

/// A place where another CPU's step may come in between. Costs nothing on hardware, where that can be
/// anywhere; the simulator draws one of its choices here.
#[inline(always)]
pub fn interleave() {
    umpire_interleave();
}

/// Computes for so many ns of this CPU's time, interruptibly.
#[inline(always)]
pub fn spin(ns: u64) {
    umpire_spin(ns);
}

/// Records a scheduler event of time `now`; [`crate::probe`] has checked that somebody wants it, and at which level.
#[inline(always)]
pub fn event(now: u64, kind: Kind, t: &Kthread, arg: u64) {
    umpire_event(now, kind, t, arg);
}

/// Appends to the console.
pub fn console(text: fmt::Arguments<'_>) {
    umpire_console(text);
}

/// Writes the epitaph and stops the machine. `reason` is one of [`umpire_shared::boot::reason`].
pub fn stop(reason: u32, message: fmt::Arguments<'_>) -> ! {
    umpire_stop(reason, message)
}
