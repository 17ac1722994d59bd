//! Four times a second: how far and how long the scanner may go, by how little memory there is (`vm_pageout.c schedpaging`).
//!
//! # Invariants
//! - It is a callout of `callout_taskq` that sets itself again. What keeps that from running keeps the scanner asleep.

use crate::cell::Cell;
use crate::kmem::freemem;
use crate::platform;
use crate::sync::{cv_signal, mutex_enter, mutex_exit};
use crate::sys::NANOSEC;
use crate::time::callout::{Call, CalloutFunc, delay, timeout};
use umpire_shared::tunable;

/// Times a second that paging is looked at (`SCHEDPAGING_HZ`).
const SCHEDPAGING_HZ: u64 = 4;

static SCHEDPAGING: CalloutFunc = CalloutFunc(schedpaging);

/// Begins. At boot.
pub(super) fn schedpaging_start() {
    let id = timeout(Call::Call(&SCHEDPAGING, 0), period_ticks());
    id.expect("invariant: at boot every callout is free");
}

fn period_ticks() -> u64 {
    (u64::from(platform::kernel().hz.get()) / SCHEDPAGING_HZ).max(1)
}

/// Wakes the scanner if there is too little memory, and `pageout` if something is to be written.
fn schedpaging(_: u64) {
    let kernel = platform::kernel();
    let (vm, mem) = (&kernel.k_vm, &kernel.k_kmem.kmem_vmem);
    let free = freemem();
    if free < mem.lotsfree {
        let missing = mem.lotsfree - free;
        let between = |least: u64, most: u64| least + most.saturating_sub(least) * missing / mem.lotsfree;
        let rate = |n: usize| kernel.tunable(n) as u64;
        let (slow, fast) = (rate(tunable::SLOWSCAN), rate(tunable::FASTSCAN));
        let percent = between(rate(tunable::MIN_PERCENT_CPU), rate(tunable::MAX_PERCENT_CPU));
        let sc = &vm.scanner;
        mutex_enter(&sc.pageout_lock);
        sc.desscan.set(between(slow, fast) / SCHEDPAGING_HZ);
        sc.budget_ns.set(NANOSEC / SCHEDPAGING_HZ * percent / 100);
        sc.is_wanted.set(1);
        cv_signal(&sc.p_cv);
        mutex_exit(&sc.pageout_lock);
    }
    vm.pageout.signal();
    while timeout(Call::Call(&SCHEDPAGING, 0), period_ticks()).is_none() {
        delay(1);
    }
}
