//! What several commands ask of the kernel: its arenas, and what a thread is called.
//!
//! # Invariants
//! - An arena is where the root object says that it is; a count that nothing has is refused.

use umpire_shared::sys::class;
use umpire_shared::sys::klwp::lwp;

use umpire_watch::glass::CpuPicture;

use crate::lang::Failure;
use crate::object::{Elements, Object};
use crate::view::View;

/// An array of the kernel, by its path from the root object.
pub(crate) fn arena(view: &View<'_>, path: &str) -> Result<Elements, Failure> {
    view.arena(path)
}

/// The CPUs.
pub(crate) fn cpus(view: &View<'_>) -> Result<Elements, Failure> {
    arena(view, "k_cpus")
}

/// The threads, free ones too.
pub(crate) fn threads(view: &View<'_>) -> Result<Elements, Failure> {
    arena(view, "k_threads")
}

/// The thread at an address.
///
/// # Errors
/// [`Failure`] if none begins there.
pub(crate) fn thread<'v>(view: &'v View<'v>, addr: u64) -> Result<Object<'v>, Failure> {
    thread_number(view, addr)?;
    view.object(threads(view)?.of, addr)
}

/// The number of the thread at an address.
///
/// # Errors
/// [`Failure`] if none begins there.
pub(crate) fn thread_number(view: &View<'_>, addr: u64) -> Result<u64, Failure> {
    let missing = || Failure::new(format!("no thread begins at {addr:#x}; ::walk thread lists them"));
    threads(view)?.index_of(addr).ok_or_else(missing)
}

/// What the column PROC shows: the name of its process, which for a kernel thread is `sched` unless it has one of its own.
pub(crate) fn proc_of(thread: &Object<'_>) -> Result<String, Failure> {
    let view = thread.view();
    let (ncpus, place) = (cpus(view)?.count, threads(view)?.index_of(thread.addr()));
    if let Some(n) = place.and_then(|place| place.checked_sub(ncpus)) {
        let processes = arena(view, "k_procs")?;
        if let Some(process) = processes.addresses().nth(n as usize) {
            let name = view.part(processes.of, process, "u_comm")?.text("")?;
            if !name.is_empty() {
                return Ok(name);
            }
        }
    }
    match thread.n("lwp_state")? {
        none if none == u64::from(lwp::NONE) => Ok("sched".to_owned()),
        _ => thread.text("t_name"),
    }
}

/// The name of a class by its number.
pub(crate) fn class_name(cid: u64) -> String {
    let name = usize::try_from(cid).ok().and_then(|cid| class::NAMES.get(cid));
    name.map_or_else(|| format!("?{cid}"), |name| (*name).to_owned())
}

/// `lbolt`.
pub(crate) fn lbolt(view: &View<'_>) -> Result<u64, Failure> {
    view.kernel_get("lbolt")?.number()
}

/// ns of a clock tick.
pub(crate) fn tick_ns(view: &View<'_>) -> Result<u64, Failure> {
    match view.kernel_get("hz")?.number()? {
        hz @ 1..=1_000_000 => Ok(1_000_000_000 / hz),
        hz => Err(Failure::new(format!("the clock's rate is corrupt: {hz} Hz"))),
    }
}

/// `gethrtime` as the guest last told it, in ns after boot: the latest moment that the clock or a microstate of a CPU noted. A CPU
/// that is on its way notes one at every switch, interrupt and tick, so this is late by a tick at most.
pub(crate) fn now_ns(view: &View<'_>) -> Result<u64, Failure> {
    let clock = view.kernel_get("k_clock")?;
    let mut now = clock.n("hres_last")?.max(clock.n("hrestime")?);
    let cpus = cpus(view)?;
    for addr in cpus.addresses() {
        let ms = view.part(cpus.of, addr, "cpu_ms")?;
        for moment in ["cpu_mstate_start", "cpu_intr_start", "cpu_swtch_time"] {
            now = now.max(ms.n(moment)?);
        }
    }
    Ok(now)
}

/// The members of a set of CPUs, a bit each.
pub(crate) fn members(set: u64) -> impl Iterator<Item = u64> {
    (0..u64::from(u64::BITS)).filter(move |cpu| set >> cpu & 1 == 1)
}

/// A set of CPUs as people write it: `0-3 5`.
pub(crate) fn ranges(set: u64) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for cpu in members(set) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => runs.push((cpu, cpu)),
        }
    }
    let shown = |(first, last): &(u64, u64)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    runs.iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// The turnstile in use of the lock at an address, if it has one.
pub(crate) fn turnstile_of<'v>(view: &'v View<'v>, sobj: u64) -> Result<Option<Object<'v>>, Failure> {
    let all = arena(view, "k_sync.turnstiles")?;
    for addr in all.addresses() {
        let turnstile = view.object(all.of, addr)?;
        if sobj != 0 && turnstile.n("ts_sobj")? == sobj {
            return Ok(Some(turnstile));
        }
    }
    Ok(None)
}

/// What `::cpuinfo` shows under PROC.
pub(crate) fn proc_on(cpu: &CpuPicture) -> String {
    match cpu {
        CpuPicture { thread: 0, .. } => "-".to_owned(),
        CpuPicture { is_idle: true, .. } => "(idle)".to_owned(),
        CpuPicture { proc, .. } if proc.is_empty() => "?".to_owned(),
        CpuPicture { proc, .. } => proc.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn ranges_of_cpus_are_short() {
        assert_eq!(ranges(0b10_1111), "0-3 5");
        assert_eq!(ranges(1 << 7), "7");
        assert_eq!(ranges(0), "");
    }
}
