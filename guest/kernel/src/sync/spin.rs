//! Spin mutexes (`mutex.c`, `MUTEX_SPIN`): for what is shared with interrupts above `LOCK_LEVEL`.
//!
//! # Invariants
//! - Its holder is at `m_minspl` or above, so nothing that may take it runs on top of its holder.
//! - `m_oldspl` belongs to the holder.

use core::sync::atomic::AtomicU32;

use crate::cell::Cell;
use crate::lock::DispLock;
use crate::spl;
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
}

impl SpinMutex {
    /// A free spin mutex whose holder is at `minspl` or above (`mutex_init` with an interrupt cookie): `DISP_LEVEL` to 15.
    ///
    /// # Panics
    /// If `minspl` is below `DISP_LEVEL`: a mutex of that level is adaptive.
    pub fn new(minspl: u32) -> SpinMutex {
        assert!((DISP_LEVEL..=15).contains(&minspl), "mutex_init: no spin mutex has level {minspl}");
        SpinMutex { m_spinlock: DispLock::new(), m_minspl: minspl, m_oldspl: AtomicU32::new(0) }
    }
}

/// Raises the level and takes the mutex (`mutex_enter`).
pub fn spin_enter(mp: &SpinMutex) {
    let old = spl::splr(mp.m_minspl);
    mp.m_spinlock.enter_high();
    mp.m_oldspl.set(old);
}

/// Gives the mutex up and lowers the level (`mutex_exit`).
///
/// # Panics
/// If nobody holds it.
pub fn spin_exit(mp: &SpinMutex) {
    assert!(mp.m_spinlock.is_held(), "mutex_exit: not owner");
    let old = mp.m_oldspl.get();
    mp.m_spinlock.exit_high();
    spl::splx(old);
}
