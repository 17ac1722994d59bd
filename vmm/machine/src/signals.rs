//! Ctrl-C, and its like (SIGTERM, SIGHUP): the first asks for an orderly end, the second ends the process at once. In a process that has nothing to put in order the
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
/// The first signal that was caught; written before [`CAUGHT`] says that there was one.
static FIRST: AtomicI32 = AtomicI32::new(0);
/// One value that nothing else is read by: relaxed will do.
static IS_AT_ONCE: AtomicBool = AtomicBool::new(false);
static EVENTFD: OnceLock<EventFd> = OnceLock::new();
static EVENTFD_NUMBER: AtomicI32 = AtomicI32::new(-1);

/// From now on SIGINT, SIGTERM and SIGHUP end every [`super::Machine::wait`] of this process, and a second one ends
/// the process with status 128 and its number (130 for SIGINT). A SIGHUP that is ignored stays so: `nohup` has asked for that. To be
/// called once, by a program's entry.
///
/// # Errors
/// [`MachineError::Os`] if the host refuses the eventfd or a handler.
pub fn install() -> Result<(), MachineError> {
    let eventfd = EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)
        .map_err(|e| MachineError::os("create an eventfd for signals", e))?;
    let eventfd = EVENTFD.get_or_init(|| eventfd);
    EVENTFD_NUMBER.store(eventfd.as_raw_fd(), Ordering::Release);
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        if signal == libc::SIGHUP && is_ignored(signal) {
            continue;
        }
        register_signal_handler(signal, caught)
            .map_err(|e| MachineError::os("catch SIGINT, SIGTERM and SIGHUP", e.into()))?;
    }
    ignore_limit_on_files()
}

/// A file that may not grow any more is an error like a full disk, and not the end of the process.
fn ignore_limit_on_files() -> Result<(), MachineError> {
    // SAFETY: to ignore a signal installs no code.
    let failed = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) } == libc::SIG_ERR;
    if failed {
        return Err(MachineError::os("ignore SIGXFSZ", std::io::Error::last_os_error()));
    }
    Ok(())
}

fn is_ignored(signal: libc::c_int) -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the present one to `now`, which outlives it.
    let failed = unsafe { libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) };
    // SAFETY: it was all zeroes before the call, which is a valid action, and the kernel has written a valid one or none.
    let now = unsafe { now.assume_init() };
    failed == 0 && now.sa_sigaction == libc::SIG_IGN
}

/// From now on the first of these signals ends the process at once: for one that runs no machine, and sleeps or reads where nobody
/// looks whether it was interrupted.
pub fn end_at_once() {
    IS_AT_ONCE.store(true, Ordering::Relaxed);
}

/// True if SIGINT, SIGTERM or SIGHUP has arrived since [`install`].
pub fn interrupted() -> bool {
    CAUGHT.load(Ordering::Relaxed) != 0
}

/// The number of the first of them, if one has arrived.
pub fn first() -> Option<i32> {
    // Acquire: pairs with the handler's release, so that what is read is that of the signal that was counted.
    (CAUGHT.load(Ordering::Acquire) != 0).then(|| FIRST.load(Ordering::Relaxed))
}

/// The eventfd that becomes readable, and stays so, when the process is interrupted; `None` before [`install`].
pub(super) fn eventfd() -> Option<&'static EventFd> {
    EVENTFD.get()
}

extern "C" fn caught(signal: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // Only the first finds 0 there. Release on the count: who sees it sees the number.
    let _is_first = FIRST.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
    if CAUGHT.fetch_add(1, Ordering::Release) != 0 || IS_AT_ONCE.load(Ordering::Relaxed) {
        // SAFETY: _exit is async-signal-safe and does not return.
        unsafe { libc::_exit(128 + signal) };
    }
    let one = 1_u64.to_ne_bytes();
    let fd = EVENTFD_NUMBER.load(Ordering::Acquire);
    // SAFETY: write is async-signal-safe and `one` outlives it; a bad descriptor is refused by the kernel. The
    // eventfd is non-blocking, and errno is of no interest to code that a second signal would end.
    let _written = unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
}
