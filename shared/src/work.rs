//! The workloads that a scenario's threads may run, with their parameters.
//!
//! # Invariants
//! - A workload's place in [`WORKS`] is its number; a parameter's place in [`Work::params`] is its
//!   argument's. Both are part of the scenario program.
//! - The host checks names, kinds and ranges, so the guest may rely on them.

/// Arguments that a thread's record carries.
pub const MAX_ARGS: usize = 8;
/// The argument of a `Thread` or `Interrupt` parameter that names nobody.
pub const NOBODY: u64 = u64::MAX;

/// What a parameter takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A whole number (in the unit that the name ends with) from the first to the second.
    Number(u64, u64),
    /// One of these words, passed as its place in the list.
    Choice(&'static [&'static str]),
    /// The name of a thread of the scenario, passed as its place in the file.
    Thread,
    /// The name of an interrupt of the scenario, passed as its place in the file.
    Interrupt,
}

/// One parameter of a workload.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Name in scenario files.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// The argument when it is not given; [`NOBODY`] for names.
    pub default: u64,
    /// True if it must be given.
    pub required: bool,
    /// What it means.
    pub doc: &'static str,
}

/// One workload.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Name in scenario files.
    pub name: &'static str,
    /// What a thread that runs it does.
    pub doc: &'static str,
    /// Its parameters.
    pub params: &'static [Param],
}

const fn number(name: &'static str, default: u64, min: u64, max: u64, doc: &'static str) -> Param {
    Param { name, kind: Kind::Number(min, max), default, required: false, doc }
}

const fn choice(name: &'static str, words: &'static [&'static str], doc: &'static str) -> Param {
    Param { name, kind: Kind::Choice(words), default: 0, required: false, doc }
}

const MODE: Param = choice("mode", &["kernel", "user"], "where the CPU time is spent");
const HOUR_US: u64 = 3_600_000_000;

/// Number of `vcpu_loop`: never leaves the kernel, "exits" every `exit_us`.
pub const VCPU_LOOP: usize = 0;
/// Number of `soft_ring`: drains packets that an interrupt brought and passes them on.
pub const SOFT_RING: usize = 1;
/// Number of `squeue`: drains packets and drops them.
pub const SQUEUE: usize = 2;
/// Number of `spin`: computes for ever.
pub const SPIN: usize = 3;
/// Number of `periodic`: computes and sleeps by turns.
pub const PERIODIC: usize = 4;
/// Number of `lock_mix`: takes and holds adaptive mutexes.
pub const LOCK_MIX: usize = 5;
/// Number of `pingpong`: passes a ball through condition variables.
pub const PINGPONG: usize = 6;
/// Number of `pil_loop`: raises the priority level and stays there.
pub const PIL_LOOP: usize = 7;
/// Number of `panic`: the kernel panics.
pub const PANIC: usize = 8;
/// Number of `overflow`: recurses until the stack ends.
pub const OVERFLOW: usize = 9;
/// Number of `corrupt`: breaks the kernel's own data.
pub const CORRUPT: usize = 10;

/// Every workload, in the order of their numbers.
pub const WORKS: &[Work] = &[
    Work {
        name: "vcpu_loop",
        doc: "a KVM vCPU: runs its guest in the kernel, exits, goes in again, never sleeps",
        params: &[
            number("exit_us", 20, 1, 1_000_000, "us between two exits"),
            choice(
                "after_exit",
                &["nothing", "check_runrun", "force_kprunrun"],
                "what the loop does at an exit: nothing (the bug), bhyve's check, or the ticket's workaround",
            ),
            choice(
                "preempt",
                &["normally", "aggressively"],
                "aggressively: kpreempt_aggressively() around the loop",
            ),
            MODE,
        ],
    },
    Work {
        name: "soft_ring",
        doc: "a MAC soft ring's worker: waits for packets, passes each on to its sink",
        params: &[
            Param {
                name: "source",
                kind: Kind::Interrupt,
                default: NOBODY,
                required: true,
                doc: "the interrupt that brings packets",
            },
            Param {
                name: "sink",
                kind: Kind::Thread,
                default: NOBODY,
                required: false,
                doc: "who gets them next",
            },
            number("cost_us", 5, 0, 1_000_000, "us of work a packet"),
        ],
    },
    Work {
        name: "squeue",
        doc: "an IP squeue's worker: waits for packets, consumes them",
        params: &[
            number("cost_us", 5, 0, 1_000_000, "us of work a packet"),
            Param {
                name: "source",
                kind: Kind::Interrupt,
                default: NOBODY,
                required: false,
                doc: "an interrupt whose packets come here directly, beside what a soft ring passes on",
            },
        ],
    },
    Work {
        name: "spin",
        doc: "computes for ever",
        params: &[
            MODE,
            number("chunk_us", 50, 1, 1_000_000, "us between two system calls of a user-mode spinner"),
            choice("between", &["nothing", "yield"], "what it does between two chunks"),
        ],
    },
    Work {
        name: "periodic",
        doc: "computes, sleeps some ticks, and so on",
        params: &[
            number("busy_us", 100, 0, 10_000_000, "us of work a turn"),
            number("sleep_ticks", 1, 1, 1_000_000, "clock ticks of sleep a turn"),
            MODE,
        ],
    },
    Work {
        name: "lock_mix",
        doc: "takes an adaptive mutex, holds it, lets go, thinks",
        params: &[
            number("lock", 0, 0, 15, "which of the 16 workload mutexes"),
            number("hold_us", 5, 0, 1_000_000, "us of work inside"),
            number("think_us", 20, 0, 1_000_000, "us of work outside"),
            number("rest_ticks", 0, 0, 1_000_000, "clock ticks of sleep a turn; 0 for none"),
        ],
    },
    Work {
        name: "pingpong",
        doc: "waits on a condition variable for its peer's signal and signals back",
        params: &[Param {
            name: "peer",
            kind: Kind::Thread,
            default: NOBODY,
            required: true,
            doc: "the other player, a pingpong too",
        }],
    },
    Work {
        name: "pil_loop",
        doc: "raises its CPU's priority level and spins there for ever",
        params: &[
            number("pil", 14, 1, 15, "the level"),
            number("after_us", 0, 0, HOUR_US, "us of ordinary work first"),
        ],
    },
    Work {
        name: "panic",
        doc: "panics the kernel",
        params: &[number("after_us", 0, 0, HOUR_US, "us of ordinary work first")],
    },
    Work {
        name: "overflow",
        doc: "recurses until its stack runs into the guard page",
        params: &[number("after_us", 0, 0, HOUR_US, "us of ordinary work first")],
    },
    Work {
        name: "corrupt",
        doc: "breaks the kernel's own data, for tests of the glass",
        params: &[
            choice(
                "what",
                &["run_queue_cycle", "held_lock"],
                "a t_link that points to itself, or a dispatcher lock that is taken and never released",
            ),
            number("after_us", 100_000, 0, HOUR_US, "us of ordinary work first"),
        ],
    },
];

/// The number of the workload of this name.
pub fn find(name: &str) -> Option<usize> {
    WORKS.iter().position(|w| w.name == name)
}
