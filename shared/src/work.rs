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

/// Turns that `disp_bench` and `probe_bench` do between two looks at interrupts.
pub const BATCH: u64 = 64;

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

const fn peer(name: &'static str, doc: &'static str) -> Param {
    Param { name, kind: Kind::Thread, default: NOBODY, required: true, doc }
}

const MODE: Param = choice("mode", &["kernel", "user"], "where the CPU time is spent");
const HOUR_US: u64 = 3_600_000_000;
/// The argument of a parameter that may name one of the 16 workload mutexes and does not.
pub const NO_LOCK: u64 = 16;
/// The argument of a parameter that may name the level of a spin mutex and does not.
pub const NO_SPIN: u64 = 10;

macro_rules! works {
    ($($id:ident = $work:expr;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(usize)]
        enum Number { $($id),* }
        $(#[doc = concat!("Number of the workload `", stringify!($id), "`.")] pub const $id: usize = Number::$id as usize;)*
        /// Every workload, in the order of their numbers.
        pub const WORKS: &[Work] = &[$($work),*];
    };
}

works! {
    VCPU_LOOP = Work {
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
    };
    SOFT_RING = Work {
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
    };
    SQUEUE = Work {
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
    };
    SPIN = Work {
        name: "spin",
        doc: "computes for ever",
        params: &[
            MODE,
            number("chunk_us", 50, 1, 1_000_000, "us between two system calls of a user-mode spinner"),
            choice("between", &["nothing", "yield"], "what it does between two chunks"),
        ],
    };
    PERIODIC = Work {
        name: "periodic",
        doc: "computes, sleeps some ticks, and so on",
        params: &[
            number("busy_us", 100, 0, 10_000_000, "us of work a turn"),
            number("sleep_ticks", 1, 1, 1_000_000, "clock ticks of sleep a turn: a normal callout, run by a thread at 99"),
            MODE,
            number("sleep_us", 0, 0, HOUR_US, "us of sleep a turn instead: a realtime callout, run by an interrupt; 0 for ticks"),
        ],
    };
    LOCK_MIX = Work {
        name: "lock_mix",
        doc: "takes an adaptive mutex, holds it, lets go, thinks",
        params: &[
            number("lock", 0, 0, 15, "which of the 16 workload mutexes"),
            number("hold_us", 5, 0, 1_000_000, "us of work inside"),
            number("think_us", 20, 0, 1_000_000, "us of work outside"),
            number("rest_ticks", 0, 0, 1_000_000, "clock ticks of sleep a turn; 0 for none"),
        ],
    };
    PINGPONG = Work {
        name: "pingpong",
        doc: "waits on a condition variable for its peer's signal and signals back",
        params: &[Param {
            name: "peer",
            kind: Kind::Thread,
            default: NOBODY,
            required: true,
            doc: "the other player, a pingpong too",
        }],
    };
    PIL_LOOP = Work {
        name: "pil_loop",
        doc: "raises its CPU's priority level and spins there for ever",
        params: &[
            number("pil", 14, 1, 15, "the level"),
            number("after_us", 0, 0, HOUR_US, "us of ordinary work first"),
        ],
    };
    PANIC = Work {
        name: "panic",
        doc: "panics the kernel",
        params: &[number("after_us", 0, 0, HOUR_US, "us of ordinary work first")],
    };
    OVERFLOW = Work {
        name: "overflow",
        doc: "recurses until its stack runs into the guard page",
        params: &[number("after_us", 0, 0, HOUR_US, "us of ordinary work first")],
    };
    CORRUPT = Work {
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
    };
    REAP = Work {
        name: "reap",
        doc: "long kernel work in chunks, as the reap of a kmem cache",
        params: &[
            number("chunk_us", 1000, 1, 1_000_000, "us of work a chunk"),
            number("chunks", 500, 1, 1_000_000, "chunks before it rests"),
            choice(
                "between",
                &["nothing", "kpreempt"],
                "kpreempt: kpreempt(KPREEMPT_SYNC) after each chunk, as since illumos #7232",
            ),
            number("rest_ticks", 1, 0, 1_000_000, "clock ticks of sleep after the last chunk; 0 for none"),
        ],
    };
    PAGE_SCANNER = Work {
        name: "page_scanner",
        doc: "asks a writer for a page and scans in the kernel until it is written; panics if that takes too long",
        params: &[
            Param {
                name: "writer",
                kind: Kind::Thread,
                default: NOBODY,
                required: true,
                doc: "who writes pages: a thread that runs squeue",
            },
            number("scan_us", 50, 1, 1_000_000, "us between two looks"),
            number("deadman_ms", 90_000, 1, 3_600_000, "ms without a page before it panics (pageout_deadman_seconds)"),
            number("between_us", 1_000, 0, 1_000_000, "us of scanning before it asks for the next page"),
        ],
    };
    NOPREEMPT_LOOP = Work {
        name: "nopreempt_loop",
        doc: "computes in the kernel for ever with preemption disabled (t_preempt raised), interrupts on",
        params: &[
            number("after_us", 0, 0, HOUR_US, "us of ordinary work first"),
            number("chunk_us", 50, 1, 1_000_000, "us a turn"),
        ],
    };
    PINNED = Work {
        name: "pinned",
        doc: "computes while it may not leave its CPU, then rests, and so on; panics if it was moved",
        params: &[
            choice(
                "how",
                &["nomigrate", "nopreempt"],
                "thread_nomigrate: it may be preempted; kpreempt_disable: it may not",
            ),
            number("hold_us", 500, 1, HOUR_US, "us of work while it is pinned"),
            number("think_us", 100, 0, HOUR_US, "us of work while it is not"),
            number("rest_ticks", 0, 0, 1_000_000, "clock ticks of sleep a turn; 0 for none"),
        ],
    };
    LOCK_CHAIN = Work {
        name: "lock_chain",
        doc: "takes a mutex, holds it, takes a second inside it and a third inside that, lets go of all, thinks",
        params: &[
            number("first", 0, 0, 15, "which of the 16 workload mutexes it takes first"),
            number("second", NO_LOCK, 0, NO_LOCK, "which it takes inside the first; 16 for none"),
            number("third", NO_LOCK, 0, NO_LOCK, "which it takes inside the second; 16 for none"),
            number("hold_us", 1000, 0, HOUR_US, "us of work with each mutex before the next is taken"),
            number("think_us", 0, 0, HOUR_US, "us of work outside"),
            number("rest_ticks", 1, 0, 1_000_000, "clock ticks of sleep a turn; 0 for none"),
            number("after_us", 0, 0, HOUR_US, "us before the first turn: asleep for the whole ticks of it, at work for the rest"),
        ],
    };
    RW_MIX = Work {
        name: "rw_mix",
        doc: "takes an rwlock, holds it, lets go, thinks",
        params: &[
            number("lock", 0, 0, 15, "which of the 16 workload rwlocks"),
            choice(
                "mode",
                &["reader", "writer", "starvewriter"],
                "how it takes it; starvewriter: as a reader that passes by writers who wait",
            ),
            number("hold_us", 1000, 0, HOUR_US, "us of work inside"),
            number("think_us", 0, 0, HOUR_US, "us of work outside"),
            number("rest_ticks", 1, 0, 1_000_000, "clock ticks of sleep a turn; 0 for none"),
            number("after_us", 0, 0, HOUR_US, "us before the first turn: asleep for the whole ticks of it, at work for the rest"),
            choice(
                "nested",
                &["nothing", "again", "mutex_inside", "mutex_around"],
                "again, mutex_inside: takes the lock once more, or the mutex, after hold_us, and works for hold_us with both",
            ),
            number("mutex", 0, 0, 15, "which of the 16 workload mutexes"),
        ],
    };
    SEMA_MIX = Work {
        name: "sema_mix",
        doc: "takes a unit of a semaphore, keeps it, gives it back, thinks",
        params: &[
            number("sema", 0, 0, 15, "which of the 16 workload semaphores; number n begins with n + 1 units"),
            number("hold_us", 1000, 0, HOUR_US, "us of work with the unit"),
            number("think_us", 0, 0, HOUR_US, "us of work without"),
            number("rest_ticks", 1, 0, 1_000_000, "clock ticks of sleep a turn; 0 for none"),
            number("after_us", 0, 0, HOUR_US, "us before the first turn: asleep for the whole ticks of it, at work for the rest"),
        ],
    };
    CV_HERD = Work {
        name: "cv_herd",
        doc: "waits on a condition variable for the next round, or calls it",
        params: &[
            number("cv", 0, 0, 15, "which of the 16 workload condition variables"),
            choice("part", &["waiter", "caller"], "waits for a round, or broadcasts one and rests"),
            number("hold_us", 10, 0, HOUR_US, "us of work with the mutex each time"),
            number("rest_ticks", 1, 1, 1_000_000, "caller: clock ticks of sleep a round"),
            number("after_us", 0, 0, HOUR_US, "us before the first turn: asleep for the whole ticks of it, at work for the rest"),
        ],
    };
    PIL_HOLD = Work {
        name: "pil_hold",
        doc: "raises its CPU's priority level for a time, lowers it again, works on",
        params: &[
            number("pil", 10, 1, 15, "the level"),
            number("hold_us", 1000, 0, HOUR_US, "us at that level"),
            number("after_us", 0, 0, HOUR_US, "us of ordinary work first"),
            number("times", 1, 1, 1_000_000, "how often; it ends then"),
        ],
    };
    CYCLIC_USER = Work {
        name: "cyclic_user",
        doc: "adds a cyclic that sends a signal, and gives it other times or removes it",
        params: &[
            choice("level", &["low", "lock", "high"], "the cyclic's level"),
            number("interval_us", 1000, 0, HOUR_US, "us between two times; 0 for a one-shot"),
            number("signal", 0, 0, 15, "the signal that it sends"),
            number("rearm_us", 0, 0, HOUR_US, "us from now on to which the thread sets it again and again; 0 for never"),
            number("remove_us", 0, 0, HOUR_US, "us after which it is removed; 0 for never"),
            number("work_us", 100, 1, HOUR_US, "us of work between two things that the thread does"),
            choice(
                "place",
                &["anywhere", "here", "bound_here", "empty_set"],
                "where the cyclic shall be: the kernel's choice, the thread's CPU, bound to that, or first processor set, which must have no CPU",
            ),
        ],
    };
    CYCLIC_JUGGLER = Work {
        name: "cyclic_juggler",
        doc: "sends a CPU's cyclics and callouts to other CPUs, as if it went offline, and takes them back",
        params: &[
            number("target_cpu", 0, 0, 15, "the CPU"),
            number("away_us", 0, 0, HOUR_US, "us until they may come back; 0 for never"),
            number("home_us", 0, 0, HOUR_US, "us of work before, each time"),
        ],
    };
    TIMEOUT_USER = Work {
        name: "timeout_user",
        doc: "asks for callouts and takes them back; panics if one runs after that",
        params: &[
            choice("table", &["realtime", "normal"], "who runs them: an interrupt, or a thread of callout_taskq"),
            number("delay_us", 1000, 0, HOUR_US, "us from the request to the callout"),
            number("run_us", 0, 0, 1_000_000, "us that a callout takes"),
            number("signal", 0, 0, 15, "the signal that a callout sends; nobody else may"),
            number("untimeout_us", 0, 0, HOUR_US, "us after which it is taken back; 0: it is waited for"),
            choice("call", &["send", "cancel_itself"], "what the callout does"),
        ],
    };
    CALLOUT_CHAIN = Work {
        name: "callout_chain",
        doc: "has a normal callout wait for another one that is due at the same time or later",
        params: &[
            number("signal", 0, 0, 14, "the first of two signals that nobody else may send"),
            number("later_ticks", 0, 0, 1000, "ticks by which the second is due later"),
        ],
    };
    TIMED_WAIT = Work {
        name: "timed_wait",
        doc: "waits on a condition variable for the next round, but not for ever",
        params: &[
            number("cv", 0, 0, 15, "which of the 16 workload condition variables"),
            number("timeout_us", 100_000, 1, HOUR_US, "us that it waits at most"),
            number("after_us", 0, 0, HOUR_US, "us before the first turn: asleep for the whole ticks of it, at work for the rest"),
        ],
    };
    SPIN_MIX = Work {
        name: "spin_mix",
        doc: "takes a spin mutex, holds it at the mutex's level, lets go, thinks",
        params: &[
            number("pil", 11, 11, 15, "the mutex's level: there is one for each"),
            number("hold_us", 5, 0, HOUR_US, "us of work inside"),
            number("think_us", 20, 0, HOUR_US, "us of work outside"),
            number("rest_ticks", 0, 0, 1_000_000, "clock ticks of sleep a turn; 0 for none"),
        ],
    };
    XCALL_MIX = Work {
        name: "xcall_mix",
        doc: "takes a spin mutex, works, makes a cross call to every CPU and waits for the answers, lets go, thinks; as an unmap does",
        params: &[
            number("pil", NO_SPIN, NO_SPIN, 15, "the mutex's level, 11 to 15; 10 for none"),
            choice("how", &["call", "sync"], "sync: nobody answers before everybody has stopped"),
            number("hold_us", 20, 0, HOUR_US, "us of work with the mutex, before the call"),
            number("think_us", 100, 0, HOUR_US, "us of work outside"),
            number("rest_ticks", 0, 0, 1_000_000, "clock ticks of sleep a turn; 0 for none"),
            number("after_us", 0, 0, HOUR_US, "us before the first turn: asleep for the whole ticks of it, at work for the rest"),
        ],
    };
    SIGNAL_WAIT = Work {
        name: "signal_wait",
        doc: "waits for a signal for a limited time, then sleeps for a longer one; panics if it is woken early",
        params: &[
            number("signal", 0, 0, 15, "the signal"),
            number("limit_us", 1000, 1, HOUR_US, "us to wait for it"),
            number("long_us", 5000, 1, HOUR_US, "us of sleep after that"),
        ],
    };
    SENDER = Work {
        name: "sender",
        doc: "sends a signal, works, and so on",
        params: &[
            number("signal", 0, 0, 15, "the signal"),
            number("work_us", 1000, 1, HOUR_US, "us of work between two"),
        ],
    };
    PROC_LOOK = Work {
        name: "proc_look",
        doc: "takes the process lock of another thread, as /proc does; the clock needs it to charge that thread",
        params: &[
            Param { name: "at", kind: Kind::Thread, default: NOBODY, required: true, doc: "whose process lock" },
            number("hold_us", 100, 0, HOUR_US, "us of work inside"),
            number("think_us", 20, 0, HOUR_US, "us of work outside"),
            number("rest_ticks", 0, 0, 1_000_000, "clock ticks of sleep a turn; 0 for none"),
            number("after_us", 0, 0, HOUR_US, "us before the first turn: asleep for the whole ticks of it, at work for the rest"),
        ],
    };
    DISP_BENCH = Work {
        name: "disp_bench",
        doc: "for the bench: takes a thread that waits on its CPU's run queue off it and puts it back",
        params: &[peer("target", "the thread, which must be worse and bound to the same CPU")],
    };
    PROBE_BENCH = Work { name: "probe_bench", doc: "for the bench: fires a probe", params: &[] };
    POKE_BENCH = Work {
        name: "poke_bench",
        doc: "for the bench: pokes a thread's CPU and waits until that has taken the interrupt",
        params: &[peer("target", "the thread, which must be bound to another CPU")],
    };
    LOCK_PASS = Work {
        name: "lock_pass",
        doc: "for the bench: wakes a better thread while it holds the mutex that this one wants",
        params: &[
            peer("peer", "the better thread, a lock_take on the same CPU"),
            choice("contend", &["yes", "no"], "no: lets go of the mutex before it wakes the other"),
        ],
    };
    LOCK_TAKE = Work {
        name: "lock_take",
        doc: "for the bench: when woken by a lock_pass, takes its mutex and gives it back",
        params: &[],
    };
    CORE_PAIR = Work {
        name: "core_pair",
        doc: "computes in user mode; panics if its peer ran where it should not in most of the looks of a while",
        params: &[
            peer("peer", "the other of the pair"),
            choice("wants", &["apart", "together"], "to be on another core than its peer, or on the same"),
            number("busy_us", 1000, 1, HOUR_US, "us of work between two looks"),
            number("looks", 100, 1, 1_000_000, "looks at the peer of which a while consists"),
        ],
    };
    AT_HOME = Work {
        name: "at_home",
        doc: "computes in user mode and sleeps; panics if it ran outside its locality group in most of the looks of a while",
        params: &[
            number("busy_us", 300, 1, HOUR_US, "us of work between two looks"),
            number("sleep_ticks", 1, 1, 1_000_000, "clock ticks of sleep after each look"),
            number("looks", 50, 1, 1_000_000, "looks of which a while consists"),
        ],
    };
}

/// The number of the workload of this name.
pub fn find(name: &str) -> Option<usize> {
    WORKS.iter().position(|w| w.name == name)
}
