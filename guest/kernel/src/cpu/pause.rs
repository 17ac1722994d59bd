//! Stopping every other CPU at a place where it holds nothing: `pause_cpus` and `start_cpus` (`cpu.c`).
//!
//! Each CPU has a pause thread, bound to it, at the highest priority that there is. Pausing is an ordinary dispatch of
//! those threads; each spins at `DISP_LEVEL` until it is let go.
//!
//! ```text
//!   pauser                               a pause thread
//!   enqueues every pause thread ------>  PAUSE_READY, cp_sem += 1
//!   waits for cp_count of cp_sem         waits for cp_go, interrupts open: the clock may be needed
//!   cp_go = 1 ------------------------>  splhigh, PAUSE_WAIT
//!   waits for PAUSE_WAIT of all          spins
//!   splhigh; the window
//!   PAUSE_IDLE for all -------------->   stops, switches to what it had displaced
//! ```
//!
//! # Invariants
//! - One pauser at a time: it holds `cpu_lock`.
//! - A paused CPU holds no dispatcher lock: its pause thread was dispatched, and a holder is never preempted.
//! - Inside the window the pauser neither blocks nor takes an adaptive lock, as in a high-level interrupt handler.
//! - Pausing takes as long as the slowest CPU takes to dispatch its best bound thread. A CPU that spins at `DISP_LEVEL` or
//!   with `t_preempt` raised holds the pauser up for as long.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use super::bind::{thread_affinity_clear, thread_affinity_set};
use crate::cell::Cell;
use crate::disp::{kpreempt_disable, kpreempt_enable, setbackdq, swtch};
use crate::lock::{SharedPtr, thread_lock, thread_unlock_nopreempt};
use crate::sys::cpu::flag;
use crate::sys::spin::Spin;
use crate::sys::thread::{thread_stop_running, thread_transition, ts};
use crate::sys::{Cpu, Kthread};
use crate::{mstate, platform, spl};
use umpire_shared::MAX_CPUS;
pub use umpire_shared::sys::cpuvar::safe;

/// `cpu_pause_info` and `safe_list`.
#[repr(C)]
#[derive(Debug)]
pub struct PauseInfo {
    /// Pause threads that have come (`cp_sem`).
    pub cp_sem: AtomicU32,
    /// Pause threads that were called.
    pub cp_count: AtomicU32,
    /// 1: all have come, so the clock is not needed any more to get the rest going.
    pub cp_go: AtomicU8,
    /// One of [`safe`] a CPU.
    pub safe_list: [AtomicU8; MAX_CPUS],
    /// The pauser's level before the window.
    pub cp_spl: AtomicU32,
    /// The thread that has paused the CPUs; null while none has.
    pub cp_paused: SharedPtr<Kthread>,
}

impl PauseInfo {
    /// No CPU is paused.
    pub fn new() -> PauseInfo {
        PauseInfo {
            cp_sem: AtomicU32::new(0),
            cp_count: AtomicU32::new(0),
            cp_go: AtomicU8::new(0),
            safe_list: [const { AtomicU8::new(safe::IDLE) }; MAX_CPUS],
            cp_spl: AtomicU32::new(0),
            cp_paused: SharedPtr::null(),
        }
    }
}

impl Default for PauseInfo {
    fn default() -> Self {
        PauseInfo::new()
    }
}

/// Pauses every other CPU; the caller leaves `off_cp` first if it runs there. The caller holds `cpu_lock`, at level 0; on
/// return it is at `DISP_LEVEL`, bound to its CPU and not to be preempted, until [`start_cpus`].
///
/// # Panics
/// If the CPUs are paused already.
pub fn pause_cpus(off_cp: Option<&'static Cpu>) {
    let kernel = platform::kernel();
    let info = &kernel.k_cpu_ops.pause;
    let me = platform::curthread();
    debug_assert!(super::online::is_cpu_lock_held(kernel), "pause_cpus without cpu_lock");
    assert!(info.cp_paused.is_null(), "pause_cpus: cpus already paused");
    kpreempt_disable();
    let here = platform::cpu();
    let stay = match off_cp {
        Some(off) if core::ptr::eq(off, here) => off.part().ring(off.cpu_id + 1).next().unwrap_or(here),
        _ => here,
    };
    thread_affinity_set(me, stay);
    call_pause_threads(info, stay);
    info.cp_go.store(1, Ordering::Release);
    // Acquire: what each CPU did before it was paused is visible in the window.
    for (n, state) in info.safe_list.iter().enumerate() {
        spin_while(state, 1 << n, || state.load(Ordering::Acquire) != safe::WAIT);
    }
    info.cp_spl.set(spl::splhigh());
    info.cp_paused.set(Some(me));
}

/// Ends the window of [`pause_cpus`].
///
/// # Panics
/// If the caller has not paused the CPUs.
pub fn start_cpus() {
    let info = &platform::kernel().k_cpu_ops.pause;
    let me = platform::curthread();
    assert!(info.cp_paused.is(me), "start_cpus: cpus not paused by the caller");
    info.cp_paused.set(None);
    // Release: a CPU that sees that it may go sees what was changed in the window.
    for state in &info.safe_list {
        state.store(safe::IDLE, Ordering::Release);
    }
    thread_affinity_clear(me);
    spl::splx(info.cp_spl.get());
    kpreempt_enable();
}

/// Makes the pause threads of the other CPUs runnable and waits until each runs (`cpu_pause_start`).
fn call_pause_threads(info: &PauseInfo, here: &Cpu) {
    let kernel = platform::kernel();
    info.cp_go.set(0);
    info.cp_sem.set(0);
    // Before any of the pause threads runs: CPUs that are not called count as paused.
    for (n, state) in info.safe_list.iter().enumerate() {
        let cp = kernel.k_cpus.get(n);
        let is_called = cp.is_some_and(|cp| is_to_pause(cp, here));
        if let Some(cp) = cp.filter(|_| !is_called) {
            wait_until_left(cp, here);
        }
        state.store(if is_called { safe::IDLE } else { safe::WAIT }, Ordering::Release);
    }
    let mut count = 0;
    for cp in kernel.k_cpus.iter().filter(|cp| is_to_pause(cp, here)) {
        let t = cp.cpu_pause_thread.get().expect("invariant: a CPU has a pause thread");
        lock_stopped(t);
        t.t_pri.set(kernel.v_nglobpris.get() as i16 - 1);
        thread_transition(t);
        setbackdq(t);
        thread_unlock_nopreempt(t);
        count += 1;
    }
    info.cp_count.set(count);
    spin_while(&info.cp_sem, 0, || info.cp_sem.load(Ordering::Acquire) < count);
}

/// Locks a pause thread once it is stopped. A pause thread that was let go a moment ago may still be on its way there, for which it
/// needs no other thread. Until it is stopped it must not be on a queue, from which it would be chosen while it runs.
fn lock_stopped(t: &Kthread) {
    let mut spin = Spin::for_word(&t.t_state);
    loop {
        thread_lock(t);
        if t.t_state.get() == ts::STOPPED {
            return;
        }
        thread_unlock_nopreempt(t);
        spin.turn_for_thread(t);
    }
}

/// Waits as long as `is_so`, for these CPUs (a bit each, 0 if they are not known) to change the word.
fn spin_while<T>(word: &T, cpus: u64, is_so: impl Fn() -> bool) {
    let mut spin = Spin::for_word(word);
    while is_so() {
        spin.turn_for(cpus);
    }
}

/// Waits until the pause thread of a CPU that is not called has left the last window. The CPU may have been quiesced in that window:
///
/// ```text
///   pauser                                   pause thread of the quiesced CPU
///                                            spins as long as its state is PAUSE_WAIT
///   start_cpus: PAUSE_IDLE
///   pauses again: PAUSE_WAIT for a CPU that
///     is not called, were it not for this
///                                            has not seen PAUSE_IDLE: is held there
/// ```
fn wait_until_left(cp: &Cpu, here: &Cpu) {
    let t = cp.cpu_pause_thread.get().expect("invariant: a CPU has a pause thread");
    spin_while(&t.t_state, 1 << cp.cpu_id, || !core::ptr::eq(cp, here) && t.t_state.get() == ts::ONPROC);
}

/// True for another CPU that takes part. A quiesced CPU does not: it looks at no queue, and nothing runs there.
fn is_to_pause(cp: &Cpu, here: &Cpu) -> bool {
    !core::ptr::eq(cp, here) && cp.cpu_flags.get() & (flag::READY | flag::QUIESCED) == flag::READY
}

/// What a pause thread does (`cpu_pause`).
pub fn cpu_pause() -> ! {
    let me = platform::curthread();
    let info = &platform::kernel().k_cpu_ops.pause;
    let state = &info.safe_list[platform::cpu().cpu_id as usize];
    loop {
        state.store(safe::READY, Ordering::Relaxed);
        info.cp_sem.fetch_add(1, Ordering::Release);
        spin_while(&info.cp_go, 0, || info.cp_go.load(Ordering::Acquire) == 0);
        let level = spl::splhigh();
        // mach_cpu_pause. Release and acquire: see pause_cpus and start_cpus.
        state.store(safe::WAIT, Ordering::Release);
        spin_while(state, 0, || state.load(Ordering::Acquire) == safe::WAIT);
        spl::splx(level);
        stop_until_called(me);
    }
}

/// Gives the CPU back until the next pauser calls.
fn stop_until_called(me: &'static Kthread) {
    thread_lock(me);
    mstate::mstate_stop(me);
    thread_stop_running(me);
    swtch();
}
