//! `stack`: no thread comes near the end of its stack.
//!
//! A put procedure calls the next one, so a stream of many modules is as deep on the stack as it is long. `putnext` parks a message
//! where too little is left, for another thread to take it on. It also notes the least that it has found, and this monitor looks at
//! that: it is red before the guard page is met, when the thread that meets it can only be buried.
//!
//! # Excuses
//! None: the thread itself has noted it.
//!
//! # Invariants
//! - What was once noted stays: with a limit of 0 the first pass that sees it breaks the bound.

use super::evidence::ms;
use super::interval::{Ledger, Since, Subject};
use super::{Breach, Declaration, Evidence, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{Needs, Snapshot};

/// Bytes below which a stack is too near its end: what `allocb` and the allocator below it may take.
const RED_BYTES: u32 = 2560;

pub(super) static STACK: Declaration = Declaration {
    name: "stack",
    broken_when: "a thread in `putnext` has had less than 2560 bytes of its stack left; with a limit above 0, for longer than that ago",
    charged_with: "wall time since it was seen",
    judges: "threads that have been in `putnext`",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[],
    proof: Proof::Mutant("limit = \"0s\""),
    standing_ms: Some(0),
    is_exact: true,
    new: |bound| Box::new(Stack::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Stack {
    ledger: Ledger,
    since: Since,
    /// The bytes that were left.
    left: u32,
}

impl Stack {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Stack {
        Stack { ledger: Ledger::new(limit_ns), since: Since::default(), left: 0 }
    }
}

impl Monitor for Stack {
    fn needs(&self) -> Needs {
        Needs { stacks: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        let interval = self.since.step(seen);
        let judged = Judged::of(seen.stacks_seen, interval);
        let Some((thread, left)) = seen.stack_least.filter(|(_, left)| *left < RED_BYTES) else {
            return judged.found(None);
        };
        let charged = self.since.see(seen, interval);
        let subject = Subject { thread: Some(thread), cpu: None, part: None };
        let breach = self.ledger.enter(subject, charged, interval, seen.now_ns);
        if breach.is_some() {
            self.left = left;
        }
        judged.found(breach)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let ago = match breach.lasted_ns {
            0 | 1 => String::new(),
            ns => format!(", {} ms ago", ms(ns)),
        };
        format!(
            "{} had {} bytes of its stack left in putnext{ago}: put_stack_needed says how much there must be, or the message is parked",
            evidence.thread(breach.thread),
            self.left
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS};

    #[test]
    fn observe_least_below_the_red_line_breaks_a_limit_of_zero_at_once_and_once() {
        let mut bench = Bench::declared(&STACK, 0);
        (bench.seen.stack_least, bench.seen.stacks_seen) = (Some((4, RED_BYTES)), 3);
        assert_eq!(bench.passes(10, [1, 1]).len(), 0);
        bench.seen.stack_least = Some((4, RED_BYTES - 1));

        let breaches = bench.passes(10, [1, 1]);

        assert_eq!((breaches.len(), breaches[0].thread, breaches[0].at_ns), (1, Some(4), 11 * MS));
        assert!(bench.sentence(&breaches[0]).contains("had 2559 bytes of its stack left in putnext:"));
        assert_eq!(bench.judged.subjects, 3);
    }

    #[test]
    fn observe_nobody_in_putnext_judges_nothing() {
        let mut bench = Bench::declared(&STACK, 0);
        assert_eq!(bench.passes(10, [1, 1]).len(), 0);
        assert!(bench.judged.is_nothing());
    }
}
