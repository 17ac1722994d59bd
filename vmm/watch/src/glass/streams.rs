//! The scenario's streams: what became of their messages, their queues, and who sleeps at their heads.
//!
//! # Invariants
//! - These are single words, each right by itself; two of them may be of different moments. A condition between two has to last.
//! - No more streams are believed than a scenario can have, and no more pairs of queues in one than a push lets in: links that lead
//!   in a circle end there.

use super::look::Look;
use super::record::record;
use super::snapshot::Snapshot;
use umpire_shared::NAME_LEN;
use umpire_shared::program::{MAX_MODULES, MAX_STREAMS};
use umpire_shared::sys::stream::q;
use umpire_shared::sys::stropts::sd;
use umpire_shared::sys::strsubr::{qsq, sq};
use umpire_shared::work::streams::state;

/// Pairs of queues that a stream has at most: its head, its modules, and one that is being pushed or popped, and its driver.
const MOST_PAIRS: usize = MAX_MODULES + 3;
/// Bytes of a module's name.
const FMNAMESZ: usize = 16;

record! {
    /// What the kernel keeps of STREAMS as a whole.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct StreamsRoot / StreamsRootPlaces of Streams {
        read {
            /// The first stream of the scenario.
            first: u64 = pointer "scenario.data_ptr",
            /// How many there are.
            count: u64 = number "scenario.length",
            /// `solo_entries`: puts into modules that watch their perimeter.
            entries: u64 = number "solo_entries",
            /// `solo_overlaps`: those that found another thread there although puts do not share it.
            overlaps: u64 = number "solo_overlaps",
        }
        known {}
    }
}

record! {
    /// A stream of the scenario.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct StreamSample / StreamPlaces of ScenarioStream {
        read {
            /// Its name.
            name: [u8; NAME_LEN] = array "ss_name",
            /// Its head while it is open, 0 while it is not.
            head: u64 = pointer "ss_stp",
            /// `ss_state`.
            state: u32 = number "ss_state",
            /// Messages that were put into it.
            sent: u64 = number "ss_counts.sc_sent",
            /// Messages that came out of it.
            delivered: u64 = number "ss_counts.sc_delivered",
            /// Messages that were thrown away inside.
            freed: u64 = number "ss_counts.sc_freed",
            /// Messages for which there was no room.
            lost: u64 = number "ss_counts.sc_lost",
            /// Messages before which one or more of their source are missing.
            gaps: u64 = number "ss_counts.sc_gaps",
            /// Messages that came after a later one of their source.
            disorder: u64 = number "ss_counts.sc_disorder",
            /// Messages that came out of it with other bytes than were put in.
            damaged: u64 = number "ss_counts.sc_damaged",
            /// Messages that came to its head although it is linked below a multiplexor.
            strayed: u64 = number "ss_counts.sc_strayed",
            /// `ss_group`: the same for streams that have ever been linked to each other.
            group: u32 = number "ss_group",
            /// `ss_upper`: the number of the stream that it is linked below, plus one; 0 for none.
            upper: u32 = number "ss_upper",
        }
        known {
            /// `sd_flag` of its head.
            flags: u32,
            /// `sd_svcflags` of its head.
            svcflags: u32,
            /// Messages on its queues and parked at their perimeters.
            queued: u64,
            /// True if all of its queues could be read, or if it is closed and has none.
            is_whole: bool,
        }
    }
}

record! {
    /// A stream head.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Head / HeadPlaces of Stdata {
        read {
            /// `sd_flag`.
            flags: u32 = number "sd_flag",
            /// `sd_svcflags`.
            svcflags: u32 = number "sd_svcflags",
            /// `sd_wrq`: its write queue.
            wrq: u64 = pointer "sd_wrq",
        }
        known {}
    }
}

record! {
    /// A queue of a stream.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct StrQueueSample / StrQueuePlaces of Queue {
        read {
            /// `q_idname`: its module.
            module: [u8; FMNAMESZ] = array "q_idname",
            /// `q_flag`.
            flags: u32 = number "q_flag",
            /// `q_first`: its first message, 0 if it has none.
            first: u64 = pointer "q_first",
            /// `q_next`.
            next: u64 = pointer "q_next",
            /// `q_nfsrv`: the nearest queue from here on that has a service procedure.
            nfsrv: u64 = pointer "q_nfsrv",
            /// `q_syncq`: its perimeter.
            syncq: u64 = pointer "q_syncq",
            /// `q_count`: bytes of band 0.
            count: u64 = number "q_count",
            /// `q_mblkcnt`: blocks of band 0.
            blocks: u64 = number "q_mblkcnt",
            /// `q_lowat`.
            lowat: u64 = number "q_lowat",
            /// `q_msgs`: messages of all bands.
            messages: u32 = number "q_msgs",
            /// `q_nband`: bands beside band 0.
            bands: u8 = number "q_nband",
            /// `q_syncqmsgs`: messages parked for it.
            parked: u32 = number "q_syncqmsgs",
            /// `q_sqflags`.
            sqflags: u32 = number "q_sqflags",
            /// `q_qtstamp`: when it was enabled last.
            enabled_at: u64 = number "q_qtstamp",
            /// `q_sqtstamp`: when it was put on its perimeter's list last.
            parked_at: u64 = number "q_sqtstamp",
        }
        known {
            /// Its address.
            addr: u64,
            /// Its stream, by place among the scenario's.
            stream: usize,
            /// True for the pair of the head.
            is_head: bool,
            /// `sq_flags` of its perimeter.
            door: u16,
            /// `sq_count` of its perimeter: threads inside.
            inside: u16,
        }
    }
}

record! {
    /// A perimeter.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Door / DoorPlaces of Syncq {
        read {
            /// `sq_flags`.
            flags: u16 = number "sq_flags",
            /// `sq_count`.
            inside: u16 = number "sq_count",
        }
        known {}
    }
}

record! {
    /// How near a thread has come to the end of its stack.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct StackSample / StackSamplePlaces of Kthread {
        read {
            /// `t_stkleast`: the least bytes that `putnext` has found left.
            least: u32 = number "t_stkleast",
        }
        known {}
    }
}

/// Reads how near the threads have come to the end of their stacks: the one that has come nearest, and how many were seen at all.
pub(super) fn look_at_stacks(look: &mut Look<'_>, into: &mut Snapshot) {
    (into.stack_least, into.stacks_seen) = (None, 0);
    for index in 0..look.arena.count {
        let Some(stack) = look.layout.least_stack.read_one(look.memory, look.arena.address_of(index)) else {
            return;
        };
        if stack.least == u32::MAX {
            continue;
        }
        into.stacks_seen += 1;
        if into.stack_least.is_none_or(|(_, least)| stack.least < least) {
            into.stack_least = Some((index, stack.least));
        }
    }
}

impl StreamSample {
    /// True if a thread sleeps for room to write.
    pub fn has_waiting_writer(&self) -> bool {
        self.flags & sd::WSLEEP != 0
    }

    /// True if a thread sleeps for something to read.
    pub fn has_waiting_reader(&self) -> bool {
        self.flags & sd::RSLEEP != 0
    }

    /// True if its head is a multiplexor's.
    pub fn is_linked(&self) -> bool {
        self.flags & sd::STPLEX != 0
    }

    /// True if it is hung up or being closed: who sleeps there is not to be told of room.
    pub fn is_going(&self) -> bool {
        self.flags & (sd::STRHUP | sd::STRCLOSE) != 0
    }

    /// Messages that are nowhere: on their way from one place to the next, or lost. Negative if one was counted twice on its way.
    pub fn missing(&self) -> i64 {
        let known = self.delivered.wrapping_add(self.freed).wrapping_add(self.queued);
        self.sent.wrapping_sub(known) as i64
    }
}

impl StrQueueSample {
    /// True for a read queue.
    pub fn is_read(&self) -> bool {
        self.flags & q::QREADR != 0
    }

    /// True if it is to be serviced, and no thread does.
    pub fn waits_for_service(&self) -> bool {
        self.flags & q::QENAB != 0 && self.flags & q::QINSERVICE == 0
    }

    /// True if it is to be serviced, or is being.
    pub fn is_serviced(&self) -> bool {
        self.flags & (q::QENAB | q::QINSERVICE) != 0
    }

    /// True if messages are parked for it, and no thread is inside its perimeter, to drain it on its way out.
    pub fn waits_for_drain(&self) -> bool {
        self.sqflags & qsq::SQQUEUED != 0 && self.parked != 0 && self.inside == 0
    }

    /// True if it has messages that its service procedure is to pass on: it has one, and `putq` may enable it.
    pub fn may_be_stuck(&self) -> bool {
        self.first != 0 && self.nfsrv == self.addr && self.flags & q::QNOENB == 0 && self.bands == 0
    }

    /// True if it is kept as it is by who has frozen the stream.
    pub fn is_frozen(&self) -> bool {
        self.door & sq::FROZEN != 0
    }

    /// True if there is so much room that who waits for it is to be told. Of a queue with bands that is not known: each has its own.
    pub fn has_room(&self) -> bool {
        let below = self.count < self.lowat && self.blocks < self.lowat;
        self.flags & q::QFULL == 0 && self.bands == 0 && (self.lowat == 0 || below)
    }
}

/// Reads the scenario's streams; `root` is the address of what the kernel keeps of STREAMS.
pub(super) fn look(look: &mut Look<'_>, root: u64, into: &mut Snapshot) {
    into.streams.clear();
    into.str_queues.clear();
    let Some(all) = look.layout.streams_root.read_one(look.memory, root) else { return };
    (into.solo_entries, into.solo_overlaps) = (all.entries, all.overlaps);
    for n in 0..all.count.min(MAX_STREAMS as u64) {
        let addr = all.first.wrapping_add(n.wrapping_mul(look.layout.sizes.scenario_stream));
        let mut stream = StreamSample::default();
        if !look.layout.stream.read(look.memory, addr, look.room, &mut stream) {
            return;
        }
        stream.is_whole = stream.head == 0 && stream.state == state::CLOSED;
        if stream.head != 0 {
            look_at_queues(look, n as usize, &mut stream, into);
        }
        into.streams.push(stream);
    }
}

/// Follows the write side from the head down, and takes each pair.
fn look_at_queues(look: &mut Look<'_>, n: usize, stream: &mut StreamSample, into: &mut Snapshot) {
    let Some(head) = look.layout.head.read_one(look.memory, stream.head) else { return };
    (stream.flags, stream.svcflags) = (head.flags, head.svcflags);
    let mut at = head.wrq;
    for pair in 0..MOST_PAIRS {
        let Some(wq) = look_at_queue(look, at, n, pair) else { return };
        let Some(rq) = look_at_queue(look, at.wrapping_sub(look.layout.sizes.queue), n, pair) else { return };
        // A pair that has just been freed or taken by another stream: not this one's.
        if wq.is_read() || !rq.is_read() {
            return;
        }
        for mut queue in [rq, wq] {
            // The pair of the head of a stream that is linked is a multiplexor's.
            queue.is_head &= !stream.is_linked();
            stream.queued += u64::from(queue.messages) + u64::from(queue.parked);
            into.str_queues.push(queue);
        }
        at = wq.next;
        if at == 0 {
            stream.is_whole = true;
            return;
        }
    }
}

fn look_at_queue(look: &mut Look<'_>, addr: u64, stream: usize, pair: usize) -> Option<StrQueueSample> {
    let mut queue = StrQueueSample { addr, stream, is_head: pair == 0, ..StrQueueSample::default() };
    if !look.layout.str_queue.read(look.memory, addr, look.room, &mut queue) {
        return None;
    }
    let door = look.layout.door.read_one(look.memory, queue.syncq)?;
    (queue.door, queue.inside) = (door.flags, door.inside);
    Some(queue)
}
