//! Scheduler events: the vocabulary of the sched provider, and the ring that carries it.
//!
//! # Invariants
//! - One writer a ring (the CPU that owns it, at high priority level); the host reads behind it.
//! - A record is complete before `head` counts it, so a reader that checks `head` before and after
//!   its copy knows which records it may trust.

use core::sync::atomic::AtomicU64;

/// What happened. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A thread begins to run (end of `resume`).
    OnCpu = 1,
    /// A thread stops running; the argument is the next thread's id.
    OffCpu = 2,
    /// `swtch` chose the thread that was running already.
    RemainCpu = 3,
    /// Put on a run queue; the argument is an [`on_queue`].
    Enqueue = 4,
    /// Taken off a run queue; the argument is an [`on_queue`] without an end.
    Dequeue = 5,
    /// Went to sleep.
    Sleep = 6,
    /// Was woken.
    Wakeup = 7,
    /// `preempt()` took the CPU away.
    Preempt = 8,
    /// `cpu_surrender()` asked it to give the CPU up.
    Surrender = 9,
    /// A clock tick was charged; the argument is how many were, more than one if some were pending.
    Tick = 10,
    /// The priority changes; the argument is the new one.
    ChangePri = 11,
    /// Stolen by an idle CPU; the argument is the victim CPU.
    Steal = 12,
    /// An inter-CPU poke was sent; the argument is the target CPU.
    Poke = 13,
    /// Not stolen, because it has not waited long enough; the argument is a [`not_stolen`].
    NoSteal = 14,
    /// Its project's or zone's cap takes the thread off the CPU; it is on the cap's wait queue.
    CpucapsSleep = 15,
    /// Taken off that wait queue.
    CpucapsWakeup = 16,
}

impl Kind {
    /// The probe's name as the sched provider spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::OnCpu => "on-cpu",
            Kind::OffCpu => "off-cpu",
            Kind::RemainCpu => "remain-cpu",
            Kind::Enqueue => "enqueue",
            Kind::Dequeue => "dequeue",
            Kind::Sleep => "sleep",
            Kind::Wakeup => "wakeup",
            Kind::Preempt => "preempt",
            Kind::Surrender => "surrender",
            Kind::Tick => "tick",
            Kind::ChangePri => "change-pri",
            Kind::Steal => "steal",
            Kind::Poke => "poke",
            Kind::NoSteal => "nosteal",
            Kind::CpucapsSleep => "cpucaps-sleep",
            Kind::CpucapsWakeup => "cpucaps-wakeup",
        }
    }

    /// The kind with this number, if there is one.
    pub const fn from_number(n: u32) -> Option<Kind> {
        Some(match n {
            1 => Kind::OnCpu,
            2 => Kind::OffCpu,
            3 => Kind::RemainCpu,
            4 => Kind::Enqueue,
            5 => Kind::Dequeue,
            6 => Kind::Sleep,
            7 => Kind::Wakeup,
            8 => Kind::Preempt,
            9 => Kind::Surrender,
            10 => Kind::Tick,
            11 => Kind::ChangePri,
            12 => Kind::Steal,
            13 => Kind::Poke,
            14 => Kind::NoSteal,
            15 => Kind::CpucapsSleep,
            16 => Kind::CpucapsWakeup,
            _ => return None,
        })
    }
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
