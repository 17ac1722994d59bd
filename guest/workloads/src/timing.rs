//! Workloads about time: users of cyclics, callouts and timed waits, and threads that hold interrupts off.
//!
//! # Invariants
//! - A workload that says that it panics does so if and only if the kernel broke a promise of `time/`.

use crate::{US, progress};
use umpire_kernel::cell::Cell;
use umpire_kernel::intr::spl;
use umpire_kernel::thread::thread_yield;
use umpire_kernel::time::callout::{self, Call};
use umpire_kernel::time::cyclic::{self, CY_INFINITY, CycHandler, CycTime, CyclicId, handler};
use umpire_kernel::time::signal;
use umpire_kernel::{Kthread, platform};

/// `table = "normal"`, as the kernel numbers it too.
const NORMAL: u64 = 1;
/// Values of `place`, in the order of the parameter's words.
mod place {
    pub const HERE: u64 = 1;
    pub const BOUND_HERE: u64 = 2;
    pub const EMPTY_SET: u64 = 3;
}
/// `call = "cancel_itself"`.
const CANCEL_ITSELF: u64 = 1;

/// Holds interrupts of a level off for a time.
pub(crate) fn pil_hold(t: &'static Kthread) {
    let [pil, hold_us, after_us, times] = [0, 1, 2, 3].map(|n| t.arg(n));
    for _ in 0..times {
        platform::spin(after_us * US);
        let level = spl::splr(pil as u32);
        platform::spin(hold_us * US);
        spl::splx(level);
        progress(t);
    }
}

/// Has a cyclic of its own.
pub(crate) fn cyclic_user(t: &'static Kthread) {
    let [level, interval_us, signal, rearm_us, remove_us, work_us] = [0, 1, 2, 3, 4, 5].map(|n| t.arg(n));
    let begin = platform::now();
    let interval = if interval_us == 0 { CY_INFINITY } else { interval_us * US };
    let first = if interval_us == 0 { rearm_us.max(1) } else { interval_us };
    let what = CycHandler { handler: handler::SIGNAL, arg: signal as u32, level: level as u8 };
    let id = cyclic::cyclic_add(what, CycTime { when: begin + first * US, interval });
    let id = id.expect("workload cyclic_user: no room for a cyclic");
    put(id, t.arg(6));
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
fn put(id: CyclicId, place: u64) {
    let is_put = match place {
        place::HERE => cyclic::cyclic_move_here(id),
        place::BOUND_HERE => cyclic::cyclic_bind(id, Some(platform::cpu()), None),
        // Nobody is there to have it: it has to stay where it is.
        place::EMPTY_SET => !cyclic::cyclic_bind(id, None, Some(&platform::kernel().k_psets[0])),
        _ => true,
    };
    assert!(is_put, "workload cyclic_user: the cyclic is not where it should be");
}

/// Empties a CPU of what can move, as `cpu_offline` does.
pub(crate) fn cyclic_juggler(t: &'static Kthread) {
    let [target, away_us, home_us] = [0, 1, 2].map(|n| t.arg(n));
    let cp = &platform::kernel().k_cpus[target as usize];
    loop {
        platform::spin(home_us * US);
        callout::callout_cpu_offline(cp);
        assert!(cyclic::cyclic_offline(cp), "workload cyclic_juggler: something had to stay on CPU {target}");
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
pub(crate) fn timeout_user(t: &'static Kthread) {
    let [table, delay_us, run_us, signal, untimeout_us, call] = [0, 1, 2, 3, 4, 5].map(|n| t.arg(n));
    let count = &platform::kernel().k_signals[signal as usize].sg_count;
    let kind = if table == NORMAL { callout::CALLOUT_NORMAL } else { callout::CALLOUT_REALTIME };
    let call = if call == CANCEL_ITSELF {
        Call::CancelItself(signal as u32)
    } else {
        Call::Spin { ns: (run_us * US) as u32, send: signal as u16 }
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
            // Taken back: it never ran. Otherwise it is through by now.
            let expected = before + u64::from(left == -1);
            assert_eq!(after, expected, "workload timeout_user: untimeout returned {left}");
        }
        progress(t);
    }
}

/// A callout that waits for a callout.
pub(crate) fn callout_chain(t: &'static Kthread) {
    let [signal, later_ticks] = [0, 1].map(|n| t.arg(n));
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

/// Waits for a signal, in vain or not, and then only for time.
pub(crate) fn signal_wait(t: &'static Kthread) {
    let [signal, limit_us, long_us] = [0, 1, 2].map(|n| t.arg(n));
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

/// Sleeps once until `at`: nobody sends anything to this thread, so whoever wakes it earlier meant another sleep.
fn nap(at: u64) {
    /// CPUs of the simulator are this far apart at most, in ns, when a thread goes from one to the other.
    const APART: u64 = 10_000;
    callout::sleep_until(at);
    assert!(platform::now() + APART >= at, "workload signal_wait: woken by an older time-out");
}

/// Sends a signal now and then.
pub(crate) fn sender(t: &'static Kthread) {
    let [signal, work_us] = [0, 1].map(|n| t.arg(n));
    loop {
        platform::spin(work_us * US);
        signal::signal_send(signal as usize);
        progress(t);
        thread_yield();
    }
}
