//! Tunables: what /etc/system or a scenario may set before boot.
//!
//! # Invariants
//! - A tunable's place in [`TUNABLES`] is its number in the scenario program and in the kernel.
//! - Values are `i64`; the range is checked on the host, so the kernel may rely on it.
//! - When the kernel reads a tunable is part of its line. A read at another time fails in the kernel's own tests
//!   (`Kernel::tunable`, `Kernel::tunable_at_boot`).

/// One tunable of the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Tunable {
    /// Name, as illumos spells it.
    pub name: &'static str,
    /// Value when it is not set.
    pub default: i64,
    /// Least value allowed.
    pub min: i64,
    /// Greatest value allowed.
    pub max: i64,
    /// When the kernel reads it.
    pub read: Read,
    /// What it does, with its unit.
    pub doc: &'static str,
}

/// When the kernel reads a tunable, and so when a change of it takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Once, at boot: a change while the kernel runs would do nothing, and is refused.
    Boot,
    /// Whenever it matters: a change takes effect the next time.
    Live,
    /// By a function that derives others from it: at boot, and again when an event changes it.
    Derived(By),
}

/// A function that derives the kernel's variables from tunables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// `disp_setup`: the preemption thresholds.
    DispSetup,
}

impl Tunable {
    /// True if it may change while the kernel runs.
    pub const fn can_change(&self) -> bool {
        !matches!(self.read, Read::Boot)
    }
}

use Read::{Boot, Derived, Live};

macro_rules! tunables {
    ($($id:ident = $name:literal, $default:expr, $min:expr, $max:expr, $read:expr, $doc:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(usize)]
        enum Number { $($id),* }
        $(#[doc = $doc] pub const $id: usize = Number::$id as usize;)*
        /// Every tunable, in the order of their numbers.
        pub const TUNABLES: &[Tunable] = &[
            $(Tunable { name: $name, default: $default, min: $min, max: $max, read: $read, doc: $doc }),*
        ];
    };
}

tunables! {
    HZ = "hz", 100, 10, 10_000, Boot, "clock ticks a second; quanta are counted in ticks (conf param.c)";
    KPREEMPTPRI = "kpreemptpri", 99, 0, 180, Derived(By::DispSetup), "least priority whose arrival preempts a thread in the kernel; 100 before illumos #1532 (disp.c dispinit)";
    KPQPRI = "kpqpri", -1, -1, 180, Derived(By::DispSetup), "least priority at which an unbound thread goes to the partition's kp queue; -1 means kpreemptpri (disp.c dispinit)";
    UPREEMPTPRI = "upreemptpri", 0, 0, 180, Derived(By::DispSetup), "least priority whose arrival preempts a thread in user mode (disp.c)";
    ONLY_INTR_KPREEMPT = "only_intr_kpreempt", 0, 0, 1, Derived(By::DispSetup), "1: only interrupt priorities preempt a thread in the kernel (disp.c disp_setup)";
    RECHOOSE_INTERVAL = "rechoose_interval", 3, 0, 1_000_000, Live, "ticks for which a thread's last CPU counts as warm (disp.c)";
    RUNQ_MAX_DIFF = "runq_max_diff", 2, 0, 1000, Live, "tolerated difference of run-queue lengths at priority 16 and above (disp.c RUNQ_MAX_DIFF)";
    NOSTEAL_NSEC = "nosteal_nsec", 100_000, 0, 1_000_000_000, Live, "ns for which a queued thread may not be stolen (disp.c)";
    TS_SLEEP_PROMOTE = "ts_sleep_promote", 1, 0, 1, Live, "1: ts_update also promotes sleeping threads (ts.c)";
    TS_DISPATCH_EXTENDED = "ts_dispatch_extended", 0, 0, 1, Live, "1: use the server TS table (ts_dptbl.c)";
    SNOOPING = "snooping", 0, 0, 1, Boot, "1: the in-guest deadman panics; 0: it only counts (clock.c)";
    SNOOP_INTERVAL = "snoop_interval", 50_000_000, 0, 3_600_000_000, Boot, "us without a clock second before the in-guest deadman fires; below 1000000 the kernel warns and takes the default (clock.c)";
    HALT_IDLE = "halt_idle_cpus", 1, 0, 1, Live, "1: idle CPUs halt; 0: they spin (mp_machdep.c idle_cpu_prefer_mwait)";
    INTR_COST_NSEC = "intr_cost_nsec", 2_000, 0, 1_000_000, Live, "ns that a device interrupt's handler takes";
    INTRCNT_LIMIT = "intrcnt_limit", 0, 0, 1_000_000, Live, "interrupts on top of one thread after which it is unpinned: 16 on SPARC, 0 for no rule, as on x86 (interrupt.s INTRCNT_LIMIT)";
    INTR_QUIESCE_CHECK = "intr_quiesce_check", 1, 0, 1, Live, "0: that rule also holds on a quiesced CPU, whose dispatcher never looks again (interrupt.s before 6256245)";
    SOFTCALL_DELAY = "softcall_delay", 1, 1, 1_000_000, Live, "units of 10 ms for which soft calls may wait for their CPU before another one is poked (softint.c)";
    CMT_BALANCE = "cmt_balance", 1, 0, 1, Live, "1: threads spread over chips and cores; 0: topology is ignored (cmt_policy.c)";
    CMT_COALESCE = "cmt_coalesce", 0, 0, 1, Live, "1: threads gather on chips and cores that are busy already, instead (cmt_policy.c)";
    CPU_NO_QUIESCE = "cpu_no_quiesce", 0, 0, 1, Live, "1: the platform cannot keep interrupts from a CPU, which then goes offline without being quiesced (cpu.c cpu_offline)";
    PRIORITY_INHERITANCE = "priority_inheritance", 1, 0, 1, Live, "1: who blocks on a mutex or a write-held rwlock lends its priority to the owner (turnstile.c); 0: nobody does, which no Solaris offers";
    LBOLT_HYBRID = "lbolt_hybrid", 0, 0, 1, Live, "1: lbolt follows gethrtime, and goes on although clock() is held off; 0: it counts clock ticks (clock.c)";
    XC_LEVEL_CHECK = "xc_level_check", 0, 0, 1, Live, "1: a cross call by who is at level 13 or above, where a lock may keep others from answering, is a panic; no Solaris has it";
    CLOCK_TICK_THRESHOLD = "clock_tick_threshold", 0, 0, 1_000, Boot, "CPUs above which ticks are charged by several CPUs at once; 0: never, as on x86 (clock_tick.c)";
    CLOCK_TICK_NCPUS = "clock_tick_ncpus", 32, 1, 32, Boot, "CPUs that are charged by one of them, if ticks are charged by several (clock_tick.c)";
    CALLOUT_THREADS = "callout_threads", 2, 1, 2, Boot, "threads of a CPU's callout_taskq; one cannot run a callout that waits for another (callout.c)";
    RT_LOADED = "rt_loaded", 0, 0, 1, Boot, "1: class RT is there even if no thread is in it, so that interrupt threads lie at 160 to 169 (disp.c disp_add)";
    FSS_QUANTUM = "fss_quantum", 11, 1, 9_999, Live, "ticks that a thread of class FSS may run (fss.c)";
    FSS_QUANTA_UP = "fss_quanta_up", 1, 0, 1, Live, "0: the end of a quantum does not send an FSS thread behind the others of its project, as before illumos #5029 (fss.c fss_newpri)";
    SYSDC_UPDATE_INTERVAL_MSEC = "sysdc_update_interval_msec", 20, 1, 1_000, Live, "ms between two looks at the threads of class SDC (sysdc.c)";
    SYSDC_RESET_INTERVAL_MSEC = "sysdc_reset_interval_msec", 400, 1, 100_000, Live, "ms after which an SDC thread's duty cycle is measured anew (sysdc.c)";
    SYSDC_PRUNE_INTERVAL_MSEC = "sysdc_prune_interval_msec", 100, 1, 100_000, Live, "ms of sleep after which an SDC thread is not looked at any more, or so it was meant (sysdc.c)";
    SYSDC_MAX_PSET_DC = "sysdc_max_pset_DC", 90, 1, 100, Live, "per cent of a processor set that SDC threads may use before they take a break; 100: no breaks (sysdc.c)";
    SYSDC_BREAK_MSEC = "sysdc_break_msec", 80, 1, 100_000, Live, "ms that a break lasts (sysdc.c)";
    SYSDC_MINPRI = "sysdc_minpri", 0, 0, 99, Live, "priority of an SDC thread that has had its duty cycle (sysdc.c)";
    SYSDC_MAXPRI = "sysdc_maxpri", 98, 0, 99, Live, "priority of an SDC thread that has not; 99 before illumos #7232 (sysdc.c)";
    CLASS_CALLOUTS = "class_callouts", 0, 0, 1, Boot, "1: ts_update and sysdc_update are callouts that set themselves again, as in Solaris, and starve with callout_taskq (ts.c, sysdc.c); 0: clock() calls them";
    CPUCAPS_ENFORCE = "cpucaps_enforce", 1, 0, 1, Live, "0: what a capped project or zone uses is counted, but nobody waits for it, which no Solaris offers (cpucaps.c)";
    KMEM_FLAGS = "kmem_flags", 0, 0, 7, Boot, "what every cache is checked for, a sum: 1 who had a buffer last, 2 use after free, 4 writing past the end (kmem.c)";
    KMEM_MTBF = "kmem_mtbf", 0, 0, 1_000_000_000, Live, "one in so many allocations that must not sleep fails; 0: none (kmem.c)";
    KMEM_MTBF_SEED = "kmem_mtbf_seed", 1, 0, 1_000_000_000, Live, "which of them fail";
    KMEM_REAP_PREEMPT_BYTES = "kmem_reap_preempt_bytes", 1_048_576, 0, 1_000_000_000, Live, "bytes that a reap frees between two points at which it lets others run; 0: none, as before illumos #7232 (kmem.c)";
    SYSTEM_TASKQ_SIZE = "system_taskq_size", 64, 1, 256, Boot, "most threads of system_taskq, for each CPU (taskq.c)";
    TASKQ_MINIMUM_NTHREADS_MAX = "taskq_minimum_nthreads_max", 1, 1, 1_000, Boot, "least number to which a task queue's threads may grow (taskq.c)";
    TASKQ_CPUPCT_MAX_PERCENT = "taskq_cpupct_max_percent", 1_000, 1, 10_000, Boot, "most threads that a task queue may ask for in per cent of the CPUs (taskq.c)";
    TASKQ_THREAD_TIMEOUT = "taskq_thread_timeout", 300, 1, 1_000_000, Live, "seconds after which an idle thread of a dynamic task queue ends (taskq.c)";
    TASKQ_SEARCH_DEPTH = "taskq_search_depth", 4, 0, 128, Live, "buckets that a dispatch to a dynamic task queue tries beside its own (taskq.c)";
    TASKQ_DMTBF = "taskq_dmtbf", 4_294_967_295, 1, 4_294_967_295, Live, "one in so many dispatches to a dynamic task queue that must not sleep fails (taskq.c, DEBUG)";
    TASKQ_SMTBF = "taskq_smtbf", 4_294_967_295, 1, 4_294_967_295, Live, "the same for other task queues, but for a dispatch that takes an entry of those that were allocated at once (taskq.c, DEBUG)";
    LOTSFREE = "lotsfree", -1, -1, 1_000_000, Boot, "free pages below which memory is looked for; -1: one in 64 (vm_pageout.c)";
    DESFREE = "desfree", -1, -1, 1_000_000, Boot, "free pages that there should be on average; -1: half of lotsfree (vm_pageout.c)";
    MINFREE = "minfree", -1, -1, 1_000_000, Boot, "free pages below which memory is short; -1: three quarters of desfree (vm_pageout.c)";
    THROTTLEFREE = "throttlefree", -1, -1, 1_000_000, Boot, "free pages below which an allocation that may sleep waits, and another fails; -1: minfree (vm_pageout.c)";
    PAGEOUT_RESERVE = "pageout_reserve", -1, -1, 1_000_000, Boot, "free pages that are left to who makes memory free; -1: three quarters of throttlefree (vm_pageout.c)";
    ZPOOL = "zpool", 0, 0, 1, Boot, "1: a pool, rpool, with its task queues and a disk, and a volume on it to which pageout and its scanner swap; 0: none, which no Solaris offers";
    ZIO_TASKQ_SYSDC = "zio_taskq_sysdc", 1, 0, 1, Boot, "1: the threads of a pool's task queues are of class SDC; 0: of class SYS at 99, as before SDC, those that begin writes at 98 (spa.c)";
    ZIO_TASKQ_BASEDC = "zio_taskq_basedc", 80, 1, 100, Boot, "duty cycle of those threads in per cent (spa.c)";
    ZIO_TASKQ_BATCH_PCT = "zio_taskq_batch_pct", 75, 1, 1_000, Boot, "threads that begin writes, in per cent of the CPUs (spa.c)";
    ZFS_TXG_TIMEOUT = "zfs_txg_timeout", 5, 1, 1_000_000, Live, "seconds after which a transaction group is synced at the latest (txg.c)";
    ZFS_DIRTY_DATA_MAX = "zfs_dirty_data_max", -1, -1, 1_073_741_824, Boot, "bytes that may be dirty in one transaction group; -1: a tenth of memory (dsl_pool.c)";
    DISK_USEC = "disk_usec", 200, 1, 1_000_000, Live, "us that the pool's disk takes for one I/O, one after the other";
    DISK_CPU = "disk_cpu", 0, 0, 63, Boot, "the CPU that takes the disk's interrupts, of level 5; of fewer CPUs, the remainder";
    MAXPGIO = "maxpgio", 40, 4, 1_000_000, Boot, "pages a second that pageout writes, and a quarter of it at each of its four wake-ups (vm_pageout.c)";
    SLOWSCAN = "slowscan", 100, 1, 1_000_000_000, Live, "pages a second that the scanner looks at while memory is just short (vm_pageout.c)";
    FASTSCAN = "fastscan", 1_000_000, 1, 1_000_000_000, Live, "pages a second that it looks at when there is none (vm_pageout.c)";
    MIN_PERCENT_CPU = "min_percent_cpu", 4, 0, 1_000_000, Live, "per cent of its quarter of a second that the scanner may take while memory is just short (vm_pageout.c)";
    MAX_PERCENT_CPU = "max_percent_cpu", 80, 0, 1_000_000, Live, "per cent of it when there is none; above 100 it takes the following ones as well, as one that is always needed again does (vm_pageout.c)";
    PAGE_SCAN_NSEC = "page_scan_nsec", 500, 0, 1_000_000, Live, "ns that the scanner takes for a page";
    PAGEOUT_DEADMAN_SECONDS = "pageout_deadman_seconds", 90, 0, 1_000_000, Live, "seconds for which pageout may be at the same page before the kernel panics; 0: for ever (vm_pageout.c)";
    STRMEM = "strmem", 0, 0, 67_108_864, Boot, "bytes for messages, queues and perimeters of STREAMS; 0: no STREAMS, which no Solaris offers";
    SQ_MAX_SIZE = "sq_max_size", 10_000, 0, 1_000_000, Live, "messages parked at a perimeter for one queue above which the queue is full; 0: no limit (strsubr.c)";
    PUT_STACK_NEEDED = "put_stack_needed", 5000, 0, 1_000_000, Live, "bytes of stack that a put procedure must find, or its message is parked for another thread; 0: no check (putnext.c)";
    SQUEUE_DRAIN_MS = "squeue_drain_ms", 20, 0, 1_000_000, Live, "ms for which a thread other than its worker handles an squeue's packets at a time (squeue.c)";
    SQUEUE_DRAIN_STACK_NEEDED = "squeue_drain_stack_needed", 10_240, 0, 1_000_000, Live, "bytes of stack without which a thread leaves an squeue's packets to the worker (squeue.c)";
    MAC_SOFT_RING_MAX_Q_CNT = "mac_soft_ring_max_q_cnt", 1024, 1, 1_000_000, Live, "packets in a soft ring set and its rings above which it drops what comes (mac_soft_ring.c)";
    MAC_SOFT_RING_MIN_Q_CNT = "mac_soft_ring_min_q_cnt", 256, 1, 1_000_000, Live, "packets in it up to which its poll thread fetches more at once (mac_soft_ring.c)";
    MAC_SOFT_RING_POLL_THRES = "mac_soft_ring_poll_thres", 16, 0, 1_000_000, Live, "packets in it at which its poll thread is sent for more (mac_soft_ring.c)";
    MAC_LATENCY_OPTIMIZE = "mac_latency_optimize", 1, 0, 1, Boot, "1: the thread that brings packets to a soft ring set passes them on itself; 0: its worker does (mac_soft_ring.c)";
    MAC_RX_SRS_STACK_NEEDED = "mac_rx_srs_stack_needed", 10_240, 0, 1_000_000, Live, "bytes of stack without which it leaves that to the worker; Solaris wants 14336, of longer stacks (mac_sched.c)";
    TRACE_RECORDS = "trace_records", 8192, 0, 1_048_576, Boot, "scheduler events that each CPU of a VM keeps in memory, the last ones, rounded up to a power of two; 0: none, unless a trace or a recording is asked for. Read by the VMM, which makes room for them";
    CYC_TRACE = "cyc_trace", 0, 0, 1, Boot, "1: each CPU keeps its last 512 steps with cyclics, which `::cyctrace` shows (cyclic.c CYCLIC_TRACE)";
}

/// How many tunables there are.
pub const COUNT: usize = TUNABLES.len();

/// The number of the tunable of this name.
pub fn find(name: &str) -> Option<usize> {
    TUNABLES.iter().position(|t| t.name == name)
}
