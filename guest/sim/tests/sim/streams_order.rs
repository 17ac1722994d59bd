//! Order and delivery of messages that were parked at a perimeter.
//!
//! # Invariants
//! - A source numbers its messages; a module that gets a number after a higher one of the same source has seen an overtaking.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::bench::draw::Draw;
use crate::bench::streams::{
    PAIR, PLAIN, PUTSHARED, Proc, QUEUED, boot, hook, program, state, stream, tag, tagged,
};
use crate::bench::{MS, Program, SECOND};
use umpire_kernel::cell::Cell;
use umpire_kernel::platform;
use umpire_kernel::streams::allocb::freemsg;
use umpire_kernel::streams::putnext::putnext;
use umpire_kernel::streams::putq::{getq, putq, qsize};
use umpire_kernel::streams::queue::{Fmodsw, Queue};
use umpire_kernel::streams::strlock::{freezestr, unfreezestr};
use umpire_kernel::streams::syncq::sq;
use umpire_kernel::time::callout::sleep_until;
use umpire_shared::{mutant, tunable};

const SOURCES: u64 = 2;
const EACH: u64 = 60;

/// The last number of each source, how many were overtaken, and how many came to the driver.
type Seen = (BTreeMap<u64, u64>, u32, u64);

/// Two sources send through a module to its driver while a third thread freezes the stream so many times. Returns how often a message
/// was overtaken at the module, and how many came to the driver.
fn overtaken(
    module: &'static Fmodsw,
    freezes: u64,
    seed: u64,
    of: fn(Program) -> Program,
) -> (u32, u64, u64) {
    let seen: Rc<RefCell<Seen>> = Rc::default();
    let log = Rc::clone(&seen);
    let head: Rc<RefCell<Option<&'static Queue>>> = Rc::default();
    let number = usize::from(module.f_str.st_rdinit.qi_minfo.mi_idnum);
    hook(move |at, proc, qp, mp| {
        let Some(mp) = mp else { return };
        if at == number {
            let (source, n) = tag(mp);
            platform::spin(300);
            let mut log = log.borrow_mut();
            if log.0.insert(source, n).is_some_and(|before| before > n) {
                log.1 += 1;
            }
        }
        if (at, proc) == (2, Proc::Wput) {
            log.borrow_mut().2 += 1;
            freemsg(mp);
        } else {
            putnext(qp, mp);
        }
    });
    let p = of(program(3, &[(60, 0), (60, 1), (61, 2)]));
    let mut sim = boot(&p, seed, move |n| {
        let mut draw = Draw(seed * 7 + n as u64);
        if n == 2 {
            *head.borrow_mut() = Some(stream(&[module, &PLAIN]).wrq());
            sleep_until(MS);
            for _ in 0..freezes {
                let stp = head.borrow().expect("the stream is there").stream();
                freezestr(stp);
                platform::spin(3000);
                unfreezestr(stp);
                platform::spin(draw.below(6000));
            }
            return;
        }
        sleep_until(MS);
        for round in 0..EACH {
            let head = head.borrow().expect("the stream is there");
            putnext(head, tagged(n as u64, round));
            platform::spin(draw.below(1500));
        }
    });
    sim.run_until_ok(20 * MS);
    for pair in &sim.kernel().k_streams.queues.ar_objects {
        let Some(sqp) = pair.qu_wqueue.q_syncq.get() else { continue };
        assert_eq!(sqp.has(sq::MESSAGES), !sqp.sq_head.is_null(), "seed {seed}: INV-4");
        let queues = std::iter::successors(sqp.sq_head.get(), |qp| qp.q_sqnext.get()).count();
        assert_eq!(queues as u32, sqp.sq_nqueues.get(), "seed {seed}: INV-2");
        let qp = &pair.qu_wqueue;
        let parked = std::iter::successors(qp.q_sqhead.get(), |mp| mp.b_next.get()).count();
        assert_eq!(parked as u32, qp.q_syncqmsgs.get(), "seed {seed}: INV-3");
    }
    let seen = seen.borrow();
    (seen.1, seen.2, sim.kernel().k_streams.put_stack_notenough.get())
}

#[test]
fn parked_messages_are_not_overtaken() {
    for module in [&PUTSHARED, &PLAIN, &PAIR] {
        for seed in 0..30 {
            let (wrong, arrived, _) = overtaken(module, 12, seed, |p| p);
            assert_eq!((wrong, arrived), (0, SOURCES * EACH), "{} seed {seed}", module.f_name);
        }
    }
    let early = |module, seed| overtaken(module, 12, seed, |p| p.mutant(mutant::DRAIN_EARLY)).0;
    let caught: u32 = (0..30).map(|seed| early(&PUTSHARED, seed)).sum();
    assert!(caught > 0, "the mutant is never caught where puts share the perimeter");
    let hidden: u32 = (0..30).map(|seed| early(&PAIR, seed)).sum();
    assert_eq!(hidden, 0, "where a drain is alone the mutant cannot show");
}

/// Every put finds too little stack, so that every message is parked for another thread at every module.
fn starved_of_stack(p: Program) -> Program {
    p.tunable(tunable::PUT_STACK_NEEDED, 1_000_000)
}

#[test]
fn parked_messages_are_delivered() {
    for seed in 0..20 {
        for module in [&PUTSHARED, &PAIR] {
            let (wrong, arrived, low) = overtaken(module, seed % 2 * 12, seed, starved_of_stack);
            assert_eq!((wrong, arrived), (0, SOURCES * EACH), "{} seed {seed}", module.f_name);
            assert!(low > SOURCES * EACH / 2, "seed {seed}: {low} times too little stack");
        }
    }
    let asleep =
        |seed| overtaken(&PUTSHARED, 0, seed, |p| starved_of_stack(p).mutant(mutant::SQBKGRND_ASLEEP)).1;
    assert!((0..5).all(|seed| asleep(seed) < SOURCES * EACH), "a thread that nobody wakes drains");
}

#[test]
fn a_frozen_stream_lets_nobody_in_but_its_freezer_works_on_its_queues() {
    for seed in 0..20 {
        let log: Rc<RefCell<Vec<(&str, u64)>>> = Rc::default();
        let (puts, freezer) = (Rc::clone(&log), Rc::clone(&log));
        let head: Rc<RefCell<Option<&'static Queue>>> = Rc::default();
        hook(move |at, proc, qp, mp| match (at, proc, mp) {
            (1, Proc::Wput, Some(mp)) => {
                puts.borrow_mut().push(("put", platform::now()));
                assert!(putq(qp, mp));
            }
            (_, _, Some(mp)) => putnext(qp, mp),
            _ => {}
        });
        let mut sim = boot(&program(2, &[(60, 0), (60, 1)]), seed, move |n| {
            if n == 0 {
                let wq = stream(&[&PLAIN, &QUEUED]).wrq();
                *head.borrow_mut() = Some(wq);
                let driver = wq.q_next.get().and_then(|at| at.q_next.get()).expect("a driver");
                for n in 0..3 {
                    putnext(wq, tagged(0, n));
                }
                freezestr(wq.stream());
                freezer.borrow_mut().push(("frozen", platform::now()));
                sleep_until(3 * MS);
                assert_eq!(qsize(driver), 3, "what the other sends is parked");
                let first = getq(driver).expect("a message");
                assert!(putq(driver, first));
                freezer.borrow_mut().push(("thaw", platform::now()));
                unfreezestr(wq.stream());
                return;
            }
            sleep_until(2 * MS);
            let wq = head.borrow().expect("the stream is there");
            for n in 0..5 {
                putnext(wq, tagged(1, n));
            }
            assert!(state().memory.dblks_in_use() >= 8);
        });
        sim.run_until_ok(SECOND / 50);
        let log = log.borrow();
        let at = |what: &str| log.iter().position(|(is, _)| *is == what).expect("it happened");
        let during = log[at("frozen")..at("thaw")].iter().filter(|(is, _)| *is == "put").count();
        assert_eq!((during, log.iter().filter(|(is, _)| *is == "put").count()), (0, 8), "seed {seed}");
    }
}
