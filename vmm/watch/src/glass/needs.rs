//! What the monitors of a run need to see beyond the run queues. The rest is not read.
//!
//! # Invariants
//! - What no monitor needs costs nothing in a pass.

/// What has to be read in a pass besides the run queues and the CPUs' own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// What runs on each CPU, and since which switch.
    pub runners: bool,
    /// Where each thread on a queue or a CPU may be, and how it came there.
    pub placements: bool,
    /// Each CPU's cyclics.
    pub cyclics: bool,
    /// What each CPU owes its interrupts.
    pub interrupts: bool,
    /// Which threads own the locks that other threads wait for.
    pub owners: bool,
    /// How far the workload of each of the scenario's threads is.
    pub workers: bool,
    /// What waits in the task queues, and what their threads do.
    pub taskqs: bool,
    /// How much memory is free, who sleeps for it, and how large each cache is.
    pub memory: bool,
    /// The scenario's streams.
    pub streams: bool,
    /// How near threads have come to the end of their stacks.
    pub stacks: bool,
    /// The CPU time of every thread, taken every so many ns; 0 for never.
    pub times_every_ns: u64,
    /// The accounts of every thread and CPU, likewise.
    pub accounts_every_ns: u64,
}

impl Needs {
    /// Nothing of it.
    pub const NOTHING: Needs = Needs {
        runners: false,
        placements: false,
        cyclics: false,
        interrupts: false,
        owners: false,
        workers: false,
        taskqs: false,
        memory: false,
        streams: false,
        stacks: false,
        times_every_ns: 0,
        accounts_every_ns: 0,
    };

    /// What at least one of the two needs.
    pub fn and(self, other: Needs) -> Needs {
        let oftener = |one, another| match (one, another) {
            (0, n) | (n, 0) => n,
            (a, b) => a.min(b),
        };
        Needs {
            runners: self.runners || other.runners,
            placements: self.placements || other.placements,
            cyclics: self.cyclics || other.cyclics,
            interrupts: self.interrupts || other.interrupts,
            owners: self.owners || other.owners,
            workers: self.workers || other.workers,
            taskqs: self.taskqs || other.taskqs,
            memory: self.memory || other.memory,
            streams: self.streams || other.streams,
            stacks: self.stacks || other.stacks,
            times_every_ns: oftener(self.times_every_ns, other.times_every_ns),
            accounts_every_ns: oftener(self.accounts_every_ns, other.accounts_every_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn and_needs_what_either_does_and_times_as_often_as_the_more_eager() {
        let (a, b) = (
            Needs { runners: true, times_every_ns: 5, ..Needs::default() },
            Needs { owners: true, times_every_ns: 3, ..Needs::default() },
        );

        assert_eq!(a.and(b), Needs { runners: true, owners: true, times_every_ns: 3, ..Needs::default() });
        assert_eq!(a.and(Needs::default()), a);
        assert_eq!(Needs::default().and(a), a);
        assert_eq!(Needs::NOTHING, Needs::default());
    }
}
