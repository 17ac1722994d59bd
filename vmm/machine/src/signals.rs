//! Ctrl-C: the first asks for an orderly end, the second ends the process at once. In a process that has nothing to put in order the
//! first does.
//!
//! # Invariants
//! - The handler only counts, writes to an eventfd, and perhaps leaves: all of it async-signal-safe.
//! - Once interrupted, a process stays interrupted: every machine that it waits for ends.
// A signal handler may call nothing but libc.
#![allow(unsafe_code)]

use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::signal::register_signal_handler;

use super::MachineError;

static CAUGHT: AtomicU32 = AtomicU32::new(0);
/// One value that nothing else is read by: relaxed will do.
static IS_AT_ONCE: AtomicBool = AtomicBool::new(false);
static EVENTFD: OnceLock<EventFd> = OnceLock::new();
static EVENTFD_NUMBER: AtomicI32 = AtomicI32::new(-1);

/// From now on SIGINT and SIGTERM end every [`super::Machine::wait`] of this process, and a second one ends
/// the process with status 130 (143 for SIGTERM). To be called once, by a program's entry.
///
/// # Errors
/// [`MachineError::Os`] if the host refuses the eventfd or a handler.
pub fn install() -> Result<(), MachineError> {
    let eventfd = EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)
        .map_err(|e| MachineError::os("create an eventfd for signals", e))?;
    let eventfd = EVENTFD.get_or_init(|| eventfd);
    EVENTFD_NUMBER.store(eventfd.as_raw_fd(), Ordering::Release);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        register_signal_handler(signal, caught)
            .map_err(|e| MachineError::os("catch SIGINT and SIGTERM", e.into()))?;
    }
    Ok(())
}

/// From now on the first SIGINT or SIGTERM ends the process at once: for one that runs no machine, and sleeps or reads where nobody
/// looks whether it was interrupted.
pub fn end_at_once() {
    IS_AT_ONCE.store(true, Ordering::Relaxed);
}

/// True if SIGINT or SIGTERM has arrived since [`install`].
pub fn interrupted() -> bool {
    CAUGHT.load(Ordering::Relaxed) != 0
}

/// The eventfd that becomes readable, and stays so, when the process is interrupted; `None` before [`install`].
pub(super) fn eventfd() -> Option<&'static EventFd> {
    EVENTFD.get()
}

extern "C" fn caught(signal: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    if CAUGHT.fetch_add(1, Ordering::Relaxed) != 0 || IS_AT_ONCE.load(Ordering::Relaxed) {
        // SAFETY: _exit is async-signal-safe and does not return.
        unsafe { libc::_exit(128 + signal) };
    }
    let one = 1_u64.to_ne_bytes();
    let fd = EVENTFD_NUMBER.load(Ordering::Acquire);
    // SAFETY: write is async-signal-safe and `one` outlives it; a bad descriptor is refused by the kernel. The
    // eventfd is non-blocking, and errno is of no interest to code that a second signal would end.
    let _written = unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
}
