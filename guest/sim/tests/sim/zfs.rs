//! The pool and paging: threads as illumos has them, pages that come back from swap, and nothing lost on the way.
//!
//! # Invariants
//! - A page is in one place: with a slot that names it, free, or with the allocator.

use crate::bench::streams::to_the_end;
use crate::bench::{Bench, MS, Program, SECOND, name, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::thread::ts;
use umpire_kernel::vm::{anon_reserve, anon_touch, p};
use umpire_kernel::zfs::txg_wait_synced;
use umpire_kernel::{Kthread, platform};
use umpire_shared::program::class::{SDC, SYS, TS};
use umpire_shared::sys::zio::{self, zio_type};
use umpire_shared::tunable;
use umpire_shared::work::compute::Spin;
use umpire_shared::work::memory::AnonUser;
use umpire_sim::SimState;

/// Pages of a thread that wants more than there are.
const PAGES: u64 = 3000;

/// Two CPUs, 2048 pages, a pool, and a thread that uses [`PAGES`].
fn paging() -> Program {
    let eater = thread("eater", TS, 30, -1, AnonUser { pages: PAGES, ..AnonUser::defaults() });
    pool(Program::new(2)).memory(8 << 20).tunable(tunable::MAXPGIO, 40_000).thread(eater)
}

fn pool(p: Program) -> Program {
    let threads = zio::threads(2, 75) + zio::DAEMON_NAMES.len() as u32 + 16;
    p.tunable(tunable::ZPOOL, 1).tunable(tunable::HZ, 1000).pool(threads)
}

fn called<'a>(sim: &'a Bench, what: &'a str) -> impl Iterator<Item = &'a Kthread> {
    sim.kernel().k_threads.iter().filter(|t| t.t_state.get() != ts::FREE).filter(move |t| name(t) == what)
}

#[test]
fn a_pool_has_its_threads_in_their_classes() {
    for (is_sysdc, class, intr, issue) in [(1, SDC, 98, 98), (0, SYS, 99, 98)] {
        let spin = thread("spin", TS, 0, 0, Spin::defaults());
        let mut sim = pool(Program::new(2)).tunable(tunable::ZIO_TASKQ_SYSDC, is_sysdc).thread(spin).boot(1);
        sim.run_until_ok(50 * MS);
        for (what, n, pri) in [
            ("zio_write_intr", 8, intr),
            ("zio_write_intr_high", 5, intr),
            ("zio_write_issue", 1, issue),
            ("zio_read_intr_7", 12, intr),
            ("z_trim_issue", 4, intr),
        ] {
            let all: Vec<&Kthread> = called(&sim, what).collect();
            assert_eq!(all.len(), n, "{what}");
            assert!(
                all.iter().all(|t| u32::from(t.t_cid.get()) == class && i32::from(t.t_pri.get()) == pri),
                "{what}: {all:?}"
            );
        }
        for (what, pri) in
            [("txg_sync_thread", 60), ("txg_quiesce", 60), ("pageout", 98), ("pageout_scanner", 97)]
        {
            let all: Vec<i16> = called(&sim, what).map(|t| t.t_pri.get()).collect();
            assert_eq!(all, [pri], "{what}");
        }
    }
}

#[test]
fn who_uses_more_than_there_is_gets_on_and_no_page_is_lost() {
    for seed in 0..10 {
        let mut sim = paging().boot(seed);
        sim.run_until_ok(MS);
        let (kernel, vm) = (sim.kernel(), &sim.kernel().k_vm);
        let at_boot = kernel.k_kmem.kmem_vmem.freemem.get() + resident(&sim);
        assert!(vm.is_there());
        sim.run_until_ok(3 * SECOND);
        let (kernel, vm) = (sim.kernel(), &sim.kernel().k_vm);
        let turns = kernel.scenario_threads()[0].t_progress.get();
        assert!(turns > PAGES, "seed {seed}: {turns} turns");
        let (out, read) =
            (vm.pageout.pgpgout.get(), kernel.k_zfs.zio_done[usize::from(zio_type::READ)].get());
        assert!(out > 500 && read > 10, "seed {seed}: {out} written, {read} read");
        assert!(kernel.k_zfs.txg.tx_synced_txg.get() > 3, "seed {seed}");
        // I/Os take a few slabs; a page that is being allocated, or has just been freed, is nobody's for a moment.
        let now = kernel.k_kmem.kmem_vmem.freemem.get() + resident(&sim);
        assert!((at_boot - 64..=at_boot).contains(&now), "seed {seed}: {now} of {at_boot}");
    }
}

/// Runs `main` to its end in a thread beside a pool.
fn alone(main: impl Fn() + 'static) {
    let user = AnonUser { pages: 8, ..AnonUser::defaults() };
    let p = pool(Program::new(2)).memory(8 << 20).thread(thread("main", SYS, 59, -1, user));
    to_the_end(&p, 1, main);
}

#[test]
fn who_waits_for_a_group_goes_on_when_it_is_on_the_disk_and_has_it_synced_early() {
    alone(|| {
        let zfs = &platform::kernel().k_zfs;
        let place = |at: usize| platform::kernel().k_places.object(at);
        assert_eq!(
            place(core::ptr::from_ref(&**zfs).addr()),
            Some(("k_zfs", 0)),
            "what is waited for has a place"
        );
        assert_eq!(place(zfs.zio_cache.objects.as_ptr().addr()), Some(("zio_cache", 0)));
        let (open, begun) = (zfs.txg.tx_open_txg.get(), platform::now());
        txg_wait_synced(0);
        assert!(zfs.txg.tx_synced_txg.get() >= open);
        assert!(platform::now() - begun < SECOND, "nobody waits for the time-out of five seconds");
    });
}

#[test]
fn a_page_that_is_only_read_stays_clean() {
    alone(|| {
        let vm = &platform::kernel().k_vm;
        let slot = anon_reserve(1);
        anon_touch(slot, true);
        let page = &vm.pages[vm.anon[slot as usize].get() as usize];
        for (is_write, expected) in [(false, p::REF), (true, p::REF | p::MOD)] {
            page.p_nrm.set(0);
            assert!(!anon_touch(slot, is_write), "it is there");
            assert_eq!(page.p_nrm.get(), expected, "write: {is_write}");
        }
    });
}

/// Pages that slots have; each is named by its slot and names it.
fn resident(sim: &Bench) -> u64 {
    let vm = &sim.kernel().k_vm;
    let mut n = 0;
    for (slot, page) in
        (0..).zip(vm.anon.iter().map(Cell::get)).filter(|(_, page)| (*page as usize) < vm.pages.len())
    {
        assert_eq!(vm.pages[page as usize].p_slot.get(), slot);
        n += 1;
    }
    n
}

#[test]
fn pageout_that_is_stuck_is_seen_by_its_deadman() {
    // The disk never answers: the first group is never synced.
    let p = paging().tunable(tunable::DISK_USEC, 1_000_000).tunable(tunable::PAGEOUT_DEADMAN_SECONDS, 2);
    let p = p.tunable(tunable::ZFS_DIRTY_DATA_MAX, 64 << 10);
    match p.boot(1).run_until(10 * SECOND) {
        SimState::Ended(end) => {
            assert!(
                end.message.contains("pageout_deadman: stuck pushing the same page for 2 seconds"),
                "{end:?}"
            );
        }
        other => panic!("{other:?}"),
    }
    let patient =
        paging().tunable(tunable::DISK_USEC, 1_000_000).tunable(tunable::PAGEOUT_DEADMAN_SECONDS, 0);
    let mut sim = patient.tunable(tunable::ZFS_DIRTY_DATA_MAX, 64 << 10).boot(1);
    sim.run_until_ok(10 * SECOND);
}
