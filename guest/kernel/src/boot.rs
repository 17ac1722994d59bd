//! From nothing to a running kernel.
//!
//! # Invariants
//! - `Kernel::new` only allocates; `start` links, on CPU 0, before any other CPU runs kernel code.
//! - Threads are created in the order of the scenario, so the same program gives the same kernel.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64};

use crate::cell::Cell;
use crate::cpu::{CPU_IDLE_PRI, Cpu, Cpupart, flag};
use crate::disp::{Disp, MAXCLSYSPRI, NPRI, idle, setrun};
use crate::intr::device::Device;
use crate::intr::spl;
use crate::kernel::{KERNEL_MAGIC, Kernel};
use crate::lock::DispLock;
use crate::mailbox::Mailbox;
use crate::platform;
use crate::sync::sleepq::{NSLEEPQ, SleepQueue};
use crate::thread::{Kthread, thread_create, thread_onproc};
use crate::time::callout::CalloutTable;
use crate::time::cyclic::cyclic_start;
use umpire_shared::program::Program;
use umpire_shared::{pack_name, tunable};

impl Kernel {
    /// A kernel for so many CPUs and this program, not yet linked.
    pub fn new(ncpus: u32, program: &Program<'_>) -> Kernel {
        let header = program.header();
        let nthreads = header.nthreads;
        let total = ncpus + nthreads;
        Kernel {
            k_magic: KERNEL_MAGIC,
            k_ncpus: ncpus,
            k_nthreads: nthreads,
            k_cpus: arena(ncpus, Cpu::new),
            k_threads: arena(total, Kthread::new),
            k_cpupart: Cpupart {
                cp_kp_queue: Disp::new(),
                cp_haltset: AtomicU64::new(0),
                cp_nrunnable_cum: AtomicU64::new(0),
                cp_updates: AtomicU64::new(0),
            },
            k_sleepq: arena(NSLEEPQ as u32, |_| SleepQueue::new()),
            k_devices: program.interrupts().map(|i| Device::new(&i)).collect(),
            k_mailboxes: arena(nthreads, |_| Mailbox::new()),
            k_work_locks: Default::default(),
            k_callout: CalloutTable::new(),
            k_ts: Default::default(),
            transition_lock: DispLock::new_held(),
            stop_lock: DispLock::new(),
            k_tunables: core::array::from_fn(|n| AtomicI64::new(header.tunables[n])),
            kpreemptpri: AtomicI32::new(0),
            kpqpri: AtomicI32::new(0),
            upreemptpri: AtomicI32::new(0),
            v_nglobpris: AtomicI32::new(NPRI as i32),
            hz: AtomicU32::new(header.tunables[tunable::HZ] as u32),
            k_mutants: AtomicU64::new(header.mutants),
            k_trace: AtomicU32::new(u32::from(header.trace)),
            lbolt: AtomicU64::new(0),
            k_clock_ticks: AtomicU64::new(0),
            deadman_counter: AtomicU32::new(0),
            deadman_panics: AtomicU32::new(0),
            k_clock_cpu: AtomicU32::new(0),
            k_runque: AtomicU64::new(0),
        }
    }
}

/// Links the kernel and makes the scenario's threads runnable. On CPU 0, whose words already name its idle thread as the
/// current one, at level 15.
pub fn start(program: Program<'_>) {
    let kernel = platform::kernel();
    dispinit(kernel);
    for cp in kernel.k_cpus.iter() {
        init_cpu(kernel, cp);
    }
    for (t, spec) in kernel.scenario_threads().iter().zip(program.threads()) {
        thread_create(t, &spec);
    }
    for t in kernel.scenario_threads() {
        setrun(t);
    }
}

/// What a CPU does from its first moment in the dispatcher on: its idle loop.
pub fn cpu_main() -> ! {
    let cp = platform::cpu();
    cp.cpu_flags.set(cp.cpu_flags.get() | flag::RUNNING | flag::READY | flag::ENABLE);
    cyclic_start();
    spl::spl0();
    idle()
}

/// The thresholds (`disp.c dispinit`, `disp_setup`).
fn dispinit(kernel: &Kernel) {
    let mut kpreemptpri = kernel.tunable(tunable::KPREEMPTPRI) as i32;
    let kpqpri = kernel.tunable(tunable::KPQPRI) as i32;
    kernel.kpqpri.set(if kpqpri == -1 { kpreemptpri } else { kpqpri });
    if kernel.tunable(tunable::ONLY_INTR_KPREEMPT) != 0 {
        // intr_pri + 1; kpqpri keeps the value it had before, as it does in disp.c.
        kpreemptpri = NPRI as i32 - 10;
    }
    kernel.kpreemptpri.set(kpreemptpri);
    kernel.upreemptpri.set(kernel.tunable(tunable::UPREEMPTPRI) as i32);
    debug_assert!(MAXCLSYSPRI < NPRI as i32, "a level for every priority");
}

fn init_cpu(kernel: &'static Kernel, cp: &'static Cpu) {
    cp.cpu_disp.disp_cpu.set(Some(cp));
    let idle = &kernel.k_threads[cp.cpu_id as usize];
    for (to, from) in idle.t_name.iter().zip(pack_name("idle")) {
        to.set(from);
    }
    idle.t_pri.set(CPU_IDLE_PRI);
    idle.t_epri.set(CPU_IDLE_PRI);
    idle.t_preempt.set(1);
    idle.t_bound_cpu.set(Some(cp));
    idle.t_bind_cpu.set(cp.cpu_id as i32);
    idle.t_disp_queue.set(Some(&cp.cpu_disp));
    thread_onproc(idle, cp);
    let claimed = idle.try_claim_context();
    assert!(claimed, "boot: idle thread {} is in use", cp.cpu_id);
    cp.cpu_idle_thread.set(Some(idle));
    cp.cpu_thread.set(Some(idle));
    cp.cpu_dispthread.set(Some(idle));
}

fn arena<T>(n: u32, new: impl Fn(u32) -> T) -> Box<[T]> {
    (0..n).map(new).collect::<Vec<T>>().into_boxed_slice()
}
