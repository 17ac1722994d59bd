//! The time-stamp counter that host and guest share.
//!
//! # Invariants
//! - A guest's count is compared with the host's only where KVM made both read the same.
// Reading the counter is an intrinsic.
#![allow(unsafe_code)]

/// Turns counts of a guest's time-stamp counter into times on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestTsc {
    khz: u64,
    is_shared: bool,
    built_at: u64,
}

impl GuestTsc {
    /// A counter of so many kHz that reads the same as the host's if `is_shared`, for a machine whose building
    /// began at `built_at`.
    pub(super) fn new(khz: u64, is_shared: bool, built_at: u64) -> GuestTsc {
        GuestTsc { khz: khz.max(1), is_shared, built_at }
    }

    /// Frequency in kHz.
    pub fn khz(&self) -> u64 {
        self.khz
    }

    /// True if the guest's counter reads the same as the host's.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Time from the beginning of [`super::Machine::build`] to a count that the guest noted, in ns; `None` if the counter
    /// is not shared or the count is older.
    pub fn since_build_ns(&self, count: u64) -> Option<u64> {
        self.between_ns(self.built_at, count)
    }

    /// Time since a count that the guest noted, in ns: with [`super::BootState::tsc_base`], what the guest's clock
    /// reads now. `None` if the counter is not shared or the count lies in the future.
    pub fn since_ns(&self, count: u64) -> Option<u64> {
        self.between_ns(count, host_tsc())
    }

    fn between_ns(&self, from: u64, to: u64) -> Option<u64> {
        let counts = to.checked_sub(from).filter(|_| self.is_shared)?;
        u64::try_from(u128::from(counts) * 1_000_000 / u128::from(self.khz)).ok()
    }
}

/// The host's time-stamp counter now.
pub(super) fn host_tsc() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and Linux lets programs use it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_build_ns_converts_counts_of_a_shared_counter_only() {
        let tsc = GuestTsc::new(2_000_000, true, 1000);
        assert_eq!(tsc.since_build_ns(3000), Some(1000));
        assert_eq!(tsc.since_build_ns(999), None);
        assert_eq!(GuestTsc { is_shared: false, ..tsc }.since_build_ns(3000), None);
        assert!(tsc.since_ns(host_tsc()).is_some());
        assert_eq!(tsc.since_ns(u64::MAX), None);
    }
}
