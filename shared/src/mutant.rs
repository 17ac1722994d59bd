//! Mutants: kernels with one rule switched off, so that a monitor can be seen to work.
//!
//! # Invariants
//! - A mutant breaks exactly what one monitor watches, and nothing else. What no monitor watches is a [`Twin`]: the scenario that
//!   it names has a variant with it and one without, and says what shows.
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
/// For half of every 64 enqueues `disp_nrunnable` is one too high.
pub const SKEWED_NRUNNABLE: u64 = 1 << 3;
/// `setbackdq` forgets the bit of the active map every 64th time a level becomes non-empty, and sets the neighbour's.
pub const WRONG_QACTMAP: u64 = 1 << 4;
/// An idle CPU looks for work and publishes somewhat later that it halts, instead of the other way round.
pub const HALT_BEFORE_PUBLISH: u64 = 1 << 32;
/// A steal is final: neither serialised with `cpu_resched` nor ratified (before 6482861).
pub const NO_STEAL_BARRIER: u64 = 1 << 33;
/// `disp_ratify` clears the flags and does not look again.
pub const NO_RATIFY: u64 = 1 << 34;
/// A CPU in search of work stops at any idle CPU, be it halted or pinned by an interrupt (before 6420092).
pub const BLINDED_IDLE: u64 = 1 << 35;
/// `ts_update` never promotes anybody.
pub const TS_NO_LWAIT: u64 = 1 << 8;
/// FSS charges every project by its usage alone, whatever its shares.
pub const FSS_IGNORES_SHARES: u64 = 1 << 9;
/// An SDC thread that has had its duty cycle keeps the high priority.
pub const SDC_NEVER_SINKS: u64 = 1 << 10;
/// `setkpdq` asks no CPU to think again.
pub const UNASKED_KP: u64 = 1 << 5;
/// The return from an interrupt to kernel mode does not look at `cpu_kprunrun`.
pub const DEAF_RETURN: u64 = 1 << 6;
/// A CPU that goes idle notes the next CPU's thread in its own `cpu_dispthread`.
pub const BORROWED_DISPTHREAD: u64 = 1 << 7;
/// `disp_enq_thread` wakes no halted CPU.
pub const LOST_WAKEUP: u64 = 1 << 48;
/// `pi_inherit` lends nothing.
pub const NO_INHERIT: u64 = 1 << 49;
/// After half a second the timer counts up cyclics below its level, but posts no soft interrupt for them.
pub const LOST_SOFTINT: u64 = 1 << 51;
/// A CPU that goes offline keeps the clock, which then stops: no other CPU gets its cyclic.
pub const CLOCK_STAYS: u64 = 1 << 56;
/// The search for a CPU for a thread, or for work for a CPU, ends at its own locality group.
pub const LEAF_ONLY: u64 = 1 << 44;
/// A CPU that goes offline keeps what waits on its run queue.
pub const STRANDED_QUEUE: u64 = 1 << 57;

/// A thread that switches to itself is stamped as if it waited still (6840801).
pub const STALE_WAITRQ: u64 = 1 << 41;
/// A CPU that takes a thread off its queue gives the queue's lock back first and the thread another one afterwards (6294464).
pub const UNLOCKED_LOCKP: u64 = 1 << 42;
/// An SDC thread that was pruned as it slept is not put on its list again when it wakes.
pub const SDC_LOST_SLEEPER: u64 = 1 << 43;
/// `cpu_offline` does not see who is bound weakly.
pub const WEAK_FORGOTTEN: u64 = 1 << 58;
/// Who pins himself on a CPU that is about to go is let be.
pub const UNHEEDED_MOTION: u64 = 1 << 59;

/// A cyclic that is more than a second late makes up for every time that it missed (before illumos 6641).
pub const CYCLIC_NO_CATCHUP: u64 = 1 << 28;
/// The deadman looks at the countdown before it counts down (6655821).
pub const DEADMAN_OFF_BY_ONE: u64 = 1 << 29;
/// What a callout has begun is not minded: `untimeout` does not wait for it, and a wake-up is not checked against the wait that
/// it was meant for. No monitor watches this and what follows: tests of the simulator do.
pub const STALE_CALLOUTS: u64 = 1 << 30;
/// A cyclic that is due while its handler is still owed owes no more than that.
pub const CYCLIC_PEND_LOST: u64 = 1 << 31;

/// Ticks that were pending when the threaded tick comes to charge are charged as one. No monitor watches them.
pub const LOST_TICK_PENDING: u64 = 1 << 24;
/// The threaded tick marks its soft interrupts as posted, but posts none.
pub const LOST_TICK_SOFTINT: u64 = 1 << 25;

/// Waits on run queues are not charged to `LMS_WAIT_CPU`: microstates do not add up. No monitor watches them.
pub const LOST_WAIT_CPU: u64 = 1 << 40;

/// Every mutant that a monitor must catch, in the order in which they are listed.
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
        breaks: "for half of every 64 enqueues disp_nrunnable is one too high",
    },
    Mutant {
        name: "wrong_qactmap",
        bit: WRONG_QACTMAP,
        caught_by: "runq",
        breaks: "now and then a non-empty level has no bit in disp_qactmap",
    },
    Mutant {
        name: "halt_before_publish",
        bit: HALT_BEFORE_PUBLISH,
        caught_by: "idle_while_queued",
        breaks: "an idle CPU looks for work before it publishes that it halts",
    },
    Mutant {
        name: "no_steal_barrier",
        bit: NO_STEAL_BARRIER,
        caught_by: "order",
        breaks: "a stolen thread runs whatever arrived during the steal (6482861)",
    },
    Mutant {
        name: "no_ratify",
        bit: NO_RATIFY,
        caught_by: "order",
        breaks: "disp_ratify does not look again after it cleared the flags",
    },
    Mutant {
        name: "blinded_idle",
        bit: BLINDED_IDLE,
        caught_by: "idle_while_queued",
        breaks: "the search for work ends at any idle CPU, halted and pinned ones too (6420092)",
    },
    Mutant {
        name: "ts_no_lwait",
        bit: TS_NO_LWAIT,
        caught_by: "progress",
        breaks: "ts_update promotes nobody, however long he has waited",
    },
    Mutant {
        name: "fss_ignores_shares",
        bit: FSS_IGNORES_SHARES,
        caught_by: "share",
        breaks: "an FSS project's priority follows its usage alone, as if all had equal shares",
    },
    Mutant {
        name: "sdc_never_sinks",
        bit: SDC_NEVER_SINKS,
        caught_by: "share",
        breaks: "an SDC thread stays at sysdc_maxpri when it has had its duty cycle",
    },
    Mutant {
        name: "unasked_kp",
        bit: UNASKED_KP,
        caught_by: "order",
        breaks: "setkpdq asks no CPU to take what it put on the kp queue",
    },
    Mutant {
        name: "deaf_return",
        bit: DEAF_RETURN,
        caught_by: "preempt_owed",
        breaks: "the return from an interrupt to the kernel never looks at cpu_kprunrun",
    },
    Mutant {
        name: "borrowed_dispthread",
        bit: BORROWED_DISPTHREAD,
        caught_by: "one_cpu",
        breaks: "a CPU that goes idle notes the next CPU's thread as its own cpu_dispthread",
    },
    Mutant {
        name: "lost_wakeup",
        bit: LOST_WAKEUP,
        caught_by: "idle_while_queued",
        breaks: "an enqueue wakes no halted CPU",
    },
    Mutant {
        name: "no_inherit",
        bit: NO_INHERIT,
        caught_by: "inheritance",
        breaks: "pi_inherit lends nobody the priority of who waits for his lock",
    },
    Mutant {
        name: "lost_softint",
        bit: LOST_SOFTINT,
        caught_by: "pending",
        breaks: "after half a second the timer posts no soft interrupt for the cyclics that it counts up",
    },
    Mutant {
        name: "clock_stays",
        bit: CLOCK_STAYS,
        caught_by: "deadman",
        breaks: "a CPU that goes offline keeps the clock's cyclic, which never fires again",
    },
    Mutant {
        name: "leaf_only",
        bit: LEAF_ONLY,
        caught_by: "idle_while_queued",
        breaks: "the search for a CPU, or for work, ends at the own locality group",
    },
    Mutant {
        name: "stranded_queue",
        bit: STRANDED_QUEUE,
        caught_by: "progress",
        breaks: "disp_cpu_inactive leaves an offline CPU the threads that wait on its queue, and disp_ratify does not put them elsewhere",
    },
    Mutant {
        name: "lost_tick_softint",
        bit: LOST_TICK_SOFTINT,
        caught_by: "progress",
        breaks: "the threaded tick posts no soft interrupt on the CPUs that are to charge its sets",
    },
    Mutant {
        name: "stale_waitrq",
        bit: STALE_WAITRQ,
        caught_by: "waitrq",
        breaks: "a thread that switches to itself keeps a stamp in t_waitrq while it runs (6840801)",
    },
    Mutant {
        name: "unlocked_lockp",
        bit: UNLOCKED_LOCKP,
        caught_by: "progress",
        breaks: "a CPU changes the t_lockp of the thread that it takes after it gave the queue's lock back (6294464)",
    },
    Mutant {
        name: "sdc_lost_sleeper",
        bit: SDC_LOST_SLEEPER,
        caught_by: "share",
        breaks: "an SDC thread that was pruned as it slept is not looked at again when it wakes",
    },
    Mutant {
        name: "weak_forgotten",
        bit: WEAK_FORGOTTEN,
        caught_by: "latency",
        breaks: "cpu_offline does not wait for weak bindings, and leaves threads on the offline CPU's queue",
    },
];

/// A rule that a scenario switches off in one of its variants, and whose absence is no monitor's business: what shows is an
/// event's result, a guest that dies, or one that does not.
#[derive(Debug, Clone, Copy)]
pub struct Twin {
    /// Name in scenario files.
    pub name: &'static str,
    /// Its bit.
    pub bit: u64,
    /// The scenario that shows it.
    pub shown_by: &'static str,
    /// What the kernel then does wrong.
    pub breaks: &'static str,
}

/// Every twin, in the order in which they are listed.
pub const TWINS: &[Twin] = &[
    Twin {
        name: "deadman_off_by_one",
        bit: DEADMAN_OFF_BY_ONE,
        shown_by: "b6655821",
        breaks: "the in-guest deadman looks at its countdown before it counts down (6655821)",
    },
    Twin {
        name: "cyclic_no_catchup",
        bit: CYCLIC_NO_CATCHUP,
        shown_by: "i6641",
        breaks: "a cyclic that is more than a second late makes up for every time that it missed (before 6641)",
    },
    Twin {
        name: "unheeded_motion",
        bit: UNHEEDED_MOTION,
        shown_by: "nomigrate_inmotion",
        breaks: "a thread that pins itself on a CPU which is about to go offline is not moved off it",
    },
];

/// Everything that a scenario file may switch off, by name.
pub fn all() -> impl Iterator<Item = (&'static str, u64)> {
    let mutants = MUTANTS.iter().map(|m| (m.name, m.bit));
    mutants.chain(TWINS.iter().map(|t| (t.name, t.bit)))
}
