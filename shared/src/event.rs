//! Scheduler events: the vocabulary of the sched provider, and the ring that carries it.
//!
//! # Invariants
//! - One writer a ring (the CPU that owns it, at high priority level); the host reads behind it.
//! - A record is complete before `head` counts it, so a reader that checks `head` before and after
//!   its copy knows which records it may trust.

use core::sync::atomic::AtomicU64;

macro_rules! kinds {
    ($($Kind:ident = $number:literal, $name:literal, $doc:literal;)*) => {
        /// What happened. The numbers are part of the format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Kind {
            $(#[doc = $doc] $Kind = $number,)*
        }

        impl Kind {
            /// Every kind, in the order of the numbers.
            pub const ALL: &[Kind] = &[$(Kind::$Kind),*];

            /// The probe's name as the sched provider spells it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$Kind => $name,)*
                }
            }

            /// When the probe fires and what its argument is, in a sentence.
            pub const fn doc(self) -> &'static str {
                match self {
                    $(Kind::$Kind => $doc,)*
                }
            }

            /// The kind with this number, if there is one.
            pub const fn from_number(n: u32) -> Option<Kind> {
                match n {
                    $($number => Some(Kind::$Kind),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    OnCpu = 1, "on-cpu", "A thread begins to run (end of `resume`).";
    OffCpu = 2, "off-cpu", "A thread stops running; the argument is the next thread's id.";
    RemainCpu = 3, "remain-cpu", "`swtch` chose the thread that was running already.";
    Enqueue = 4, "enqueue", "Put on a run queue; the argument is an [`on_queue`].";
    Dequeue = 5, "dequeue", "Taken off a run queue; the argument is an [`on_queue`] without an end.";
    Sleep = 6, "sleep", "Went to sleep; the argument is an [`asleep_on`].";
    Wakeup = 7, "wakeup", "Was woken.";
    Preempt = 8, "preempt", "`preempt()` took the CPU away.";
    Surrender = 9, "surrender", "`cpu_surrender()` asked it to give the CPU up.";
    Tick = 10, "tick", "A clock tick was charged; the argument is how many were, more than one if some were pending.";
    ChangePri = 11, "change-pri", "The priority changes; the argument is the new one.";
    Steal = 12, "steal", "Stolen by an idle CPU; the argument is the victim CPU.";
    Poke = 13, "poke", "An inter-CPU poke was sent; the argument is the target CPU.";
    NoSteal = 14, "nosteal", "Not stolen, because it has not waited long enough; the argument is a [`not_stolen`].";
    CpucapsSleep = 15, "cpucaps-sleep", "Its project's or zone's cap takes the thread off the CPU; it is on the cap's wait queue.";
    CpucapsWakeup = 16, "cpucaps-wakeup", "Taken off that wait queue.";
    ChangeEpri = 17, "change-epri", "The inherited priority changes; the argument is the new one, 0 for none.";
    Release = 18, "release", "Gives up a lock that other threads wait for; the argument is how many it wakes.";
    RunrunRaise = 19, "runrun-raise", "`cpu_runrun` of a CPU, the argument, is set where it was not.";
    RunrunClear = 20, "runrun-clear", "`cpu_runrun` is cleared where it was set; the argument is the CPU.";
    RunrunTake = 21, "runrun-take", "`preempt()` because of `cpu_runrun` alone; the argument is the CPU.";
    KprunrunRaise = 22, "kprunrun-raise", "`cpu_kprunrun` of a CPU, the argument, is set where it was not.";
    KprunrunClear = 23, "kprunrun-clear", "`cpu_kprunrun` is cleared where it was set; the argument is the CPU.";
    KprunrunTake = 24, "kprunrun-take", "`preempt()` with `cpu_kprunrun` set; the argument is the CPU.";
    SearchEmpty = 25, "search-empty", "A CPU looked for work on the kp queue and other CPUs' queues, and there was none.";
    CyclicFire = 26, "cyclic-fire", "The soft interrupt calls a cyclic's handler, the argument, for a time that has just come. Not for level 14.";
    CyclicReplay = 27, "cyclic-replay", "It calls the handler once more, for a time at which it was held off.";
    TaskqEnqueue = 28, "taskq-enqueue", "A task is put on a queue's list; the argument is an [`of_task`] without a bucket.";
    TaskqExecStart = 29, "taskq-exec-start", "A task from a queue's list begins; the argument is an [`of_task`] without a bucket.";
    TaskqExecEnd = 30, "taskq-exec-end", "It has ended; the entry may belong to somebody else by now.";
    TaskqDEnqueue = 31, "taskq-d-enqueue", "A task is given to a thread of a bucket; the argument is an [`of_task`].";
    TaskqDExecStart = 32, "taskq-d-exec-start", "It begins; the argument is an [`of_task`].";
    TaskqDExecEnd = 33, "taskq-d-exec-end", "It has ended; the argument is an [`of_task`].";
    IntrBegin = 34, "intr-begin", "An interrupt thread begins to handle an interrupt of a level from 1 to 10, the argument, on top of what ran.";
    IntrEnd = 35, "intr-end", "It has handled it, or has blocked: what ran before goes on. The argument is the level.";
}

/// The argument of `enqueue` and `dequeue`: bit 0 is set for the head of a level, the high half is the queue's CPU plus one, or 0
/// for a partition's kp queue, which has none.
pub const fn on_queue(cpu: Option<u32>, at_head: bool) -> u64 {
    let cpu = match cpu {
        Some(n) => n as u64 + 1,
        None => 0,
    };
    cpu << 32 | at_head as u64
}

/// The CPU of an [`on_queue`], `None` for a kp queue.
pub const fn queue_cpu(arg: u64) -> Option<u32> {
    match arg >> 32 {
        0 => None,
        n => Some((n - 1) as u32),
    }
}

/// True if an [`on_queue`] is at the head of its level.
pub const fn at_head(arg: u64) -> bool {
    arg & 1 == 1
}

/// The argument of `nosteal`: the victim CPU in the high half, ns that the thread has waited in the low half, or all ones if
/// they are more.
pub const fn not_stolen(victim: u32, age_ns: u64) -> u64 {
    let age = if age_ns > u32::MAX as u64 { u32::MAX as u64 } else { age_ns };
    (victim as u64) << 32 | age
}

/// From the first place of one arena of the kernel's to that of the next: places as [`asleep_on`] has them. This is more than any arena
/// is long; the part above 16 MiB tells equal offsets in two arenas apart where only the low bits are hashed.
pub const PLACE_SPACING: usize = (1 << 24) + 0x1440;

/// What the kinds of what a thread sleeps on are called, by number.
pub const SLEEP_KINDS: [&str; 5] = ["none", "mutex", "rwlock", "cv", "sema"];

/// A place that an [`asleep_on`] has no room for, or that is in no arena of the kernel's.
pub const NO_PLACE: u32 = u32::MAX;

/// The argument of `sleep`: the kind of what the thread sleeps on (one of [`crate::sys::sobject::sobj`]) in the highest 16 bits, the
/// number of the thread that owns it plus one in the next 16, or 0 for none, its place among the kernel's arenas in the low half.
pub const fn asleep_on(kind: u8, owner: Option<u32>, place: usize) -> u64 {
    let owner = match owner {
        Some(n) => (n as u64 + 1) & 0xffff,
        None => 0,
    };
    let place = if place >= NO_PLACE as usize { NO_PLACE as u64 } else { place as u64 };
    (kind as u64) << 48 | owner << 32 | place
}

/// Kind, owner and place of an [`asleep_on`].
pub const fn sleep_of(arg: u64) -> (u8, Option<u32>, u32) {
    let owner = (arg >> 32 & 0xffff) as u32;
    ((arg >> 48) as u8, owner.checked_sub(1), arg as u32)
}

/// The argument of the `taskq` probes: the queue's number in the highest 16 bits, its bucket's plus one in the next 16, the entry's
/// plus one in the low half; 0 for no bucket, and for an entry that is the dispatcher's own.
pub const fn of_task(queue: u32, bucket: Option<u32>, entry: Option<u32>) -> u64 {
    let bucket = match bucket {
        Some(n) => n as u64 + 1,
        None => 0,
    };
    let entry = match entry {
        Some(n) => n as u64 + 1,
        None => 0,
    };
    (queue as u64) << 48 | bucket << 32 | entry
}

/// Queue, bucket and entry of an [`of_task`].
pub const fn task_of(arg: u64) -> (u32, Option<u32>, Option<u32>) {
    let bucket = (arg >> 32 & 0xffff) as u32;
    ((arg >> 48) as u32, bucket.checked_sub(1), (arg as u32).checked_sub(1))
}

/// Records in one ring: a power of two.
pub const RING_RECORDS: usize = 4096;

/// One event, 32 bytes.
#[repr(C)]
#[derive(Debug)]
pub struct EventSlot {
    /// Nanoseconds of kernel time.
    pub time_ns: AtomicU64,
    /// [`Kind`] in the low half, the thread's priority (as `i32`) in the high half.
    pub kind_pri: AtomicU64,
    /// The thread's id (`t_did`).
    pub thread: AtomicU64,
    /// See [`Kind`].
    pub arg: AtomicU64,
}

/// One CPU's ring of events.
#[repr(C)]
#[derive(Debug)]
pub struct EventRing {
    /// Records ever written.
    pub head: AtomicU64,
    /// Keeps the slots on their own cache line.
    pub reserved: [AtomicU64; 7],
    /// Record `n` is at `n % RING_RECORDS`.
    pub slots: [EventSlot; RING_RECORDS],
}
