//! Memory for tests of the glass: a few bytes that the test itself writes, and a small kernel made of them.
//!
//! # Invariants
//! - Compiled for tests only.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::guest::{CPU_DISP, Guest, KP_QUEUE, Kind, LEVELS as DISP_LEVELS, List, Member, Structure};
use super::record::Field;
use super::typed::{Node, TypeId, TypeTable};
use super::{
    Ability, AskCpu, Asking, Control, CpuClocks, Glass, GlassError, Identity, Lacks, Layout, Pause, Root,
    Symbols, Target, Verdicts,
};
use umpire_machine::Registers;
use umpire_machine::memory::GuestMemory;
use umpire_shared::roster;
use umpire_shared::sys::KERNEL_MAGIC;
use umpire_shared::sys::disp::{NPRI, QACTMAP_WORDS};
use umpire_shared::sys::thread::ts;

/// Bytes at a guest address.
#[derive(Debug)]
pub(crate) struct FakeMemory {
    base: u64,
    bytes: Vec<AtomicU8>,
    /// A byte that is one more after a read that takes it, and how often yet.
    restless: (AtomicU64, AtomicU64),
}

impl FakeMemory {
    /// `len` zero bytes at `base`.
    pub(crate) fn new(base: u64, len: usize) -> FakeMemory {
        let bytes = (0..len).map(|_| AtomicU8::new(0)).collect();
        FakeMemory { base, bytes, restless: (AtomicU64::new(0), AtomicU64::new(0)) }
    }

    /// Has the byte at `addr` grow by one at each of the next so many reads of it, as if the guest ran.
    pub(crate) fn count_up_when_read(&self, addr: u64, times: u64) {
        self.restless.0.store(addr, Ordering::Relaxed);
        self.restless.1.store(times, Ordering::Relaxed);
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
        let (grows, times) =
            (self.restless.0.load(Ordering::Relaxed), self.restless.1.load(Ordering::Relaxed));
        if times > 0 && grows.checked_sub(addr).is_some_and(|n| n < out.len() as u64) {
            self.restless.1.store(times - 1, Ordering::Relaxed);
            self.bytes[(grows - self.base) as usize].fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        vec![(self.base, self.bytes.len() as u64)]
    }
}

const BASE: u64 = 0x10_0000;
const CPUS_AT: u64 = 0x2000;
const THREADS_AT: u64 = 0x10_000;
const TASKQ_AT: u64 = 0x3_f000;
const CACHE_AT: u64 = 0x3_f800;
/// Where the default partition lies, behind the root object.
const PART_AT: usize = 0x400;
/// Where the workloads' mutexes lie, in the root object.
const WORK_AT: usize = PART_AT - 64;
/// Levels of a fake run queue.
pub(crate) const LEVELS: usize = NPRI;

/// A kernel with a layout of its own, not that of any compiler.
pub(crate) struct FakeKernel {
    pub(crate) memory: Arc<FakeMemory>,
    pub(crate) layout: Arc<Layout>,
    ncpus: u32,
    /// What answers for its CPUs.
    pub(crate) asker: Option<Arc<dyn AskCpu>>,
}

impl FakeKernel {
    /// A kernel with empty queues, a clock that stands at 0, and nameless threads.
    pub(crate) fn new(ncpus: u32, nthreads: u32) -> FakeKernel {
        let kernel = FakeKernel {
            memory: Arc::new(FakeMemory::new(BASE, 0x40_000)),
            layout: Arc::new(layout()),
            ncpus,
            asker: None,
        };
        let k = &kernel.layout.root;
        let words = [
            (k.magic, KERNEL_MAGIC),
            (k.cpus, BASE + CPUS_AT),
            (k.ncpus, u64::from(ncpus)),
            (k.threads, BASE + THREADS_AT),
            (k.nthreads, u64::from(nthreads)),
            (k.parts, BASE + PART_AT as u64),
            (k.nparts, 1),
            (k.nscenario, u64::from(nthreads.saturating_sub(roster::total(ncpus, 0)))),
            (k.taskqs, BASE + TASKQ_AT),
            (k.ntaskqs, 1),
            (k.caches, BASE + CACHE_AT),
            (k.ncaches, 1),
        ];
        words.iter().for_each(|&(field, value)| kernel.set(BASE, field, value));
        // A task queue with a task, and no thread.
        let q = &kernel.layout.taskq;
        kernel.set(BASE + TASKQ_AT, q.crtime, 1);
        kernel.set(BASE + TASKQ_AT, q.first, BASE);
        for queue in (0..ncpus).map(Some).chain([None]) {
            let minus_one = u64::MAX;
            kernel.set(kernel.queue_at(queue), kernel.layout.queue.maxrunpri, minus_one);
            kernel.set(kernel.queue_at(queue), kernel.layout.queue.max_unbound_pri, minus_one);
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
        BASE + CPUS_AT + u64::from(cpu) * self.layout.sizes.cpu
    }

    /// The address of a thread.
    pub(crate) fn thread_at(&self, thread: u32) -> u64 {
        BASE + THREADS_AT + u64::from(thread) * self.layout.sizes.thread
    }

    /// The address of a CPU's run queue, of the kp queue for `None`.
    pub(crate) fn queue_at(&self, cpu: Option<u32>) -> u64 {
        match cpu {
            Some(cpu) => self.cpu_at(cpu) + self.layout.cpu_disp as u64,
            None => BASE + (PART_AT + self.layout.part_kp) as u64,
        }
    }

    /// The address of one of the workloads' mutexes.
    pub(crate) fn mutex_at(&self, n: u64) -> u64 {
        BASE + WORK_AT as u64 + 8 * n
    }

    /// Has a thread sleep on an object of this kind.
    pub(crate) fn sleep(&self, thread: u32, on: u64, kind: u8) {
        let at = |name: &str| {
            let kernel = self.glass();
            let t = kernel.kernel_object().and_then(|kernel| kernel.at("k_threads")?.element(thread.into()));
            t.and_then(|t| t.at(name)).map_or(0, |datum| datum.addr)
        };
        self.memory.put(at("t_state"), &ts::SLEEP.to_le_bytes());
        self.memory.put_u64(at("t_wchan"), on);
        self.memory.put(at("t_sobj"), &[kind]);
    }

    /// Makes a queue hold exactly these threads, `(number, priority)`, best first, each bound if the queue is a CPU's.
    pub(crate) fn fill(&self, cpu: Option<u32>, threads: &[(u32, i16)]) {
        let layout = &self.layout;
        let (at, d, l, t, levels) =
            (self.queue_at(cpu), &layout.queue, &layout.level, &layout.queued, layout.levels);
        let mut map = [0_u64; QACTMAP_WORDS];
        for level in threads.chunk_by(|a, b| a.1 == b.1) {
            let pri = level[0].1 as usize;
            map[pri / 64] |= 1 << (pri % 64);
            let level_at = at + (levels.offset + pri * levels.stride) as u64;
            self.set(level_at, l.first, self.thread_at(level[0].0));
            self.set(level_at, l.last, self.thread_at(level[level.len() - 1].0));
            self.set(level_at, l.sruncnt, level.len() as u64);
            for (n, &(thread, pri)) in level.iter().enumerate() {
                let thread_at = self.thread_at(thread);
                self.set(thread_at, t.link, level.get(n + 1).map_or(0, |next| self.thread_at(next.0)));
                self.set(thread_at, t.disp_queue, at);
                self.set(thread_at, t.state, u64::from(ts::RUN));
                self.set(thread_at, t.pri, pri as u64);
                self.set(thread_at, t.bound_strongly, cpu.map_or(0, |c| self.cpu_at(c)));
                self.set(thread_at, t.waitrq, 1000 + u64::from(thread));
                let name = format!("worker/{thread}");
                self.memory.put(thread_at + layout.name.name.offset as u64, name.as_bytes());
            }
        }
        for (n, word) in map.iter().enumerate() {
            self.memory.put_u64(at + (d.qactmap.offset + n * d.qactmap.size) as u64, *word);
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

    fn identity(&self) -> Identity {
        Identity { cpus: self.ncpus, ..Identity::default() }
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

    fn asker(&self, _whom: Asking) -> Result<Arc<dyn AskCpu>, Lacks> {
        self.asker.clone().ok_or_else(|| Lacks::new(self, Ability::Asker, "nothing runs in it"))
    }

    fn console(&self) -> Result<String, Lacks> {
        Err(Lacks::new(self, Ability::Console, "it says nothing"))
    }

    fn pause(&self) -> Result<Pause<'_>, Lacks> {
        Ok(Pause::of_still())
    }

    fn verdicts(&self) -> Result<Verdicts, Lacks> {
        Err(Lacks::new(self, Ability::Verdicts, "nobody referees it"))
    }

    fn control(&self) -> Result<Arc<dyn Control>, Lacks> {
        Err(Lacks::new(self, Ability::Control, "nothing runs in it"))
    }
}

/// Knows a kernel that no compiler made: each structure has the fields that were asked for, in the order in which they were
/// asked for first. A field that is asked for again lies where it lay before.
#[derive(Debug, Default)]
struct FakeGuest {
    fields: HashMap<(Structure, String), Field>,
    ends: HashMap<Structure, usize>,
}

/// Bytes of a structure's own fields. The structures within it lie behind these.
const OWN: usize = 0x240;

impl Guest for FakeGuest {
    fn size(&mut self, of: Structure) -> Result<usize, GlassError> {
        Ok(match of {
            Structure::Kernel => PART_AT + self.size(Structure::Cpupart)?,
            Structure::Cpu => OWN + self.size(Structure::Disp)?,
            Structure::Cpupart => 8 + self.size(Structure::Disp)?,
            Structure::Disp => 128 + 24 * LEVELS,
            Structure::DispQ => 24,
            Structure::Cyclic => 32,
            Structure::MachCpu => 16,
            Structure::TurnstileChain => 16,
            Structure::Turnstile | Structure::Kproject | Structure::ScriptEvent => 64,
            Structure::Kthread => OWN,
            Structure::Taskq
            | Structure::KmemCache
            | Structure::Streams
            | Structure::ScenarioStream
            | Structure::Queue => 0x100,
            Structure::Stdata | Structure::Syncq => 64,
        })
    }

    fn field(
        &mut self,
        of: Structure,
        kind: Kind,
        path: &str,
        count: usize,
        (size, signed): (usize, bool),
    ) -> Result<Field, GlassError> {
        // A pointer takes 8 bytes, whatever the host decodes it to.
        let size = if kind == Kind::pointer { 8 } else { size };
        let end = self.ends.entry(of).or_default();
        let field = *self.fields.entry((of, path.to_owned())).or_insert_with(|| {
            let offset = end.next_multiple_of(size);
            *end = offset + size * count;
            Field::new(offset, size, signed, count)
        });
        Ok(field)
    }

    fn place(&mut self, member: Member) -> Result<usize, GlassError> {
        Ok(match member {
            CPU_DISP => OWN,
            KP_QUEUE => 8,
            other => panic!("no test places {other:?}"),
        })
    }

    fn list(&mut self, member: Member) -> Result<List, GlassError> {
        Ok(match member {
            DISP_LEVELS => List { offset: 128, stride: 24, count: LEVELS },
            _cyclics => List { offset: OWN - 64, stride: 32, count: 2 },
        })
    }

    fn table(&mut self) -> Result<TypeTable, GlassError> {
        let [word, thread_pointer, thread, lock, locks, work, list, lists, turnstile] =
            [1, 2, 3, 4, 5, 6, 7, 8, 9].map(TypeId);
        let (threads, turnstile_pointer, list_pointer) = (TypeId(10), TypeId(11), TypeId(12));
        let mut at = |of, kind, path: &str, to| -> Result<_, GlassError> {
            Ok((path.to_owned(), self.field(of, kind, path, 1, (8, false))?.offset as u64, to))
        };
        use Structure::{Kernel, Kthread};
        let data = at(Kernel, Kind::pointer, "k_threads.data_ptr", word)?.1;
        let len = at(Kernel, Kind::number, "k_threads.length", word)?.1;
        let mut members = Vec::new();
        // What a record has as well is as wide here as there.
        for (name, of) in
            [("t_link", thread_pointer), ("t_ts", turnstile_pointer), ("t_sleepq", list_pointer)]
        {
            members.push(at(Kthread, Kind::pointer, name, of)?);
        }
        for name in ["t_wchan", "t_mstart", "t_waitq"] {
            members.push(at(Kthread, Kind::number, name, word)?);
        }
        members.push(at(Kthread, Kind::number, "t_disp_queue", word)?);
        members.push(at(Kthread, Kind::number, "t_sobj", TypeId(13))?);
        members.push(at(Kthread, Kind::number, "t_state", TypeId(14))?);
        members.push(at(Kthread, Kind::pointer, "t_cpu", word)?);
        let named = |name: &str, size, members| Node::Struct { name: name.to_owned(), size, members };
        let member = |name: &str, offset, of| (name.to_owned(), offset, of);
        let (work_at, size) = (WORK_AT as u64, PART_AT as u64);
        Ok(TypeTable::new(vec![
            named(
                "Kernel",
                size,
                vec![member("k_threads", data.min(len), threads), member("k_work", work_at, work)],
            ),
            Node::Number { size: 8, signed: false },
            Node::Pointer { to: Some(thread) },
            named("Kthread", OWN as u64, members),
            named("Mutex", 8, vec![member("m_owner", 0, word)]),
            Node::Array { element: lock, stride: 8, count: 4 },
            named("WorkState", 32, vec![member("locks", 0, locks)]),
            named("SleepList", 8, vec![member("sq_first", 0, thread_pointer)]),
            Node::Array { element: list, stride: 8, count: 2 },
            named("Turnstile", 16, vec![member("ts_sleepq", 0, lists)]),
            Node::Slice {
                element: thread,
                stride: OWN as u64,
                data: data - data.min(len),
                len: len - data.min(len),
            },
            Node::Pointer { to: Some(turnstile) },
            Node::Pointer { to: Some(list) },
            Node::Number { size: 1, signed: false },
            Node::Number { size: 4, signed: false },
        ]))
    }
}

fn layout() -> Layout {
    Layout::find(&mut FakeGuest::default()).expect("invariant: a fake guest knows everything")
}
