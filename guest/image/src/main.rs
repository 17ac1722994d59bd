//! The bootable guest: the ring-0 gate, and the x86-64 platform that the kernel runs on.
//!
//! The kernel runs at CPL 3 with interrupts always enabled. The gate, a page of assembly, is all there is in
//! ring 0: a software KVM emulates every instruction there. Masking is a word in memory, as `spl` is.
//!
//! | file | what |
//! |---|---|
//! | `gate.rs` | ring 0: what to do with an interrupt, a fault, a `hlt` |
//! | `platform.rs` | which function here is which of the kernel's platform |
//! | `words.rs` | the per-CPU words that gate and kernel share |
//! | `level.rs` | the priority level, and what is pending |
//! | `event.rs` | an interrupt's way through the kernel |
//! | `mutex_exit.rs` | its critical section, which is begun anew if it is interrupted |
//! | `fault.rs` | a fault's way to the epitaph |
//! | `apic.rs` | timer, pokes, acknowledgement |
//! | `time.rs` | the clock |
//! | `switch.rs`, `stack.rs` | contexts and their stacks |
//! | `console.rs`, `event_ring.rs`, `epitaph.rs` | what is written for the host |
//! | `heap.rs`, `root.rs`, `start.rs` | boot |
//!
//! # Invariants
//! - All assembly of the guest is in this crate.
//! - Nothing here decides anything about scheduling; this crate does what the kernel asks of it.
//! - On any other target than bare metal this is an empty program, so that the workspace builds as a whole.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod apic;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod epitaph;
#[cfg(target_os = "none")]
mod event;
#[cfg(target_os = "none")]
mod event_ring;
#[cfg(target_os = "none")]
mod fault;
#[cfg(target_os = "none")]
mod gate;
#[cfg(target_os = "none")]
mod heap;
#[cfg(target_os = "none")]
mod level;
#[cfg(target_os = "none")]
mod mutex_exit;
#[cfg(target_os = "none")]
mod platform;
#[cfg(target_os = "none")]
mod root;
#[cfg(target_os = "none")]
mod stack;
#[cfg(target_os = "none")]
mod start;
#[cfg(target_os = "none")]
mod switch;
#[cfg(target_os = "none")]
mod time;
#[cfg(target_os = "none")]
mod words;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!(
        "umpire-image is a guest: build it with --target x86_64-unknown-none, and let `umpire` boot it"
    );
}
