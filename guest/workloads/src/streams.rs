//! Workloads over STREAMS: who sends, who reads, and who changes a stream meanwhile.
//!
//! # Invariants
//! - A message of a scenario begins its data with the number of the thread that sent it and its own number there. The first message
//!   of a thread is 0.
//! - Who uses a stream holds it (`scenario::hold`) and lets go of it when it is hung up; then it is opened anew.

use crate::payload;
use crate::turn::{US, finish_turn, progress, rest, wait_first};
use umpire_kernel::cell::Cell;
use umpire_kernel::intr::{user_enter, user_exit};
use umpire_kernel::net::{packet, soft_ring, soft_ring_of};
use umpire_kernel::streams::allocb::freemsg;
use umpire_kernel::streams::counts::Counts;
use umpire_kernel::streams::flow::bcanputnext;
use umpire_kernel::streams::message::{Mblk, QPCTL, m};
use umpire_kernel::streams::putnext::putnext;
use umpire_kernel::streams::scenario::{self, ScenarioStream, hold, release, sender_of, stamp};
use umpire_kernel::streams::stdata::Stdata;
use umpire_kernel::streams::strops::{find_module, strpop, strpush};
use umpire_kernel::streams::strpoll::strpoll_wait;
use umpire_kernel::streams::strread::{Wait, kstrgetmsg};
use umpire_kernel::streams::strsig::{strgetsig, strsetsig, strsigwait};
use umpire_kernel::streams::strwrite::{allocb_wait, kstrputmsg};
use umpire_kernel::streams::tpi::{self, T_UNITDATA_REQ, primitive, with_header};
use umpire_kernel::time::callout::delay;
use umpire_kernel::{Kthread, platform};
use umpire_shared::errno;
use umpire_shared::sys::stropts::{poll, sig};
use umpire_shared::work::StreamRef;
use umpire_shared::work::compute::Mode;
use umpire_shared::work::streams::{
    Full, How, Message, Module, StreamCloser, StreamEcho, StreamFreezer, StreamPlumber, StreamRead,
    StreamSource, StreamWrite, Streams,
};

umpire_shared::streams_workloads!();

/// Sends a message and reads it back.
fn stream_echo(t: &'static Kthread, work: StreamEcho) {
    let StreamEcho { stream, bytes, think_us, rest_ticks, reopen } = work;
    let (ss, me) = (of(stream), number_of(t));
    let mut turn: u64 = 0;
    loop {
        let stp = held(ss);
        let is_back = there_and_back(ss, stp, me, bytes);
        release(ss);
        if !is_back {
            continue;
        }
        turn += 1;
        if reopen != 0 && turn.is_multiple_of(reopen) {
            scenario::close(stream.0 as usize);
        }
        finish_turn(t, think_us, rest_ticks);
    }
}

/// Sends a message and takes it back. False if the stream is closed meanwhile: the message is gone with it.
fn there_and_back(ss: &'static ScenarioStream, stp: &'static Stdata, me: usize, bytes: u64) -> bool {
    let mine = ss.number(me);
    let mp = message(Message::Data, bytes, 0, me, mine);
    if let Err(error) = kstrputmsg(stp, mp, Wait::Block) {
        assert!(matches!(error, errno::ENXIO | errno::EINVAL), "stream_echo: write: errno {error}");
        Counts::bump(&ss.ss_counts.sc_freed);
        freemsg(mp);
        rest_if_linked(error);
        return false;
    }
    match kstrgetmsg(stp, Wait::Block) {
        Ok(Some(back)) => {
            assert_eq!(
                sender_of(back),
                Some((me, mine)),
                "stream_echo: another message came back than was sent"
            );
            take(ss, back);
            true
        }
        // Hung up, and nothing had come: the close frees what is under way.
        Ok(None) => false,
        Err(errno::EINVAL) => false,
        Err(error) => panic!("stream_echo: read: errno {error}"),
    }
}

/// Writes bursts of messages.
fn stream_write(t: &'static Kthread, work: StreamWrite) {
    let (ss, me) = (of(work.stream), number_of(t));
    let wait = if work.full == Full::Drop { Wait::Not } else { Wait::Block };
    loop {
        for _ in 0..work.burst {
            let stp = held(ss);
            let mp = message(work.message, work.bytes, work.band as u8, me, 0);
            set_address(mp, ss.peer());
            write(ss, stp, mp, me, wait);
            release(ss);
        }
        finish_turn(t, work.think_us, work.rest_ticks);
    }
}

/// Sends a message, or frees it: for want of room, or because the stream is being closed.
fn write(ss: &'static ScenarioStream, stp: &'static Stdata, mp: &'static Mblk, me: usize, wait: Wait) {
    stamp(mp, me, ss.number(me));
    match kstrputmsg(stp, mp, wait) {
        Ok(()) => {}
        Err(error) => {
            if error == errno::EAGAIN {
                Counts::bump(&ss.ss_counts.sc_lost);
            }
            Counts::bump(&ss.ss_counts.sc_freed);
            freemsg(mp);
            rest_if_linked(error);
        }
    }
}

/// A stream that is linked below a multiplexor is nobody's to read or write: who wants to looks again after a tick.
fn rest_if_linked(error: u32) {
    if error == errno::EINVAL {
        delay(1);
    }
}

/// Reads messages one by one.
fn stream_read(t: &'static Kthread, work: StreamRead) {
    let ss = of(work.stream);
    ss.begin_reading();
    wait_first(work.after_us);
    loop {
        let stp = held(ss);
        let got = next(stp, work.how);
        if let Ok(Some(mp)) = got {
            take(ss, mp);
        }
        release(ss);
        match got {
            Ok(Some(_)) => think(t, &work),
            Ok(None) => {}
            Err(_) => delay(1),
        }
    }
}

/// The next message, or none if the stream is hung up, waiting for it as the reader does.
fn next(stp: &'static Stdata, how: How) -> Result<Option<&'static Mblk>, u32> {
    if how == How::Read {
        return kstrgetmsg(stp, Wait::Block);
    }
    if how == How::Signal && strgetsig(stp).is_err() {
        strsetsig(stp, sig::INPUT | sig::HIPRI | sig::HANGUP)?;
    }
    loop {
        // Until there is none: who is told is told of the first.
        match kstrgetmsg(stp, Wait::Not) {
            Err(errno::EAGAIN) if how == How::Poll => {
                strpoll_wait(stp, poll::IN | poll::PRI | poll::RDNORM | poll::RDBAND);
            }
            Err(errno::EAGAIN) => match strsigwait(stp) {
                Err(errno::ENXIO) => return Ok(None),
                told => _ = told?,
            },
            other => return other,
        }
    }
}

/// Counts a message that was read, and does with it what the reader does: in user mode, if it is a process's.
fn think(t: &'static Kthread, work: &StreamRead) {
    match work.mode {
        Mode::Kernel => finish_turn(t, work.think_us, work.rest_ticks),
        Mode::User => {
            user_enter();
            finish_turn(t, work.think_us, 0);
            user_exit();
            rest(work.rest_ticks);
        }
    }
}

/// A message has come: it is counted, its bytes and its place among its sender's are looked at, and it is freed.
fn take(ss: &'static ScenarioStream, mp: &'static Mblk) {
    if let Some((source, number)) = sender_of(mp) {
        ss.arrived(source, number);
    }
    if !payload::is_intact(mp) {
        Counts::bump(&ss.ss_counts.sc_damaged);
    }
    if let Some(at) = packet::arrived(mp) {
        ss.ss_counts.took(platform::now().saturating_sub(at));
    }
    Counts::bump(&ss.ss_counts.sc_delivered);
    freemsg(mp);
}

/// Sends a message up for each packet.
fn stream_source(t: &'static Kthread, work: StreamSource) {
    let (ss, me) = (of(work.stream), number_of(t));
    let ring = soft_ring_of(t);
    loop {
        soft_ring::worker_turn(ring, |_, mut packets| {
            while let Some(packet) = packets.pop() {
                platform::spin(work.cost_us * US);
                freemsg(packet);
                held(ss);
                let rq = ss.ss_driver_rq.get().expect("invariant: a stream that is held has a driver");
                let mp = message(work.message, work.bytes, work.band as u8, me, 0);
                if mp.queclass() == QPCTL || bcanputnext(rq, mp.b_band.get()) {
                    stamp(mp, me, ss.number(me));
                    putnext(rq, mp);
                } else {
                    Counts::bump(&ss.ss_counts.sc_lost);
                    freemsg(mp);
                }
                release(ss);
            }
        });
        progress(t);
    }
}

/// Pushes a module and pops it.
fn stream_plumber(t: &'static Kthread, work: StreamPlumber) {
    let ss = of(work.stream);
    let module = find_module(Module::WORDS[work.module as usize]).expect("invariant: every word is a module");
    loop {
        let stp = held(ss);
        let pushed = strpush(stp, module);
        rest(work.hold_ticks);
        if pushed.is_ok() {
            _ = strpop(stp);
        }
        release(ss);
        progress(t);
        rest(work.rest_ticks);
    }
}

/// Freezes a stream.
fn stream_freezer(t: &'static Kthread, work: StreamFreezer) {
    loop {
        delay(work.rest_ticks);
        scenario::freeze(work.stream.0 as usize, work.hold_us * US);
        progress(t);
    }
}

/// Closes a stream.
fn stream_closer(t: &'static Kthread, work: StreamCloser) {
    loop {
        delay(work.rest_ticks);
        scenario::close(work.stream.0 as usize);
        progress(t);
    }
}

fn of(stream: StreamRef) -> &'static ScenarioStream {
    scenario::stream(stream.0 as usize)
}

fn number_of(t: &'static Kthread) -> usize {
    (t.t_did - platform::kernel().k_ncpus) as usize
}

/// The stream, open.
fn held(ss: &'static ScenarioStream) -> &'static Stdata {
    hold(ss).unwrap_or_else(|error| {
        let what = errno::name(error).unwrap_or("an unknown errno");
        let hint = if matches!(error, errno::ENOSR | errno::ENXIO) { "; raise strmem" } else { "" };
        panic!("a stream of the scenario does not open: {what}{hint}")
    })
}

/// A message of a sender, with its number there.
fn message(kind: Message, bytes: u64, band: u8, sender: usize, number: u64) -> &'static Mblk {
    let mp = allocb_wait(bytes as usize);
    payload::write(mp, sender as u64, number, bytes as usize);
    mp.b_band.set(band);
    match kind {
        Message::Data => mp,
        Message::Proto | Message::Hipri => {
            mp.set_type(if kind == Message::Proto { m::PROTO } else { m::PCPROTO });
            if kind == Message::Hipri {
                mp.b_band.set(0);
            }
            mp
        }
        Message::Unitdata => loop {
            if let Some(whole) = with_header(T_UNITDATA_REQ, mp) {
                break whole;
            }
            delay(1);
        },
    }
}

/// Writes whom it is for into a message that has an address.
fn set_address(mp: &'static Mblk, address: u64) {
    if address != 0 && primitive(mp) == Some(T_UNITDATA_REQ) {
        tpi::address_at(mp, address);
    }
}
