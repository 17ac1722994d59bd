//! `heartbeat`: each CPU gets through its interrupts.
//!
//! A CPU whose level stays raised looks well from everywhere else: no queue of its need be wrong, no clock of its is late where it has
//! none, and whoever could tell has to wait below that level as well. What shows it is what the CPU owes: an interrupt that has
//! arrived and is not taken, or a timer that is due and does not fire.
//!
//! - An interrupt of level `n` is pending, and no handler of level `n` begins. It is taken as soon as the level comes down below
//!   `n`, so the level has stayed at `n` or above, or what lowers it forgets to look.
//! - The first of the CPU's cyclics is past its time, the timer does not fire, and its interrupt is not pending either: it was
//!   never armed, or is lost.
//!
//! A CPU that owes nothing is not judged, whatever its level: an idle CPU without a tick, and one at level 15 for which nothing has
//! arrived. That is not for ever: each CPU that is online has the deadman's cyclic, so its timer is due once a second.
//!
//! # How it is charged
//! With the time that the CPU had: what its vCPU ran, or all while it is halted and the host does not keep it waiting. While handlers of
//! higher levels begin, less what the host kept from it: devices do not wait with their interrupts until a vCPU runs, so what has come
//! meanwhile is handled first.
//!
//! # Excuses
//! - `vcpu_away`: the host did not run the vCPU.
//! - `down`: the CPU has not come up, or was powered off.
//! - `paused`: `pause_cpus` holds the CPU, or its thread has paused the others: levels up to 11 wait. The timer may not.
//! - `blocked_handler`: a handler is blocked, and keeps its level and those below from the CPU (`cpu_base_spl`).
//!
//! # Invariants
//! - One handler of a level that begins forgives what that level was charged.
//! - The guest's clock is at least what a CPU has published of it, and goes on from there as the sampler's does; so a cyclic that
//!   seems due is.

use super::evidence::{Chosen, ms};
use super::interval::{Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Exhibits, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{CpuSample, Needs, Snapshot};
use umpire_shared::sys::cpuvar::flag;
use umpire_shared::sys::machlock::{DISP_LEVEL, HIGH_PIL, LEVELS};

pub(super) static HEARTBEAT: Declaration = Declaration {
    name: "heartbeat",
    broken_when: "an interrupt has been pending on a CPU for longer than `limit` without a handler of its level beginning, or a CPU's timer has been overdue for as long",
    charged_with: "time that the CPU had: its running time, or all while it is halted",
    judges: "CPUs that are up",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::VcpuAway, Excuse::Down, Excuse::Paused, Excuse::BlockedHandler],
    proof: Proof::Mutant("limit = \"100ms\""),
    standing_ms: Some(100),
    is_exact: false,
    new: |bound| Box::new(Heartbeat::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Heartbeat {
    ledger: Ledger,
    interval: Interval,
    /// By CPU.
    owed: Vec<Owed>,
    guest: GuestClock,
    found: Option<Found>,
}

/// What a CPU owes.
#[derive(Debug, Clone, Default)]
struct Owed {
    /// By level: how many of its handlers had begun when an interrupt was found pending.
    pending: [Stretch<u64>; LEVELS as usize],
    /// By level: how many of its handlers had begun at the last pass.
    begun: [u64; LEVELS as usize],
    /// How often the timer had fired, and what was due.
    timer: Stretch<(u64, u64)>,
}

/// The least that the guest's clock can show.
#[derive(Debug, Default)]
struct GuestClock {
    published_ns: u64,
    now_ns: u64,
}

/// What broke the bound.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// The level of the pending interrupt, `None` for the timer.
    level: Option<u32>,
    pil: u32,
    chosen: Chosen,
}

impl GuestClock {
    fn step(&mut self, seen: &Snapshot, wall_ns: u64) {
        let published = seen.cpus.iter().map(|cpu| cpu.interrupts.since_ns).max().unwrap_or(0);
        // Anew from each stamp: two clocks that go on beside each other drift apart.
        self.now_ns =
            if published > self.published_ns { published } else { self.now_ns.wrapping_add(wall_ns) };
        self.published_ns = published;
    }
}

impl Heartbeat {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Heartbeat {
        Heartbeat {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            owed: Vec::new(),
            guest: GuestClock::default(),
            found: None,
        }
    }

    /// Why an interrupt of this level may wait.
    fn excuse(seen: &Snapshot, cpu: &CpuSample, level: u32) -> Option<Excuse> {
        let is_held = cpu.thread == cpu.interrupts.pause_thread || cpu.thread == seen.pauser;
        if level <= DISP_LEVEL && is_held {
            Some(Excuse::Paused)
        } else if level <= u32::from(cpu.interrupts.base_spl) {
            Some(Excuse::BlockedHandler)
        } else {
            None
        }
    }

    fn observe_cpu(&mut self, seen: &Snapshot, n: u32, cpu: &CpuSample) -> Option<Breach> {
        let owed = &mut self.owed[n as usize];
        let (had, wall) = (self.interval.had(n), self.interval.wall_ns());
        let is_up = is_up(cpu);
        if !is_up && cpu.interrupts.pending != 0 {
            self.ledger.accept(Excuse::Down);
        }
        let subject = Subject { cpu: Some(n), ..Subject::default() };
        let mut first = None;
        let begun: [u64; LEVELS as usize] =
            std::array::from_fn(|level| cpu.interrupts.taken.of_level(level as u32));
        let highest = (0..LEVELS).rev().find(|&level| begun[level as usize] != owed.begun[level as usize]);
        owed.begun = begun;
        let kept = wall.saturating_sub(had);
        for (level, stretch) in (0..LEVELS).zip(&mut owed.pending) {
            let is_behind = highest.is_some_and(|highest| highest > level);
            let had = if is_behind { had.saturating_sub(kept) } else { had };
            let is_owed = is_up && cpu.interrupts.pending >> level & 1 == 1;
            let excuse = if is_owed { Heartbeat::excuse(seen, cpu, level) } else { None };
            if let Some(excuse) = excuse {
                self.ledger.accept(excuse);
            }
            let key = (is_owed && excuse.is_none()).then(|| cpu.interrupts.taken.of_level(level));
            let Some(charged) = stretch.see(key, had) else { continue };
            if had == 0 {
                self.ledger.accept(Excuse::VcpuAway);
            }
            if let Some(breach) = self.ledger.enter(subject, charged, wall, seen.now_ns) {
                first = Some((Some(level), breach));
            }
        }
        let due = cpu.first_due_ns();
        let is_due = is_up && due < self.guest.now_ns && cpu.interrupts.pending >> HIGH_PIL & 1 == 0;
        let key = is_due.then_some((cpu.interrupts.fires, due));
        if let Some(charged) = owed.timer.see(key, had)
            && let Some(breach) = self.ledger.enter(subject, charged, wall, seen.now_ns)
        {
            first = first.or(Some((None, breach)));
        }
        let (level, breach) = first?;
        self.found = Some(Found { level, pil: cpu.interrupts.pil, chosen: Chosen::on(seen, cpu) });
        Some(breach)
    }
}

impl Monitor for Heartbeat {
    fn needs(&self) -> Needs {
        Needs { interrupts: true, cyclics: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.guest.step(seen, self.interval.wall_ns());
        self.owed.resize(seen.cpus.len(), Owed::default());
        let (mut first, mut judged) = (None, Judged::NOTHING);
        for (cpu, n) in seen.cpus.iter().zip(0..) {
            if is_up(cpu) {
                judged.met(self.interval.had(n));
            }
            let breach = self.observe_cpu(seen, n, cpu);
            first = first.or(breach);
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
        let (Some(cpu), Some(Found { level, pil, chosen })) = (breach.cpu, self.found) else {
            return String::new();
        };
        let (lasted, there) = (ms(breach.lasted_ns), chosen.described(evidence));
        match level {
            Some(level) if pil >= level => format!(
                "cpu {cpu} has not taken an interrupt of level {level} for {lasted} ms of its own time: its level is {pil}, and {there} runs there"
            ),
            Some(level) => format!(
                "cpu {cpu} has not taken an interrupt of level {level} for {lasted} ms of its own time, although its level is {pil}: it is pending, and nothing looks; {there} runs there"
            ),
            None => format!(
                "the timer of cpu {cpu} has been due for {lasted} ms of its own time, has not fired and is not pending: it was not armed; {there} runs there"
            ),
        }
    }

    /// The CPUs that are halted while they owe something, long before the charge reaches the limit.
    fn doubts(&self) -> u32 {
        let near = self.ledger.limit_ns() / 8;
        let is_near = |owed: &Owed| {
            owed.timer.charge_ns() > near || owed.pending.iter().any(|level| level.charge_ns() > near)
        };
        let cpus = self.owed.iter().zip(0..).filter(|&(owed, n)| self.interval.is_halted(n) && is_near(owed));
        cpus.fold(0, |bits, (_, n)| bits | 1 << n)
    }
}

fn is_up(cpu: &CpuSample) -> bool {
    cpu.flags & flag::READY != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::CyclicSample;
    use crate::monitor::bench::{Bench, MS, assert_excused};
    use umpire_shared::sys::cyclic::flag as cyf;

    /// CPU 1 runs thread 4 at level 15, and its timer's interrupt is pending.
    fn bench() -> Bench {
        let mut bench = Bench::new(Heartbeat::new(20 * MS));
        bench.run(1, 4, 20);
        bench.seen.cpus.iter_mut().for_each(|cpu| cpu.flags = flag::READY);
        (bench.seen.cpus[1].interrupts.pil, bench.seen.cpus[1].interrupts.pending) = (15, 1 << HIGH_PIL);
        bench
    }

    #[test]
    fn observe_interrupt_that_is_not_taken_returns_one_breach_just_past_the_limit() {
        let mut bench = bench();

        let breaches = bench.passes(100, [1, 1]);

        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].cpu, breaches[0].lasted_ns), (Some(1), 21 * MS));
        let said = bench.sentence(&breaches[0]);
        assert!(
            said.contains("interrupt of level 14 for 21.0 ms of its own time: its level is 15"),
            "{said}"
        );
    }

    #[test]
    fn observe_level_15_that_owes_nothing_is_not_judged() {
        let mut bench = bench();
        bench.seen.cpus[1].interrupts.pending = 0;

        assert_eq!(bench.passes(100, [1, 1]).len(), 0);
    }

    #[test]
    fn observe_interrupt_that_is_pending_again_and_again_is_forgiven_by_each_handler() {
        let mut bench = bench();

        for n in 0..200 {
            bench.seen.cpus[1].interrupts.taken.counts[HIGH_PIL as usize - 1] = n / 15;
            assert_eq!(bench.pass([1, 1]), None, "pass {n}");
        }
    }

    #[test]
    fn observe_interrupt_behind_those_of_devices_is_not_charged_with_what_the_host_kept() {
        let check = |wall: u64, above: usize| {
            let mut bench = bench();
            bench.seen.cpus[1].interrupts.pending = 1 << 6;
            let passes = (0..400).map(|n| {
                bench.seen.cpus[1].interrupts.taken.counts[above - 1] = n;
                bench.seen.now_ns += (wall - 1) * MS;
                bench.pass([1, 1])
            });
            passes.flatten().count()
        };

        // The host leaves it a third of its time; handlers begin above, or below.
        assert_eq!((check(3, 12), check(3, 4), check(1, 12)), (0, 1, 1));
    }

    #[test]
    fn observe_timer_that_is_overdue_and_does_not_fire_is_accused() {
        let mut bench = bench();
        let cpu = &mut bench.seen.cpus[1];
        (cpu.interrupts.pending, cpu.interrupts.pil, cpu.interrupts.since_ns) = (0, 0, 7 * MS);
        let due =
            CyclicSample { handler: 2, expire_ns: 17 * MS, flags: cyf::USED, ..CyclicSample::default() };
        let free = CyclicSample { flags: 0, expire_ns: MS, ..due };
        let moving = CyclicSample { flags: cyf::USED | cyf::MOVING, expire_ns: MS, ..due };
        cpu.cyclics = vec![free, moving, due];

        let breaches = bench.passes(100, [1, 1]);

        assert_eq!(breaches.len(), 1);
        // The first pass finds a clock of 7 ms, the 12th one that is past 17.
        assert_eq!(breaches[0].at_ns, bench.seen.now_ns - 100 * MS + 33 * MS);
        assert!(bench.sentence(&breaches[0]).starts_with("the timer of cpu 1 has been due for 21.0 ms"));
    }

    #[test]
    fn observe_timer_of_a_halted_cpu_is_charged_with_wall_time_unless_the_host_keeps_it_waiting() {
        let check = |is_ready| {
            let mut bench = bench();
            let cpu = &mut bench.seen.cpus[1];
            cpu.disp_flags = umpire_shared::sys::cpuvar::disp_flag::HALTED;
            bench.seen.readings[1].is_ready = is_ready;
            bench.passes(100, [1, 0]).len()
        };

        assert_eq!((check(false), check(true)), (1, 0));
    }

    #[test]
    fn observe_each_excuse_is_counted_and_not_charged() {
        assert_excused(bench, Excuse::VcpuAway, [1, 0], |_| {});
        assert_excused(bench, Excuse::Down, [1, 1], |b| b.seen.cpus[1].flags = 0);
        assert_excused(bench, Excuse::BlockedHandler, [1, 1], |b| {
            (b.seen.cpus[1].interrupts.pending, b.seen.cpus[1].interrupts.base_spl) = (1 << 6, 6);
        });
        assert_excused(bench, Excuse::Paused, [1, 1], |b| {
            b.seen.cpus[1].interrupts.pending = 1 << DISP_LEVEL;
            b.seen.cpus[1].interrupts.pause_thread = b.seen.cpus[1].thread;
        });
        assert_excused(bench, Excuse::Paused, [1, 1], |b| {
            b.seen.cpus[1].interrupts.pending = 1 << DISP_LEVEL;
            b.seen.pauser = b.seen.cpus[1].thread;
        });
    }

    #[test]
    fn observe_pause_does_not_excuse_the_timer() {
        let mut bench = bench();
        bench.seen.pauser = bench.seen.cpus[1].thread;

        assert_eq!(bench.passes(100, [1, 1]).len(), 1);
    }
}
