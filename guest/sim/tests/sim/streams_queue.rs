//! Queues: every operation against a model that is a sorted list, water marks, bands, and who is told that there is room.
//!
//! # Invariants
//! - The model knows the rules of order and of the marks, and nothing of how a queue is linked.

use std::cell::Cell as StdCell;
use std::rc::Rc;

use crate::bench::draw::Draw;
use crate::bench::streams::{
    HEAD, PLAIN, Proc, QUEUED, alone, boot, close_stream, hook, program, state, stream, tag, tagged,
};
use crate::bench::{Bench, MS, SECOND};
use umpire_kernel::cell::Cell;
use umpire_kernel::platform;
use umpire_kernel::streams::allocb::{allocb, freemsg};
use umpire_kernel::streams::flow::{Field, QfieldError, bcanput, canput, canputnext, strqget, strqset};
use umpire_kernel::streams::flush::{flushband, flushq, flushq_common};
use umpire_kernel::streams::message::{Mblk, QPCTL, m};
use umpire_kernel::streams::msgops::linkb;
use umpire_kernel::streams::putnext::{put, putnext};
use umpire_kernel::streams::putq::{enableok, getq, getq_noenab, insq, noenable, putbq, putq, qsize, rmvq};
use umpire_kernel::streams::queue::{Queue, q, qb};
use umpire_kernel::time::callout::sleep_until;
use umpire_shared::mutant;
use umpire_shared::sys::stream::{FLUSHALL, FLUSHDATA, is_datalike, qfield};

/// A message in the model: its type, its band, its number, its bytes and blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Msg {
    db_type: u8,
    band: u8,
    n: u64,
    bytes: usize,
    blocks: usize,
}

impl Msg {
    /// What comes first: high priority, then the higher band.
    fn rank(&self) -> (u8, u8) {
        (self.db_type & QPCTL, self.band)
    }
}

fn draw_msg(draw: &mut Draw, n: u64) -> Msg {
    let db_type = [m::DATA, m::DATA, m::PROTO, m::CTL, m::PCPROTO, m::HANGUP][draw.below(6) as usize];
    let band = if db_type & QPCTL != 0 { 0 } else { [0, 0, 1, 2, 5][draw.below(5) as usize] };
    let blocks = 1 + draw.below(2) as usize;
    Msg { db_type, band, n, bytes: 8 + draw.below(60) as usize, blocks }
}

fn make(msg: &Msg) -> &'static Mblk {
    let mp = allocb(msg.bytes).expect("memory");
    mp.set_type(msg.db_type);
    // A message of high priority loses its band.
    mp.b_band.set(if msg.db_type & QPCTL != 0 { 3 } else { msg.band });
    assert!(mp.append_u64(msg.n));
    assert_eq!(mp.append(&vec![0; msg.bytes - 8]), msg.bytes - 8);
    for _ in 1..msg.blocks {
        linkb(mp, allocb(4).expect("memory"));
    }
    mp
}

fn number(mp: &Mblk) -> u64 {
    mp.u64_at(0).expect("a number")
}

/// The queue's list and counts are the model's.
fn check(qp: &'static Queue, model: &[Msg], what: &str) {
    let found: Vec<u64> = qp.messages().map(number).collect();
    let wanted: Vec<u64> = model.iter().map(|msg| msg.n).collect();
    assert_eq!(found, wanted, "{what}: {model:?}");
    let back: Vec<u64> = std::iter::successors(qp.q_last.get(), |mp| mp.b_prev.get()).map(number).collect();
    assert_eq!(back, wanted.iter().rev().copied().collect::<Vec<_>>(), "{what}: backwards");
    for band in 0..=qp.q_nband.get() {
        let own: Vec<&Msg> = model.iter().filter(|msg| msg.band == band).collect();
        let bytes: usize = own.iter().map(|msg| msg.bytes).sum();
        let blocks: usize = own.iter().map(|msg| msg.blocks).sum();
        let (first, last) = (own.first().map(|msg| msg.n), own.last().map(|msg| msg.n));
        if band == 0 {
            assert_eq!((qp.q_count.get(), qp.q_mblkcnt.get()), (bytes, blocks), "{what}: counts");
            continue;
        }
        let qbp = qp.band(band).expect("it is there");
        assert_eq!((qbp.qb_count.get(), qbp.qb_mblkcnt.get()), (bytes, blocks), "{what}: band {band}");
        assert_eq!(qbp.qb_first.get().map(number), first, "{what}: band {band}");
        assert_eq!(qbp.qb_last.get().map(number), last, "{what}: band {band}");
    }
    assert!(model.iter().all(|msg| msg.band <= qp.q_nband.get()), "{what}: a band is missing");
}

/// Full is what has reached the mark and has not been below it since.
fn check_marks(qp: &'static Queue, what: &str) {
    let is_at = |count: usize, blocks: usize, mark: usize| count >= mark || blocks >= mark;
    let full = is_at(qp.q_count.get(), qp.q_mblkcnt.get(), qp.q_hiwat.get());
    assert_eq!(qp.has(q::QFULL), full, "{what}: {} bytes", qp.q_count.get());
    for band in 1..=qp.q_nband.get() {
        let qbp = qp.band(band).expect("it is there");
        let full = is_at(qbp.qb_count.get(), qbp.qb_mblkcnt.get(), qbp.qb_hiwat.get());
        assert_eq!(qbp.qb_flag.get() & qb::FULL != 0, full, "{what}: band {band}");
    }
}

/// A queue that nobody services, in a stream whose modules do nothing.
fn idle_queue() -> &'static Queue {
    hook(|_, _, _, mp| mp.into_iter().for_each(freemsg));
    stream(&[&PLAIN, &PLAIN]).wrq().q_next.get().expect("a module")
}

/// Runs one seed of random operations; what fails, if something does.
fn model_run(seed: u64, mutants: mutant::Set) -> Result<(), String> {
    let p = program(1, &[(60, 0)]).mutant(mutants);
    let mut sim = boot(&p, seed, move |_| {
        let qp = idle_queue();
        let mut draw = Draw(seed);
        let mut model: Vec<Msg> = Vec::new();
        for n in 0..300 {
            let msg = draw_msg(&mut draw, n);
            let what = match draw.below(9) {
                0..=2 => {
                    assert!(putq(qp, make(&msg)));
                    let at = model.iter().position(|at| at.rank() < msg.rank()).unwrap_or(model.len());
                    model.insert(at, msg);
                    format!("putq {msg:?}")
                }
                3 => {
                    assert!(putbq(qp, make(&msg)));
                    let at = model.iter().position(|at| at.rank() <= msg.rank()).unwrap_or(model.len());
                    model.insert(at, msg);
                    format!("putbq {msg:?}")
                }
                4 => {
                    let at = draw.below(model.len() as u64 + 1) as usize;
                    let before = qp.messages().nth(at);
                    let fits = model.get(at).is_none_or(|next| next.rank() <= msg.rank())
                        && at.checked_sub(1).is_none_or(|ahead| model[ahead].rank() >= msg.rank());
                    let mp = make(&msg);
                    assert_eq!(insq(qp, before, mp), fits, "insq {msg:?} at {at} of {model:?}");
                    if fits {
                        model.insert(at, msg)
                    } else {
                        freemsg(mp)
                    }
                    format!("insq {msg:?} at {at}")
                }
                5 if !model.is_empty() => {
                    let at = draw.below(model.len() as u64) as usize;
                    let mp = qp.messages().nth(at).expect("it is there");
                    rmvq(qp, mp);
                    freemsg(mp);
                    model.remove(at);
                    format!("rmvq {at}")
                }
                6 if draw.below(6) == 0 => {
                    let flag = if draw.below(2) == 0 { FLUSHDATA } else { FLUSHALL };
                    let goes = |msg: &Msg| flag == FLUSHALL || is_datalike(msg.db_type);
                    let band = draw.below(7) as u8;
                    match draw.below(3) {
                        0 => {
                            flushq(qp, flag);
                            model.retain(|msg| !goes(msg));
                        }
                        1 => {
                            flushq_common(qp, flag, true);
                            model.retain(|msg| msg.db_type == m::PCPROTO || !goes(msg));
                        }
                        _ => {
                            flushband(qp, band, flag);
                            model.retain(|msg| msg.band != band || !goes(msg));
                        }
                    }
                    format!("flush {flag} of {band}")
                }
                _ => {
                    let found = getq(qp);
                    assert_eq!(found.map(number), model.first().map(|msg| msg.n), "getq of {model:?}");
                    assert_eq!(qp.has(q::QWANTR), found.is_none(), "an empty queue wants to be enabled");
                    found.into_iter().for_each(freemsg);
                    if !model.is_empty() {
                        model.remove(0);
                    }
                    "getq".to_owned()
                }
            };
            check(qp, &model, &what);
            check_marks(qp, &what);
            assert_eq!(qsize(qp), model.len());
        }
        flushq(qp, FLUSHALL);
        assert_eq!(state().memory.dblks_in_use(), 0, "messages are conserved");
    });
    match sim.run_until(SECOND / 10) {
        umpire_sim::SimState::Running => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn a_queue_is_what_the_model_says() {
    for seed in 0..100 {
        assert_eq!(model_run(seed, mutant::Set::NONE), Ok(()), "seed {seed}");
    }
    let caught = (0..5).filter(|&seed| model_run(seed, mutant::PUTQ_APPENDS.into()).is_err()).count();
    assert_eq!(caught, 5, "the mutant is another queue");
}

#[test]
fn a_long_message_is_split_and_the_rest_stays_first() {
    alone(1, || {
        let qp = idle_queue();
        let msg = |n, bytes| Msg { db_type: m::DATA, band: 0, n, bytes, blocks: 1 };
        putq(qp, make(&msg(1, 50)));
        putq(qp, make(&msg(2, 20)));
        let part = getq_noenab(qp, 30).expect("a message");
        assert_eq!((number(part), part.len()), (1, 30));
        assert_eq!((qp.q_count.get(), qsize(qp), qp.q_mblkcnt.get()), (40, 2, 2));
        let rest = getq_noenab(qp, 30).expect("a message");
        assert_eq!(rest.len(), 20, "a message that is not longer comes whole");
        assert_eq!(part.datap().db_ref.get(), 2, "the two share the buffer");
        [part, rest].into_iter().for_each(freemsg);

        // At a block's end nothing is shared.
        let long = make(&msg(3, 10));
        linkb(long, make(&msg(4, 10)));
        putbq(qp, long);
        let first = getq_noenab(qp, 10).expect("a message");
        assert!(first.b_cont.is_null() && number(first) == 3 && qsize(qp) == 2);
        freemsg(first);
        flushq(qp, FLUSHALL);
        assert_eq!(state().memory.dblks_in_use(), 0);
    });
}

#[test]
fn who_may_enable_whom() {
    alone(2, || {
        let runs = Rc::new(StdCell::new(0));
        let count = Rc::clone(&runs);
        hook(move |module, proc, _, mp| {
            if module == 1 && proc == Proc::Wsrv {
                count.set(count.get() + 1);
            }
            mp.into_iter().for_each(freemsg);
        });
        let stp = stream(&[&QUEUED, &PLAIN]);
        let qp = stp.wrq().q_next.get().expect("a module");
        let is_enabled = |mp: &'static Mblk, by: fn(&'static Queue, &'static Mblk) -> bool| {
            let before = runs.get();
            assert!(by(qp, mp));
            sleep_until(platform::now() + MS);
            runs.get() != before
        };
        let of = |db_type: u8, band: u8| {
            let mp = allocb(8).expect("memory");
            mp.set_type(db_type);
            mp.b_band.set(band);
            mp
        };
        let insert: fn(&'static Queue, &'static Mblk) -> bool = |qp, mp| insq(qp, qp.q_first.get(), mp);
        // An empty queue of which somebody has tried to take wants to be enabled; one that had a message does not.
        assert!(getq(qp).is_none() && is_enabled(of(m::DATA, 0), putq));
        qp.raise(q::QWANTR);
        assert!(is_enabled(of(m::DATA, 0), putbq));
        qp.lower(q::QWANTR);
        assert!(!is_enabled(of(m::DATA, 0), putq), "nobody wants to read");
        assert!(is_enabled(of(m::DATA, 3), putq), "a band enables");
        assert!(!is_enabled(of(m::DATA, 3), putbq), "but not when it is put back");
        assert!(is_enabled(of(m::HANGUP, 0), putq) && is_enabled(of(m::HANGUP, 0), putbq));
        assert!(!is_enabled(of(m::HANGUP, 0), insert), "not even high priority by insq");
        noenable(qp);
        qp.raise(q::QWANTR);
        assert!(!is_enabled(of(m::DATA, 3), putq) && !is_enabled(of(m::HANGUP, 0), insert));
        assert!(is_enabled(of(m::HANGUP, 0), putq), "high priority always");
        enableok(qp);
        assert!(is_enabled(of(m::HANGUP, 0), insert));
    });
}

#[test]
fn marks_bands_and_fields() {
    alone(3, || {
        let qp = idle_queue();
        assert_eq!(strqset(qp, qfield::QHIWAT, 0, 100), Ok(()));
        assert_eq!(strqset(qp, qfield::QLOWAT, 0, 40), Ok(()));
        assert_eq!(strqset(qp, qfield::QHIWAT, 2, 30), Ok(()));
        assert_eq!(strqset(qp, qfield::QCOUNT, 0, 1), Err(QfieldError::NotPermitted));
        assert_eq!(strqset(qp, 77, 0, 1), Err(QfieldError::Invalid));
        assert!(matches!(strqget(qp, qfield::QHIWAT, 0), Ok(Field::Number(100))));
        assert!(
            matches!(strqget(qp, qfield::QHIWAT, 1), Ok(Field::Number(100))),
            "a band has the queue's marks"
        );
        assert!(matches!(strqget(qp, qfield::QHIWAT, 2), Ok(Field::Number(30))));
        assert!(matches!(strqget(qp, qfield::QHIWAT, 3), Err(QfieldError::Invalid)));
        assert_eq!(qp.q_nband.get(), 2);

        assert!(canput(qp) && bcanput(qp, 2) && bcanput(qp, 9), "a band that is not there is not full");
        let msg = |band, bytes| Msg { db_type: m::DATA, band, n: 0, bytes, blocks: 1 };
        putq(qp, make(&msg(2, 30)));
        // The queue of a module without service procedures counts for nobody: the driver's does. It is full itself.
        assert!(qp.band(2).expect("band 2").qb_flag.get() & qb::FULL != 0 && !qp.has(q::QFULL));
        putq(qp, make(&msg(0, 99)));
        assert!(!qp.has(q::QFULL));
        putq(qp, make(&msg(0, 8)));
        assert!(qp.has(q::QFULL));
        let first = getq(qp).expect("a message");
        assert_eq!(first.b_band.get(), 2);
        freemsg(first);
        assert!(qp.band(2).expect("band 2").qb_flag.get() & qb::FULL == 0 && qp.has(q::QFULL));
        flushq(qp, FLUSHDATA);
        assert!(!qp.has(q::QFULL));
        // Messages without bytes fill a queue by their number.
        for _ in 0..100 {
            assert!(!qp.has(q::QFULL));
            putq(qp, allocb(0).expect("memory"));
        }
        assert!(qp.has(q::QFULL));
        flushq(qp, FLUSHALL);
    });
}

/// A writer that stops when it is refused and goes on when its head's service procedure runs, against a driver that reads slowly, on
/// another CPU; how many of the messages arrived within 50 ms.
fn flow_run(seed: u64, mutants: mutant::Set) -> (u64, Bench) {
    const ALL: u64 = 120;
    let (arrived, may) = (Rc::new(StdCell::new(0)), Rc::new(StdCell::new(true)));
    let stp: Rc<StdCell<Option<&'static Queue>>> = Rc::default();
    let (seen, told) = (Rc::clone(&arrived), Rc::clone(&may));
    hook(move |module, proc, qp, mp| match (module, proc, mp) {
        (1, Proc::Wput, Some(mp)) => assert!(putq(qp, mp)),
        (0, Proc::Wsrv, _) => told.set(true),
        (_, _, Some(mp)) => putnext(qp, mp),
        _ => {}
    });
    let mut sim = boot(&program(2, &[(60, 0), (60, 1)]).mutant(mutants), seed, move |n| {
        if n == 0 {
            let head = stream(&[&PLAIN, &QUEUED]).wrq();
            stp.set(head.q_next.get().and_then(|at| at.q_next.get()));
            for n in 0..ALL {
                while !canputnext(head) {
                    while !may.get() {
                        sleep_until(platform::now() + 20_000);
                    }
                    may.set(false);
                }
                putnext(head, tagged(0, n));
            }
            return;
        }
        sleep_until(MS);
        let driver = stp.get().expect("the stream is there");
        // The driver's service procedure leaves it to this thread.
        while seen.get() < ALL {
            while let Some(mp) = getq(driver) {
                assert_eq!(tag(mp).1, seen.get(), "in order");
                freemsg(mp);
                seen.set(seen.get() + 1);
                platform::spin(1000 + seen.get() % 7 * 500);
            }
            sleep_until(platform::now() + 30_000);
        }
    });
    sim.run_until_ok(50 * MS);
    (arrived.get(), sim)
}

#[test]
fn who_was_refused_is_enabled_when_there_is_room() {
    let mut stuck = 0;
    for seed in 0..40 {
        assert_eq!(flow_run(seed, mutant::Set::NONE).0, 120, "seed {seed}");
        stuck += u32::from(flow_run(seed, mutant::UNWANTED_ROOM.into()).0 < 120);
    }
    assert!(stuck > 0, "the mutant was never refused");
}

#[test]
fn a_stream_that_is_closed_gives_everything_back() {
    alone(4, || {
        hook(|_, _, qp, mp| {
            if let Some(mp) = mp {
                assert!(putq(qp, mp))
            }
        });
        for _ in 0..20 {
            let stp = stream(&[&QUEUED, &PLAIN, &QUEUED]);
            assert_eq!(stp.sd_pushcnt.get(), 2);
            assert_eq!(stp.pairs().count(), 4);
            put(stp.wrq().q_next.get().expect("a module"), tagged(0, 0));
            close_stream(stp, &[&QUEUED, &PLAIN, &QUEUED]);
        }
        let s = state();
        assert_eq!(s.memory.dblks_in_use(), 0);
        assert_eq!((s.queue_cache.in_use(), s.stdata_cache.in_use(), s.syncq_cache.in_use()), (0, 0, 0));
        assert_eq!(s.qband_cache.in_use(), 0);
        let _ = &HEAD;
    });
}
