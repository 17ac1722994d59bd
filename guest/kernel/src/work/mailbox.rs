//! Packet queues of worker threads: a count, a mutex and a condition variable, as a soft ring or an squeue has.
//!
//! # Invariants
//! - Interrupt handlers never wait here: they count packets with one atomic and signal; the worker takes the count before
//!   it looks whether to sleep.
//! - No packet is lost. The worker announces itself and then looks at the packets once more, under the lock of its sleep queue; at
//!   least one of the two sees what the other wrote:
//!
//! ```text
//!   worker, in mailbox_wait            an interrupt handler, in post
//!   takes the packets: there are none
//!   locks the sleep queue
//!   mb_waiting = 1    (SeqCst)          mb_packets += n          (SeqCst)
//!   mb_packets? -> none: sleeps         mb_waiting? -> 1: locks the sleep queue,
//!                                         finds the worker there, wakes it
//! ```

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::cell::Cell;
use crate::disp::{disp_lock_exit, swtch, thread_unlock};
use crate::lock::{disp_lock_enter, disp_lock_exit_nopreempt, thread_unlock_nopreempt};
use crate::platform;
use crate::sync::{Condvar, Mutex, sleepq};
use crate::sys::Kthread;
use crate::sys::thread::sobj;

/// No device feeds this mailbox.
pub const NO_SOURCE: u32 = u32::MAX;

/// One worker's packets.
#[repr(C)]
#[derive(Debug)]
pub struct Mailbox {
    /// Packets waiting.
    pub mb_packets: AtomicU32,
    /// Device whose packets come here, [`NO_SOURCE`] if none.
    pub mb_source: AtomicU32,
    /// Non-zero while the worker sleeps here.
    pub mb_waiting: AtomicU32,
    /// Packets ever taken.
    pub mb_taken: AtomicU64,
    /// What a pair of threads that pass a ball needs.
    pub mb_table: Table,
}

/// What two threads that pass a ball through condition variables share.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Table {
    /// Guards `tb_turn`.
    pub tb_lock: Mutex,
    /// The thread whose turn it is: 0 or 1.
    pub tb_turn: AtomicU32,
    /// What each of the two waits on.
    pub tb_cv: [Condvar; 2],
}

impl Mailbox {
    /// An empty mailbox.
    pub fn new() -> Mailbox {
        Mailbox {
            mb_packets: AtomicU32::new(0),
            mb_source: AtomicU32::new(NO_SOURCE),
            mb_waiting: AtomicU32::new(0),
            mb_taken: AtomicU64::new(0),
            mb_table: Table::default(),
        }
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Mailbox::new()
    }
}

/// The mailbox of a scenario thread.
pub fn mailbox_of(t: &Kthread) -> &'static Mailbox {
    let kernel = platform::kernel();
    &kernel.k_work.mailboxes[(t.t_did - kernel.k_ncpus) as usize]
}

/// Device `source` brought so many packets: puts them into its listeners' mailboxes.
pub fn deliver(source: usize, packets: u32) {
    for mb in platform::kernel().k_work.mailboxes.iter() {
        if mb.mb_source.get() == source as u32 {
            post(mb, packets);
        }
    }
}

/// Puts packets into a mailbox and wakes its worker. From any level up to `DISP_LEVEL`, at which its locks are held, interrupt handlers
/// included.
pub fn post(mb: &'static Mailbox, packets: u32) {
    // SeqCst: see the picture in the invariants.
    mb.mb_packets.fetch_add(packets, Ordering::SeqCst);
    platform::interleave();
    if mb.mb_waiting.load(Ordering::SeqCst) == 0 {
        return;
    }
    let wchan = core::ptr::from_ref(mb) as usize;
    let sq = sleepq::hash(wchan);
    disp_lock_enter(&sq.sq_lock);
    mb.mb_waiting.set(0);
    match sleepq::wake_one(sq, wchan) {
        Some(t) => thread_unlock(t),
        None => disp_lock_exit(&sq.sq_lock),
    }
}

/// Takes every packet of a mailbox, sleeping until there is one. Only its worker calls this.
#[inline(never)]
pub fn mailbox_wait(mb: &'static Mailbox) -> u32 {
    let t = platform::curthread();
    let wchan = core::ptr::from_ref(mb) as usize;
    loop {
        let packets = mb.mb_packets.swap(0, Ordering::AcqRel);
        if packets != 0 {
            mb.mb_taken.set(mb.mb_taken.get() + u64::from(packets));
            return packets;
        }
        let sq = sleepq::hash(wchan);
        disp_lock_enter(&sq.sq_lock);
        mb.mb_waiting.store(1, Ordering::SeqCst);
        platform::interleave();
        if mb.mb_packets.load(Ordering::SeqCst) != 0 {
            mb.mb_waiting.set(0);
            disp_lock_exit_nopreempt(&sq.sq_lock);
            continue;
        }
        sleepq::sleep_on(t, sq, wchan, sobj::CV);
        thread_unlock_nopreempt(t);
        swtch();
    }
}
