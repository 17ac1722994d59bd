//! What became of a scenario's events, as the guest noted it.
//!
//! # Invariants
//! - The guest's count of events is not believed beyond [`MAX_EVENTS`].
//! - An event without an end is not finished: whatever else its record says may still change.

use super::Glass;
use super::types::Field;

/// Events that a program may have.
const MAX_EVENTS: u64 = 1024;
/// Bytes of a record that are looked at.
const MAX_RECORD: usize = 256;

/// One event's times and result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventResult {
    /// The number of its [`umpire_shared::program::Verb`].
    pub verb: u32,
    /// Whom it happened to.
    pub target: u32,
    /// When it was due, in ns after boot.
    pub at_ns: u64,
    /// When it began, in ns after boot; 0 if it did not.
    pub began_ns: u64,
    /// When it was finished, in ns after boot; 0 if it was not.
    pub ended_ns: u64,
    /// Its errno, if it was finished.
    pub errno: u32,
}

impl Glass {
    /// Every event of the scenario, in its order; none while there is no kernel, fewer where memory cannot be read.
    pub fn script(&self) -> Vec<EventResult> {
        let Ok(Some(view)) = self.kernel() else { return Vec::new() };
        let layout = self.layout();
        let word = |field: Field| {
            let mut raw = [0; 8];
            let bytes = raw.get_mut(..field.size)?;
            let is_there = self.memory().read(view.root.wrapping_add(field.offset as u64), bytes);
            is_there.then(|| u64::from_le_bytes(raw))
        };
        let (Some(base), Some(count)) = (word(layout.kernel.events), word(layout.kernel.nevents)) else {
            return Vec::new();
        };
        let size = layout.event.size.min(MAX_RECORD);
        (0..count.min(MAX_EVENTS))
            .map_while(|n| {
                let mut record = [0; MAX_RECORD];
                let at = base.wrapping_add(n.wrapping_mul(layout.event.size as u64));
                self.memory().read(at, &mut record[..size]).then(|| self.event(&record[..size]))
            })
            .collect()
    }

    fn event(&self, record: &[u8]) -> EventResult {
        let layout = self.layout();
        let fields = &layout.event;
        EventResult {
            verb: fields.verb.get(record) as u32,
            target: fields.target.get(record) as u32,
            at_ns: fields.at_ns.get(record),
            began_ns: fields.began_ns.get(record),
            ended_ns: fields.ended_ns.get(record),
            errno: fields.errno.get(record) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::fake::FakeKernel;

    /// A kernel whose root says that so many events lie at an address.
    fn kernel(base: u64, count: u64) -> FakeKernel {
        let kernel = FakeKernel::new(1, 2);
        let (root, k) = (kernel.glass().root(), &kernel.layout.kernel);
        kernel.set(root, k.events, base);
        kernel.set(root, k.nevents, count);
        kernel
    }

    #[test]
    fn script_of_two_events_gives_their_results() {
        let base = FakeKernel::new(1, 2).glass().root() + 0x3_0000;
        let kernel = kernel(base, 2);
        let event = &kernel.layout.event;
        let second = base + event.size as u64;
        for (field, value) in [(event.verb, 2), (event.at_ns, 500), (event.ended_ns, 600), (event.errno, 16)]
        {
            kernel.set(second, field, value);
        }

        let script = kernel.glass().script();

        let expected =
            EventResult { verb: 2, at_ns: 500, ended_ns: 600, errno: 16, ..EventResult::default() };
        assert_eq!(script, [EventResult::default(), expected]);
    }

    #[test]
    fn script_of_a_kernel_that_lies_is_bounded() {
        assert_eq!(kernel(u64::MAX, u64::MAX).glass().script(), []);
        let base = FakeKernel::new(1, 2).glass().root();
        assert!(kernel(base, u64::MAX).glass().script().len() as u64 <= MAX_EVENTS);
    }
}
