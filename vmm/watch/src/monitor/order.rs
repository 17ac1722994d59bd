//! `order`: no CPU runs something worse than the best that it may run without having been asked to stop.
//!
//! The enqueue of a thread asks the CPU to think again (`disp.c cpu_resched`, facts 2.17). A CPU in user mode has `cpu_runrun` set for
//! any better thread, a CPU in the kernel `cpu_kprunrun` for one at `kpreemptpri` or better. `disp_ratify` makes sure that no
//! choice overlooks an arrival. So if the best of a queue is better than what runs and no flag is set, nothing will ever ask.
//! For a kp queue it is enough if one CPU of the partition runs something as good, has been asked, or idles.
//!
//! # How it is charged
//! With the running time of the CPU's vCPU, from pass to pass, as long as the CPU neither switches nor preempts. A pass that finds it
//! in an interrupt charges nothing and ends nothing: the thread that the interrupt pins goes on afterwards.
//!
//! # Excuses
//! - `torn`: the queue could not be read consistently.
//! - `below_kpreemptpri`: the CPU is in the kernel, and the better thread may not preempt that.
//! - `preempt_off`: the thread has `t_preempt` raised.
//! - `interrupts`: the CPU handles an interrupt, or runs an interrupt thread that pins another.
//! - `switching`: the CPU is in the middle of a switch.
//! - `locked`: the CPU's queue, or the thread that runs there, is locked: whoever has the lock may be about to ask.
//!
//! # Invariants
//! - A flag that is set, fresh or old, is never held against the kernel here: that is `preempt_owed`.

use super::evidence::{Chosen, ms};
use super::interval::{Dispatch, Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Exhibits, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{CpuSample, Needs, Place, QueueSample, Snapshot};

pub(super) static ORDER: Declaration = Declaration {
    name: "order",
    broken_when: "a CPU has run something worse than the best of its queue for longer than `limit`, though that thread may preempt it, and no flag is set; for a kp queue, every CPU of the partition",
    charged_with: "running time of that vCPU, without a switch or preemption",
    judges: "queues on which something waits, each with what its CPU runs; not what is excused",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[
        Excuse::Torn,
        Excuse::BelowKpreemptpri,
        Excuse::PreemptOff,
        Excuse::Interrupts,
        Excuse::Switching,
        Excuse::Locked,
    ],
    proof: Proof::Mutant("limit = \"50ms\""),
    standing_ms: Some(50),
    is_exact: false,
    new: |bound| Box::new(Order::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Order {
    ledger: Ledger,
    interval: Interval,
    /// By queue: each CPU's, then the partitions'.
    wrong: Vec<Stretch<Wrong>>,
    found: Option<Found>,
}

/// The CPU that broke the bound.
#[derive(Debug, Clone, Copy)]
struct Found {
    id: u32,
    runrun: bool,
    chosen: Chosen,
}

/// A CPU that runs something worse, unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wrong {
    cpu: u32,
    dispatch: Dispatch,
}

/// How a CPU stands to a better thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// It is as good, idles, or has been asked.
    Fine,
    /// It is worse and has not been asked, but need not be.
    Excused(Excuse),
    /// It is worse, and was not asked.
    Unasked,
}

impl Order {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Order {
        Order { ledger: Ledger::new(limit_ns), interval: Interval::default(), wrong: Vec::new(), found: None }
    }

    /// How this queue's best thread is served; on a kp queue the CPU of the partition that serves it best decides. Also returns the
    /// CPU that should have been asked, if none was.
    fn service(&mut self, seen: &Snapshot, place: Place, queue: &QueueSample) -> (Stand, Option<u32>) {
        let of = |cpu| stand(seen, cpu, queue.maxrunpri);
        let (stand, cpu) = match place {
            Place::Cpu(n) => (of(&seen.cpus[n as usize]), Some(n)),
            Place::Part(part) => {
                let of_part = || seen.cpus_of(part).filter(|(_, cpu)| cpu.takes_work());
                let best = of_part().map(|(_, cpu)| of(cpu)).min_by_key(|stand| stand.rank());
                (
                    best.unwrap_or(Stand::Unasked),
                    of_part().min_by_key(|(_, cpu)| cpu.dispatch_pri).map(|(n, _)| n),
                )
            }
        };
        if let Stand::Excused(excuse) = stand {
            self.ledger.accept(excuse);
        }
        (stand, cpu.filter(|_| stand == Stand::Unasked))
    }

    /// What the CPUs had that look at this queue; of several the one that had most.
    fn judged_ns(&self, seen: &Snapshot, place: Place) -> u64 {
        match place {
            Place::Cpu(n) => self.interval.ran(n),
            Place::Part(part) => seen.cpus_of(part).map(|(n, _)| self.interval.ran(n)).max().unwrap_or(0),
        }
    }
}

impl Stand {
    /// The lower, the better the service. An interrupt hides what the CPU will go on with, so of the excuses it says least.
    fn rank(self) -> u8 {
        match self {
            Stand::Fine => 0,
            Stand::Excused(Excuse::Interrupts) => 2,
            Stand::Excused(_) => 1,
            Stand::Unasked => 3,
        }
    }
}

impl Monitor for Order {
    fn needs(&self) -> Needs {
        Needs { runners: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.wrong.resize(seen.cpus.len() + seen.kps.len(), Stretch::default());
        let (mut first, mut judged) = (None, Judged::NOTHING);
        for (n, (place, queue)) in seen.queues().enumerate() {
            if !queue.verdict.is_trusted() {
                self.ledger.accept(Excuse::Torn);
                continue;
            }
            let is_empty = queue.maxrunpri < 0;
            let (stand, cpu) = if is_empty { (Stand::Fine, None) } else { self.service(seen, place, queue) };
            if !is_empty && !matches!(stand, Stand::Excused(_)) {
                judged.met(self.judged_ns(seen, place));
            }
            if stand == Stand::Excused(Excuse::Interrupts) {
                continue;
            }
            let wrong = cpu.map(|cpu| Wrong { cpu, dispatch: self.interval.dispatch(cpu) });
            let ran = cpu.map_or(0, |cpu| self.interval.ran(cpu));
            let Some(charged) = self.wrong[n].see(wrong, ran) else { continue };
            let best = queue.threads.first().map(|thread| thread.index);
            let subject = Subject { thread: best, cpu, part: place.part() };
            first = first.or(self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns));
        }
        if let Some(cpu) = first.and_then(|breach| seen.cpus.get(breach.cpu? as usize)) {
            self.found = Some(Found { id: cpu.id, runrun: cpu.runrun, chosen: Chosen::on(seen, cpu) });
        }
        judged.found(first)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn exhibits(&self, _seen: &Snapshot, breach: &Breach) -> Exhibits {
        Exhibits::of(breach).naming(self.found.and_then(|found| found.chosen.thread()))
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let Some(Found { id, runrun, chosen }) = self.found else { return String::new() };
        let best = evidence.thread(breach.thread);
        let place = breach.part.map_or(Place::Cpu(id), Place::Part);
        let flags = if runrun { "only cpu_runrun is set" } else { "neither flag is set" };
        format!(
            "cpu {id} ran {} for {} ms of its own time although {best} waits on {place}: {flags}, so nobody asked it to think again",
            chosen.described(evidence),
            ms(breach.lasted_ns),
        )
    }
}

fn stand(seen: &Snapshot, cpu: &CpuSample, best: i16) -> Stand {
    let runner = &cpu.runner;
    if cpu.dispatch_pri < 0 || cpu.dispatch_pri >= best {
        return Stand::Fine;
    }
    let asked = cpu.kprunrun || (runner.is_user() && cpu.runrun);
    let threshold = if runner.is_user() { seen.upreemptpri } else { seen.kpreemptpri };
    if asked {
        Stand::Fine
    } else if cpu.is_locked() {
        Stand::Excused(Excuse::Locked)
    } else if cpu.handles.is_some() || cpu.is_pinning() {
        Stand::Excused(Excuse::Interrupts)
    } else if cpu.thread != cpu.dispthread || runner.index.is_none() {
        Stand::Excused(Excuse::Switching)
    } else if runner.preempt > 0 {
        Stand::Excused(Excuse::PreemptOff)
    } else if i32::from(best) < threshold {
        Stand::Excused(Excuse::BelowKpreemptpri)
    } else {
        Stand::Unasked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS, assert_excused};
    use umpire_shared::sys::klwp::lwp;

    /// Both CPUs run something at 20 in the kernel; a 99 waits on CPU 1's queue.
    fn bench() -> Bench {
        let mut bench = Bench::new(Order::new(20 * MS));
        bench.seen.kpreemptpri = 99;
        bench.run(0, 0, 20);
        bench.run(1, 1, 20);
        bench.queue(1, 2, 99, true);
        bench
    }

    #[test]
    fn observe_better_thread_that_nobody_asks_for_returns_one_breach() {
        let mut bench = bench();

        let breaches = bench.passes(100, [1, 1]);

        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].cpu, breaches[0].thread, breaches[0].lasted_ns), (Some(1), Some(2), 21 * MS));
    }

    #[test]
    fn observe_flag_that_is_set_or_a_cpu_that_is_as_good_returns_none() {
        let mut asked = bench();
        asked.seen.cpus[1].kprunrun = true;
        assert_eq!(asked.passes(100, [1, 1]).len(), 0);

        let mut good = bench();
        good.seen.cpus[1].dispatch_pri = 99;
        assert_eq!(good.passes(100, [1, 1]).len(), 0);
    }

    #[test]
    fn observe_runrun_is_enough_in_user_mode_and_not_in_the_kernel() {
        let mut user = bench();
        user.seen.cpus[1].runrun = true;
        user.seen.cpus[1].runner.lwp_state = lwp::USER;
        assert_eq!(user.passes(100, [1, 1]).len(), 0);

        let mut kernel = bench();
        kernel.seen.cpus[1].runrun = true;
        assert_eq!(kernel.passes(100, [1, 1]).len(), 1);
    }

    #[test]
    fn observe_kp_queue_is_wrong_only_if_every_cpu_is() {
        let mut every = bench();
        every.seen.cpus[1].queue.threads.clear();
        every.seen.cpus[1].queue.maxrunpri = -1;
        every.queue_kp(2, 99);
        let breaches = every.passes(100, [1, 1]);
        assert_eq!(breaches.first().map(|b| b.part), Some(Some(0)));

        let mut one = bench();
        one.seen.cpus[1].queue.threads.clear();
        one.seen.cpus[1].queue.maxrunpri = -1;
        one.queue_kp(2, 99);
        one.seen.cpus[0].kprunrun = true;
        assert_eq!(one.passes(100, [1, 1]).len(), 0);
    }

    #[test]
    fn observe_each_excuse_is_counted_and_not_charged() {
        let check = |excuse, spoil: fn(&mut Bench)| assert_excused(bench, excuse, [1, 1], spoil);

        check(Excuse::BelowKpreemptpri, |b| b.seen.kpreemptpri = 100);
        check(Excuse::PreemptOff, |b| b.seen.cpus[1].runner.preempt = 1);
        check(Excuse::Interrupts, |b| b.seen.cpus[1].handles = Some(6));
        check(Excuse::Switching, |b| b.seen.cpus[1].dispthread = 0);
        check(Excuse::Torn, |b| b.seen.cpus[1].queue.verdict = crate::glass::Verdict::Torn);
    }

    #[test]
    fn observe_interrupt_that_is_met_now_and_then_ends_nothing() {
        let mut own = bench();
        let mut kp = bench();
        kp.seen.cpus[1].queue.threads.clear();
        kp.seen.cpus[1].queue.maxrunpri = -1;
        kp.queue_kp(2, 99);
        for bench in [&mut own, &mut kp] {
            let mut breaches = 0;
            for n in 0..200 {
                bench.seen.cpus[1].handles = (n % 7 == 0).then_some(6);
                breaches += usize::from(bench.pass([1, 1]).is_some());
            }
            assert_eq!(breaches, 1);
        }
    }

    #[test]
    fn observe_switch_in_between_begins_anew() {
        let mut bench = bench();

        for n in 0..200 {
            bench.seen.cpus[1].runner.inv_swtch = n / 15;
            assert_eq!(bench.pass([1, 1]), None);
        }
    }
}
