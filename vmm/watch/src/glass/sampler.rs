//! The sampler: one pass over every run queue of a running guest.
//!
//! # Invariants
//! - A pass writes nothing to the guest, never makes it exit, and takes a time bounded by the number of its threads. Whatever the
//!   guest writes into its links and counts, a pass has one budget of reads and bytes for all its walks, and tells when it was cut.
//! - After the first passes, when the buffers have grown to what they need, a pass allocates nothing and formats nothing.
//! - A root that does not look like a kernel is reported, never followed.

use std::sync::Arc;

use super::cpu::CpuSample;
use super::look::Look;
use super::memory::Caches;
use super::metered::{Budget, Metered};
use super::needs::Needs;
use super::owners::Turnstiles;
use super::placement::Grounds;
use super::queue::QueueSample;
use super::read::Verdict;
use super::record::Room;
use super::root::KernelView;
use super::snapshot::{CpuReading, Snapshot};
use super::taskqs::Taskqs;
use super::walk::Walker;
use super::{Glass, GlassError, accounts, streams, times, workers};
use umpire_shared::roster;

/// From the first read of the threads' times to the second, in ns.
const FIRST_TIMES_NS: u64 = 1_000_000;

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
    /// Queues whose lock was held throughout, or that could not be read.
    pub stale: u64,
    /// Passes that were cut: they led further than any kernel does.
    pub cut: u64,
}

/// Samples one guest.
#[derive(Debug)]
pub struct Sampler {
    glass: Arc<Glass>,
    needs: Needs,
    view: Option<View>,
    snapshot: Snapshot,
    counts: ReadCounts,
    /// The counts and dues before the last pass.
    before: (ReadCounts, Dues),
    budget: Budget,
}

/// What is set up once the kernel's root is known.
#[derive(Debug)]
struct View {
    kernel: KernelView,
    /// The partitions' addresses, in the order of their kp queues.
    parts: Vec<u64>,
    /// The scenario's threads: the first, and how many.
    workers: (u32, u32),
    taskqs: Taskqs,
    caches: Caches,
    turnstiles: Turnstiles,
    grounds: Option<Grounds>,
    walker: Walker,
    room: Room,
    dues: Dues,
}

/// When that was read which is not read in every pass.
#[derive(Debug, Clone, Copy, Default)]
struct Dues {
    /// When the times of the threads were read first, and last.
    times_at_ns: Option<(u64, u64)>,
    /// When the accounts were read last.
    accounts_at_ns: Option<u64>,
}

impl Sampler {
    /// A sampler that has not looked yet. Beyond the run queues it reads what is needed.
    pub fn new(glass: Arc<Glass>, needs: Needs) -> Sampler {
        Sampler {
            glass,
            needs,
            view: None,
            snapshot: Snapshot::default(),
            counts: ReadCounts::default(),
            before: Default::default(),
            budget: Budget::default(),
        }
    }

    /// The last pass was none: what it read at its own intervals is due again.
    pub(crate) fn take_back(&mut self) {
        let (counts, dues) = self.before;
        self.counts = counts;
        if let Some(view) = &mut self.view {
            view.dues = dues;
        }
    }

    /// Looks once. `readings` are the vCPUs' running times, one a CPU, taken just before; `now_ns` is the caller's
    /// clock. `None` while the kernel is not up yet.
    ///
    /// # Errors
    /// [`GlassError::BadRoot`] if what the boot block points to is not a kernel.
    pub fn pass(&mut self, readings: &[CpuReading], now_ns: u64) -> Result<Option<&Snapshot>, GlassError> {
        let has_looked = self.look(readings, now_ns)?;
        self.learn_names();
        Ok(has_looked.then_some(&self.snapshot))
    }

    /// One pass for whoever looks just once: it knows no names of threads, for reading those of a crowd takes longer than the pass.
    ///
    /// # Errors
    /// As [`Sampler::pass`].
    pub fn once(glass: Arc<Glass>, needs: Needs) -> Result<Option<Snapshot>, GlassError> {
        let mut sampler = Sampler::new(glass, needs);
        Ok(sampler.look(&[], 0)?.then_some(sampler.snapshot))
    }

    /// Looks; false while the kernel is not up yet.
    fn look(&mut self, readings: &[CpuReading], now_ns: u64) -> Result<bool, GlassError> {
        if self.view.is_none() {
            self.attach()?;
        }
        let Some(view) = &mut self.view else { return Ok(false) };
        self.before = (self.counts, view.dues);
        let snapshot = &mut self.snapshot;
        snapshot.seq += 1;
        snapshot.show(readings, now_ns);
        self.budget.begin();
        let look = &mut Look {
            memory: &Metered { memory: &*self.glass.memory, budget: &self.budget },
            layout: &self.glass.layout,
            arena: view.kernel.arena,
            grounds: view.grounds,
            room: &mut view.room,
        };
        // Most of the threads on a queue are those of the last pass.
        let queues = snapshot.cpus.iter().map(|cpu| &cpu.queue).chain(&snapshot.kps);
        let queued = queues.flat_map(|queue| queue.threads.iter().map(|thread| thread.index));
        view.walker.expect(look.memory, &look.arena, queued);
        let _else_as_before = look.layout.kernel.read(look.memory, view.kernel.root, look.room, snapshot);
        if self.needs.interrupts {
            let pauser = look.layout.pauser.read_one(look.memory, view.kernel.root);
            snapshot.pauser = pauser.map_or(0, |pauser| pauser.thread);
        }
        let is_alone = snapshot.cpus.len() == 1;
        for cpu in &mut snapshot.cpus {
            cpu.queue.look(look, &mut view.walker);
            self.counts.add(cpu.queue.verdict);
            let is_read = cpu.look(look, &view.parts);
            if is_read && !is_alone {
                cpu.look_at_call(look);
            }
            if is_read && self.needs.runners {
                cpu.look_at_runner(look);
            }
            if is_read && self.needs.placements {
                cpu.look_at_placement(look);
            }
            if is_read && self.needs.cyclics {
                cpu.look_at_cyclics(look);
            }
            if is_read && self.needs.interrupts {
                cpu.look_at_interrupts(look);
            }
        }
        for kp in &mut snapshot.kps {
            kp.look(look, &mut view.walker);
            self.counts.add(kp.verdict);
        }
        if self.needs.interrupts {
            let enqueues = |queue: &QueueSample| {
                look.layout.enqueues.read_one(look.memory, queue.addr).map_or(0, |queue| queue.count)
            };
            snapshot.enqueues =
                snapshot.queues().map(|(_, queue)| enqueues(queue)).fold(0, u64::wrapping_add);
        }
        if self.needs.owners {
            view.turnstiles.look(look, snapshot);
        }
        if self.needs.workers {
            workers::look(look, view.workers, &snapshot.cpus, &mut snapshot.workers);
        }
        if self.needs.taskqs {
            view.taskqs.look(look, snapshot);
        }
        if self.needs.memory {
            view.caches.look(look, snapshot);
        }
        if self.needs.streams {
            streams::look(look, view.kernel.says.streams, snapshot);
        }
        if self.needs.stacks {
            streams::look_at_stacks(look, snapshot);
        }
        let every = self.needs.times_every_ns;
        snapshot.has_times = every > 0 && times_are_due(view.dues.times_at_ns, now_ns, every);
        if snapshot.has_times {
            let first = view.dues.times_at_ns.map_or(now_ns, |(first, _)| first);
            view.dues.times_at_ns = Some((first, now_ns));
            times::look(look, (view.kernel.says.projects, view.kernel.says.nprojects), snapshot);
        }
        let every = self.needs.accounts_every_ns;
        let is_due = view.dues.accounts_at_ns.is_none_or(|at| now_ns.saturating_sub(at) >= every);
        snapshot.has_accounts = every > 0 && is_due;
        if snapshot.has_accounts {
            view.dues.accounts_at_ns = Some(now_ns);
            accounts::look(look, snapshot);
        }
        self.counts.passes += 1;
        self.counts.cut += u64::from(self.budget.is_cut());
        Ok(true)
    }

    /// True if the last pass was cut: it saw a part, and nothing can be said of the rest.
    pub fn is_cut(&self) -> bool {
        self.budget.is_cut()
    }

    /// What the last pass took: reads and bytes.
    #[cfg(test)]
    fn spent(&self) -> (u64, u64) {
        self.budget.spent()
    }

    /// What the last pass saw.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The same, for what corrects the running times.
    pub(crate) fn snapshot_mut(&mut self) -> &mut Snapshot {
        &mut self.snapshot
    }

    /// How the reads of all passes went.
    pub fn counts(&self) -> ReadCounts {
        self.counts
    }

    fn attach(&mut self) -> Result<(), GlassError> {
        let Some(kernel) = self.glass.kernel()? else { return Ok(()) };
        let layout = &*self.glass.layout;
        self.snapshot.cpus = (0..kernel.ncpus)
            .map(|id| CpuSample {
                addr: kernel.cpu_address(id, layout),
                id,
                queue: QueueSample::at(kernel.cpu_address(id, layout).wrapping_add(layout.cpu_disp as u64)),
                ..CpuSample::default()
            })
            .collect();
        let parts = kernel.parts(layout);
        let kp = |part: &u64| QueueSample::at(part.wrapping_add(layout.part_kp as u64));
        self.snapshot.kps = parts.iter().map(kp).collect();
        self.snapshot.arena = Some(kernel.arena);
        let others = roster::total(kernel.ncpus, 0);
        self.view = Some(View {
            parts,
            workers: (kernel.ncpus, kernel.says.nscenario.min(kernel.arena.count.saturating_sub(others))),
            taskqs: Taskqs::new(&kernel.says, kernel.ncpus, layout.sizes.taskq),
            caches: Caches::new(kernel.root, &kernel.says, layout.sizes.cache),
            turnstiles: Turnstiles::new(&kernel, layout),
            grounds: self.needs.placements.then(|| Grounds::new(&kernel, layout)),
            walker: Walker::new(kernel.arena.count),
            room: Room::new(),
            dues: Dues::default(),
            kernel,
        });
        Ok(())
    }

    /// Reads the names of threads that this pass met for the first time; names do not change.
    fn learn_names(&mut self) {
        let (Some(view), Snapshot { workers, taskqs, names, times, has_times, stack_least, .. }) =
            (&mut self.view, &mut self.snapshot)
        else {
            return;
        };
        if names.is_empty() {
            names.resize(view.kernel.arena.count as usize, String::new());
        }
        let mut learn = |index: u32| {
            let Some(name) = names.get_mut(index as usize) else { return true };
            if name.is_empty() {
                *name = self.glass.thread_name(view.kernel.arena.address_of(index));
            }
            !name.is_empty()
        };
        view.walker.strangers.retain(|&index| !learn(index));
        workers.iter().for_each(|worker| {
            learn(worker.index);
        });
        taskqs.iter().filter(|queue| queue.asleep > 0).for_each(|queue| {
            learn(queue.sleeper);
        });
        if let Some((index, _)) = stack_least {
            learn(*index);
        }
        if *has_times {
            (0..times.len() as u32).for_each(|index| {
                learn(index);
            });
        }
    }
}

/// True if the times of the threads, which were first and last read then, are to be read again: `every` so many ns. The first
/// reads come sooner, each after twice as long as the one before, so that a short run has some as well.
fn times_are_due(read_at_ns: Option<(u64, u64)>, now_ns: u64, every: u64) -> bool {
    let Some((first, last)) = read_at_ns else { return true };
    let (since_first, since_last) = (now_ns.saturating_sub(first), now_ns.saturating_sub(last));
    let early = last.saturating_sub(first);
    since_last >= every || early < every && (since_first >= every || since_last >= early.max(FIRST_TIMES_NS))
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

#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile_tests;

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
