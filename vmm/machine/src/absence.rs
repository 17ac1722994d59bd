//! A host that takes vCPUs off on purpose: for tests of what a host can do to a verdict.
//!
//! # Invariants
//! - Both numbers are from 10 us to 1 s.

/// What either number may be, in ns.
const RANGE: std::ops::RangeInclusive<u64> = 10_000..=1_000_000_000;

/// How often and for how long a host takes each vCPU off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostAbsence {
    /// Time between two absences of one vCPU, in ns, on average.
    pub every_ns: u64,
    /// How long one lasts at most; at least a tenth of that.
    pub most_ns: u64,
}

impl HostAbsence {
    /// Such a host; `None` if a number is out of range.
    pub fn new(every_ns: u64, most_ns: u64) -> Option<HostAbsence> {
        (RANGE.contains(&every_ns) && RANGE.contains(&most_ns)).then_some(HostAbsence { every_ns, most_ns })
    }
}
