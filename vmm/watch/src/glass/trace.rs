//! Trace records: what the probes of the guest's sched provider wrote into its rings.
//!
//! # Invariants
//! - A record is kept only if the ring's head shows, after the copy, that the guest cannot have begun to overwrite it:
//!
//! ```text
//!   reader                                    guest
//!   head -> h: copies the last records before h
//!                                             writes record h, and more, over the oldest
//!   head -> h2: drops records before h2 - (the ring's records - 1)
//! ```
//! - Records that the guest overwrites before they are read are counted as lost, never guessed.

use std::collections::BTreeSet;
use std::mem::{offset_of, size_of};

use umpire_shared::boot::{BOOT_BLOCK, BootBlock};
use umpire_shared::event::{EventRing, EventSlot, Kind, MAX_RING_RECORDS};

use umpire_machine::memory::GuestMemory;

/// One firing of a probe, as the guest wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceRecord {
    /// ns of guest time.
    pub time_ns: u64,
    /// The CPU whose ring it was in.
    pub cpu: u32,
    /// Which probe.
    pub kind: Kind,
    /// To which thread (`t_did`).
    pub thread: u64,
    /// Its priority then.
    pub pri: i32,
    /// See [`Kind`].
    pub arg: u64,
}

impl TraceRecord {
    /// The CPU that a record of a poke, of a flag or of a CPU's state is about.
    pub fn target(&self) -> u32 {
        match self.kind {
            Kind::CpuState => (self.arg >> 32) as u32,
            // Behind the CPU of a raised flag stands why it was raised.
            _ => self.arg as u32,
        }
    }
}

/// The probes whose records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u64);

impl Kinds {
    /// All of them.
    pub const ALL: Kinds = Kinds(u64::MAX);

    /// These.
    pub fn of(kinds: impl Iterator<Item = Kind>) -> Kinds {
        Kinds(kinds.fold(0, |bits, kind| bits | 1 << (kind as u32)))
    }

    /// True if it is one of them.
    pub fn has(self, kind: Kind) -> bool {
        self.0 >> (kind as u32) & 1 == 1
    }
}

/// What the probes recorded in a run.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// Those that were to be kept, by time.
    pub records: Vec<TraceRecord>,
    /// How many there were of all probes.
    pub total: u64,
    /// Records that were overwritten before they were read, or for which there was no room.
    pub lost: u64,
    /// Of these the ones of each CPU, by number.
    pub lost_of: Vec<u64>,
    /// The times of which they are: CPU, its record before, its record after.
    pub gaps: Vec<(u32, u64, u64)>,
    /// The time of the last, in ns.
    pub last_ns: u64,
}

impl Trace {
    /// What is left of all records of a run.
    pub fn of(mut records: Vec<TraceRecord>, keep: Kinds) -> Trace {
        let last_ns = records.iter().map(|record| record.time_ns).max().unwrap_or(0);
        let total = records.len() as u64;
        records.retain(|record| keep.has(record.kind));
        records.sort_by_key(|record| (record.time_ns, record.cpu));
        Trace { records, total, last_ns, ..Trace::default() }
    }
}

/// Records that are kept at most: more are lost. As many take 2 GB.
const MOST_RECORDS: usize = 50_000_000;
/// Gaps that are told apart at most: from then on there is one that does not end.
const MOST_GAPS: usize = 1 << 16;

/// Reads behind the guest and keeps what it wrote.
#[derive(Debug)]
pub struct TraceReader {
    keep: Kinds,
    records: Vec<TraceRecord>,
    /// Records read from each ring.
    seen: Vec<u64>,
    total: u64,
    /// By CPU.
    lost: Vec<u64>,
    /// The last record read of each CPU.
    last_of: Vec<u64>,
    /// Where a gap of each CPU began that is not over.
    open: Vec<Option<u64>>,
    gaps: Vec<(u32, u64, u64)>,
    last_ns: u64,
}

impl TraceReader {
    /// A reader that keeps the records of these probes.
    pub fn of(keep: Kinds) -> TraceReader {
        TraceReader {
            keep,
            records: Vec::new(),
            seen: Vec::new(),
            total: 0,
            lost: Vec::new(),
            last_of: Vec::new(),
            open: Vec::new(),
            gaps: Vec::new(),
            last_ns: 0,
        }
    }

    /// Takes what is new in every ring.
    pub fn drain(&mut self, memory: &dyn GuestMemory) {
        let field = |offset: usize| memory.read_u64(BOOT_BLOCK + offset as u64).unwrap_or(0);
        let (base, stride) =
            (field(offset_of!(BootBlock, events)), field(offset_of!(BootBlock, events_stride)));
        let ncpus = field(offset_of!(BootBlock, ncpus)).min(umpire_shared::MAX_CPUS as u64);
        let capacity = field(offset_of!(BootBlock, events_records)).min(MAX_RING_RECORDS);
        if base == 0 || capacity == 0 {
            return;
        }
        self.seen.resize(ncpus as usize, 0);
        self.lost.resize(ncpus as usize, 0);
        self.last_of.resize(ncpus as usize, 0);
        self.open.resize(ncpus as usize, None);
        for cpu in 0..ncpus {
            self.drain_ring(memory, cpu as u32, base.wrapping_add(cpu.wrapping_mul(stride)), capacity);
        }
    }

    /// What was taken since this was last asked, by time; it is kept no longer.
    pub fn take(&mut self) -> Vec<TraceRecord> {
        let mut records = std::mem::take(&mut self.records);
        records.sort_by_key(|r| (r.time_ns, r.cpu));
        records
    }

    /// What all rings hold now.
    pub fn held(memory: &dyn GuestMemory) -> Held {
        let mut reader = TraceReader::of(Kinds::ALL);
        reader.drain(memory);
        let lost = std::mem::take(&mut reader.lost);
        Held::of(reader.take(), |cpu| lost.get(cpu as usize).is_some_and(|&lost| lost > 0))
    }

    /// Everything taken that has not been handed out.
    pub fn into_trace(mut self) -> Trace {
        self.records.sort_by_key(|r| (r.time_ns, r.cpu));
        let TraceReader { records, total, lost: lost_of, open, mut gaps, last_ns, .. } = self;
        let lost = lost_of.iter().fold(0, |sum: u64, &lost| sum.saturating_add(lost));
        gaps.extend((0..).zip(open).filter_map(|(cpu, from)| Some((cpu, from?, u64::MAX))));
        Trace { records, total, lost, lost_of, gaps, last_ns }
    }

    fn drain_ring(&mut self, memory: &dyn GuestMemory, cpu: u32, ring: u64, capacity: u64) {
        let head_at = ring.wrapping_add(offset_of!(EventRing, head) as u64);
        let Some(head) = memory.read_u64(head_at) else { return };
        let from = self.seen[cpu as usize].max(head.saturating_sub(capacity - 1));
        self.lose(cpu, from - self.seen[cpu as usize]);
        let first = self.records.len();
        for n in from..head {
            self.records.extend(record(memory, cpu, ring, n % capacity));
        }
        self.seen[cpu as usize] = head;
        // Records whose slots the guest may have begun to overwrite meanwhile are not to be trusted.
        let now = memory.read_u64(head_at).unwrap_or(u64::MAX);
        let oldest_good = now.saturating_sub(capacity - 1);
        let bad = oldest_good.saturating_sub(from).min(head.saturating_sub(from));
        let bad = (bad as usize).min(self.records.len() - first);
        self.records.drain(first..first + bad);
        self.lose(cpu, bad as u64);
        self.close_gap(cpu, first);
        self.sift(cpu, first);
    }

    /// A gap of a CPU ends with the first record that was read of it since.
    fn close_gap(&mut self, cpu: u32, first: usize) {
        let Some((first, last)) = self.records.get(first).zip(self.records.last()) else { return };
        let (to_ns, last_ns) = (first.time_ns, last.time_ns);
        if self.gaps.len() < MOST_GAPS
            && let Some(from_ns) = self.open[cpu as usize].take()
        {
            self.gaps.push((cpu, from_ns, to_ns));
        }
        self.last_of[cpu as usize] = last_ns;
    }
}

impl TraceReader {
    /// Lets go of what is not to be kept of the records from `first` on.
    fn sift(&mut self, cpu: u32, first: usize) {
        let mut kept = first;
        for n in first..self.records.len() {
            let record = self.records[n];
            self.total += 1;
            self.last_ns = self.last_ns.max(record.time_ns);
            if self.keep.has(record.kind) {
                self.records[kept] = record;
                kept += 1;
            }
        }
        self.lose(cpu, kept.saturating_sub(MOST_RECORDS.max(first)) as u64);
        self.records.truncate(kept.min(MOST_RECORDS.max(first)));
    }

    fn lose(&mut self, cpu: u32, count: u64) {
        let lost = &mut self.lost[cpu as usize];
        *lost = lost.saturating_add(count);
        if count > 0 {
            self.open[cpu as usize].get_or_insert(self.last_of[cpu as usize]);
        }
    }
}

/// What rings hold that nobody drains: each CPU's last records, which reach back the further the less the CPU did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Those from the moment on from which no CPU's are overwritten, by time.
    pub whole: Vec<TraceRecord>,
    /// Those before it, by time. Who waits by these may have been served by one that is overwritten.
    pub older: Vec<TraceRecord>,
}

impl Held {
    /// Parts records by time: those that are whole begin with the last first record of a CPU that `has_lost` older ones.
    pub fn of(mut records: Vec<TraceRecord>, has_lost: impl Fn(u32) -> bool) -> Held {
        let mut begun = BTreeSet::new();
        let is_first = |record: &TraceRecord| begun.insert(record.cpu) && has_lost(record.cpu);
        let firsts: Vec<bool> = records.iter().map(is_first).collect();
        let whole = records.split_off(firsts.iter().rposition(|&is_first| is_first).unwrap_or(0));
        Held { whole, older: records }
    }

    /// From when on they are whole, in ns after boot; 0 if nothing was overwritten.
    pub fn whole_from_ns(&self) -> u64 {
        if self.older.is_empty() { 0 } else { self.whole.first().map_or(0, |record| record.time_ns) }
    }
}

fn record(memory: &dyn GuestMemory, cpu: u32, ring: u64, slot: u64) -> Option<TraceRecord> {
    let slot = slot * size_of::<EventSlot>() as u64;
    let at = ring.wrapping_add(size_of::<EventRing>() as u64).wrapping_add(slot);
    let word = |offset: usize| memory.read_u64(at.wrapping_add(offset as u64));
    let kind_pri = word(offset_of!(EventSlot, kind_pri))?;
    Some(TraceRecord {
        time_ns: word(offset_of!(EventSlot, time_ns))?,
        cpu,
        kind: Kind::from_number(kind_pri as u32)?,
        thread: word(offset_of!(EventSlot, thread))?,
        pri: (kind_pri >> 32) as i32,
        arg: word(offset_of!(EventSlot, arg))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::fake::FakeMemory;
    use umpire_shared::event::ring_len;

    const RING: u64 = BOOT_BLOCK + 0x1000;
    const RING_RECORDS: u64 = 4096;

    /// One CPU's ring, empty.
    fn ring() -> FakeMemory {
        let memory = FakeMemory::new(BOOT_BLOCK, 0x1000 + ring_len(RING_RECORDS) as usize);
        memory.put_u64(BOOT_BLOCK + offset_of!(BootBlock, events) as u64, RING);
        memory.put_u64(BOOT_BLOCK + offset_of!(BootBlock, events_records) as u64, RING_RECORDS);
        memory.put_u64(BOOT_BLOCK + offset_of!(BootBlock, ncpus) as u64, 1);
        memory
    }

    /// Writes records `from..to`, each with its number as time, and the head behind them.
    fn write(memory: &FakeMemory, from: u64, to: u64) {
        for n in from..to {
            let slot = (n % RING_RECORDS) * size_of::<EventSlot>() as u64;
            let at = RING + size_of::<EventRing>() as u64 + slot;
            memory.put_u64(at + offset_of!(EventSlot, time_ns) as u64, n);
            let kind_pri = Kind::Wakeup as u64 | 99 << 32;
            memory.put_u64(at + offset_of!(EventSlot, kind_pri) as u64, kind_pri);
        }
        memory.put_u64(RING + offset_of!(EventRing, head) as u64, to);
    }

    #[test]
    fn drain_takes_each_record_once_and_in_order() {
        let memory = ring();
        let mut reader = TraceReader::of(Kinds::ALL);

        write(&memory, 0, 10);
        reader.drain(&memory);
        reader.drain(&memory);
        write(&memory, 10, 15);
        reader.drain(&memory);

        let handed = reader.take();
        assert!(handed.iter().map(|r| r.time_ns).eq(0..15), "what is taken is handed out once");
        assert!(reader.take().is_empty());
        write(&memory, 15, 20);
        reader.drain(&memory);

        let Trace { records: rest, lost, total, last_ns, .. } = reader.into_trace();
        assert_eq!((lost, total, last_ns), (0, 20, 19));
        let records = [handed, rest].concat();
        assert!(records.iter().map(|r| r.time_ns).eq(0..20));
        assert!(records.iter().all(|r| (r.kind, r.pri, r.cpu) == (Kind::Wakeup, 99, 0)));
    }

    #[test]
    fn drain_behind_a_guest_that_came_round_counts_what_is_lost() {
        let memory = ring();
        let mut reader = TraceReader::of(Kinds::ALL);
        let written = RING_RECORDS + 100;

        write(&memory, 0, written);
        reader.drain(&memory);

        let trace = reader.into_trace();
        assert_eq!((trace.lost, trace.lost_of), (101, vec![101]));
        assert!(trace.records.iter().map(|r| r.time_ns).eq(101..written));
    }

    #[test]
    fn drain_keeps_what_is_asked_for_and_counts_the_rest() {
        let memory = ring();
        let mut reader = TraceReader::of(Kinds::of([Kind::Poke].into_iter()));

        write(&memory, 0, 10);
        reader.drain(&memory);

        let trace = reader.into_trace();
        assert_eq!((trace.records.len(), trace.total, trace.lost, trace.last_ns), (0, 10, 0, 9));
    }

    #[test]
    fn drain_of_a_head_that_goes_anywhere_ends() {
        let memory = ring();
        let mut reader = TraceReader::of(Kinds::ALL);

        for head in [u64::MAX, 3, u64::MAX, 0, u64::MAX - 1] {
            memory.put_u64(RING + offset_of!(EventRing, head) as u64, head);
            reader.drain(&memory);
        }

        let trace = reader.into_trace();
        assert!(trace.lost > 0);
        assert!(trace.records.is_empty(), "a record of no kind is none");
    }
}
