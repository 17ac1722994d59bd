//! Workloads that use task queues. What a task does stands in the record of the thread that dispatched it.
//!
//! # Invariants
//! - A task's argument is the number of its thread in the scenario, and which of that thread's tasks it is, from 1 on.
//! - A turn of a source is a task that has been done, by whatever thread: so a source whose tasks are lost makes no progress.

use core::sync::atomic::Ordering;

use crate::turn::{US, progress, rest, wait_first};
use umpire_kernel::cell::Cell;
use umpire_kernel::kmem::km;
use umpire_kernel::sync::{mutex_enter, mutex_exit};
use umpire_kernel::taskq::{
    TASKQ_DEFAULTPRI, TQ_SLEEP, TaskFunc, Taskq, TaskqEnt, TaskqSpec, system_taskq, taskq_create_instance,
    taskq_destroy, taskq_dispatch, taskq_dispatch_ent, taskq_resume, taskq_suspend, taskq_wait, tq, tqflag,
};
use umpire_kernel::time::callout::{delay, sleep_until};
use umpire_kernel::time::signal::{signal_send, signal_wait};
use umpire_kernel::{Kthread, platform};
use umpire_shared::NAME_LEN;
use umpire_shared::work::tasks::{
    How, Made, TaskSource, TaskqMaker, TaskqSuspender, TaskqWaiter, Tasks, What,
};
use umpire_shared::work::{TaskqRef, Workload};

umpire_shared::tasks_workloads!();

/// What is dispatched.
static SCENARIO_TASK: TaskFunc = TaskFunc(scenario_task);

/// Dispatches tasks.
fn task_source(t: &'static Kthread, p: TaskSource) {
    let queue = taskq(p.taskq);
    let own = (p.how == How::Ent).then(own_entry);
    wait_first(p.after_us);
    let me = t.t_did - platform::kernel().k_ncpus;
    let mut nth = 0;
    loop {
        for _ in 0..p.burst {
            nth += 1;
            if own.is_some() && p.task != What::Again {
                while t.t_progress.get() + 1 < nth {
                    delay(1);
                }
            }
            while !dispatch(queue, p.how, own, argument(me, nth)) {
                if p.how == How::NoQueue {
                    scenario_task(argument(me, nth));
                    break;
                }
                delay(1);
            }
        }
        rest(p.rest_ticks);
        if p.task == What::Again {
            // Its tasks go on by themselves.
            sleep_until(u64::MAX / 2);
        }
    }
}

/// Waits for a queue, again and again.
fn taskq_waiter(t: &'static Kthread, p: TaskqWaiter) {
    wait_first(p.after_us);
    loop {
        taskq_wait(taskq(p.taskq));
        progress(t);
        rest(p.rest_ticks);
    }
}

/// Suspends a queue for a while.
fn taskq_suspender(t: &'static Kthread, p: TaskqSuspender) {
    wait_first(p.after_us);
    loop {
        taskq_suspend(taskq(p.taskq));
        match p.hold_ticks {
            0 => sleep_until(u64::MAX / 2),
            ticks => delay(ticks),
        }
        taskq_resume(taskq(p.taskq));
        progress(t);
        rest(p.rest_ticks);
    }
}

/// Makes a queue and destroys it.
fn taskq_maker(t: &'static Kthread, p: TaskqMaker) {
    wait_first(p.after_us);
    let mut name = [0; NAME_LEN];
    let name = t.name(&mut name);
    let flags = match p.kind {
        Made::Static => tqflag::PREPOPULATE,
        Made::Dynamic => tqflag::DYNAMIC,
        Made::Duty => tqflag::DUTY_CYCLE,
    };
    let threads = p.threads as u32;
    let spec = TaskqSpec {
        name,
        instance: None,
        nthreads: threads,
        pri: TASKQ_DEFAULTPRI,
        minalloc: threads,
        maxalloc: 2 * threads,
        dc: if p.kind == Made::Duty { 50 } else { 0 },
        flags,
    };
    let me = t.t_did - platform::kernel().k_ncpus;
    loop {
        let queue = taskq_create_instance(&spec);
        let before = t.t_progress.load(Ordering::Relaxed);
        for nth in 1..=p.burst {
            let done = taskq_dispatch(queue, &MADE_TASK, argument(me, nth), TQ_SLEEP);
            assert!(done.is_some(), "taskq_maker: a dispatch that may sleep was refused");
        }
        if p.idle_ticks != 0 {
            taskq_wait(queue);
            delay(p.idle_ticks);
        }
        taskq_destroy(queue);
        let done = t.t_progress.load(Ordering::Relaxed) - before;
        assert!(
            done == p.burst,
            "taskq_maker: {done} tasks were done of {} when their queue was gone",
            p.burst
        );
        rest(p.rest_ticks);
    }
}

/// A task of a queue that comes and goes.
static MADE_TASK: TaskFunc = TaskFunc(|arg| {
    let (maker, _) = of_argument(arg);
    let t = &platform::kernel().scenario_threads()[maker as usize];
    let Workload::Tasks(Tasks::TaskqMaker(p)) = t.workload() else {
        unreachable!("invariant: only a maker dispatches this");
    };
    platform::spin(p.us * US);
    t.t_progress.fetch_add(1, Ordering::Relaxed);
});

/// A task of a source.
fn scenario_task(arg: usize) {
    let (source, nth) = of_argument(arg);
    let t = &platform::kernel().scenario_threads()[source as usize];
    let Workload::Tasks(Tasks::TaskSource(p)) = t.workload() else {
        unreachable!("invariant: only a source dispatches this");
    };
    match p.task {
        What::Compute => platform::spin(p.us * US),
        What::Sleep => sleep_until(platform::now() + p.us * US),
        What::Lock => {
            let mp = &platform::kernel().k_work.locks[p.on as usize];
            mutex_enter(mp);
            platform::spin(p.us * US);
            mutex_exit(mp);
        }
        What::Await => _ = signal_wait(p.on as usize, nth, u64::MAX),
        What::Signal => {
            platform::spin(p.us * US);
            signal_send(p.on as usize);
        }
        What::Again => {
            platform::spin(p.us * US);
            dispatch_again(p, argument(source, nth + 1));
        }
    }
    // Several tasks of one source may end at a time.
    t.t_progress.fetch_add(1, Ordering::Relaxed);
}

/// Dispatches the task that comes after this one, with the same entry if that is the source's own.
fn dispatch_again(p: TaskSource, arg: usize) {
    let own = (p.how == How::Ent).then(|| {
        let (source, _) = of_argument(arg);
        let t = &platform::kernel().scenario_threads()[source as usize];
        t.t_taskq_ent.get().expect("invariant: a source with an entry of its own keeps it there")
    });
    while !dispatch(taskq(p.taskq), p.how, own, arg) {
        delay(1);
    }
}

fn dispatch(queue: &'static Taskq, how: How, own: Option<&'static TaskqEnt>, arg: usize) -> bool {
    let flags = match how {
        How::Sleep | How::Ent => TQ_SLEEP,
        How::NoSleep => tq::NOSLEEP,
        How::NoQueue => tq::NOSLEEP | tq::NOQUEUE,
        How::NoAlloc => tq::NOALLOC,
        How::Front => tq::FRONT,
    };
    match own {
        Some(e) => {
            taskq_dispatch_ent(queue, &SCENARIO_TASK, arg, flags, e);
            true
        }
        None => taskq_dispatch(queue, &SCENARIO_TASK, arg, flags).is_some(),
    }
}

/// An entry for the current thread, which keeps it.
fn own_entry() -> &'static TaskqEnt {
    let e = platform::kernel().k_taskq.taskq_ent_cache.alloc(km::SLEEP);
    let e = e.expect("invariant: who may sleep gets an entry");
    platform::curthread().t_taskq_ent.set(Some(e));
    e
}

fn argument(source: u32, nth: u64) -> usize {
    (source as usize) << 40 | nth as usize
}

fn of_argument(arg: usize) -> (u32, u64) {
    ((arg >> 40) as u32, (arg & ((1 << 40) - 1)) as u64)
}

pub(crate) fn taskq(at: TaskqRef) -> &'static Taskq {
    let own = platform::kernel().k_taskq.scenario.get(at.0 as usize);
    own.map_or_else(system_taskq, |tq| tq.get().expect("invariant: boot has begun the scenario's queues"))
}
