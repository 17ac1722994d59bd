//! The scenario program as bytes.
//!
//! # Invariants
//! - `encode` and `decode` are inverse; bytes that do not decode are refused as a whole.
//! - Every record is a whole number of little-endian 64-bit words: its name, if it has one, then its numbers.

use super::{EVENT_ARGS, Event, Header, Interrupt, Project, Pset, ROW_VALUES, TableRow, Thread};
use crate::mutant;
use crate::tunable::COUNT;
use crate::work::{MAX_ARGS, Workload};
use crate::{MAX_THREADS, NAME_LEN};

/// First word of an encoded program: "UMPPROG2".
pub const PROGRAM_MAGIC: u64 = u64::from_le_bytes(*b"UMPPROG2");

/// Lists of a program, in the order in which they are encoded.
const LISTS: usize = 6;
/// Most records of a list that is not the threads'.
const MAX_RECORDS: usize = 1024;
const NAME_WORDS: usize = NAME_LEN / 8;
const HEADER_WORDS: usize = 1 + LISTS + mutant::WORDS + 5 + COUNT;

/// The lists of a program.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lists<'a> {
    /// Threads.
    pub threads: &'a [Thread],
    /// Sources of interrupts.
    pub interrupts: &'a [Interrupt],
    /// Projects.
    pub projects: &'a [Project],
    /// Processor sets, the default one not among them.
    pub psets: &'a [Pset],
    /// Events, by time.
    pub events: &'a [Event],
    /// Dispatcher tables.
    pub tables: &'a [TableRow],
}

impl Lists<'_> {
    fn lengths(&self) -> [usize; LISTS] {
        [
            self.threads.len(),
            self.interrupts.len(),
            self.projects.len(),
            self.psets.len(),
            self.events.len(),
            self.tables.len(),
        ]
    }
}

/// A record that can be written to and read from words.
trait Record: Copy {
    const WORDS: usize;
    fn put(&self, to: &mut Writer<'_>);
    fn get(from: &mut Reader<'_>) -> Self;
}

/// Bytes that a program with these lists takes.
pub fn encoded_len(lists: &Lists<'_>) -> usize {
    8 * (HEADER_WORDS + words(lists.lengths()))
}

fn words(lengths: [usize; LISTS]) -> usize {
    let sizes = [Thread::WORDS, Interrupt::WORDS, Project::WORDS, Pset::WORDS, Event::WORDS, TableRow::WORDS];
    lengths.iter().zip(sizes).map(|(n, size)| n * size).sum()
}

/// Writes a program into `out` and returns its length.
///
/// # Errors
/// `None` if `out` is shorter than [`encoded_len`].
pub fn encode(header: &Header, lists: &Lists<'_>, out: &mut [u8]) -> Option<usize> {
    let len = encoded_len(lists);
    let mut w = Writer { bytes: out.get_mut(..len)?, at: 0 };
    w.put(PROGRAM_MAGIC);
    for n in lists.lengths() {
        w.put(n as u64);
    }
    header.mutants.words().into_iter().for_each(|word| w.put(word));
    w.put(u64::from(header.trace));
    w.put(u64::from(header.chips));
    w.put(u64::from(header.cores));
    w.put(u64::from(header.strands));
    w.put(u64::from(header.lgroups));
    for &value in &header.tunables {
        w.put(value as u64);
    }
    w.put_all(lists.threads);
    w.put_all(lists.interrupts);
    w.put_all(lists.projects);
    w.put_all(lists.psets);
    w.put_all(lists.events);
    w.put_all(lists.tables);
    Some(len)
}

/// An encoded program, checked for length and magic.
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
    /// `None` if the magic is wrong, a list is too long, the bytes are fewer than the counts promise, or a thread's workload
    /// is not one that is declared.
    pub fn decode(bytes: &'a [u8]) -> Option<Program<'a>> {
        if bytes.len() < 8 * HEADER_WORDS {
            return None;
        }
        let mut r = Reader { bytes, at: 0 };
        if r.get() != PROGRAM_MAGIC {
            return None;
        }
        let mut lengths = [0; LISTS];
        for (n, length) in lengths.iter_mut().enumerate() {
            *length = usize::try_from(r.get()).ok()?;
            if *length > if n == 0 { MAX_THREADS } else { MAX_RECORDS } {
                return None;
            }
        }
        let mut header = Header {
            mutants: mutant::Set::of_words(core::array::from_fn(|_| r.get())),
            trace: r.get() != 0,
            chips: r.get() as u32,
            cores: r.get() as u32,
            strands: r.get() as u32,
            lgroups: r.get() as u32,
            tunables: [0; COUNT],
        };
        for value in &mut header.tunables {
            *value = r.get() as i64;
        }
        let len = 8 * (HEADER_WORDS + words(lengths));
        let program = Program { bytes: bytes.get(..len)?, header, lengths };
        let is_declared = |t: Thread| Workload::from_record(t.work, &t.args).is_some();
        program.threads().all(is_declared).then_some(program)
    }

    /// Everything but the lists.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many threads there are.
    pub fn nthreads(&self) -> u32 {
        self.lengths[0] as u32
    }

    /// The threads, in the order of the scenario.
    pub fn threads(self) -> impl ExactSizeIterator<Item = Thread> + 'a {
        self.list::<Thread, 0>()
    }

    /// The interrupts, in the order of the scenario.
    pub fn interrupts(self) -> impl ExactSizeIterator<Item = Interrupt> + 'a {
        self.list::<Interrupt, 1>()
    }

    /// The projects, in the order of the scenario.
    pub fn projects(self) -> impl ExactSizeIterator<Item = Project> + 'a {
        self.list::<Project, 2>()
    }

    /// The processor sets, in the order of the scenario; the default one is not among them.
    pub fn psets(self) -> impl ExactSizeIterator<Item = Pset> + 'a {
        self.list::<Pset, 3>()
    }

    /// The events, by time.
    pub fn events(self) -> impl ExactSizeIterator<Item = Event> + 'a {
        self.list::<Event, 4>()
    }

    /// The rows of dispatcher tables.
    pub fn tables(self) -> impl ExactSizeIterator<Item = TableRow> + 'a {
        self.list::<TableRow, 5>()
    }

    fn list<R: Record, const LIST: usize>(self) -> impl ExactSizeIterator<Item = R> + 'a {
        let mut before = self.lengths;
        before[LIST..].fill(0);
        let base = HEADER_WORDS + words(before);
        let bytes = self.bytes;
        (0..self.lengths[LIST]).map(move |n| R::get(&mut Reader { bytes, at: 8 * (base + n * R::WORDS) }))
    }
}

struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, value: u64) {
        self.bytes[self.at..self.at + 8].copy_from_slice(&value.to_le_bytes());
        self.at += 8;
    }

    fn put_signed(&mut self, value: i32) {
        self.put(i64::from(value) as u64);
    }

    fn put_name(&mut self, name: &[u8; NAME_LEN]) {
        self.bytes[self.at..self.at + NAME_LEN].copy_from_slice(name);
        self.at += NAME_LEN;
    }

    fn put_all<R: Record>(&mut self, records: &[R]) {
        for record in records {
            record.put(self);
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn get(&mut self) -> u64 {
        let mut raw = [0; 8];
        raw.copy_from_slice(&self.bytes[self.at..self.at + 8]);
        self.at += 8;
        u64::from_le_bytes(raw)
    }

    fn get_u32(&mut self) -> u32 {
        self.get() as u32
    }

    fn get_i32(&mut self) -> i32 {
        self.get() as i32
    }

    fn get_name(&mut self) -> [u8; NAME_LEN] {
        let mut raw = [0; NAME_LEN];
        raw.copy_from_slice(&self.bytes[self.at..self.at + NAME_LEN]);
        self.at += NAME_LEN;
        raw
    }
}

impl Record for Thread {
    const WORDS: usize = NAME_WORDS + 12 + MAX_ARGS;

    fn put(&self, to: &mut Writer<'_>) {
        to.put_name(&self.name);
        to.put(u64::from(self.class));
        to.put_signed(self.pri);
        to.put_signed(self.upri);
        to.put_signed(self.quantum);
        to.put(u64::from(self.duty_cycle));
        to.put(u64::from(self.project));
        to.put(u64::from(self.pset));
        to.put_signed(self.cpu);
        to.put(u64::from(self.binding));
        to.put_signed(self.lgroup);
        to.put(u64::from(self.lwp));
        to.put(u64::from(self.work));
        for &arg in &self.args {
            to.put(arg);
        }
    }

    fn get(from: &mut Reader<'_>) -> Thread {
        Thread {
            name: from.get_name(),
            class: from.get_u32(),
            pri: from.get_i32(),
            upri: from.get_i32(),
            quantum: from.get_i32(),
            duty_cycle: from.get_u32(),
            project: from.get_u32(),
            pset: from.get_u32(),
            cpu: from.get_i32(),
            binding: from.get_u32(),
            lgroup: from.get_i32(),
            lwp: from.get() != 0,
            work: from.get_u32(),
            args: core::array::from_fn(|_| from.get()),
        }
    }
}

impl Record for Interrupt {
    const WORDS: usize = NAME_WORDS + 8;

    fn put(&self, to: &mut Writer<'_>) {
        to.put_name(&self.name);
        to.put(u64::from(self.cpu));
        to.put(u64::from(self.pil));
        to.put(self.rate_hz);
        to.put(u64::from(self.burst));
        to.put(self.start_ns);
        to.put(self.cost_ns);
        to.put_signed(self.lock);
        to.put_signed(self.from);
    }

    fn get(from: &mut Reader<'_>) -> Interrupt {
        Interrupt {
            name: from.get_name(),
            cpu: from.get_u32(),
            pil: from.get_u32(),
            rate_hz: from.get(),
            burst: from.get_u32(),
            start_ns: from.get(),
            cost_ns: from.get(),
            lock: from.get_i32(),
            from: from.get_i32(),
        }
    }
}

impl Record for Project {
    const WORDS: usize = NAME_WORDS + 5;

    fn put(&self, to: &mut Writer<'_>) {
        to.put_name(&self.name);
        to.put(u64::from(self.shares));
        to.put(u64::from(self.zone));
        to.put(u64::from(self.zone_shares));
        to.put(u64::from(self.cap));
        to.put(u64::from(self.zone_cap));
    }

    fn get(from: &mut Reader<'_>) -> Project {
        Project {
            name: from.get_name(),
            shares: from.get_u32(),
            zone: from.get_u32(),
            zone_shares: from.get_u32(),
            cap: from.get_u32(),
            zone_cap: from.get_u32(),
        }
    }
}

impl Record for Pset {
    const WORDS: usize = NAME_WORDS + 1;

    fn put(&self, to: &mut Writer<'_>) {
        to.put_name(&self.name);
        to.put(self.cpus);
    }

    fn get(from: &mut Reader<'_>) -> Pset {
        Pset { name: from.get_name(), cpus: from.get() }
    }
}

impl Record for Event {
    const WORDS: usize = 3 + EVENT_ARGS;

    fn put(&self, to: &mut Writer<'_>) {
        to.put(self.at_ns);
        to.put(u64::from(self.verb));
        to.put(u64::from(self.target));
        for &arg in &self.args {
            to.put(arg as u64);
        }
    }

    fn get(from: &mut Reader<'_>) -> Event {
        Event {
            at_ns: from.get(),
            verb: from.get_u32(),
            target: from.get_u32(),
            args: core::array::from_fn(|_| from.get() as i64),
        }
    }
}

impl Record for TableRow {
    const WORDS: usize = 1 + ROW_VALUES;

    fn put(&self, to: &mut Writer<'_>) {
        to.put(u64::from(self.class));
        for &value in &self.values {
            to.put(value as u64);
        }
    }

    fn get(from: &mut Reader<'_>) -> TableRow {
        TableRow { class: from.get_u32(), values: core::array::from_fn(|_| from.get() as i64) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NO_CHANGE, binding, class, verb};
    use super::*;
    use crate::{pack_name, unpack_name, work};

    #[test]
    fn decode_of_encode_gives_the_same_program() {
        let mut header = Header {
            mutants: mutant::Set::from(mutant::CLOCK_STOPS).and(mutant::NO_RATIFY),
            trace: true,
            chips: 2,
            cores: 2,
            strands: 4,
            lgroups: 2,
            ..Header::default()
        };
        header.tunables[crate::tunable::KPQPRI] = -1;
        let mut thread = Thread::named("mac_soft_ring_worker", 99, work::SOFT_RING);
        thread.cpu = 1;
        thread.upri = -20;
        thread.binding = binding::SOFT;
        thread.lgroup = 1;
        thread.args[1] = work::NOBODY;
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
        let event = Event { at_ns: 7, verb: verb::BIND, target: 1, args: [-1, NO_CHANGE, 2, 3, 4] };
        let row = TableRow { class: class::TS, values: [20, 0, 50, 0, -1] };
        let lists = Lists {
            threads: &[thread, thread],
            interrupts: &[interrupt],
            projects: &[project, project],
            psets: &[pset],
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
        assert!(program.events().eq([event, event, event]));
        assert!(program.tables().eq([row]));
        assert_eq!(unpack_name(&thread.name), "mac_soft_ring_worker");
    }

    #[test]
    fn decode_of_a_cut_or_foreign_program_is_refused() {
        let mut bytes = [0; 4096];
        let lists = Lists { threads: &[Thread::named("t", 60, work::SPIN)], ..Lists::default() };
        let len = encode(&Header::default(), &lists, &mut bytes).expect("room for all of it");
        assert!(Program::decode(&bytes[..len - 1]).is_none());
        bytes[0] ^= 1;
        assert!(Program::decode(&bytes[..len]).is_none());
        assert!(Program::decode(&[]).is_none());
    }

    #[test]
    fn encode_into_a_short_buffer_is_refused() {
        assert!(encode(&Header::default(), &Lists::default(), &mut [0; 8]).is_none());
    }
}
