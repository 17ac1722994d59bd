//! Projects of class FSS: what each used of a window, and what its shares entitle it to.
//!
//! # Invariants
//! - A processor set is divided among the projects in it, and judged by itself (`fss.h fsspset_t`).
//! - What a project does not want is divided among those of its zone that want anything, and so with zones.
//! - A project lacks what those had that had more for their shares, as far as they ran where its waiting threads may run: no dispatcher
//!   could have given it more. Where no thread is bound that is all that its shares entitle it to and it did not get.

use super::{Breach, Excuse, Found, Scales, Window};
use crate::glass::{ThreadTime, is_fair_share};
use crate::monitor::Subject;

/// What threads of a project had of a window, in ns.
#[derive(Debug, Clone, Copy, Default)]
struct Had {
    ran: u64,
    waited: u64,
}

impl Had {
    fn add(&mut self, ran: u64, waited: u64) {
        self.ran = self.ran.saturating_add(ran);
        self.waited = self.waited.saturating_add(waited);
    }

    fn wanted(self) -> u64 {
        self.ran.saturating_add(self.waited)
    }
}

/// The sums that the search needs; kept so that a window allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Projects {
    /// The partitions with threads of the class.
    parts: Vec<u64>,
    /// By project: what it used in all of them in this window.
    in_all: Vec<u64>,
    /// By project: what it used and what it waited in one of them.
    used: Vec<Had>,
    /// The same by project and CPU, of threads that are bound to it; the last of each project's is of threads that are not.
    places: Vec<Had>,
    /// CPUs, and a place for what is bound to none.
    width: usize,
    /// By zone, which is named by its first project: the shares of those of its projects that wanted anything.
    zones: Vec<u64>,
}

impl Projects {
    /// Holds every project to its share; the breach of the bound is returned, once.
    pub(super) fn judge(&mut self, window: &Window<'_>, scales: &mut Scales<'_>) -> Option<(Breach, Found)> {
        self.look(window)?;
        let parts = std::mem::take(&mut self.parts);
        let mut first = None;
        for &part in &parts {
            self.sum(window, part);
            let found = self.judge_part(window, scales);
            first = first.or(found);
        }
        self.parts = parts;
        first
    }

    /// Holds those of a partition to theirs.
    fn judge_part(&self, window: &Window<'_>, scales: &mut Scales<'_>) -> Option<(Breach, Found)> {
        let window_ns = window.promise.window_ns;
        let total: u64 = self.used.iter().map(|used| used.ran).fold(0, u64::saturating_add);
        let zones_in_all = self.zones_in_all(window);
        let part = |of: u64, all: u64| (u128::from(of) * u128::from(window_ns) / u128::from(all)) as u64;
        let percent = |of: u64| of.saturating_mul(100) / window_ns.max(1);
        let mut first = None;
        for (n, &had) in self.used.iter().enumerate() {
            let project = window.seen.projects[n];
            let in_zone = self.zones.get(project.zone as usize).copied().unwrap_or(0);
            if total == 0 || in_zone == 0 || zones_in_all == 0 || had.wanted() == 0 || project.is_system {
                continue;
            }
            let own = u64::from(project.shares).saturating_mul(u64::from(project.zone_shares));
            let entitled = part(own, in_zone.saturating_mul(zones_in_all));
            let missing = entitled.saturating_sub(part(had.ran, total));
            if missing == 0 {
                // What never had to wait had all that it wanted, whatever it was entitled to.
                if had.waited > 0 {
                    scales.judged.met(window_ns);
                }
                continue;
            }
            if part(had.wanted(), total) < entitled {
                scales.ledger.accept(Excuse::NoDemand);
                continue;
            }
            if self.is_capped(window, n) {
                scales.ledger.accept(Excuse::Capped);
                continue;
            }
            let reached = part(self.within_reach(window, n), total);
            if reached == 0 {
                scales.ledger.accept(Excuse::OutOfReach);
                continue;
            }
            let breach = scales.weigh(window, Subject::default(), missing.min(reached), total);
            first = first.or(breach.map(|breach| {
                let (percent, entitled) = (percent(part(had.ran, total)), percent(entitled));
                (breach, Found::Project { project: n as u32, percent, entitled })
            }));
        }
        first
    }

    /// Finds the partitions, and what projects used in all of them; nothing if a thread was bound, or moved, in the window: where it waited is not known then.
    fn look(&mut self, window: &Window<'_>) -> Option<()> {
        self.parts.clear();
        self.in_all.clear();
        self.in_all.resize(window.seen.projects.len(), 0);
        let its = window.parts().zip(window.before).filter(|(part, _)| is_fair_share(part.time.class));
        for (part, before) in its {
            let time = part.time;
            if (time.bound_cpu, time.part) != (before.bound_cpu, before.part) {
                return None;
            }
            if !self.parts.contains(&time.part) {
                self.parts.push(time.part);
            }
            if let Some(used) = self.in_all.get_mut(time.project as usize) {
                *used = used.saturating_add(part.ran_ns);
            }
        }
        Some(())
    }

    /// Adds up what each project used and waited in a partition, and the shares of its zones.
    fn sum(&mut self, window: &Window<'_>, part_at: u64) {
        let projects = &window.seen.projects;
        self.width = window.seen.cpus.len() + 1;
        self.used.clear();
        self.used.resize(projects.len(), Had::default());
        self.places.clear();
        self.places.resize(projects.len() * self.width, Had::default());
        let is_its = |time: &ThreadTime| is_fair_share(time.class) && time.part == part_at;
        for part in window.parts().filter(|part| is_its(part.time)) {
            let project = part.time.project as usize;
            let Some(used) = self.used.get_mut(project) else { continue };
            used.add(part.ran_ns, part.waited_ns);
            let bound = window.seen.cpus.iter().position(|cpu| cpu.addr == part.time.bound_cpu);
            let place = project * self.width + bound.unwrap_or(self.width - 1);
            self.places[place].add(part.ran_ns, part.waited_ns);
        }
        self.zones.clear();
        self.zones.resize(projects.len(), 0);
        for (project, _) in projects.iter().zip(&self.used).filter(|(_, used)| used.wanted() > 0) {
            if let Some(zone) = self.zones.get_mut(project.zone as usize) {
                *zone += u64::from(project.shares);
            }
        }
    }

    /// The sum of the shares of the zones with projects that wanted anything.
    fn zones_in_all(&self, window: &Window<'_>) -> u64 {
        let mut all = 0;
        for (zone, _) in self.zones.iter().enumerate().filter(|(_, in_zone)| **in_zone > 0) {
            let mut its = window.seen.projects.iter().zip(&self.used);
            let of_zone = its.find(|(project, used)| {
                project.zone as usize == zone && project.shares > 0 && used.wanted() > 0
            });
            all += of_zone.map_or(0, |(project, _)| u64::from(project.zone_shares));
        }
        all
    }

    /// What others ran in the place of a project that waited, in ns: of each other project what it had more than would make both equal by
    /// their shares, and no more than it ran where threads of the first waited that are bound there, or anywhere if they are not.
    fn within_reach(&self, window: &Window<'_>, n: usize) -> u64 {
        let places = |n: usize| &self.places[n * self.width..(n + 1) * self.width];
        let own = u128::from(self.used[n].ran);
        let weight = self.weight(window, n);
        let mut all = 0_u64;
        for (other, its) in self.used.iter().enumerate().filter(|(other, _)| *other != n) {
            let its_weight = self.weight(window, other);
            let more = (u128::from(its.ran) * weight).saturating_sub(own * its_weight);
            let more = u64::try_from(more / (weight + its_weight).max(1)).unwrap_or(u64::MAX);
            let unbound = places(other)[self.width - 1].ran;
            let (ours, theirs) = (places(n), places(other));
            let meet = |cpu: usize| ours[cpu].waited.min(theirs[cpu].ran.saturating_add(unbound));
            let anywhere = ours[self.width - 1].waited.min(its.ran);
            let reached = (0..self.width - 1).map(meet).fold(anywhere, u64::saturating_add);
            all = all.saturating_add(more.min(reached));
        }
        all.min(self.used[n].waited)
    }

    /// What a project's shares count, beside those of all others in its partition.
    fn weight(&self, window: &Window<'_>, n: usize) -> u128 {
        let project = window.seen.projects[n];
        let in_zone = self.zones.get(project.zone as usize).copied().unwrap_or(0);
        let own = u128::from(project.shares) * u128::from(project.zone_shares);
        (own << 20) / u128::from(in_zone.max(1))
    }

    /// True if a project or its zone used what its CPU cap allows, in all sets, to within the tolerance.
    fn is_capped(&self, window: &Window<'_>, n: usize) -> bool {
        let projects = &window.seen.projects;
        let is_at_cap = |percent: u32, ran: u64| {
            let may_use = (window.promise.window_ns / 100).saturating_mul(u64::from(percent));
            may_use != 0 && ran.saturating_add(window.promise.limit_ns()) >= may_use
        };
        let project = projects[n];
        let zone_cap = projects.get(project.zone as usize).map_or(0, |first| first.zone_cap_percent);
        let of_zone = projects.iter().zip(&self.in_all).filter(|(other, _)| other.zone == project.zone);
        is_at_cap(project.cap_percent, self.in_all[n])
            || is_at_cap(zone_cap, of_zone.map(|(_, used)| *used).fold(0, u64::saturating_add))
    }
}
