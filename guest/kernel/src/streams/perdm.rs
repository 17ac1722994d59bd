//! Perimeters that all instances of a module share (`strsubr.c hold_dm`, `rele_dm`).
//!
//! # Invariants
//! - `dm_lock` guards the table. A module is told by its `streamtab`'s identity, and has one entry while somebody holds it.

use alloc::boxed::Box;
use core::sync::atomic::AtomicU32;

use super::queue::{Queue, Streamtab};
use super::streams;
use super::syncq::{Syncq, free_syncq, new_syncq};
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::sync::{Mutex, mutex_enter, mutex_exit};

/// Modules with such a perimeter at one time.
const MOST: usize = 32;
/// Words that all instances of such a module share.
pub(super) const SHARED: usize = 24;

/// The table.
#[repr(C)]
#[derive(Debug)]
pub struct Perdms {
    /// Guards the rest.
    pub dm_lock: Mutex,
    /// One entry a module.
    pub dm: Box<[Perdm]>,
}

impl Default for Perdms {
    fn default() -> Perdms {
        // Made where they stay: all of them are more than a boot stack has room for.
        Perdms { dm_lock: Mutex::new(), dm: (0..MOST).map(|_| Perdm::default()).collect() }
    }
}

/// A module's shared perimeter (`perdm_t`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Perdm {
    /// Whose it is.
    pub dm_str: SharedPtr<Streamtab>,
    /// The perimeter: the module's inner one, or its outer one.
    pub dm_sq: SharedPtr<Syncq>,
    /// Instances that use it.
    pub dm_ref: AtomicU32,
    /// Queues that the module's instances share; the perimeter guards them.
    pub dm_shared: [SharedPtr<Queue>; SHARED],
}

/// The shared perimeter of a module, made if there is none. `None` if there is no memory, or there are too many modules.
pub(super) fn hold_dm(of: &'static Streamtab, sq_type: u16) -> Option<&'static Syncq> {
    let table = &streams().perdms;
    mutex_enter(&table.dm_lock);
    let found = table.dm.iter().find(|dm| dm.dm_str.is(of)).or_else(|| {
        let free = table.dm.iter().find(|dm| dm.dm_str.is_null())?;
        free.dm_sq.set(Some(new_syncq(sq_type)?));
        free.dm_str.set(Some(of));
        Some(free)
    });
    let held = found.and_then(|dm| {
        dm.dm_ref.set(dm.dm_ref.get() + 1);
        dm.dm_sq.get()
    });
    mutex_exit(&table.dm_lock);
    held
}

/// The words that all instances of a module share. The caller is one of them, so the entry stays where it is.
///
/// # Panics
/// If the module has no such perimeter.
pub(super) fn shared(of: &'static Streamtab) -> &'static [SharedPtr<Queue>; SHARED] {
    let found = streams().perdms.dm.iter().find(|dm| dm.dm_str.is(of));
    &found.expect("invariant: an instance of the module has its entry").dm_shared
}

/// One instance less.
pub(super) fn rele_dm(of: &'static Streamtab) {
    let table = &streams().perdms;
    mutex_enter(&table.dm_lock);
    if let Some(dm) = table.dm.iter().find(|dm| dm.dm_str.is(of)) {
        dm.dm_ref.set(dm.dm_ref.get() - 1);
        if dm.dm_ref.get() == 0 {
            if let Some(sqp) = dm.dm_sq.get() {
                free_syncq(sqp);
            }
            dm.dm_shared.iter().for_each(|word| word.set(None));
            dm.dm_sq.set(None);
            dm.dm_str.set(None);
        }
    }
    mutex_exit(&table.dm_lock);
}
