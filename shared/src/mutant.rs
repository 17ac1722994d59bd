//! Mutants: kernels with one rule switched off, so that a monitor can be seen to work.
//!
//! # Invariants
//! - A mutant breaks exactly what one monitor watches, and nothing else.
//! - Mutants are bits of one word that the kernel reads; zero is the honest kernel.

/// One rule that can be switched off.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    /// Name in scenario files.
    pub name: &'static str,
    /// Its bit.
    pub bit: u64,
    /// The monitor that must catch it.
    pub caught_by: &'static str,
    /// What the kernel then does wrong.
    pub breaks: &'static str,
}

/// `cpu_resched` never raises `cpu_kprunrun`.
pub const LOST_KPRUNRUN: u64 = 1 << 0;
/// `clock()` stops for good after half a second, though its CPU goes on.
pub const CLOCK_STOPS: u64 = 1 << 1;
/// `dispdeq` and `disp` forget to lower `disp_maxrunpri` when a level becomes empty.
pub const STALE_MAXRUNPRI: u64 = 1 << 2;
/// Every 64th enqueue is not counted in `disp_nrunnable`.
pub const SKEWED_NRUNNABLE: u64 = 1 << 3;
/// `setbackdq` forgets the bit of the active map every 64th time a level becomes non-empty, and sets the neighbour's.
pub const WRONG_QACTMAP: u64 = 1 << 4;

/// Every mutant, in the order in which they are listed.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "lost_kprunrun",
        bit: LOST_KPRUNRUN,
        caught_by: "starvation",
        breaks: "cpu_resched never raises cpu_kprunrun, whatever kpreemptpri says",
    },
    Mutant {
        name: "clock_stops",
        bit: CLOCK_STOPS,
        caught_by: "deadman",
        breaks: "clock() does nothing any more after half a second",
    },
    Mutant {
        name: "stale_maxrunpri",
        bit: STALE_MAXRUNPRI,
        caught_by: "runq",
        breaks: "disp_maxrunpri is not lowered when its level becomes empty",
    },
    Mutant {
        name: "skewed_nrunnable",
        bit: SKEWED_NRUNNABLE,
        caught_by: "runq",
        breaks: "every 64th enqueue is left out of disp_nrunnable",
    },
    Mutant {
        name: "wrong_qactmap",
        bit: WRONG_QACTMAP,
        caught_by: "runq",
        breaks: "now and then a non-empty level has no bit in disp_qactmap",
    },
];

/// The mutant of this name.
pub fn find(name: &str) -> Option<&'static Mutant> {
    MUTANTS.iter().find(|m| m.name == name)
}
