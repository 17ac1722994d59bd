//! The kstats of task queues: `unix:N:NAME`, of class `taskq`, or `taskq_d` of a dynamic queue.
//!
//! # Invariants
//! - Statistics are illumos's, and so are its bugs: `nomem` of a dynamic queue is 0, and nothing counts `overflows`.

use umpire_shared::sys::taskq::tqflag;

use super::Kstat;
use crate::kernel;
use crate::lang::Failure;
use crate::object::Object;
use crate::view::View;
use crate::walker;

/// What a static queue counts, in the order of `taskq_kstat`, and where.
const STATIC: [(&str, &str); 9] = [
    ("tasks", "tq_tasks"),
    ("executed", "tq_executed"),
    ("maxtasks", "tq_maxtasks"),
    ("totaltime", "tq_totaltime"),
    ("nalloc", "tq_nalloc"),
    ("nactive", "tq_active"),
    ("priority", "tq_pri"),
    ("threads", "tq_nthreads"),
    ("nomem", "tq_nomem"),
];
/// What a dynamic queue counts of its own list, in the order of `taskq_d_kstat`, and where.
const BACKING: [(&str, &str); 7] = [
    ("priority", "tq_pri"),
    ("btasks", "tq_tasks"),
    ("bexecuted", "tq_executed"),
    ("bmaxtasks", "tq_maxtasks"),
    ("bnalloc", "tq_nalloc"),
    ("bnactive", "tq_active"),
    ("btotaltime", "tq_totaltime"),
];
/// What it sums over its buckets, and where; `None` for what is always 0.
const BUCKETS: [(&str, Option<&str>); 11] = [
    ("hits", Some("tqbucket_stat.tqs_hits")),
    ("misses", Some("tqbucket_stat.tqs_misses")),
    ("overflows", Some("tqbucket_stat.tqs_overflow")),
    ("tcreates", Some("tqbucket_stat.tqs_tcreates")),
    ("tdeaths", Some("tqbucket_stat.tqs_tdeaths")),
    ("maxthreads", Some("tqbucket_stat.tqs_maxthreads")),
    ("nomem", None),
    ("disptcreates", Some("tqbucket_stat.tqs_disptcreates")),
    ("totaltime", Some("tqbucket_totaltime")),
    ("nalloc", Some("tqbucket_nalloc")),
    ("nfree", Some("tqbucket_nfree")),
];

pub(super) fn all(view: &View<'_>, now_ns: u64) -> Result<Vec<Kstat>, Failure> {
    let queues = walker::all(view, "taskq_cache")?;
    let of = kernel::arena(view, "k_taskq.taskq_cache.objects")?.of;
    queues.into_iter().map(|addr| kstat(view, &view.object(of, addr)?, now_ns)).collect()
}

fn kstat(view: &View<'_>, tq: &Object<'_>, now_ns: u64) -> Result<Kstat, Failure> {
    let is_dynamic = tq.n("tq_flags")? & u64::from(tqflag::DYNAMIC) != 0;
    let class = if is_dynamic { "taskq_d" } else { "taskq" };
    let mut stat = Kstat::new("unix", tq.n("tq_instance")?, tq.text("tq_name")?, class, now_ns);
    // What boot has made is of the time 0, as with every other kstat.
    stat.crtime_ns = tq.n("tq_crtime")?;
    if !is_dynamic {
        // Every queue is the system process's.
        stat.add("pid", 0);
        for (name, at) in STATIC {
            stat.add(name, tq.n(at)?);
        }
        return Ok(stat);
    }
    for (name, at) in BACKING {
        stat.add(name, tq.n(at)?);
    }
    let all = kernel::arena(view, "k_taskq.taskq_buckets")?;
    let mut own = Vec::new();
    for addr in all.addresses() {
        let bucket = view.object(all.of, addr)?;
        if bucket.n("tqbucket_taskq")? == tq.addr() {
            own.push(bucket);
        }
    }
    for (name, at) in BUCKETS {
        let mut sum: u64 = 0;
        for bucket in own.iter().filter(|_| at.is_some()) {
            sum = sum.wrapping_add(bucket.n(at.unwrap_or_default())?);
        }
        stat.add(name, sum);
    }
    Ok(stat)
}
