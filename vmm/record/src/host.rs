//! What the host kept from vCPUs that owed service, as the sampler's passes tell it.
//!
//! # Invariants
//! - Between two passes of a wait, and nowhere else, it is known. An idle CPU halts, which is no doing of the host's: of one that idled
//!   meanwhile nothing is told.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::recording::Sample;

/// How long the host had run each CPU, by one pass.
#[derive(Debug)]
struct Pass {
    at_ns: u64,
    ran_ns: Vec<u64>,
}

/// A moment, and the first pass that is not before it, once there is one.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    /// The moment, in ns after boot.
    pub(crate) at_ns: u64,
    first: Rc<OnceCell<Rc<Pass>>>,
}

/// The passes so far, and when CPUs were idle.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    /// Of moments after the newest pass the first one.
    next: Rc<OnceCell<Rc<Pass>>>,
    /// Of the moment of the newest pass the first one: it.
    newest: Option<(u64, Rc<OnceCell<Rc<Pass>>>)>,
    /// The last pass that is not after the newest record.
    last: Option<Rc<Pass>>,
    /// Until when a CPU was idle.
    idle: HashMap<u32, u64>,
}

impl Hosts {
    /// Sees a pass.
    pub(crate) fn see(&mut self, sample: &Sample) {
        let ran_ns = sample.stands.iter().map(|stand| stand.ran_ns).collect();
        let pass = Rc::new(Pass { at_ns: sample.at_ns, ran_ns });
        let cell = std::mem::take(&mut self.next);
        let _is_first = cell.set(pass);
        self.newest = Some((sample.at_ns, cell));
    }

    /// The passes so far are not after what comes now.
    pub(crate) fn go_on(&mut self) {
        if let Some(pass) = self.newest.as_ref().and_then(|(_, cell)| cell.get())
            && self.last.as_ref().is_none_or(|last| !Rc::ptr_eq(last, pass))
        {
            self.last = Some(Rc::clone(pass));
        }
    }

    /// A CPU was idle until then.
    pub(crate) fn idled(&mut self, cpu: u32, until_ns: u64) {
        let until = self.idle.entry(cpu).or_default();
        *until = (*until).max(until_ns);
    }

    /// A moment that is now.
    pub(crate) fn mark(&self, at_ns: u64) -> Mark {
        let of_now = self.newest.as_ref().filter(|(newest, _)| *newest == at_ns);
        let first = of_now.map_or(&self.next, |(_, cell)| cell);
        Mark { at_ns, first: Rc::clone(first) }
    }

    /// What it kept from a CPU since then.
    pub(crate) fn kept(&self, cpu: u32, from: &Mark) -> u64 {
        let (Some(first), Some(last)) = (from.first.get(), &self.last) else { return 0 };
        let ran = |pass: &Pass| pass.ran_ns.get(cpu as usize).copied();
        let (Some(begun), Some(ended)) = (ran(first), ran(last)) else { return 0 };
        let Some(over_ns) = last.at_ns.checked_sub(first.at_ns) else { return 0 };
        let has_idled = self.idle.get(&cpu).is_some_and(|until| *until > from.at_ns);
        if has_idled { 0 } else { over_ns.saturating_sub(ended.saturating_sub(begun)) }
    }
}
