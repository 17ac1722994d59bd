//! What is in use of STREAMS' objects: what has been handed out, without what lies in magazines.
//!
//! # Invariants
//! - A magazine is a list of as many objects as it says, and a depot's list of magazines is followed so that it ends.

use std::collections::HashSet;

use super::handed_out;
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;
use crate::walker::list;

/// Objects of a full magazine (`arena.rs`).
const ROUNDS: usize = 15;

/// A cache of the kernel: where it is, the type of its objects, and the two words that link them while they are free.
struct Cache {
    path: &'static str,
    of: &'static str,
    link: &'static str,
    depot: &'static str,
}

const PAIRS: Cache =
    Cache { path: "k_streams.queue_cache", of: "Queinfo", link: "qu_link", depot: "qu_depot" };
const STDATAS: Cache =
    Cache { path: "k_streams.stdata_cache", of: "Stdata", link: "sd_link", depot: "sd_depot" };
const SYNCQS: Cache =
    Cache { path: "k_streams.syncq_cache", of: "Syncq", link: "sq_next", depot: "sq_onext" };
const MBLKS: Cache =
    Cache { path: "k_streams.memory.sm_mblk_cache", of: "Mblk", link: "b_next", depot: "b_prev" };
const DBLKS: Cache =
    Cache { path: "k_streams.memory.sm_dblk_cache", of: "Dblk", link: "db_link", depot: "db_depot" };

impl Cache {
    /// Its free objects.
    fn free(&self, view: &View<'_>) -> Result<HashSet<u64>, Failure> {
        let magazines = kernel::arena(view, &format!("{}.cache_cpu", self.path))?;
        let ncpus = view.kernel_get(&format!("{}.cache_ncpus", self.path))?.number()?;
        let mut free = HashSet::new();
        for (n, addr) in magazines.addresses().enumerate() {
            let mag = view.object(magazines.of, addr)?;
            // Behind those of the CPUs comes the depot, whose full magazines are a list of lists.
            if n as u64 % (ncpus + 1) == ncpus {
                let full = list::follow(mag.n("cc_previous")?, |first| self.word(view, first, self.depot));
                for first in full.addrs {
                    self.take(view, first, ROUNDS, &mut free);
                }
            } else {
                self.take(view, mag.n("cc_loaded")?, mag.n("cc_rounds")? as usize, &mut free);
                self.take(view, mag.n("cc_previous")?, ROUNDS, &mut free);
            }
        }
        Ok(free)
    }

    /// Adds the objects of a magazine.
    fn take(&self, view: &View<'_>, first: u64, rounds: usize, free: &mut HashSet<u64>) {
        let all = list::follow(first, |at| self.word(view, at, self.link));
        free.extend(all.addrs.into_iter().take(rounds));
    }

    fn word(&self, view: &View<'_>, addr: u64, name: &str) -> Result<u64, Failure> {
        view.at(self.of, addr)?.n(name)
    }

    /// The addresses of what the arena has handed out and the cache does not have.
    fn in_use(&self, view: &View<'_>, arena: &str) -> Result<Vec<u64>, Failure> {
        let (all, n) = handed_out(view, arena)?;
        let free = self.free(view)?;
        Ok(all.addresses().take(n).filter(|addr| !free.contains(addr)).collect())
    }
}

/// Pairs of queues in use: the address of each, which is that of its read queue.
pub(crate) fn pairs(view: &View<'_>) -> Result<Vec<u64>, Failure> {
    PAIRS.in_use(view, "k_streams.queues")
}

/// Stream heads in use.
pub(crate) fn stdatas(view: &View<'_>) -> Result<Vec<u64>, Failure> {
    STDATAS.in_use(view, "k_streams.stdatas")
}

/// Perimeters in use: those of pairs, and those of their own.
pub(crate) fn syncqs(view: &View<'_>) -> Result<Vec<u64>, Failure> {
    let pairs = pairs(view)?;
    let own = SYNCQS.in_use(view, "k_streams.syncqs")?;
    let of = view.types().find("Queinfo")?;
    let of_pair = |addr: &u64| Ok(view.object(of, *addr)?.get("qu_syncq")?.addr());
    let mut all = pairs.iter().map(of_pair).collect::<Result<Vec<u64>, Failure>>()?;
    all.extend(own);
    Ok(all)
}

/// Message blocks in use. One that was made with its data block is in use as long as that has references, as in Solaris.
pub(crate) fn mblks(view: &View<'_>) -> Result<Vec<u64>, Failure> {
    let mut free = MBLKS.free(view)?;
    for dblk in DBLKS.free(view)? {
        free.insert(view.at("Dblk", dblk)?.n("db_mblk")?);
    }
    let (all, n) = handed_out(view, "k_streams.memory.sm_mblks")?;
    Ok(all.addresses().take(n).filter(|addr| !free.contains(addr)).collect())
}
