//! Workloads about time: users of cyclics, callouts and timed waits, and of the lock that the clock needs.
//!
//! # Invariants
//! - A workload that says that it panics does so if and only if the kernel broke a promise of `time/`.

use crate::turn::{US, finish_turn, progress, thread, wait_first};
use umpire_kernel::cell::Cell;
use umpire_kernel::disp::thread_yield;
use umpire_kernel::sync::{mutex_enter, mutex_exit};
use umpire_kernel::time::callout::{Call, cv_reltimedwait};
use umpire_kernel::time::cyclic::{
    CY_HIGH_LEVEL, CY_INFINITY, CY_LOCK_LEVEL, CY_LOW_LEVEL, CycHandler, CycTime, CyclicId,
};
use umpire_kernel::time::{callout, cyclic, signal};
use umpire_kernel::{Kthread, platform};
use umpire_shared::work::timing;
use umpire_shared::work::timing::{
    CalloutChain, CyclicJuggler, CyclicUser, Level, Place, ProcLook, Sender, SignalWait, Table, TimedWait,
    TimeoutUser, Timing,
};

umpire_shared::timing_workloads!();

/// Has a cyclic of its own.
fn cyclic_user(t: &'static Kthread, p: CyclicUser) {
    let CyclicUser { level, interval_us, signal, rearm_us, remove_us, work_us, place } = p;
    let begin = platform::now();
    let interval = if interval_us == 0 { CY_INFINITY } else { interval_us * US };
    let first = if interval_us == 0 { rearm_us.max(1) } else { interval_us };
    let level = match level {
        Level::Low => CY_LOW_LEVEL,
        Level::Lock => CY_LOCK_LEVEL,
        Level::High => CY_HIGH_LEVEL,
    };
    let what = CycHandler { func: &signal::SEND, arg: signal as u32, level };
    let id = cyclic::cyclic_add(what, CycTime { when: begin + first * US, interval });
    let id = id.expect("workload cyclic_user: no room for a cyclic");
    put(id, place);
    loop {
        platform::spin(work_us * US);
        progress(t);
        thread_yield();
        let now = platform::now();
        if remove_us != 0 && now >= begin + remove_us * US {
            assert!(cyclic::cyclic_remove(id), "workload cyclic_user: the cyclic was gone");
            assert!(!cyclic::cyclic_reprogram(id, now), "workload cyclic_user: a removed cyclic took a time");
            break;
        }
        if rearm_us != 0 {
            cyclic::cyclic_reprogram(id, now + rearm_us * US);
        }
    }
    // What came until `cyclic_remove` returned was the last.
    let count = &platform::kernel().k_signals[signal as usize].sg_count;
    let last = count.get();
    loop {
        platform::spin(work_us * US);
        assert_eq!(count.get(), last, "workload cyclic_user: the handler ran after cyclic_remove");
        progress(t);
    }
}

/// Puts a cyclic where the parameter `place` wants it.
fn put(id: CyclicId, place: Place) {
    let is_put = match place {
        Place::Anywhere => true,
        Place::Here => cyclic::cyclic_move_here(id),
        Place::BoundHere => cyclic::cyclic_bind(id, Some(platform::cpu()), None),
        // The set has no CPU that could take it: the cyclic has to stay where it is.
        Place::EmptySet => !cyclic::cyclic_bind(id, None, Some(&platform::kernel().k_parts.parts[1])),
    };
    assert!(is_put, "workload cyclic_user: the cyclic is not where it should be");
}

/// Empties a CPU of what can move, as `cpu_offline` does.
fn cyclic_juggler(t: &'static Kthread, CyclicJuggler { target_cpu, away_us, home_us }: CyclicJuggler) {
    let cp = &platform::kernel().k_cpus[target_cpu as usize];
    loop {
        platform::spin(home_us * US);
        callout::callout_cpu_offline(cp);
        assert!(
            cyclic::cyclic_offline(cp),
            "workload cyclic_juggler: something had to stay on CPU {target_cpu}"
        );
        progress(t);
        if away_us == 0 {
            return;
        }
        platform::spin(away_us * US);
        cyclic::cyclic_online(cp);
        callout::callout_cpu_online(cp);
    }
}

/// Asks for one callout after the other.
fn timeout_user(t: &'static Kthread, p: TimeoutUser) {
    let TimeoutUser { delay_us, run_us, signal, untimeout_us, .. } = p;
    let count = &platform::kernel().k_signals[signal as usize].sg_count;
    let kind = match p.table {
        Table::Realtime => callout::CALLOUT_REALTIME,
        Table::Normal => callout::CALLOUT_NORMAL,
    };
    let call = match p.call {
        timing::Call::Send => Call::Spin { ns: (run_us * US) as u32, send: signal as u16 },
        timing::Call::CancelItself => Call::CancelItself(signal as u32),
    };
    loop {
        let before = count.get();
        let asked = platform::now();
        let id = callout::timeout_generic(kind, call, delay_us * US, 1, 0);
        let id = id.expect("workload timeout_user: too many callouts");
        if untimeout_us == 0 {
            signal::signal_wait(signal as usize, before + 1, u64::MAX);
            let early = platform::now() < asked + delay_us * US;
            assert!(!early, "workload timeout_user: a callout ran early");
        } else {
            platform::spin(untimeout_us * US);
            let left = callout::untimeout(id);
            let after = count.get();
            // A callout that was taken back never ran. Any other is over by now.
            let expected = before + u64::from(left == -1);
            assert_eq!(after, expected, "workload timeout_user: untimeout returned {left}");
        }
        progress(t);
    }
}

/// A callout that waits for a callout.
fn callout_chain(t: &'static Kthread, CalloutChain { signal, later_ticks }: CalloutChain) {
    let first = signal as u16;
    for turn in 1.. {
        let waits = Call::Await { of: first, count: turn, send: first + 1 };
        let asked = callout::timeout(waits, 1)
            .and_then(|_| callout::timeout(Call::Send(signal as u32), 1 + later_ticks));
        asked.expect("workload callout_chain: too many callouts");
        signal::signal_wait(signal as usize + 1, u64::from(turn), u64::MAX);
        progress(t);
    }
}

/// Waits for a round with a timeout. A turn is done when one comes; waits that end without one are not counted.
fn timed_wait(t: &'static Kthread, TimedWait { cv, timeout_us, after_us }: TimedWait) {
    let work = &platform::kernel().k_work.cvs[cv as usize];
    wait_first(after_us);
    mutex_enter(&work.wc_lock);
    loop {
        let round = work.wc_round.get();
        let mut is_timed_out = false;
        while work.wc_round.get() == round && !is_timed_out {
            is_timed_out = cv_reltimedwait(&work.wc_cv, &work.wc_lock, timeout_us * US);
        }
        if !is_timed_out {
            progress(t);
        }
    }
}

/// Waits for a signal, in vain or not, and then only for time.
fn signal_wait(t: &'static Kthread, SignalWait { signal, limit_us, long_us }: SignalWait) {
    let n = signal as usize;
    loop {
        let count = platform::kernel().k_signals[n].sg_count.get();
        let until = platform::now() + limit_us * US;
        let is_sent = signal::signal_wait(n, count + 1, until);
        assert!(is_sent || platform::now() >= until, "workload signal_wait: woken early");
        nap(platform::now() + long_us * US);
        progress(t);
    }
}

/// Sleeps once until `at`: nothing is sent to this thread, so a wake-up that comes earlier was meant for another sleep.
fn nap(at: u64) {
    /// CPUs of the simulator are this far apart at most, in ns, when a thread goes from one to the other.
    const APART: u64 = 10_000;
    callout::sleep_until(at);
    assert!(platform::now() + APART >= at, "workload signal_wait: woken by an older time-out");
}

/// Sends a signal now and then.
fn sender(t: &'static Kthread, Sender { signal, work_us }: Sender) {
    loop {
        platform::spin(work_us * US);
        signal::signal_send(signal as usize);
        progress(t);
        thread_yield();
    }
}

/// Takes the process lock of another thread, as `/proc` does to look at it.
fn proc_look(t: &'static Kthread, p: ProcLook) {
    let mp = &thread(p.at).t_plock;
    wait_first(p.after_us);
    loop {
        mutex_enter(mp);
        platform::spin(p.hold_us * US);
        mutex_exit(mp);
        finish_turn(t, p.think_us, p.rest_ticks);
    }
}
