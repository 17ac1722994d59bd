//! What the host kept from the vCPUs in a window: by so much the guest's microstates can be wrong.
//!
//! While a vCPU is away its thread is in the state that it had: it runs, or waits, by the guest's clock alone. If it is the clock's
//! vCPU, no tick ends anybody's turn either, so its time counts once for every CPU.
//!
//! # Invariants
//! - The host is asked in the last part of a window only, for that may read a file for each vCPU; its counts go on by themselves. What
//!   it kept in a window whose end came so late that nobody had asked is not known.
//! - A wait that the host has not told of, because it is not over, counts from when the vCPU last ran.
//! - Nothing here allocates once every CPU has been met.

use crate::glass::Snapshot;

/// The part of a window at whose end the host is asked.
const ASK_PART: u64 = 32;
/// Passes at whose end it is asked at least: the one that ends a window may come late.
const ASK_PASSES: u64 = 4;

/// One vCPU.
#[derive(Debug, Clone, Copy, Default)]
struct Vcpu {
    ran_ns: u64,
    /// When that last grew.
    ran_at_ns: u64,
    /// What the host had kept when the window began.
    before_ns: u64,
}

/// Adds up what the host keeps.
#[derive(Debug, Default)]
pub(super) struct Kept {
    vcpus: Vec<Vcpu>,
    at_ns: u64,
    began_ns: u64,
    doubts: u32,
    /// True if the host was asked before this pass.
    is_asked: bool,
    /// True if it was asked since the run began.
    is_known: bool,
}

impl Kept {
    /// Goes on to a pass, in windows of this length.
    pub(super) fn step(&mut self, seen: &Snapshot, window_ns: u64) {
        self.is_asked = self.doubts != 0;
        let passed_ns = seen.now_ns.saturating_sub(self.at_ns);
        self.at_ns = seen.now_ns;
        self.vcpus.resize(seen.readings.len(), Vcpu::default());
        for (vcpu, reading) in self.vcpus.iter_mut().zip(&seen.readings) {
            if reading.ran_ns > vcpu.ran_ns || vcpu.ran_at_ns == 0 {
                (vcpu.ran_ns, vcpu.ran_at_ns) = (reading.ran_ns, seen.now_ns);
            }
            if self.is_asked && !self.is_known {
                vcpu.before_ns = reading.steal_ns;
            }
        }
        self.is_known |= self.is_asked;
        let ask_ns = (window_ns / ASK_PART).max(ASK_PASSES.saturating_mul(passed_ns));
        let is_near = seen.now_ns.saturating_sub(self.began_ns).saturating_add(ask_ns) >= window_ns;
        let all = (1_u64 << seen.readings.len().min(32)) - 1;
        self.doubts = if is_near || !self.is_known { all as u32 } else { 0 };
    }

    /// The vCPUs whose clocks are wanted at the next pass, a bit each.
    pub(super) fn doubts(&self) -> u32 {
        self.doubts
    }

    /// Ends the window that the last call began: what was kept from all vCPUs in it, in ns, if that is known.
    pub(super) fn end_window(&mut self, seen: &Snapshot) -> Option<u64> {
        self.began_ns = seen.now_ns;
        if !self.is_asked {
            // The next window is charged with this one's as well: nobody knows where it was.
            return None;
        }
        let others = seen.readings.len().saturating_sub(1) as u64;
        let mut all_ns: u64 = 0;
        for ((vcpu, reading), cpu) in self.vcpus.iter_mut().zip(&seen.readings).zip(0..) {
            let waits_ns = if reading.is_ready { seen.now_ns.saturating_sub(vcpu.ran_at_ns) } else { 0 };
            let kept_ns = reading.steal_ns.saturating_sub(vcpu.before_ns).saturating_add(waits_ns);
            let times = if cpu == seen.clock_cpu { 1 + others } else { 1 };
            all_ns = all_ns.saturating_add(kept_ns.saturating_mul(times));
            vcpu.before_ns = reading.steal_ns;
        }
        Some(all_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::CpuReading;
    use crate::monitor::bench::MS;

    const WINDOW: u64 = 100 * MS;

    fn pass(kept: &mut Kept, seen: &mut Snapshot, ran: [u64; 2]) {
        seen.now_ns += MS;
        seen.readings.resize(2, CpuReading::default());
        seen.readings.iter_mut().zip(ran).for_each(|(reading, ms)| reading.ran_ns += ms * MS);
        kept.step(seen, WINDOW);
    }

    /// Two vCPUs whose host has been asked once, at the beginning of a window.
    fn begin(clock_cpu: u32) -> (Kept, Snapshot) {
        let (mut kept, mut seen) = (Kept::default(), Snapshot { clock_cpu, ..Snapshot::default() });
        (0..2).for_each(|_| pass(&mut kept, &mut seen, [1, 1]));
        assert_eq!(kept.end_window(&seen), Some(0));
        (kept, seen)
    }

    #[test]
    fn end_window_counts_the_clocks_vcpu_for_every_one_and_a_wait_that_is_not_over() {
        let (mut kept, mut seen) = begin(1);
        (0..99).for_each(|_| pass(&mut kept, &mut seen, [1, 1]));
        (seen.readings[0].steal_ns, seen.readings[1].steal_ns) = (3 * MS, 5 * MS);
        assert_eq!(kept.end_window(&seen), Some((3 + 2 * 5) * MS));

        (0..100).for_each(|_| pass(&mut kept, &mut seen, [0, 1]));
        assert_eq!(kept.end_window(&seen), Some(0), "it sleeps");
        (0..100).for_each(|_| pass(&mut kept, &mut seen, [1, 1]));
        (0..4).for_each(|_| pass(&mut kept, &mut seen, [0, 1]));
        seen.readings[0].is_ready = true;
        assert_eq!(kept.end_window(&seen), Some(4 * MS));
    }

    #[test]
    fn doubts_are_few_and_include_the_pass_that_ends_the_window() {
        let (mut kept, mut seen) = begin(0);
        let asked: Vec<bool> = (0..100)
            .map(|_| {
                pass(&mut kept, &mut seen, [1, 1]);
                kept.doubts() == 0b11
            })
            .collect();
        assert_eq!(asked.iter().filter(|&&asked| asked).count(), 5);
        assert!(asked[95] && asked[99]);
    }

    #[test]
    fn window_whose_end_came_late_is_not_known_and_the_next_one_has_what_was_kept_in_it() {
        let (mut kept, mut seen) = begin(0);
        (0..10).for_each(|_| pass(&mut kept, &mut seen, [1, 1]));
        seen.now_ns += 200 * MS;
        pass(&mut kept, &mut seen, [1, 1]);
        assert_eq!(kept.end_window(&seen), None);

        (0..100).for_each(|_| pass(&mut kept, &mut seen, [1, 1]));
        seen.readings[1].steal_ns = 7 * MS;
        assert_eq!(kept.end_window(&seen), Some(7 * MS));
    }
}
