//! The scenario program as bytes.
//!
//! # Invariants
//! - `encode` and `decode` are inverse; bytes that do not decode are refused as a whole.
//! - A program is its magic, the lengths of its lists, its header, and its lists in the order of `lists!`.

use super::wire::{Field, Reader, Writer};
use super::{Event, Header, Interrupt, Project, Pset, Stream, TableRow, TaskQueue, Thread};
use crate::MAX_THREADS;

/// First word of an encoded program: "UMPPROG8".
pub const PROGRAM_MAGIC: u64 = u64::from_le_bytes(*b"UMPPROG8");

/// Most task queues.
pub const MAX_TASKQS: usize = 32;
/// Most streams.
pub const MAX_STREAMS: usize = 32;
/// Most records of a list that is not the threads'.
const MAX_RECORDS: usize = 1024;

/// Declares the lists of a program in the order in which they are encoded, each with the type and the greatest number of its
/// records.
macro_rules! lists {
    ($($(#[$doc:meta])* $list:ident: $record:ty, $most:expr;)*) => {
        #[allow(non_camel_case_types)]
        enum List { $($list),* }

        const LISTS: usize = [$(List::$list as usize),*].len();
        /// Words of a record, and most records, by list.
        const SIZES: [(usize, usize); LISTS] = [$((<$record as Field>::WORDS, $most)),*];

        /// The lists of a program.
        #[derive(Debug, Clone, Copy, Default)]
        pub struct Lists<'a> { $($(#[$doc])* pub $list: &'a [$record],)* }

        impl Lists<'_> {
            fn lengths(&self) -> [usize; LISTS] {
                [$(self.$list.len()),*]
            }

            fn put(&self, to: &mut Writer<'_>) {
                $(to.all(self.$list);)*
            }
        }

        impl<'a> Program<'a> {
            $($(#[$doc])*
            pub fn $list(self) -> impl ExactSizeIterator<Item = $record> + 'a {
                let records = self.records::<$record>(List::$list);
                records.map(|record| record.expect("invariant: decode has read every record"))
            })*

            /// True if every record can be read.
            fn is_sound(self) -> bool {
                true $(&& self.records::<$record>(List::$list).all(|record| record.is_some()))*
            }
        }
    };
}

lists! {
    /// The threads, in the order of the scenario.
    threads: Thread, MAX_THREADS;
    /// The sources of interrupts, in the order of the scenario.
    interrupts: Interrupt, MAX_RECORDS;
    /// The projects, in the order of the scenario.
    projects: Project, MAX_RECORDS;
    /// The processor sets, in the order of the scenario; the default one is not among them.
    psets: Pset, MAX_RECORDS;
    /// The task queues, in the order of the scenario.
    taskqs: TaskQueue, MAX_TASKQS;
    /// The streams, in the order of the scenario.
    streams: Stream, MAX_STREAMS;
    /// The events, by time.
    events: Event, MAX_RECORDS;
    /// The rows of dispatcher tables.
    tables: TableRow, MAX_RECORDS;
}

/// Bytes for messages of a program that has packets, and no STREAMS.
pub const PACKET_MEMORY: usize = 128 << 10;

/// Words before the header: the magic, and the lengths.
const HEADER_AT: usize = 1 + LISTS;
/// Words before the lists.
const LISTS_AT: usize = HEADER_AT + Header::WORDS;

/// Bytes that a program with these lists takes.
pub fn encoded_len(lists: &Lists<'_>) -> usize {
    8 * (LISTS_AT + words(&lists.lengths()))
}

/// Words of lists, from the first on.
fn words(lengths: &[usize]) -> usize {
    lengths.iter().zip(SIZES).map(|(n, (size, _))| n * size).sum()
}

/// Writes a program into `out` and returns its length.
///
/// # Errors
/// `None` if `out` is shorter than [`encoded_len`].
pub fn encode(header: &Header, lists: &Lists<'_>, out: &mut [u8]) -> Option<usize> {
    let len = encoded_len(lists);
    let mut w = Writer::new(out.get_mut(..len)?);
    w.word(PROGRAM_MAGIC);
    w.all(&lists.lengths().map(|n| n as u64));
    header.put(&mut w);
    lists.put(&mut w);
    Some(len)
}

/// An encoded program, checked as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    bytes: &'a [u8],
    header: Header,
    lengths: [usize; LISTS],
}

impl<'a> Program<'a> {
    /// Reads a program.
    ///
    /// # Errors
    /// `None` if the magic is wrong, a list is too long, the bytes are fewer than the counts promise, an event has a number that
    /// is no verb, or a thread's workload is not declared.
    pub fn decode(bytes: &'a [u8]) -> Option<Program<'a>> {
        if bytes.len() < 8 * LISTS_AT {
            return None;
        }
        let mut r = Reader::new(bytes, 0);
        if r.word() != PROGRAM_MAGIC {
            return None;
        }
        let mut lengths = [0; LISTS];
        for (length, (_, most)) in lengths.iter_mut().zip(SIZES) {
            *length = usize::try_from(r.word()).ok().filter(|n| *n <= most)?;
        }
        let header = Header::get(&mut r)?;
        let len = 8 * (LISTS_AT + words(&lengths));
        let program = Program { bytes: bytes.get(..len)?, header, lengths };
        program.is_sound().then_some(program)
    }

    /// Bytes for messages: what `strmem` says, or, for packets alone, 128 KiB; 0 if there is nothing of either.
    pub fn message_bytes(self) -> usize {
        match self.header().tunables[crate::tunable::STRMEM] {
            0 if self.threads().any(|t| t.work.has_packets()) => PACKET_MEMORY,
            bytes => bytes.max(0) as usize,
        }
    }

    /// Everything but the lists.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many threads there are.
    pub fn nthreads(&self) -> u32 {
        self.lengths[List::threads as usize] as u32
    }

    /// The records of a list; `None` for one that cannot be read.
    fn records<R: Field + 'a>(self, list: List) -> impl ExactSizeIterator<Item = Option<R>> + 'a {
        let list = list as usize;
        let (base, bytes) = (LISTS_AT + words(&self.lengths[..list]), self.bytes);
        (0..self.lengths[list]).map(move |n| R::get(&mut Reader::new(bytes, base + n * R::WORDS)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NO_CHANGE, Verb, binding, class};
    use super::*;
    use crate::work::compute::Spin;
    use crate::work::network::SoftRing;
    use crate::work::{IntrRef, MAX_ARGS, ThreadRef, WORKS, find};
    use crate::{mutant, pack_name, unpack_name};

    #[test]
    fn decode_of_encode_gives_the_same_program() {
        let mut header = Header {
            mutants: mutant::Set::from(mutant::CLOCK_STOPS).and(mutant::NO_RATIFY),
            trace: crate::program::trace::ALL,
            console: true,
            script_class: class::RT,
            script_pri: 20,
            chips: 2,
            cores: 2,
            strands: 4,
            lgroups: 2,
            memory: 3 << 20,
            pool: 7,
            ..Header::default()
        };
        header.tunables[crate::tunable::KPQPRI] = -1;
        let mut thread = Thread::named("mac_soft_ring_worker", 99, SoftRing::defaults(IntrRef(0)));
        thread.cpu = 1;
        thread.upri = -20;
        thread.binding = binding::SOFT;
        thread.lgroup = 1;
        let interrupt = Interrupt { burst: 16, from: 1, ..Interrupt::named("nic0", 0, 6, 1000) };
        let project = Project {
            name: pack_name("batch"),
            shares: 3,
            zone: 1,
            zone_shares: 10,
            cap: 250,
            zone_cap: 300,
        };
        let pset = Pset { name: pack_name("p1"), cpus: 0b1100 };
        let taskq = super::super::TaskQueue {
            name: pack_name("tq"),
            nthreads: 3,
            pri: 99,
            minalloc: 4,
            maxalloc: 5,
            instance: -1,
            duty_cycle: 80,
            flags: 0x10_0011,
        };
        let stream = super::super::Stream {
            name: pack_name("str"),
            driver: 1,
            modules: [2, 3, 0, 0, 0, 0, 0, 0, 4],
            perimeter: 5,
            hiwat: 6,
            lowat: 7,
            module_hiwat: 8,
            module_lowat: 9,
            links: [11, 0, 0, 12],
            peer: 13,
            close_ns: 10,
        };
        let event = Event { at_ns: 7, verb: Verb::Bind, target: 1, args: [-1, NO_CHANGE, 2, 3, 4] };
        let row = TableRow { class: class::TS, values: [20, 0, 50, 0, -1] };
        let lists = Lists {
            threads: &[thread, thread],
            interrupts: &[interrupt],
            projects: &[project, project],
            psets: &[pset],
            taskqs: &[taskq, taskq],
            streams: &[stream],
            events: &[event, event, event],
            tables: &[row],
        };
        let mut bytes = [0; 8192];

        let len = encode(&header, &lists, &mut bytes).expect("room for all of it");
        let program = Program::decode(&bytes[..len]).expect("what was encoded decodes");

        assert_eq!(len, encoded_len(&lists));
        assert_eq!(program.header(), &header);
        assert!(program.threads().eq([thread, thread]));
        assert!(program.interrupts().eq([interrupt]));
        assert!(program.projects().eq([project, project]));
        assert!(program.psets().eq([pset]));
        assert!(program.streams().eq([stream]));
        assert!(program.events().eq([event, event, event]));
        assert!(program.tables().eq([row]));
        assert_eq!(unpack_name(&thread.name), "mac_soft_ring_worker");
    }

    #[test]
    fn decode_of_a_cut_or_foreign_program_is_refused() {
        let mut bytes = [0; 4096];
        let lists = Lists { threads: &[Thread::named("t", 60, Spin::defaults())], ..Lists::default() };
        let len = encode(&Header::default(), &lists, &mut bytes).expect("room for all of it");
        assert!(Program::decode(&bytes[..len - 1]).is_none());
        bytes[0] ^= 1;
        assert!(Program::decode(&bytes[..len]).is_none());
        assert!(Program::decode(&[]).is_none());
    }

    #[test]
    fn decode_of_a_workload_that_is_none_is_refused() {
        let mut bytes = [0; 4096];
        let lists = Lists { threads: &[Thread::named("t", 60, Spin::defaults())], ..Lists::default() };
        let len = encode(&Header::default(), &lists, &mut bytes).expect("room for all of it");
        let number_at = len - 8 * (1 + MAX_ARGS);
        assert_eq!(usize::from(bytes[number_at]), find("spin").expect("a workload"));
        bytes[number_at] = WORKS.len() as u8;
        assert!(Program::decode(&bytes[..len]).is_none());
    }

    #[test]
    fn decode_of_a_verb_that_is_none_is_refused() {
        let mut bytes = [0; 4096];
        let event = Event { at_ns: 7, verb: Verb::ZoneCap, target: 0, args: [NO_CHANGE; 5] };
        let lists = Lists { events: &[event], ..Lists::default() };
        let len = encode(&Header::default(), &lists, &mut bytes).expect("room for all of it");
        let verb_at = len - 8 * 7;
        assert_eq!(bytes[verb_at], Verb::ZoneCap as u8);
        let last = Verb::COUNT as u8 - 1;
        for (low, high, is_fine) in [(last, 0, true), (last + 1, 0, false), (255, 0, false), (last, 1, false)]
        {
            (bytes[verb_at], bytes[verb_at + 4]) = (low, high);
            assert_eq!(Program::decode(&bytes[..len]).is_some(), is_fine, "{low} {high}");
        }
    }

    /// What crosses the glass, word by word: a change here is a new [`PROGRAM_MAGIC`].
    #[test]
    fn a_record_is_its_fields_in_their_order() {
        const A: u64 = 0x61;
        const P: u64 = 0x70;
        const NONE: u64 = i64::MIN as u64;
        let name = pack_name("a");
        let ring = SoftRing { sink: Some(ThreadRef(14)), ..SoftRing::defaults(IntrRef(13)) };
        let mut thread = Thread::named("a", 1, ring);
        thread.process = pack_name("p");
        let number = find("soft_ring").expect("a workload") as u64;
        (thread.class, thread.upri, thread.quantum, thread.duty_cycle) = (2, -3, 4, 5);
        (thread.project, thread.pset, thread.cpu, thread.binding) = (6, 7, 8, 9);
        (thread.lgroup, thread.lwp, thread.start_ns) = (10, true, 11);
        let interrupt = Interrupt {
            name,
            cpu: 1,
            pil: 2,
            rate_hz: 3,
            burst: 4,
            start_ns: 5,
            cost_ns: 6,
            lock: 7,
            from: -1,
            packets: 8,
            flows: 9,
        };
        let project = Project { name, shares: 1, zone: 2, zone_shares: 3, cap: 4, zone_cap: 5 };
        let pset = Pset { name, cpus: 1 };
        let taskq = super::super::TaskQueue {
            name,
            nthreads: 1,
            pri: 2,
            minalloc: 3,
            maxalloc: 4,
            instance: -5,
            duty_cycle: 6,
            flags: 7,
        };
        let stream = super::super::Stream {
            name,
            driver: 1,
            modules: [2, 3, 0, 0, 0, 0, 0, 0, 4],
            perimeter: 5,
            hiwat: 6,
            lowat: 7,
            module_hiwat: 8,
            module_lowat: 9,
            links: [11, 0, 0, 12],
            peer: 13,
            close_ns: 10,
        };
        let event = Event { at_ns: 1, verb: Verb::Offline, target: 3, args: [4, -5, NO_CHANGE, 6, 7] };
        let row = TableRow { class: 1, values: [2, 3, 4, 5, -6] };
        let lists = Lists {
            threads: &[thread],
            interrupts: &[interrupt],
            projects: &[project],
            psets: &[pset],
            taskqs: &[taskq],
            streams: &[stream],
            events: &[event],
            tables: &[row],
        };
        let header = Header {
            trace: crate::program::trace::KEPT,
            console: false,
            script_class: class::FX,
            script_pri: 6,
            chips: 2,
            cores: 3,
            strands: 4,
            lgroups: 5,
            memory: 6,
            pool: 7,
            ..Header::default()
        };
        let mut bytes = [0; 4096];
        let len = encode(&header, &lists, &mut bytes).expect("room for all of it");
        let mut words =
            bytes[..len].chunks(8).map(|word| word.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte)));
        let mut expect = |what: &str, expected: &[u64]| {
            for (n, &word) in expected.iter().enumerate() {
                assert_eq!(words.next(), Some(word), "{what}, word {n}");
            }
        };
        expect("magic and lengths", &[u64::from_le_bytes(*b"UMPPROG8"), 1, 1, 1, 1, 1, 1, 1, 1]);
        expect("mutants", &[0; mutant::WORDS]);
        expect("header", &[1, 0, 3, 6, 2, 3, 4, 5, 6, 7]);
        for tunable in crate::tunable::TUNABLES {
            expect(tunable.name, &[tunable.default.cast_unsigned()]);
        }
        expect(
            "thread",
            &[A, 0, 0, 0, P, 0, 0, 0, 2, 1, (-3_i64).cast_unsigned(), 4, 5, 6, 7, 8, 9, 10, 1, 11, number],
        );
        expect("parameters", &[13, 14, 5]);
        expect("no parameters", &[0; MAX_ARGS - 3]);
        expect("interrupt", &[A, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, u64::MAX, 8, 9]);
        expect("project", &[A, 0, 0, 0, 1, 2, 3, 4, 5]);
        expect("pset", &[A, 0, 0, 0, 1]);
        expect("taskq", &[A, 0, 0, 0, 1, 2, 3, 4, (-5_i64).cast_unsigned(), 6, 7]);
        expect("stream", &[A, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 4, 5, 6, 7, 8, 9, 11, 0, 0, 12, 13, 10]);
        expect("event", &[1, 2, 3, 4, (-5_i64).cast_unsigned(), NONE, 6, 7]);
        expect("row", &[1, 2, 3, 4, 5, (-6_i64).cast_unsigned()]);
        assert_eq!(words.next(), None);
    }

    #[test]
    fn encode_into_a_short_buffer_is_refused() {
        assert!(encode(&Header::default(), &Lists::default(), &mut [0; 8]).is_none());
    }
}
