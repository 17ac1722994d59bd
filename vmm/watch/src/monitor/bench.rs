//! A bench for monitors: two CPUs, passes a millisecond apart, snapshots made by hand.
//!
//! # Invariants
//! - Compiled for tests only. Time is what a test says it is.

use super::{BoundSpec, Breach, Declaration, Evidence, Excuse, Judged, Monitor, MonitorKind};
use crate::glass::{Arena, CpuReading, CpuSample, QueueSample, QueuedThread, Runner, Snapshot, Verdict};
use umpire_shared::sys::thread::tflag;

/// ns in a millisecond.
pub(super) const MS: u64 = 1_000_000;
const ARENA: Arena = Arena { base: 0x10_000, stride: 0x100, count: 32 };
/// The interrupt thread of [`Bench::passes_with_interrupts`].
const INTR: u32 = 9;

/// A monitor, and what it sees next.
pub(super) struct Bench {
    pub(super) monitor: Box<dyn Monitor>,
    pub(super) seen: Snapshot,
    /// What there was to judge in all passes.
    pub(super) judged: Judged,
}

impl Bench {
    /// Both CPUs idle and awake, every queue empty and consistently read. Thread `n` idles on CPU `n`.
    pub(super) fn new(monitor: impl Monitor + 'static) -> Bench {
        Bench { monitor: Box::new(monitor), seen: idle(), judged: Judged::NOTHING }
    }

    /// The same for a monitor as its declaration makes it.
    pub(super) fn declared(monitor: &Declaration, limit_ns: u64) -> Bench {
        // A declaration does not look at the kind: it is the table's, which need not list the declaration.
        let bound = BoundSpec {
            monitor: MonitorKind::ALL[0],
            threads: None,
            limit_ns,
            promise: None,
            is_standing: false,
        };
        Bench { monitor: (monitor.new)(&bound), seen: idle(), judged: Judged::NOTHING }
    }

    /// Has a CPU run a thread, in the kernel. Threads 0 and 1 of a test that runs them are no idle threads any more.
    pub(super) fn run(&mut self, cpu: usize, thread: u32, pri: i16) {
        let sample = &mut self.seen.cpus[cpu];
        sample.idle_thread = ARENA.address_of(ARENA.count - 1 - cpu as u32);
        sample.thread = ARENA.address_of(thread);
        sample.dispthread = sample.thread;
        sample.dispatch_pri = pri;
        sample.runner.index = Some(thread);
    }

    /// Puts a thread on a CPU's queue.
    pub(super) fn queue(&mut self, cpu: usize, index: u32, pri: i16, bound: bool) {
        put(
            &mut self.seen.cpus[cpu].queue,
            QueuedThread { index, level: pri, pri, bound, ..QueuedThread::default() },
        );
    }

    /// Puts an unbound thread on the default partition's kp queue.
    pub(super) fn queue_kp(&mut self, index: u32, pri: i16) {
        put(&mut self.seen.kps[0], QueuedThread { index, level: pri, pri, ..QueuedThread::default() });
    }

    /// A pass one ms later, in which each vCPU ran for so many ms.
    pub(super) fn pass(&mut self, ran: [u64; 2]) -> Option<Breach> {
        self.seen.seq += 1;
        self.seen.now_ns += MS;
        for (reading, ms) in self.seen.readings.iter_mut().zip(ran) {
            reading.ran_ns += ms * MS;
        }
        let pass = self.monitor.observe(&self.seen);
        self.judged.add(pass.judged);
        pass.breach
    }

    /// So many passes, and the breaches that they found.
    pub(super) fn passes(&mut self, n: u32, ran: [u64; 2]) -> Vec<Breach> {
        (0..n).filter_map(|_| self.pass(ran)).collect()
    }

    /// The same, but every seventh pass finds an interrupt thread on CPU 1, which pins what ran there and goes on with it.
    pub(super) fn passes_with_interrupts(&mut self, n: u32, ran: [u64; 2]) -> Vec<Breach> {
        let CpuSample { thread, runner, .. } = self.seen.cpus[1].clone();
        let intr = Runner {
            index: Some(INTR),
            pswitch: runner.pswitch,
            inv_swtch: runner.inv_swtch,
            flag: tflag::INTR_THREAD,
            ..Runner::default()
        };
        let pass = |n: u32| {
            let cpu = &mut self.seen.cpus[1];
            (cpu.thread, cpu.runner) =
                if n.is_multiple_of(7) { (ARENA.address_of(INTR), intr) } else { (thread, runner) };
            self.pass(ran)
        };
        (0..n).filter_map(pass).collect()
    }

    /// The sentence for a breach of which there is no evidence: no thread has a name.
    pub(super) fn sentence(&self, breach: &Breach) -> String {
        self.monitor.sentence(breach, &Evidence::default())
    }

    /// How often an excuse was accepted.
    pub(super) fn excused(&self, excuse: Excuse) -> u64 {
        self.monitor.ledger().excuses().count(excuse)
    }
}

/// Checks that a bench of `make`, spoilt, is not accused in 100 passes, and that nearly each of them accepted the excuse.
pub(super) fn assert_excused(
    make: impl Fn() -> Bench,
    excuse: Excuse,
    ran: [u64; 2],
    spoil: impl FnOnce(&mut Bench),
) {
    let mut bench = make();
    spoil(&mut bench);
    assert_eq!(bench.passes(100, ran).len(), 0, "{excuse:?}");
    assert!(bench.excused(excuse) >= 99, "{excuse:?}");
}

fn idle() -> Snapshot {
    let queue = QueueSample { verdict: Verdict::Clean, maxrunpri: -1, ..QueueSample::default() };
    let cpu = |n: u32| CpuSample {
        addr: 0x1000 * u64::from(n + 1),
        id: n,
        thread: ARENA.address_of(n),
        idle_thread: ARENA.address_of(n),
        dispthread: ARENA.address_of(n),
        dispatch_pri: -1,
        queue: queue.clone(),
        ..CpuSample::default()
    };
    Snapshot {
        cpus: (0..2).map(cpu).collect(),
        kps: vec![queue.clone()],
        readings: vec![CpuReading::default(); 2],
        names: vec![String::new(); ARENA.count as usize],
        arena: Some(ARENA),
        ..Snapshot::default()
    }
}

fn put(queue: &mut QueueSample, thread: QueuedThread) {
    queue.maxrunpri = queue.maxrunpri.max(thread.pri);
    queue.nrunnable += 1;
    queue.threads.push(QueuedThread { waitrq: 7, ..thread });
}
