//! What boot leaves behind: names and places, which nothing runs into when they are wrong.
//!
//! # Invariants
//! - A test names every array of the kernel that it is about; a new one that is slept on is added here as in `number_places`.

use std::collections::BTreeSet;

use crate::bench::{MS, Program, name, thread};
use umpire_kernel::Kthread;
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::thread::{role, ts};
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::work::compute::Spin;

#[test]
fn whatever_is_slept_on_or_ordered_by_address_has_a_place_of_its_own() {
    let p = Program::new(2).project("capped", 1).cap(50).zone(1, 80).pset("far", 2);
    let mut sim = p.thread(thread("spin", TS, 30, 0, Spin::defaults())).boot(1);
    sim.run_until_ok(MS);
    let k = sim.kernel();
    let first = |address: usize| k.k_places.object(address);
    let mut places = BTreeSet::new();
    for (address, expected) in [
        (k.k_work.tables.as_ptr().addr(), "k_work.tables"),
        (k.k_work.bells.as_ptr().addr(), "k_work.bells"),
        (core::ptr::from_ref(k.cp_default()).addr(), "cp_default"),
        (core::ptr::from_ref(&k.k_cpu_ops.cpu_lock).addr(), "k_cpu_ops.cpu_lock"),
        (k.k_work.locks.as_ptr().addr(), "k_work.locks"),
        (core::ptr::from_ref(&k.k_cpucaps.caps_lock).addr(), "k_cpucaps.caps_lock"),
        (core::ptr::from_ref(&k.transition_lock).addr(), "transition_lock"),
        (core::ptr::from_ref(&k.stop_lock).addr(), "stop_lock"),
        (k.k_threads.as_ptr().addr(), "k_threads"),
        (k.k_work.cvs.as_ptr().addr(), "k_work.cvs"),
        (k.k_work.rwlocks.as_ptr().addr(), "k_work.rwlocks"),
        (k.k_work.semas.as_ptr().addr(), "k_work.semas"),
        (k.k_cpus.as_ptr().addr(), "k_cpus"),
        (k.k_sync.turnstile_table.as_ptr().addr(), "k_sync.turnstile_table"),
        (k.k_sync.sleepq.as_ptr().addr(), "k_sync.sleepq"),
        (k.k_parts.parts[1..].as_ptr().addr(), "psets"),
        (k.k_callout.callout_tables.as_ptr().addr(), "k_callout.callout_tables"),
        (k.k_callout.callouts.as_ptr().addr(), "k_callout.callouts"),
        (k.k_signals.as_ptr().addr(), "k_signals"),
        (k.k_cpucaps.caps.as_ptr().addr(), "k_cpucaps.caps"),
        (k.k_cpucaps.zone_caps.as_ptr().addr(), "k_cpucaps.zone_caps"),
        (k.k_kmem.kmem_caches.as_ptr().addr(), "k_kmem.kmem_caches"),
        (k.k_kmem.kmem_cpu.as_ptr().addr(), "k_kmem.kmem_cpu"),
        (core::ptr::from_ref(&k.k_kmem.kmem_vmem).addr(), "k_kmem.kmem_vmem"),
        (core::ptr::from_ref(&k.k_kmem).addr(), "k_kmem"),
        (k.k_taskq.taskq_cache.objects.as_ptr().addr(), "taskq_cache"),
        (k.k_taskq.taskq_ent_cache.objects.as_ptr().addr(), "taskq_ent_cache"),
        (core::ptr::from_ref(&k.k_taskq).addr(), "k_taskq"),
        (core::ptr::from_ref(&k.k_console).addr(), "k_console"),
    ] {
        assert_eq!(first(address), Some((expected, 0)));
        assert!(places.insert(k.place_of(address)), "{expected}: another array has its place");
    }
    let second = core::ptr::from_ref(&k.k_signals[1]).addr();
    assert_eq!(first(second), Some(("k_signals", 1)));
    assert_eq!(first(second + 1), None, "nothing begins within an object");
}

#[test]
fn every_thread_has_the_name_that_its_role_gives_it() {
    let mut sim = Program::new(2).thread(thread("spin", SYS, 60, 0, Spin::defaults())).boot(1);
    sim.run_until_ok(MS);
    let mut seen = BTreeSet::new();
    // A place that no thread has is for one that a task queue makes later.
    let is_nobody = |t: &&Kthread| t.t_state.get() == ts::FREE && t.t_role.get() == role::SCENARIO;
    for t in sim.kernel().k_threads.iter().filter(|t| !is_nobody(t)) {
        let expected = match t.t_role.get() {
            role::IDLE => "idle",
            role::PAUSE => "pause",
            role::INTR => "intr",
            role::CALLOUT => "callout_taskq",
            role::SCENARIO => "spin",
            role::SCRIPT => "script",
            _ => continue,
        };
        assert_eq!(name(t), expected, "thread {}", t.t_did);
        seen.insert(expected);
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
}
