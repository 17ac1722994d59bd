//! The table of monitors: one line each, from which follow its kind, its name, the keys of its bound, its constructor, its
//! row in SPECIFICATION.md and its place in `tests/runs/mutants.rs`.
//!
//! # Invariants
//! - What is to be known of a monitor stands in its own file, as one [`Declaration`]; the table only lists them.
//! - The place in the table is the order in which monitors are listed and reported.

use super::{BoundSpec, Excuse, Monitor};

/// What is to be known of a monitor before it has seen anything.
#[derive(Debug)]
pub struct Declaration {
    /// Its name in scenario files and reports.
    pub name: &'static str,
    /// When its bound is broken.
    pub broken_when: &'static str,
    /// With what time its condition is charged.
    pub charged_with: &'static str,
    /// What it judges while there is such a thing: if there never is, its bound has judged nothing.
    pub judges: &'static str,
    /// True if a bound of it may say which threads it is about.
    pub takes_threads: bool,
    /// What its bound is held to.
    pub takes: Takes,
    /// The excuses that it may accept.
    pub excuses: &'static [Excuse],
    /// How it is shown that it can fail.
    pub proof: Proof,
    /// The limit of its standing bound, in ms: what no sound kernel breaks under any load. None if it depends on the load.
    pub standing_ms: Option<u64>,
    /// True if a limit below the period of sampling is as good as any: what breaks the bound is seen whole in one pass, or is measured by
    /// what the guest has counted and stamped.
    pub is_exact: bool,
    /// Makes one that watches a bound.
    pub(super) new: fn(&BoundSpec) -> Box<dyn Monitor>,
}

/// What a bound is held to, as the keys of its table in a scenario file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// How long the bad condition may last: `limit`.
    Limit,
    /// A [`super::Promise`]: `tolerance`, `window`, and perhaps `duty`.
    Promise,
}

impl Takes {
    /// The keys that say it.
    pub const fn keys(self) -> &'static [&'static str] {
        match self {
            Takes::Limit => &["limit"],
            Takes::Promise => &["tolerance", "window", "duty"],
        }
    }
}

/// How it is shown that a monitor can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// At least one mutant must be caught by it. The text is the keys of a bound that every mutant's honest twin keeps.
    Mutant(&'static str),
    /// It is the other monitor, of that name, without one of its conditions. No bound of it is kept by every honest twin.
    As(&'static str),
}

macro_rules! monitors {
    ($($Kind:ident: $file:ident::$DECLARATION:ident,)+) => {
        /// The monitors.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum MonitorKind {
            $(#[doc = concat!("Declared in `", stringify!($file), ".rs`.")] $Kind,)+
        }

        static DECLARATIONS: &[&Declaration] = &[$(&super::$file::$DECLARATION),+];

        impl MonitorKind {
            /// Every monitor.
            pub const ALL: [MonitorKind; [$(stringify!($Kind)),+].len()] = [$(MonitorKind::$Kind),+];
        }
    };
}

monitors! {
    Starvation: starvation::STARVATION,
    Latency: starvation::LATENCY,
    Deadman: deadman::DEADMAN,
    Runq: runq::RUNQ,
    IdleWhileQueued: idle_while_queued::IDLE_WHILE_QUEUED,
    Order: order::ORDER,
    PreemptOwed: preempt_owed::PREEMPT_OWED,
    OneCpu: one_cpu::ONE_CPU,
    Inheritance: inheritance::INHERITANCE,
    Lent: lent::LENT,
    Binding: binding::BINDING,
    Fifo: fifo::FIFO,
    Charge: charge::CHARGE,
    Share: share::SHARE,
    Pending: pending::PENDING,
    Progress: progress::PROGRESS,
    Waitrq: waitrq::WAITRQ,
    Heartbeat: heartbeat::HEARTBEAT,
    Spin: spin::SPIN,
    Storm: storm::STORM,
    Taskq: taskq::TASKQ,
    Memory: memory::MEMORY,
    Stream: stream::STREAM,
    Perimeter: perimeter::PERIMETER,
    MessageOrder: message_order::MESSAGE_ORDER,
    Conservation: conservation::CONSERVATION,
    Stack: stack::STACK,
}

impl MonitorKind {
    /// What is to be known of it.
    pub fn declaration(self) -> &'static Declaration {
        DECLARATIONS[self as usize]
    }

    /// Its name in scenario files and reports.
    pub fn name(self) -> &'static str {
        self.declaration().name
    }

    /// Its standing bound, if it has one.
    pub fn standing(self) -> Option<BoundSpec> {
        let limit_ns = self.declaration().standing_ms?.checked_mul(1_000_000)?;
        Some(BoundSpec { monitor: self, threads: None, limit_ns, promise: None, is_standing: true })
    }

    /// The names of all, in the order of [`MonitorKind::ALL`].
    pub fn names() -> Vec<&'static str> {
        DECLARATIONS.iter().map(|declared| declared.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_monitor_is_made_with_the_limit_of_its_bound_and_a_name_of_its_own() {
        for kind in MonitorKind::ALL {
            let spec =
                BoundSpec { monitor: kind, threads: None, limit_ns: 7, promise: None, is_standing: false };
            let limit = match kind.declaration().takes {
                Takes::Limit => 7,
                Takes::Promise => super::super::Promise::WHOLE.limit_ns(),
            };
            assert_eq!((kind.declaration().new)(&spec).ledger().limit_ns(), limit, "{kind:?}");
            assert_eq!(
                MonitorKind::names().iter().filter(|name| **name == kind.name()).count(),
                1,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn every_monitor_says_what_it_judges() {
        for kind in MonitorKind::ALL {
            assert!(!kind.declaration().judges.is_empty(), "{kind:?}");
        }
    }

    #[test]
    fn a_monitor_that_is_shown_as_another_names_one_that_a_mutant_shows() {
        for kind in MonitorKind::ALL {
            let Proof::As(other) = kind.declaration().proof else { continue };
            let shown = MonitorKind::ALL.into_iter().find(|kind| kind.name() == other);
            let proof = shown.map(|kind| kind.declaration().proof);
            assert!(matches!(proof, Some(Proof::Mutant(_))), "{kind:?} is shown as `{other}`");
        }
    }
}
