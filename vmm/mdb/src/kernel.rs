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
    view.kernel()?.get(path)?.elements()
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
    let all = threads(view)?;
    match all.index_of(addr) {
        Some(_) => view.object(all.of, addr),
        None => Err(Failure::new(format!("no thread begins at {addr:#x}; ::walk thread lists them"))),
    }
}

/// What the column PROC shows: the name of its process, which for a kernel thread is `sched` unless it has one of its own.
pub(crate) fn proc_of(thread: &Object<'_>) -> Result<String, Failure> {
    let view = thread.view();
    let (ncpus, place) = (cpus(view)?.count, threads(view)?.index_of(thread.addr()));
    if let Some(n) = place.and_then(|place| place.checked_sub(ncpus)) {
        let processes = arena(view, "k_procs")?;
        if let Some(process) = processes.addresses().nth(n as usize) {
            let name = view.object(processes.of, process)?.text("u_comm")?;
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
    view.kernel()?.n("lbolt")
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
