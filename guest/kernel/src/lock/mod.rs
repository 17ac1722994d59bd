//! The primitives below the dispatcher: its spin lock, and pointers that several CPUs share.
//!
//! # Invariants
//! - This module and `platform.rs` are the only ones of the kernel with `unsafe` in them.
//! - A lock word is its own generation: odd while held, even when free, one step a transition.

mod disp_lock;
mod enter;
mod owner;
mod ptr;
mod thread_lock;

pub use disp_lock::DispLock;
pub use enter::{disp_lock_enter, disp_lock_exit_nopreempt};
pub use owner::{OwnerWord, RwWord, rw};
pub use ptr::SharedPtr;
pub use thread_lock::{thread_lock, thread_lock_high, thread_unlock_high, thread_unlock_nopreempt};
