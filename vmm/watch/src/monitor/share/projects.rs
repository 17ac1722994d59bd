//! Projects of class FSS: what each used of a window, and what its shares entitle it to.
//!
//! # Invariants
//! - What a project does not want is divided among those of its zone that want anything, and so with zones.

use super::{Breach, Excuse, Found, Scales, Window};
use crate::glass::is_fair_share;
use crate::monitor::Subject;

/// The sums that the search needs; kept so that a window allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Projects {
    /// By project: what it used and what it waited in this window.
    used: Vec<(u64, u64)>,
    /// By zone, which is named by its first project: the shares of those of its projects that wanted anything.
    zones: Vec<u64>,
}

impl Projects {
    /// Holds every project to its share; the breach of the bound is returned, once.
    pub(super) fn judge(&mut self, window: &Window<'_>, scales: &mut Scales<'_>) -> Option<(Breach, Found)> {
        self.sum(window);
        let window_ns = window.promise.window_ns;
        let seen = window.seen;
        let total: u64 = self.used.iter().map(|used| used.0).fold(0, u64::saturating_add);
        let zones_in_all = self.sum_zones(window);
        let part = |of: u64, all: u64| (u128::from(of) * u128::from(window_ns) / u128::from(all)) as u64;
        let percent = |of: u64| of.saturating_mul(100) / window_ns.max(1);
        let mut first = None;
        for (n, &(ran, waited)) in self.used.iter().enumerate() {
            let project = seen.projects[n];
            let in_zone = self.zones.get(project.zone as usize).copied().unwrap_or(0);
            if total == 0
                || in_zone == 0
                || zones_in_all == 0
                || ran.saturating_add(waited) == 0
                || project.is_system
            {
                continue;
            }
            let own = u64::from(project.shares).saturating_mul(u64::from(project.zone_shares));
            let entitled = part(own, in_zone.saturating_mul(zones_in_all));
            let missing = entitled.saturating_sub(part(ran, total));
            if missing == 0 {
                // What never had to wait had all that it wanted, whatever it was entitled to.
                if waited > 0 {
                    scales.judged.met(window_ns);
                }
                continue;
            }
            if part(ran.saturating_add(waited), total) < entitled {
                scales.ledger.accept(Excuse::NoDemand);
                continue;
            }
            if self.is_capped(window, n) {
                scales.ledger.accept(Excuse::Capped);
                continue;
            }
            let breach = scales.weigh(window, Subject::default(), missing, total);
            first = first.or(breach.map(|breach| {
                let (percent, entitled) = (percent(part(ran, total)), percent(entitled));
                (breach, Found::Project { project: n as u32, percent, entitled })
            }));
        }
        first
    }

    /// Adds up what each project used and waited.
    fn sum(&mut self, window: &Window<'_>) {
        self.used.clear();
        self.used.resize(window.seen.projects.len(), (0, 0));
        for part in window.parts().filter(|part| is_fair_share(part.time.class)) {
            if let Some(project) = self.used.get_mut(part.time.project as usize) {
                *project = (project.0.saturating_add(part.ran_ns), project.1.saturating_add(part.waited_ns));
            }
        }
    }

    /// Adds up the shares of the projects that wanted anything by zone; the sum of those zones' own shares.
    fn sum_zones(&mut self, window: &Window<'_>) -> u64 {
        let projects = &window.seen.projects;
        self.zones.clear();
        self.zones.resize(projects.len(), 0);
        let mut all = 0;
        for (project, _) in projects.iter().zip(&self.used).filter(|(_, used)| used.0 > 0 || used.1 > 0) {
            let Some(zone) = self.zones.get_mut(project.zone as usize) else { continue };
            if *zone == 0 && project.shares > 0 {
                all += u64::from(project.zone_shares);
            }
            *zone += u64::from(project.shares);
        }
        all
    }

    /// True if a project or its zone used what its CPU cap allows, to within the tolerance.
    fn is_capped(&self, window: &Window<'_>, n: usize) -> bool {
        let projects = &window.seen.projects;
        let is_at_cap = |percent: u32, ran: u64| {
            let may_use = (window.promise.window_ns / 100).saturating_mul(u64::from(percent));
            may_use != 0 && ran.saturating_add(window.promise.limit_ns()) >= may_use
        };
        let project = projects[n];
        let zone_cap = projects.get(project.zone as usize).map_or(0, |first| first.zone_cap_percent);
        let of_zone = projects.iter().zip(&self.used).filter(|(other, _)| other.zone == project.zone);
        is_at_cap(project.cap_percent, self.used[n].0)
            || is_at_cap(zone_cap, of_zone.map(|(_, used)| used.0).fold(0, u64::saturating_add))
    }
}
