//! The sampler: one pass over every run queue of a running guest.
//!
//! # Invariants
//! - A pass writes nothing to the guest, makes it exit never, and takes a time bounded by the number of its threads.
//! - After the first passes, when the buffers have grown to what they need, a pass allocates nothing and formats nothing.
//! - A root that does not look like a kernel is reported, never followed.

use std::sync::Arc;

use super::read::{self, Verdict};
use super::snapshot::{CpuReading, CpuSample, LevelSample, QueueSample, QueuedThread, Snapshot};
use super::types::{ArrayField, Field, Layout};
use super::walk::{Arena, Walker};
use super::wanted::{Reader, Wants};
use super::{Glass, GlassError};
use umpire_machine::memory::GuestMemory;
use umpire_shared::sys::disp::QACTMAP_WORDS;
use umpire_shared::sys::machlock::DISP_LEVEL;
use umpire_shared::sys::thread::tflag;
use umpire_shared::tunable;

/// How the reads of all passes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadCounts {
    /// Passes over a kernel that was up.
    pub passes: u64,
    /// Queues that were consistent at once.
    pub clean: u64,
    /// Queues that were consistent after retries.
    pub retried: u64,
    /// Queues that changed under every try.
    pub torn: u64,
    /// Queues whose lock was held throughout.
    pub stale: u64,
}

/// Samples one guest.
#[derive(Debug)]
pub struct Sampler {
    glass: Arc<Glass>,
    wants: Wants,
    view: Option<View>,
    snapshot: Snapshot,
    counts: ReadCounts,
}

/// What is set up once the kernel's root is known.
#[derive(Debug)]
struct View {
    root: u64,
    arena: Arena,
    /// The partitions' addresses, in the order of their kp queues.
    parts: Vec<u64>,
    reader: Reader,
    walker: Walker,
    /// Copy of the kernel's scalars.
    scalars: Vec<u8>,
    /// Offset in `Kernel` at which that copy begins.
    scalars_at: usize,
    /// Copy of the beginning of the CPU that is being read, as far as anybody looks at it.
    cpu_words: Vec<u8>,
    /// Copy of the queue that is being read.
    copy: Vec<u8>,
}

impl Sampler {
    /// A sampler that has not looked yet. Beyond the run queues it reads what is wanted.
    pub fn new(glass: Arc<Glass>, wants: Wants) -> Sampler {
        Sampler { glass, wants, view: None, snapshot: Snapshot::default(), counts: ReadCounts::default() }
    }

    /// Looks once. `readings` are the vCPUs' running times, one a CPU, taken just before; `now_ns` is the caller's
    /// clock. `None` while the kernel is not up yet.
    ///
    /// # Errors
    /// [`GlassError::BadRoot`] if what the boot block points to is not a kernel.
    pub fn pass(&mut self, readings: &[CpuReading], now_ns: u64) -> Result<Option<&Snapshot>, GlassError> {
        if self.view.is_none() {
            self.attach()?;
        }
        let Some(view) = &mut self.view else { return Ok(None) };
        let snapshot = &mut self.snapshot;
        snapshot.seq += 1;
        snapshot.now_ns = now_ns;
        snapshot.readings.clear();
        snapshot.readings.extend_from_slice(readings);
        snapshot.readings.resize(snapshot.cpus.len(), CpuReading::default());
        let (memory, layout) = (&*self.glass.memory, &*self.glass.layout);
        view.scalars(memory, layout, snapshot);
        for cpu in &mut snapshot.cpus {
            view.cpu(memory, layout, cpu);
            self.counts.add(cpu.queue.verdict);
        }
        for kp in &mut snapshot.kps {
            view.queue(memory, layout, kp);
            self.counts.add(kp.verdict);
        }
        view.reader.kernel(memory, layout, snapshot);
        self.counts.passes += 1;
        self.learn_names();
        Ok(Some(&self.snapshot))
    }

    /// What the last pass saw.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// How the reads of all passes went.
    pub fn counts(&self) -> ReadCounts {
        self.counts
    }

    fn attach(&mut self) -> Result<(), GlassError> {
        let Some(kernel) = self.glass.kernel()? else { return Ok(()) };
        let layout = &*self.glass.layout;
        let (scalars_at, scalars_len) = scalar_range(layout);
        self.snapshot.cpus = (0..kernel.ncpus)
            .map(|n| CpuSample { addr: kernel.cpu_address(n, layout), ..CpuSample::default() })
            .collect();
        let pset = |n: u64| kernel.psets.0.wrapping_add(n.wrapping_mul(layout.part.size as u64));
        let default = kernel.root.wrapping_add(layout.default_part as u64);
        let parts: Vec<u64> = std::iter::once(default).chain((0..kernel.psets.1).map(pset)).collect();
        let kp = |part: &u64| part.wrapping_add(layout.part_kp as u64);
        self.snapshot.kps =
            parts.iter().map(|part| QueueSample { addr: kp(part), ..QueueSample::default() }).collect();
        self.snapshot.names = vec![String::new(); kernel.arena.count as usize];
        self.snapshot.arena = Some(kernel.arena);
        self.view = Some(View {
            root: kernel.root,
            arena: kernel.arena,
            parts,
            reader: Reader::new(self.wants, &kernel, layout),
            walker: Walker::new(kernel.arena.count, layout.thread_prefix),
            scalars: vec![0; scalars_len],
            scalars_at,
            cpu_words: vec![0; cpu_words_len(layout)],
            copy: vec![0; layout.disp.size],
        });
        Ok(())
    }

    /// Reads the names of threads that this pass met for the first time; names do not change.
    fn learn_names(&mut self) {
        let Snapshot { cpus, kps, workers, names, .. } = &mut self.snapshot;
        let queues = cpus.iter().map(|cpu| &cpu.queue).chain(&*kps);
        let queued = queues.flat_map(|queue| queue.threads.iter().map(|thread| thread.index));
        for index in queued.chain(workers.iter().map(|worker| worker.index)) {
            if let Some(name) = names.get_mut(index as usize)
                && name.is_empty()
                && let Some(view) = &self.view
            {
                *name = self.glass.thread_name(view.arena.address_of(index));
            }
        }
    }
}

impl ReadCounts {
    fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Clean => self.clean += 1,
            Verdict::Retried(_) => self.retried += 1,
            Verdict::Torn => self.torn += 1,
            Verdict::Stale => self.stale += 1,
        }
    }
}

impl View {
    fn scalars(&mut self, memory: &dyn GuestMemory, layout: &Layout, into: &mut Snapshot) {
        if !memory.read(self.root.wrapping_add(self.scalars_at as u64), &mut self.scalars) {
            return;
        }
        let k = &layout.kernel;
        let copy = &self.scalars;
        let get = |mut field: Field| {
            field.offset -= self.scalars_at;
            field.get(copy)
        };
        into.lbolt = get(k.lbolt);
        into.clock_ticks = get(k.clock_ticks);
        into.deadman_counter = get(k.deadman_counter) as u32;
        into.deadman_panics = get(k.deadman_panics) as u32;
        into.clock_cpu = get(k.clock_cpu) as u32;
        into.hz = get(k.hz) as u32;
        into.kpreemptpri = get(k.kpreemptpri) as i32;
        into.kpqpri = get(k.kpqpri) as i32;
        into.upreemptpri = get(k.upreemptpri) as i32;
        into.nosteal_ns = get(tunable_field(k.tunables, tunable::NOSTEAL_NSEC));
    }

    /// Reads a CPU's own words, each by one load, and copies its run queue under the queue's generation.
    fn cpu(&mut self, memory: &dyn GuestMemory, layout: &Layout, into: &mut CpuSample) {
        into.queue.addr = into.addr.wrapping_add(layout.cpu_disp as u64);
        self.queue(memory, layout, &mut into.queue);
        if memory.read(into.addr, &mut self.cpu_words) {
            decode_cpu(&self.cpu_words, layout, into);
            let part = layout.cpu.part.get(&self.cpu_words);
            into.part = self.parts.iter().position(|&at| at == part).unwrap_or(0) as u32;
            into.handles = handled(memory, layout, &self.arena, into);
            self.reader.cpu(memory, layout, into);
        }
    }

    fn queue(&mut self, memory: &dyn GuestMemory, layout: &Layout, into: &mut QueueSample) {
        let base = into.addr;
        let generation = base.wrapping_add(layout.disp.generation.offset as u64);
        into.verdict = read::verified(memory, generation, || {
            memory.copy(base, &mut self.copy) && {
                decode_queue(&self.copy, layout, into);
                walk(&mut self.walker, memory, &self.arena, layout, into);
                true
            }
        });
        into.unread += u64::from(!into.verdict.is_trusted());
    }
}

/// The level of the interrupt that a CPU handles: a high one, or that of the interrupt thread that has pinned another.
fn handled(memory: &dyn GuestMemory, layout: &Layout, arena: &Arena, cpu: &CpuSample) -> Option<u8> {
    if cpu.intr_actv >> DISP_LEVEL != 0 {
        return Some((31 - cpu.intr_actv.leading_zeros()) as u8);
    }
    if cpu.intr_actv == 0 {
        return None;
    }
    arena.index_of(cpu.thread)?;
    let t = &layout.thread;
    let at = |field: Field| cpu.thread.wrapping_add(field.offset as u64);
    let is_intr = memory.read_u16(at(t.flag))? & tflag::INTR_THREAD != 0;
    let mut pil = [0];
    let is_read = is_intr && memory.read_u64(at(t.intr))? != 0 && memory.read(at(t.pil), &mut pil);
    is_read.then_some(pil[0])
}

fn decode_cpu(copy: &[u8], layout: &Layout, into: &mut CpuSample) {
    let c = &layout.cpu;
    into.id = c.id.get(copy) as u32;
    into.flags = c.flags.get(copy) as u32;
    into.thread = c.thread.get(copy);
    into.idle_thread = c.idle_thread.get(copy);
    into.dispthread = c.dispthread.get(copy);
    into.dispatch_pri = c.dispatch_pri.get(copy) as i16;
    into.chosen_level = c.chosen_level.get(copy) as i16;
    into.runrun = c.runrun.get(copy) != 0;
    into.kprunrun = c.kprunrun.get(copy) != 0;
    into.disp_flags = c.disp_flags.get(copy) as u8;
    into.base_spl = c.base_spl.get(copy) as u8;
    into.intr_actv = c.intr_actv.get(copy) as u32;
    into.last_swtch = c.last_swtch.get(copy);
}

/// Decodes everything but the threads, and lists the levels that anything says are not empty.
fn decode_queue(copy: &[u8], layout: &Layout, into: &mut QueueSample) {
    let d = &layout.disp;
    into.maxrunpri = d.maxrunpri.get(copy) as i16;
    into.max_unbound_pri = d.max_unbound_pri.get(copy) as i16;
    into.nrunnable = d.nrunnable.get(copy) as u32;
    for word in 0..QACTMAP_WORDS.min(d.qactmap.count) {
        into.qactmap[word] = word_at(copy, d.qactmap.offset + word * d.qactmap.stride);
    }
    into.levels.clear();
    into.threads.clear();
    let levels = copy.get(d.levels.offset..).unwrap_or(&[]);
    let mut occupied = into.qactmap;
    mark_occupied(levels, d.levels, &mut occupied);
    for (word, mut bits) in occupied.into_iter().enumerate().rev() {
        while bits != 0 {
            let bit = 63 - bits.leading_zeros() as usize;
            bits &= !(1 << bit);
            let pri = 64 * word + bit;
            let level = levels.get(pri * d.levels.stride..).unwrap_or(&[]);
            into.levels.push(LevelSample {
                pri: pri as i16,
                bit: into.has_bit(pri),
                sruncnt: layout.level.sruncnt.get(level) as u32,
                first: layout.level.first.get(level),
                last: layout.level.last.get(level),
                ..LevelSample::default()
            });
        }
    }
}

/// Sets the bit of every level in whose bytes anything is not 0. This runs over all levels of all queues in every
/// pass, and nearly all of them are empty: so it looks at 64 bytes at a time, and divides only for those that are not 0.
fn mark_occupied(levels: &[u8], of: ArrayField, occupied: &mut [u64; QACTMAP_WORDS]) {
    let end = of.stride.saturating_mul(of.count);
    let (words, _) = levels.get(..end).unwrap_or(levels).as_chunks::<8>();
    let is_set = |word: &[u8; 8]| u64::from_le_bytes(*word) != 0;
    for (n, block) in words.chunks(8).enumerate() {
        if block.iter().fold(0, |all, word| all | u64::from_le_bytes(*word)) == 0 {
            continue;
        }
        for (k, _) in block.iter().enumerate().filter(|(_, word)| is_set(word)) {
            let pri = 8 * (8 * n + k) / of.stride;
            if let Some(word) = occupied.get_mut(pri / 64) {
                *word |= 1 << (pri % 64);
            }
        }
    }
}

fn walk(
    walker: &mut Walker,
    memory: &dyn GuestMemory,
    arena: &Arena,
    layout: &Layout,
    queue: &mut QueueSample,
) {
    let t = &layout.thread;
    walker.begin();
    let QueueSample { levels, threads, .. } = queue;
    for level in levels {
        level.end = walker.level(memory, arena, level.first, |index, copy| {
            level.walked += 1;
            level.tail = arena.address_of(index);
            threads.push(QueuedThread {
                index,
                level: level.pri,
                pri: t.pri.get(copy) as i16,
                epri: t.epri.get(copy) as i16,
                state: t.state.get(copy) as u32,
                class: t.class.get(copy) as u8,
                bound: t.bound_cpu.get(copy) != 0 || t.weakbound_cpu.get(copy) != 0,
                disp_queue: t.disp_queue.get(copy),
                waitrq: t.waitrq.get(copy),
            });
            t.link.get(copy)
        });
    }
}

/// Bytes at the beginning of `Cpu` that hold every field of [`CpuSample`].
fn cpu_words_len(layout: &Layout) -> usize {
    let c = &layout.cpu;
    let all = [
        c.id,
        c.flags,
        c.part,
        c.thread,
        c.idle_thread,
        c.dispthread,
        c.dispatch_pri,
        c.chosen_level,
        c.runrun,
        c.kprunrun,
        c.disp_flags,
        c.base_spl,
        c.intr_actv,
        c.last_swtch,
    ];
    all.iter().map(|f| f.end()).max().unwrap_or(0).min(c.size)
}

fn word_at(copy: &[u8], offset: usize) -> u64 {
    Field { offset, size: 8, signed: false }.get(copy)
}

fn tunable_field(all: ArrayField, n: usize) -> Field {
    Field { offset: all.offset + n * all.stride, size: 8, signed: false }
}

/// Offset and length of the part of `Kernel` that holds the scalars of every pass.
fn scalar_range(layout: &Layout) -> (usize, usize) {
    let k = &layout.kernel;
    let all = [
        k.lbolt,
        k.clock_ticks,
        k.deadman_counter,
        k.deadman_panics,
        k.clock_cpu,
        k.hz,
        k.kpreemptpri,
        k.kpqpri,
        k.upreemptpri,
        tunable_field(k.tunables, tunable::NOSTEAL_NSEC),
    ];
    let from = all.iter().map(|f| f.offset).min().unwrap_or(0) & !7;
    let to = all.iter().map(|f| f.end()).max().unwrap_or(0).min(k.size);
    (from, to.saturating_sub(from))
}

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
