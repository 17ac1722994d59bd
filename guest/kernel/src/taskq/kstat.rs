//! What `kstat -c taskq` and `-c taskq_d` show of a queue (`taskq_kstat_update`, `taskq_d_kstat_update`).
//!
//! # Invariants
//! - Names and order are illumos's, and so are its bugs: `nomem` of a dynamic queue reads 0, for it is stored and then zeroed with what is
//!   summed over buckets, and nothing counts `overflows`.
//! - It is read without the queue's lock, as each number is one word.

use super::Taskq;
use super::dynamic::buckets;
use crate::cell::Cell;
use crate::sys::NANOSEC;

/// The statistics of a queue, in the order of illumos's template.
#[derive(Debug, Clone, Copy)]
pub struct TaskqKstat {
    /// `ks_class`: `taskq`, or `taskq_d` of a dynamic queue.
    pub class: &'static str,
    values: [(&'static str, u64); 18],
    len: usize,
    /// `ks_crtime`, in ns.
    pub crtime: u64,
}

impl TaskqKstat {
    /// Each statistic with its name.
    pub fn values(&self) -> &[(&'static str, u64)] {
        &self.values[..self.len]
    }

    /// The statistic of this name.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.values().iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// `ks_crtime` in seconds, whole and in billionths.
    pub fn crtime(&self) -> (u64, u64) {
        (self.crtime / NANOSEC, self.crtime % NANOSEC)
    }
}

/// Reads a queue's statistics.
pub fn taskq_kstat_update(tq: &Taskq) -> TaskqKstat {
    let mut ks = TaskqKstat { class: "taskq", values: [("", 0); 18], len: 0, crtime: tq.tq_crtime.get() };
    let mut put = |name, value: u64| {
        ks.values[ks.len] = (name, value);
        ks.len += 1;
    };
    let pri = tq.tq_pri.get() as u64;
    let (tasks, executed) = (tq.tq_tasks.get(), tq.tq_executed.get());
    let (maxtasks, nalloc) = (u64::from(tq.tq_maxtasks.get()), u64::from(tq.tq_nalloc.get()));
    let (nactive, totaltime) = (u64::from(tq.tq_active.get()), tq.tq_totaltime.get());
    if !tq.is_dynamic() {
        // p0's: every queue is the system process's.
        put("pid", 0);
        put("tasks", tasks);
        put("executed", executed);
        put("maxtasks", maxtasks);
        put("totaltime", totaltime);
        put("nalloc", nalloc);
        put("nactive", nactive);
        put("priority", pri);
        put("threads", u64::from(tq.tq_nthreads.get()));
        put("nomem", tq.tq_nomem.get());
        return ks;
    }
    let all = buckets(tq);
    let sum = |of: fn(&super::TaskqBucket) -> u64| all.iter().map(of).sum::<u64>();
    put("priority", pri);
    put("btasks", tasks);
    put("bexecuted", executed);
    put("bmaxtasks", maxtasks);
    put("bnalloc", nalloc);
    put("bnactive", nactive);
    put("btotaltime", totaltime);
    put("hits", sum(|b| b.tqbucket_stat.tqs_hits.get().into()));
    put("misses", sum(|b| b.tqbucket_stat.tqs_misses.get().into()));
    put("overflows", sum(|b| b.tqbucket_stat.tqs_overflow.get().into()));
    put("tcreates", sum(|b| b.tqbucket_stat.tqs_tcreates.get().into()));
    put("tdeaths", sum(|b| b.tqbucket_stat.tqs_tdeaths.get().into()));
    put("maxthreads", sum(|b| b.tqbucket_stat.tqs_maxthreads.get().into()));
    put("nomem", 0);
    put("disptcreates", sum(|b| b.tqbucket_stat.tqs_disptcreates.get().into()));
    put("totaltime", sum(|b| b.tqbucket_totaltime.get()));
    put("nalloc", sum(|b| b.tqbucket_nalloc.get().into()));
    put("nfree", sum(|b| b.tqbucket_nfree.get().into()));
    ks.class = "taskq_d";
    ks
}
