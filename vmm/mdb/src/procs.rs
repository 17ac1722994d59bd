//! The threads of a guest as `ps`, `prstat` and the live screen show them: what each is, where it is, and where its time went.
//!
//! # Invariants
//! - A thread is of one copy. Its microstates are those of that copy, the stay that has begun counted up to the moment of the look.
//! - A thread of the scenario with an LWP is a process of its own; kernel threads are LWPs of process 0, `sched`.

use umpire_shared::sys::klwp::lwp;
use umpire_shared::sys::msacct::lms;
use umpire_shared::sys::sobject::sobj;
use umpire_shared::sys::thread::{role, ts};

use crate::kernel;
use crate::lang::Failure;
use crate::object::{Elements, Object};
use crate::view::View;

/// A thread.
#[derive(Debug, Clone)]
pub struct Thread {
    /// Its address.
    pub addr: u64,
    /// Its number.
    pub number: u64,
    /// Its process: 0 for threads of the system.
    pub pid: u64,
    /// Its name.
    pub name: String,
    /// The name of its process.
    pub proc: String,
    /// The name of its class.
    pub class: String,
    /// `t_pri`.
    pub pri: i64,
    /// `t_epri`: what it inherits.
    pub epri: i64,
    /// `t_state`.
    pub state: u64,
    /// Its role: one of the shared vocabulary's.
    pub role: u8,
    /// True if it has an LWP.
    pub has_lwp: bool,
    /// Where it runs or last ran.
    pub cpu: Option<u64>,
    /// The CPU that it is bound to.
    pub bound: Option<u64>,
    /// `cpu` or `kp`: the run queue that it waits on.
    pub queue: Option<&'static str>,
    /// What it sleeps on.
    pub wchan: u64,
    /// The kind of that.
    pub sobj: String,
    /// The thread that owns the lock it waits for.
    pub owner: Option<u64>,
    /// ns that it has waited since it became runnable.
    pub waited_ns: Option<u64>,
    /// Voluntary switches.
    pub nvcsw: u64,
    /// Involuntary switches.
    pub nivcsw: u64,
    /// ns in each microstate, up to now.
    pub acct: [u64; lms::COUNT],
    /// Its microstate.
    pub mstate: u64,
}

impl Thread {
    /// ns that it had a CPU.
    pub fn ran_ns(&self) -> u64 {
        [lms::USER, lms::SYSTEM, lms::TRAP].iter().map(|&s| self.acct[usize::from(s)]).sum()
    }

    /// ns since it was created.
    pub fn life_ns(&self) -> u64 {
        self.acct.iter().sum()
    }

    /// The number of its LWP in its process, from 1.
    pub fn lwpid(&self) -> u64 {
        if self.pid == 0 { self.number + 1 } else { 1 }
    }

    /// The letter of its state, as `ps` has it.
    pub fn letter(&self) -> char {
        match u32::try_from(self.state) {
            Ok(ts::ONPROC) => 'O',
            Ok(ts::SLEEP) => 'S',
            Ok(ts::RUN) => 'R',
            Ok(ts::ZOMB) => 'Z',
            Ok(ts::STOPPED) => 'T',
            Ok(ts::WAIT) => 'W',
            _ => '?',
        }
    }

    /// True for a thread that does work: not one that idles, stands in for an interrupt or pauses a CPU.
    pub fn is_worker(&self) -> bool {
        !matches!(self.role, role::IDLE | role::INTR | role::PAUSE)
    }
}

/// Every thread that is not free, by number.
///
/// # Errors
/// [`Failure`] while there is no kernel, or if its threads cannot be read.
pub fn all(view: &View<'_>, now_ns: u64) -> Result<Vec<Thread>, Failure> {
    let places = Places {
        cpus: kernel::cpus(view)?,
        threads: kernel::threads(view)?,
        parts: kernel::arena(view, "k_parts.parts")?,
        now_ns,
    };
    let mut all = Vec::new();
    for (addr, number) in places.threads.addresses().zip(0..) {
        let t = view.object(places.threads.of, addr)?;
        if t.n("t_state")? != u64::from(ts::FREE) || t.n("t_runs")? != 0 {
            all.push(places.thread(&t, number)?);
        }
    }
    Ok(all)
}

struct Places {
    cpus: Elements,
    threads: Elements,
    parts: Elements,
    now_ns: u64,
}

impl Places {
    fn thread(&self, t: &Object<'_>, number: u64) -> Result<Thread, Failure> {
        let (state, wchan, kind) = (t.n("t_state")?, t.n("t_wchan")?, t.n("t_sobj")?);
        let what = t.n("t_role")? as u8;
        let (weak, strong) = (t.n("t_weakbound_cpu")?, t.n("t_bound_cpu")?);
        let bound = if weak == 0 { strong } else { weak };
        let mstate = t.n("t_mstate")?;
        let mut acct = [0; lms::COUNT];
        for (n, ns) in acct.iter_mut().enumerate() {
            *ns = t.n(&format!("t_acct[{n}]"))?;
        }
        let stay = self.now_ns.saturating_sub(t.n("t_mstart")?);
        if let Some(ns) = acct.get_mut(mstate as usize) {
            *ns = ns.saturating_add(stay);
        }
        let proc = kernel::proc_of(t)?;
        // A thread of the scenario without an LWP is the kernel's own, unless its process has a name.
        let is_process = what == role::SCENARIO && proc != "sched";
        let is_queued = state == u64::from(ts::RUN);
        let on_kp = self.parts.containing(t.n("t_disp_queue")?).is_some();
        let waits_since = t.n("t_waitrq")?;
        Ok(Thread {
            addr: t.addr(),
            number,
            pid: if is_process { number - self.cpus.count.min(number) + 1 } else { 0 },
            name: t.text("t_name")?,
            proc,
            class: kernel::class_name(t.n("t_cid")?),
            pri: t.signed("t_pri")?,
            epri: t.signed("t_epri")?,
            state,
            role: what,
            has_lwp: t.n("lwp_state")? != u64::from(lwp::NONE),
            cpu: self.cpus.index_of(t.n("t_cpu")?),
            bound: self.cpus.index_of(bound),
            queue: is_queued.then_some(if on_kp { "kp" } else { "cpu" }),
            wchan,
            sobj: sobj::NAMES.short(kind).unwrap_or("?").to_ascii_lowercase(),
            owner: self.owner(t.view(), wchan, kind as u8),
            waited_ns: (is_queued && waits_since != 0).then(|| self.now_ns.saturating_sub(waits_since)),
            nvcsw: t.n("t_nvcsw")?,
            nivcsw: t.n("t_nivcsw")?,
            acct,
            mstate,
        })
    }

    /// The thread that owns the mutex, or has locked the rwlock for writing, at `wchan`.
    fn owner(&self, view: &View<'_>, wchan: u64, kind: u8) -> Option<u64> {
        let word = match kind {
            sobj::MUTEX => view.at("Mutex", wchan).ok()?.n("m_owner").ok()?,
            sobj::RWLOCK => view.at("Rwlock", wchan).ok()?.n("rw_wwwh").ok()?,
            _ => return None,
        };
        // The low bits are flags: threads are aligned far beyond them.
        let owner = word & !7;
        self.threads.index_of(owner).is_some().then_some(owner)
    }
}
