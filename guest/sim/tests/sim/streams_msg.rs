//! Messages: every operation against a model that is a list of blocks, and what two CPUs do with one buffer.
//!
//! # Invariants
//! - After each test every data block has been freed: messages are conserved.

use std::cell::{Cell as StdCell, RefCell};
use std::rc::Rc;

use crate::bench::draw::Draw;
use crate::bench::streams::{alone, boot, program, state};
use crate::bench::{MS, SECOND};
use umpire_kernel::cell::Cell;
use umpire_kernel::streams::allocb::{
    DBLK_MAX_CACHE, DBLK_SIZES, allocb, dupb, dupmsg, freeb, freemsg, take_external,
};
use umpire_kernel::streams::esballoc::{Esb, Frtn, esballoc};
use umpire_kernel::streams::message::{Mblk, m, msg};
use umpire_kernel::streams::msgops::{
    NotThere, adjmsg, copyb, copymsg, linkb, msgdsize, msgpullup, pullupmsg, rmvb, unlinkb, xmsgsize,
};
use umpire_kernel::time::callout::sleep_until;
use umpire_shared::mutant;

/// A message as a list: type and bytes of each block.
type Model = Vec<(u8, Vec<u8>)>;

const TYPES: [u8; 4] = [m::DATA, m::DATA, m::PROTO, m::CTL];

/// A message as the model has it.
fn make(model: &Model) -> &'static Mblk {
    let blocks: Vec<&'static Mblk> = model
        .iter()
        .map(|(db_type, bytes)| {
            let mp = allocb(bytes.len() + 24).expect("memory");
            // Not from the buffer's beginning.
            mp.b_rptr.set(mp.b_rptr.get() + 8);
            mp.b_wptr.set(mp.b_rptr.get());
            mp.set_type(*db_type);
            assert_eq!(mp.append(bytes), bytes.len());
            mp
        })
        .collect();
    for two in blocks.windows(2) {
        two[0].b_cont.set(Some(two[1]));
    }
    blocks[0]
}

fn bytes(mp: &Mblk) -> Vec<u8> {
    mp.data().iter().map(Cell::get).collect()
}

fn read(mp: &'static Mblk) -> Model {
    mp.blocks().map(|bp| (bp.db_type(), bytes(bp))).collect()
}

fn draw_model(draw: &mut Draw) -> Model {
    let n = 1 + draw.below(5);
    (0..n)
        .map(|_| {
            let len = [0, 1, 7, 30, 200][draw.below(5) as usize] + draw.below(3);
            (TYPES[draw.below(4) as usize], (0..len).map(|_| draw.below(256) as u8).collect())
        })
        .collect()
}

/// How many blocks of the front, or of the back, have one type.
fn run_of<'a>(blocks: impl Iterator<Item = &'a (u8, Vec<u8>)> + Clone) -> usize {
    let first = blocks.clone().next().expect("a block").0;
    blocks.take_while(|b| b.0 == first).count()
}

/// The model's `adjmsg`.
fn trim(model: &mut Model, len: isize) -> bool {
    let mut n = len.unsigned_abs();
    let count = model.len();
    let order: Vec<usize> = if len >= 0 {
        (0..run_of(model.iter())).collect()
    } else {
        (0..run_of(model.iter().rev())).map(|k| count - 1 - k).collect()
    };
    if n > order.iter().map(|&at| model[at].1.len()).sum() {
        return false;
    }
    let mut gone = Vec::new();
    for at in order {
        let bytes = &mut model[at].1;
        let (had, part) = (bytes.len(), n.min(bytes.len()));
        let was_reached = n != 0;
        if len >= 0 {
            drop(bytes.drain(..part))
        } else {
            bytes.truncate(had - part)
        }
        n -= part;
        let is_removed =
            if len >= 0 { was_reached && bytes.is_empty() } else { had != 0 && bytes.is_empty() };
        if is_removed && at != 0 {
            gone.push(at);
        }
    }
    gone.sort_unstable();
    for at in gone.into_iter().rev() {
        model.remove(at);
    }
    true
}

/// The model's `pullupmsg`: none of the bytes changes, and the first block has at least so many.
fn flat(model: &Model) -> Vec<(u8, u8)> {
    model.iter().flat_map(|(db_type, bytes)| bytes.iter().map(move |b| (*db_type, *b))).collect()
}

#[test]
fn a_buffer_is_of_the_least_size_that_fits() {
    alone(1, || {
        for (n, &size) in DBLK_SIZES.iter().enumerate().take(24) {
            let least = if n == 0 { 0 } else { DBLK_SIZES[n - 1] as usize + 1 };
            for wanted in [least, size as usize] {
                let mp = allocb(wanted).expect("memory");
                assert_eq!(mp.datap().size(), size as usize, "{wanted}");
                assert_eq!((mp.db_type(), mp.len(), mp.datap().db_ref.get()), (m::DATA, 0, 1));
                freeb(mp);
            }
        }
        let mp = allocb(DBLK_MAX_CACHE + 1).expect("memory");
        assert_eq!(mp.datap().size(), (DBLK_MAX_CACHE + 1).next_multiple_of(64));
        freeb(mp);
        let again = allocb(DBLK_MAX_CACHE + 1).expect("what was freed");
        assert!(std::ptr::eq(mp, again), "an oversize buffer serves again");
        freeb(again);
        assert_eq!(state().memory.dblks_in_use(), 0);
    });
}

#[test]
fn memory_ends_with_none_and_comes_back() {
    alone(2, || {
        let mut all = Vec::new();
        while let Some(mp) = allocb(4000) {
            all.push(mp);
        }
        assert!(all.len() > 50, "{} messages", all.len());
        assert!(allocb(4000).is_none());
        let n = all.len();
        all.drain(..).for_each(freemsg);
        let again: Vec<_> = std::iter::from_fn(|| allocb(4000)).collect();
        assert_eq!(again.len(), n, "as many as before");
        again.into_iter().for_each(freemsg);
        assert_eq!(state().memory.dblks_in_use(), 0);
    });
}

#[test]
fn operations_do_what_the_model_does() {
    for seed in 0..60 {
        alone(seed, move || {
            let mut draw = Draw(seed);
            for _ in 0..40 {
                let mut model = draw_model(&mut draw);
                let mp = make(&model);
                assert_eq!(read(mp), model);
                let data =
                    |model: &Model| model.iter().filter(|b| b.0 == m::DATA).map(|b| b.1.len()).sum::<usize>();
                assert_eq!(msgdsize(mp), data(&model));
                let lead: usize = model[..run_of(model.iter())].iter().map(|b| b.1.len()).sum();
                assert_eq!(xmsgsize(mp), lead);
                match draw.below(6) {
                    0 => {
                        let len = draw.below(300) as isize - 150;
                        assert_eq!(adjmsg(mp, len), trim(&mut model, len), "adjmsg {len}");
                        assert_eq!(read(mp), model, "adjmsg {len}");
                    }
                    1 => {
                        let len = draw.below(250) as isize - 1;
                        let first = mp.len();
                        let could = pullupmsg(mp, len);
                        assert_eq!(could, len <= lead as isize, "pullupmsg {len} of {lead}");
                        assert_eq!(flat(&read(mp)), flat(&model), "pullupmsg {len}");
                        let wanted = if len < 0 { lead } else { len as usize };
                        assert!(!could || mp.len() >= wanted, "pullupmsg {len}: {}", mp.len());
                        assert!(could || mp.len() == first);
                    }
                    2 => {
                        let new = msgpullup(mp, -1).expect("memory");
                        assert_eq!(read(mp), model);
                        assert_eq!(new.len(), lead);
                        assert_eq!(flat(&read(new)), flat(&model));
                        freemsg(new);
                    }
                    3 => {
                        let (copy, dup) = (copymsg(mp).expect("memory"), dupmsg(mp).expect("memory"));
                        assert_eq!(read(copy), model);
                        assert_eq!(read(dup), model);
                        assert!(
                            mp.blocks().zip(dup.blocks()).all(|(a, b)| std::ptr::eq(a.datap(), b.datap()))
                        );
                        assert!(
                            mp.blocks().zip(copy.blocks()).all(|(a, b)| !std::ptr::eq(a.datap(), b.datap()))
                        );
                        assert!(mp.blocks().all(|bp| bp.datap().db_ref.get() == 2));
                        // A shared buffer can be pulled up; the other message keeps it.
                        let len = draw.below(100) as isize;
                        pullupmsg(if draw.below(2) == 0 { mp } else { dup }, len);
                        assert_eq!(flat(&read(mp)), flat(&model));
                        assert_eq!(flat(&read(dup)), flat(&model));
                        freemsg(dup);
                        assert_eq!(flat(&read(mp)), flat(&model));
                        freemsg(copy);
                    }
                    4 => {
                        let n = draw.below(model.len() as u64) as usize;
                        let bp = mp.blocks().nth(n).expect("it is there");
                        let left = rmvb(mp, bp).expect("it is there");
                        model.remove(n);
                        assert_eq!(left.map_or(Vec::new(), read), model);
                        assert!(
                            left.is_none_or(|left| matches!(rmvb(left, bp), Err(NotThere)))
                                && bp.b_cont.is_null()
                        );
                        freeb(bp);
                        left.into_iter().for_each(freemsg);
                        continue;
                    }
                    _ => {
                        let rest = unlinkb(mp);
                        assert_eq!(rest.map_or(Vec::new(), read), model[1..]);
                        let tail = make(&model);
                        linkb(mp, tail);
                        assert_eq!(read(mp), [&model[..1], &model[..]].concat());
                        rest.into_iter().for_each(freemsg);
                    }
                }
                freemsg(mp);
                assert_eq!(state().memory.dblks_in_use(), 0, "seed {seed}");
                assert_eq!(state().memory.sm_mblk_cache.in_use(), 0, "seed {seed}");
            }
        });
    }
}

#[test]
fn a_copy_keeps_band_flags_offsets_and_room() {
    alone(3, || {
        let mp = make(&vec![(m::PROTO, vec![1, 2, 3])]);
        mp.b_band.set(7);
        mp.b_flag.set(msg::MARK);
        for other in [copyb(mp).expect("memory"), dupb(mp).expect("memory")] {
            assert_eq!((other.b_band.get(), other.b_flag.get()), (7, msg::MARK));
            assert_eq!((other.datap().size(), other.db_type()), (mp.datap().size(), m::PROTO));
            assert_eq!(other.b_rptr.get() - other.datap().db_base.get(), 8);
            freemsg(other);
        }
        freemsg(mp);
    });
}

#[test]
fn a_buffer_has_255_references_and_no_more() {
    alone(4, || {
        let mp = allocb(10).expect("memory");
        let dups: Vec<_> = std::iter::from_fn(|| dupb(mp)).collect();
        assert_eq!(dups.len(), 254);
        assert_eq!(mp.datap().db_ref.get(), 255);
        freemsg(mp);
        assert_eq!(state().memory.dblks_in_use(), 1, "the buffer has other references");
        dups.into_iter().for_each(freemsg);
        assert_eq!(state().memory.dblks_in_use(), 0);
    });
}

/// Two CPUs free one of two references each, at once, many times; how many buffers are not free afterwards.
fn lost_buffers(seed: u64, mutants: mutant::Set) -> u64 {
    let shared: Rc<RefCell<Vec<&'static Mblk>>> = Rc::default();
    let rounds = 40;
    let p = program(2, &[(60, 0), (60, 1)]).mutant(mutants);
    let mut sim = boot(&p, seed, move |n| {
        for round in 1..=rounds {
            let at = MS + round * 100_000;
            if n == 0 {
                let mp = allocb(64).expect("memory");
                let dup = dupb(mp).expect("memory");
                shared.borrow_mut().extend([mp, dup]);
            }
            sleep_until(at);
            let mine = shared.borrow_mut().pop();
            mine.into_iter().for_each(freemsg);
            sleep_until(at + 50_000);
        }
    });
    sim.run_until_ok(20 * MS);
    sim.kernel().k_streams.memory.dblks_in_use()
}

#[test]
fn two_that_free_one_buffer_at_once_free_it_once() {
    let mut lost = 0;
    for seed in 0..20 {
        assert_eq!(lost_buffers(seed, mutant::Set::NONE), 0, "seed {seed}");
        lost += lost_buffers(seed, mutant::TORN_DB_REF.into());
    }
    assert!(lost > 0, "the mutant lost no buffer: the two were never at it at once");
}

thread_local! {
    static FREED: RefCell<Vec<(u64, u32)>> = const { RefCell::new(Vec::new()) };
}

static FRTN: [Frtn; 2] = [frtn(11), frtn(12)];

const fn frtn(arg: u64) -> Frtn {
    Frtn {
        free_func: |arg| FREED.with_borrow_mut(|f| f.push((arg, umpire_kernel::platform::curthread().t_did))),
        free_arg: std::sync::atomic::AtomicU64::new(arg),
    }
}

fn freed() -> Vec<(u64, u32)> {
    FREED.with_borrow(Clone::clone)
}

#[test]
fn an_external_buffer_is_freed_at_once_or_by_another_thread() {
    FREED.take();
    let sim = alone(5, || {
        let me = umpire_kernel::platform::curthread().t_did;
        let base = take_external(100).expect("memory");
        let mp = esballoc(Esb::Direct, base, 100, &FRTN[0]).expect("memory");
        assert_eq!((mp.datap().size(), mp.append(&[5; 200])), (100, 100));
        let dup = dupb(mp).expect("memory");
        freemsg(mp);
        assert!(freed().is_empty(), "there is another reference");
        freemsg(dup);
        assert_eq!(freed(), [(11, me)], "desballoc calls it in the freeing thread");

        let shared = esballoc(Esb::DirectShared, base, 100, &FRTN[0]).expect("memory");
        assert_eq!(shared.datap().db_ref.get(), 2, "it looks shared");
        freemsg(shared);
        assert_eq!(freed().len(), 2);

        let late = esballoc(Esb::Deferred, base, 100, &FRTN[1]).expect("memory");
        let now = umpire_kernel::platform::now();
        freemsg(late);
        assert_eq!(freed().len(), 2, "esballoc defers");
        let is_armed = || state().esbq.iter().any(|eq| eq.eq_flags.get() != 0);
        assert!(is_armed(), "one callout serves all that are freed until it comes");
        sleep_until(now + 30 * MS);
        assert!(!is_armed());
        let by = freed()[2];
        assert!(by.0 == 12 && by.1 != me, "{by:?}");
        assert_eq!(state().memory.dblks_in_use(), 0);
    });
    drop(sim);
}

#[test]
fn twenty_two_deferred_frees_do_not_wait_for_the_timeout() {
    FREED.take();
    let most = Rc::new(StdCell::new(0));
    let seen = Rc::clone(&most);
    let mut sim = boot(&program(2, &[(60, 0)]), 6, move |_| {
        let base = take_external(64).expect("memory");
        let all: Vec<_> =
            (0..22).map(|_| esballoc(Esb::Deferred, base, 64, &FRTN[1]).expect("memory")).collect();
        let began = umpire_kernel::platform::now();
        all.into_iter().for_each(freemsg);
        while freed().len() < 22 {
            sleep_until(umpire_kernel::platform::now() + 100_000);
        }
        seen.set(umpire_kernel::platform::now() - began);
    });
    sim.run_until_ok(SECOND / 10);
    assert!((1..6 * MS).contains(&most.get()), "{} ns, and the timeout is 8 ms", most.get());
}
