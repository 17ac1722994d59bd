//! `sys/stream.h`: queues, bands, message blocks and what they are marked with.
//!
//! # Invariants
//! - Numbers are Solaris's. A type is of high priority if and only if it has [`QPCTL`].

flags! {
    /// Bits of `q_flag`.
    q: u32, "" {
        /// On its stream's list of queues to be serviced, or about to be serviced.
        QENAB = 0x1;
        /// Somebody wants to read: the next message enables the queue.
        QWANTR = 0x2;
        /// Somebody wants to write: below the low-water mark the one behind is enabled.
        QWANTW = 0x4;
        /// At the high-water mark.
        QFULL = 0x8;
        /// The read side of its pair.
        QREADR = 0x10;
        /// In use.
        QUSE = 0x20;
        /// Not to be enabled by `putq`.
        QNOENB = 0x40;
        /// `rwnext` waits for messages to leave the syncq.
        QWANTRMQSYNC = 0x80;
        /// It has been back-enabled.
        QBACK = 0x100;
        /// One inner perimeter for the pair (`D_MTQPAIR`).
        QPAIR = 0x800;
        /// One inner perimeter for each queue (`D_MTPERQ`).
        QPERQ = 0x1000;
        /// One inner perimeter for the whole module (`D_MTPERMOD`).
        QPERMOD = 0x2000;
        /// No inner perimeter (`D_MP`).
        QMTSAFE = 0x4000;
        /// It has an outer perimeter.
        QMTOUTPERIM = 0x8000;
        /// Its service procedure is about to run or runs.
        QINSERVICE = 0x1_0000;
        /// `qprocsoff` has been called: nothing is to be enabled any more.
        QWCLOSE = 0x2_0000;
        /// The stream's last queue in its direction.
        QEND = 0x4_0000;
        /// Synchronous STREAMS: a writer waits for the syncq.
        QWANTWSYNC = 0x8_0000;
        /// Synchronous STREAMS.
        QSYNCSTR = 0x10_0000;
        /// A driver's.
        QISDRV = 0x20_0000;
        /// `_I_INSERT` is putting it in.
        _QINSERTING = 0x400_0000;
        /// `_I_REMOVE` is taking it out.
        _QREMOVING = 0x800_0000;
        /// `_QASSOCIATED`: a device information node goes with it.
        _QASSOCIATED = 0x1000_0000;
        /// Layered under a `_D_DIRECT` consumer.
        _QDIRECT = 0x2000_0000;
        /// A module of which one instance a stream is enough.
        _QSINGLE_INSTANCE = 0x4000_0000;
    }
}

flags! {
    /// Bits of `qb_flag`.
    qb: u32, "QB_" {
        /// The band is at its high-water mark.
        FULL = 0x1;
        /// Somebody wants to write to the band.
        WANTW = 0x2;
        /// The band has been back-enabled.
        BACK = 0x4;
    }
}

flags! {
    /// Bits of `b_flag`.
    msg: u16, "MSG" {
        /// The last byte is marked.
        MARK = 0x01;
        /// `M_FLUSH`: not to be turned round again.
        NOLOOP = 0x02;
        /// The end of a message of its own.
        DELIM = 0x04;
        /// The byte after this one is marked.
        MARKNEXT = 0x10;
        /// The byte after this one is not marked.
        NOTMARKNEXT = 0x20;
        /// `rwnext` waits for it.
        WAITSYNC = 0x40;
    }
}

flags! {
    /// Bits of `db_flags`.
    dbf: u8, "DBLK_" {
        /// The buffer looks shared although one mblk has it: the least reference count is 2 (`esballoca`).
        REFMIN = 0x1;
        /// `mblk` flow control: processed by TCP.
        COOKED = 0x2;
        /// Asynchronous uioa.
        UIOA = 0x4;
    }
}

values! {
    /// Values of `db_type`: message types.
    m: u8, "M_" {
        /// Bytes of a user.
        DATA = 0x00;
        /// What modules say to each other.
        PROTO = 0x01;
        /// Several buffers of data.
        MULTIDATA = 0x02;
        /// A line break.
        BREAK = 0x08;
        /// A passed file.
        PASSFP = 0x09;
        /// An event.
        EVENT = 0x0a;
        /// A signal, in order.
        SIG = 0x0b;
        /// A delay of a line.
        DELAY = 0x0c;
        /// What neighbouring modules say to each other.
        CTL = 0x0d;
        /// An ioctl.
        IOCTL = 0x0e;
        /// Options for the stream head.
        SETOPTS = 0x10;
        /// Reserved.
        RSE = 0x11;
        /// An ioctl was carried out.
        IOCACK = 0x81;
        /// An ioctl was refused.
        IOCNAK = 0x82;
        /// `M_PROTO` of high priority.
        PCPROTO = 0x83;
        /// A signal, at once.
        PCSIG = 0x84;
        /// Somebody reads.
        READ = 0x85;
        /// Throw messages away.
        FLUSH = 0x86;
        /// Stop output at once.
        STOP = 0x87;
        /// Begin output again.
        START = 0x88;
        /// The other end is gone.
        HANGUP = 0x89;
        /// An error that stays.
        ERROR = 0x8a;
        /// Copy from the user for a transparent ioctl.
        COPYIN = 0x8b;
        /// Copy to the user for a transparent ioctl.
        COPYOUT = 0x8c;
        /// The answer to `M_COPYIN` and `M_COPYOUT`.
        IOCDATA = 0x8d;
        /// Reserved, of high priority.
        PCRSE = 0x8e;
        /// Stop input at once.
        STOPI = 0x8f;
        /// Begin input again.
        STARTI = 0x90;
        /// An event, of high priority.
        PCEVENT = 0x91;
        /// The other end is back.
        UNHANGUP = 0x92;
        /// A command.
        CMD = 0x93;
    }
}

/// The bit of message types of high priority, and their class.
pub const QPCTL: u8 = 0x80;
/// The class of all others.
pub const QNORM: u8 = 0x00;

/// True for types that `FLUSHDATA` throws away.
pub const fn is_datalike(db_type: u8) -> bool {
    matches!(db_type, m::DATA | m::PROTO | m::PCPROTO | m::DELAY | m::MULTIDATA)
}

flags! {
    /// Bits of the first byte of `M_FLUSH`.
    flush: u8, "FLUSH" {
        /// The read side.
        R = 0x01;
        /// The write side.
        W = 0x02;
        /// Only the band that the next byte names.
        BAND = 0x04;
    } masks {
        /// Both sides.
        RW = R | W;
    }
}

/// `flushq`: data only.
pub const FLUSHDATA: i32 = 0;
/// `flushq`: everything.
pub const FLUSHALL: i32 = 1;
/// Bands of a queue, the queue itself being band 0 (`NBAND`).
pub const NBAND: usize = 256;
/// High-water mark of most stream heads.
pub const STRHIGH: usize = 5120;
/// Low-water mark of most stream heads.
pub const STRLOW: usize = 1024;
/// No limit to the size of a packet.
pub const INFPSZ: i64 = -1;
/// A byte of `M_ERROR` that leaves its side alone.
pub const NOERROR: u8 = 255;

values! {
    /// What `strqset` and `strqget` are about (`qfields_t`).
    qfield: u32, "" {
        /// `q_hiwat`.
        QHIWAT = 0;
        /// `q_lowat`.
        QLOWAT = 1;
        /// `q_maxpsz`.
        QMAXPSZ = 2;
        /// `q_minpsz`.
        QMINPSZ = 3;
        /// `q_count`.
        QCOUNT = 4;
        /// `q_first`.
        QFIRST = 5;
        /// `q_last`.
        QLAST = 6;
        /// `q_flag`.
        QFLAG = 7;
        /// `q_struiot`.
        QSTRUIOT = 8;
    }
}
