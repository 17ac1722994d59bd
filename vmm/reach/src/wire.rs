//! What is said over a session: frames of JSON, each behind its length.
//!
//! ```text
//!   u32   length of what follows, little-endian
//!   ...   one Request, or one Reply, as JSON
//! ```
//! The client sends [`Request::Hello`] first. The answer to it, [`Reply::Welcome`], carries one descriptor as SCM_RIGHTS: the guest's
//! memory. Every request has one reply.
//!
//! # Invariants
//! - A frame that is longer than its reader takes is refused before a byte of it is read.
//! - Whatever the bytes are, reading them gives a frame or an error.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use umpire_machine::{Registers, Standing, Written};
use umpire_watch::glass::{Identity, Poke, Verdicts};

/// The version of this protocol. One that differs is refused.
pub const VERSION: u32 = 1;
/// Bytes that a request may have.
pub const MAX_REQUEST: usize = 16 << 10;
/// Bytes that a reply may have.
pub const MAX_REPLY: usize = 8 << 20;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Who are you? The first request.
    Hello {
        /// The client's version.
        version: u32,
        /// True if it wants to write.
        writable: bool,
    },
    /// How long each CPU has run, and waited for its host.
    Clocks,
    /// The registers of a CPU that is held.
    Registers {
        /// Which.
        cpu: u32,
    },
    /// Where a CPU is.
    Standing {
        /// Which.
        cpu: u32,
        /// True if one that runs is to be kicked out of the guest for it.
        kick: bool,
    },
    /// What the guest has written to its console.
    Console,
    /// What the referee has found so far.
    Verdicts,
    /// Which CPUs are held.
    Held,
    /// Stop a CPU, or all.
    Stop {
        /// Which.
        cpu: Option<u32>,
    },
    /// Let a CPU, or all, go on.
    Go {
        /// Which.
        cpu: Option<u32>,
    },
    /// Hold all CPUs until [`Request::Unpin`], or until this session ends.
    Pin,
    /// See [`Request::Pin`].
    Unpin,
    /// Overwrite a word.
    Write(Poke),
    /// Serve gdb from here on: what follows [`Reply::Done`] is its remote protocol, until the connection ends.
    Gdb {
        /// True if the gdb is known to be of this user.
        is_ours: bool,
    },
    /// End the run.
    End,
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Hello`].
    Welcome(Welcome),
    /// To [`Request::Clocks`]: a CPU each.
    Clocks(Vec<CpuTimes>),
    /// To [`Request::Registers`].
    Registers(Option<Registers>),
    /// To [`Request::Standing`].
    Standing(Option<Standing>),
    /// To [`Request::Console`].
    Text(String),
    /// To [`Request::Verdicts`].
    Verdicts(Verdicts),
    /// To [`Request::Held`].
    Held(Vec<bool>),
    /// To [`Request::Write`].
    Written(Written),
    /// It is done.
    Done,
    /// It was not done.
    Refused {
        /// Why.
        why: String,
    },
}

/// Who the server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The server's version.
    pub version: u32,
    /// The session's name.
    pub name: String,
    /// The process.
    pub pid: u32,
    /// The kind of KVM.
    pub kind: String,
    /// The run.
    pub identity: Identity,
    /// The build ID of the guest's image, in hexadecimal digits.
    pub build_id: String,
    /// True if every CPU is held.
    pub is_held: bool,
    /// Which CPUs are held.
    #[serde(default)]
    pub held: Vec<bool>,
    /// ms since the machine was exposed.
    pub age_ms: u64,
    /// ns from one pass of the sampler to the next.
    pub period_ns: u64,
    /// Where the run itself serves gdb, if it does.
    #[serde(default)]
    pub gdb: Option<String>,
}

/// The clocks of a CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuTimes {
    /// ns that it has run.
    pub ran_ns: u64,
    /// ns for which it waited for its host.
    pub steal_ns: u64,
    /// True if it runs, or waits for its host.
    pub is_ready: bool,
}

/// Sends a frame.
///
/// # Errors
/// What the socket says; or if the frame is longer than `limit`.
pub fn send<T: Serialize>(mut to: &UnixStream, frame: &T, limit: usize) -> io::Result<()> {
    to.write_all(&encoded(frame, limit)?)
}

/// Sends a frame and a descriptor with it.
///
/// # Errors
/// As [`send`].
pub fn send_with<T: Serialize>(mut to: &UnixStream, frame: &T, fd: &File) -> io::Result<()> {
    let bytes = encoded(frame, MAX_REPLY)?;
    let fds = [fd.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    if !rights.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("there is no room for a descriptor"));
    }
    let sent = sendmsg(to, &[IoSlice::new(&bytes)], &mut rights, SendFlags::NOSIGNAL)?;
    to.write_all(&bytes[sent..])
}

fn encoded<T: Serialize>(frame: &T, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, frame)?;
    let len = bytes.len() - 4;
    if len > limit {
        return Err(io::Error::other(format!("a frame of {len} bytes is too long: {limit} at most")));
    }
    bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
    Ok(bytes)
}

/// Receives a frame of `limit` bytes at most; `None` if the other side has ended.
///
/// # Errors
/// What the socket says; or if what came is no frame.
pub fn receive<T: DeserializeOwned>(mut from: impl Read, limit: usize) -> io::Result<Option<T>> {
    let mut len = [0; 4];
    match from.read(&mut len[..1])? {
        0 => return Ok(None),
        _ => from.read_exact(&mut len[1..])?,
    }
    body(from, len, limit).map(Some)
}

/// Receives a frame and the descriptor that comes with it, if one does.
///
/// # Errors
/// As [`receive`].
pub fn receive_with<T: DeserializeOwned>(from: &UnixStream) -> io::Result<(T, Option<OwnedFd>)> {
    let mut first = [0; 1];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(from, &mut [IoSliceMut::new(&mut first)], &mut rights, RecvFlags::CMSG_CLOEXEC)?;
    if got.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let fd = rights.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let mut len = [first[0], 0, 0, 0];
    let mut rest = from;
    rest.read_exact(&mut len[1..])?;
    Ok((body(from, len, MAX_REPLY)?, fd))
}

fn body<T: DeserializeOwned>(mut from: impl Read, len: [u8; 4], limit: usize) -> io::Result<T> {
    let len = u32::from_le_bytes(len) as usize;
    if len > limit {
        let message = format!("a frame of {len} bytes is too long: {limit} at most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(request: &Request) -> Vec<u8> {
        encoded(request, MAX_REQUEST).expect("short")
    }

    #[test]
    fn frame_comes_out_as_it_went_in() {
        let poke = Poke { what: "kpreemptpri".to_owned(), addr: 0x1000, bytes: 4, value: 99 };
        for request in
            [Request::Hello { version: VERSION, writable: false }, Request::Write(poke), Request::End]
        {
            let back: Option<Request> = receive(&frame(&request)[..], MAX_REQUEST).expect("a frame");
            assert_eq!(back, Some(request));
        }
        assert_eq!(receive::<Request>(&[][..], MAX_REQUEST).expect("the end"), None);
    }

    #[test]
    fn bytes_that_were_cut_or_changed_are_an_error_or_another_frame_and_never_a_panic() {
        let whole = frame(&Request::Standing { cpu: 3, kick: true });
        for len in 1..whole.len() {
            assert!(receive::<Request>(&whole[..len], MAX_REQUEST).is_err(), "{len} bytes");
        }
        for at in 0..whole.len() {
            for change in [0x01, 0x20, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                if let Ok(Some(request)) = receive::<Request>(&bytes[..], MAX_REQUEST) {
                    assert_ne!(request, Request::Standing { cpu: 3, kick: true }, "byte {at}");
                }
            }
        }
    }

    #[test]
    fn frame_that_says_to_be_long_is_refused_unread() {
        let error = receive::<Request>(&u32::MAX.to_le_bytes()[..], MAX_REQUEST).expect_err("too long");
        assert!(error.to_string().contains("too long"), "{error}");
    }
}
