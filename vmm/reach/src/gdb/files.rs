//! The one file that gdb may read over the line: the guest's ELF image, with its symbols.
//!
//! # Invariants
//! - Nothing of the host can be opened: there is one name, and behind it the image that is built into this program.

use gdbstub::common::Pid;
use gdbstub::target::TargetResult;
use gdbstub::target::ext::exec_file::ExecFile;
use gdbstub::target::ext::host_io::{
    FsKind, HostIo, HostIoClose, HostIoCloseOps, HostIoErrno, HostIoError, HostIoFstat, HostIoFstatOps,
    HostIoOpen, HostIoOpenFlags, HostIoOpenMode, HostIoOpenOps, HostIoPread, HostIoPreadOps, HostIoResult,
    HostIoSetfs, HostIoSetfsOps, HostIoStat,
};
use umpire_machine::GUEST_IMAGE;

use super::target::{Debugged, Guest};

/// The image's name, as gdb shows it.
const NAME: &str = "/umpire-guest";
/// The one descriptor.
const FD: u32 = 3;

/// The part of `bytes` from `offset` on that fits, as gdb's transfers want it: how many bytes, 0 at the end.
fn part(bytes: &[u8], offset: u64, len: usize, out: &mut [u8]) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let len = rest.len().min(len).min(out.len());
    out[..len].copy_from_slice(&rest[..len]);
    len
}

impl<D: Debugged> ExecFile for Guest<'_, D> {
    fn get_exec_file(
        &self,
        _: Option<Pid>,
        offset: u64,
        length: usize,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        Ok(part(NAME.as_bytes(), offset, length, buf))
    }
}

impl<D: Debugged> HostIo for Guest<'_, D> {
    fn support_open(&mut self) -> Option<HostIoOpenOps<'_, Self>> {
        Some(self)
    }

    fn support_close(&mut self) -> Option<HostIoCloseOps<'_, Self>> {
        Some(self)
    }

    fn support_pread(&mut self) -> Option<HostIoPreadOps<'_, Self>> {
        Some(self)
    }

    fn support_fstat(&mut self) -> Option<HostIoFstatOps<'_, Self>> {
        Some(self)
    }

    fn support_setfs(&mut self) -> Option<HostIoSetfsOps<'_, Self>> {
        Some(self)
    }
}

impl<D: Debugged> HostIoOpen for Guest<'_, D> {
    fn open(
        &mut self,
        filename: &[u8],
        flags: HostIoOpenFlags,
        _: HostIoOpenMode,
    ) -> HostIoResult<u32, Self> {
        if filename != NAME.as_bytes() {
            return Err(HostIoError::Errno(HostIoErrno::ENOENT));
        }
        if flags.intersects(HostIoOpenFlags::O_WRONLY | HostIoOpenFlags::O_RDWR | HostIoOpenFlags::O_TRUNC) {
            return Err(HostIoError::Errno(HostIoErrno::EACCES));
        }
        Ok(FD)
    }
}

impl<D: Debugged> HostIoClose for Guest<'_, D> {
    fn close(&mut self, fd: u32) -> HostIoResult<(), Self> {
        check(fd)
    }
}

impl<D: Debugged> HostIoPread for Guest<'_, D> {
    fn pread(&mut self, fd: u32, count: usize, offset: u64, buf: &mut [u8]) -> HostIoResult<usize, Self> {
        check(fd)?;
        Ok(part(&GUEST_IMAGE, offset, count, buf))
    }
}

impl<D: Debugged> HostIoFstat for Guest<'_, D> {
    fn fstat(&mut self, fd: u32) -> HostIoResult<HostIoStat, Self> {
        check(fd)?;
        let len = GUEST_IMAGE.len() as u64;
        Ok(HostIoStat {
            st_dev: 0,
            st_ino: 1,
            st_mode: HostIoOpenMode::S_IFREG | HostIoOpenMode::S_IRUSR,
            st_nlink: 1,
            st_uid: 0,
            st_gid: 0,
            st_rdev: 0,
            st_size: len,
            st_blksize: 4096,
            st_blocks: len.div_ceil(512),
            st_atime: 0,
            st_mtime: 0,
            st_ctime: 0,
        })
    }
}

impl<D: Debugged> HostIoSetfs for Guest<'_, D> {
    fn setfs(&mut self, _: FsKind) -> HostIoResult<(), Self> {
        Ok(())
    }
}

fn check<E>(fd: u32) -> Result<(), HostIoError<E>> {
    if fd == FD { Ok(()) } else { Err(HostIoError::Errno(HostIoErrno::EBADF)) }
}
