//! `stream`: whatever waits in a stream, some thread will see to it.
//!
//! STREAMS hand work from thread to thread by flags: a queue is enabled, messages are parked at a perimeter, a writer sleeps until
//! there is room. Each flag is a promise that some thread keeps. A thread that is stopped between its promise and its deed, or a
//! wake-up that is lost, leaves the flag standing, and nobody looks again.
//!
//! # How it is charged
//! With the least that any online CPU had, from the pass that first saw one of these, as long as it is the same one:
//!
//! - a queue is enabled (`QENAB`), and no thread has taken it up (`QINSERVICE`);
//! - messages are parked for a queue, and no thread is inside its perimeter, which would drain on its way out;
//! - a queue with a service procedure has messages and is not enabled, and the queue that they go to next is below its low-water mark;
//! - a writer sleeps at the head (`WSLEEP`), and the queue that it waits for is below its low-water mark;
//! - a reader sleeps at the head (`RSLEEP`), and a message is there.
//!
//! # Excuses
//! - `frozen`: somebody has frozen the stream (`freezestr`), and nothing is to move.
//! - `vcpu_away`: the host did not run one of the vCPUs, and it was not halted with nothing to do.
//!
//! # Invariants
//! - That the thread which is to do it waits for a CPU is no excuse: work that others could do is stuck behind it.
//! - A queue that is enabled anew, a message more that was sent or read, forgives what was charged.

use super::evidence::ms;
use super::interval::{Interval, Ledger, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{Needs, Snapshot, StrQueueSample, StreamSample};
use umpire_shared::sys::stropts::sd;
use umpire_shared::sys::strsubr::strs;
use umpire_shared::unpack_name;

pub(super) static STREAM: Declaration = Declaration {
    name: "stream",
    broken_when: "something has waited in a stream for longer than `limit` and no thread has taken it up: a queue that is enabled, messages that are parked, a queue or a writer for room that is there, or a reader for a message that is there",
    charged_with: "the least that any online CPU had",
    judges: "streams of the scenario that are open",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::Frozen, Excuse::VcpuAway],
    proof: Proof::Mutant("limit = \"200ms\""),
    standing_ms: Some(200),
    is_exact: false,
    new: |bound| Box::new(Stream::new(bound.limit_ns)),
};

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A queue, for its service procedure.
    Service,
    /// Parked messages, for a drain.
    Drain,
    /// A queue with messages, to be told of room.
    Room,
    /// A writer, to be told of room.
    Writer,
    /// A reader, to be told of a message.
    Reader,
}

/// One thing that waits.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    what: What,
    /// The queue that it waits at.
    queue: u64,
    /// What changes when somebody sees to it.
    key: u64,
    charge_ns: u64,
    is_seen: bool,
}

/// What broke the bound.
#[derive(Debug, Clone, Copy)]
struct Found {
    what: What,
    stream: StreamSample,
    queue: StrQueueSample,
}

/// Watches one bound.
#[derive(Debug)]
struct Stream {
    ledger: Ledger,
    interval: Interval,
    waiting: Vec<Waiting>,
    found: Option<Found>,
}

impl Stream {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Stream {
        Stream {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            waiting: Vec::new(),
            found: None,
        }
    }

    /// Takes note that something waits, and returns its charge before and now if the last pass saw the same.
    fn see(&mut self, what: What, queue: u64, key: u64, had: u64) -> Option<(u64, u64)> {
        let new = Waiting { what, queue, key, charge_ns: 0, is_seen: true };
        let Some(known) = self.waiting.iter_mut().find(|w| w.what == what && w.queue == queue) else {
            self.waiting.push(new);
            return None;
        };
        if known.key != key {
            *known = new;
            return None;
        }
        let before = known.charge_ns;
        (known.charge_ns, known.is_seen) = (before + had, true);
        Some((before, known.charge_ns))
    }
}

impl Monitor for Stream {
    fn needs(&self) -> Needs {
        Needs { streams: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        let had = self.interval.least_had(seen);
        if had == 0 && self.interval.wall_ns() > 0 {
            self.ledger.accept(Excuse::VcpuAway);
        }
        self.waiting.iter_mut().for_each(|w| w.is_seen = false);
        let mut judged = Judged::NOTHING;
        seen.streams.iter().filter(|stream| stream.head != 0).for_each(|_| judged.met(had));
        let mut first = None;
        for queue in &seen.str_queues {
            let Some(stream) = seen.streams.get(queue.stream) else { continue };
            let Some((what, key)) = waits(seen, stream, queue) else { continue };
            if queue.is_frozen() {
                self.ledger.accept(Excuse::Frozen);
                continue;
            }
            let Some(charged) = self.see(what, queue.addr, key, had) else { continue };
            let breach = self.ledger.enter(Subject::default(), charged, self.interval.wall_ns(), seen.now_ns);
            if breach.is_some() {
                self.found = Some(Found { what, stream: *stream, queue: *queue });
            }
            first = first.or(breach);
        }
        self.waiting.retain(|w| w.is_seen);
        judged.found(first)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn sentence(&self, breach: &Breach, _evidence: &Evidence) -> String {
        let Some(Found { what, stream, queue }) = &self.found else { return String::new() };
        let (name, lasted) = (unpack_name(&stream.name), ms(breach.lasted_ns));
        let side = if queue.is_read() { "read" } else { "write" };
        let module = String::from_utf8_lossy(&queue.module).trim_end_matches('\0').to_owned();
        let at = format!("the {side} queue of {module} in stream {name}");
        match what {
            What::Service => {
                let promised = if stream.svcflags & strs::WILLSERVICE != 0 {
                    "a thread has promised to (STRS_WILLSERVICE), and has not come to it"
                } else {
                    "no thread has taken it up"
                };
                format!(
                    "{at} has been enabled (QENAB) for {lasted} ms and its service procedure does not run: {promised}"
                )
            }
            What::Drain => format!(
                "{} messages have been parked for {at} for {lasted} ms, and nobody is inside its perimeter to drain them",
                queue.parked
            ),
            What::Room => format!(
                "{} messages have stood on {at} for {lasted} ms although the queue that they go to has room: nobody has enabled it",
                queue.messages
            ),
            What::Writer => format!(
                "a writer has slept at the head of stream {name} for {lasted} ms although there is room below it: nobody told it"
            ),
            What::Reader => format!(
                "a reader has slept at the head of stream {name} for {lasted} ms although a message is there: nobody told it"
            ),
        }
    }
}

/// What waits at a queue, with what changes when somebody sees to it; `None` if nothing does.
fn waits(seen: &Snapshot, stream: &StreamSample, queue: &StrQueueSample) -> Option<(What, u64)> {
    if queue.waits_for_service() {
        return Some((What::Service, queue.enabled_at));
    }
    if queue.waits_for_drain() {
        return Some((What::Drain, queue.parked_at));
    }
    if stream.is_going() {
        return None;
    }
    if queue.is_head && queue.is_read() {
        return (stream.has_waiting_reader() && queue.first != 0).then_some((What::Reader, stream.delivered));
    }
    let (what, key) = if queue.is_head {
        (What::Writer, stream.has_waiting_writer().then_some(stream.sent)?)
    } else {
        (What::Room, queue.may_be_stuck().then_some(queue.first)?)
    };
    (!queue.is_serviced() && has_room_beyond(seen, stream, queue)?).then_some((what, key))
}

/// True if what comes next after a queue has room; `None` if that is not known.
fn has_room_beyond(seen: &Snapshot, stream: &StreamSample, queue: &StrQueueSample) -> Option<bool> {
    let of = |n: usize| seen.str_queues.iter().filter(move |other| other.stream == n);
    let target = |n: usize, addr: u64| {
        let next = of(n).find(|other| other.addr == addr)?;
        of(n).find(|other| other.addr == next.nfsrv)
    };
    // What a driver does not take goes up again.
    let up = |n: usize| target(n, of(n).rfind(|other| other.is_read())?.next);
    match queue.next {
        // A multiplexor sends up, to the stream that has linked the one below, and down, to any of those that it has linked.
        0 if queue.is_read() => {
            let upper = stream.upper.checked_sub(1).filter(|_| stream.is_linked())? as usize;
            up(upper).map(StrQueueSample::has_room)
        }
        0 if stream.flags & sd::STRHASLINKS != 0 => {
            let is_below = |(_, low): &(usize, &StreamSample)| low.upper as usize == queue.stream + 1;
            let mut lows = seen.streams.iter().enumerate().filter(is_below);
            Some(lows.all(|(n, _)| {
                of(n).nth(1).and_then(|wq| target(n, wq.next)).is_some_and(StrQueueSample::has_room)
            }))
        }
        0 => up(queue.stream).map(StrQueueSample::has_room),
        next => target(queue.stream, next).map(StrQueueSample::has_room),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS};
    use umpire_shared::pack_name;
    use umpire_shared::sys::stream::q;
    use umpire_shared::sys::strsubr::{qsq, sq};

    const HEAD: usize = 1;
    const BELOW: usize = 3;

    /// A stream of a head and a module that has room, in which nothing waits.
    fn bench() -> Bench {
        let mut bench = Bench::declared(&STREAM, 20 * MS);
        bench.seen.streams =
            vec![StreamSample { name: pack_name("udp0"), head: 0x900, ..StreamSample::default() }];
        let queue = |addr: u64, flags: u32, is_head: bool| StrQueueSample {
            addr,
            flags,
            is_head,
            lowat: 100,
            nfsrv: addr,
            ..StrQueueSample::default()
        };
        bench.seen.str_queues = vec![
            queue(0x100, q::QREADR, true),
            StrQueueSample { next: 0x400, ..queue(0x200, 0, true) },
            queue(0x300, q::QREADR, false),
            queue(0x400, 0, false),
        ];
        bench
    }

    fn said(bench: &mut Bench) -> String {
        let breaches = bench.passes(100, [1, 1]);
        assert_eq!(breaches.len(), 1);
        assert_eq!(breaches[0].lasted_ns, 21 * MS);
        bench.sentence(&breaches[0])
    }

    #[test]
    fn observe_each_thing_that_waits_is_found_just_past_the_limit_and_named() {
        let mut service = bench();
        service.seen.str_queues[BELOW].flags |= q::QENAB;
        assert!(said(&mut service).contains("no thread has taken it up"));
        let mut promised = bench();
        promised.seen.str_queues[BELOW].flags |= q::QENAB;
        promised.seen.streams[0].svcflags = strs::WILLSERVICE;
        assert!(said(&mut promised).contains("has promised to (STRS_WILLSERVICE)"));
        let mut drain = bench();
        (drain.seen.str_queues[BELOW].sqflags, drain.seen.str_queues[BELOW].parked) = (qsq::SQQUEUED, 3);
        assert!(said(&mut drain).starts_with("3 messages have been parked"));
        let mut room = bench();
        (room.seen.str_queues[BELOW].first, room.seen.str_queues[BELOW].messages) = (0x7000, 4);
        (room.seen.str_queues[2].next, room.seen.str_queues[0].nfsrv) = (0x100, 0x100);
        assert!(said(&mut room).starts_with("4 messages have stood on the write queue"));
        let mut writer = bench();
        writer.seen.streams[0].flags = sd::WSLEEP;
        assert!(said(&mut writer).starts_with("a writer has slept"));
        let mut reader = bench();
        reader.seen.streams[0].flags = sd::RSLEEP;
        reader.seen.str_queues[0].first = 0x7000;
        assert!(said(&mut reader).starts_with("a reader has slept"));
    }

    #[test]
    fn observe_what_somebody_sees_to_or_who_waits_for_what_is_not_there_is_forgiven() {
        for n in 0..6 {
            let mut bench = bench();
            for pass in 0..200_u64 {
                let (queue, stream) = (&mut bench.seen.str_queues[BELOW], &mut bench.seen.streams[0]);
                match n {
                    // Enabled anew, being serviced, and parked with somebody inside.
                    0 => (queue.flags, queue.enabled_at) = (q::QENAB, pass / 15),
                    1 => queue.flags = q::QENAB | q::QINSERVICE,
                    2 => (queue.sqflags, queue.parked, queue.inside) = (qsq::SQQUEUED, 1, 1),
                    // A writer that is told and sleeps again, one without room, and one whose stream closes.
                    3 => (stream.flags, stream.sent) = (sd::WSLEEP, pass / 15),
                    4 => (stream.flags, queue.count) = (sd::WSLEEP, 100),
                    _ => stream.flags = sd::WSLEEP | sd::STRCLOSE,
                }
                assert_eq!(bench.pass([1, 1]), None, "case {n} pass {pass}");
            }
        }
    }

    #[test]
    fn observe_multiplexor_is_to_go_on_when_there_is_room_above_and_below() {
        // The bench's stream above, with a driver, and one that is linked below it; messages stand at the driver, or below.
        let linked = |stands_below: bool| {
            let mut bench = bench();
            let low = StreamSample { head: 0x901, upper: 1, flags: sd::STPLEX, ..bench.seen.streams[0] };
            bench.seen.streams[0].flags = sd::STRHASLINKS;
            bench.seen.streams.push(low);
            let all = &mut bench.seen.str_queues;
            (all[2].next, all[0].nfsrv) = (0x100, 0x100);
            let below: Vec<StrQueueSample> = all
                .iter()
                .map(|queue| StrQueueSample {
                    addr: queue.addr + 0x1000,
                    nfsrv: queue.addr + 0x1000,
                    next: if queue.next == 0 { 0 } else { queue.next + 0x1000 },
                    is_head: false,
                    stream: 1,
                    ..*queue
                })
                .collect();
            all.extend(below);
            let stands = if stands_below { 4 } else { BELOW };
            (all[stands].first, all[stands].messages) = (0x7000, 4);
            bench
        };
        for (stands_below, full) in [(false, 7), (true, 0)] {
            assert!(said(&mut linked(stands_below)).starts_with("4 messages have stood"), "{stands_below}");
            let mut bench = linked(stands_below);
            bench.seen.str_queues[full].count = 100;
            assert_eq!(bench.passes(100, [1, 1]).len(), 0, "{stands_below}");
        }
    }

    #[test]
    fn observe_head_that_is_about_to_tell_its_writer_is_judged_for_its_service_alone() {
        let mut bench = bench();
        bench.seen.streams[0].flags = sd::WSLEEP;
        bench.seen.str_queues[HEAD].flags = q::QINSERVICE;

        assert_eq!(bench.passes(100, [1, 1]).len(), 0);
    }

    #[test]
    fn observe_each_excuse_is_counted_and_not_charged() {
        let mut away = bench();
        away.seen.str_queues[BELOW].flags |= q::QENAB;
        assert_eq!(away.passes(100, [1, 0]).len(), 0);
        assert_eq!(away.excused(Excuse::VcpuAway), 99);

        let mut frozen = bench();
        frozen.seen.str_queues[BELOW].flags |= q::QENAB;
        frozen.seen.str_queues[BELOW].door = sq::FROZEN;
        assert_eq!(frozen.passes(100, [1, 1]).len(), 0);
        assert_eq!(frozen.excused(Excuse::Frozen), 100);
    }

    #[test]
    fn observe_stream_that_is_closed_judges_nothing() {
        let mut bench = bench();
        bench.seen.streams[0].head = 0;

        assert_eq!(bench.passes(100, [1, 1]).len(), 0);
        assert!(bench.judged.is_nothing());
    }
}
