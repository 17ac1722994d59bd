//! Modules are popped and pushed while messages come from both sides.
//!
//! # Invariants
//! - An instance is closed from the return of `qprocsoff` until it is opened again: no procedure of it may begin then.
//! - Messages are conserved: what was sent arrived at one end, or was freed with a module that had it queued.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::bench::MS;
use crate::bench::draw::Draw;
use crate::bench::streams::{
    OUTER, PAIR, PERMOD, PERQ, PLAIN, Proc, SERVICED, boot, hook, program, stream, tagged,
};
use umpire_kernel::platform;
use umpire_kernel::streams::allocb::freemsg;
use umpire_kernel::streams::module::{qattach, qdetach};
use umpire_kernel::streams::putnext::{putnext, qreply};
use umpire_kernel::streams::putq::{getq, putq};
use umpire_kernel::streams::queue::{Fmodsw, Queue};
use umpire_kernel::time::callout::sleep_until;
use umpire_shared::mutant;

/// What a run has seen.
#[derive(Default)]
struct Seen {
    closed: BTreeSet<usize>,
    wrong: Vec<String>,
    arrived: u64,
    pops: u64,
}

fn storm(
    module: &'static Fmodsw,
    seed: u64,
    mutants: mutant::Set,
) -> Result<(Vec<String>, u64, u64), String> {
    let seen: Rc<RefCell<Seen>> = Rc::default();
    let log = Rc::clone(&seen);
    let pops = Rc::clone(&seen);
    let head: Rc<RefCell<Option<&'static Queue>>> = Rc::default();
    let number = usize::from(module.f_str.st_rdinit.qi_minfo.mi_idnum);
    hook(move |at, proc, qp, mp| {
        let instance = std::ptr::from_ref(qp.rd()).addr();
        if at == number {
            let mut log = log.borrow_mut();
            match proc {
                Proc::Closed => drop(log.closed.insert(instance)),
                Proc::Open => drop(log.closed.remove(&instance)),
                Proc::Closing => {}
                _ if log.closed.contains(&instance) => log.wrong.push(format!("{proc:?} after qprocsoff")),
                _ => {}
            }
        }
        match (at, proc, mp) {
            // The driver turns round what comes from above, so that it goes up through the module again.
            (2, Proc::Wput, Some(mp)) => qreply(qp, mp),
            (0, Proc::Rput, Some(mp)) => {
                log.borrow_mut().arrived += 1;
                freemsg(mp);
            }
            (9, Proc::Rput | Proc::Wput, Some(mp)) => {
                platform::spin(400);
                assert!(putq(qp, mp));
            }
            (9, Proc::Rsrv | Proc::Wsrv, _) => {
                while let Some(mp) = getq(qp) {
                    putnext(qp, mp);
                }
            }
            (_, _, Some(mp)) => {
                platform::spin(400);
                putnext(qp, mp);
            }
            _ => {}
        }
    });
    let p = program(3, &[(60, 0), (60, 1), (60, 2)]).mutant(mutants);
    let mut sim = boot(&p, seed, move |n| {
        let mut draw = Draw(seed * 5 + n as u64);
        if n == 2 {
            *head.borrow_mut() = Some(stream(&[module, &PLAIN]).wrq());
            sleep_until(MS);
            let stp = head.borrow().expect("the stream is there").stream();
            for _ in 0..8 {
                let rq = stp.wrq().q_next.get().expect("a module").rd();
                qdetach(rq, module);
                pops.borrow_mut().pops += 1;
                platform::spin(draw.below(2000));
                qattach(stp, module, 0, false).expect("it opens");
                platform::spin(draw.below(4000));
            }
            return;
        }
        sleep_until(MS);
        for round in 0..60 {
            putnext(head.borrow().expect("the stream is there"), tagged(n as u64, round));
            platform::spin(draw.below(1000));
        }
    });
    match sim.run_until(30 * MS) {
        umpire_sim::SimState::Running => {}
        other => return Err(format!("{other:?}")),
    }
    let seen = seen.borrow();
    if seen.pops < 8 {
        return Err(format!("only {} pops came to their end", seen.pops));
    }
    Ok((seen.wrong.clone(), seen.arrived, sim.kernel().k_streams.memory.dblks_in_use()))
}

#[test]
fn nothing_of_an_instance_runs_after_qprocsoff() {
    let modules: [&'static Fmodsw; 5] = [&PAIR, &PERQ, &PERMOD, &OUTER, &SERVICED];
    for module in modules {
        let is_queueing = std::ptr::eq(module, &SERVICED);
        for seed in 0..16 {
            let (wrong, arrived, left) = storm(module, seed, mutant::Set::NONE)
                .unwrap_or_else(|e| panic!("{} seed {seed}: {e}", module.f_name));
            assert!(wrong.is_empty(), "{} seed {seed}: {wrong:?}", module.f_name);
            // A module that queues takes what it has with it; the others have nothing when they go.
            assert!(arrived == 120 || is_queueing, "{} seed {seed}: {arrived} arrived", module.f_name);
            assert_eq!(left, 0, "{} seed {seed}: messages are conserved", module.f_name);
        }
    }
    let is_caught =
        |seed| storm(&PAIR, seed, mutant::REMOVE_BLIND.into()).is_ok_and(|(wrong, ..)| wrong.is_empty());
    assert!((0..60).any(|seed| !is_caught(seed)), "the mutant was never caught");
}
