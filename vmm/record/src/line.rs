//! A record as a line of text: `time_ns cpu probe thread pri argument`.
//!
//! # Invariants
//! - The same record gives the same bytes.

use std::fmt;

use umpire_shared::errno;
use umpire_shared::event::{self, Kind};
use umpire_shared::sys::cpuvar;
use umpire_watch::glass::TraceRecord;

/// A record that is shown as a line.
#[derive(Debug)]
pub struct Line<'r>(pub &'r TraceRecord);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TraceRecord { time_ns, cpu, kind, thread, pri, arg } = self.0;
        write!(f, "{time_ns} {cpu} {} {thread} {pri} {}", kind.name(), Argument(*kind, *arg))
    }
}

/// What the argument of a record of this kind says.
#[derive(Debug)]
pub struct Argument(pub Kind, pub u64);

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Argument(kind, arg) = *self;
        match kind {
            Kind::Enqueue => {
                let end = if event::at_head(arg) { "head" } else { "tail" };
                write!(f, "{end}@{}", QueueOf(arg))
            }
            Kind::Dequeue => write!(f, "@{}", QueueOf(arg)),
            Kind::Sleep => {
                let (kind, owner, place) = event::sleep_of(arg);
                let place = Some(place).filter(|&place| place != event::NO_PLACE);
                write!(
                    f,
                    "{}:{}:{}",
                    event::SLEEP_KINDS.get(usize::from(kind)).unwrap_or(&"?"),
                    OrNone(owner),
                    OrNone(place)
                )
            }
            Kind::NoSteal => write!(f, "{}:{}", arg >> 32, arg & u64::from(u32::MAX)),
            Kind::TaskqEnqueue | Kind::TaskqExecStart | Kind::TaskqExecEnd => {
                let (queue, _, entry) = event::task_of(arg);
                write!(f, "{queue}:{}", OrNone(entry))
            }
            Kind::TaskqDEnqueue | Kind::TaskqDExecStart | Kind::TaskqDExecEnd => {
                let (queue, bucket, entry) = event::task_of(arg);
                write!(f, "{queue}:{}:{}", OrNone(bucket), OrNone(entry))
            }
            Kind::RunrunRaise | Kind::KprunrunRaise => {
                let (cpu, why, pri) = event::raised_of(arg);
                write!(
                    f,
                    "{cpu}:{}:{}",
                    event::WHYS.get(usize::from(why)).unwrap_or(&"?"),
                    OrNone(u32::try_from(pri).ok())
                )
            }
            Kind::SetPri => {
                let (pri, cause) = event::set_of(arg);
                write!(f, "{pri}:{}", event::CAUSES.get(usize::from(cause)).unwrap_or(&"?"))
            }
            Kind::CpuState => write!(f, "{}:{}", arg >> 32, cpuvar::state(arg as u32)),
            Kind::EventEnd => write!(f, "{}:{}", arg as u32, errno::name((arg >> 32) as u32).unwrap_or("?")),
            _ => write!(f, "{arg}"),
        }
    }
}

/// A number, or `-`.
struct OrNone(Option<u32>);

impl fmt::Display for OrNone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(n) => write!(f, "{n}"),
            None => f.write_str("-"),
        }
    }
}

/// The queue that the argument of an `enqueue` or `dequeue` names.
struct QueueOf(u64);

impl fmt::Display for QueueOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match event::queue_cpu(self.0) {
            Some(cpu) => write!(f, "{cpu}"),
            None => f.write_str("kp"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_shared::sys::sobject::sobj;

    fn line(kind: Kind, arg: u64) -> String {
        Line(&TraceRecord { time_ns: 5, cpu: 1, kind, thread: 7, pri: 99, arg }).to_string()
    }

    #[test]
    fn line_of_a_queue_event_names_the_queue_and_the_end() {
        assert_eq!(line(Kind::Enqueue, event::on_queue(Some(3), true)), "5 1 enqueue 7 99 head@3");
        assert_eq!(line(Kind::Enqueue, event::on_queue(None, false)), "5 1 enqueue 7 99 tail@kp");
        assert_eq!(line(Kind::Dequeue, event::on_queue(Some(0), false)), "5 1 dequeue 7 99 @0");
    }

    #[test]
    fn line_of_a_sleep_tells_what_it_is_on_and_who_has_that() {
        let mutex = event::asleep_on(sobj::MUTEX, Some(7), 0x40);
        assert_eq!(line(Kind::Sleep, mutex), "5 1 sleep 7 99 mutex:7:64");
        assert_eq!(line(Kind::Sleep, event::asleep_on(sobj::CV, None, usize::MAX)), "5 1 sleep 7 99 cv:-:-");
    }

    #[test]
    fn line_of_a_nosteal_tells_victim_and_age_and_any_other_its_number() {
        assert_eq!(line(Kind::NoSteal, event::not_stolen(2, 1234)), "5 1 nosteal 7 99 2:1234");
        assert_eq!(line(Kind::NoSteal, event::not_stolen(2, u64::MAX)), "5 1 nosteal 7 99 2:4294967295");
        assert_eq!(line(Kind::ChangePri, 42), "5 1 change-pri 7 99 42");
    }

    #[test]
    fn line_tells_why_a_flag_was_raised_what_changed_a_priority_and_how_an_event_ended() {
        let raised = event::raised(1, event::why::ENQUEUE, 99);
        assert_eq!(line(Kind::KprunrunRaise, raised), "5 1 kprunrun-raise 7 99 1:enqueue:99");
        let bound = event::raised(0, event::why::BIND, -1);
        assert_eq!(line(Kind::RunrunRaise, bound), "5 1 runrun-raise 7 99 0:bind:-");
        assert_eq!(line(Kind::SetPri, event::set_to(20, event::cause::TICK)), "5 1 set-pri 7 99 20:tick");
        let off = event::cpu_state(1, cpuvar::flag::READY | cpuvar::flag::OFFLINE);
        assert_eq!(line(Kind::CpuState, off), "5 1 cpu-state 7 99 1:off-line");
        assert_eq!(line(Kind::EventEnd, event::event_end(2, errno::EBUSY)), "5 1 event-end 7 99 2:EBUSY");
    }
}
