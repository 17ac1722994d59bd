//! A simulation as its owner sees it: it is booted, run and looked at.
//!
//! # Invariants
//! - The kernel's memory stays at the same addresses from `new` until the simulation and every result of `keep` are gone.
//! - A simulation that has ended stays ended.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::{Arc, Once};

use crate::coroutine::Thread;
use crate::glue;
use crate::host::Absence;
use crate::machine::Machine;
use crate::trace::TraceRecord;
use umpire_kernel::{Kernel, Kthread, boot};
use umpire_shared::MAX_CPUS;
use umpire_shared::program::Program;
use umpire_shared::work::Workload;
use umpire_shared::work::broken::Broken;

/// What to simulate.
#[derive(Debug, Clone, Copy)]
pub struct SimConfig<'a> {
    /// CPUs, 1 to [`MAX_CPUS`].
    pub ncpus: u32,
    /// The encoded [`Program`].
    pub program: &'a [u8],
    /// Where every choice comes from.
    pub seed: u64,
    /// How often the host takes a CPU off; `None`: never.
    pub absence: Option<Absence>,
}

/// Why a simulation cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimError {
    /// Not 1 to [`MAX_CPUS`] CPUs.
    Cpus(u32),
    /// The program does not decode.
    Program,
    /// A workload that only a real machine survives.
    Workload(&'static str),
    /// No memory for a thread's stack.
    Stack(String),
}

impl fmt::Display for SimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SimError::Cpus(n) => write!(f, "simulate {n} CPUs: a machine has 1 to {MAX_CPUS}"),
            SimError::Program => {
                write!(f, "simulate a program that does not decode: its records are cut or foreign")
            }
            SimError::Workload(name) => {
                write!(
                    f,
                    "simulate workload '{name}': it needs a machine that can be stopped from outside; run it without --sim"
                )
            }
            SimError::Stack(e) => write!(f, "allocate a thread's stack: {e}; run fewer threads"),
        }
    }
}

impl std::error::Error for SimError {}

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// One of [`umpire_shared::boot::reason`].
    pub reason: u32,
    /// What it said.
    pub message: String,
    /// The CPU that ended it.
    pub cpu: u32,
    /// The thread that ran there (`t_did`).
    pub thread: u32,
}

/// What `run_until` came back with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimState {
    /// The time was reached.
    Running,
    /// The guest ended before.
    Ended(End),
    /// No CPU will ever do anything again: every one is halted and no timer is armed.
    Dead,
}

/// A kernel on a simulated machine.
pub struct Sim {
    machine: Box<Machine>,
    end: Option<SimState>,
}

impl Sim {
    /// Boots a kernel at virtual time 0; it has run nothing yet.
    ///
    /// # Errors
    /// See [`SimError`].
    pub fn new(config: &SimConfig<'_>) -> Result<Sim, SimError> {
        install_panic_hook();
        if config.ncpus == 0 || config.ncpus as usize > MAX_CPUS {
            return Err(SimError::Cpus(config.ncpus));
        }
        let program = Program::decode(config.program).ok_or(SimError::Program)?;
        for t in program.threads() {
            if let Workload::Broken(Broken::Overflow(_) | Broken::Corrupt(_)) = t.work {
                return Err(SimError::Workload(t.work.about().name));
            }
        }
        let machine = Box::new(Machine::new(config, &program));
        let mut sim = Sim { machine, end: None };
        sim.add_idle_threads(config.program)?;
        sim.machine.power_on();
        Ok(sim)
    }

    /// Has each thread that starts from now on run `main` instead of its workload, as long as that answers true: for
    /// tests of kernel functions that no workload calls. A closure that is suspended when the simulation ends is
    /// thrown away without being unwound: what it owns then is leaked.
    pub fn run_instead(&mut self, main: impl Fn(&'static Kthread) -> bool + 'static) {
        self.machine.set_main(Rc::new(main));
    }

    /// From now on other CPUs and interrupts may come between look and store of `mutex_exit`, and CPUs stall more often.
    pub fn open_exits(&mut self) {
        self.machine.set_open_exits();
    }

    /// Runs until every CPU has reached `time_ns`, or the guest has ended.
    pub fn run_until(&mut self, time_ns: u64) -> SimState {
        if let Some(end) = &self.end {
            return end.clone();
        }
        let machine = &*self.machine;
        let outcome =
            glue::enter(machine, || panic::catch_unwind(AssertUnwindSafe(|| machine.run_until(time_ns))));
        let state = match outcome {
            Ok(true) => return SimState::Running,
            Ok(false) => SimState::Dead,
            Err(_) => SimState::Ended(machine.take_end()),
        };
        self.end = Some(state.clone());
        state
    }

    /// The kernel, between two runs.
    pub fn kernel(&self) -> &Kernel {
        self.machine.kernel()
    }

    /// Address of the `Kernel` object.
    pub fn root(&self) -> u64 {
        std::ptr::from_ref(self.kernel()).expose_provenance() as u64
    }

    /// The kernel, for a reader of its memory: while this lives, [`Sim::ranges`] stay where they are.
    pub fn keep(&self) -> Arc<Kernel> {
        self.machine.keep()
    }

    /// Where the kernel's memory lies: address and length of each piece.
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        fn piece<T>(slice: &[T]) -> (u64, u64) {
            (slice.as_ptr().expose_provenance() as u64, std::mem::size_of_val(slice) as u64)
        }
        let k = self.kernel();
        let s = &k.k_streams;
        let mut ranges = vec![
            (std::ptr::from_ref(&**s).expose_provenance() as u64, std::mem::size_of_val(&**s) as u64),
            piece(&s.memory.sm_bytes),
            piece(&s.memory.sm_dblks.ar_objects),
            piece(&s.memory.sm_mblks.ar_objects),
            piece(&s.queues.ar_objects),
            piece(&s.syncqs.ar_objects),
            piece(&s.qbands.ar_objects),
            piece(&s.stdatas.ar_objects),
            piece(&s.callbacks.ar_objects),
            piece(&s.memory.sm_dblk_cache.cache_cpu),
            piece(&s.memory.sm_mblk_cache.cache_cpu),
            piece(&s.queue_cache.cache_cpu),
            piece(&s.syncq_cache.cache_cpu),
            piece(&s.qband_cache.cache_cpu),
            piece(&s.stdata_cache.cache_cpu),
            piece(&s.callback_cache.cache_cpu),
            piece(&s.scenario),
            piece(&s.strstats),
            piece(&s.esbq),
            piece(std::slice::from_ref(&*s.background)),
            piece(std::slice::from_ref(&*s.bufcalls)),
            piece(std::slice::from_ref(&*s.perdms)),
            piece(std::slice::from_ref(&*s.autopush)),
            (self.root(), std::mem::size_of::<Kernel>() as u64),
            piece(&k.k_cpus),
            piece(&k.k_threads),
            piece(&k.k_procs),
            piece(&k.k_parts.parts),
            piece(&k.k_lgrp.lpls),
            piece(&k.k_cmt.pgs),
            piece(&k.k_events),
            piece(&k.k_sync.sleepq),
            piece(&k.k_sync.turnstile_table),
            piece(&k.k_sync.turnstiles),
            piece(&k.k_class.projects),
            piece(&k.k_intr.devices),
            piece(&k.k_work.tables),
            piece(&k.k_work.bells),
            piece(&k.k_net.srs),
            piece(&k.k_net.soft_rings),
            piece(&k.k_net.squeues),
            piece(&k.k_work.rwlocks),
            piece(&k.k_work.semas),
            piece(&k.k_work.cvs),
            piece(&k.k_work.spins),
            piece(&k.k_cyclic.cyclic_ids),
            piece(&k.k_cyclic.cyc_trace),
            piece(&k.k_callout.callouts),
            piece(&k.k_callout.callout_tables),
            piece(&k.k_signals),
            piece(&k.k_cpucaps.caps),
            piece(&k.k_cpucaps.zone_caps),
            piece(&k.k_class.fss.fss_kprojects),
            piece(&k.k_class.fss.fss_zones),
            piece(&k.k_class.fss.fss_psets),
            piece(&k.k_class.sdc.sdc_psets),
            piece(&k.k_taskq.taskq_cache.objects),
            piece(&k.k_taskq.taskq_ent_cache.objects),
            piece(&k.k_taskq.taskq_buckets),
            piece(&k.k_taskq.scenario),
            piece(std::slice::from_ref(&*k.k_zfs)),
            piece(&k.k_zfs.zio_cache.objects),
            piece(&k.k_zfs.spa.spa_zio_taskq),
            piece(std::slice::from_ref(&*k.k_vm)),
            piece(&k.k_vm.pages),
            piece(&k.k_vm.anon),
            piece(&k.k_kmem.kmem_caches),
            piece(&k.k_kmem.kmem_cpu),
            piece(&k.k_kmem.kmem_mags),
            piece(&k.k_kmem.kmem_slabs),
            piece(&k.k_kmem.kmem_memory),
            piece(&k.k_kmem.kmem_raw.bt_bufctls),
            piece(&k.k_class.class_tables),
        ];
        ranges.extend(k.k_cyclic.cyc_trace.iter().map(|buffer| piece(&buffer.cyt_buf)));
        ranges.extend(k.k_intr.devices.iter().map(|dev| piece(&dev.dev_rx.rr_arrived)));
        ranges.extend(k.k_net.srs.iter().map(|set| piece(&set.srs_lanes)));
        ranges.extend(k.k_class.class_tables.iter().map(|table| piece(table.rows())));
        ranges
    }

    /// Virtual ns in which the host had taken a CPU off.
    pub fn away_ns(&self, cpu: usize) -> u64 {
        self.machine.away_ns(cpu)
    }

    /// True if a CPU is not asleep in its halt: it runs, or the host has taken it off.
    pub fn is_ready(&self, cpu: usize) -> bool {
        self.machine.is_ready(cpu)
    }

    /// Virtual ns that a CPU has run, neither halted nor taken off.
    pub fn ran_ns(&self, cpu: usize) -> u64 {
        self.machine.ran_ns(cpu)
    }

    /// What the kernel has written to its console since the last call.
    pub fn take_console(&self) -> String {
        self.machine.take_console()
    }

    /// The events since the last [`Sim::take_trace`], which stay there.
    pub fn trace(&self) -> Vec<TraceRecord> {
        self.machine.trace()
    }

    /// The events since the last call.
    pub fn take_trace(&self) -> Vec<TraceRecord> {
        self.machine.take_trace()
    }

    fn add_idle_threads(&mut self, program: &[u8]) -> Result<(), SimError> {
        let machine = &*self.machine;
        let mut program = Some(program.to_vec());
        for _ in 0..machine.kernel().k_ncpus {
            let program = program.take();
            let thread = Thread::new(move || {
                if let Some(bytes) = program {
                    boot::start(Program::decode(&bytes).expect("invariant: decoded before"));
                    glue::started();
                }
                boot::cpu_main();
            });
            machine.add_thread(Some(thread.map_err(|e| SimError::Stack(e.to_string()))?));
        }
        let kernel = machine.kernel();
        for _ in kernel.k_ncpus as usize..kernel.k_threads.len() {
            machine.add_thread(None);
        }
        Ok(())
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("reached_ns", &self.machine.reached_ns()).finish_non_exhaustive()
    }
}

/// Keeps the text of kernel panics for the epitaph instead of printing it.
fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if glue::is_inside() {
                let payload = info.payload();
                let text = payload.downcast_ref::<&str>().copied();
                let text = text
                    .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                    .unwrap_or("(no message)");
                let place =
                    info.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
                glue::note_panic(format!("{text}{place}"));
            } else {
                previous(info);
            }
        }));
    });
}
