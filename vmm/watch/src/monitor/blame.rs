//! Why a CPU goes on with what it runs although a thread waits: the sentence of `starvation` and `latency`.
//!
//! # Invariants
//! - What stands in the sentence was read at the moment of the verdict; the rule that it names is [`Mechanism`]'s.

use super::Breach;
use super::evidence::{Chosen, Evidence, described, ms};
use crate::blame::{Mechanism, Stand};
use crate::glass::{CpuSample, Snapshot};

/// How the CPU that owes service stood at the moment of the breach.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blame {
    id: u32,
    chosen: Chosen,
    stand: Stand,
}

impl Blame {
    /// As this pass sees it.
    pub(super) fn of(seen: &Snapshot, cpu: &CpuSample) -> Blame {
        Blame { id: cpu.id, chosen: Chosen::on(seen, cpu), stand: Stand::of(seen, cpu) }
    }

    /// What it ran.
    pub(super) fn thread(&self) -> Option<u32> {
        self.chosen.thread()
    }

    /// The sentence for a thread that this CPU let wait.
    pub(super) fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let victim = evidence.card(breach.thread);
        let queue = if breach.part.is_some() { " on the kp queue" } else { "" };
        let runner = evidence.card(self.thread());
        format!(
            "{} waited{queue} {} ms of cpu {}'s own time behind {}: {}",
            described(&victim),
            ms(breach.lasted_ns),
            self.id,
            self.chosen.described(evidence),
            Mechanism::of(&self.stand, &victim, &runner).says()
        )
    }
}
