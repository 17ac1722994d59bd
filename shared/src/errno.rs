//! The errors that kernel operations return, by number (`sys/errno.h`).
//!
//! # Invariants
//! - 0 is success; a number here has the name that `sys/errno.h` gives it.

/// Not permitted.
pub const EPERM: u32 = 1;
/// No such thread.
pub const ESRCH: u32 = 3;
/// Interrupted.
pub const EINTR: u32 = 4;
/// An error of a device.
pub const EIO: u32 = 5;
/// No such device, or it is gone.
pub const ENXIO: u32 = 6;
/// It would have to wait.
pub const EAGAIN: u32 = 11;
/// Busy: it is still in use.
pub const EBUSY: u32 = 16;
/// Not a valid argument.
pub const EINVAL: u32 = 22;
/// Nobody will read.
pub const EPIPE: u32 = 32;
/// Out of range.
pub const ERANGE: u32 = 34;
/// It would deadlock.
pub const EDEADLK: u32 = 45;
/// There is nothing to tell.
pub const ENODATA: u32 = 61;
/// It took too long.
pub const ETIME: u32 = 62;
/// No memory for a stream.
pub const ENOSR: u32 = 63;
/// The next message is not what was asked for.
pub const EBADMSG: u32 = 77;
/// Not supported by the class.
pub const ENOSYS: u32 = 89;

/// Numbers and names.
pub const NAMES: &[(u32, &str)] = &[
    (0, "ok"),
    (EPERM, "EPERM"),
    (ESRCH, "ESRCH"),
    (EINTR, "EINTR"),
    (EIO, "EIO"),
    (ENXIO, "ENXIO"),
    (EAGAIN, "EAGAIN"),
    (EBUSY, "EBUSY"),
    (EINVAL, "EINVAL"),
    (EPIPE, "EPIPE"),
    (ERANGE, "ERANGE"),
    (EDEADLK, "EDEADLK"),
    (ENODATA, "ENODATA"),
    (ETIME, "ETIME"),
    (ENOSR, "ENOSR"),
    (EBADMSG, "EBADMSG"),
    (ENOSYS, "ENOSYS"),
];

/// The name of an error number, if it is one of ours.
pub fn name(errno: u32) -> Option<&'static str> {
    NAMES.iter().find(|(n, _)| *n == errno).map(|(_, name)| *name)
}
