//! The kstats of each CPU (`cpu.c`).
//!
//! # Invariants
//! - A CPU's four times are those of the moment of the read, as `cpu_sys_stats_ks_update` makes them; they come out of one copy of
//!   its microstates, and add up to the time since boot but for that in which it was disabled.

use umpire_shared::sys::cpuvar::{self, cms};

use super::{Kstat, Stat};
use crate::kernel;
use crate::lang::Failure;
use crate::object::Object;
use crate::view::View;

/// `cpu:N:sys` behind `cpu_load_intr`, in Solaris's order, each with the counter that it is here; none for what this kernel does
/// not do.
const SYS: &[(&str, Option<&str>)] = &[
    ("wait_ticks_io", None),
    ("dtrace_probes", Some("dtrace_probes")),
    ("bread", None),
    ("bwrite", None),
    ("lread", None),
    ("lwrite", None),
    ("phread", None),
    ("phwrite", None),
    ("pswitch", Some("pswitch")),
    ("trap", Some("trap")),
    ("intr", Some("intr")),
    ("syscall", Some("syscall")),
    ("sysread", None),
    ("syswrite", None),
    ("sysfork", None),
    ("sysvfork", None),
    ("sysexec", None),
    ("readch", None),
    ("writech", None),
    ("rcvint", None),
    ("xmtint", None),
    ("mdmint", None),
    ("rawch", None),
    ("canch", None),
    ("outch", None),
    ("msg", None),
    ("sema", None),
    ("namei", None),
    ("ufsiget", None),
    ("ufsdirblk", None),
    ("ufsipage", None),
    ("ufsinopage", None),
    ("procovf", None),
    ("intrthread", Some("intrthread")),
    ("intrblk", Some("intrblk")),
    ("intrunpin", Some("intrunpin")),
    ("idlethread", Some("idlethread")),
    ("inv_swtch", Some("inv_swtch")),
    ("nthreads", Some("nthreads")),
    ("cpumigrate", Some("cpumigrate")),
    ("xcalls", Some("xcalls")),
    ("mutex_adenters", Some("mutex_adenters")),
    ("rw_rdfails", Some("rw_rdfails")),
    ("rw_wrfails", Some("rw_wrfails")),
    ("modload", None),
    ("modunload", None),
    ("bawrite", None),
    ("iowait", None),
];

/// `cpu:N:vm`: this kernel pages nothing.
const VM: &[&str] = &[
    "pgrec",
    "pgfrec",
    "pgin",
    "pgpgin",
    "pgout",
    "pgpgout",
    "swapin",
    "pgswapin",
    "swapout",
    "pgswapout",
    "zfod",
    "dfree",
    "scan",
    "rev",
    "hat_fault",
    "as_fault",
    "maj_fault",
    "cow_fault",
    "prot_fault",
    "softlock",
    "kernel_asflt",
    "pgrrun",
    "execpgin",
    "execpgout",
    "execfree",
    "anonpgin",
    "anonpgout",
    "anonfree",
    "fspgin",
    "fspgout",
    "fsfree",
];

/// Names of `cpu:N:intrstat`: time and count of level 1, 2 and so on.
const LEVELS: &[(&str, &str)] = &[
    ("level-1-time", "level-1-count"),
    ("level-2-time", "level-2-count"),
    ("level-3-time", "level-3-count"),
    ("level-4-time", "level-4-count"),
    ("level-5-time", "level-5-count"),
    ("level-6-time", "level-6-count"),
    ("level-7-time", "level-7-count"),
    ("level-8-time", "level-8-count"),
    ("level-9-time", "level-9-count"),
    ("level-10-time", "level-10-count"),
    ("level-11-time", "level-11-count"),
    ("level-12-time", "level-12-count"),
    ("level-13-time", "level-13-count"),
    ("level-14-time", "level-14-count"),
    ("level-15-time", "level-15-count"),
];

/// What a CPU that this machine has calls itself.
pub(super) const BRAND: &str = "Umpire virtual CPU";

pub(super) fn all(view: &View<'_>, now_ns: u64) -> Result<Vec<Kstat>, Failure> {
    let cpus = kernel::cpus(view)?;
    let tick_ns = kernel::tick_ns(view)?;
    let mut all = Vec::new();
    for (addr, id) in cpus.addresses().zip(0..) {
        let cpu = view.object(cpus.of, addr)?;
        let mut vm = Kstat::new("cpu", id, "vm", "misc", now_ns);
        VM.iter().for_each(|name| vm.add(name, 0));
        all.extend([
            sys(&cpu, id, now_ns, tick_ns)?,
            vm,
            intrstat(&cpu, id, now_ns)?,
            info(&cpu, id, now_ns)?,
        ]);
    }
    Ok(all)
}

fn sys(cpu: &Object<'_>, id: u64, now_ns: u64, tick_ns: u64) -> Result<Kstat, Failure> {
    let mut stat = Kstat::new("cpu", id, "sys", "misc", now_ns);
    let times = Times::of(cpu, now_ns)?;
    let kernel_and_intr = times.kernel + times.intr;
    for (name, ns) in [("idle", times.idle), ("user", times.user), ("kernel", kernel_and_intr), ("wait", 0)] {
        let name = match name {
            "idle" => "cpu_ticks_idle",
            "user" => "cpu_ticks_user",
            "kernel" => "cpu_ticks_kernel",
            _ => "cpu_ticks_wait",
        };
        stat.add(name, ns / tick_ns);
    }
    stat.add("cpu_nsec_idle", times.idle);
    stat.add("cpu_nsec_user", times.user);
    stat.add("cpu_nsec_kernel", times.kernel);
    stat.add("cpu_nsec_dtrace", 0);
    stat.add("cpu_nsec_intr", times.intr);
    stat.add("cpu_load_intr", cpu.n("cpu_snap.cpu_load_intr")?);
    let counters = cpu.get("cpu_stats")?;
    for (name, counter) in SYS {
        stat.add(name, counter.map_or(Ok(0), |counter| counters.n(counter))?);
    }
    Ok(stat)
}

/// ns that a CPU has spent, interrupts taken out of the other three.
struct Times {
    idle: u64,
    user: u64,
    kernel: u64,
    intr: u64,
}

impl Times {
    /// See `kstat.rs look` of the kernel: the stay that has begun is counted up to now.
    fn of(cpu: &Object<'_>, now_ns: u64) -> Result<Times, Failure> {
        let ms = cpu.get("cpu_ms")?;
        let state = ms.n("cpu_mstate")?;
        let (start, intr_start) = (ms.n("cpu_mstate_start")?, ms.n("cpu_intr_start")?);
        let of = |which: u8| -> Result<(u64, u64), Failure> {
            let (mut all, mut intr) =
                (ms.n(&format!("cpu_acct[{which}]"))?, ms.n(&format!("cpu_intracct[{which}]"))?);
            if state == u64::from(which) {
                all = all.saturating_add(now_ns.saturating_sub(start));
                let charged = if intr_start == 0 { 0 } else { now_ns.saturating_sub(intr_start) };
                intr = intr.saturating_add(charged).min(all);
            }
            Ok((all.saturating_sub(intr), intr))
        };
        let (idle, user, kernel) = (of(cms::IDLE)?, of(cms::USER)?, of(cms::SYSTEM)?);
        let intr = idle.1.saturating_add(user.1).saturating_add(kernel.1);
        Ok(Times { idle: idle.0, user: user.0, kernel: kernel.0, intr })
    }
}

fn intrstat(cpu: &Object<'_>, id: u64, now_ns: u64) -> Result<Kstat, Failure> {
    let mut stat = Kstat::new("cpu", id, "intrstat", "misc", now_ns);
    let levels = cpu.get("cpu_intrstat")?;
    for (n, (time, count)) in LEVELS.iter().enumerate() {
        stat.add(time, levels.n(&format!("level_time[{n}]"))?);
        stat.add(count, levels.n(&format!("level_count[{n}]"))?);
    }
    Ok(stat)
}

fn info(cpu: &Object<'_>, id: u64, now_ns: u64) -> Result<Kstat, Failure> {
    let mut stat = Kstat::new("cpu_info", id, format!("cpu_info{id}"), "misc", now_ns);
    let flags = cpu.n("cpu_flags")?;
    stat.add("brand", BRAND);
    stat.add("chip_id", cpu.n("cpu_chip")?);
    stat.add("core_id", cpu.n("cpu_core")?);
    stat.add("cpu_type", "i386");
    stat.add("implementation", format!("x86 (chipid {:#x} Umpire)", cpu.n("cpu_chip")?).as_str());
    stat.add("state", state_of(flags));
    stat.add("vendor_id", "Umpire");
    Ok(stat)
}

/// The state of a CPU as `psrinfo` calls it (`cpu.c cpu_get_state_str`).
pub(crate) fn state_of(flags: u64) -> &'static str {
    cpuvar::state(flags as u32)
}

impl From<String> for Stat {
    fn from(text: String) -> Stat {
        Stat::Text(text)
    }
}
