//! CPU caps, as `::cpucaps` and the kstats of module `caps` show them.
//!
//! # Invariants
//! - A cap of n per cent is a usage of n ticks: see the kernel's `cpucaps.rs`.

use crate::kernel;
use crate::lang::Failure;
use crate::view::View;
use crate::walker::list;

/// The cap of a project or zone, set or not.
#[derive(Debug)]
pub(crate) struct Cap {
    pub(crate) addr: u64,
    /// `project` or `zone`.
    pub(crate) kind: &'static str,
    /// Its place in the scenario.
    pub(crate) id: u64,
    /// 0 for no cap.
    pub(crate) cap_ns: u64,
    pub(crate) usage_ns: u64,
    pub(crate) max_usage_ns: u64,
    /// Ticks at which usage was below the cap.
    pub(crate) below: u64,
    /// Ticks at which it was not.
    pub(crate) above: u64,
    pub(crate) waiting: u64,
    first_waiter: u64,
    tick_ns: u64,
}

/// The threads that wait for a cap.
#[derive(Debug)]
pub(crate) struct Waiters {
    /// In the order in which they leave, with their names.
    pub(crate) threads: Vec<(u64, String)>,
    /// Why there are no more, if the list is corrupt.
    pub(crate) ended: Option<Failure>,
}

impl Cap {
    /// A usage in per cent of one CPU.
    pub(crate) fn percent(&self, ns: u64) -> u64 {
        ns / self.tick_ns
    }

    /// The threads that wait.
    pub(crate) fn waiters(&self, view: &View<'_>) -> Result<Waiters, Failure> {
        let walk = list::follow(self.first_waiter, |thread| view.at("Kthread", thread)?.n("t_link"));
        let name = |addr: &u64| Ok((*addr, view.at("Kthread", *addr)?.text("t_name")?));
        let threads = walk.addrs.iter().map(name).collect::<Result<_, Failure>>()?;
        Ok(Waiters { threads, ended: walk.ended })
    }
}

/// The caps of every project, then those of every zone.
pub(crate) fn all(view: &View<'_>) -> Result<Vec<Cap>, Failure> {
    let tick_ns = kernel::tick_ns(view)?;
    let mut found = Vec::new();
    for (kind, path) in [("project", "k_cpucaps.caps"), ("zone", "k_cpucaps.zone_caps")] {
        let caps = kernel::arena(view, path)?;
        for (addr, id) in caps.addresses().zip(0..) {
            let cap = view.object(caps.of, addr)?;
            found.push(Cap {
                addr,
                kind,
                id,
                cap_ns: cap.n("cap_value")?,
                usage_ns: cap.n("cap_usage")?,
                max_usage_ns: cap.n("cap_maxusage")?,
                below: cap.n("cap_below")?,
                above: cap.n("cap_above")?,
                waiting: cap.n("cap_waitq.wq_count")?,
                first_waiter: cap.n("cap_waitq.wq_queue.sq_first")?,
                tick_ns,
            });
        }
    }
    Ok(found)
}
