//! Words of flags, as mdb's STREAMS commands take and tell them: a table for each word, whose positions are bit numbers.
//!
//! # Invariants
//! - A bit without a meaning has its number as its name, so that every bit can be asked for.
//! - Names are the kernel's own vocabulary: a test compares them.

/// A bit: its name, and what it means.
pub(crate) type Bit = (&'static str, &'static str);

/// Bits of `q_flag`.
pub(crate) const QUEUE: &[Bit] = &[
    ("QENAB", "Queue is already enabled to run"),
    ("QWANTR", "Someone wants to read Q"),
    ("QWANTW", "Someone wants to write Q"),
    ("QFULL", "Q is considered full"),
    ("QREADR", "This is the reader (first) Q"),
    ("QUSE", "This queue in use (allocation)"),
    ("QNOENB", "putq does not enable the Q"),
    ("QWANTRMQSYNC", "removal waits for the syncq"),
    ("QBACK", "Q has been back-enabled"),
    ("0x200", "unused"),
    ("0x400", "unused"),
    ("QPAIR", "one perimeter for the pair"),
    ("QPERQ", "one perimeter for each Q"),
    ("QPERMOD", "one perimeter for the module"),
    ("QMTSAFE", "stream module is MT-safe"),
    ("QMTOUTPERIM", "has an outer perimeter"),
    ("QINSERVICE", "service routine runs"),
    ("QWCLOSE", "Q is closing, will not be enabled"),
    ("QEND", "last queue in stream"),
    ("QWANTWSYNC", "streamhead wants to write Q"),
    ("QSYNCSTR", "Q supports synchronous STREAMS"),
    ("QISDRV", "the Queue is attached to a driver"),
    ("0x400000", "unused"),
    ("0x800000", "unused"),
    ("0x1000000", "unused"),
    ("0x2000000", "unused"),
    ("_QINSERTING", "module is being inserted"),
    ("_QREMOVING", "module is being removed"),
    ("_QASSOCIATED", "a device is associated with the Q"),
    ("_QDIRECT", "directly used by another module"),
    ("_QSINGLE_INSTANCE", "one instance a stream"),
];

/// Bits of `sq_flags`.
pub(crate) const SYNCQ: &[Bit] = &[
    ("SQ_EXCL", "one thread has it for itself"),
    ("SQ_BLOCKED", "qprocsoff keeps others out"),
    ("SQ_FROZEN", "freezestr keeps others out"),
    ("SQ_WRITER", "outer writer pending or running"),
    ("SQ_MESSAGES", "messages are parked"),
    ("SQ_WANTWAKEUP", "threads wait to come in"),
    ("SQ_WANTEXWAKEUP", "threads wait for one to leave"),
    ("SQ_EVENTS", "events are pending"),
];

/// Bits of `sq_type` from bit 8 on, as `::syncq` shows them.
pub(crate) const SYNCQ_TYPE: &[Bit] = &[
    ("SQ_CIPUT", "concurrent inner put"),
    ("SQ_CISVC", "concurrent inner service"),
    ("SQ_CIOC", "concurrent inner open/close"),
    ("SQ_CICB", "concurrent inner callback"),
    ("SQ_COPUT", "concurrent outer put"),
    ("SQ_COSVC", "concurrent outer service"),
    ("SQ_COOC", "concurrent outer open/close"),
    ("SQ_COCB", "concurrent outer callback"),
];

/// Bits of `sd_flag`.
pub(crate) const STDATA: &[Bit] = &[
    ("IOCWAIT", "an ioctl is in progress"),
    ("RSLEEP", "someone sleeps to read"),
    ("WSLEEP", "someone sleeps to write"),
    ("STRPRI", "a priority message is at the head"),
    ("STRHUP", "the stream has been hung up"),
    ("STWOPEN", "the stream is being opened"),
    ("STPLEX", "linked below a multiplexor"),
    ("STRISTTY", "a terminal"),
    ("STRGETINPROG", "a get is in progress"),
    ("IOCWAITNE", "an ioctl waits whatever the error"),
    ("STRDERR", "fatal read error"),
    ("STWRERR", "fatal write error"),
    ("STRDERRNONPERSIST", "read error for one reader"),
    ("STWRERRNONPERSIST", "write error for one writer"),
    ("STRCLOSE", "being closed"),
    ("SNDMREAD", "readers send M_READ"),
    ("OLDNDELAY", "old O_NDELAY"),
    ("STRXPG4TTY", "XPG4 terminal"),
    ("0x40000", "unused"),
    ("STRTOSTOP", "background writers stop"),
    ("STRCMDWAIT", "a command is in progress"),
    ("0x200000", "unused"),
    ("STRMOUNT", "mounted"),
    ("STRNOTATMARK", "not at the mark"),
    ("STRDELIM", "messages are delimited"),
    ("STRATMARK", "at the mark"),
    ("STZCNOTIFY", "zero copy is notified"),
    ("STRPLUMB", "modules are being pushed or popped"),
    ("STREOF", "end of file"),
    ("STREOPENFAIL", "a reopen has failed"),
    ("STRMATE", "an end of a pipe"),
    ("STRHASLINKS", "has streams linked below"),
];

/// Bits of `b_flag`.
pub(crate) const MBLK: &[Bit] = &[
    ("MSGMARK", "last byte of message is marked"),
    ("MSGNOLOOP", "message is not to be looped back"),
    ("MSGDELIM", "message is delimited"),
    ("0x08", "unused"),
    ("MSGMARKNEXT", "next byte is marked"),
    ("MSGNOTMARKNEXT", "next byte is not marked"),
    ("MSGWAITSYNC", "sender waits for the reader"),
];

/// Message types: name, short name, `db_type`.
pub(crate) const TYPES: &[(&str, &str, u8)] = &[
    ("M_DATA", "data", 0x00),
    ("M_PROTO", "proto", 0x01),
    ("M_MULTIDATA", "multidata", 0x02),
    ("M_BREAK", "break", 0x08),
    ("M_PASSFP", "passfp", 0x09),
    ("M_EVENT", "event", 0x0a),
    ("M_SIG", "sig", 0x0b),
    ("M_DELAY", "delay", 0x0c),
    ("M_CTL", "ctl", 0x0d),
    ("M_IOCTL", "ioctl", 0x0e),
    ("M_SETOPTS", "setopts", 0x10),
    ("M_RSE", "rse", 0x11),
    ("M_IOCACK", "iocack", 0x81),
    ("M_IOCNAK", "iocnak", 0x82),
    ("M_PCPROTO", "pcproto", 0x83),
    ("M_PCSIG", "pcsig", 0x84),
    ("M_READ", "read", 0x85),
    ("M_FLUSH", "flush", 0x86),
    ("M_STOP", "stop", 0x87),
    ("M_START", "start", 0x88),
    ("M_HANGUP", "hangup", 0x89),
    ("M_ERROR", "error", 0x8a),
    ("M_COPYIN", "copyin", 0x8b),
    ("M_COPYOUT", "copyout", 0x8c),
    ("M_IOCDATA", "iocdata", 0x8d),
    ("M_PCRSE", "pcrse", 0x8e),
    ("M_STOPI", "stopi", 0x8f),
    ("M_STARTI", "starti", 0x90),
    ("M_PCEVENT", "pcevent", 0x91),
    ("M_UNHANGUP", "unhangup", 0x92),
    ("M_CMD", "cmd", 0x93),
];

/// The short name of a type: `proto`.
pub(crate) fn type_name(db_type: u64) -> String {
    // Numbers between the ordinary types are known to be nobody's.
    let unused = |n: u64| matches!(n, 0x03..=0x07 | 0x0f).then(|| format!("{n:#04x}"));
    let known =
        TYPES.iter().find(|(_, _, n)| u64::from(*n) == db_type).map(|(_, short, _)| (*short).to_owned());
    known.or_else(|| unused(db_type)).unwrap_or_else(|| "UNKNOWN".to_owned())
}

/// A list of the bits that are set, below a row, joined to it by an arrow from a column.
pub(crate) fn arrow(table: &[Bit], bits: u64, column: usize) -> String {
    listed(table, bits, column, &mut false)
}

/// [`arrow`], which is drawn only once for several lists.
pub(crate) fn listed(table: &[Bit], bits: u64, column: usize, is_drawn: &mut bool) -> String {
    let mut text = String::new();
    for (_, (name, about)) in table.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1) {
        let front = if std::mem::replace(is_drawn, true) {
            format!("\n{:column$}      ", "")
        } else {
            format!("\n{:column$}|\n{:column$}+-->  ", "", "")
        };
        text += &format!("{front}{name:<12} {about}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_shared::sys::{Flags, stream, stropts, strsubr};

    fn is_vocabulary(table: &[Bit], names: Flags, shift: u32) {
        for name in names.all().iter().filter(|name| name.value >> shift != 0) {
            let bit = (name.value >> shift).trailing_zeros() as usize;
            assert_eq!(table.get(bit).map(|of| of.0), Some(name.name), "bit {bit}");
        }
        let meant = table.iter().filter(|of| !of.0.starts_with("0x")).count();
        assert_eq!(meant, names.all().iter().filter(|name| name.value >> shift != 0).count());
    }

    #[test]
    fn tables_are_the_kernels_vocabulary() {
        is_vocabulary(QUEUE, stream::q::NAMES, 0);
        is_vocabulary(SYNCQ, strsubr::sq::NAMES, 0);
        is_vocabulary(SYNCQ_TYPE, strsubr::sqtype::NAMES, 8);
        is_vocabulary(STDATA, stropts::sd::NAMES, 0);
        is_vocabulary(MBLK, stream::msg::NAMES, 0);
        for (name, _, value) in TYPES {
            assert_eq!(stream::m::NAMES.value(name), Some(u64::from(*value)), "{name}");
        }
        assert_eq!(TYPES.len(), stream::m::COUNT);
    }

    #[test]
    fn second_list_has_no_arrow_of_its_own() {
        let mut is_drawn = false;
        let first = listed(SYNCQ, 0x11, 3, &mut is_drawn);
        assert_eq!(
            first,
            "\n   |\n   +-->  SQ_EXCL      one thread has it for itself\n         SQ_MESSAGES  messages are parked"
        );
        assert_eq!(listed(SYNCQ_TYPE, 1, 5, &mut is_drawn), "\n           SQ_CIPUT     concurrent inner put");
        assert_eq!(arrow(SYNCQ, 0, 3), "");
    }

    #[test]
    fn type_without_a_name_is_unknown() {
        assert_eq!(type_name(0x83), "pcproto");
        assert_eq!(type_name(0x03), "0x03");
        assert_eq!(type_name(0xee), "UNKNOWN");
    }
}
