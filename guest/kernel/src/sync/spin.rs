//! Spin mutexes (`mutex.c`, `MUTEX_SPIN`): for what is shared with interrupts above `LOCK_LEVEL`.
//!
//! # Invariants
//! - Its holder is at `m_minspl` or above, so nothing that may take it runs on top of its holder.
//! - `m_oldspl` belongs to the holder, and so does `m_cpu`, which only readers outside look at. It names the holder or nobody, never
//!   the holder before: who takes the mutex may be kept by the host from saying so, and who waits meanwhile waits for an absent CPU,
//!   not for one that runs.
//!
//! ```text
//!   cpu 2, which has the mutex        cpu 3
//!   m_cpu = nobody
//!   the mutex is free
//!                                     takes it
//!      waits for nobody knows whom       the host takes it off
//!                                     m_cpu = cpu 3
//! ```

use core::sync::atomic::AtomicU32;

use crate::cell::Cell;
use crate::lock::DispLock;
use crate::sys::spin::Spin;
use crate::{platform, spl};
use umpire_shared::mutant;
use umpire_shared::sys::machlock::DISP_LEVEL;

/// A spin mutex.
#[repr(C)]
#[derive(Debug)]
pub struct SpinMutex {
    /// Odd while held.
    pub m_spinlock: DispLock,
    /// The level of its holder, at least.
    pub m_minspl: u32,
    /// The level that its holder goes back to.
    pub m_oldspl: AtomicU32,
    /// The holder's CPU plus one; 0 while nobody holds it, or the holder has not said so yet.
    pub m_cpu: AtomicU32,
}

impl SpinMutex {
    /// A free spin mutex whose holder is at `minspl` or above (`mutex_init` with an interrupt cookie): `DISP_LEVEL` to 15.
    ///
    /// # Panics
    /// If `minspl` is below `DISP_LEVEL`: a mutex of that level is adaptive.
    pub fn new(minspl: u32) -> SpinMutex {
        assert!((DISP_LEVEL..=15).contains(&minspl), "mutex_init: no spin mutex has level {minspl}");
        SpinMutex {
            m_spinlock: DispLock::new(),
            m_minspl: minspl,
            m_oldspl: AtomicU32::new(0),
            m_cpu: AtomicU32::new(0),
        }
    }
}

/// Raises the level and takes the mutex (`mutex_enter`).
pub fn spin_enter(mp: &SpinMutex) {
    let old = spl::splr(mp.m_minspl);
    platform::interleave();
    if !mp.m_spinlock.try_enter() {
        wait_for(mp);
    }
    platform::interleave();
    mp.m_oldspl.set(old);
    // At the mutex's level nothing moves the holder.
    mp.m_cpu.set(platform::cpu().cpu_id + 1);
}

/// Takes a mutex that was found held; says whose CPU it waits for.
#[cold]
fn wait_for(mp: &SpinMutex) {
    let mut spin = Spin::for_lock(&mp.m_spinlock);
    loop {
        while mp.m_spinlock.is_held() {
            spin.turn_for(1_u64.checked_shl(mp.m_cpu.get().wrapping_sub(1)).unwrap_or(0));
        }
        if mp.m_spinlock.try_enter() {
            return;
        }
    }
}

/// Gives the mutex up and lowers the level (`mutex_exit`).
///
/// # Panics
/// If nobody holds it.
pub fn spin_exit(mp: &SpinMutex) {
    assert!(mp.m_spinlock.is_held(), "mutex_exit: not owner");
    let old = mp.m_oldspl.get();
    if !keeps_mutex() {
        mp.m_cpu.set(0);
        mp.m_spinlock.exit_high();
    }
    spl::splx(old);
}

/// What the mutant `kept_spin` does after half a second.
fn keeps_mutex() -> bool {
    let kernel = platform::kernel();
    kernel.is_mutant(mutant::KEPT_SPIN) && 2 * kernel.lbolt.get() >= u64::from(kernel.hz.get())
}
