//! The errors that kernel operations return, by number (`sys/errno.h`).
//!
//! # Invariants
//! - 0 is success; a number here has the name that `sys/errno.h` gives it.

/// Not permitted.
pub const EPERM: u32 = 1;
/// No such thread.
pub const ESRCH: u32 = 3;
/// Busy: it is still in use.
pub const EBUSY: u32 = 16;
/// Not a valid argument.
pub const EINVAL: u32 = 22;
/// It would deadlock.
pub const EDEADLK: u32 = 45;
/// Not supported by the class.
pub const ENOSYS: u32 = 89;

/// Numbers and names.
pub const NAMES: &[(u32, &str)] = &[
    (0, "ok"),
    (EPERM, "EPERM"),
    (ESRCH, "ESRCH"),
    (EBUSY, "EBUSY"),
    (EINVAL, "EINVAL"),
    (EDEADLK, "EDEADLK"),
    (ENOSYS, "ENOSYS"),
];

/// The name of an error number, if it is one of ours.
pub fn name(errno: u32) -> Option<&'static str> {
    NAMES.iter().find(|(n, _)| *n == errno).map(|(_, name)| *name)
}
