//! The root: every piece of kernel state hangs off one [`Kernel`].
//!
//! # Invariants
//! - Arenas are sized at boot and never grow; an object keeps its address.
//! - `k_threads` holds the idle threads first, one a CPU, then the scenario's threads in its order.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64};

use crate::cell::Cell;
use crate::class::ts::TsQueue;
use crate::cpu::{Cpu, Cpupart};
use crate::intr::device::Device;
use crate::lock::DispLock;
use crate::mailbox::Mailbox;
use crate::sync::{Mutex, SleepQueue};
use crate::thread::Kthread;
use crate::time::callout::CalloutTable;
use umpire_shared::tunable::COUNT;

/// "KERNEL!!", so that a reader that was led astray notices.
pub const KERNEL_MAGIC: u64 = u64::from_le_bytes(*b"KERNEL!!");

/// One kernel.
#[repr(C)]
#[derive(Debug)]
pub struct Kernel {
    /// `KERNEL_MAGIC`.
    pub k_magic: u64,
    /// CPUs: `ncpus`.
    pub k_ncpus: u32,
    /// Scenario threads, idle threads not counted.
    pub k_nthreads: u32,
    /// `cpu[]`.
    pub k_cpus: Box<[Cpu]>,
    /// Idle threads, then scenario threads.
    pub k_threads: Box<[Kthread]>,
    /// `cp_default`, the only partition so far.
    pub k_cpupart: Cpupart,
    /// Sleep queues, hashed by the address slept on.
    pub k_sleepq: Box<[SleepQueue]>,
    /// Interrupt sources of the scenario.
    pub k_devices: Box<[Device]>,
    /// Packet queues, one a scenario thread.
    pub k_mailboxes: Box<[Mailbox]>,
    /// Mutexes for the workload `lock_mix`.
    pub k_work_locks: [Mutex; 16],
    /// Timeouts in ticks.
    pub k_callout: CalloutTable,
    /// Threads of class TS, for `ts_update`.
    pub k_ts: TsQueue,

    /// The lock of threads in transition; always held.
    pub transition_lock: DispLock,
    /// The lock of stopped threads.
    pub stop_lock: DispLock,

    /// Tunables by number, as the scenario set them.
    pub k_tunables: [AtomicI64; COUNT],
    /// `kpreemptpri` after dispinit.
    pub kpreemptpri: AtomicI32,
    /// `kpqpri` after dispinit.
    pub kpqpri: AtomicI32,
    /// `upreemptpri`.
    pub upreemptpri: AtomicI32,
    /// `v.v_nglobpris`: dispatcher levels in use.
    pub v_nglobpris: AtomicI32,
    /// `hz`.
    pub hz: AtomicU32,
    /// Bits of [`umpire_shared::mutant`].
    pub k_mutants: AtomicU64,
    /// Non-zero if scheduler events are wanted.
    pub k_trace: AtomicU32,

    /// Ticks since boot.
    pub lbolt: AtomicU64,
    /// Times that `clock()` ran.
    pub k_clock_ticks: AtomicU64,
    /// Bumped by `clock()` once a second (`clock.c`).
    pub deadman_counter: AtomicU32,
    /// Times that the in-guest deadman fired or would have fired (`clock.c`).
    pub deadman_panics: AtomicU32,
    /// The CPU whose timer drives `clock()`.
    pub k_clock_cpu: AtomicU32,
    /// Accumulated once a second by `clock()`: threads on run queues.
    pub k_runque: AtomicU64,
}

impl Kernel {
    /// The value of a tunable, by number.
    pub fn tunable(&self, n: usize) -> i64 {
        self.k_tunables[n].get()
    }

    /// True if this kernel is the given mutant.
    #[inline(always)]
    pub fn is_mutant(&self, bit: u64) -> bool {
        self.k_mutants.get() & bit != 0
    }

    /// The scenario's threads, in its order.
    pub fn scenario_threads(&self) -> &[Kthread] {
        &self.k_threads[self.k_ncpus as usize..]
    }

    /// Where in the kernel's memory an address is, as a number that does not depend on where that memory lies: what is
    /// hashed by address then collides with the same others in every simulation of the same kernel.
    #[inline(always)]
    pub fn place_of(&self, addr: usize) -> usize {
        let arenas = [
            (self.k_mailboxes.as_ptr().addr(), size_of_val(&*self.k_mailboxes)),
            (core::ptr::from_ref(self).addr(), size_of::<Kernel>()),
            (self.k_threads.as_ptr().addr(), size_of_val(&*self.k_threads)),
        ];
        let mut before = 0;
        for (base, len) in arenas {
            let offset = addr.wrapping_sub(base);
            if offset < len {
                return before + offset;
            }
            before += len;
        }
        addr
    }

    /// The mailbox of a scenario thread.
    pub fn mailbox_of(&self, t: &Kthread) -> &Mailbox {
        &self.k_mailboxes[(t.t_did - self.k_ncpus) as usize]
    }
}
