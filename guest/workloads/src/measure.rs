//! Workloads for the bench: each does one thing of the kernel's again and again, and counts it as progress.
//!
//! # Invariants
//! - Nothing here reads a clock: the bench divides a vCPU's running time by the progress made in it.
//! - Progress is counted where one turn is over; loops that are shorter than counting it count by the batch.

use core::sync::atomic::Ordering;

use crate::turn::{progress, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::disp::{dispdeq, setbackdq};
use umpire_kernel::kmem::{km, kmem_cache_alloc, kmem_cache_free};
use umpire_kernel::lock::{thread_lock, thread_lock_high, thread_unlock_high};
use umpire_kernel::streams::allocb::{allocb, freeb, freemsg};
use umpire_kernel::streams::putnext::putnext;
use umpire_kernel::streams::scenario;
use umpire_kernel::streams::strread::{Wait, kstrgetmsg};
use umpire_kernel::streams::strwrite::{allocb_wait, kstrputmsg};
use umpire_kernel::sync::{mutex_enter, mutex_exit, sema_p, sema_v};
use umpire_kernel::sys::thread::ts;
use umpire_kernel::taskq::{TQ_SLEEP, TaskFunc, taskq_dispatch, taskq_wait};
use umpire_kernel::{Kthread, platform, probe, spl};
use umpire_shared::event::Kind;
use umpire_shared::work::measure::{
    AllocbBench, BATCH, Contend, DispBench, KmemBench, LockPass, LockTake, Measure, PokeBench, ProbeBench,
    PutnextBench, StreamBench, TaskqBench,
};

umpire_shared::measure_workloads!();

/// Takes another thread off this CPU's run queue, where it waits, and puts it back. The level is high for a batch, so that
/// nothing else is measured along with it.
fn disp_bench(t: &'static Kthread, DispBench { target }: DispBench) {
    let target = thread(target);
    while target.t_state.get() != ts::RUN {
        platform::relax();
    }
    loop {
        thread_lock(target);
        let level = platform::curthread().t_oldspl.get();
        for _ in 0..BATCH {
            dispdeq(target);
            setbackdq(target);
            thread_unlock_high(target);
            thread_lock_high(target);
        }
        thread_unlock_high(target);
        spl::splx(level);
        count_batch(t);
    }
}

/// Fires a probe.
fn probe_bench(t: &'static Kthread, ProbeBench {}: ProbeBench) {
    loop {
        let level = spl::splhigh();
        for n in 0..BATCH {
            probe::fire(Kind::ChangePri, t, n);
        }
        spl::splx(level);
        count_batch(t);
    }
}

/// Pokes the CPU on which the target runs, and waits until that CPU has taken the interrupt.
fn poke_bench(t: &'static Kthread, PokeBench { target }: PokeBench) {
    let target = thread(target);
    // A CPU that has not come up takes no interrupt, and a poke to it is lost.
    while !target.cpu().cpu_thread.is(target) {
        platform::relax();
    }
    loop {
        let cp = target.cpu();
        let taken = &cp.cpu_stats.intr;
        let before = taken.get();
        platform::poke(cp.cpu_id);
        // Acquire: the next poke is sent after this one has been taken.
        while taken.load(Ordering::Acquire) == before {
            platform::relax();
        }
        progress(t);
    }
}

/// Allocates a message and frees it, from a warm magazine.
fn allocb_bench(t: &'static Kthread, AllocbBench {}: AllocbBench) {
    loop {
        for _ in 0..BATCH {
            if let Some(mp) = allocb(64) {
                freeb(core::hint::black_box(mp));
            }
        }
        count_batch(t);
    }
}

/// Sends messages down a stream. Nothing is queued on the way, so no service procedure is enabled and nobody needs to promise one.
fn putnext_bench(t: &'static Kthread, PutnextBench { stream }: PutnextBench) {
    let stp = scenario::hold(scenario::stream(stream.0 as usize))
        .unwrap_or_else(|e| panic!("putnext_bench: the stream does not open: errno {e}; raise strmem"));
    loop {
        for _ in 0..BATCH {
            if let Some(mp) = allocb(64) {
                putnext(stp.wrq(), mp);
            }
        }
        count_batch(t);
    }
}

/// Writes messages at a stream's head and reads them there.
fn stream_bench(t: &'static Kthread, StreamBench { stream }: StreamBench) {
    let stp = scenario::hold(scenario::stream(stream.0 as usize))
        .unwrap_or_else(|e| panic!("stream_bench: the stream does not open: errno {e}; raise strmem"));
    loop {
        for _ in 0..BATCH {
            kstrputmsg(stp, allocb_wait(64), Wait::Block)
                .unwrap_or_else(|e| panic!("stream_bench: write: errno {e}"));
            let back =
                kstrgetmsg(stp, Wait::Block).unwrap_or_else(|e| panic!("stream_bench: read: errno {e}"));
            freemsg(back.expect("stream_bench: nobody hangs the stream up"));
        }
        count_batch(t);
    }
}

/// A task that counts as a turn of the thread that dispatched it.
static COUNT: TaskFunc = TaskFunc(|n| {
    // A read-modify-write: several threads of the queue count.
    platform::kernel().scenario_threads()[n].t_progress.fetch_add(1, Ordering::Relaxed);
});

/// Dispatches a batch of tasks and waits for them.
fn taskq_bench(t: &'static Kthread, TaskqBench { taskq }: TaskqBench) {
    let queue = crate::tasks::taskq(taskq);
    let me = (t.t_did - platform::kernel().k_ncpus) as usize;
    loop {
        for _ in 0..BATCH {
            taskq_dispatch(queue, &COUNT, me, TQ_SLEEP);
        }
        taskq_wait(queue);
    }
}

/// Allocates a buffer and frees it.
fn kmem_bench(t: &'static Kthread, KmemBench {}: KmemBench) {
    let caches = &platform::kernel().k_kmem.kmem_caches;
    let cache = caches.iter().find(|cp| cp.cache_bufsize.get() == 256);
    let cache = cache.expect("invariant: kmem_alloc has a cache of 256 bytes");
    loop {
        for _ in 0..BATCH {
            if let Some(buf) = kmem_cache_alloc(cache, km::SLEEP) {
                kmem_cache_free(cache, buf);
            }
        }
        count_batch(t);
    }
}

/// The worse half of a pair on one CPU and one mutex: wakes the better half while it holds the mutex. The better half preempts
/// this thread, blocks, and gets the mutex when this thread exits it. With `contend = "no"` the mutex is free by then.
fn lock_pass(t: &'static Kthread, LockPass { peer, contend }: LockPass) {
    let theirs = platform::kernel().k_work.bell_of(thread(peer));
    let mp = &platform::kernel().k_work.locks[0];
    loop {
        mutex_enter(mp);
        match contend {
            Contend::Yes => {
                sema_v(theirs);
                mutex_exit(mp);
            }
            Contend::No => {
                mutex_exit(mp);
                sema_v(theirs);
            }
        }
        progress(t);
    }
}

/// The better half: waits to be woken, takes the mutex and gives it back. Its progress is not counted.
fn lock_take(t: &'static Kthread, LockTake {}: LockTake) {
    let mp = &platform::kernel().k_work.locks[0];
    let bell = platform::kernel().k_work.bell_of(t);
    loop {
        sema_p(bell);
        mutex_enter(mp);
        mutex_exit(mp);
    }
}

/// Counts a batch of turns. The call of `interleave` costs nothing on hardware; in the simulator it makes time pass.
fn count_batch(t: &Kthread) {
    platform::interleave();
    t.t_progress.set(t.t_progress.get() + BATCH);
}
