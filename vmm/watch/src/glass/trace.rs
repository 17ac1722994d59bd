//! Trace records: what the probes of the guest's sched provider wrote into its rings.
//!
//! # Invariants
//! - A record is kept only if the ring's head shows, after the copy, that the guest cannot have begun to overwrite it:
//!
//! ```text
//!   reader                                    guest
//!   head -> h: copies the last records before h
//!                                             writes record h, and more, over the oldest
//!   head -> h2: drops records before h2 - (RING_RECORDS - 1)
//! ```
//! - Records that the guest overwrites before they are read are counted as lost, never guessed.

use std::mem::{offset_of, size_of};

use umpire_shared::boot::{BOOT_BLOCK, BootBlock};
use umpire_shared::event::{EventRing, EventSlot, Kind, RING_RECORDS};

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

/// Reads behind the guest and keeps what it wrote.
#[derive(Debug, Default)]
pub struct TraceReader {
    records: Vec<TraceRecord>,
    seen: Vec<u64>,
    lost: u64,
}

impl TraceReader {
    /// Takes what is new in every ring.
    pub fn drain(&mut self, memory: &dyn GuestMemory) {
        let field = |offset: usize| memory.read_u64(BOOT_BLOCK + offset as u64).unwrap_or(0);
        let (base, stride) =
            (field(offset_of!(BootBlock, events)), field(offset_of!(BootBlock, events_stride)));
        let ncpus = field(offset_of!(BootBlock, ncpus)).min(umpire_shared::MAX_CPUS as u64);
        if base == 0 {
            return;
        }
        self.seen.resize(ncpus as usize, 0);
        for cpu in 0..ncpus {
            self.drain_ring(memory, cpu as u32, base.wrapping_add(cpu.wrapping_mul(stride)));
        }
    }

    /// Records that were overwritten before they were read.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Everything taken, in the order of time.
    pub fn into_records(mut self) -> Vec<TraceRecord> {
        self.records.sort_by_key(|r| (r.time_ns, r.cpu));
        self.records
    }

    fn drain_ring(&mut self, memory: &dyn GuestMemory, cpu: u32, ring: u64) {
        let head_at = ring.wrapping_add(offset_of!(EventRing, head) as u64);
        let Some(head) = memory.read_u64(head_at) else { return };
        let capacity = RING_RECORDS as u64;
        let from = self.seen[cpu as usize].max(head.saturating_sub(capacity - 1));
        self.lost = self.lost.saturating_add(from - self.seen[cpu as usize]);
        let first = self.records.len();
        for n in from..head {
            self.records.extend(record(memory, cpu, ring, n));
        }
        self.seen[cpu as usize] = head;
        // Records whose slots the guest may have begun to overwrite meanwhile are not to be trusted.
        let now = memory.read_u64(head_at).unwrap_or(u64::MAX);
        let oldest_good = now.saturating_sub(capacity - 1);
        let bad = oldest_good.saturating_sub(from).min(head.saturating_sub(from));
        let bad = (bad as usize).min(self.records.len() - first);
        self.records.drain(first..first + bad);
        self.lost = self.lost.saturating_add(bad as u64);
    }
}

fn record(memory: &dyn GuestMemory, cpu: u32, ring: u64, n: u64) -> Option<TraceRecord> {
    let slot = (n % RING_RECORDS as u64) * size_of::<EventSlot>() as u64;
    let at = ring.wrapping_add(offset_of!(EventRing, slots) as u64).wrapping_add(slot);
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

    const RING: u64 = BOOT_BLOCK + 0x1000;

    /// One CPU's ring, empty.
    fn ring() -> FakeMemory {
        let memory = FakeMemory::new(BOOT_BLOCK, 0x1000 + size_of::<EventRing>());
        memory.put_u64(BOOT_BLOCK + offset_of!(BootBlock, events) as u64, RING);
        memory.put_u64(BOOT_BLOCK + offset_of!(BootBlock, ncpus) as u64, 1);
        memory
    }

    /// Writes records `from..to`, each with its number as time, and the head behind them.
    fn write(memory: &FakeMemory, from: u64, to: u64) {
        for n in from..to {
            let slot = (n % RING_RECORDS as u64) * size_of::<EventSlot>() as u64;
            let at = RING + offset_of!(EventRing, slots) as u64 + slot;
            memory.put_u64(at + offset_of!(EventSlot, time_ns) as u64, n);
            let kind_pri = Kind::Wakeup as u64 | 99 << 32;
            memory.put_u64(at + offset_of!(EventSlot, kind_pri) as u64, kind_pri);
        }
        memory.put_u64(RING + offset_of!(EventRing, head) as u64, to);
    }

    #[test]
    fn drain_takes_each_record_once_and_in_order() {
        let memory = ring();
        let mut reader = TraceReader::default();

        write(&memory, 0, 10);
        reader.drain(&memory);
        reader.drain(&memory);
        write(&memory, 10, 15);
        reader.drain(&memory);

        assert_eq!(reader.lost(), 0);
        let records = reader.into_records();
        assert!(records.iter().map(|r| r.time_ns).eq(0..15));
        assert!(records.iter().all(|r| (r.kind, r.pri, r.cpu) == (Kind::Wakeup, 99, 0)));
    }

    #[test]
    fn drain_behind_a_guest_that_came_round_counts_what_is_lost() {
        let memory = ring();
        let mut reader = TraceReader::default();
        let written = RING_RECORDS as u64 + 100;

        write(&memory, 0, written);
        reader.drain(&memory);

        assert_eq!(reader.lost(), 101);
        assert!(reader.into_records().iter().map(|r| r.time_ns).eq(101..written));
    }

    #[test]
    fn drain_of_a_head_that_goes_anywhere_ends() {
        let memory = ring();
        let mut reader = TraceReader::default();

        for head in [u64::MAX, 3, u64::MAX, 0, u64::MAX - 1] {
            memory.put_u64(RING + offset_of!(EventRing, head) as u64, head);
            reader.drain(&memory);
        }

        assert!(reader.lost() > 0);
        assert!(reader.into_records().is_empty(), "a record of no kind is none");
    }
}
