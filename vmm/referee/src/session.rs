//! A run that others may look into: its machine's session, and when it is held for them.
//!
//! # Invariants
//! - A run that cannot be exposed goes on without: its report says why.
//! - Held time is taken off the run's clock, so it is charged to nobody.
//! - A run that is held ends its hold when somebody lets it go, ends it, or interrupts it, and not otherwise.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use umpire_machine::{Machine, MachineView, signals};
use umpire_reach::gdb::{Address, Gdb, Listener};
use umpire_reach::names::Directory;
use umpire_reach::{Bulletin, Exposed, Server};
use umpire_watch::glass::{BoundVerdict, LiveMachine, Target, Verdicts};
use umpire_watch::monitor::Judge;

use crate::monitor::monitor;
use crate::settle::bound_report;

/// How often a run that is held looks whether it was interrupted.
const POLL: Duration = Duration::from_millis(20);

/// When a run stops and waits until somebody lets it go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldAt {
    /// Before its first instruction.
    Start,
    /// At the first violation of a bound, or the guest's death.
    Violation,
    /// Before the machine goes away.
    End,
}

/// Who is told what happens to a run meanwhile.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// How a run is open to others.
#[derive(Clone, Default)]
pub struct Openness {
    /// True if its machine gets a session.
    pub is_exposed: bool,
    /// When it is held.
    pub hold: Option<HoldAt>,
    /// Where gdb is served, if it is.
    pub gdb: Option<Address>,
    /// Who is told what happens meanwhile.
    pub tell: Option<Tell>,
}

impl fmt::Debug for Openness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Openness { is_exposed, hold, gdb, .. } = self;
        let mut shown = f.debug_struct("Openness");
        shown.field("is_exposed", is_exposed).field("hold", hold).field("gdb", gdb).finish_non_exhaustive()
    }
}

impl PartialEq for Openness {
    fn eq(&self, other: &Openness) -> bool {
        (self.is_exposed, self.hold, &self.gdb) == (other.is_exposed, other.hold, &other.gdb)
    }
}

impl Eq for Openness {}

/// The session of a run.
pub(super) struct Session {
    /// None if it is not wanted.
    _gdb: Option<Gdb>,
    /// None if it could not be had.
    server: Option<Server>,
    exposed: Arc<Exposed>,
    view: MachineView,
    bulletin: Arc<Bulletin>,
    must_end: Arc<AtomicBool>,
    openness: Openness,
    was_held: AtomicBool,
    was_cut: AtomicBool,
}

impl Session {
    /// Opens the session of a machine; the second of the answer is why it has none, if that is so.
    ///
    /// # Errors
    /// If gdb is to be served and cannot be.
    pub(super) fn open(
        openness: &Openness,
        machine: &Machine,
        live: &LiveMachine,
        period: Duration,
    ) -> io::Result<(Session, Option<String>)> {
        let (bulletin, must_end) = (Arc::<Bulletin>::default(), Arc::<AtomicBool>::default());
        let identity = live.identity();
        let run = format!("{} {}", identity.scenario, identity.variant);
        let exposed = Arc::new(Exposed {
            view: machine.view().clone(),
            writer: machine.writer(),
            stop: machine.stop_handle(),
            identity,
            bulletin: Arc::clone(&bulletin),
            period_ns: period.as_nanos() as u64,
            must_end: Arc::clone(&must_end),
            monitor: Some(monitor(live.clone())),
            gdb: OnceLock::new(),
            is_over: AtomicBool::new(false),
        });
        let directory = Directory::of_user();
        let start = |directory: &Directory| Server::start(directory, Arc::clone(&exposed));
        let (server, why) = match (openness.is_exposed, &directory) {
            (false, _) => (None, None),
            (true, Ok(directory)) => match start(directory) {
                Ok(server) => (Some(server), None),
                Err(e) => (None, Some(e.to_string())),
            },
            (true, Err(e)) => (None, Some(e.to_string())),
        };
        let gdb = match &openness.gdb {
            Some(address) => {
                let name = server.as_ref().map_or("gdb", Server::name);
                let listener = Listener::bind(address, &directory?, name)?;
                Some(Gdb::serve(listener, Arc::clone(&exposed))?)
            }
            None => None,
        };
        if let Some(gdb) = &gdb {
            exposed.gdb.get_or_init(|| gdb.address().to_owned());
        }
        if let (Some(gdb), Some(tell)) = (&gdb, &openness.tell) {
            tell(&format!("{run}: debug it with: {}", umpire_reach::gdb::command(gdb.address())));
        }
        let why = why.map(|e| format!("nobody can look into this run: {e}"));
        let (view, openness) = (machine.view().clone(), openness.clone());
        let (was_held, was_cut) = (AtomicBool::new(false), AtomicBool::new(false));
        let session =
            Session { _gdb: gdb, server, exposed, view, bulletin, must_end, openness, was_held, was_cut };
        Ok((session, why))
    }

    /// The machine is about to start: holds it there, if that was asked for.
    pub(super) fn starts(&self) {
        if self.openness.hold == Some(HoldAt::Start) {
            self.hold("before its first instruction");
        }
    }

    /// For how long the machine has been held.
    pub(super) fn held(&self) -> Duration {
        self.view.held()
    }

    /// Waits while the machine is held by somebody, until `is_over`; true if it was.
    pub(super) fn wait_while_held(&self, is_over: &AtomicBool) -> bool {
        let was_frozen = self.view.is_frozen();
        while self.view.is_frozen() && !is_over.load(Ordering::Acquire) && !self.must_end() {
            self.view.wait_while_held(POLL);
        }
        was_frozen
    }

    /// True if somebody has asked for the run's end.
    pub(super) fn must_end(&self) -> bool {
        self.must_end.load(Ordering::Acquire)
    }

    /// True if the run had not come to its end when somebody asked for it.
    pub(super) fn was_cut(&self) -> bool {
        self.was_cut.load(Ordering::Relaxed)
    }

    /// After a pass of the sampler: tells what was found, if somebody has asked.
    pub(super) fn passed(&self, judge: &Judge, run_ns: u64) {
        if self.bulletin.is_wanted() {
            self.bulletin.post(verdicts(judge, run_ns));
        }
    }

    /// A bound was broken: holds the machine there, if that was asked for. The next moment waits until it is let go.
    pub(super) fn violated(&self, judge: &Judge, run_ns: u64) {
        if self.openness.hold == Some(HoldAt::Violation) && !self.was_held.swap(true, Ordering::Relaxed) {
            self.bulletin.post(verdicts(judge, run_ns));
            self.hold("a bound is violated");
        }
    }

    /// The run is over: holds the machine once more if that was asked for, until it is let go.
    pub(super) fn over(&self, judge: &Judge, run_ns: u64) {
        self.was_cut.store(self.must_end(), Ordering::Relaxed);
        self.bulletin.post(verdicts(judge, run_ns));
        self.bulletin.close();
        let has_died = self.view.guest_end().is_some();
        let is_due = match self.openness.hold {
            Some(HoldAt::End) => true,
            Some(HoldAt::Violation) => has_died && !self.was_held.load(Ordering::Relaxed),
            Some(HoldAt::Start) | None => false,
        };
        if is_due && !self.must_end() && !signals::interrupted() {
            self.hold(if has_died { "the guest has died" } else { "the run is over" });
        }
        // Whoever holds it now, the run itself or an inspector, lets it go before it goes away.
        while self.view.is_frozen() && !self.must_end() && !signals::interrupted() {
            self.view.wait_until_let_go(POLL);
        }
    }

    fn hold(&self, why: &str) {
        // A vCPU that does not come out of the guest is told by who stops the machine.
        let _stuck = self.view.hold(None);
        if let (Some(tell), Some(server)) = (&self.openness.tell, &self.server) {
            let name = server.name();
            tell(&format!(
                "{why}: held. Look with `umpire mdb {name}`; `:c` there lets it go on, Ctrl-C here ends the run"
            ));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.exposed.close();
    }
}

pub(super) fn verdicts(judge: &Judge, run_ns: u64) -> Verdicts {
    let (counts, findings) = (judge.counts(), judge.findings());
    let bound = |finding| {
        let report = bound_report(finding);
        let (worst, limit) =
            report.records.map_or((report.worst_ns, report.limit_ns), |r| (r.worst, r.limit));
        BoundVerdict {
            monitor: report.monitor,
            thread: report.thread,
            worst,
            limit,
            is_count: report.records.is_some(),
            held: report.held,
        }
    };
    Verdicts {
        run_ns,
        samples: counts.samples,
        torn: counts.torn,
        bounds: findings.iter().map(bound).collect(),
        why: findings.iter().filter(|f| !f.held).map(|f| f.sentence.clone()).collect(),
        writes: Vec::new(),
    }
}
