//! What a thread does when its filter catches it: it says which call that was, and the process ends.
//!
//! # Invariants
//! - The handler calls nothing but write and _exit, allocates nothing and takes no lock: it is async-signal-safe.
//! - The call that was caught has not been made, and is never made.
// A signal handler may call nothing but libc, and learns of the call from the kernel's record.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::sync::Once;

use syscalls::Sysno;
use vmm_sys_util::signal::register_signal_handler;

/// Exit code of a process whose filter caught a thread: 128 and SIGSYS, as a shell counts.
pub const CAUGHT: i32 = 128 + libc::SIGSYS;

/// Bytes before the number of the call in the kernel's `siginfo_t` of a SIGSYS: three words, one that aligns, and the address.
const SI_SYSCALL: usize = 24;

thread_local! {
    /// What this thread is, for the message. It has no destructor and is never borrowed, so a handler may look.
    static THREAD: Cell<&'static str> = const { Cell::new("main") };
}

/// From now on a thread that is caught says that it is such a one.
pub(super) fn call_me(thread: &'static str) {
    static INSTALLED: Once = Once::new();
    THREAD.set(thread);
    INSTALLED.call_once(|| {
        // Without the handler the signal ends the process all the same, without a word.
        let _wordless = register_signal_handler(libc::SIGSYS, caught);
    });
}

extern "C" fn caught(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let at = info.cast::<u8>().wrapping_add(SI_SYSCALL).cast::<libc::c_int>();
    // SAFETY: the kernel hands a handler with SA_SIGINFO a whole siginfo_t of 128 bytes; that of a SIGSYS has the call there.
    let number = unsafe { at.read() };
    let name = usize::try_from(number)
        .ok()
        .and_then(Sysno::new)
        .map_or("of a number without a name", |call| call.name());
    let (mut digits, mut text) = ([b'0'; 10], Line { bytes: [0; 512], len: 0 });
    for part in [
        "umpire: a thread of the kind ",
        THREAD.get(),
        " made the system call ",
        name,
        " (",
        decimal(number.unsigned_abs(), &mut digits),
        "), which its filter does not allow: umpire ends here, and the call was not made. If you have asked for nothing \
         unusual, report it; --no-seccomp, or UMPIRE_NO_SECCOMP=1, runs without filters\n",
    ] {
        text.push(part);
    }
    // SAFETY: write is async-signal-safe and `text` outlives it. Where stderr is gone there is nobody to be told.
    let _told = unsafe { libc::write(libc::STDERR_FILENO, text.bytes.as_ptr().cast(), text.len) };
    // SAFETY: _exit is async-signal-safe and does not return.
    unsafe { libc::_exit(CAUGHT) };
}

/// A line that is written at once, so that those of two threads stay apart.
struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Line {
    /// Adds what there is room for.
    fn push(&mut self, part: &str) {
        for (to, from) in self.bytes[self.len..].iter_mut().zip(part.as_bytes()) {
            *to = *from;
            self.len += 1;
        }
    }
}

/// A number as text, without an allocation.
fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &str {
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    std::str::from_utf8(&digits[first..]).unwrap_or("?")
}

#[cfg(test)]
mod tests {
    #[test]
    fn decimal_writes_numbers_as_everybody_does() {
        for number in [0, 7, 59, 1_000, u32::MAX] {
            assert_eq!(super::decimal(number, &mut [b'0'; 10]), number.to_string());
        }
    }
}
