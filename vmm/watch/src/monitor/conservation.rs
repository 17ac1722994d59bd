//! `conservation`: no message of a stream is lost, and none comes out as another than went in.
//!
//! What was put into a stream has been delivered, has been thrown away where that is counted, or is on one of its queues or parked at
//! one of its perimeters. Each thread that is about to pass a message on may have one in its hands, which is then in none of these
//! places: so as many as there are CPUs may be missing at any time.
//!
//! Streams that have ever been linked to each other are one for this: what is sent into the one comes out of the other. And from the
//! moment at which a stream is linked below a multiplexor no message comes to its head: nobody would ever read it there.
//!
//! A thread that takes a message from a stream compares its bytes with those that were sent, whatever modules did with it on its way.
//!
//! # How it is charged
//! With wall time, as long as each pass finds more messages missing than there are CPUs, or one that came to the head of a linked stream,
//! or one that came with other bytes. One pass that does not forgives everything.
//!
//! # Excuses
//! - `torn`: the stream changed under the eyes of who followed its links, or is being closed. Nothing is said about it in that pass.
//!
//! # Invariants
//! - Messages that were not sent for want of room are not missing, and neither are those that a source offered and a driver refused.

use super::evidence::ms;
use super::interval::{Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{Needs, Snapshot, StreamSample};
use umpire_shared::unpack_name;

pub(super) static CONSERVATION: Declaration = Declaration {
    name: "conservation",
    broken_when: "for longer than `limit`, more messages of a stream than there are CPUs were neither delivered, nor counted as freed, nor queued, nor parked, or one had come to the head of a stream that is linked below a multiplexor, or had come out with other bytes than went in",
    charged_with: "wall time",
    judges: "streams of the scenario to which something was sent",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::Torn],
    proof: Proof::Mutant("limit = \"100ms\""),
    standing_ms: Some(100),
    is_exact: false,
    new: |bound| Box::new(Conservation::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Conservation {
    ledger: Ledger,
    interval: Interval,
    /// By stream.
    short: Vec<Stretch<()>>,
    found: Option<StreamSample>,
}

impl Conservation {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Conservation {
        Conservation {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            short: Vec::new(),
            found: None,
        }
    }
}

impl Monitor for Conservation {
    fn needs(&self) -> Needs {
        Needs { streams: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.short.resize(seen.streams.len(), Stretch::default());
        let wall_ns = self.interval.wall_ns();
        let in_hands = seen.cpus.len() as i64;
        let (mut first, mut judged) = (None, Judged::NOTHING);
        for (n, short) in self.short.iter_mut().enumerate() {
            let Some(stream) = together(&seen.streams, n) else { continue };
            if !stream.is_whole {
                self.ledger.accept(Excuse::Torn);
                continue;
            }
            if stream.sent != 0 {
                judged.met(wall_ns);
            }
            let is_short = stream.missing() > in_hands || stream.strayed != 0 || stream.damaged != 0;
            let Some(charged) = short.see(is_short.then_some(()), wall_ns) else { continue };
            let breach = self.ledger.enter(Subject::default(), charged, wall_ns, seen.now_ns);
            if breach.is_some() {
                self.found = Some(stream);
            }
            first = first.or(breach);
        }
        judged.found(first)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn sentence(&self, breach: &Breach, _evidence: &Evidence) -> String {
        let Some(found) = &self.found else { return String::new() };
        if found.strayed != 0 {
            let (n, name, lasted) = (found.strayed, unpack_name(&found.name), ms(breach.lasted_ns));
            return format!(
                "{n} messages came to the head of stream {name}, or of one that it is linked to, although that is linked below a multiplexor (STPLEX): for {lasted} ms nobody there is to read them"
            );
        }
        if found.damaged != 0 {
            return format!(
                "{} of the {} messages that came out of stream {} were not what was sent: bytes of them are others, missing or too many",
                found.damaged,
                found.delivered,
                unpack_name(&found.name)
            );
        }
        format!(
            "{} of the {} messages that were sent into stream {} have been nowhere for {} ms: {} were delivered, {} freed, and {} are \
             queued or parked",
            found.missing(),
            found.sent,
            unpack_name(&found.name),
            ms(breach.lasted_ns),
            found.delivered,
            found.freed,
            found.queued
        )
    }
}

/// A stream with all that it was ever linked to, as one; `None` if it is not the first of them.
fn together(streams: &[StreamSample], n: usize) -> Option<StreamSample> {
    let group = streams[n].group;
    let mut all = streams.iter().filter(|stream| stream.group == group);
    if streams[..n].iter().any(|stream| stream.group == group) {
        return None;
    }
    let first = *all.next()?;
    Some(all.fold(first, |sum, stream| StreamSample {
        sent: sum.sent.wrapping_add(stream.sent),
        delivered: sum.delivered.wrapping_add(stream.delivered),
        freed: sum.freed.wrapping_add(stream.freed),
        queued: sum.queued + stream.queued,
        strayed: sum.strayed.wrapping_add(stream.strayed),
        damaged: sum.damaged.wrapping_add(stream.damaged),
        is_whole: sum.is_whole && stream.is_whole,
        ..sum
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS};
    use umpire_shared::pack_name;

    /// A stream of 100 messages of which so many are nowhere.
    fn bench(missing: u64) -> Bench {
        let mut bench = Bench::declared(&CONSERVATION, 20 * MS);
        bench.seen.streams = vec![StreamSample {
            name: pack_name("udp0"),
            head: 0x900,
            is_whole: true,
            sent: 100,
            delivered: 60,
            freed: 20,
            queued: 20 - missing,
            ..StreamSample::default()
        }];
        bench
    }

    #[test]
    fn observe_more_missing_than_cpus_returns_one_breach_just_past_the_limit() {
        let mut bench = bench(3);

        let breaches = bench.passes(100, [1, 1]);

        assert_eq!((breaches.len(), breaches[0].lasted_ns), (1, 21 * MS));
        let said = bench.sentence(&breaches[0]);
        assert!(said.starts_with("3 of the 100 messages that were sent into stream udp0"), "{said}");
    }

    #[test]
    fn observe_a_message_with_other_bytes_is_a_breach_though_none_is_missing() {
        let mut bench = bench(0);
        bench.seen.streams[0].damaged = 1;

        let breaches = bench.passes(100, [1, 1]);

        assert_eq!(breaches.len(), 1);
        let said = bench.sentence(&breaches[0]);
        assert!(
            said.starts_with("1 of the 60 messages that came out of stream udp0 were not what was sent"),
            "{said}"
        );
    }

    #[test]
    fn observe_what_may_be_in_hands_or_was_counted_twice_or_is_found_again_is_forgiven() {
        assert_eq!(bench(2).passes(100, [1, 1]).len(), 0);
        let mut twice = bench(0);
        twice.seen.streams[0].delivered = 99;
        assert_eq!(twice.passes(100, [1, 1]).len(), 0);
        let mut found = bench(3);
        for pass in 0..200_u64 {
            found.seen.streams[0].queued = if pass % 15 == 0 { 20 } else { 17 };
            assert_eq!(found.pass([1, 1]), None, "pass {pass}");
        }
    }

    #[test]
    fn observe_stream_whose_links_changed_is_excused() {
        let mut bench = bench(3);
        bench.seen.streams[0].is_whole = false;

        assert_eq!(bench.passes(100, [1, 1]).len(), 0);
        assert_eq!(bench.excused(Excuse::Torn), 100);
        assert!(bench.judged.is_nothing());
    }
}
