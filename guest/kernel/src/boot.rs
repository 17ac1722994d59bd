//! From nothing to a running kernel.
//!
//! # Invariants
//! - `Kernel::new` only allocates; `start` links, on CPU 0, before any other CPU runs kernel code.
//! - Threads are created in the order of the scenario, so the same program gives the same kernel.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::slice::from_ref;
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64};

use crate::cell::Cell;
use crate::class::fss::fss_update;
use crate::class::sdc::{sysdc_update, update_ticks};
use crate::class::ts::ts_update;
use crate::class::{ClassState, cl_enterclass, maxglobpri};
use crate::cpu::CpuState;
use crate::cpu::partition::cpupart_add_cpu;
use crate::cpu::pause::cpu_pause;
use crate::cpucaps::{Cpucaps, caps_update, cpucaps_start};
use crate::disp::cmt::{pg_count, pg_init, pg_new};
use crate::disp::{DispState, MAXCLSYSPRI, MINCLSYSPRI, NPRI, disp_setup, idle, setrun};
use crate::intr::avintr::Avintr;
use crate::intr::{IntrState, drain, intr_thread_free, intr_thread_main};
use crate::kernel::{KERNEL_MAGIC, Kernel};
use crate::kmem::{KmemState, kmem_init};
use crate::kstat::Sysinfo;
use crate::lgrp::lgrp_init;
use crate::lock::DispLock;
use crate::net::{NetState, mac_rx, net_init};
use crate::script::{ConsoleKey, ScriptEvent, console_init, script, script_of_console};
use crate::spl::SplState;
use crate::streams::StreamsState;
use crate::streams::background::{
    streams_qbkgrnd_service, streams_qwriter_service, streams_sqbkgrnd_service,
};
use crate::streams::callback::streams_bufcall_service;
use crate::sync::SyncState;
use crate::sys::class::Parms;
use crate::sys::cpu::{CPU_IDLE_PRI, flag};
use crate::sys::lgrp::{LgrpState, root};
use crate::sys::part::PartState;
use crate::sys::pg::CmtState;
use crate::sys::thread::{Start, lwp, role, tflag, thread_onproc};
use crate::sys::{Cpu, Cpupart, Kthread, Places, Proc};
use crate::taskq::{TaskqState, callout_taskq_dispatch, taskq_cpu_setup, taskq_init};
use crate::thread::{SystemThread, system_thread_create, thread_create};
use crate::time::callout::CalloutState;
use crate::time::clock::{ClockFunc, ClockState, Every, clock_funcs_start};
use crate::time::clock_tick_mp::{clock_tick_execute, clock_tick_online};
use crate::time::cyclic::{CyclicState, LOW_PIL, cyclic_fire, cyclic_poked, cyclic_softint, cyclic_start};
use crate::time::deadman::{DeadmanState, deadman_init};
use crate::time::signal::{SIGNALS, Signal};
use crate::vm::{VmState, pageout_deadman, pvn_write_done, vm_init};
use crate::work::WorkState;
use crate::zfs::{DISK_PIL, ZfsState, vdev_disk_intr, zfs_init};
use crate::{mstate, platform, spl};
use umpire_shared::program::{Header, Program};
use umpire_shared::sys::machlock::{HIGH_PIL, LOCK_LEVEL, POKE_PIL};
use umpire_shared::{pack_name, program, roster, tunable};

/// Both are built on the boot stack, of 16 KiB, and moved into their places.
const _: () =
    assert!(size_of::<Kernel>() + size_of::<Cpu>() <= 13 * 1024, "too big for the boot stack: use an arena");

/// Handlers that the floors above the interrupt system have for a level, in the order in which they are called.
const AUTOVECT: &[Avintr] = &[
    Avintr { av_pil: LOCK_LEVEL, av_vector: clock_tick_execute },
    Avintr { av_pil: LOW_PIL, av_vector: cyclic_softint },
    Avintr { av_pil: LOCK_LEVEL, av_vector: cyclic_softint },
    Avintr { av_pil: DISK_PIL, av_vector: vdev_disk_intr },
    Avintr { av_pil: POKE_PIL, av_vector: cyclic_poked },
    Avintr { av_pil: HIGH_PIL, av_vector: cyclic_fire },
];

/// What `clock()` does for the floors above it, in this order.
const CLOCK_FUNCS: &[ClockFunc] = &[
    ClockFunc { cf_every: Every::Tick, cf_is_callout: false, cf_func: caps_update },
    ClockFunc { cf_every: Every::Ticks(update_ticks), cf_is_callout: true, cf_func: sysdc_update },
    ClockFunc { cf_every: Every::Second, cf_is_callout: true, cf_func: ts_update },
    ClockFunc { cf_every: Every::Second, cf_is_callout: false, cf_func: fss_update },
    ClockFunc { cf_every: Every::Second, cf_is_callout: false, cf_func: pageout_deadman },
];

/// What is called when a CPU has come or gone, with `cpu_lock` held (`register_cpu_setup_func`).
const CPU_SETUP_FUNCS: &[fn()] = &[taskq_cpu_setup];

/// Handles interrupts of level 1 to `LOCK_LEVEL`.
const INTR: SystemThread<'static> = SystemThread {
    role: role::INTR,
    name: roster::name::INTR,
    pri: MAXCLSYSPRI,
    duty_cycle: None,
    start: &Start(|| intr_thread_main()),
};

/// The threads that STREAMS leave work to.
const STREAMS: [(&str, Start); roster::STREAMS_THREADS as usize] = [
    (roster::name::QBKGRND, Start(streams_qbkgrnd_service)),
    (roster::name::SQBKGRND, Start(streams_sqbkgrnd_service)),
    (roster::name::QWRITER, Start(streams_qwriter_service)),
    (roster::name::BUFCALL, Start(streams_bufcall_service)),
];

/// Makes the scenario's events happen, with the priority of a system thread.
const SCRIPT: SystemThread<'static> = SystemThread {
    role: role::SCRIPT,
    name: roster::name::SCRIPT,
    pri: MAXCLSYSPRI,
    duty_cycle: None,
    start: &Start(script),
};

impl Kernel {
    /// A kernel for so many CPUs and this program, not yet linked.
    pub fn new(ncpus: u32, program: &Program<'_>) -> Kernel {
        let header = program.header();
        let nthreads = program.nthreads();
        let total = roster::total(ncpus, nthreads + header.pool);
        let npsets = program.psets().len() as u32;
        let class = ClassState::new(program);
        Kernel {
            k_magic: KERNEL_MAGIC,
            k_ncpus: ncpus,
            k_nthreads: nthreads,
            k_npool: header.pool,
            k_cpus: arena(ncpus, Cpu::new),
            k_threads: arena(total, Kthread::new),
            k_procs: arena(nthreads, |_| Proc::new()),
            k_parts: PartState::new(npsets),
            k_cpu_ops: CpuState::new(CPU_SETUP_FUNCS),
            k_disp: DispState::new(),
            k_lgrp: LgrpState::new(header.lgroups, npsets + 1),
            k_cmt: CmtState::new(arena(pg_count(header), |n| pg_new(header, n))),
            k_events: program.events().map(|e| ScriptEvent::new(&e)).collect(),
            k_console: ConsoleKey::new(),
            k_sync: SyncState::new(total),
            k_intr: IntrState::new(program, AUTOVECT, mac_rx),
            k_work: WorkState::new(nthreads),
            k_kmem: KmemState::new(ncpus, header),
            k_taskq: TaskqState::new(ncpus, ncpus + nthreads, header, program.taskqs().len()),
            k_cpucaps: Cpucaps::new(class.fss.fss_kprojects.len()),
            k_class: class,
            transition_lock: DispLock::new_held(),
            stop_lock: DispLock::new(),
            k_tunables: core::array::from_fn(|n| AtomicI64::new(header.tunables[n])),
            v_nglobpris: AtomicI32::new(NPRI as i32),
            hz: AtomicU32::new(header.tunables[tunable::HZ] as u32),
            k_mutants: header.mutants.words().map(AtomicU64::new),
            k_trace: AtomicU32::new(header.trace),
            lbolt: AtomicU64::new(0),
            k_clock: ClockState::new(ncpus, header, CLOCK_FUNCS),
            k_deadman: DeadmanState::new(),
            k_cyclic: CyclicState::new(ncpus, header.tunables[tunable::CYC_TRACE] != 0),
            k_callout: CalloutState::new(total, ncpus, callout_taskq_dispatch),
            k_signals: arena(SIGNALS as u32, |_| Signal::default()),
            k_sysinfo: Sysinfo::default(),
            k_places: Places::new(),
            k_spl: SplState::new(drain),
            k_streams: Box::new(StreamsState::new(ncpus, program)),
            k_net: NetState::new(program),
            k_zfs: Box::new(ZfsState::new(header, pvn_write_done)),
            k_vm: Box::new(VmState::new(header)),
        }
    }
}

/// Links the kernel and makes the scenario's threads runnable. On CPU 0, whose words already name its idle thread as the
/// current one, at level 15.
pub fn start(program: Program<'_>) {
    let kernel = platform::kernel();
    kernel.v_nglobpris.set(maxglobpri(is_rt_loaded(kernel, program)) + 1 + LOCK_LEVEL as i32);
    disp_setup(kernel);
    number_places(kernel);
    for (t, ts) in kernel.k_threads.iter().zip(&kernel.k_sync.turnstiles) {
        t.t_ts.set(Some(ts));
    }
    lgrp_init(kernel);
    for cp in kernel.k_cpus.iter() {
        let pset = program.psets().position(|set| set.cpus >> cp.cpu_id & 1 != 0);
        init_cpu(kernel, cp, pset.map_or(kernel.cp_default(), |n| &kernel.k_parts.parts[n + 1]));
    }
    pg_init(kernel, program.header());
    deadman_init();
    cpucaps_start(program);
    kmem_init();
    create_system_threads(kernel, program.header());
    for dev in kernel.k_intr.devices.iter() {
        let pils = &kernel.k_cpus[dev.dev_cpu.get() as usize].cpu_dev_pils;
        pils.set(pils.get() | 1 << dev.dev_pil);
    }
    for (t, spec) in kernel.scenario_threads().iter().zip(program.threads()) {
        thread_create(t, &spec);
    }
    net_init();
    for t in kernel.scenario_threads() {
        setrun(t);
    }
    if kernel.k_streams.is_there() {
        for n in 0..roster::STREAMS_THREADS {
            setrun(
                &kernel.k_threads
                    [roster::streams_thread(kernel.k_ncpus, kernel.roster_threads(), n) as usize],
            );
        }
    }
    taskq_init(program);
    zfs_init();
    vm_init();
    clock_funcs_start();
    if !kernel.k_events.is_empty() {
        setrun(&kernel.k_threads[roster::script_thread(kernel.k_ncpus, kernel.roster_threads()) as usize]);
    }
}

/// What a CPU does from its first moment in the dispatcher on: its idle loop.
pub fn cpu_main() -> ! {
    let cp = platform::cpu();
    cp.cpu_flags.set(cp.cpu_flags.get() | flag::RUNNING | flag::ENABLE);
    mstate::restore_mstate(cp, platform::curthread(), platform::now());
    cyclic_start();
    // READY only now that there is something to move away: from here on the CPU may be taken offline.
    cp.cpu_flags.set(cp.cpu_flags.get() | flag::READY);
    clock_tick_online(cp);
    spl::spl0();
    idle()
}

/// Gives places to the objects that are slept on, and to those that have locks that are ordered by place.
fn number_places(kernel: &Kernel) {
    let places = &kernel.k_places;
    places.add(&"k_work.tables", &kernel.k_work.tables);
    places.add(&"cp_default", from_ref(kernel.cp_default()));
    places.add(&"k_cpu_ops.cpu_lock", from_ref(&kernel.k_cpu_ops.cpu_lock));
    places.add(&"k_work.locks", &kernel.k_work.locks);
    places.add(&"k_cpucaps.caps_lock", from_ref(&kernel.k_cpucaps.caps_lock));
    places.add(&"transition_lock", from_ref(&kernel.transition_lock));
    places.add(&"stop_lock", from_ref(&kernel.stop_lock));
    places.add(&"k_threads", &kernel.k_threads);
    places.add(&"k_work.cvs", &kernel.k_work.cvs);
    places.add(&"k_work.rwlocks", &kernel.k_work.rwlocks);
    places.add(&"k_work.semas", &kernel.k_work.semas);
    places.add(&"k_cpus", &kernel.k_cpus);
    places.add(&"k_sync.turnstile_table", &kernel.k_sync.turnstile_table);
    places.add(&"k_sync.sleepq", &kernel.k_sync.sleepq);
    places.add(&"psets", &kernel.k_parts.parts[1..]);
    places.add(&"k_callout.callout_tables", &kernel.k_callout.callout_tables);
    places.add(&"k_callout.callouts", &kernel.k_callout.callouts);
    places.add(&"k_signals", &kernel.k_signals);
    places.add(&"k_cpucaps.caps", &kernel.k_cpucaps.caps);
    places.add(&"k_cpucaps.zone_caps", &kernel.k_cpucaps.zone_caps);
    places.add(&"k_kmem.kmem_caches", &kernel.k_kmem.kmem_caches);
    places.add(&"k_kmem.kmem_cpu", &kernel.k_kmem.kmem_cpu);
    places.add(&"k_kmem.kmem_vmem", from_ref(&kernel.k_kmem.kmem_vmem));
    places.add(&"k_kmem", from_ref(&kernel.k_kmem));
    kernel.k_streams.number_places(places);
    places.add(&"taskq_cache", &kernel.k_taskq.taskq_cache.objects);
    places.add(&"taskq_ent_cache", &kernel.k_taskq.taskq_ent_cache.objects);
    places.add(&"taskq_buckets", &kernel.k_taskq.taskq_buckets);
    places.add(&"k_taskq", from_ref(&kernel.k_taskq));
    places.add(&"k_console", from_ref(&kernel.k_console));
    places.add(&"k_work.bells", &kernel.k_work.bells);
    places.add(&"k_intr.devices", &kernel.k_intr.devices);
    kernel.k_net.number_places(places);
    kernel.k_zfs.number_places(places);
    kernel.k_vm.number_places(places);
}

/// True if a thread uses class RT, from the beginning or later, or the scenario wants it loaded.
fn is_rt_loaded(kernel: &Kernel, program: Program<'_>) -> bool {
    let is_rt = |cid: i64| cid == i64::from(program::class::RT);
    kernel.tunable_at_boot(tunable::RT_LOADED) != 0
        || is_rt(program.header().script_class.into())
        || program.threads().any(|t| is_rt(i64::from(t.class)))
        || program.events().any(|e| e.verb == program::Verb::Priocntl && is_rt(e.args[0]))
}

fn init_cpu(kernel: &'static Kernel, cp: &'static Cpu, part: &'static Cpupart) {
    cp.cpu_disp.disp_cpu.set(Some(cp));
    cpupart_add_cpu(part, cp);
    let idle = &kernel.k_threads[cp.cpu_id as usize];
    for (to, from) in idle.t_name.iter().zip(pack_name("idle")) {
        to.set(from);
    }
    idle.t_role.set(role::IDLE);
    idle.t_pri.set(CPU_IDLE_PRI);
    idle.t_epri.set(CPU_IDLE_PRI);
    idle.t_preempt.set(1);
    idle.t_bound_cpu.set(Some(cp));
    idle.t_affinitycnt.set(1);
    idle.t_disp_queue.set(Some(&cp.cpu_disp));
    idle.t_cpupart.set(Some(part));
    idle.t_lpl.set(Some(root(part)));
    thread_onproc(idle, cp);
    let claimed = idle.try_claim_context();
    assert!(claimed, "boot: idle thread {} is in use", cp.cpu_id);
    cp.cpu_idle_thread.set(Some(idle));
    cp.cpu_thread.set(Some(idle));
    cp.cpu_dispthread.set(Some(idle));
}

/// Sets up the threads that the kernel has for itself; the code that needs one starts it.
fn create_system_threads(kernel: &'static Kernel, header: &Header) {
    let (ncpus, nthreads) = (kernel.k_ncpus, kernel.roster_threads());
    let thread = |n: u32| &kernel.k_threads[n as usize];
    for cp in kernel.k_cpus.iter() {
        let id = cp.cpu_id;
        for n in 0..roster::INTR_THREADS {
            let t = thread(roster::intr_thread(ncpus, nthreads, id, n));
            system_thread_create(t, &INTR, Some(cp));
            t.t_flag.set(tflag::INTR_THREAD);
            t.t_preempt.set(1);
            intr_thread_free(t, cp);
        }
        let pause = thread(roster::pause_thread(ncpus, nthreads, id));
        let of_pause = SystemThread {
            role: role::PAUSE,
            name: roster::name::PAUSE,
            pri: kernel.v_nglobpris.get() - 1,
            duty_cycle: None,
            start: &Start(|| cpu_pause()),
        };
        system_thread_create(pause, &of_pause, Some(cp));
        pause.t_preempt.set(1);
        cp.cpu_pause_thread.set(Some(pause));
    }
    if kernel.k_streams.is_there() {
        for (n, (name, start)) in STREAMS.iter().enumerate() {
            let t = thread(roster::streams_thread(ncpus, nthreads, n as u32));
            let what = SystemThread { role: role::STREAMS, name, pri: MINCLSYSPRI, duty_cycle: None, start };
            system_thread_create(t, &what, None);
        }
    }
    let script = thread(roster::script_thread(ncpus, nthreads));
    if header.console {
        // Above every class, as what a console interrupts for is, and below the threads that pause CPUs for it.
        let start = &Start(script_of_console);
        let of_console = SystemThread { pri: kernel.v_nglobpris.get() - 2, start, ..SCRIPT };
        system_thread_create(script, &of_console, None);
        console_init();
        return;
    }
    if header.script_class == program::class::SYS {
        system_thread_create(script, &SystemThread { pri: header.script_pri, ..SCRIPT }, None);
        return;
    }
    system_thread_create(script, &SCRIPT, None);
    // A process's, as a shell's would be: it is charged for ticks.
    script.lwp_state.set(lwp::SYS);
    let parms = Parms { pri: Some(header.script_pri), ..Parms::default() };
    cl_enterclass(script, header.script_class as u8, &parms);
}

fn arena<T>(n: u32, new: impl Fn(u32) -> T) -> Box<[T]> {
    (0..n).map(new).collect::<Vec<T>>().into_boxed_slice()
}
