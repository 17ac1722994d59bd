//! The scenario program: what the VMM wants the kernel to run, as bytes.
//!
//! # Invariants
//! - `encode` and `decode` are inverse; a record that does not decode is refused as a whole.
//! - Order is meaning: thread `n` and interrupt `n` of the scenario file are record `n` here.

use crate::tunable::{COUNT, TUNABLES};
use crate::work::MAX_ARGS;
use crate::{NAME_LEN, pack_name};

/// First word of an encoded program: "UMPPROG1".
pub const PROGRAM_MAGIC: u64 = u64::from_le_bytes(*b"UMPPROG1");

const HEADER_WORDS: usize = 8 + COUNT;
const THREAD_WORDS: usize = NAME_LEN / 8 + 5 + MAX_ARGS;
const INTERRUPT_WORDS: usize = NAME_LEN / 8 + 3;

/// Scheduling class numbers, as the kernel's `t_cid`.
pub mod class {
    /// System threads, 60 to 99, no quantum.
    pub const SYS: u32 = 0;
    /// Time sharing, 0 to 59.
    pub const TS: u32 = 1;
    /// Class names by number.
    pub const NAMES: &[&str] = &["SYS", "TS"];
}

/// The part of a program that is not a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Threads that follow.
    pub nthreads: u32,
    /// Interrupts that follow.
    pub ninterrupts: u32,
    /// Bits of [`crate::mutant`].
    pub mutants: u64,
    /// True if the kernel shall write scheduler events to its rings.
    pub trace: bool,
    /// Tunables by number.
    pub tunables: [i64; COUNT],
}

impl Default for Header {
    fn default() -> Self {
        let mut tunables = [0; COUNT];
        for (value, t) in tunables.iter_mut().zip(TUNABLES) {
            *value = t.default;
        }
        Header { nthreads: 0, ninterrupts: 0, mutants: 0, trace: false, tunables }
    }
}

/// One thread of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread {
    /// `t_name`.
    pub name: [u8; NAME_LEN],
    /// One of [`class`].
    pub class: u32,
    /// `t_pri` at creation.
    pub pri: i32,
    /// The CPU it is bound to, or -1.
    pub cpu: i32,
    /// True if it has an LWP: it is then charged for ticks and can be in user mode.
    pub lwp: bool,
    /// The workload's number.
    pub work: u32,
    /// The workload's arguments.
    pub args: [u64; MAX_ARGS],
}

/// One source of device interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupt {
    /// Its name.
    pub name: [u8; NAME_LEN],
    /// The CPU that takes it.
    pub cpu: u32,
    /// Its priority level, 1 to 9.
    pub pil: u32,
    /// Interrupts a second.
    pub rate_hz: u64,
}

impl Thread {
    /// A SYS thread of this name, unbound, at `pri`, without arguments.
    pub fn named(name: &str, pri: i32, work: usize) -> Thread {
        Thread {
            name: pack_name(name),
            class: class::SYS,
            pri,
            cpu: -1,
            lwp: false,
            work: work as u32,
            args: [0; MAX_ARGS],
        }
    }
}

/// Bytes that a program with so many records takes.
pub const fn encoded_len(nthreads: usize, ninterrupts: usize) -> usize {
    8 * (HEADER_WORDS + nthreads * THREAD_WORDS + ninterrupts * INTERRUPT_WORDS)
}

/// Writes a program into `out`; the header's counts are taken from the lists.
///
/// # Errors
/// `None` if `out` is shorter than [`encoded_len`].
pub fn encode(
    header: &Header,
    threads: &[Thread],
    interrupts: &[Interrupt],
    out: &mut [u8],
) -> Option<usize> {
    let len = encoded_len(threads.len(), interrupts.len());
    let mut w = Words { bytes: out.get_mut(..len)?, at: 0 };
    w.put(PROGRAM_MAGIC);
    w.put(threads.len() as u64);
    w.put(interrupts.len() as u64);
    w.put(header.mutants);
    w.put(u64::from(header.trace));
    for _ in 5..8 {
        w.put(0);
    }
    for &value in &header.tunables {
        w.put(value as u64);
    }
    for t in threads {
        w.put_name(&t.name);
        w.put(u64::from(t.class));
        w.put(t.pri as i64 as u64);
        w.put(t.cpu as i64 as u64);
        w.put(u64::from(t.lwp));
        w.put(u64::from(t.work));
        for &arg in &t.args {
            w.put(arg);
        }
    }
    for i in interrupts {
        w.put_name(&i.name);
        w.put(u64::from(i.cpu));
        w.put(u64::from(i.pil));
        w.put(i.rate_hz);
    }
    Some(len)
}

/// An encoded program, checked for length and magic.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    bytes: &'a [u8],
    header: Header,
}

impl<'a> Program<'a> {
    /// Reads a program.
    ///
    /// # Errors
    /// `None` if the magic is wrong or the bytes are fewer than the counts promise.
    pub fn decode(bytes: &'a [u8]) -> Option<Program<'a>> {
        if bytes.len() < 8 * HEADER_WORDS || word(bytes, 0) != PROGRAM_MAGIC {
            return None;
        }
        let mut tunables = [0; COUNT];
        for (n, value) in tunables.iter_mut().enumerate() {
            *value = word(bytes, 8 + n) as i64;
        }
        let header = Header {
            nthreads: word(bytes, 1) as u32,
            ninterrupts: word(bytes, 2) as u32,
            mutants: word(bytes, 3),
            trace: word(bytes, 4) != 0,
            tunables,
        };
        if header.nthreads as usize > crate::MAX_THREADS || header.ninterrupts > 64 {
            return None;
        }
        let len = encoded_len(header.nthreads as usize, header.ninterrupts as usize);
        Some(Program { bytes: bytes.get(..len)?, header })
    }

    /// Everything but the lists.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The threads, in the order of the scenario.
    pub fn threads(self) -> impl Iterator<Item = Thread> + 'a {
        (0..self.header.nthreads as usize).map(move |n| {
            let at = HEADER_WORDS + n * THREAD_WORDS;
            let field = |k: usize| word(self.bytes, at + NAME_LEN / 8 + k);
            let mut args = [0; MAX_ARGS];
            for (k, arg) in args.iter_mut().enumerate() {
                *arg = field(5 + k);
            }
            Thread {
                name: name(self.bytes, at),
                class: field(0) as u32,
                pri: field(1) as i32,
                cpu: field(2) as i32,
                lwp: field(3) != 0,
                work: field(4) as u32,
                args,
            }
        })
    }

    /// The interrupts, in the order of the scenario.
    pub fn interrupts(self) -> impl Iterator<Item = Interrupt> + 'a {
        let base = HEADER_WORDS + self.header.nthreads as usize * THREAD_WORDS;
        (0..self.header.ninterrupts as usize).map(move |n| {
            let at = base + n * INTERRUPT_WORDS;
            let field = |k: usize| word(self.bytes, at + NAME_LEN / 8 + k);
            Interrupt {
                name: name(self.bytes, at),
                cpu: field(0) as u32,
                pil: field(1) as u32,
                rate_hz: field(2),
            }
        })
    }
}

struct Words<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Words<'_> {
    fn put(&mut self, value: u64) {
        self.bytes[self.at..self.at + 8].copy_from_slice(&value.to_le_bytes());
        self.at += 8;
    }

    fn put_name(&mut self, name: &[u8; NAME_LEN]) {
        self.bytes[self.at..self.at + NAME_LEN].copy_from_slice(name);
        self.at += NAME_LEN;
    }
}

fn word(bytes: &[u8], n: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[8 * n..8 * n + 8]);
    u64::from_le_bytes(raw)
}

fn name(bytes: &[u8], n: usize) -> [u8; NAME_LEN] {
    let mut raw = [0; NAME_LEN];
    raw.copy_from_slice(&bytes[8 * n..8 * n + NAME_LEN]);
    raw
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{unpack_name, work};

    #[test]
    fn decode_of_encode_gives_the_same_program() {
        let mut header = Header { mutants: 5, trace: true, ..Header::default() };
        header.tunables[crate::tunable::KPQPRI] = -1;
        let mut thread = Thread::named("mac_soft_ring_worker", 99, work::SOFT_RING);
        thread.cpu = 1;
        thread.args[1] = work::NOBODY;
        let interrupt = Interrupt { name: pack_name("nic0"), cpu: 0, pil: 6, rate_hz: 1000 };
        let mut bytes = [0; 4096];
        let len = encode(&header, &[thread, thread], &[interrupt], &mut bytes).expect("room for all of it");
        let program = Program::decode(&bytes[..len]).expect("what was encoded decodes");
        assert_eq!(program.header(), &Header { nthreads: 2, ninterrupts: 1, ..header });
        assert!(program.threads().eq([thread, thread]));
        assert!(program.interrupts().eq([interrupt]));
        assert_eq!(unpack_name(&thread.name), "mac_soft_ring_worker");
    }

    #[test]
    fn decode_of_a_cut_or_foreign_program_is_refused() {
        let mut bytes = [0; 4096];
        let thread = Thread::named("t", 60, work::SPIN);
        let len = encode(&Header::default(), &[thread], &[], &mut bytes).expect("room for all of it");
        assert!(Program::decode(&bytes[..len - 1]).is_none());
        bytes[0] ^= 1;
        assert!(Program::decode(&bytes[..len]).is_none());
        assert!(Program::decode(&[]).is_none());
    }

    #[test]
    fn encode_into_a_short_buffer_is_refused() {
        assert!(encode(&Header::default(), &[], &[], &mut [0; 8]).is_none());
    }
}
