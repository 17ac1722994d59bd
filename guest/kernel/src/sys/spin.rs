//! What a CPU waits for without giving itself up: a lock that another CPU holds, an answer that another CPU owes.
//!
//! Nobody in the kernel reads these words. They are for whoever looks on from outside: a CPU that waits for another gets nothing
//! done, and if the other's virtual CPU is kept from running by the host, that is not the guest's doing.
//!
//! # Invariants
//! - They are written only by a CPU that waits: a wait begins with its first turn, so a lock that is free, or one that its finder goes
//!   to sleep for, costs nothing.
//! - Each turn of a wait writes them anew, on the CPU where the turn is. So a wait that an interrupt handler's own wait was on top
//!   of, or that went on elsewhere because its thread was preempted, corrects itself with its next turn:
//!
//! ```text
//!   thread, at level 0                  interrupt handler
//!   spin_for = its lock
//!                                       spin_for = the handler's lock
//!                                       got it: spin_for = 0
//!   next turn: spin_for = its lock
//! ```
//!   What a preempted thread leaves in `spin_for` stays until the CPU's next wait ends. So `spin_for` means something only while
//!   `spin_ns` grows.
//! - `spin_ns` counts a turn in which the CPU took an interrupt or had another thread for [`MOST_TURN_NS`] at most: the rest of it was
//!   not spent in waiting. A turn that was none of this and took long was lengthened by the host, which may have had the CPU on it
//!   or off it: all of it counts, and whoever looks takes what the CPU ran of it.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::cell::{Cell, Counter};
use crate::lock::DispLock;
use crate::platform;
use crate::sys::Kthread;

/// What a turn that was interrupted counts at most, in ns.
pub const MOST_TURN_NS: u64 = 10_000;

/// A CPU's waits for other CPUs.
#[repr(C)]
#[derive(Debug, Default)]
pub struct CpuSpin {
    /// What it waits for: the address of the lock, or of the word that the other CPU is to change; 0 while it does not.
    pub spin_for: AtomicU64,
    /// The CPUs that can end the wait, a bit each; 0 if that is not known: a dispatcher lock does not name its holder.
    pub spin_cpus: AtomicU64,
    /// Waits that have begun here.
    pub spin_waits: AtomicU64,
    /// ns that all waits took here, the one in progress included up to its last turn.
    pub spin_ns: AtomicU64,
    /// When the last turn ended, in ns of `gethrtime`.
    pub spin_since: AtomicU64,
    /// The CPU's interrupts and switches then. While there has been none more, and `spin_for` says that it waits, it is in the next
    /// turn.
    pub spin_mark: AtomicU64,
}

/// A wait of the calling thread, which begins with the first turn and is over when this is dropped.
#[derive(Debug)]
pub struct Spin {
    what: u64,
    /// The end of the last turn; `None` before the first.
    last: Option<TurnEnd>,
}

/// The end of a turn: when it was, on which CPU, and what that had done by then other than to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TurnEnd {
    at_ns: u64,
    cpu: u32,
    interruptions: u64,
}

impl TurnEnd {
    #[inline]
    fn now() -> TurnEnd {
        let cp = platform::cpu();
        let interruptions = cp.cpu_stats.intr.get().wrapping_add(cp.cpu_stats.pswitch.get());
        TurnEnd { at_ns: platform::now(), cpu: cp.cpu_id, interruptions }
    }

    /// What a turn that began at `before` counts, in ns.
    #[inline]
    fn since(&self, before: &TurnEnd) -> u64 {
        let ns = self.at_ns.saturating_sub(before.at_ns);
        let is_whole = (self.cpu, self.interruptions) == (before.cpu, before.interruptions);
        if is_whole { ns } else { ns.min(MOST_TURN_NS) }
    }
}

impl Spin {
    /// A wait for a dispatcher lock, or a spin mutex's.
    #[inline]
    pub fn for_lock(lock: &DispLock) -> Spin {
        Spin::for_word(lock)
    }

    /// A wait for another CPU to change this word.
    #[inline]
    pub fn for_word<T>(word: &T) -> Spin {
        Spin { what: core::ptr::from_ref(word).addr() as u64, last: None }
    }

    /// One turn, in a wait for nobody knows which CPU.
    #[inline]
    pub fn turn(&mut self) {
        self.turn_for(0);
    }

    /// One turn, in a wait for the CPU where that thread is.
    #[inline]
    pub fn turn_for_thread(&mut self, t: &Kthread) {
        self.turn_for(1 << t.cpu().cpu_id);
    }

    /// One turn, in a wait for these CPUs, a bit each.
    #[inline]
    pub fn turn_for(&mut self, cpus: u64) {
        let spin = &platform::cpu().cpu_spin;
        let before = self.last.unwrap_or_else(|| {
            spin.spin_waits.bump();
            TurnEnd::now()
        });
        spin.spin_cpus.set(cpus);
        spin.spin_for.set(self.what);
        platform::relax();
        let now = TurnEnd::now();
        let turn_ns = now.since(&before);
        self.last = Some(now);
        spin.spin_since.set(now.at_ns);
        spin.spin_mark.set(now.interruptions);
        // Asked for anew: an interrupt may have made this thread leave the CPU. It is the CPU's own counter but for a thread that is
        // preempted between this line and the next, so the addition is one step. Relaxed: it orders nothing.
        platform::cpu().cpu_spin.spin_ns.fetch_add(turn_ns, Ordering::Relaxed);
    }
}

impl Drop for Spin {
    fn drop(&mut self) {
        if self.last.is_some() {
            platform::cpu().cpu_spin.spin_for.set(0);
        }
    }
}
