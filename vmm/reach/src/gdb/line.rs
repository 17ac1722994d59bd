//! The line to gdb: a connected socket, or any pair of descriptors, read byte by byte and written in pieces.
//!
//! # Invariants
//! - What is written leaves when it is flushed; nothing waits for a reader but the flush.
//! - The other side's end is an end of file, whatever made it end.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use gdbstub::conn::Connection;
use rustix::event::{PollFd, PollFlags, poll};

/// The line.
#[derive(Debug)]
pub(super) struct Line {
    socket: File,
    input: Box<[u8]>,
    /// What of `input` has not been taken.
    rest: std::ops::Range<usize>,
    output: Vec<u8>,
}

/// Something to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// A byte of gdb's.
    Byte(u8),
    /// The bell.
    Bell,
    /// gdb is gone.
    End,
}

impl Line {
    pub(super) fn over(socket: OwnedFd) -> Line {
        Line { socket: File::from(socket), input: vec![0; 4096].into(), rest: 0..0, output: Vec::new() }
    }

    /// Waits for a byte; `None` if there will be no more.
    pub(super) fn read(&mut self) -> io::Result<Option<u8>> {
        while self.rest.is_empty() {
            match self.socket.read(&mut self.input) {
                Ok(0) => return Ok(None),
                Ok(len) => self.rest = 0..len,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(self.rest.next().map(|at| self.input[at]))
    }

    /// Waits for a byte or for `bell` to become readable, whichever comes first.
    pub(super) fn listen(&mut self, bell: &impl AsFd) -> io::Result<Heard> {
        if self.rest.is_empty() {
            let mut fds = [PollFd::new(bell, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
            loop {
                match poll(&mut fds, None) {
                    Ok(_) => break,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            if fds[0].revents().contains(PollFlags::IN) {
                return Ok(Heard::Bell);
            }
        }
        Ok(self.read()?.map_or(Heard::End, Heard::Byte))
    }
}

impl Connection for Line {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        self.output.push(byte);
        Ok(())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.socket.write_all(&self.output);
        self.output.clear();
        result
    }
}
