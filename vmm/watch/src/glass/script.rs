//! What became of a scenario's events, as the guest noted it.
//!
//! # Invariants
//! - The guest's count of events is not believed beyond [`MAX_EVENTS`].
//! - An event without an end is not finished: whatever else its record says may still change.

use super::Glass;
use super::record::record;

/// Events that a program may have.
const MAX_EVENTS: u64 = 1024;

record! {
    /// One event's times and result.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct EventResult / EventPlaces of ScriptEvent {
        read {
            /// The number of its [`umpire_shared::program::Verb`].
            verb: u32 = number "ev_verb",
            /// What it happened to.
            target: u32 = number "ev_target",
            /// When it was due, in ns after boot.
            at_ns: u64 = number "ev_at_ns",
            /// When it began, in ns after boot; 0 if it did not.
            began_ns: u64 = number "ev_began_ns",
            /// When it was finished, in ns after boot; 0 if it was not.
            ended_ns: u64 = number "ev_ended_ns",
            /// Its errno, if it was finished.
            errno: u32 = number "ev_errno",
        }
        known {}
    }
}

impl Glass {
    /// Every event of the scenario, in its order; none while there is no kernel, fewer where memory cannot be read.
    pub fn script(&self) -> Vec<EventResult> {
        let Ok(Some(view)) = self.kernel() else { return Vec::new() };
        (0..view.says.nevents.min(MAX_EVENTS))
            .map_while(|n| {
                let at = view.says.events.wrapping_add(n.wrapping_mul(self.layout.sizes.event));
                self.layout.event.read_one(&*self.memory, at)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::fake::FakeKernel;

    /// A kernel whose root says that so many events lie at an address.
    fn kernel(base: u64, count: u64) -> FakeKernel {
        let kernel = FakeKernel::new(1, 2);
        let (root, k) = (kernel.glass().root(), &kernel.layout.root);
        kernel.set(root, k.events, base);
        kernel.set(root, k.nevents, count);
        kernel
    }

    #[test]
    fn script_of_two_events_gives_their_results() {
        let base = FakeKernel::new(1, 2).glass().root() + 0x3_0000;
        let kernel = kernel(base, 2);
        let event = &kernel.layout.event;
        let second = base + kernel.layout.sizes.event;
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
