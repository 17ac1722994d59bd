//! The root: where the kernel's state begins, for the platform and for a reader outside the guest.
//!
//! # Invariants
//! - `UMPIRE_KERNEL_ROOT` is set once, by CPU 0, before any other CPU or thread runs kernel code.
//! - Every structure that is looked at from outside is named here, so that it is in the debug information.
#![allow(unsafe_code)]

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::switch::Context;
use crate::words::{self, GateWords};
use umpire_kernel::{Cpu, Kernel, Kthread};
use umpire_shared::boot::{BootBlock, ConsoleRing, Epitaph};
use umpire_shared::event::EventRing;

/// The kernel, null before there is one. The debugger's way in.
#[unsafe(no_mangle)]
static UMPIRE_KERNEL_ROOT: AtomicPtr<Kernel> = AtomicPtr::new(ptr::null_mut());

/// Never read: it keeps the types of its fields in the debug information.
#[used]
static UMPIRE_INSPECTED: Inspected = Inspected {
    kernel: None,
    cpu: None,
    thread: None,
    context: None,
    boot_block: None,
    epitaph: None,
    console: None,
    events: None,
    words: AtomicPtr::new(ptr::null_mut()),
};

#[expect(dead_code, reason = "named for the debug information only")]
struct Inspected {
    kernel: Option<&'static Kernel>,
    cpu: Option<&'static Cpu>,
    thread: Option<&'static Kthread>,
    context: Option<&'static Context>,
    boot_block: Option<&'static BootBlock>,
    epitaph: Option<&'static Epitaph>,
    console: Option<&'static ConsoleRing>,
    events: Option<&'static EventRing>,
    words: AtomicPtr<GateWords>,
}

/// Publishes the kernel.
pub fn set(kernel: &'static Kernel) {
    // Release: a reader that finds the kernel finds it complete.
    UMPIRE_KERNEL_ROOT.store(ptr::from_ref(kernel).cast_mut(), Ordering::Release);
}

/// The thread that owns a stack slot, if there is a kernel that knows it.
pub fn thread_of_slot(slot: u32) -> Option<&'static Kthread> {
    let kernel = UMPIRE_KERNEL_ROOT.load(Ordering::Acquire);
    // SAFETY: null or what `set` stored, a reference for good.
    let kernel = unsafe { kernel.as_ref() }?;
    kernel.k_threads.iter().find(|t| t.t_stack_slot == slot)
}

/// The platform's `kernel`.
#[inline(always)]
pub fn kernel() -> &'static Kernel {
    let kernel = UMPIRE_KERNEL_ROOT.load(Ordering::Relaxed);
    // SAFETY: kernel code runs only after `set`, which CPU 0 did before it released the other CPUs (`start.rs`).
    unsafe { &*kernel }
}

/// The platform's `cpu`.
#[inline(always)]
pub fn cpu() -> &'static Cpu {
    // SAFETY: kernel code runs only after the CPU's word was set, to a reference for good (`start.rs`).
    unsafe { &*words::cpu() }
}

/// The platform's `curthread`.
#[inline(always)]
pub fn curthread() -> &'static Kthread {
    // SAFETY: as in `cpu`; the kernel keeps it up to date with references for good.
    unsafe { &*words::curthread() }
}

/// The platform's `set_curthread`.
#[inline(always)]
pub fn set_curthread(t: &'static Kthread) {
    words::set_curthread(t);
}
