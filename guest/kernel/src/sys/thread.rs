//! Kernel threads: what a thread is, and its states.
//!
//! # Invariants
//! - `t_state` and `t_lockp` change together, by the functions here, while the old lock is held.
//! - `t_lock` is the token "this thread's context is on a CPU": a CPU that resumes a thread holds it.
//! - `t_cpu` of another thread is only a hint unless that thread is locked.

use core::sync::atomic::{
    AtomicI16, AtomicI32, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use super::class::ClassOps;
use super::sobject::SobjOps;
use crate::cell::Cell;
use crate::class::ClassData;
use crate::lock::{DispLock, SharedPtr};
use crate::sync::{Condvar, Mutex, SleepList, Turnstile, WaitQueue};
use crate::sys::{Cpu, Cpupart, Disp, Lpl};
use crate::taskq::{Taskq, TaskqEnt};
use umpire_shared::NAME_LEN;
pub use umpire_shared::sys::klwp::lwp;
pub use umpire_shared::sys::msacct::lms;
pub use umpire_shared::sys::sobject::sobj;
pub use umpire_shared::sys::thread::{pflag, role, schedflag, tflag, ts};
use umpire_shared::work::{MAX_ARGS, Workload};

mod state;

pub use state::{
    thread_freeintr, thread_onproc, thread_run, thread_sleep, thread_stop, thread_stop_running,
    thread_transition, thread_transition_keeping, thread_wait, thread_zomb,
};

/// Where a thread begins (`thread_create`'s `proc`): what it returns from ends it.
#[derive(Debug)]
pub struct Start(pub fn());

/// `kthread_t`.
///
/// All that matters of a thread on a run queue lies in its first cache line: a queue is walked with one miss a thread.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Kthread {
    /// Next on the run or sleep queue; guarded by that queue's lock.
    pub t_link: SharedPtr<Kthread>,
    /// The run queue it is on, or its CPU's.
    pub t_disp_queue: SharedPtr<Disp>,
    /// Strong binding.
    pub t_bound_cpu: SharedPtr<Cpu>,
    /// Weak binding (`thread_nomigrate`); wins over the strong one.
    pub t_weakbound_cpu: SharedPtr<Cpu>,
    /// `gethrtime` since when it waits for a CPU; 0 if it does not. It keeps it when it is put on another queue or to another place.
    pub t_waitrq: AtomicU64,
    /// One of [`ts`].
    pub t_state: AtomicU32,
    /// Its priority.
    pub t_pri: AtomicI16,
    /// What it inherits, 0 if nothing.
    pub t_epri: AtomicI16,
    /// Its class: [`umpire_shared::program::class`].
    pub t_cid: AtomicU8,
    /// Held while its context is on a CPU.
    pub t_lock: AtomicU8,
    /// Greater than 0: not to be preempted in the kernel.
    pub t_preempt: AtomicU8,
    /// Keeps interrupt return from preempting it recursively.
    pub t_preempt_lk: AtomicU8,
    /// Look for work on the way to user mode.
    pub t_astflag: AtomicU8,
    /// One of [`lwp`].
    pub lwp_state: AtomicU8,
    /// `kpreempt_aggressively()` is in force: the flag that #1532 proposed.
    pub t_aggressive: AtomicU8,
    /// Class work is due on the way to user mode.
    pub t_trapret: AtomicU8,
    /// Bits of [`tflag`].
    pub t_flag: AtomicU16,
    /// Bits of [`schedflag`].
    pub t_schedflag: AtomicU16,
    /// Times that it came onto a CPU. Nothing else writes it, so that it tells one wait from the next.
    pub t_runs: AtomicU32,
    /// The wait in which it was last put before its equals: what `t_runs` was then, plus one. This and the next two are read by
    /// nobody here: they tell an observer who may overtake whom.
    pub t_front_wait: AtomicU32,
    /// Times that it was put before its equals, taken off its queue to be put onto one anew, or came back onto its CPU from under an
    /// interrupt thread, without having waited.
    pub t_moves: AtomicU32,
    /// The level on which it was last put.
    pub t_level: AtomicI16,
    /// The thread's lock: see [`crate::lock::thread_lock`].
    pub t_lockp: SharedPtr<DispLock>,
    /// Where it runs or last ran.
    pub t_cpu: SharedPtr<Cpu>,
    /// The partition that it may run in.
    pub t_cpupart: SharedPtr<Cpupart>,
    /// Its home in that partition: the locality group that it is to run in as long as it can.
    pub t_lpl: SharedPtr<Lpl>,
    /// `lbolt` when it last ran or stopped running.
    pub t_disp_time: AtomicU64,
    /// What it sleeps on, 0 if nothing.
    pub t_wchan: AtomicUsize,
    /// The platform's saved stack pointer while it is not running (`t_pcb`).
    pub t_sp: AtomicUsize,
    /// Kind of `t_wchan`: one of [`sobj`].
    pub t_sobj: AtomicU8,
    /// Nonzero if it was woken by a timeout.
    pub t_timedout: AtomicU8,
    /// Times `thread_nomigrate` was called; below 0 while it holds by disabled preemption.
    pub t_nomigrate: AtomicI16,
    /// Times `thread_affinity_set` was called.
    pub t_affinitycnt: AtomicU16,
    /// Bits of [`crate::cpu::bind::bindflag`].
    pub t_bindflag: AtomicU8,
    /// `lbolt` when a tick was last charged.
    pub t_lbolt: AtomicU64,
    /// State of its class.
    pub t_cldata: ClassData,
    /// Bits of [`pflag`]; guarded by its thread lock.
    pub t_proc_flag: AtomicU16,
    /// Bits of [`crate::class::schedctl::sc`].
    pub t_schedctl: AtomicU8,
    /// Not 0 while its LWP gives the CPU up on the way to user mode: where Solaris has `lwp_state` at `LWP_USER` already.
    /// Only the thread itself reads and writes it.
    pub t_to_user: AtomicU8,
    /// The level to go back to when the thread lock it holds is released.
    pub t_oldspl: AtomicU32,

    /// Its process's lock (`p_lock`): every thread is a process of its own.
    pub t_plock: Mutex,
    /// The thread that this interrupt thread pins; null if it pins none (any more).
    pub t_intr: SharedPtr<Kthread>,
    /// The level at which this interrupt thread handles.
    pub t_pil: AtomicU8,

    /// Its number: place in the arena.
    pub t_did: u32,
    /// One of [`role`].
    pub t_role: AtomicU8,
    /// Its stack slot.
    pub t_stack_slot: u32,
    /// The workload's number.
    pub t_work: AtomicU32,
    /// CPU that `processor_bind` asked for, -1 if none.
    pub t_bind_cpu: AtomicI32,
    /// Address of what it runs, for display.
    pub t_startpc: AtomicUsize,
    /// Lowest address of its stack.
    pub t_stkbase: AtomicUsize,
    /// The least bytes of its stack that `putnext` has found left; its own word, so plain reads and writes.
    pub t_stkleast: AtomicU32,
    /// First address above its stack.
    pub t_stk: AtomicUsize,
    /// When it begins its work, in ns after boot.
    pub t_start_ns: AtomicU64,
    /// Numbers its timed waits; see `time/callout/wait.rs`.
    pub t_callout_wait: AtomicU64,
    /// Voluntary switches (`lwp_ru.nvcsw`).
    pub t_nvcsw: AtomicU64,
    /// Involuntary switches (`lwp_ru.nivcsw`).
    pub t_nivcsw: AtomicU64,
    /// Turns that its workload has done.
    pub t_progress: AtomicU64,
    /// The microstate that it is in: one of [`lms`].
    pub t_mstate: AtomicU8,
    /// Its project's place in the scenario.
    pub t_project: AtomicU32,
    /// `gethrtime` when it entered that microstate.
    pub t_mstart: AtomicU64,
    /// `gethrtime` when it was created (`ms_start`).
    pub t_ms_start: AtomicU64,
    /// ns that it has spent in each microstate, the current stay not counted.
    pub t_acct: [AtomicU64; lms::COUNT],
    /// The turnstile that it lends to the first lock it blocks on; while it is blocked, that lock's.
    pub t_ts: SharedPtr<Turnstile>,
    /// Turnstiles that it inherits from, linked by `ts_prioinv`; guarded by its thread lock.
    pub t_prioinv: SharedPtr<Turnstile>,
    /// The wait queue that it is on; guarded by that queue's lock.
    pub t_waitq: SharedPtr<WaitQueue>,
    /// The list that it sleeps or waits on; this and the next three are guarded by that list's lock.
    pub t_sleepq: SharedPtr<SleepList>,
    /// The sleeper before it on that list, as `t_link` is the one after it.
    pub t_priback: SharedPtr<Kthread>,
    /// If it is the first of its priority on that list: the last of them.
    pub t_prilast: SharedPtr<Kthread>,
    /// The condition variable that counts it as a waiter, if one does.
    pub t_cv: SharedPtr<Condvar>,
    /// The words of the workload's parameters.
    pub t_args: [AtomicU64; MAX_ARGS],
    /// `t_name`, NUL-padded.
    pub t_name: [AtomicU8; NAME_LEN],
    /// Its class's operations.
    pub t_clfuncs: SharedPtr<ClassOps>,
    /// The operations of what it sleeps or waits on.
    pub t_sobj_ops: SharedPtr<SobjOps>,
    /// Where it begins.
    pub t_start: SharedPtr<Start>,
    /// The task queue that it serves.
    pub t_taskq: SharedPtr<Taskq>,
    /// Its entry, if that queue is dynamic.
    pub t_taskq_ent: SharedPtr<TaskqEnt>,
    /// Non-zero while it makes memory free, and may use what is left for that (`T_PUSHPAGE`). Its own.
    pub t_pushpage: AtomicU8,
}

impl Kthread {
    /// A free thread, number `did`.
    pub fn new(did: u32) -> Kthread {
        Kthread {
            t_link: SharedPtr::null(),
            t_disp_queue: SharedPtr::null(),
            t_bound_cpu: SharedPtr::null(),
            t_weakbound_cpu: SharedPtr::null(),
            t_waitrq: AtomicU64::new(0),
            t_state: AtomicU32::new(ts::FREE),
            t_pri: AtomicI16::new(0),
            t_epri: AtomicI16::new(0),
            t_cid: AtomicU8::new(0),
            t_lock: AtomicU8::new(0),
            t_preempt: AtomicU8::new(0),
            t_preempt_lk: AtomicU8::new(0),
            t_astflag: AtomicU8::new(0),
            lwp_state: AtomicU8::new(lwp::NONE),
            t_aggressive: AtomicU8::new(0),
            t_trapret: AtomicU8::new(0),
            t_flag: AtomicU16::new(0),
            t_schedflag: AtomicU16::new(schedflag::LOAD | schedflag::DONT_SWAP),
            t_runs: AtomicU32::new(0),
            t_front_wait: AtomicU32::new(0),
            t_moves: AtomicU32::new(0),
            t_level: AtomicI16::new(0),
            t_lockp: SharedPtr::null(),
            t_cpu: SharedPtr::null(),
            t_cpupart: SharedPtr::null(),
            t_lpl: SharedPtr::null(),
            t_disp_time: AtomicU64::new(0),
            t_wchan: AtomicUsize::new(0),
            t_sp: AtomicUsize::new(0),
            t_sobj: AtomicU8::new(sobj::NONE),
            t_timedout: AtomicU8::new(0),
            t_nomigrate: AtomicI16::new(0),
            t_affinitycnt: AtomicU16::new(0),
            t_bindflag: AtomicU8::new(0),
            t_lbolt: AtomicU64::new(0),
            t_cldata: ClassData::default(),
            t_proc_flag: AtomicU16::new(0),
            t_schedctl: AtomicU8::new(0),
            t_to_user: AtomicU8::new(0),
            t_oldspl: AtomicU32::new(0),
            t_plock: Mutex::new(),
            t_intr: SharedPtr::null(),
            t_pil: AtomicU8::new(0),
            t_did: did,
            t_role: AtomicU8::new(role::SCENARIO),
            t_stack_slot: did,
            t_work: AtomicU32::new(0),
            t_bind_cpu: AtomicI32::new(-1),
            t_startpc: AtomicUsize::new(0),
            t_stkbase: AtomicUsize::new(0),
            t_stkleast: AtomicU32::new(u32::MAX),
            t_stk: AtomicUsize::new(0),
            t_start_ns: AtomicU64::new(0),
            t_callout_wait: AtomicU64::new(0),
            t_nvcsw: AtomicU64::new(0),
            t_nivcsw: AtomicU64::new(0),
            t_progress: AtomicU64::new(0),
            t_mstate: AtomicU8::new(lms::STOPPED),
            t_project: AtomicU32::new(0),
            t_mstart: AtomicU64::new(0),
            t_ms_start: AtomicU64::new(0),
            t_acct: [const { AtomicU64::new(0) }; lms::COUNT],
            t_ts: SharedPtr::null(),
            t_prioinv: SharedPtr::null(),
            t_waitq: SharedPtr::null(),
            t_sleepq: SharedPtr::null(),
            t_priback: SharedPtr::null(),
            t_prilast: SharedPtr::null(),
            t_cv: SharedPtr::null(),
            t_args: [const { AtomicU64::new(0) }; MAX_ARGS],
            t_name: [const { AtomicU8::new(0) }; NAME_LEN],
            t_clfuncs: SharedPtr::null(),
            t_sobj_ops: SharedPtr::null(),
            t_start: SharedPtr::null(),
            t_taskq: SharedPtr::null(),
            t_taskq_ent: SharedPtr::null(),
            t_pushpage: AtomicU8::new(0),
        }
    }

    /// `DISP_PRIO`: the greater of its own and its inherited priority.
    #[inline(always)]
    pub fn pri(&self) -> i32 {
        i32::from(self.t_epri.get().max(self.t_pri.get()))
    }

    /// The lock that `t_lockp` points to.
    #[inline(always)]
    pub fn lockp(&self) -> &'static DispLock {
        self.t_lockp.get().expect("invariant: a thread always has a lock")
    }

    /// The CPU it runs or last ran on.
    #[inline(always)]
    pub fn cpu(&self) -> &'static Cpu {
        self.t_cpu.get().expect("invariant: a thread always has a CPU")
    }

    /// The partition that it may run in.
    #[inline(always)]
    pub fn part(&self) -> &'static Cpupart {
        self.t_cpupart.get().expect("invariant: a thread is in a partition from its creation on")
    }

    /// True if it handles interrupts (`T_INTR_THREAD`).
    #[inline(always)]
    pub fn is_intr(&self) -> bool {
        self.t_flag.get() & tflag::INTR_THREAD != 0
    }

    /// True if it is bound to a CPU, strongly or weakly.
    #[inline(always)]
    pub fn is_bound(&self) -> bool {
        !self.t_bound_cpu.is_null() || !self.t_weakbound_cpu.is_null()
    }

    /// Its home.
    #[inline(always)]
    pub fn lpl(&self) -> &'static Lpl {
        self.t_lpl.get().expect("invariant: a thread has a home from its creation on")
    }

    /// The run queue that it is on, or that of its CPU.
    #[inline(always)]
    pub fn disp_queue(&self) -> &'static Disp {
        self.t_disp_queue.get().expect("invariant: a thread that ran has a run queue")
    }

    /// `aston`: makes it look for work on its way to user mode. Release: a thread that sees the flag sees the work.
    #[inline(always)]
    pub fn aston(&self) {
        self.t_astflag.store(1, Ordering::Release);
    }

    /// `astoff`, before looking for the work. It is a read-modify-write. If it were a store, the look could come before it, and
    /// work that came in between would be overlooked and its flag erased:
    ///
    /// ```text
    ///   this thread                  CPU B
    ///   looks for work: none
    ///                                gives it work, t_astflag = 1
    ///   t_astflag = 0
    /// ```
    #[inline(always)]
    pub fn astoff(&self) {
        self.t_astflag.swap(0, Ordering::Acquire);
    }

    /// Its workload with the parameters.
    pub fn workload(&self) -> Workload {
        let words = core::array::from_fn(|n| self.t_args[n].get());
        Workload::from_record(self.t_work.get(), &words).expect("invariant: what thread_create has put there")
    }

    /// Takes `t_lock` if it is free. Acquire: the context that its last holder saved is visible.
    #[inline(always)]
    pub fn try_claim_context(&self) -> bool {
        self.t_lock.load(Ordering::Relaxed) == 0 && self.t_lock.swap(1, Ordering::Acquire) == 0
    }

    /// Releases `t_lock`: its context is saved and may be resumed elsewhere.
    #[inline(always)]
    pub fn release_context(&self) {
        self.t_lock.store(0, Ordering::Release);
    }

    /// Puts its name into `out` and returns the used part.
    pub fn name<'a>(&self, out: &'a mut [u8; NAME_LEN]) -> &'a str {
        for (to, from) in out.iter_mut().zip(&self.t_name) {
            *to = from.get();
        }
        umpire_shared::unpack_name(out)
    }
}
