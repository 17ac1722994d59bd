//! Ctrl-C, and its like (SIGTERM, SIGHUP): the first asks for an orderly end, the second ends the process at once. Where there is
//! nothing to put in order the first does.
//!
//! # Invariants
//! - The handler only counts, writes to an eventfd, and perhaps gives the terminal back and leaves: all of it async-signal-safe.
//! - Once interrupted, a process stays interrupted: every machine that it waits for ends. A debugger at its prompt alone forgets a
//!   Ctrl-C, which was for the command before.
//! - No signal is lost between a look whether one came and a wait that it would end: who waits at once is ended by one that came
//!   before, too.
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
/// The handler counts and then looks here; who sets this then looks at the count. Sequential consistency: one of the two sees the other.
static IS_AT_ONCE: AtomicBool = AtomicBool::new(false);
/// How the terminal at standard input was before a program drew on it.
static TERMINAL: OnceLock<libc::termios> = OnceLock::new();
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

/// From now on the first of these signals ends the process at once, also one that has come already: for one that runs no machine, and
/// sleeps or reads where nobody looks whether it was interrupted.
pub fn end_at_once() {
    IS_AT_ONCE.store(true, Ordering::SeqCst);
    if CAUGHT.load(Ordering::SeqCst) != 0 {
        leave(FIRST.load(Ordering::Relaxed));
    }
}

/// The same for as long as something waits: for who reads where nobody looks, and goes on in order.
pub fn at_once<T>(wait: impl FnOnce() -> T) -> T {
    end_at_once();
    let waited = wait();
    IS_AT_ONCE.store(false, Ordering::SeqCst);
    waited
}

/// Forgets that SIGINT has arrived, if it did and no other: it was for something that is over now.
pub fn forget_interrupt() {
    if CAUGHT.load(Ordering::Acquire) != 0
        && FIRST.compare_exchange(libc::SIGINT, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    {
        // What was written there is of no interest, nor that nothing was.
        let _count = EVENTFD.get().map(EventFd::read);
        CAUGHT.store(0, Ordering::Release);
    }
}

/// Whatever signal ends the process, the terminal at standard input, if it is one, is as it is now: for a program that is about to draw
/// on it, and whose main thread may make any call.
pub fn keep_terminal() {
    let mut now = std::mem::MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: the call writes the terminal's settings to `now`, which outlives it, or refuses what is no terminal.
    let failed = unsafe { libc::tcgetattr(libc::STDIN_FILENO, now.as_mut_ptr()) };
    // SAFETY: it was all zeroes before the call, which is a valid value, and the call has written a valid one or none.
    let now = unsafe { now.assume_init() };
    if failed == 0 {
        TERMINAL.get_or_init(|| now);
    }
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
    if CAUGHT.fetch_add(1, Ordering::SeqCst) != 0 || IS_AT_ONCE.load(Ordering::SeqCst) {
        leave(signal);
    }
    let one = 1_u64.to_ne_bytes();
    let fd = EVENTFD_NUMBER.load(Ordering::Acquire);
    // SAFETY: write is async-signal-safe and `one` outlives it; a bad descriptor is refused by the kernel. The
    // eventfd is non-blocking, and errno is of no interest to code that a second signal would end.
    let _written = unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
}

/// Ends the process, as a shell counts it. Async-signal-safe: a cell that is set is only read.
fn leave(signal: libc::c_int) -> ! {
    if let Some(terminal) = TERMINAL.get() {
        give_back(terminal);
    }
    // SAFETY: _exit is async-signal-safe and does not return.
    unsafe { libc::_exit(128 + signal) };
}

/// Async-signal-safe, all of it.
fn give_back(terminal: &libc::termios) {
    // SAFETY: the call takes any descriptor.
    let front = unsafe { libc::tcgetpgrp(libc::STDIN_FILENO) };
    // SAFETY: the call cannot fail.
    let own = unsafe { libc::getpgrp() };
    // Who is in the background has no terminal to give back, and would be stopped. A terminal without jobs has no group in front.
    if front == own || front == -1 {
        // SAFETY: the call only reads the settings, which live as long as the process. If the terminal is gone nothing is given back.
        let _given_back = unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, terminal) };
    }
}
