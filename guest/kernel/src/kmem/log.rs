//! The log of transactions: who had a buffer last, and on which way it got there (`kmem.c kmem_log_enter`, `kmem_transaction_log`).
//!
//! # Invariants
//! - There is one with [`kmf::AUDIT`] alone. It is a ring: an entry is overwritten by the transaction [`ENTRIES`] later, and then its
//!   buffer's stack is not known any more.
//! - Each transaction takes a number of its own, and with it a place in the ring: two CPUs write two entries. A reader compares the
//!   number, so that it never takes one transaction's stack for another's.

use alloc::boxed::Box;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::kmf;
use crate::cell::Cell;
use crate::platform;

/// Return addresses that are kept of a transaction (`KMEM_STACK_DEPTH`).
pub const KMEM_STACK_DEPTH: usize = 15;
/// Transactions that are kept.
const ENTRIES: u32 = 1024;

/// The log.
#[repr(C)]
#[derive(Debug)]
pub struct KmemLog {
    /// Transactions so far.
    pub kl_count: AtomicU32,
    /// The last of them.
    pub kl_entries: Box<[KmemLogEntry]>,
}

/// One transaction.
#[repr(C)]
#[derive(Debug)]
pub struct KmemLogEntry {
    /// Its number, from 1 on; 0 for none.
    pub bc_number: AtomicU32,
    /// Return addresses in [`bc_stack`](KmemLogEntry::bc_stack).
    pub bc_depth: AtomicU32,
    /// Where the thread came from, the innermost first.
    pub bc_stack: [AtomicUsize; KMEM_STACK_DEPTH],
}

impl KmemLog {
    /// An empty log for a kernel with these `kmem_flags`.
    pub(super) fn new(flags: u32) -> KmemLog {
        let entries = if flags & kmf::AUDIT != 0 { ENTRIES } else { 0 };
        let entry = |_| KmemLogEntry {
            bc_number: AtomicU32::new(0),
            bc_depth: AtomicU32::new(0),
            bc_stack: Default::default(),
        };
        KmemLog { kl_count: AtomicU32::new(0), kl_entries: (0..entries).map(entry).collect() }
    }

    /// Notes where the current thread is, and returns the transaction's number.
    pub(super) fn enter(&self) -> u32 {
        let number = self.kl_count.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(entry) = self.at(number) else { return 0 };
        let mut stack = [0; KMEM_STACK_DEPTH];
        let depth = platform::pcstack(&mut stack);
        entry.bc_number.set(0);
        for (to, from) in entry.bc_stack.iter().zip(stack) {
            to.set(from);
        }
        entry.bc_depth.set(depth as u32);
        entry.bc_number.set(number);
        number
    }

    /// The stack of a transaction.
    pub(super) fn stack(&self, number: u32) -> Stack<'_> {
        Stack(self.at(number).filter(|entry| number != 0 && entry.bc_number.get() == number))
    }

    fn at(&self, number: u32) -> Option<&KmemLogEntry> {
        let n = self.kl_entries.len() as u32;
        (n != 0).then(|| &self.kl_entries[(number % n) as usize])
    }
}

/// A stack, as a message has it.
pub(super) struct Stack<'l>(Option<&'l KmemLogEntry>);

impl fmt::Display for Stack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(entry) = self.0 else { return f.write_str("not known any more") };
        let depth = entry.bc_depth.get() as usize;
        if depth == 0 {
            return f.write_str("kept by the platform to itself");
        }
        for (n, at) in entry.bc_stack.iter().take(depth).enumerate() {
            write!(f, "{}{:#x}", if n == 0 { "" } else { " " }, at.get())?;
        }
        Ok(())
    }
}
