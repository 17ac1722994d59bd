//! Task queues: every task is called once, in the order that the kind of queue promises, by as many threads as it has.
//!
//! # Invariants
//! - The model of a queue is the list of tasks that were dispatched; a task adds its argument to a log when it begins.
//! - Threads run code of the tests; the seed decides who is where and when.

use crate::bench::{Bench, MS, Program, SECOND, name, thread};
use umpire_kernel::cell::{Cell, Counter};
use umpire_kernel::kmem::{KmemCache, freemem, km};
use umpire_kernel::sys::thread::ts;
use umpire_kernel::taskq::{
    DDI_FAILURE, DDI_NOSLEEP, DDI_SLEEP, DDI_SUCCESS, DevInfo, TQ_SLEEP, TaskFunc, Taskq, TaskqSpec,
    ddi_taskq_create, ddi_taskq_destroy, ddi_taskq_dispatch, ddi_taskq_resume, ddi_taskq_suspend,
    ddi_taskq_suspended, ddi_taskq_wait, taskq_create, taskq_create_instance, taskq_create_sysdc,
    taskq_destroy, taskq_dispatch, taskq_dispatch_ent, taskq_empty, taskq_kstat_update, taskq_resume,
    taskq_suspend, taskq_wait, tq, tqflag,
};
use umpire_kernel::time::callout::{delay, sleep_until};
use umpire_kernel::time::signal::{signal_send, signal_wait};
use umpire_kernel::{Kthread, platform};
use umpire_shared::event::Kind;
use umpire_shared::program::class::{SDC, SYS};
use umpire_shared::work::compute::Spin;
use umpire_shared::{mutant, tunable};
use umpire_sim::SimState;

const NEVER: u64 = u64::MAX / 2;
/// Where tasks note their arguments: a workload's counter holds how many there are, the clock's words the arguments.
const LOG: usize = 15;

/// A task that notes its argument, by adding it to a number in base 256: a log of up to eight.
static NOTE: TaskFunc = TaskFunc(note);
/// A task that computes for its argument in us.
static COMPUTE: TaskFunc = TaskFunc(|us| platform::spin(us as u64 * 1000));
/// A task that sleeps for its argument in ms.
static SLEEP: TaskFunc = TaskFunc(|ms| sleep_until(platform::now() + ms as u64 * MS));
/// A task that waits for signal 1.
static AWAIT: TaskFunc = TaskFunc(|n| {
    signal_wait(1, 1, u64::MAX);
    note(n);
});
/// A task that sends signal 1.
static SEND: TaskFunc = TaskFunc(|n| {
    note(n);
    signal_send(1);
});

fn note(n: usize) {
    let log = &platform::kernel().k_work.cvs[LOG].wc_round;
    log.set(log.get() << 8 | n as u64);
}

/// What tasks have noted, the first first.
fn noted(sim: &Bench) -> Vec<u8> {
    let word = sim.kernel().k_work.cvs[LOG].wc_round.get();
    word.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
}

/// Two CPUs, so many threads for queues, and a thread that runs `main`.
fn run(p: Program, seed: u64, main: impl Fn() + 'static) -> Bench {
    let mut sim = p.thread(thread("main", SYS, 60, -1, Spin::defaults())).boot(seed);
    let first = sim.kernel().k_ncpus;
    sim.run_instead(move |t| {
        if t.t_did != first {
            return false;
        }
        main();
        t.t_progress.bump();
        sleep_until(NEVER);
        true
    });
    sim
}

fn two() -> Program {
    Program::new(2).pool(48).tunable(tunable::HZ, 1000)
}

fn is_done(sim: &Bench) -> bool {
    sim.kernel().scenario_threads()[0].t_progress.get() == 1
}

fn threads_of<'a>(sim: &'a Bench, called: &'a str) -> impl Iterator<Item = &'a Kthread> {
    let alive = |t: &&Kthread| !matches!(t.t_state.get(), ts::ZOMB | ts::FREE);
    sim.kernel().k_threads.iter().filter(alive).filter(move |t| name(t) == called)
}

fn queue<'a>(sim: &'a Bench, called: &str) -> &'a Taskq {
    let is_it = |tq: &&Taskq| tq.is_in_use() && tq.name(&mut [0; umpire_shared::NAME_LEN]) == called;
    sim.kernel().k_taskq.taskq_cache.objects.iter().find(is_it).expect("a queue")
}

#[test]
fn a_queue_of_one_thread_keeps_the_order_and_front_jumps_it() {
    for (mutants, expected) in
        [(mutant::Set::NONE, [1, 4, 2, 3]), (mutant::TQ_FRONT_AT_END.into(), [1, 2, 3, 4])]
    {
        for seed in 0..20 {
            let mut sim = run(two().mutant(mutants), seed, || {
                let tq = taskq_create("one", 1, 60, 4, 8, tqflag::PREPOPULATE);
                taskq_suspend(tq);
                taskq_dispatch(tq, &NOTE, 1, TQ_SLEEP);
                // The thread has taken it off the ring, and waits for the queue to be resumed.
                delay(2);
                taskq_dispatch(tq, &NOTE, 2, TQ_SLEEP);
                taskq_dispatch(tq, &NOTE, 3, TQ_SLEEP);
                taskq_dispatch(tq, &NOTE, 4, tq::FRONT);
                taskq_resume(tq);
                taskq_wait(tq);
                assert!(taskq_empty(tq));
            });
            sim.run_until_ok(50 * MS);
            assert!(is_done(&sim), "seed {seed}");
            assert_eq!(noted(&sim), expected, "seed {seed}");
        }
    }
}

#[test]
fn every_task_is_called_once_and_counted() {
    for seed in 0..30 {
        let mut sim = run(two(), seed, || {
            let tq = taskq_create("many", 5, 60, 2, 1000, 0);
            for _ in 0..200 {
                taskq_dispatch(tq, &COMPUTE, 10, TQ_SLEEP);
            }
            taskq_wait(tq);
            let ks = taskq_kstat_update(tq);
            let of = |name| ks.get(name).expect("a statistic");
            assert_eq!((ks.class, of("tasks"), of("executed"), of("threads")), ("taskq", 200, 200, 5));
            assert!(of("totaltime") >= 200 * 10_000 && of("maxtasks") > 5 && of("nomem") == 0, "{ks:?}");
            assert_eq!((of("pid"), of("priority"), of("nactive")), (0, 60, 0));
            let names: Vec<&str> = ks.values().iter().map(|(name, _)| *name).collect();
            let expected = [
                "pid",
                "tasks",
                "executed",
                "maxtasks",
                "totaltime",
                "nalloc",
                "nactive",
                "priority",
                "threads",
                "nomem",
            ];
            assert_eq!(names, expected);
            taskq_destroy(tq);
        });
        sim.run_until_ok(100 * MS);
        assert!(is_done(&sim), "seed {seed}");
        assert_eq!(threads_of(&sim, "many").count(), 0, "seed {seed}: threads are left");
        assert_eq!(
            sim.kernel().k_taskq.pool.tp_nfree.get() as usize,
            48 - threads_of(&sim, "system_taskq").count()
        );
    }
}

#[test]
fn two_tasks_of_which_one_waits_for_the_other_need_two_threads() {
    // Bob and Alice: the first waits for what the second does.
    let kinds: [(u32, u32, bool); 4] =
        [(1, 0, false), (2, 0, true), (4, tqflag::DYNAMIC | tqflag::PREPOPULATE, true), (0, 0, true)];
    for (nthreads, flags, goes_on) in kinds {
        for seed in 0..10 {
            let mut sim = run(two(), seed, move || {
                let tq = if nthreads == 0 {
                    platform::kernel().k_taskq.system_taskq.get().expect("a queue")
                } else {
                    taskq_create("bob", nthreads, 60, 4, 8, flags)
                };
                taskq_dispatch(tq, &AWAIT, 1, TQ_SLEEP);
                taskq_dispatch(tq, &SEND, 2, TQ_SLEEP);
                taskq_wait(tq);
            });
            sim.run_until_ok(50 * MS);
            assert_eq!(is_done(&sim), goes_on, "{nthreads} threads, seed {seed}");
            if !goes_on {
                let tq = queue(&sim, "bob");
                let queued = tq.tq_tasks.get() - tq.tq_executed.get();
                assert_eq!((tq.tq_active.get(), queued), (1, 2), "one works, and two are not done");
            }
        }
    }
}

#[test]
fn what_overflows_a_dynamic_queue_shares_one_thread() {
    // Two threads are let through by a maxsize of 1. Both are taken; then two tasks of which the first waits for the second.
    for (flags, goes_on) in [(tq::NOSLEEP, false), (tq::NOSLEEP | tq::NOQUEUE, true)] {
        for seed in 0..10 {
            let mut sim = run(two(), seed, move || {
                let tq = taskq_create("small", 1, 60, 4, 8, tqflag::DYNAMIC | tqflag::PREPOPULATE);
                let mut taken = 0;
                while taken < 2 {
                    taken += u32::from(taskq_dispatch(tq, &SLEEP, 1000, tq::NOSLEEP | tq::NOQUEUE).is_some());
                    delay(1);
                }
                let a = taskq_dispatch(tq, &AWAIT, 1, flags);
                let b = taskq_dispatch(tq, &SEND, 2, flags);
                assert_eq!(
                    (a.is_none(), b.is_none()),
                    (goes_on, goes_on),
                    "NOQUEUE says that there is no thread"
                );
                if goes_on {
                    // The fallback of who asked: it does the work itself.
                    (SEND.0)(2);
                    (AWAIT.0)(1);
                } else {
                    signal_wait(1, 1, u64::MAX);
                }
            });
            sim.run_until_ok(100 * MS);
            assert_eq!(is_done(&sim), goes_on, "seed {seed}");
            assert_eq!(queue(&sim, "small").tq_tcreates.get(), 2, "one more than maxsize");
        }
    }
}

#[test]
fn a_dynamic_queue_grows_is_reused_last_first_and_shrinks() {
    let mut sim = run(two().tunable(tunable::TASKQ_THREAD_TIMEOUT, 1), 3, || {
        let tq = taskq_create("dyn", 8, 60, 1, 100, tqflag::DYNAMIC);
        for _ in 0..5 {
            taskq_dispatch(tq, &COMPUTE, 2000, TQ_SLEEP);
        }
        taskq_wait(tq);
        let ks = taskq_kstat_update(tq);
        let of = |name| ks.get(name).expect("a statistic");
        assert_eq!(ks.class, "taskq_d");
        assert!(
            of("tcreates") >= 2 && of("hits") >= 2 && of("misses") >= 1 && of("disptcreates") >= 2,
            "{ks:?}"
        );
        assert_eq!((of("nalloc"), of("nfree"), of("tdeaths")), (0, of("tcreates"), 0));
        assert_eq!((of("nomem"), of("overflows")), (0, 0), "nothing counts these");
        let names: Vec<&str> = ks.values().iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names[..7],
            ["priority", "btasks", "bexecuted", "bmaxtasks", "bnalloc", "bnactive", "btotaltime"]
        );
        let rest = [
            "hits",
            "misses",
            "overflows",
            "tcreates",
            "tdeaths",
            "maxthreads",
            "nomem",
            "disptcreates",
            "totaltime",
            "nalloc",
            "nfree",
        ];
        assert_eq!(names[7..], rest);
        let before = of("tcreates");
        for _ in 0..20 {
            taskq_dispatch(tq, &COMPUTE, 1, TQ_SLEEP);
            delay(1);
        }
        sleep_until(platform::now() + 3 * SECOND);
        let ks = taskq_kstat_update(tq);
        let of = |name| ks.get(name).expect("a statistic");
        assert!(of("tcreates") <= before + 2, "idle threads are used again: {ks:?}");
        assert_eq!((of("tdeaths"), of("nfree")), (of("tcreates"), 0), "an idle thread ends");
        taskq_destroy(tq);
    });
    sim.run_until_ok(5 * SECOND);
    assert!(is_done(&sim));
}

#[test]
fn maxalloc_is_a_rate_and_no_bound() {
    for (mutants, least) in [(mutant::Set::NONE, 4), (mutant::NO_TASKQ_THROTTLE.into(), 0)] {
        let mut sim = run(two().mutant(mutants), 1, move || {
            let tq = taskq_create("rate", 1, 60, 4, 4, tqflag::PREPOPULATE);
            taskq_dispatch(tq, &COMPUTE, 20_000_000, TQ_SLEEP);
            let start = platform::now();
            for _ in 0..3 {
                taskq_dispatch(tq, &COMPUTE, 1, TQ_SLEEP);
            }
            assert!(platform::now() - start < MS, "there are four");
            assert!(taskq_dispatch(tq, &COMPUTE, 1, tq::NOSLEEP).is_none(), "who must not sleep is refused");
            assert!(
                taskq_dispatch(tq, &COMPUTE, 1, tq::NOALLOC).is_none(),
                "and so is who must not allocate"
            );
            for _ in 0..4 {
                taskq_dispatch(tq, &COMPUTE, 1, TQ_SLEEP);
            }
            let late = (platform::now() - start) / SECOND;
            assert_eq!(late, least, "a second for each beyond the limit");
            let ks = taskq_kstat_update(tq);
            assert_eq!((ks.get("nalloc"), ks.get("nomem")), (Some(8), Some(2)));
        });
        sim.run_until_ok(6 * SECOND);
        assert!(is_done(&sim));
    }
}

#[test]
fn what_a_queue_had_is_there_for_the_next_when_it_has_been_destroyed() {
    for seed in 0..10 {
        let mut sim = run(two(), seed, || {
            let state = &platform::kernel().k_taskq;
            let create = |name, threads| taskq_create(name, threads, 60, 8, 16, tqflag::PREPOPULATE);
            let entries = || state.taskq_ent_cache.cache.get().map(KmemCache::inuse);
            let round = || {
                let (stays, goes) = (create("stays", 3), create("goes", 2));
                (0..6).for_each(|n| _ = taskq_dispatch(goes, &COMPUTE, 10 * n, TQ_SLEEP));
                taskq_wait(goes);
                taskq_destroy(goes);
                delay(5);
                // Every thread of the pool but those of the queue that stays: also those that have come back out of their turn.
                let rest = create("rest", state.pool.tp_nfree.get());
                taskq_destroy(rest);
                taskq_destroy(stays);
                delay(5);
                entries()
            };
            // Each round takes 24 entries; the magazines of two CPUs come to keep some twenty.
            let first = round();
            let last = (0..10).fold(first, |_, _| round());
            assert!(last < first.map(|n| n + 30), "entries are left: {first:?}, ten rounds later {last:?}");
        });
        sim.run_until_ok(500 * MS);
        assert!(is_done(&sim), "seed {seed}");
    }
}

#[test]
fn a_suspended_queue_begins_nothing_and_waits_for_what_runs() {
    for (mutants, expected) in [(mutant::Set::NONE, 0), (mutant::SUSPEND_UNHEEDED.into(), 1)] {
        for seed in 0..10 {
            let mut sim = run(two().mutant(mutants), seed, move || {
                let tq = taskq_create("susp", 2, 60, 4, 8, 0);
                taskq_dispatch(tq, &COMPUTE, 3000, TQ_SLEEP);
                delay(1);
                let start = platform::now();
                taskq_suspend(tq);
                assert!(expected == 1 || platform::now() - start > MS, "it waits for the task that runs");
                taskq_dispatch(tq, &NOTE, 7, TQ_SLEEP);
                delay(5);
                assert_eq!(platform::kernel().k_work.cvs[LOG].wc_round.get(), 7 * expected);
                taskq_resume(tq);
                taskq_wait(tq);
            });
            sim.run_until_ok(100 * MS);
            assert!(is_done(&sim) && noted(&sim) == [7], "seed {seed}");
        }
    }
}

#[test]
fn an_entry_of_one_s_own_may_be_dispatched_again_by_its_task_and_not_twice_at_once() {
    static AGAIN: TaskFunc = TaskFunc(|at| {
        let kernel = platform::kernel();
        let e = &kernel.k_taskq.taskq_ent_cache.objects[at & 0xffff];
        let left = at >> 16;
        if left > 0 {
            let tq = platform::curthread().t_taskq.get().expect("a thread of a queue");
            taskq_dispatch_ent(tq, &AGAIN, (left - 1) << 16 | at & 0xffff, 0, e);
        }
    });
    for (twice, lives) in [(false, true), (true, false)] {
        let mut sim = run(two(), 1, move || {
            let tq = taskq_create("own", 1, 60, 0, 8, 0);
            let cache = &platform::kernel().k_taskq.taskq_ent_cache;
            let e = cache.alloc(km::SLEEP).expect("an entry");
            taskq_suspend(tq);
            taskq_dispatch(tq, &COMPUTE, 1, TQ_SLEEP);
            delay(2);
            taskq_dispatch_ent(tq, &AGAIN, 20 << 16 | cache.number_of(e) as usize, 0, e);
            if twice {
                taskq_dispatch_ent(tq, &AGAIN, 0, 0, e);
            }
            taskq_resume(tq);
            taskq_wait(tq);
            assert_eq!(taskq_kstat_update(tq).get("executed"), Some(22));
            assert!(e.tqent_next.is_null());
        });
        let state = sim.run_until(100 * MS);
        match state {
            SimState::Ended(end) => {
                assert!(!lives && end.message.contains("is on a queue already"), "{}", end.message)
            }
            _ => assert!(lives && is_done(&sim)),
        }
    }
}

#[test]
fn misuse_is_a_panic() {
    let cases: [(fn(), &str); 5] = [
        (|| taskq_resume(taskq_create("q", 1, 60, 1, 1, 0)), "suspended by another thread"),
        (
            || {
                taskq_create("q", 1, 60, 1, 1, tqflag::DYNAMIC | tqflag::CPR_SAFE);
            },
            "exclude each other",
        ),
        (|| taskq_destroy(taskq_create("q", 1, 60, 1, 1, tqflag::CPR_SAFE)), "never destroyed"),
        (
            || {
                let tq = taskq_create("q", 1, 60, 1, 1, 0);
                taskq_dispatch(tq, &NOTE, 1, tq::NOQUEUE);
            },
            "for dynamic queues",
        ),
        (
            || {
                static WAITS: TaskFunc =
                    TaskFunc(|_| taskq_wait(platform::curthread().t_taskq.get().expect("a queue")));
                let tq = taskq_create("q", 1, 60, 1, 1, 0);
                taskq_dispatch(tq, &WAITS, 1, TQ_SLEEP);
                delay(5);
            },
            "called by one of its own threads",
        ),
    ];
    for (misuse, text) in cases {
        let mut sim = run(two(), 1, misuse);
        match sim.run_until(50 * MS) {
            SimState::Ended(end) => assert!(end.message.contains(text), "{} has no '{text}'", end.message),
            other => panic!("'{text}' was expected, found {other:?}"),
        }
    }
}

#[test]
fn threads_follow_the_cpus_that_are_online() {
    use umpire_shared::program::Verb;
    let p = Program::new(4).pool(48).tunable(tunable::HZ, 1000);
    let p = p.event(20 * MS, Verb::Offline, 3, &[0]).event(40 * MS, Verb::Offline, 2, &[0]);
    let p = p.event(60 * MS, Verb::Online, 2, &[]).event(80 * MS, Verb::Online, 3, &[]);
    let mut sim = run(p, 4, || {
        let tq = taskq_create("pct", 75, 60, 4, 100, tqflag::THREADS_CPU_PCT);
        assert_eq!(tq.tq_nthreads_target.get(), 3);
    });
    for (at, threads) in [(19, 3), (39, 2), (59, 1), (79, 2), (99, 3)] {
        sim.run_until_ok(at * MS);
        assert_eq!(queue(&sim, "pct").tq_nthreads.get(), threads, "at {at} ms");
        assert_eq!(threads_of(&sim, "pct").count(), threads as usize, "at {at} ms");
    }
}

#[test]
fn threads_of_a_duty_cycle_queue_are_of_class_sdc() {
    let mut sim = run(two(), 1, || {
        let tq = taskq_create_sysdc("zio_write_intr", 8, 50, i32::MAX as u32, 80, tqflag::DC_BATCH);
        taskq_dispatch(tq, &COMPUTE, 10, TQ_SLEEP);
        taskq_wait(tq);
    });
    sim.run_until_ok(50 * MS);
    let classes: Vec<u32> = threads_of(&sim, "zio_write_intr").map(|t| u32::from(t.t_cid.get())).collect();
    assert_eq!(classes, [SDC; 8]);
}

#[test]
fn names_become_identifiers_and_instances_count_from_one() {
    let mut sim = run(two(), 1, || {
        let a = taskq_create("usb-hid 81/pipe", 1, 60, 1, 1, 0);
        let b = taskq_create("second", 1, 60, 1, 1, 0);
        assert_eq!((a.tq_instance.get(), b.tq_instance.get()), (1, 2));
        taskq_destroy(a);
        let long = "a_name_that_has_more_than_31_characters";
        let c = taskq_create(long, 1, 60, 1, 1, 0);
        assert_eq!(c.tq_instance.get(), 1);
        assert_eq!(c.name(&mut [0; umpire_shared::NAME_LEN]), &long[..31]);
        let spec = TaskqSpec {
            name: "x",
            instance: Some(7),
            nthreads: 1,
            pri: 60,
            minalloc: 1,
            maxalloc: 1,
            dc: 0,
            flags: 0,
        };
        assert_eq!(taskq_create_instance(&spec).tq_instance.get(), 7);
        let d = taskq_create("usb-hid 81/pipe", 1, 60, 1, 1, 0);
        assert_eq!(d.name(&mut [0; umpire_shared::NAME_LEN]), "usb_hid_81_pipe");
    });
    sim.run_until_ok(50 * MS);
    assert!(is_done(&sim));
    assert_eq!(queue(&sim, "system_taskq").tq_instance.get(), 0);
}

#[test]
fn drivers_queues_have_the_driver_s_name_and_no_limit() {
    let mut sim = run(two().tunable(tunable::KMEM_MTBF, 1), 1, || {
        let dip = DevInfo { driver: "ata", instance: 3 };
        let tq = ddi_taskq_create(Some(dip), Some("nexus_enum_tq"), 1, -1, 0);
        assert_eq!(tq.name(&mut [0; umpire_shared::NAME_LEN]), "ata_nexus_enum_tq");
        assert_eq!((tq.tq_instance.get(), tq.tq_pri.get(), tq.tq_nalloc.get()), (3, 60, 1));
        ddi_taskq_suspend(tq);
        assert!(ddi_taskq_suspended(tq));
        // The entry that was allocated at once, and then none: the allocator has every allocation fail that must not sleep.
        assert_eq!(ddi_taskq_dispatch(tq, &NOTE, 1, DDI_NOSLEEP), DDI_SUCCESS);
        assert_eq!(ddi_taskq_dispatch(tq, &NOTE, 2, DDI_NOSLEEP), DDI_FAILURE);
        assert_eq!(ddi_taskq_dispatch(tq, &NOTE, 3, DDI_SLEEP), DDI_SUCCESS);
        ddi_taskq_resume(tq);
        assert!(!ddi_taskq_suspended(tq));
        ddi_taskq_wait(tq);
        ddi_taskq_destroy(tq);
        assert_eq!(ddi_taskq_create(None, None, 1, 99, 0).name(&mut [0; umpire_shared::NAME_LEN]), "tq");
    });
    sim.run_until_ok(50 * MS);
    assert!(is_done(&sim));
    assert_eq!(noted(&sim), [1, 3]);
}

#[test]
fn failures_can_be_asked_for() {
    for (which, dynamic) in [(tunable::TASKQ_SMTBF, false), (tunable::TASKQ_DMTBF, true)] {
        let mut sim = run(two().tunable(which, 4), 1, move || {
            let flags = if dynamic { tqflag::DYNAMIC } else { 0 };
            let tq = taskq_create("fails", 4, 60, 0, 1000, flags);
            let failed = (0..400).filter(|_| taskq_dispatch(tq, &COMPUTE, 1, tq::NOSLEEP).is_none()).count();
            assert!((50..150).contains(&failed), "{failed} of 400");
            assert!(
                (0..100).all(|_| taskq_dispatch(tq, &COMPUTE, 1, TQ_SLEEP).is_some()),
                "a sleeper never fails"
            );
        });
        sim.run_until_ok(100 * MS);
        assert!(is_done(&sim));
    }
}

#[test]
fn a_dynamic_queue_does_not_grow_while_memory_is_short() {
    let p = two().tunable(tunable::THROTTLEFREE, 64).memory(512 << 10);
    let mut sim = run(p, 1, || {
        let tq = taskq_create("poor", 8, 60, 1, 8, tqflag::DYNAMIC);
        while umpire_kernel::kmem::kmem_alloc(4096, km::NOSLEEP | km::PUSHPAGE).is_some() && freemem() > 60 {}
        assert!(taskq_dispatch(tq, &COMPUTE, 1, tq::NOSLEEP | tq::NOQUEUE).is_none());
        taskq_wait(tq);
        assert_eq!(taskq_kstat_update(tq).get("tcreates"), Some(0));
        assert!(tq.tq_nomem.get() > 0);
    });
    sim.run_until_ok(50 * MS);
    assert!(is_done(&sim));
}

#[test]
fn a_dispatch_that_signals_nobody_leaves_tasks_beside_idle_threads() {
    let mut sim = run(two().mutant(mutant::TASKQ_NO_SIGNAL), 1, || {
        sleep_until(600 * MS);
        let tq = taskq_create("deaf", 2, 60, 1, 8, 0);
        taskq_dispatch(tq, &COMPUTE, 1, TQ_SLEEP);
        taskq_wait(tq);
    });
    sim.run_until_ok(700 * MS);
    let tq = queue(&sim, "deaf");
    assert!(!is_done(&sim) && tq.tq_active.get() == 0 && tq.tq_tasks.get() > tq.tq_executed.get());
}

#[test]
fn probes_tell_a_task_s_way() {
    let mut sim = run(two().traced(), 1, || {
        let tq = taskq_create("seen", 1, 60, 1, 8, 0);
        let dynamic = taskq_create("dyn", 2, 60, 1, 8, tqflag::DYNAMIC);
        taskq_dispatch(tq, &COMPUTE, 100, TQ_SLEEP);
        taskq_wait(tq);
        taskq_dispatch(dynamic, &COMPUTE, 100, TQ_SLEEP);
        taskq_wait(dynamic);
    });
    sim.run_until_ok(50 * MS);
    let trace = sim.take_trace();
    let of = |kind| trace.iter().filter(|e| e.kind == kind).map(|e| e.arg).collect::<Vec<_>>();
    let (enqueued, began, ended) = (of(Kind::TaskqEnqueue), of(Kind::TaskqExecStart), of(Kind::TaskqExecEnd));
    assert!(!enqueued.is_empty() && enqueued == began && began == ended, "{enqueued:?} {began:?} {ended:?}");
    let dynamic = [Kind::TaskqDEnqueue, Kind::TaskqDExecStart, Kind::TaskqDExecEnd].map(of);
    assert!(dynamic[0].len() == 1 && dynamic[0] == dynamic[1] && dynamic[1] == dynamic[2], "{dynamic:?}");
}
