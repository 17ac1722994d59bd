//! The memory allocator: nothing is handed out twice, nothing is lost, and who sleeps for memory gets it.
//!
//! # Invariants
//! - The model of a cache is the set of buffers that are out: an allocation adds one that was not in it, a free takes one away.
//! - Threads run code of the tests; which CPU a thread is on, and in which order they allocate, the seed decides.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::bench::{Bench, MS, Program, thread};
use umpire_kernel::cell::{Cell, Counter};
use umpire_kernel::kmem::{
    Buf, KmemCache, KmemOps, NO_OPS, buf_at, freemem, km, kmem_alloc, kmem_cache_alloc, kmem_cache_create,
    kmem_cache_destroy, kmem_cache_free, kmem_cache_reap, kmem_depot_ws_update, kmem_free, kmem_reap, kmf,
    raw_alloc, raw_free, vmem_alloc, vmem_free,
};
use umpire_kernel::platform;
use umpire_kernel::time::callout::sleep_until;
use umpire_shared::program::class::SYS;
use umpire_shared::work::compute::Spin;
use umpire_shared::{mutant, tunable};
use umpire_sim::SimState;

const NEVER: u64 = u64::MAX / 2;

/// What threads note.
type Log<T> = Rc<RefCell<T>>;

/// So many threads on as many CPUs, which all run `main` with their number, from 0.
fn run(p: Program, nthreads: u32, seed: u64, main: impl Fn(u32) + 'static) -> Bench {
    let mut p = p;
    for n in 0..nthreads {
        p = p.thread(thread("user", SYS, 60, (n % 2) as i32, Spin::defaults()));
    }
    let mut sim = p.boot(seed);
    let first = sim.kernel().k_ncpus;
    sim.run_instead(move |t| {
        main(t.t_did - first);
        sleep_until(NEVER);
        true
    });
    sim
}

/// A generator of the tests' own (an xorshift).
fn draw(state: &mut u64, n: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % n
}

/// Four threads allocate and free at random; the buffers that are out are in `out`. True if one was handed out twice.
fn storm(p: Program, seed: u64, bufsize: u32) -> (Bench, Log<BTreeSet<u32>>, Log<bool>) {
    let (out, twice, cache): (Log<BTreeSet<u32>>, Log<bool>, Log<Option<&'static KmemCache>>) =
        Default::default();
    let (all, is_twice) = (Rc::clone(&out), Rc::clone(&twice));
    let sim = run(p, 4, seed, move |me| {
        let cp = *cache
            .borrow_mut()
            .get_or_insert_with(|| kmem_cache_create("test_cache", bufsize, NO_OPS).expect("a cache"));
        let (mut mine, mut state) = (Vec::new(), seed * 7919 + u64::from(me) + 1);
        for _ in 0..400 {
            if draw(&mut state, 5) < 3 && mine.len() < 60 {
                let buf = kmem_cache_alloc(cp, km::SLEEP).expect("memory");
                if !out.borrow_mut().insert(buf) {
                    *twice.borrow_mut() = true;
                }
                mine.push(buf);
            } else if !mine.is_empty() {
                let buf = mine.swap_remove(draw(&mut state, mine.len() as u64) as usize);
                out.borrow_mut().remove(&buf);
                kmem_cache_free(cp, buf);
            }
        }
        mine.into_iter().for_each(|buf| {
            out.borrow_mut().remove(&buf);
            kmem_cache_free(cp, buf);
        });
        platform::curthread().t_progress.bump();
    });
    (sim, all, is_twice)
}

fn test_cache(sim: &Bench) -> &KmemCache {
    let caches = &sim.kernel().k_kmem.kmem_caches;
    caches.iter().find(|cp| cp.name(&mut [0; umpire_shared::NAME_LEN]) == "test_cache").expect("it was made")
}

/// Rounds in the magazines of a cache: those of the CPUs, and the full ones of the depot.
fn rounds(sim: &Bench, cp: &KmemCache) -> u64 {
    let ncpus = sim.kernel().k_ncpus as usize;
    let own = &sim.kernel().k_kmem.kmem_cpu[cp.cache_number as usize * ncpus..][..ncpus];
    let of_cpus: u32 = own.iter().map(|cc| cc.cc_rounds.get() + cc.cc_prounds.get()).sum();
    u64::from(of_cpus + cp.cache_full.ml_total.get() * cp.cache_magsize.get())
}

#[test]
fn no_buffer_is_handed_out_twice_and_none_is_lost() {
    for seed in 0..60 {
        let bufsize = [64, 200, 1000, 5000][seed as usize % 4];
        let p = Program::new(2).memory(8 << 20).tunable(tunable::HZ, 1000);
        let (mut sim, out, twice) = storm(p, seed, bufsize);
        sim.run_until_ok(60 * MS);
        assert!(!*twice.borrow(), "seed {seed}: a buffer was handed out twice");
        let done = sim.kernel().scenario_threads().iter().filter(|t| t.t_progress.get() == 1).count();
        assert_eq!((done, out.borrow().len()), (4, 0), "seed {seed}");
        let cp = test_cache(&sim);
        assert_eq!(cp.inuse(), rounds(&sim, cp), "seed {seed}: what is off its slab is in a magazine");
        let made = cp.cache_slab_create.get() - cp.cache_slab_destroy.get();
        assert_eq!(cp.cache_buftotal.get(), made * u64::from(cp.cache_maxchunks.get()));
        // The kernel's own caches have slabs too.
        let pages_of = |cp: &KmemCache| {
            let slabs = cp.cache_slab_create.get() - cp.cache_slab_destroy.get();
            slabs * u64::from(cp.cache_slabsize.get()) / 4096
        };
        let (vm, caches) = (&sim.kernel().k_kmem.kmem_vmem, &sim.kernel().k_kmem.kmem_caches);
        let pages = caches.iter().filter(|cp| cp.is_in_use()).map(pages_of).sum::<u64>();
        assert_eq!(vm.freemem.get() + pages, vm.physmem, "seed {seed}: pages");
    }
}

#[test]
fn a_magazine_that_is_counted_wrong_hands_a_buffer_out_twice() {
    let caught = (0..20).filter(|&seed| {
        let p = Program::new(2).memory(8 << 20).tunable(tunable::HZ, 1000).mutant(mutant::STALE_ROUNDS);
        let (mut sim, _, twice) = storm(p, seed, 64);
        let state = sim.run_until(60 * MS);
        *twice.borrow() || matches!(state, SimState::Ended(_))
    });
    assert!(caught.count() > 15);
}

#[test]
fn the_uncontended_path_takes_no_lock_but_the_cpu_s_own() {
    let mut sim = run(Program::new(2), 2, 1, |_| {
        let kernel = platform::kernel();
        let cp = &kernel.k_kmem.kmem_caches[0];
        let mut keep = Vec::new();
        for _ in 0..1000 {
            keep.push(kmem_cache_alloc(cp, km::SLEEP).expect("memory"));
            if keep.len() == 5 {
                keep.drain(..).for_each(|buf| kmem_cache_free(cp, buf));
            }
        }
    });
    sim.run_until_ok(20 * MS);
    let (kernel, cp) = (sim.kernel(), &sim.kernel().k_kmem.kmem_caches[0]);
    let own = &kernel.k_kmem.kmem_cpu[..2];
    assert!(own.iter().all(|cc| cc.cc_alloc.get() > 980 && cc.cc_free.get() > 980), "both CPUs: {own:?}");
    assert!(
        cp.cache_slab_alloc.get() < 20 && cp.cache_full.ml_alloc.get() == 0,
        "{}",
        cp.cache_slab_alloc.get()
    );
    assert_eq!(own.iter().map(|cc| cc.cc_lock.m_blocks.get()).sum::<u64>(), 0);
}

#[test]
fn constructed_buffers_stay_so_in_magazines_and_are_taken_apart_at_the_end() {
    const OPS: &KmemOps = &KmemOps {
        constructor: |_, _, _| {
            platform::kernel().k_work.cvs[0].wc_round.bump();
            true
        },
        destructor: |_, _| platform::kernel().k_work.cvs[1].wc_round.bump(),
    };
    let mut sim = run(Program::new(2), 1, 3, |_| {
        let before = freemem();
        let cp = kmem_cache_create("test_cache", 100, OPS).expect("a cache");
        for _ in 0..100 {
            let bufs: Vec<u32> = (0..4).map(|_| kmem_cache_alloc(cp, km::SLEEP).expect("memory")).collect();
            bufs.into_iter().for_each(|buf| kmem_cache_free(cp, buf));
        }
        let work = &platform::kernel().k_work;
        assert_eq!((work.cvs[0].wc_round.get(), work.cvs[1].wc_round.get()), (4, 0));
        kmem_cache_destroy(cp);
        assert_eq!(work.cvs[1].wc_round.get(), 4);
        assert_eq!(freemem(), before);
    });
    sim.run_until_ok(20 * MS);
}

#[test]
fn a_pattern_over_what_is_free_has_it_constructed_at_each_allocation() {
    const OPS: &KmemOps = &KmemOps {
        constructor: |_, buf, _| {
            buf_at(buf, 104)[0].set(7);
            true
        },
        destructor: |_, buf| assert_eq!(buf_at(buf, 104)[0].get(), 7, "what the constructor wrote is gone"),
    };
    for flags in [0, kmf::DEADBEEF, kmf::AUDIT | kmf::DEADBEEF | kmf::REDZONE] {
        let p = Program::new(1).tunable(tunable::KMEM_FLAGS, flags.into());
        let mut sim = run(p, 1, 1, |_| {
            let cp = kmem_cache_create("test_cache", 104, OPS).expect("a cache");
            for _ in 0..4 {
                let bufs: Vec<Buf> = (0..40).map(|_| raw_alloc(cp, km::SLEEP).expect("memory")).collect();
                assert!(bufs.iter().all(|buf| buf[0].get() == 7));
                bufs.into_iter().for_each(|buf| raw_free(cp, buf));
                kmem_reap();
            }
            kmem_cache_destroy(cp);
            platform::curthread().t_progress.bump();
        });
        sim.run_until_ok(20 * MS);
        assert_eq!(sim.kernel().scenario_threads()[0].t_progress.get(), 1, "{flags:#x}");
    }
}

#[test]
fn an_allocation_leaves_what_is_kept_for_pageout() {
    for (mutants, least) in [(mutant::Set::NONE, 16), (mutant::NO_THROTTLE.into(), 0)] {
        let left: Log<u64> = Rc::new(RefCell::new(0));
        let seen = Rc::clone(&left);
        let p = Program::new(1).tunable(tunable::THROTTLEFREE, 16).mutant(mutants);
        let mut sim = run(p, 1, 1, move |_| {
            while kmem_alloc(4096 * 4, km::NOSLEEP).is_some() {}
            *seen.borrow_mut() = freemem();
            assert!(kmem_alloc(4096 * 16, km::NOSLEEP | km::PUSHPAGE).is_none() || freemem() < 4);
        });
        sim.run_until_ok(20 * MS);
        assert_eq!(*left.borrow() / 4 * 4, least, "pages that were left");
    }
}

#[test]
fn who_sleeps_for_memory_gets_what_another_frees_even_into_a_magazine() {
    for seed in 0..20 {
        let mut sim = run(Program::new(2).memory(256 << 10), 2, seed, |me| {
            let mut mine: Vec<Buf> = Vec::new();
            if me == 0 {
                while let Some(buf) = kmem_alloc(2048, km::NOSLEEP) {
                    mine.push(buf);
                }
                sleep_until(10 * MS);
                mine.drain(..).for_each(|buf| kmem_free(buf, 2048));
            } else {
                sleep_until(5 * MS);
                mine.extend(kmem_alloc(4096, km::SLEEP));
                assert!(platform::now() >= 10 * MS, "there was memory all the time");
            }
            platform::curthread().t_progress.bump();
        });
        sim.run_until_ok(60 * MS);
        let vm = &sim.kernel().k_kmem.kmem_vmem;
        let done: u64 = sim.kernel().scenario_threads().iter().map(|t| t.t_progress.get()).sum();
        assert_eq!((done, vm.vm_wait.get()), (2, 1), "seed {seed}");
    }
}

#[test]
fn who_waits_for_pages_that_follow_each_other_sleeps() {
    let mut sim = run(Program::new(2).memory(256 << 10), 2, 1, |me| {
        if me == 0 {
            let singles: Vec<u32> = std::iter::from_fn(|| vmem_alloc(1, km::NOSLEEP)).collect();
            let (even, odd): (Vec<u32>, Vec<u32>) = singles.into_iter().partition(|page| page % 2 == 0);
            even.into_iter().for_each(|page| vmem_free(page, 1));
            assert!(freemem() > 8, "enough pages are free, and no two in a row");
            sleep_until(30 * MS);
            odd.into_iter().for_each(|page| vmem_free(page, 1));
        } else {
            sleep_until(5 * MS);
            assert!(vmem_alloc(2, km::SLEEP).is_some());
            assert!(platform::now() >= 30 * MS, "two pages in a row were free all the time");
            // Who reaps and looks without an end does so thousands of times in 25 ms.
            let reaps = platform::kernel().k_kmem.kmem_caches[0].cache_reap.get();
            assert!((1..=5).contains(&reaps), "{reaps} reaps");
        }
        platform::curthread().t_progress.bump();
    });
    sim.run_until_ok(60 * MS);
    let done: u64 = sim.kernel().scenario_threads().iter().map(|t| t.t_progress.get()).sum();
    assert_eq!((done, sim.kernel().k_kmem.kmem_vmem.vm_wait.get()), (2, 1));
}

#[test]
fn a_reap_takes_what_was_not_needed_and_lets_others_run() {
    let mut sim = run(Program::new(1).tunable(tunable::KMEM_REAP_PREEMPT_BYTES, 4096), 1, 5, |_| {
        let cp = kmem_cache_create("test_cache", 512, NO_OPS).expect("a cache");
        let bufs: Vec<Buf> = (0..200).map(|_| raw_alloc(cp, km::SLEEP).expect("memory")).collect();
        bufs.into_iter().for_each(|buf| raw_free(cp, buf));
        let used = freemem();
        kmem_cache_reap(cp);
        assert_eq!(freemem(), used, "the working set was not looked at yet");
        kmem_depot_ws_update(cp);
        kmem_depot_ws_update(cp);
        kmem_cache_reap(cp);
        assert!(freemem() > used + 15, "{} pages were free, now {}", used, freemem());
    });
    sim.run_until_ok(20 * MS);
}

#[test]
fn injected_failures_are_one_in_so_many_and_the_seed_s_own() {
    let failures = |seed: i64| {
        let log: Log<Vec<usize>> = Rc::default();
        let seen = Rc::clone(&log);
        let p = Program::new(1).tunable(tunable::KMEM_MTBF, 10).tunable(tunable::KMEM_MTBF_SEED, seed);
        let mut sim = run(p, 1, 1, move |_| {
            for n in 0..1000 {
                match kmem_alloc(64, km::NOSLEEP) {
                    Some(buf) => kmem_free(buf, 64),
                    None => seen.borrow_mut().push(n),
                }
                assert!(
                    kmem_alloc(64, km::SLEEP).map(|buf| kmem_free(buf, 64)).is_some(),
                    "a sleeper never fails"
                );
            }
        });
        sim.run_until_ok(50 * MS);
        log.take()
    };
    let (one, again, other) = (failures(1), failures(1), failures(2));
    assert!((60..=140).contains(&one.len()), "{} of 1000", one.len());
    assert!(one == again && one != other);
}

/// What a kernel with every check says when its thread does this with a buffer of 100 bytes.
fn dies(misuse: impl Fn(&'static KmemCache, Buf) + 'static) -> String {
    let flags = i64::from(kmf::AUDIT | kmf::DEADBEEF | kmf::REDZONE);
    let mut sim = run(Program::new(1).tunable(tunable::KMEM_FLAGS, flags), 1, 1, move |_| {
        let cp = kmem_cache_create("test_cache", 104, NO_OPS).expect("a cache");
        let buf = raw_alloc(cp, km::SLEEP).expect("memory");
        misuse(cp, buf);
        raw_free(cp, buf);
        let again = raw_alloc(cp, km::SLEEP).expect("memory");
        raw_free(cp, again);
    });
    match sim.run_until(20 * MS) {
        SimState::Ended(end) => end.message,
        _ => String::new(),
    }
}

#[test]
fn misuse_is_a_panic_that_names_cache_buffer_and_thread() {
    assert_eq!(dies(|_, buf| buf[12].set(1)), "", "the last word is the buffer's own");
    let twice = dies(raw_free);
    assert!(twice.contains("duplicate free: buffer freed twice"), "{twice}");
    assert!(twice.contains("cache: test_cache") && twice.contains("thread=1 \"user\""), "{twice}");
    assert!(twice.contains("stack=kept by the platform to itself"), "{twice}");
    let redzone = dies(|cp, buf| {
        let at = platform::kernel().k_kmem.kmem_memory.iter().position(|w| std::ptr::eq(w, &buf[0]));
        platform::kernel().k_kmem.kmem_memory[at.expect("memory") + 13].set(7);
        assert_eq!(cp.cache_chunksize.get(), 128);
    });
    assert!(redzone.contains("redzone violation: write past end of buffer: 0x7"), "{redzone}");
    let after = dies(|cp, buf| {
        raw_free(cp, buf);
        buf[3].set(9);
        assert!(raw_alloc(cp, km::SLEEP).is_some());
    });
    assert!(after.contains("modified after being freed: at offset 0x18 is 0x9"), "{after}");
}
