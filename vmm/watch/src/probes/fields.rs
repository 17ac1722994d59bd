//! What can be asked of a record: the fields that every probe has, and those of its argument.
//!
//! # Invariants
//! - A probe has the fields that [`fields`] lists; a filter that parsed asks for no other.

use umpire_shared::event::{self, Kind};

use crate::glass::TraceRecord;

/// A field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    Pri,
    Cpu,
    Target,
    Queue,
    End,
    Next,
    To,
    Victim,
    Age,
    Level,
    Count,
    Handler,
    Taskq,
    Bucket,
    Entry,
    Why,
    For,
    Cause,
    Flags,
    Late,
    Event,
    Errno,
    Place,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// A number.
    Number,
    /// The name of a thread.
    Name,
    /// A CPU's queue by its number, or `kp`.
    Queue,
    /// `head` or `tail`.
    End,
}

impl Field {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Field::Name => "name",
            Field::Pri => "pri",
            Field::Cpu => "cpu",
            Field::Target => "target",
            Field::Queue => "queue",
            Field::End => "end",
            Field::Next => "next",
            Field::To => "to",
            Field::Victim => "victim",
            Field::Age => "age",
            Field::Level => "level",
            Field::Count => "count",
            Field::Handler => "handler",
            Field::Taskq => "taskq",
            Field::Bucket => "bucket",
            Field::Entry => "entry",
            Field::Why => "why",
            Field::For => "for",
            Field::Cause => "cause",
            Field::Flags => "flags",
            Field::Late => "late",
            Field::Event => "event",
            Field::Errno => "errno",
            Field::Place => "place",
        }
    }

    pub(super) const fn holds(self) -> Type {
        match self {
            Field::Name | Field::Next => Type::Name,
            Field::Queue => Type::Queue,
            Field::End => Type::End,
            _ => Type::Number,
        }
    }

    /// The number, for a field that holds one; `None` for a kp queue, for no bucket, and for an entry of the dispatcher's.
    pub(super) fn number(self, record: &TraceRecord) -> Option<i64> {
        let arg = record.arg;
        Some(match self {
            Field::Pri => i64::from(record.pri),
            Field::Cpu => i64::from(record.cpu),
            Field::Queue => i64::from(event::queue_cpu(arg)?),
            Field::Victim if record.kind == Kind::NoSteal => (arg >> 32) as i64,
            Field::Target => target(record)?.into(),
            Field::Why => event::raised_of(arg).1.into(),
            Field::For => event::raised_of(arg).2.into(),
            Field::To if record.kind == Kind::SetPri => event::set_of(arg).0.into(),
            Field::Cause => event::set_of(arg).1.into(),
            Field::Errno => (arg >> 32) as i64,
            Field::Flags | Field::Event => i64::from(arg as u32),
            Field::Taskq => event::task_of(arg).0.into(),
            Field::Bucket => event::task_of(arg).1?.into(),
            Field::Entry => event::task_of(arg).2?.into(),
            Field::Age => (arg & u64::from(u32::MAX)) as i64,
            _ => arg.cast_signed(),
        })
    }

    /// The thread, for a field that names one.
    pub(super) fn thread(self, record: &TraceRecord) -> u64 {
        if self == Field::Next { record.arg } else { record.thread }
    }
}

/// What the argument of a probe's records holds.
pub(super) fn of_argument(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Poke | Kind::RunrunClear | Kind::RunrunTake | Kind::KprunrunClear | Kind::KprunrunTake => {
            &[Field::Target]
        }
        Kind::RunrunRaise | Kind::KprunrunRaise => &[Field::Target, Field::Why, Field::For],
        Kind::CpuState => &[Field::Target, Field::Flags],
        Kind::SetPri => &[Field::To, Field::Cause],
        Kind::CalloutStart => &[Field::Late],
        Kind::EventBegin => &[Field::Event],
        Kind::EventEnd => &[Field::Event, Field::Errno],
        Kind::StrPut | Kind::StrPark | Kind::StrDrain | Kind::StrService | Kind::StrServiceEnd => {
            &[Field::Place]
        }
        Kind::Enqueue => &[Field::Queue, Field::End],
        Kind::Dequeue => &[Field::Queue],
        Kind::OffCpu => &[Field::Next],
        Kind::ChangePri | Kind::ChangeEpri => &[Field::To],
        Kind::Steal => &[Field::Victim],
        Kind::NoSteal => &[Field::Victim, Field::Age],
        Kind::IntrBegin | Kind::IntrEnd => &[Field::Level],
        Kind::Tick | Kind::Release => &[Field::Count],
        Kind::CyclicFire | Kind::CyclicReplay => &[Field::Handler],
        Kind::TaskqEnqueue | Kind::TaskqExecStart | Kind::TaskqExecEnd => &[Field::Taskq, Field::Entry],
        Kind::TaskqDEnqueue | Kind::TaskqDExecStart | Kind::TaskqDExecEnd => {
            &[Field::Taskq, Field::Bucket, Field::Entry]
        }
        _ => &[],
    }
}

/// The fields of a probe's records.
pub(super) fn fields(kind: Kind) -> Vec<Field> {
    [Field::Name, Field::Pri, Field::Cpu].iter().chain(of_argument(kind)).copied().collect()
}

/// The CPU that a record is about: that of a poke or a flag, or else where it happened.
pub(super) fn cpu_of(record: &TraceRecord) -> u64 {
    target(record).unwrap_or(record.cpu).into()
}

/// The CPU that a record is about, if its probe names one.
fn target(record: &TraceRecord) -> Option<u32> {
    let named = of_argument(record.kind).contains(&Field::Target);
    named.then(|| record.target())
}
