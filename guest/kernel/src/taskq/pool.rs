//! The threads of task queues, and of parts of the kernel that have one: `thread_create` and `lwp_kernel_create` at run time, from those
//! that boot has set aside.
//!
//! # Invariants
//! - `tp_lock` guards which threads are free, and nothing else is locked under it.
//! - A thread that ends puts itself last among the free ones and then becomes a zombie. Who creates the next thread takes the first
//!   zombie whose context nobody uses any more: so no stack is begun anew while a CPU is still on it.

use alloc::boxed::Box;
use core::sync::atomic::AtomicU32;

use super::{Taskq, TaskqEnt, tqflag};
use crate::cell::Cell;
use crate::disp::setrun;
use crate::platform;
use crate::sync::{Mutex, mutex_enter, mutex_exit};
use crate::sys::thread::{Start, role, ts};
use crate::sys::{Cpu, Kthread};
use crate::thread::{SystemThread, system_thread_create};
use umpire_shared::{NAME_LEN, roster};

/// Threads that are not in use, or were.
#[repr(C)]
#[derive(Debug)]
pub struct Pool {
    /// Guards what follows.
    pub tp_lock: Mutex,
    /// Free threads.
    pub tp_nfree: AtomicU32,
    /// Number of the first thread of the pool.
    pub tp_first: u32,
    /// The numbers of the free ones, a ring.
    tp_free: Box<[AtomicU32]>,
    /// Where the first of them is.
    tp_head: AtomicU32,
}

/// A thread of the pool.
pub type PoolThread = &'static Kthread;

/// Where a queue has its threads from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Threads {
    /// From those that boot has set aside for queues.
    OfPool,
    /// They are the CPU's callout threads, and there are no others.
    OfCpu(&'static Cpu),
}

impl Threads {
    /// The CPU that they are there for.
    pub(super) fn cpu(self) -> Option<&'static Cpu> {
        match self {
            Threads::OfPool => None,
            Threads::OfCpu(cp) => Some(cp),
        }
    }
}

/// What a thread is for.
pub(super) struct NewThread {
    /// The queue.
    pub tq: &'static Taskq,
    /// The entry of a bucket's thread.
    pub ent: Option<&'static TaskqEnt>,
    /// Where it begins.
    pub start: &'static Start,
}

impl Pool {
    /// Threads from number `first` on, all free.
    pub fn new(first: u32, n: u32) -> Pool {
        Pool {
            tp_lock: Mutex::new(),
            tp_nfree: AtomicU32::new(n),
            tp_first: first,
            tp_free: (first..first + n).map(AtomicU32::new).collect(),
            tp_head: AtomicU32::new(0),
        }
    }

    /// True if there are no threads at all.
    pub fn is_empty(&self) -> bool {
        self.tp_free.is_empty()
    }
}

/// Gives each thread a lock: whoever looks at all threads locks those too that are free. At boot.
pub(super) fn init() {
    let kernel = platform::kernel();
    for n in &kernel.k_taskq.pool.tp_free {
        kernel.k_threads[n.get() as usize].t_lockp.set(Some(&kernel.stop_lock));
    }
}

/// Sets up a thread of the queue's name, priority and class, and leaves it stopped. `None` if there is none left.
pub(super) fn thread_create(new: &NewThread) -> Option<PoolThread> {
    let tq = new.tq;
    let own = tq.tq_cpu.get();
    let t = match own {
        None => take()?,
        Some(cp) => of_cpu(tq, cp),
    };
    let mut name = [0; NAME_LEN];
    let what = SystemThread {
        role: if own.is_some() { role::CALLOUT } else { role::TASKQ },
        name: tq.name(&mut name),
        pri: tq.tq_pri.get(),
        duty_cycle: tq.has(tqflag::DUTY_CYCLE).then(|| tq.tq_dc.get() as i32),
        start: new.start,
    };
    t.t_taskq.set(Some(tq));
    t.t_taskq_ent.set(new.ent);
    system_thread_create(t, &what, None);
    let cp = own.unwrap_or(platform::cpu());
    t.t_cpu.set(Some(cp));
    t.t_disp_queue.set(Some(&cp.cpu_disp));
    Some(t)
}

/// Begins a thread of the kernel's own, in class SYS, which runs `start` and serves no queue (`lwp_kernel_create`).
///
/// # Panics
/// If no thread is left.
pub fn lwp_kernel_create(name: &str, pri: i32, start: &'static Start) {
    let t = take().unwrap_or_else(|| panic!("lwp_kernel_create: no thread left for {name}"));
    let what = SystemThread { role: role::DAEMON, name, pri, duty_cycle: None, start };
    system_thread_create(t, &what, None);
    setrun(t);
}

/// The current thread ends next.
pub(super) fn leave() {
    let pool = &platform::kernel().k_taskq.pool;
    let t = platform::curthread();
    t.t_taskq.set(None);
    t.t_taskq_ent.set(None);
    mutex_enter(&pool.tp_lock);
    put(pool, t.t_did);
    mutex_exit(&pool.tp_lock);
}

/// The next of the threads that are there for a CPU: a queue begins one at a time, and ends none.
fn of_cpu(tq: &Taskq, cp: &Cpu) -> PoolThread {
    let kernel = platform::kernel();
    let n = roster::callout_thread(kernel.k_ncpus, kernel.roster_threads(), cp.cpu_id, tq.tq_nthreads.get());
    &kernel.k_threads[n as usize]
}

/// Takes the first free thread that has ended altogether, or never began.
fn take() -> Option<PoolThread> {
    let kernel = platform::kernel();
    let pool = &kernel.k_taskq.pool;
    mutex_enter(&pool.tp_lock);
    let mut found = None;
    for _ in 0..pool.tp_nfree.get() {
        let n = pool.tp_free[pool.tp_head.get() as usize].get();
        pool.tp_head.set((pool.tp_head.get() + 1) % pool.tp_free.len() as u32);
        pool.tp_nfree.set(pool.tp_nfree.get() - 1);
        let t = &kernel.k_threads[n as usize];
        if matches!(t.t_state.get(), ts::FREE | ts::ZOMB) && t.try_claim_context() {
            t.release_context();
            // What the reaper does of a thread that has ended (`thread_free`): nobody's, as a new one is.
            t.t_state.set(ts::FREE);
            found = Some(t);
            break;
        }
        put(pool, n);
    }
    mutex_exit(&pool.tp_lock);
    found
}

/// Puts a number last. Called with `tp_lock`.
fn put(pool: &Pool, n: u32) {
    let at = (pool.tp_head.get() + pool.tp_nfree.get()) % pool.tp_free.len() as u32;
    pool.tp_free[at as usize].set(n);
    pool.tp_nfree.set(pool.tp_nfree.get() + 1);
}
