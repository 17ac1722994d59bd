//! Memory for tests of the glass: a few bytes that the test itself writes, and a small kernel made of them.
//!
//! # Invariants
//! - Compiled for tests only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::types::{
    ArrayField, ChainFields, CpuFields, CyclicFields, DispFields, EventFields, Field, KernelFields, Layout,
    LevelFields, PartFields, ProjectFields, SleepListFields, ThreadFields, TurnstileFields,
};
use super::{Ability, CpuClocks, Glass, Lacks, Pause, Root, Symbols, Target};
use umpire_machine::Registers;
use umpire_machine::memory::GuestMemory;
use umpire_shared::sys::KERNEL_MAGIC;
use umpire_shared::sys::disp::{NPRI, QACTMAP_WORDS};
use umpire_shared::sys::thread::ts;

/// Bytes at a guest address.
#[derive(Debug)]
pub(crate) struct FakeMemory {
    base: u64,
    bytes: Vec<AtomicU8>,
}

impl FakeMemory {
    /// `len` zero bytes at `base`.
    pub(crate) fn new(base: u64, len: usize) -> FakeMemory {
        FakeMemory { base, bytes: (0..len).map(|_| AtomicU8::new(0)).collect() }
    }

    /// Writes bytes.
    pub(crate) fn put(&self, addr: u64, bytes: &[u8]) {
        let at = usize::try_from(addr - self.base).expect("invariant: a test writes inside its memory");
        for (to, from) in self.bytes[at..].iter().zip(bytes) {
            to.store(*from, Ordering::Relaxed);
        }
    }

    /// Writes one word.
    pub(crate) fn put_u64(&self, addr: u64, value: u64) {
        self.put(addr, &value.to_le_bytes());
    }
}

impl GuestMemory for FakeMemory {
    fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        let Some(at) = addr.checked_sub(self.base) else { return false };
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let Some(from) = self.bytes.get(at..).and_then(|rest| rest.get(..out.len())) else { return false };
        for (to, from) in out.iter_mut().zip(from) {
            *to = from.load(Ordering::Relaxed);
        }
        true
    }
}

const BASE: u64 = 0x10_0000;
const CPUS_AT: u64 = 0x2000;
const THREADS_AT: u64 = 0x10_000;
/// Where the default partition lies in the root object.
const PART_AT: usize = 0x140;
/// Levels of a fake run queue.
pub(crate) const LEVELS: usize = NPRI;

/// A kernel with a layout of its own, not that of any compiler.
pub(crate) struct FakeKernel {
    pub(crate) memory: Arc<FakeMemory>,
    pub(crate) layout: Arc<Layout>,
    ncpus: u32,
}

impl FakeKernel {
    /// A kernel with empty queues, a clock that stands at 0, and nameless threads.
    pub(crate) fn new(ncpus: u32, nthreads: u32) -> FakeKernel {
        let kernel = FakeKernel {
            memory: Arc::new(FakeMemory::new(BASE, 0x40_000)),
            layout: Arc::new(layout()),
            ncpus,
        };
        let k = &kernel.layout.kernel;
        let words = [
            (k.magic, KERNEL_MAGIC),
            (k.cpus, BASE + CPUS_AT),
            (k.ncpus, u64::from(ncpus)),
            (k.threads, BASE + THREADS_AT),
            (k.nthreads, u64::from(nthreads)),
        ];
        words.iter().for_each(|&(field, value)| kernel.set(BASE, field, value));
        for queue in (0..ncpus).map(Some).chain([None]) {
            let minus_one = u64::MAX;
            kernel.set(kernel.queue_at(queue), kernel.layout.disp.maxrunpri, minus_one);
            kernel.set(kernel.queue_at(queue), kernel.layout.disp.max_unbound_pri, minus_one);
        }
        kernel
    }

    /// A glass in front of it.
    pub(crate) fn glass(&self) -> Arc<Glass> {
        Arc::new(Glass::new(self))
    }

    /// Writes a field of the object at `owner`.
    pub(crate) fn set(&self, owner: u64, field: Field, value: u64) {
        self.memory.put(owner + field.offset as u64, &value.to_le_bytes()[..field.size]);
    }

    /// The address of a CPU.
    pub(crate) fn cpu_at(&self, cpu: u32) -> u64 {
        BASE + CPUS_AT + u64::from(cpu) * self.layout.cpu.size as u64
    }

    /// The address of a thread.
    pub(crate) fn thread_at(&self, thread: u32) -> u64 {
        BASE + THREADS_AT + u64::from(thread) * self.layout.thread.size as u64
    }

    /// The address of a CPU's run queue, of the kp queue for `None`.
    pub(crate) fn queue_at(&self, cpu: Option<u32>) -> u64 {
        match cpu {
            Some(cpu) => self.cpu_at(cpu) + self.layout.cpu_disp as u64,
            None => BASE + (self.layout.default_part + self.layout.part_kp) as u64,
        }
    }

    /// Makes a queue hold exactly these threads, `(number, priority)`, best first, each bound if the queue is a CPU's.
    pub(crate) fn fill(&self, cpu: Option<u32>, threads: &[(u32, i16)]) {
        let (at, d, l, t) = (self.queue_at(cpu), &self.layout.disp, &self.layout.level, &self.layout.thread);
        let mut map = [0_u64; QACTMAP_WORDS];
        for level in threads.chunk_by(|a, b| a.1 == b.1) {
            let pri = level[0].1 as usize;
            map[pri / 64] |= 1 << (pri % 64);
            let level_at = at + (d.levels.offset + pri * d.levels.stride) as u64;
            self.set(level_at, l.first, self.thread_at(level[0].0));
            self.set(level_at, l.last, self.thread_at(level[level.len() - 1].0));
            self.set(level_at, l.sruncnt, level.len() as u64);
            for (n, &(thread, pri)) in level.iter().enumerate() {
                let thread_at = self.thread_at(thread);
                self.set(thread_at, t.link, level.get(n + 1).map_or(0, |next| self.thread_at(next.0)));
                self.set(thread_at, t.disp_queue, at);
                self.set(thread_at, t.state, u64::from(ts::RUN));
                self.set(thread_at, t.pri, pri as u64);
                self.set(thread_at, t.bound_cpu, cpu.map_or(0, |c| self.cpu_at(c)));
                self.set(thread_at, t.waitrq, 1000 + u64::from(thread));
                let name = format!("worker/{thread}");
                self.memory.put(thread_at + t.name.offset as u64, name.as_bytes());
            }
        }
        for (n, word) in map.iter().enumerate() {
            self.memory.put_u64(at + (d.qactmap.offset + n * d.qactmap.stride) as u64, *word);
        }
        self.set(at, d.nrunnable, threads.len() as u64);
        self.set(at, d.maxrunpri, threads.first().map_or(u64::MAX, |t| t.1 as u64));
        if cpu.is_none() {
            self.set(at, d.max_unbound_pri, threads.first().map_or(u64::MAX, |t| t.1 as u64));
        }
    }

    /// How many CPUs it has.
    pub(crate) fn ncpus(&self) -> u32 {
        self.ncpus
    }
}

impl Target for FakeKernel {
    fn name(&self) -> &str {
        "fake"
    }

    fn memory(&self) -> Arc<dyn GuestMemory> {
        Arc::clone(&self.memory) as _
    }

    fn root(&self) -> Root {
        Root::At(BASE)
    }

    fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout)
    }

    fn symbols(&self) -> Result<Arc<Symbols>, Lacks> {
        Err(Lacks::new(self, Ability::Symbols, "it has no code"))
    }

    fn clocks(&self) -> Result<&dyn CpuClocks, Lacks> {
        Err(Lacks::new(self, Ability::Clocks, "nothing runs in it"))
    }

    fn registers(&self, _cpu: u32) -> Result<Registers, Lacks> {
        Err(Lacks::new(self, Ability::Registers, "nothing runs in it"))
    }

    fn console(&self) -> Result<String, Lacks> {
        Err(Lacks::new(self, Ability::Console, "it says nothing"))
    }

    fn pause(&self) -> Result<Pause<'_>, Lacks> {
        Ok(Pause::of_still())
    }
}

fn field(offset: usize, size: usize, signed: bool) -> Field {
    Field { offset, size, signed }
}

fn word(n: usize) -> Field {
    field(8 * n, 8, false)
}

fn layout() -> Layout {
    let disp = DispFields {
        size: 48 + 24 * LEVELS,
        generation: word(0),
        maxrunpri: field(8, 2, true),
        max_unbound_pri: field(10, 2, true),
        nrunnable: field(12, 4, false),
        qactmap: ArrayField { offset: 16, stride: 8, count: QACTMAP_WORDS },
        levels: ArrayField { offset: 48, stride: 24, count: LEVELS },
    };
    let cpu_disp = 8 * 32;
    Layout {
        kernel: KernelFields {
            size: PART_AT + 8 + disp.size,
            psets: word(12),
            npsets: word(13),
            chains: word(14),
            nchains: word(15),
            turnstiles: word(16),
            nturnstiles: word(17),
            projects: word(18),
            nprojects: word(19),
            tunables: ArrayField { offset: 160, stride: 8, count: 16 },
            magic: word(0),
            cpus: word(1),
            ncpus: word(2),
            threads: word(3),
            nthreads: word(4),
            kpreemptpri: field(40, 4, true),
            kpqpri: field(44, 4, true),
            upreemptpri: field(48, 4, true),
            hz: field(52, 4, false),
            lbolt: word(8),
            clock_ticks: word(9),
            deadman_counter: field(80, 4, false),
            deadman_panics: field(84, 4, false),
            clock_cpu: field(88, 4, false),
            events: word(12),
            nevents: word(13),
        },
        cpu: CpuFields {
            size: cpu_disp + disp.size,
            id: field(0, 4, false),
            flags: field(4, 4, false),
            thread: word(1),
            idle_thread: word(2),
            dispthread: word(3),
            dispatch_pri: field(32, 2, true),
            chosen_level: field(34, 2, true),
            runrun: field(36, 1, false),
            kprunrun: field(37, 1, false),
            disp_flags: field(38, 1, false),
            base_spl: field(39, 1, false),
            intr_actv: field(40, 4, false),
            last_swtch: word(6),
            part: word(7),
            pswitch: word(8),
            inv_swtch: word(9),
            cyclics: ArrayField { offset: 80, stride: 8, count: 4 },
        },
        level: LevelFields { size: 24, first: word(0), last: word(1), sruncnt: field(16, 4, false) },
        thread: ThreadFields {
            size: 280,
            flag: field(52, 2, false),
            pil: field(55, 1, false),
            intr: word(29),
            mstate: field(54, 1, false),
            project: field(136, 4, false),
            duty_cycle: field(140, 1, false),
            mstart: word(18),
            acct: ArrayField { offset: 152, stride: 8, count: 10 },
            link: word(0),
            disp_queue: word(1),
            cpu: word(2),
            bound_cpu: word(3),
            weakbound_cpu: word(4),
            state: field(40, 4, false),
            pri: field(44, 2, true),
            epri: field(46, 2, true),
            class: field(48, 1, false),
            preempt: field(49, 1, false),
            lwp_state: field(50, 1, false),
            waitrq: word(7),
            sp: word(8),
            startpc: word(9),
            stkbase: word(10),
            stk: word(11),
            name: ArrayField { offset: 96, stride: 1, count: 32 },
            progress: word(16),
        },
        cyclic: CyclicFields {
            size: 8,
            pend: field(0, 4, false),
            level: field(4, 1, false),
            handler: field(5, 1, false),
        },
        part: PartFields { size: 8 + disp.size, id: field(0, 4, false) },
        chain: ChainFields { size: 16, generation: word(0), first: word(1) },
        turnstile: TurnstileFields {
            size: 48,
            next: word(0),
            sobj: word(1),
            kind: field(16, 1, false),
            sleepq: ArrayField { offset: 24, stride: 8, count: 2 },
        },
        sleep_list: SleepListFields { size: 8, first: word(0) },
        project: ProjectFields {
            size: 24,
            shares: field(0, 4, false),
            zone: field(4, 4, false),
            zone_shares: field(8, 4, false),
            is_system: field(12, 1, false),
            cap: field(16, 4, false),
            zone_cap: field(20, 4, false),
        },
        part_kp: 8,
        default_part: PART_AT,
        event: EventFields {
            size: 40,
            verb: field(0, 4, false),
            target: field(4, 4, false),
            at_ns: word(1),
            began_ns: word(2),
            ended_ns: word(3),
            errno: field(32, 4, false),
        },
        disp,
        cpu_disp,
        thread_prefix: 64,
    }
}
