//! Perimeters: what a declaration means, and that only what may runs at once.
//!
//! # Invariants
//! - A witness is told of every entry and every way out. It judges by the type bits of the perimeter alone, and knows nothing of counts
//!   and flags.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::bench::draw::Draw;
use crate::bench::streams::{
    MIXED, OCEXCL, OUTER, PAIR, PERMOD, PERQ, PLAIN, PUTSHARED, Proc, SERVICED, WRITER, alone, boot,
    close_stream, hook, program, stream, tag, tagged,
};
use crate::bench::{Bench, MS};
use umpire_kernel::cell::Cell;
use umpire_kernel::platform;
use umpire_kernel::streams::allocb::freemsg;
use umpire_kernel::streams::events::{Perim, qwriter};
use umpire_kernel::streams::putnext::{put, putnext};
use umpire_kernel::streams::queue::{Fmodsw, Queue, q};
use umpire_kernel::streams::service::qenable;
use umpire_kernel::streams::syncq::{Syncq, devflg_to_qflag, sq, sqtype};
use umpire_kernel::time::callout::sleep_until;
use umpire_shared::mutant;
use umpire_shared::sys::conf::*;

#[test]
fn a_declaration_means_what_the_table_says() {
    let ok = |flags| devflg_to_qflag(flags).expect("a perimeter");
    assert_eq!(ok(D_MP), (q::QMTSAFE, sqtype::CI | sqtype::CO));
    assert_eq!(ok(D_MP | D_MTPERQ), (q::QPERQ, sqtype::CO));
    assert_eq!(ok(D_MP | D_MTQPAIR), (q::QPAIR, sqtype::CO));
    assert_eq!(ok(D_MP | D_MTPERMOD), (q::QPERMOD, sqtype::PERMOD | sqtype::CO));
    let shared = D_MP | D_MTPERMOD | D_MTPUTSHARED;
    assert_eq!(ok(shared | D_MTSVCSHARED).1 & sqtype::CI, sqtype::CIPUT | sqtype::CISVC);
    assert_eq!(
        ok(shared | D_MTOCSHARED | D_MTCBSHARED).1 & sqtype::CI,
        sqtype::CIPUT | sqtype::CIOC | sqtype::CICB
    );
    let outer = D_MP | D_MTQPAIR | D_MTOUTPERIM;
    assert_eq!(ok(outer), (q::QPAIR | q::QMTOUTPERIM, sqtype::CO));
    assert_eq!(ok(outer | D_MTOCEXCL).1, sqtype::CO & !sqtype::COOC);
    assert_eq!(ok(D_MP | D_DIRECT).0, q::QMTSAFE | q::_QDIRECT);
    let refused = [
        0,
        D_MTQPAIR,
        D_MP | D_MTPUTSHARED,
        D_MP | D_MTQPAIR | D_MTOCSHARED,
        D_MP | D_MTQPAIR | D_MTPUTSHARED | D_MTSVCSHARED,
        D_MP | D_MTPERMOD | D_MTOUTPERIM,
        D_MP | D_MTQPAIR | D_MTOCEXCL,
        D_MP | D_MTQPAIR | D_DIRECT,
    ];
    for flags in refused {
        assert!(devflg_to_qflag(flags).is_err(), "{flags:#x}");
    }
}

/// Who is inside which perimeter, and what was wrong with that.
#[derive(Default)]
struct Witness {
    /// Entries by perimeter: shared ones, and those that are alone.
    inside: RefCell<BTreeMap<usize, (u32, u32)>>,
    /// Entries that met somebody they must not meet.
    wrong: RefCell<Vec<String>>,
    /// Entries that met somebody, rightly.
    met: RefCell<u32>,
}

impl Witness {
    fn enter(&self, sqp: &Syncq, excl: bool, what: Proc) {
        let mut inside = self.inside.borrow_mut();
        let (shared, alone) = inside.entry(std::ptr::from_ref(sqp).addr()).or_default();
        if *alone != 0 || excl && *shared != 0 {
            self.wrong.borrow_mut().push(format!("{what:?} meets {shared} shared and {alone} alone"));
        } else if *shared != 0 {
            *self.met.borrow_mut() += 1;
        }
        *(if excl { alone } else { shared }) += 1;
    }

    fn leave(&self, sqp: &Syncq, excl: bool) {
        let mut inside = self.inside.borrow_mut();
        let (shared, alone) = inside.get_mut(&std::ptr::from_ref(sqp).addr()).expect("who leaves came in");
        *(if excl { alone } else { shared }) -= 1;
    }

    /// Runs `body` as an entry of this kind.
    fn during(&self, qp: &'static Queue, what: Proc, body: impl FnOnce()) {
        let sqp = qp.syncq();
        let shares = match what {
            Proc::Rput | Proc::Wput => sqtype::CIPUT,
            Proc::Rsrv | Proc::Wsrv => sqtype::CISVC,
            Proc::Writer => 0,
            _ => sqtype::CIOC,
        };
        let excl = !sqp.is(shares);
        self.enter(sqp, excl, what);
        body();
        self.leave(sqp, excl);
    }

    /// Nobody is inside any perimeter but, if it is given, this one.
    fn is_empty_but(&self, of: Option<&Syncq>) -> bool {
        let of = of.map(|sqp| std::ptr::from_ref(sqp).addr());
        self.inside.borrow().iter().all(|(at, (shared, alone))| Some(*at) == of || shared + alone == 0)
    }
}

/// Three CPUs send both ways through two instances of a module, enable their services, and open and close a third instance. Returns
/// what was wrong, and how many entries met others.
fn storm(module: &'static Fmodsw, seed: u64, mutants: mutant::Set) -> (Vec<String>, u32) {
    let witness: Rc<Witness> = Rc::default();
    let streams: Rc<RefCell<Vec<&'static Queue>>> = Rc::default();
    let sees = Rc::clone(&witness);
    hook(move |number, proc, qp, mp| {
        if number == usize::from(module.f_str.st_rdinit.qi_minfo.mi_idnum) && !matches!(proc, Proc::Closed) {
            sees.during(qp, proc, || platform::spin(800));
        }
        match (number, proc, mp) {
            // The driver sends up what it gets from above; what arrives at the head ends there.
            (2, Proc::Wput, Some(mp)) => umpire_kernel::streams::putnext::qreply(qp, mp),
            (0, _, Some(mp)) => freemsg(mp),
            (_, _, Some(mp)) => putnext(qp, mp),
            _ => {}
        }
    });
    let threads = [(60, 0), (60, 1), (60, 2)];
    let mut sim = boot(&program(3, &threads).mutant(mutants), seed, move |n| {
        let mut draw = Draw(seed * 3 + n as u64);
        if n == 0 {
            for _ in 0..2 {
                streams.borrow_mut().push(stream(&[module, &PLAIN]).wrq());
            }
        }
        sleep_until(MS);
        for round in 0..40 {
            let head = streams.borrow()[draw.below(2) as usize];
            let module_wq = head.q_next.get().expect("a module");
            match draw.below(if n == 2 { 4 } else { 3 }) {
                0 => putnext(head, tagged(n as u64, round)),
                1 => put(module_wq.rd(), tagged(n as u64, round)),
                2 => {
                    qenable(module_wq);
                    qenable(module_wq.rd());
                }
                _ => close_stream(stream(&[module, &PLAIN]), &[module, &PLAIN]),
            }
            platform::spin(draw.below(1500));
        }
    });
    let state = sim.run_until(5 * MS);
    let mut wrong = witness.wrong.borrow().clone();
    if state != umpire_sim::SimState::Running {
        wrong.push(format!("{state:?}"));
    } else {
        assert_eq!(sim.kernel().k_streams.memory.dblks_in_use(), 0, "seed {seed}: messages are conserved");
        check_quiet(&sim);
    }
    let met = *witness.met.borrow();
    (wrong, met)
}

/// Nothing is parked and nobody is inside when all is over.
fn check_quiet(sim: &Bench) {
    for pair in &sim.kernel().k_streams.queues.ar_objects {
        for qp in [&pair.qu_rqueue, &pair.qu_wqueue] {
            let Some(sqp) = qp.q_syncq.get().filter(|_| qp.has(q::QUSE)) else { continue };
            assert_eq!(
                (sqp.sq_count.get(), sqp.sq_nqueues.get(), qp.q_syncqmsgs.get()),
                (0, 0, 0),
                "seed {}",
                sim.seed
            );
            assert!(!sqp.has(sq::EXCL | sq::QUEUED) && qp.q_sqhead.is_null(), "seed {}", sim.seed);
            assert_eq!(sqp.sq_needexcl.get(), 0, "seed {}", sim.seed);
        }
    }
}

#[test]
fn exclusive_entries_do_not_overlap() {
    let modules: [&'static Fmodsw; 7] = [&PERQ, &PAIR, &PERMOD, &PUTSHARED, &OCEXCL, &SERVICED, &MIXED];
    for seed in 0..20 {
        for module in modules {
            let (wrong, _) = storm(module, seed, mutant::Set::NONE);
            assert!(wrong.is_empty(), "{} seed {seed}: {wrong:?}", module.f_name);
        }
    }
    let met: u32 = (0..10).map(|seed| storm(&PUTSHARED, seed, mutant::Set::NONE).1).sum();
    assert!(met > 0, "puts that may share a perimeter never did: the storm is none");
    for (mutant, module) in [(mutant::PUT_NOT_EXCL, &PAIR), (mutant::ENTER_IN_COMPANY, &MIXED)] {
        let caught = (0..10).filter(|&seed| !storm(module, seed, mutant.into()).0.is_empty()).count();
        assert!(caught > 0, "a mutant on {} was never caught", module.f_name);
    }
}

/// So many CPUs put into a perimeter that puts share; every fifth message asks for a writer. Returns what was wrong, how many writers
/// ran, and how many outer ones were left to another thread.
fn writers(
    module: &'static Fmodsw,
    perim: Perim,
    threads: &[(i32, i32)],
    seed: u64,
    mutants: mutant::Set,
) -> (Vec<String>, u32, u64) {
    let witness: Rc<Witness> = Rc::default();
    let ran: Rc<RefCell<u32>> = Rc::default();
    let last: Rc<RefCell<BTreeMap<(usize, u64), u64>>> = Rc::default();
    let (sees, counts) = (Rc::clone(&witness), Rc::clone(&ran));
    let streams: Rc<RefCell<Vec<&'static Queue>>> = Rc::default();
    let number = usize::from(module.f_str.st_rdinit.qi_minfo.mi_idnum);
    hook(move |module, proc, qp, mp| {
        let Some(mp) = mp else { return };
        if proc == Proc::Writer {
            if perim == Perim::Outer && !sees.is_empty_but(None) {
                sees.wrong.borrow_mut().push("an outer writer meets somebody".to_owned());
            }
            if !mp.b_func.is_null() || !mp.b_queue.is_null() {
                sees.wrong
                    .borrow_mut()
                    .push("a message is an event no more when its writer has it".to_owned());
            }
            sees.during(qp, proc, || platform::spin(2000));
            *counts.borrow_mut() += 1;
            freemsg(mp);
            return;
        }
        if module != number {
            freemsg(mp);
            return;
        }
        let (source, n) = tag(mp);
        sees.during(qp, proc, || {
            platform::spin(700);
            let key = (std::ptr::from_ref(qp).addr(), source);
            if let Some(before) = last.borrow_mut().insert(key, n).filter(|before| *before > n) {
                sees.wrong.borrow_mut().push(format!("source {source}: {n} after {before}"));
            }
        });
        // What this entry does is over: the writer is alone from here on.
        if n % 5 == 4 { qwriter(qp, mp, &WRITER, perim) } else { putnext(qp, mp) }
    });
    let p = program(3, threads).mutant(mutants);
    let mut sim = boot(&p, seed, move |n| {
        let mut draw = Draw(seed * 3 + n as u64);
        if n == 0 {
            for _ in 0..2 {
                streams.borrow_mut().push(stream(&[module, &PLAIN]).wrq());
            }
        }
        sleep_until(MS);
        for round in 0..50 {
            let head = streams.borrow()[draw.below(2) as usize];
            putnext(head, tagged(n as u64, round));
            platform::spin(draw.below(1200));
        }
    });
    let state = sim.run_until(60 * MS);
    let mut wrong = witness.wrong.borrow().clone();
    if state != umpire_sim::SimState::Running {
        wrong.push(format!("{state:?}"));
    } else if mutants == mutant::Set::NONE {
        assert_eq!(sim.kernel().k_streams.memory.dblks_in_use(), 0, "seed {seed}: messages are conserved");
        check_quiet(&sim);
    }
    let deferred = sim.kernel().k_streams.total(|stat| &stat.qwr_outer);
    let ran = *ran.borrow();
    (wrong, ran, deferred)
}

#[test]
fn an_outer_perimeter_has_no_kind_of_its_own() {
    hook(|_, _, _, _| ());
    alone(1, || {
        let of_module = stream(&[&OUTER, &PLAIN]).pairs().find_map(|rq| rq.syncq().sq_outer.get());
        let outer = of_module.expect("its module declares one");
        assert_eq!(outer.sq_type.get(), 0, "only inner perimeters have a kind");
    });
}

const THREE: [(i32, i32); 3] = [(60, 0), (60, 1), (60, 2)];

#[test]
fn a_writer_is_alone() {
    for seed in 0..30 {
        let (wrong, ran, _) = writers(&PUTSHARED, Perim::Inner, &THREE, seed, mutant::Set::NONE);
        assert!(wrong.is_empty() && ran == 30, "inner, seed {seed}: {ran} ran, {wrong:?}");
        let (wrong, ran, _) = writers(&OUTER, Perim::Outer, &THREE, seed, mutant::Set::NONE);
        assert!(wrong.is_empty() && ran == 30, "outer, seed {seed}: {ran} ran, {wrong:?}");
    }
    let of = |seed| writers(&PUTSHARED, Perim::Inner, &THREE, seed, mutant::QWRITER_IN_COMPANY.into()).0;
    assert!((0..10).any(|seed| !of(seed).is_empty()), "the mutant was never caught");
}

#[test]
fn who_has_kpreemptpri_leaves_outer_writers_to_another_thread() {
    for (pri, left) in [(98, 0), (99, 10), (100, 10)] {
        let (wrong, ran, deferred) = writers(&OUTER, Perim::Outer, &[(pri, 0)], 1, mutant::Set::NONE);
        assert!(wrong.is_empty(), "{pri}: {wrong:?}");
        assert_eq!((ran, deferred), (10, left), "{pri}: kpreemptpri is 99");
    }
}
