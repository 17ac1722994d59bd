//! Walkers: what `::walk` goes through, each one file and one line of [`WALKERS`].
//!
//! # Invariants
//! - A walk ends whatever memory holds: an arena has a length, and a list is followed by `list::follow`, or by the sampler, which
//!   meets no thread of a queue twice.
//! - Where a link is wrong, the walk has ended for a reason that names it, and what was met before it stays.

pub(crate) mod list;

use umpire_watch::glass::{QueueSample, Snapshot, WalkEnd};

use crate::call::Call;
use crate::lang::Failure;
use crate::recorded::Recorded;
use crate::source::{NO_MEMORY, Source};
use crate::view::View;

macro_rules! walkers {
    ($($file:ident),* $(,)?) => {
        $(mod $file;)*
        /// Every walker, by name.
        pub static WALKERS: &[&Walker] = &[$(&$file::WALKER),*];
    };
}

walkers! {
    b_cont, b_next, blocked, callout, callout_table, callouts_byid, callouts_bytime, cpu, cpu_dispq, cpucap, cpupart,
    cpupart_cpulist, cpupart_dispq, cyccpu, cycomni, cyctrace, deathrow, kmem_cache, lgrptbl, mac_srs, mblk, pg, qlink, qnext, queue_cache, readq,
    sleepq, soft_ring, sqnext, squeue_cache, stdata, syncq, taskq_cache, taskq_entry, taskq_thread, thread, turnstile, wchan, writeq,
}

/// A walker.
#[derive(Debug)]
pub struct Walker {
    /// What `::walk` calls it.
    pub name: &'static str,
    /// What it goes through, for `::walkers`.
    pub about: &'static str,
    /// Whether it begins at an address.
    pub begins_at: Option<&'static str>,
    /// The addresses.
    pub walk: fn(&View<'_>, Option<u64>) -> Result<Walk, Failure>,
}

/// How a walker goes through a recording: to numbers of CPUs or threads.
type OfRecording = fn(&Recorded<'_>, Option<u64>) -> Result<Walk, Failure>;

/// The walkers that go through a recording as well.
static RECORDED: &[(&Walker, OfRecording)] = &[
    (&cpu::WALKER, cpu::recorded),
    (&cpu_dispq::WALKER, cpu_dispq::recorded),
    (&thread::WALKER, thread::recorded),
];

/// What a walk met.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walk {
    /// Addresses, in order.
    pub addrs: Vec<u64>,
    /// Why it ended before its end, if it did.
    pub ended: Option<Failure>,
}

impl Walk {
    /// A walk that met all of these.
    pub fn over(addrs: impl IntoIterator<Item = u64>) -> Walk {
        Walk { addrs: addrs.into_iter().collect(), ended: None }
    }
}

impl Walker {
    /// Walks through a guest.
    ///
    /// # Errors
    /// [`Failure`] if it needs an address, or if where it begins cannot be read.
    pub fn begin(&self, view: &View<'_>, addr: Option<u64>) -> Result<Walk, Failure> {
        self.must_begin_at(addr)?;
        (self.walk)(view, addr)
    }

    /// Walks through what is looked at.
    ///
    /// # Errors
    /// As [`Walker::begin`], or if a recording does not hold what it goes through.
    pub(crate) fn through(&self, source: Source<'_>, addr: Option<u64>) -> Result<Walk, Failure> {
        let recorded = match source {
            Source::Guest(view) => return self.begin(view, addr),
            Source::Recording(recorded) => recorded,
        };
        let missing = || Failure::new(format!("walker {} goes through memory: {NO_MEMORY}", self.name));
        let walk = self.of_recording().ok_or_else(missing)?;
        self.must_begin_at(addr)?;
        walk(recorded, addr)
    }

    fn must_begin_at(&self, addr: Option<u64>) -> Result<(), Failure> {
        if let (Some(what), None) = (self.begins_at, addr) {
            return Err(Failure::new(format!(
                "walker {} begins at an address: put that of {what} in front",
                self.name
            )));
        }
        Ok(())
    }

    fn of_recording(&self) -> Option<OfRecording> {
        RECORDED.iter().find(|(walker, _)| walker.name == self.name).map(|(_, walk)| *walk)
    }
}

/// Every walker that can go through this, by name.
pub(crate) fn fitting(source: Source<'_>) -> impl Iterator<Item = &'static Walker> {
    WALKERS.iter().copied().filter(move |walker| !source.is_recording() || walker.of_recording().is_some())
}

/// All that the walker of a name finds from its own beginning.
///
/// # Errors
/// As [`find`]; [`Failure`] if it cannot begin.
pub(crate) fn all(view: &View<'_>, name: &str) -> Result<Vec<u64>, Failure> {
    Ok(find(name)?.begin(view, None)?.addrs)
}

/// What a command is about: the address in front of it, or without one [`all`] that a walker finds.
///
/// # Errors
/// As [`all`].
pub(crate) fn at_or_all(view: &View<'_>, call: &Call<'_>, name: &str) -> Result<Vec<u64>, Failure> {
    call.addr.map_or_else(|| all(view, name), |addr| Ok(vec![addr]))
}

/// The walker of a name.
///
/// # Errors
/// [`Failure`] with the nearest names if there is none.
pub fn find(name: &str) -> Result<&'static Walker, Failure> {
    WALKERS.iter().find(|walker| walker.name == name).copied().ok_or_else(|| {
        let near = WALKERS
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(a.name, name).total_cmp(&strsim::jaro_winkler(b.name, name)));
        let near = near.map_or_else(String::new, |walker| format!(" (near it: {})", walker.name));
        Failure::new(format!("failed to walk '{name}': unknown walk name{near}; ::walkers lists them"))
    })
}

/// The threads of a queue that was read, best first.
fn queued(seen: &Snapshot, queue: &QueueSample) -> Walk {
    let Some(arena) = seen.arena else { return Walk::default() };
    let walk = Walk::over(queue.threads.iter().map(|thread| arena.address_of(thread.index)));
    Walk { ended: queue_fault(seen, queue), ..walk }
}

/// What is wrong with the links of a queue that was read consistently, if anything is: the first one that leads where it must not.
pub(crate) fn queue_fault(seen: &Snapshot, queue: &QueueSample) -> Option<Failure> {
    let arena = seen.arena.filter(|_| queue.verdict.is_trusted())?;
    let level = queue.levels.iter().find(|level| level.end != WalkEnd::Complete)?;
    let link = match level.tail {
        0 => format!("the head of level {} of the queue of {:#x}", level.pri, queue.addr),
        tail => format!("the link of {tail:#x}"),
    };
    let where_to = match level.end {
        WalkEnd::Repeated(index) => format!("leads back to {:#x}", arena.address_of(index)),
        WalkEnd::Wild(to) => format!("leads to {to:#x}: no thread begins there"),
        WalkEnd::Complete => return None,
    };
    Some(Failure::new(format!("the list is corrupt: {link} {where_to}")))
}
