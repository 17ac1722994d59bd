//! `sys/stropts.h` and `sys/poll.h`: what a program asks of a stream.
//!
//! # Invariants
//! - Numbers are Solaris's.

/// The group of stream ioctls.
const GROUP: u32 = (b'S' as u32) << 8;

values! {
    /// Ioctls of a stream head.
    ioc: u32, "I_" {
        /// Bytes of the first message.
        NREAD = super::GROUP | 1;
        /// Push a module.
        PUSH = super::GROUP | 2;
        /// Pop one.
        POP = super::GROUP | 3;
        /// Its name.
        LOOK = super::GROUP | 4;
        /// Throw messages away.
        FLUSH = super::GROUP | 5;
        /// Set the read mode.
        SRDOPT = super::GROUP | 6;
        /// Get it.
        GRDOPT = super::GROUP | 7;
        /// An ioctl for a module.
        STR = super::GROUP | 8;
        /// Ask for signals.
        SETSIG = super::GROUP | 9;
        /// Which were asked for.
        GETSIG = super::GROUP | 10;
        /// Is a module there.
        FIND = super::GROUP | 11;
        /// Link a stream below a multiplexor.
        LINK = super::GROUP | 12;
        /// Take it away.
        UNLINK = super::GROUP | 13;
        /// Look at the first message.
        PEEK = super::GROUP | 15;
        /// Send with a reference to another stream.
        FDINSERT = super::GROUP | 16;
        /// Pass a file.
        SENDFD = super::GROUP | 17;
        /// Names of all modules.
        LIST = super::GROUP | 21;
        /// A link that outlives its stream.
        PLINK = super::GROUP | 22;
        /// Take that away.
        PUNLINK = super::GROUP | 23;
        /// Below this nothing is popped.
        ANCHOR = super::GROUP | 24;
        /// Flush one band.
        FLUSHBAND = super::GROUP | 28;
        /// Is a band there.
        CKBAND = super::GROUP | 29;
        /// The first message's band.
        GETBAND = super::GROUP | 30;
        /// Is the first message marked.
        ATMARK = super::GROUP | 31;
        /// How long a close waits.
        SETCLTIME = super::GROUP | 32;
        /// Get that.
        GETCLTIME = super::GROUP | 33;
        /// May a band be written.
        CANPUT = super::GROUP | 34;
        /// A command.
        CMD = super::GROUP | 51;
    }
}

flags! {
    /// What `poll` asks for and answers.
    poll: u32, "POLL" {
        /// Something to read.
        IN = 0x0001;
        /// A message of high priority.
        PRI = 0x0002;
        /// Room to write.
        OUT = 0x0004;
        /// An error.
        ERR = 0x0008;
        /// The other end is gone.
        HUP = 0x0010;
        /// The stream is linked below a multiplexor.
        NVAL = 0x0020;
        /// A message of band 0.
        RDNORM = 0x0040;
        /// A message of another band.
        RDBAND = 0x0080;
        /// Room in some band that is there.
        WRBAND = 0x0100;
    }
}

flags! {
    /// How a read treats the ends of messages and control parts (`I_SRDOPT`); 0 is a stream of bytes (`RNORM`).
    rdopt: u32, "R" {
        /// A read takes of one message; what is left of it is thrown away.
        MSGD = 0x01;
        /// A read takes of one message; what is left of it stays.
        MSGN = 0x02;
        /// Control parts are read as data.
        PROTDAT = 0x04;
        /// Control parts are thrown away.
        PROTDIS = 0x08;
        /// A control part fails the read.
        PROTNORM = 0x10;
    }
}

flags! {
    /// Bits of `sd_read_opt`.
    readopt: u32, "RD_" {
        /// `RMSGD`.
        MSGDIS = 0x1;
        /// `RMSGN`.
        MSGNODIS = 0x2;
        /// `RPROTDAT`.
        PROTDAT = 0x4;
        /// `RPROTDIS`.
        PROTDIS = 0x8;
    }
}

flags! {
    /// Events of which a thread may be told (`I_SETSIG`).
    sig: u32, "S_" {
        /// Something to read that is not of high priority.
        INPUT = 0x0001;
        /// A message of high priority.
        HIPRI = 0x0002;
        /// Room to write in band 0.
        OUTPUT = 0x0004;
        /// A message has brought SIGPOLL.
        MSG = 0x0008;
        /// An error.
        ERROR = 0x0010;
        /// Hung up.
        HANGUP = 0x0020;
        /// A message of band 0.
        RDNORM = 0x0040;
        /// A message of another band.
        RDBAND = 0x0080;
        /// Room in another band.
        WRBAND = 0x0100;
        /// With `RDBAND`: SIGURG instead of SIGPOLL.
        BANDURG = 0x0200;
    } masks {
        /// All of them.
        ALL = INPUT | HIPRI | OUTPUT | MSG | ERROR | HANGUP | RDNORM | RDBAND | WRBAND | BANDURG;
    }
}

/// `I_ATMARK`: marked by whoever (`ANYMARK`).
pub const ANYMARK: u32 = 0x1;
/// `I_ATMARK`: the last that is marked (`LASTMARK`).
pub const LASTMARK: u32 = 0x2;
/// `getmsg`: any message (`MSG_ANY`).
pub const MSG_ANY: u32 = 0x2;
/// `getmsg`, `putmsg`: high priority (`MSG_HIPRI`).
pub const MSG_HIPRI: u32 = 0x1;
/// `getmsg`, `putmsg`: a band (`MSG_BAND`).
pub const MSG_BAND: u32 = 0x4;
/// There is more of the control part (`MORECTL`).
pub const MORECTL: u32 = 1;
/// There is more data (`MOREDATA`).
pub const MOREDATA: u32 = 2;

flags! {
    /// Bits of `sd_flag`.
    sd: u32, "" {
        /// An ioctl is under way.
        IOCWAIT = 1 << 0;
        /// A reader sleeps.
        RSLEEP = 1 << 1;
        /// A writer sleeps.
        WSLEEP = 1 << 2;
        /// A message of high priority is queued.
        STRPRI = 1 << 3;
        /// Hung up.
        STRHUP = 1 << 4;
        /// Being opened.
        STWOPEN = 1 << 5;
        /// Linked below a multiplexor.
        STPLEX = 1 << 6;
        /// A terminal.
        STRISTTY = 1 << 7;
        /// A getmsg is at work on the first message.
        STRGETINPROG = 1 << 8;
        /// An ioctl waits without regard to errors.
        IOCWAITNE = 1 << 9;
        /// Readers get an error.
        STRDERR = 1 << 10;
        /// Writers get an error.
        STWRERR = 1 << 11;
        /// Only one reader does.
        STRDERRNONPERSIST = 1 << 12;
        /// Only one writer does.
        STWRERRNONPERSIST = 1 << 13;
        /// Being closed.
        STRCLOSE = 1 << 14;
        /// Readers announce themselves by `M_READ`.
        SNDMREAD = 1 << 15;
        /// The old O_NDELAY.
        OLDNDELAY = 1 << 16;
        /// A terminal of XPG4.
        STRXPG4TTY = 1 << 17;
        /// Background writers are stopped.
        STRTOSTOP = 1 << 19;
        /// A command is under way.
        STRCMDWAIT = 1 << 20;
        /// Mounted.
        STRMOUNT = 1 << 22;
        /// Not at the mark.
        STRNOTATMARK = 1 << 23;
        /// Messages are delimited.
        STRDELIM = 1 << 24;
        /// At the mark.
        STRATMARK = 1 << 25;
        /// Zero copy is notified.
        STZCNOTIFY = 1 << 26;
        /// Being plumbed.
        STRPLUMB = 1 << 27;
        /// At its end.
        STREOF = 1 << 28;
        /// An open has failed.
        STREOPENFAIL = 1 << 29;
        /// An end of a pipe, or a FIFO.
        STRMATE = 1 << 30;
        /// Has streams linked below it.
        STRHASLINKS = 1 << 31;
    }
}
