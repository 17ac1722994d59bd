//! Scheduler events: the vocabulary of the sched provider, and the ring that carries it.
//!
//! # Invariants
//! - One writer a ring (the CPU that owns it, at level 15); the host reads behind it.
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
    RunrunRaise = 19, "runrun-raise", "`cpu_runrun` of a CPU is set where it was not; the argument is a [`raised`].";
    RunrunClear = 20, "runrun-clear", "`cpu_runrun` is cleared where it was set; the argument is the CPU.";
    RunrunTake = 21, "runrun-take", "`preempt()` because of `cpu_runrun` alone; the argument is the CPU.";
    KprunrunRaise = 22, "kprunrun-raise", "`cpu_kprunrun` of a CPU is set where it was not; the argument is a [`raised`].";
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
    IntrBegin = 34, "intr-begin", "An interrupt of a level, the argument, begins to be handled on top of what ran: by an interrupt thread up to 10, on the stack of the thread that ran above.";
    IntrEnd = 35, "intr-end", "It has been handled, or its thread has blocked: what ran before goes on. The argument is the level.";
    CalloutStart = 36, "callout-start", "A callout that has come due begins; the argument is how late, in ns.";
    CalloutEnd = 37, "callout-end", "It has ended.";
    SetPri = 38, "set-pri", "A class gives a thread another priority; the argument is a [`set_to`].";
    CpuState = 39, "cpu-state", "A CPU's state changes; the argument is a [`cpu_state`].";
    EventBegin = 40, "event-begin", "An event of the scenario begins; the argument is its number, from 0.";
    EventEnd = 41, "event-end", "It has ended; the argument is an [`event_end`].";
    StrPut = 42, "str-put", "A put procedure gets a message; the argument is the queue's place.";
    StrPark = 43, "str-park", "A message is parked at a closed perimeter; the argument is the queue's place.";
    StrDrain = 44, "str-drain", "A message that was parked goes to its put procedure; the argument is the queue's place.";
    StrService = 45, "str-service", "A service procedure begins; the argument is the queue's place.";
    StrServiceEnd = 46, "str-service-end", "It has ended; the argument is the queue's place.";
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

/// Why a flag is raised, as numbers; what they are called is [`WHYS`].
pub mod why {
    /// A better thread was put on a queue that the CPU serves.
    pub const ENQUEUE: u8 = 1;
    /// `cpu_surrender`: at a tick, or because a priority has changed.
    pub const SURRENDER: u8 = 2;
    /// What runs there is to go to another CPU, or a CPU in motion is to be left.
    pub const BIND: u8 = 3;
    /// Interrupts have kept the thread that they interrupted pinned for too long.
    pub const UNPIN: u8 = 4;
}

/// The names of [`why`], by number.
pub const WHYS: [&str; 5] = ["?", "enqueue", "surrender", "bind", "unpin"];

/// The argument of `runrun-raise` and `kprunrun-raise`: the CPU in the low half, above it 16 bits of the priority for which it is asked
/// to give way, -1 if it is for none, and one of [`why`].
pub const fn raised(cpu: u32, why: u8, pri: i32) -> u64 {
    (why as u64) << 48 | (pri as u16 as u64) << 32 | cpu as u64
}

/// CPU, reason and priority of a [`raised`].
pub const fn raised_of(arg: u64) -> (u32, u8, i16) {
    (arg as u32, (arg >> 48) as u8, (arg >> 32) as i16)
}

/// Why a priority is set, as numbers; what they are called is [`CAUSES`].
pub mod cause {
    /// The thread's class, or its entry into another one.
    pub const CLASS: u8 = 0;
    /// `priocntl` or `nice`.
    pub const PRIOCNTL: u8 = 1;
    /// Its quantum is used up.
    pub const TICK: u8 = 2;
    /// It comes back from a sleep, or from a wait that was too long.
    pub const SLEEP: u8 = 3;
    /// The class's update, once a second or more often.
    pub const UPDATE: u8 = 4;
    /// It asked not to be preempted, or that is over.
    pub const SCHEDCTL: u8 = 5;
    /// It gave way by itself.
    pub const YIELD: u8 = 6;
}

/// The names of [`cause`], by number.
pub const CAUSES: [&str; 7] = ["class", "priocntl", "tick", "sleep", "update", "schedctl", "yield"];

/// The argument of `set-pri`: one of [`cause`] in the high half, the new priority in the low half.
pub const fn set_to(pri: i32, cause: u8) -> u64 {
    (cause as u64) << 32 | pri as u32 as u64
}

/// Priority and cause of a [`set_to`].
pub const fn set_of(arg: u64) -> (i32, u8) {
    (arg as i32, (arg >> 32) as u8)
}

/// The argument of `cpu-state`: the CPU in the high half, its `cpu_flags` in the low half.
pub const fn cpu_state(cpu: u32, flags: u32) -> u64 {
    (cpu as u64) << 32 | flags as u64
}

/// The argument of `event-end`: the errno in the high half, the event's number in the low half.
pub const fn event_end(number: u32, errno: u32) -> u64 {
    (errno as u64) << 32 | number as u64
}

/// Records in one ring, at most.
pub const MAX_RING_RECORDS: u64 = 1 << 20;

/// Records in one ring where somebody wants all of them and the tunable `trace_records` says that none are kept.
pub const WANTED_RECORDS: u64 = 8192;

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

/// What one CPU's ring of events begins with. As many [`EventSlot`]s as the boot block says, a power of two, are behind it; record `n` is
/// at `n` modulo that.
#[repr(C)]
#[derive(Debug)]
pub struct EventRing {
    /// Records ever written.
    pub head: AtomicU64,
    /// Keeps the slots on their own cache line.
    pub reserved: [AtomicU64; 7],
}

/// Bytes of a ring of so many records.
pub const fn ring_len(records: u64) -> u64 {
    size_of::<EventRing>() as u64 + records * size_of::<EventSlot>() as u64
}
