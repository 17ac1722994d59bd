//! Tunables: what /etc/system or a scenario may set before boot.
//!
//! # Invariants
//! - A tunable's place in [`TUNABLES`] is its number in the scenario program and in the kernel.
//! - Values are `i64`; the range is checked on the host, so the kernel may rely on it.

/// One tunable of the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Tunable {
    /// Name, as illumos spells it.
    pub name: &'static str,
    /// Value when nobody sets it.
    pub default: i64,
    /// Least value allowed.
    pub min: i64,
    /// Greatest value allowed.
    pub max: i64,
    /// What it does, with its unit.
    pub doc: &'static str,
}

macro_rules! tunables {
    ($($id:ident = $name:literal, $default:expr, $min:expr, $max:expr, $doc:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(usize)]
        enum Number { $($id),* }
        $(#[doc = $doc] pub const $id: usize = Number::$id as usize;)*
        /// Every tunable, in the order of their numbers.
        pub const TUNABLES: &[Tunable] = &[
            $(Tunable { name: $name, default: $default, min: $min, max: $max, doc: $doc }),*
        ];
    };
}

tunables! {
    HZ = "hz", 100, 10, 10_000, "clock ticks a second; quanta are counted in ticks (conf param.c)";
    KPREEMPTPRI = "kpreemptpri", 99, 0, 180, "least priority whose arrival preempts a thread in the kernel; 100 before illumos #1532 (disp.c dispinit)";
    KPQPRI = "kpqpri", -1, -1, 180, "least priority at which an unbound thread goes to the partition's kp queue; -1 means kpreemptpri (disp.c dispinit)";
    UPREEMPTPRI = "upreemptpri", 0, 0, 180, "least priority whose arrival preempts a thread in user mode (disp.c)";
    ONLY_INTR_KPREEMPT = "only_intr_kpreempt", 0, 0, 1, "1: only interrupt priorities preempt a thread in the kernel (disp.c disp_setup)";
    RECHOOSE_INTERVAL = "rechoose_interval", 3, 0, 1_000_000, "ticks for which a thread's last CPU counts as warm (disp.c)";
    RUNQ_MAX_DIFF = "runq_max_diff", 2, 0, 1000, "tolerated difference of run-queue lengths at priority 16 and above (disp.c RUNQ_MAX_DIFF)";
    NOSTEAL_NSEC = "nosteal_nsec", 100_000, 0, 1_000_000_000, "ns for which a queued thread may not be stolen (disp.c)";
    TS_SLEEP_PROMOTE = "ts_sleep_promote", 1, 0, 1, "1: ts_update also promotes sleeping threads (ts.c)";
    TS_DISPATCH_EXTENDED = "ts_dispatch_extended", 0, 0, 1, "1: use the server TS table (ts_dptbl.c)";
    SNOOPING = "snooping", 0, 0, 1, "1: the in-guest deadman panics; 0: it only counts (clock.c)";
    SNOOP_INTERVAL = "snoop_interval", 50_000_000, 1_000_000, 3_600_000_000, "us without a clock second before the in-guest deadman fires (clock.c)";
    HALT_IDLE = "halt_idle_cpus", 1, 0, 1, "1: idle CPUs halt; 0: they spin (mp_machdep.c idle_cpu_prefer_mwait)";
    INTR_COST_NSEC = "intr_cost_nsec", 2_000, 0, 1_000_000, "ns that a device interrupt's handler takes";
}

/// How many tunables there are.
pub const COUNT: usize = TUNABLES.len();

/// The number of the tunable of this name.
pub fn find(name: &str) -> Option<usize> {
    TUNABLES.iter().position(|t| t.name == name)
}
