//! Excuses: the named reasons why a monitor does not accuse although its condition seems to be met.
//!
//! # Invariants
//! - An excuse is one line: its place in reports, its name, and what it means. SPECIFICATION.md's table is made of these.

use std::fmt;

/// Declares the excuses, in the order in which they are counted and reported.
macro_rules! excuses {
    ($($Excuse:ident $name:literal $why:literal;)+) => {
        /// Why a monitor does not accuse although its condition seems to be met.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Excuse {
            $(#[doc = concat!("`", $name, "`: ", $why, ".")] $Excuse,)+
        }

        impl Excuse {
            /// Every excuse, in the order in which they are counted.
            pub const ALL: [Excuse; [$($name),+].len()] = [$(Excuse::$Excuse),+];

            /// Its name in reports.
            pub fn name(self) -> &'static str {
                [$($name),+][self as usize]
            }

            /// What it means.
            pub fn why(self) -> &'static str {
                [$($why),+][self as usize]
            }
        }
    };
}

excuses! {
    Torn "torn" "the queue could not be read consistently";
    Interrupts "interrupts" "the CPU that owed service handled an interrupt at both ends of the interval";
    VcpuAway "vcpu_away" "the host did not run the vCPU that owed service";
    TooYoung "too_young" "a thread on another CPU's queue has not waited for `nosteal_nsec` yet";
    BelowKpreemptpri "below_kpreemptpri" "the CPU is in the kernel, and the better thread is below `kpreemptpri`";
    PreemptOff "preempt_off" "the thread has `t_preempt` raised";
    Switching "switching" "the CPU is in the middle of a switch";
    NoDemand "no_demand" "it wanted less than it was entitled to";
    OutOfReach "out_of_reach" "what it lacked was run by no project that had more for its shares, where its waiting threads may run";
    Uncontended "uncontended" "it ran more than its duty cycle, and nothing else wanted the CPU";
    RaisedAsleep "raised_asleep" "the waiter's own priority was raised while it slept, which the kernel does not pass on";
    OwnerSank "owner_sank" "the owner was as good when the wait began, so that nothing was lent to it, and has become worse";
    WaiterSank "waiter_sank" "somebody who waits has been as good as the loan and has become worse since: the kernel lends until the release";
    Upgraded "upgraded" "the owner had been a reader when the wait began (`rw_tryupgrade`)";
    PutBack "put_back" "the thread was put to the front of a queue meanwhile: it may have been chosen, and refused, when the tick came";
    SamplingGap "sampling_gap" "the sampler itself was stopped: for longer than 20 of its periods, and than 20 ms, nobody looked; counted once a gap, for every monitor";
    Down "down" "the CPU has not come up, or was powered off";
    Paused "paused" "`pause_cpus` holds the CPU, or the thread there has paused the others";
    BlockedHandler "blocked_handler" "a handler that is blocked keeps the level of the CPU up";
    Locked "locked" "the CPU's queue, or the thread that runs there, was locked at either end of the interval: whoever sets a flag pokes before it unlocks";
    HolderAway "holder_away" "the CPU spun for another one whose vCPU the host did not run; counted once a pass, for every monitor";
    HostDeaf "host_deaf" "the CPU's vCPU ran on end beside another that was ready for the same host CPU, which takes no interrupts then; counted once a pass, for every monitor";
    InMotion "in_motion" "the CPU is being taken offline or to another partition, and what is there is moved when the CPUs are paused";
    Suspended "suspended" "the task queue is suspended: nothing is to be taken from it";
    Frozen "frozen" "somebody has frozen the stream (`freezestr`)";
    Capped "capped" "a CPU cap holds the thread, and lets no other one go twice meanwhile; or its project or zone used what its cap allows";
}

/// How often each excuse was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Excuses([u64; Excuse::ALL.len()]);

impl Excuses {
    /// How often this excuse was accepted.
    pub fn count(&self, excuse: Excuse) -> u64 {
        self.0[excuse as usize]
    }

    pub(super) fn accept(&mut self, excuse: Excuse) {
        self.0[excuse as usize] += 1;
    }

    pub(super) fn merge(&mut self, other: &Excuses) {
        self.0.iter_mut().zip(other.0).for_each(|(to, from)| *to += from);
    }
}

impl fmt::Display for Excuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, excuse) in Excuse::ALL.into_iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", excuse.name(), self.count(excuse))?;
        }
        Ok(())
    }
}
