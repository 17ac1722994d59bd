//! The text of a blocking chain that closes: which thread waits for which lock, and which thread holds that.
//!
//! # Invariants
//! - It is only written when the kernel is about to panic. The threads of a closed chain cannot move, so it is read without their
//!   locks.
//! - It ends after as many steps as there are threads, whatever it finds.

use core::fmt;

use super::Turnstile;
use super::inherit::blocked_on;
use crate::cell::Cell;
use crate::platform;
use crate::sys::Kthread;
use crate::sys::thread::sobj;
use umpire_shared::NAME_LEN;

/// The chain that begins and ends with this thread: `thread 3 "a" -> mutex k_work.locks[0] -> thread 4 "b" -> ...`.
pub(super) struct Cycle(pub(super) &'static Kthread);

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut t = self.0;
        write_thread(f, t)?;
        for _ in 0..platform::kernel().k_threads.len() {
            let Some((ts, owner)) = blocked_on(t) else { break };
            f.write_str(" -> ")?;
            write_lock(f, ts)?;
            f.write_str(" -> ")?;
            write_thread(f, owner)?;
            t = owner;
            if core::ptr::eq(t, self.0) {
                break;
            }
        }
        Ok(())
    }
}

fn write_thread(f: &mut fmt::Formatter<'_>, t: &Kthread) -> fmt::Result {
    write!(f, "thread {} {:?}", t.t_did, t.name(&mut [0; NAME_LEN]))
}

/// Writes a lock that is an object of an arena by its name there, any other by its address.
fn write_lock(f: &mut fmt::Formatter<'_>, ts: &Turnstile) -> fmt::Result {
    let kind = if ts.ts_kind.get() == sobj::MUTEX { "mutex" } else { "rwlock" };
    match platform::kernel().k_places.object(ts.ts_sobj.get()) {
        Some((arena, n)) => write!(f, "{kind} {arena}[{n}]"),
        None => write!(f, "{kind} {:#x}", ts.ts_sobj.get()),
    }
}
