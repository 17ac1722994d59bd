//! What the host keeps from one vCPU is not charged to another.
//!
//! A CPU that spins waits for another: for the holder of a dispatcher lock or a spin mutex, for the owner of a mutex, for an answer to
//! a cross call, for the end of a pause. If the host does not run the other's vCPU, the one that spins runs, and gets nothing done.
//! So before any monitor sees a pass, what each vCPU ran is lessened by the time that it spun while a vCPU that can have been the
//! other was away. This holds for every monitor, whatever it charges, since all of them charge with these times.
//!
//! ```text
//!   vCPU 2                    vCPU 3                          worth to the monitors
//!   takes the lock
//!   the host takes it off
//!      away                   spins for the lock, runs 30 ms   vCPU 2: 0      vCPU 3: 0
//!   comes back
//!      runs with the lock     spins for the lock, runs 1 ms    vCPU 2: 1 ms   vCPU 3: 1 ms
//! ```
//!
//! # Who can have been the other
//! What the guest says (`spin_cpus`), or every CPU if it does not say: a dispatcher lock does not name its holder. A CPU that sleeps in
//! its halt holds no lock and was kept from nothing, if the host says that its thread is not ready to run. A CPU that spins itself
//! is kept from working by whom it waits for: a chain of waits ends at the CPU that is away.
//!
//! # A host CPU that takes no interrupts
//! has its vCPU run on: no poke reaches that, and nothing else gets the CPU. It is known by those who wait for it. Once a vCPU has run
//! on end for [`SLICE_NS`], and for half as long another has been ready for the same host CPU and got nothing, it is not there either.
//!
//! ```text
//!   vCPU 3, on host CPU 0                   vCPU 1, ready for host CPU 0      worth to the monitors
//!   runs; CPU 0 takes no interrupt any more
//!   runs for 20 ms                          gets nothing                      vCPU 3: 20 ms
//!   runs on, is poked, does not notice      gets nothing                      vCPU 3: nothing
//!   CPU 0 takes interrupts again
//!   takes the poke                          runs                              what each runs
//! ```
//!
//! # Invariants
//! - What is taken away for spinning is at most what the CPU spun, and at most what another was away: a lock that a running CPU keeps,
//!   or time that is not spent in spinning, is charged as ever.
//! - A vCPU that shares its host CPU with no other runs as long as it runs.
//! - A vCPU's time never goes back.
//! - Nothing here allocates once every CPU has been met.

use umpire_shared::MAX_CPUS;

use crate::glass::{CpuReading, CpuSample, Snapshot};

/// What a CPU may have spun beyond what it ran, in ns: its memory is read a moment after its clock.
const MOST_AHEAD_NS: u64 = 1_000_000;
/// For longer than this no host lets a vCPU run on end while another of the same weight is ready for that CPU, in ns: some times the
/// slice that Linux gives, which is 3 ms and ends at a tick of at most 10 ms.
const SLICE_NS: u64 = 20_000_000;
/// Steps of a chain of waits that are followed.
const MOST_STEPS: usize = 3;

/// One CPU at one pass.
#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    ran_ns: u64,
    /// What the host says that it kept from it, if it was asked.
    steal_ns: Option<u64>,
    /// What it has spun, the turn in which it is included.
    spin_ns: u64,
    is_halted: bool,
    /// True if it is known to sleep in its halt.
    is_asleep: bool,
}

impl Moment {
    /// What the host kept from the CPU since `before`, of a time in which it did not run. It may have slept for a part of that. If it
    /// sleeps now, the host has told all of its waits; if not, one may go on that the host has not told yet.
    fn kept_ns(&self, before: &Moment, idle_ns: u64) -> u64 {
        match (self.is_asleep, self.steal_ns, before.steal_ns) {
            (true, Some(now), Some(then)) => now.saturating_sub(then).min(idle_ns),
            (true, ..) if before.is_halted => 0,
            _ => idle_ns,
        }
    }
}

/// The vCPUs' times, less what each spent waiting for one that was away.
#[derive(Debug, Default)]
pub(super) struct Absences {
    before: Vec<Moment>,
    at_ns: Option<u64>,
    /// What has been taken away from each so far.
    taken_ns: [u64; MAX_CPUS],
    /// Room for what each CPU was kept from working in an interval.
    kept_ns: [u64; MAX_CPUS],
    spun_ns: [u64; MAX_CPUS],
    /// What each spun after its clock was read: it ran that in the next interval.
    ahead_ns: [u64; MAX_CPUS],
    /// For how long each has not run since it last counted a turn. A turn in which the host takes the CPU off counts that time as well.
    off_ns: [u64; MAX_CPUS],
    /// Room for what each ran in an interval.
    ran_ns: [u64; MAX_CPUS],
    /// For how long each has run on end.
    on_ns: [u64; MAX_CPUS],
    /// For how long each has run nothing, and was not known to sleep; and for how long it was known to be ready.
    out_ns: [u64; MAX_CPUS],
    waits_ns: [u64; MAX_CPUS],
}

/// What was taken out of the running times of a pass, in ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Taken {
    /// Spent in waiting for vCPUs that were away.
    pub(super) spun_ns: u64,
    /// Run on a host CPU that took no interrupts.
    pub(super) deaf_ns: u64,
}

impl Absences {
    /// Goes on to a pass, and takes out of its running times what was spent in waiting for vCPUs that were away, and what was run on a
    /// host CPU that takes no interrupts. Whether a CPU is ready to run is known of those in `asked`, a bit each.
    pub(super) fn step(&mut self, seen: &mut Snapshot, asked: u32) -> Taken {
        let wall_ns = self.at_ns.map_or(0, |at_ns| seen.now_ns.saturating_sub(at_ns));
        self.at_ns = Some(seen.now_ns);
        self.before.resize(seen.cpus.len(), Moment::default());
        self.kept_ns = [0; MAX_CPUS];
        self.spun_ns = [0; MAX_CPUS];
        self.ran_ns = [0; MAX_CPUS];
        let mut asleep = 0;
        for (n, (cpu, reading)) in seen.cpus.iter().zip(&seen.readings).enumerate().take(MAX_CPUS) {
            let is_known = asked >> n & 1 == 1;
            let now = Moment {
                ran_ns: reading.ran_ns,
                steal_ns: is_known.then_some(reading.steal_ns),
                spin_ns: cpu.spin_ns.wrapping_add(reading.guest_ns.map_or(0, |ns| in_turn_ns(cpu, ns))),
                is_halted: cpu.is_halted(),
                is_asleep: is_known && cpu.is_halted() && !reading.is_ready,
            };
            let before = std::mem::replace(&mut self.before[n], now);
            if wall_ns > 0 {
                let ran_ns = now.ran_ns.saturating_sub(before.ran_ns);
                let counted_ns = now.spin_ns.saturating_sub(before.spin_ns);
                let off_ns = self.off_ns[n] + wall_ns.saturating_sub(ran_ns);
                self.off_ns[n] = if counted_ns == 0 { off_ns } else { 0 };
                let spun_ns = self.ahead_ns[n].saturating_add(counted_ns);
                self.spun_ns[n] = spun_ns.min(ran_ns);
                let beyond_ns = spun_ns - self.spun_ns[n];
                self.ahead_ns[n] = beyond_ns.saturating_sub(off_ns).min(MOST_AHEAD_NS);
                self.kept_ns[n] = now.kept_ns(&before, wall_ns.saturating_sub(ran_ns));
                self.ran_ns[n] = ran_ns;
                // Clocks are read one after the other: what this pass misses of one is too much in the next.
                self.on_ns[n] = if ran_ns > wall_ns / 2 { self.on_ns[n] + wall_ns } else { 0 };
                let (is_out, is_asleep) = (ran_ns == 0, is_known && !reading.is_ready);
                self.out_ns[n] = if is_out && !is_asleep { self.out_ns[n] + wall_ns } else { 0 };
                self.waits_ns[n] =
                    if is_out && is_known && !is_asleep { self.waits_ns[n] + wall_ns } else { 0 };
            }
            asleep |= u64::from(before.is_halted && now.is_halted) << n;
        }
        let deaf = self.deaf(&seen.readings);
        let deaf_ns: [u64; MAX_CPUS] =
            std::array::from_fn(|n| if deaf >> n & 1 == 1 { self.ran_ns[n] } else { 0 });
        self.kept_ns.iter_mut().zip(&deaf_ns).for_each(|(kept_ns, deaf_ns)| *kept_ns += deaf_ns);
        let away_ns = self.kept_ns;
        for _ in 0..MOST_STEPS {
            let kept_ns = self.kept_ns;
            for (n, cpu) in seen.cpus.iter().enumerate().take(MAX_CPUS) {
                let others = waited_for(cpu, n, asleep);
                let by_others = (0..MAX_CPUS).filter(|m| others >> m & 1 == 1).map(|m| kept_ns[m]).max();
                self.kept_ns[n] = away_ns[n] + self.spun_ns[n].min(by_others.unwrap_or(0));
            }
        }
        let mut taken = Taken::default();
        for (n, reading) in seen.readings.iter_mut().enumerate().take(MAX_CPUS) {
            let spun_ns = (self.kept_ns[n] - away_ns[n]).min(self.ran_ns[n] - deaf_ns[n]);
            (taken.spun_ns, taken.deaf_ns) = (taken.spun_ns + spun_ns, taken.deaf_ns + deaf_ns[n]);
            self.taken_ns[n] += spun_ns + deaf_ns[n];
            reading.ran_ns = reading.ran_ns.saturating_sub(self.taken_ns[n]);
        }
        taken
    }

    /// The CPUs of which it should be known at the next pass whether they are ready to run, a bit each: all while any spins, those that
    /// have been called out of their halt, and, while any runs on end, those that run nothing and do not halt, with those that run on
    /// beside one that is ready. One that halts is not asked, as most do at most times, and two files of /proc are read for each.
    pub(super) fn doubts(&self, seen: &Snapshot) -> u32 {
        let is_spinning = self.spun_ns.iter().any(|&ns| ns > 0);
        let runs_on = |n: usize| self.on_ns[n] >= SLICE_NS / 2;
        let (any_runs_on, any_waits) = ((0..MAX_CPUS).any(runs_on), self.waits_ns.iter().any(|&ns| ns > 0));
        let beside = |n: usize, is_halted: bool| {
            any_runs_on && !is_halted && self.out_ns[n] >= SLICE_NS / 4 || any_waits && runs_on(n)
        };
        let doubted = |cpu: &CpuSample| {
            is_spinning || cpu.is_called || beside(cpu.id as usize % MAX_CPUS, cpu.is_halted())
        };
        seen.cpus.iter().take(MAX_CPUS).filter(|cpu| doubted(cpu)).fold(0, |bits, cpu| bits | 1 << cpu.id)
    }

    /// The CPUs that run on a host CPU that takes no interrupts, a bit each.
    fn deaf(&self, readings: &[CpuReading]) -> u64 {
        let waits_for = |host_cpu: Option<u32>| {
            let waits =
                |(n, of): (usize, &CpuReading)| self.waits_ns[n] >= SLICE_NS / 2 && of.host_cpu == host_cpu;
            host_cpu.is_some() && readings.iter().enumerate().take(MAX_CPUS).any(waits)
        };
        let is_deaf = |(n, of): (usize, &CpuReading)| self.on_ns[n] > SLICE_NS && waits_for(of.host_cpu);
        let bits = readings.iter().enumerate().take(MAX_CPUS).filter(|&of| is_deaf(of));
        bits.fold(0, |bits, (n, _)| bits | 1 << n)
    }

    /// What was taken away from all vCPUs so far, in ns.
    pub(super) fn taken_ns(&self) -> u64 {
        self.taken_ns.iter().sum()
    }
}

/// For how long a CPU has been in a turn of a wait at this time of the guest's clock. A turn that the host makes long may be in no
/// count for many passes: its end comes when the CPU gets on with it.
fn in_turn_ns(cpu: &CpuSample, guest_ns: u64) -> u64 {
    let is_in_turn = cpu.spin_for != 0 && cpu.spin_mark == cpu.intrs.wrapping_add(cpu.switches);
    if is_in_turn { guest_ns.saturating_sub(cpu.spin_since) } else { 0 }
}

/// The CPUs that the one with this number can have waited for. One that was halted all the time holds no lock, but may owe an answer.
fn waited_for(cpu: &CpuSample, n: usize, halted: u64) -> u64 {
    let named = if cpu.spin_cpus == 0 { !halted } else { cpu.spin_cpus };
    named & !(1 << n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::MS;
    use umpire_shared::sys::cpuvar::disp_flag;

    /// What each of three CPUs runs and spins in ms, in a pass of 1 ms.
    type Pass = [(u64, u64); 3];

    struct Passes {
        absences: Absences,
        raw: [u64; 3],
        guest_ns: Option<u64>,
        /// The host CPUs that they are ready for.
        ready_for: [Option<u32>; 3],
        seen: Snapshot,
    }

    impl Passes {
        fn begin() -> Passes {
            let mut seen = Snapshot { now_ns: 5 * MS, ..Snapshot::default() };
            seen.cpus.resize_with(3, CpuSample::default);
            seen.cpus.iter_mut().zip(0..).for_each(|(cpu, id)| cpu.id = id);
            let (absences, raw) = (Absences::default(), [7 * MS; 3]);
            let mut passes = Passes { absences, raw, guest_ns: None, ready_for: [None; 3], seen };
            passes.step([(0, 0); 3], 0);
            passes
        }

        /// Goes on by 1 ms; what each CPU is credited with so far, in ms beyond the beginning.
        fn step(&mut self, pass: Pass, asked: u32) -> [u64; 3] {
            self.seen.now_ns += MS;
            for (n, (ran, spun)) in pass.into_iter().enumerate() {
                self.raw[n] += ran * MS;
                self.seen.cpus[n].spin_ns += spun * MS;
            }
            self.guest_ns = self.guest_ns.map(|ns| ns + MS);
            let guest_ns = self.guest_ns;
            let reading = |(ran_ns, host_cpu): (u64, Option<u32>)| {
                let is_ready = host_cpu.is_some();
                CpuReading { ran_ns, is_ready, host_cpu, guest_ns, ..CpuReading::default() }
            };
            self.seen.readings = self.raw.into_iter().zip(self.ready_for).map(reading).collect();
            self.absences.step(&mut self.seen, asked);
            std::array::from_fn(|n| self.seen.readings[n].ran_ns / MS - 7)
        }
    }

    /// So many passes of 1 ms in which CPU 0 runs on, CPU 1 runs nothing, and CPU 2 runs every other one, spinning; what each is
    /// credited with.
    fn run_on(passes: &mut Passes, count: u64, asked: u32, ready_for: [Option<u32>; 3]) -> [u64; 3] {
        passes.ready_for = ready_for;
        let step = |n: u64| passes.step([(1, 0), (0, 0), (n % 2, 0)], asked);
        (0..count).map(step).last().unwrap_or_default()
    }

    #[test]
    fn step_takes_what_runs_on_while_another_is_ready_for_the_same_host_cpu() {
        let mut passes = Passes::begin();
        assert_eq!(run_on(&mut passes, 9, 0, [None; 3]), [9, 0, 4]);
        assert_eq!(passes.absences.doubts(&passes.seen), 0);
        assert_eq!(run_on(&mut passes, 1, 0, [None; 3]), [10, 0, 4]);
        assert_eq!(passes.absences.doubts(&passes.seen), 0b010, "who is out is asked about");
        assert_eq!(run_on(&mut passes, 50, 0b111, [Some(0), Some(0), Some(1)]), [20, 0, 29]);
        assert_eq!(passes.absences.doubts(&passes.seen), 0b011);
        // It spins for the one that runs on, as for one that is away.
        passes.seen.cpus[2].spin_cpus = 1 << 0;
        assert_eq!(passes.step([(1, 0), (0, 0), (1, 1)], 0b111), [20, 0, 29]);
        assert_eq!(passes.step([(0, 0), (1, 0), (1, 0)], 0b111), [20, 1, 30]);
        assert_eq!(
            run_on(&mut passes, 20, 0b111, [Some(0), Some(0), Some(1)]),
            [40, 1, 40],
            "what it runs counts again"
        );
    }

    #[test]
    fn step_lets_a_cpu_run_on_unless_another_is_known_to_be_ready_for_the_same_host_cpu() {
        for ready_for in [[Some(0), Some(1), Some(0)], [Some(0), None, Some(0)], [None, Some(0), Some(0)]] {
            assert_eq!(run_on(&mut Passes::begin(), 60, 0b111, ready_for)[0], 60, "{ready_for:?}");
        }
        assert_eq!(run_on(&mut Passes::begin(), 60, 0b101, [Some(0); 3])[0], 60);
    }

    #[test]
    fn doubts_are_not_about_who_halts_nor_about_who_was_seen_asleep_until_a_while_later() {
        let mut passes = Passes::begin();
        passes.seen.cpus[1].disp_flags = disp_flag::HALTED;
        run_on(&mut passes, 20, 0, [None; 3]);
        assert_eq!(passes.absences.doubts(&passes.seen), 0);
        passes.seen.cpus[1].disp_flags = 0;
        assert_eq!(passes.absences.doubts(&passes.seen), 0b010);
        run_on(&mut passes, 20, 0b010, [None; 3]);
        assert_eq!(passes.absences.doubts(&passes.seen), 0);
        run_on(&mut passes, 5, 0, [None; 3]);
        assert_eq!(passes.absences.doubts(&passes.seen), 0b010);
    }

    #[test]
    fn step_takes_what_a_cpu_spun_while_another_was_away_and_nothing_else() {
        let mut passes = Passes::begin();
        assert_eq!(passes.step([(0, 0), (1, 1), (1, 0)], 0), [0, 0, 1]);
        assert_eq!(passes.step([(1, 0), (1, 1), (1, 0)], 0), [1, 1, 2]);
        assert_eq!(passes.step([(0, 0), (1, 0), (1, 1)], 0), [1, 2, 2]);
        assert_eq!(passes.absences.taken_ns(), 2 * MS);
    }

    #[test]
    fn step_takes_what_a_cpu_spun_after_its_clock_was_read_from_the_next_interval() {
        let mut passes = Passes::begin();
        assert_eq!(passes.step([(0, 0), (1, 2), (1, 0)], 0), [0, 0, 1]);
        assert_eq!(passes.step([(0, 0), (1, 0), (1, 0)], 0), [0, 0, 2]);
        assert_eq!(passes.step([(0, 0), (1, 0), (1, 0)], 0), [0, 1, 3]);
        assert_eq!(passes.step([(0, 0), (0, 9), (1, 0)], 0), [0, 1, 4]);
        assert_eq!(passes.step([(0, 0), (3, 0), (1, 0)], 0), [0, 3, 5]);
    }

    #[test]
    fn step_does_not_take_for_spinning_that_a_cpu_was_off_in_the_middle_of_a_turn() {
        let mut passes = Passes::begin();
        passes.step([(0, 0), (0, 0), (1, 0)], 0);
        passes.step([(0, 0), (0, 0), (1, 0)], 0);
        assert_eq!(passes.step([(0, 0), (1, 3), (1, 0)], 0), [0, 0, 3]);
        assert_eq!(passes.step([(0, 0), (1, 0), (1, 0)], 0), [0, 1, 4]);
    }

    #[test]
    fn step_takes_a_turn_in_which_the_cpu_is_for_spinning_until_something_interrupts_it() {
        let mut passes = Passes::begin();
        passes.guest_ns = Some(100 * MS);
        let cpu = &mut passes.seen.cpus[1];
        (cpu.spin_for, cpu.spin_since, cpu.spin_mark, cpu.intrs, cpu.switches) = (1, 100 * MS, 7, 3, 4);
        assert_eq!(passes.step([(0, 0), (1, 0), (1, 0)], 0), [0, 0, 1]);
        assert_eq!(passes.step([(0, 0), (1, 0), (1, 0)], 0), [0, 0, 2]);
        // The turn ends, and is counted.
        passes.seen.cpus[1].spin_since = 103 * MS;
        assert_eq!(passes.step([(0, 0), (1, 3), (1, 0)], 0), [0, 0, 3]);
        passes.seen.cpus[1].intrs += 1;
        assert_eq!(passes.step([(0, 0), (1, 0), (1, 0)], 0), [0, 1, 4]);
    }

    #[test]
    fn step_blames_the_absence_of_the_cpu_that_is_named_and_of_no_other() {
        let mut passes = Passes::begin();
        passes.seen.cpus[1].spin_cpus = 1 << 2;
        assert_eq!(passes.step([(0, 0), (1, 1), (1, 0)], 0), [0, 1, 1]);
        assert_eq!(passes.step([(1, 0), (1, 1), (0, 0)], 0), [1, 1, 1]);
    }

    #[test]
    fn step_follows_a_chain_of_waits_to_the_cpu_that_is_away() {
        let mut passes = Passes::begin();
        passes.seen.cpus[0].spin_cpus = 1 << 1;
        passes.seen.cpus[1].spin_cpus = 1 << 2;
        assert_eq!(passes.step([(1, 1), (1, 1), (0, 0)], 0), [0, 0, 0]);
        assert_eq!(passes.step([(1, 1), (1, 1), (1, 0)], 0), [1, 1, 1]);
    }

    #[test]
    fn step_takes_nothing_for_a_cpu_that_sleeps_in_its_halt_unless_it_owes_an_answer_and_may_be_ready() {
        let mut passes = Passes::begin();
        passes.seen.cpus[0].disp_flags = disp_flag::HALTED;
        passes.step([(0, 0), (1, 0), (1, 0)], 0);
        assert_eq!(passes.step([(0, 0), (1, 1), (1, 0)], 0), [0, 2, 2]);
        assert_eq!(passes.absences.doubts(&passes.seen), 0b111);

        passes.seen.cpus[1].spin_cpus = 1 << 0;
        assert_eq!(passes.step([(0, 0), (1, 1), (1, 0)], 0), [0, 2, 3]);
        assert_eq!(passes.step([(0, 0), (1, 1), (1, 0)], 0b001), [0, 3, 4]);
    }

    #[test]
    fn step_takes_what_the_host_says_that_it_kept_from_a_cpu_that_sleeps_afterwards() {
        let mut passes = Passes::begin();
        assert_eq!(passes.step([(0, 0), (1, 1), (1, 0)], 0b001), [0, 0, 1]);
        passes.seen.cpus[0].disp_flags = disp_flag::HALTED;
        assert_eq!(passes.step([(0, 0), (1, 1), (1, 0)], 0b001), [0, 1, 2]);
    }
}
