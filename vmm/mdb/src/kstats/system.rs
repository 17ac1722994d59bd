//! The kstats of the system: `unix:0:sysinfo`, `unix:0:system_misc`, `unix:N:callout`, `unix:N:pset`, `caps:N:cpucaps_*`.
//!
//! # Invariants
//! - Averages of `unix:0:sysinfo` are quotients with `updates`.

use super::Kstat;
use crate::lang::Failure;
use crate::view::View;
use crate::walker;
use crate::{caps, kernel};

pub(super) fn all(view: &View<'_>, now_ns: u64) -> Result<Vec<Kstat>, Failure> {
    let mut all = vec![sysinfo(view, now_ns)?, misc(view, now_ns)?];
    callouts(view, now_ns, &mut all)?;
    psets(view, now_ns, &mut all)?;
    cpucaps(view, now_ns, &mut all)?;
    Ok(all)
}

fn sysinfo(view: &View<'_>, now_ns: u64) -> Result<Kstat, Failure> {
    let mut stat = Kstat::new("unix", 0, "sysinfo", "misc", now_ns);
    let info = view.kernel()?.get("k_sysinfo")?;
    stat.add("updates", info.n("updates")?);
    stat.add("runque", info.n("runque")?);
    stat.add("runocc", info.n("runocc")?);
    stat.add("swpque", 0);
    stat.add("swpocc", 0);
    stat.add("waiting", info.n("waiting")?);
    Ok(stat)
}

fn misc(view: &View<'_>, now_ns: u64) -> Result<Kstat, Failure> {
    let mut stat = Kstat::new("unix", 0, "system_misc", "misc", now_ns);
    let root = view.kernel()?;
    stat.add("ncpus", kernel::cpus(view)?.count);
    stat.add("lbolt", root.n("lbolt")?);
    stat.add("clk_intr", root.n("k_clock.clock_ticks")?);
    stat.add("nproc", walker::all(view, "thread")?.len() as u64);
    // Solaris has 8 fraction bits here.
    for (n, name) in ["avenrun_1min", "avenrun_5min", "avenrun_15min"].into_iter().enumerate() {
        stat.add(name, root.n(&format!("k_clock.hp_avenrun[{n}]"))? >> 8);
    }
    Ok(stat)
}

fn callouts(view: &View<'_>, now_ns: u64, all: &mut Vec<Kstat>) -> Result<(), Failure> {
    let tables = kernel::arena(view, "k_callout.callout_tables")?;
    for (addr, n) in tables.addresses().zip(0..) {
        let table = view.object(tables.of, addr)?;
        let mut stat = Kstat::new("unix", n, "callout", "misc", now_ns);
        for name in [
            "callout_timeouts",
            "callout_timeouts_pending",
            "callout_untimeouts_unexpired",
            "callout_untimeouts_executing",
            "callout_untimeouts_expired",
            "callout_expirations",
        ] {
            stat.add(name, table.n(name)?);
        }
        all.push(stat);
    }
    Ok(())
}

fn psets(view: &View<'_>, now_ns: u64, all: &mut Vec<Kstat>) -> Result<(), Failure> {
    let parts = kernel::arena(view, "k_parts.parts")?;
    for (addr, n) in parts.addresses().zip(0..) {
        let part = view.object(parts.of, addr)?;
        let mut stat = Kstat::new("unix", n, "pset", "misc", now_ns);
        stat.add("updates", part.n("cp_updates")?);
        stat.add("runnable", part.n("cp_nrunnable_cum")?);
        stat.add("waiting", 0);
        stat.add("ncpus", part.n("cp_ncpus")?);
        all.push(stat);
    }
    Ok(())
}

fn cpucaps(view: &View<'_>, now_ns: u64, all: &mut Vec<Kstat>) -> Result<(), Failure> {
    let hz = view.kernel()?.n("hz")?.max(1);
    for cap in caps::all(view)?.into_iter().filter(|cap| cap.cap_ns != 0) {
        let class = if cap.kind == "zone" { "zone_caps" } else { "project_caps" };
        let mut stat = Kstat::new("caps", cap.id, format!("cpucaps_{}_{}", cap.kind, cap.id), class, now_ns);
        stat.add("above_sec", cap.above / hz);
        stat.add("below_sec", cap.below / hz);
        stat.add("maxusage", cap.percent(cap.max_usage_ns));
        stat.add("nwait", cap.waiting);
        stat.add("usage", cap.percent(cap.usage_ns));
        stat.add("value", cap.percent(cap.cap_ns));
        all.push(stat);
    }
    Ok(())
}
