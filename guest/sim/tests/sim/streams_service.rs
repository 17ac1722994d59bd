//! Service procedures: who runs them, at which priority, and that none is forgotten.
//!
//! # Invariants
//! - A service procedure that has emptied its queue is told of the next message.

use std::cell::{Cell as StdCell, RefCell};
use std::rc::Rc;

use crate::bench::draw::Draw;
use crate::bench::streams::{PAIR, PLAIN, Proc, QUEUED, SERVICED, boot, hook, program, stream, tagged};
use crate::bench::{Bench, MS};
use umpire_kernel::cell::Cell;
use umpire_kernel::platform;
use umpire_kernel::streams::allocb::{allocb, freemsg};
use umpire_kernel::streams::callback::{bufcall, qtimeout, quntimeout, unbufcall};
use umpire_kernel::streams::putnext::putnext;
use umpire_kernel::streams::putq::{getq, putq};
use umpire_kernel::streams::queue::Queue;
use umpire_kernel::streams::service::{stream_runservice, stream_willservice};
use umpire_kernel::time::callout::{CalloutFunc, sleep_until};
use umpire_shared::mutant;

/// Two sources send through a queue whose service procedure passes on; how many of 80 messages arrived.
fn through_a_queue(seed: u64, mutants: mutant::Set) -> u64 {
    let arrived = Rc::new(StdCell::new(0));
    let count = Rc::clone(&arrived);
    let head: Rc<RefCell<Option<&'static Queue>>> = Rc::default();
    hook(move |at, proc, qp, mp| match (at, proc, mp) {
        (9, Proc::Wput, Some(mp)) => assert!(putq(qp, mp)),
        (9, Proc::Wsrv, _) => {
            while let Some(mp) = getq(qp) {
                platform::spin(300);
                putnext(qp, mp);
            }
        }
        (2, _, Some(mp)) => {
            count.set(count.get() + 1);
            freemsg(mp);
        }
        (_, _, Some(mp)) => putnext(qp, mp),
        _ => {}
    });
    let p = program(3, &[(60, 0), (60, 1)]).mutant(mutants);
    let mut sim = boot(&p, seed, move |n| {
        let mut draw = Draw(seed * 2 + n as u64);
        if n == 0 {
            *head.borrow_mut() = Some(stream(&[&SERVICED, &PLAIN]).wrq());
        }
        sleep_until(MS);
        for round in 0..40 {
            putnext(head.borrow().expect("the stream is there"), tagged(n as u64, round));
            platform::spin(draw.below(3000));
        }
    });
    sim.run_until_ok(10 * MS);
    arrived.get()
}

#[test]
fn what_is_enabled_while_it_runs_runs_again() {
    let mut lost = 0;
    for seed in 0..30 {
        assert_eq!(through_a_queue(seed, mutant::Set::NONE), 80, "seed {seed}");
        lost += u32::from(through_a_queue(seed, mutant::SERVICE_ONCE.into()) < 80);
    }
    assert!(lost > 0, "the mutant lost no message: nothing came while the service ran");
}

/// One message is sent under a promise and one without; who served them, by priority, number and name, and how many threads of
/// `system_taskq` the kernel could have.
fn served(pool: u32) -> (Vec<(i32, u32, String)>, Bench) {
    let by: Rc<RefCell<Vec<(i32, u32, String)>>> = Rc::default();
    let log = Rc::clone(&by);
    hook(move |at, proc, qp, mp| match (at, proc, mp) {
        (1, Proc::Wput, Some(mp)) => assert!(putq(qp, mp)),
        (1, Proc::Wsrv, _) => {
            let me = platform::curthread();
            log.borrow_mut().push((me.pri(), me.t_did, crate::bench::name(me)));
            while let Some(mp) = getq(qp) {
                freemsg(mp);
            }
        }
        (_, _, Some(mp)) => putnext(qp, mp),
        _ => {}
    });
    let mut sim = boot(&program(1, &[(80, 0)]).pool(pool), 1, |_| {
        // A first dispatch finds no idle thread, and asks for one.
        sleep_until(MS);
        let wq = stream(&[&PLAIN, &QUEUED]).wrq();
        stream_willservice(wq.stream());
        putnext(wq, tagged(0, 0));
        stream_runservice(wq.stream());
        for n in 1..=2 {
            putnext(wq, tagged(0, n));
            sleep_until((1 + n) * 5 * MS);
        }
    });
    sim.run_until_ok(20 * MS);
    let by = by.borrow().clone();
    (by, sim)
}

#[test]
fn services_run_in_the_foreground_of_who_promised_and_in_the_background_otherwise() {
    for pool in [0, 16] {
        let (by, sim) = served(pool);
        let thread = sim.kernel().k_ncpus;
        assert_eq!(by.len(), 3);
        assert_eq!((by[0].0, by[0].1), (80, thread), "in the caller's thread at its priority");
        assert!(by[1..].iter().all(|(pri, did, _)| *pri == 60 && *did != thread), "{by:?}");
        let state = &sim.kernel().k_streams;
        assert_eq!((state.total(|stat| &stat.rservice), state.total(|stat| &stat.stenables)), (1, 2));
    }
}

#[test]
fn services_are_tasks_of_system_taskq_and_a_background_thread_s_if_none_can_be_had() {
    let (by, sim) = served(16);
    assert_eq!(by[2].2, "system_taskq", "{by:?}");
    let fails = sim.kernel().k_streams.total(|stat| &stat.taskqfails);
    assert!(fails <= 1, "{fails} dispatches failed: one may, before there is a thread");
    let (by, sim) = served(0);
    assert!(by[1..].iter().all(|(_, _, name)| name == "streams_qbkgrnd"), "{by:?}");
    assert_eq!(sim.kernel().k_streams.total(|stat| &stat.taskqfails), 2);
}

thread_local! {
    static CALLED: RefCell<Vec<(u64, u64, u16)>> = const { RefCell::new(Vec::new()) };
}

/// Notes its argument, when it was called, and how many were inside the perimeter of the head's next queue.
static NOTE: CalloutFunc = CalloutFunc(|arg| {
    let inside = QP.get().map_or(0, |qp| qp.syncq().sq_count.get());
    CALLED.with_borrow_mut(|called| called.push((arg, platform::now(), inside)));
});

thread_local! {
    static QP: StdCell<Option<&'static Queue>> = const { StdCell::new(None) };
}

#[test]
fn callbacks_come_inside_the_perimeter_or_are_taken_back_from_inside_it() {
    for seed in 0..20 {
        CALLED.take();
        hook(move |at, proc, qp, mp| match (at, proc, mp) {
            (3, Proc::Wput, Some(mp)) => {
                // The second is due while this put has the perimeter for itself, and waits at the door.
                let second = qtimeout(qp, &NOTE, 2, 1).expect("a callout");
                platform::spin(4 * MS);
                assert_eq!(quntimeout(qp, second), -1, "it had begun");
                let third = qtimeout(qp, &NOTE, 3, 100).expect("a callout");
                assert!(quntimeout(qp, third) > 90, "it had not");
                freemsg(mp);
            }
            (_, _, Some(mp)) => putnext(qp, mp),
            _ => {}
        });
        let mut sim = boot(&program(2, &[(60, 0)]), seed, |_| {
            let wq = stream(&[&PAIR, &PLAIN]).wrq();
            let qp = wq.q_next.get().expect("a module");
            QP.set(Some(qp));
            qtimeout(qp, &NOTE, 1, 2).expect("a callout");
            sleep_until(5 * MS);
            putnext(wq, tagged(0, 0));
        });
        sim.run_until_ok(50 * MS);
        let called = CALLED.take();
        assert_eq!(called.iter().map(|c| (c.0, c.2)).collect::<Vec<_>>(), [(1, 1)], "seed {seed}");
        assert_eq!(sim.kernel().k_streams.callback_cache.in_use(), 0, "seed {seed}");
    }
}

#[test]
fn who_finds_no_memory_is_called_when_there_is_some() {
    CALLED.take();
    QP.set(None);
    let mut sim = boot(&program(1, &[(60, 0)]), 1, |_| {
        let mut all: Vec<_> = std::iter::from_fn(|| allocb(4000)).collect();
        let ids: Vec<u64> = (1..=3).map(|n| bufcall(4000, &NOTE, n)).collect();
        assert!(ids.iter().all(|id| id % 2 == 1), "{ids:?}");
        unbufcall(ids[1]);
        sleep_until(3 * MS);
        assert!(CALLED.with_borrow(Vec::is_empty), "there is no memory");
        let now = platform::now();
        freemsg(all.pop().expect("a message"));
        sleep_until(now + 2 * MS);
        all.into_iter().for_each(freemsg);
    });
    sim.run_until_ok(10 * MS);
    let called = CALLED.take();
    assert_eq!(called.iter().map(|c| c.0).collect::<Vec<_>>(), [1, 3]);
    assert!(called.iter().all(|c| (3 * MS..4 * MS).contains(&c.1)), "{called:?}");
    assert!(sim.kernel().k_streams.total(|stat| &stat.bcwaits) > 0);
}
