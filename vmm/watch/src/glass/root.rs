//! The kernel's root object: where its arenas lie.
//!
//! # Invariants
//! - A root that does not look like a kernel is reported, never followed: the numbers of CPUs, threads and partitions are
//!   bounded here, once. Each of the other numbers is bounded where it is used.

use super::layout::Layout;
use super::record::record;
use super::typed::text_of;
use super::walk::Arena;
use super::{Glass, GlassError};
use umpire_shared::sys::KERNEL_MAGIC;
use umpire_shared::{MAX_CPUS, MAX_THREADS, NAME_LEN, roster};

record! {
    /// The kernel's arenas: where each begins, and how many are in it.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct KernelRoot / RootPlaces of Kernel {
        read {
            /// "KERNEL!!".
            magic: u64 = number "k_magic",
            /// The first CPU.
            cpus: u64 = pointer "k_cpus.data_ptr",
            /// How many CPUs.
            ncpus: u64 = number "k_cpus.length",
            /// The first thread.
            threads: u64 = pointer "k_threads.data_ptr",
            /// How many threads, idle threads included.
            nthreads: u64 = number "k_threads.length",
            /// The default partition, the first one.
            parts: u64 = pointer "k_parts.parts.data_ptr",
            /// How many partitions.
            nparts: u64 = number "k_parts.parts.length",
            /// The first chain of turnstiles.
            chains: u64 = pointer "k_sync.turnstile_table.data_ptr",
            /// How many chains.
            nchains: u64 = number "k_sync.turnstile_table.length",
            /// The first turnstile.
            turnstiles: u64 = pointer "k_sync.turnstiles.data_ptr",
            /// How many turnstiles.
            nturnstiles: u64 = number "k_sync.turnstiles.length",
            /// The first project.
            projects: u64 = pointer "k_class.fss.fss_kprojects.data_ptr",
            /// How many projects.
            nprojects: u64 = number "k_class.fss.fss_kprojects.length",
            /// The first event of the scenario.
            events: u64 = pointer "k_events.data_ptr",
            /// How many events.
            nevents: u64 = number "k_events.length",
            /// How many threads of the scenario.
            nscenario: u32 = number "k_nthreads",
            /// The first task queue.
            taskqs: u64 = pointer "k_taskq.taskq_cache.objects.data_ptr",
            /// How many may be there.
            ntaskqs: u64 = number "k_taskq.taskq_cache.objects.length",
            /// The first cache.
            caches: u64 = pointer "k_kmem.kmem_caches.data_ptr",
            /// How many may be there.
            ncaches: u64 = number "k_kmem.kmem_caches.length",
            /// What is kept of STREAMS.
            streams: u64 = pointer "k_streams",
        }
        known {}
    }
}

record! {
    /// A thread's name, as the kernel packs it.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct ThreadName / NamePlaces of Kthread {
        read {
            /// Its name.
            name: [u8; NAME_LEN] = array "t_name",
        }
        known {}
    }
}

/// Where the arenas of a kernel lie, checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct KernelView {
    /// Address of the root.
    pub(super) root: u64,
    /// What it says. The numbers of CPUs, threads and partitions are checked; the other numbers are not.
    pub(super) says: KernelRoot,
    /// How many CPUs.
    pub(super) ncpus: u32,
    /// The threads.
    pub(super) arena: Arena,
}

impl KernelView {
    /// Address of a CPU.
    pub(super) fn cpu_address(&self, n: u32, layout: &Layout) -> u64 {
        self.says.cpus.wrapping_add(u64::from(n).wrapping_mul(layout.sizes.cpu))
    }

    /// Addresses of the partitions: the default one, then the processor sets'.
    pub(super) fn parts(&self, layout: &Layout) -> Vec<u64> {
        let part = |n: u64| self.says.parts.wrapping_add(n.wrapping_mul(layout.sizes.part));
        (0..self.says.nparts).map(part).collect()
    }
}

impl Glass {
    /// The address of the kernel's root object, 0 while there is none.
    pub fn root(&self) -> u64 {
        self.root.find(&*self.memory)
    }

    /// The kernel's arenas, `None` while there is no kernel.
    ///
    /// # Errors
    /// [`GlassError::BadRoot`] if the root object does not look like one.
    pub(super) fn kernel(&self) -> Result<Option<KernelView>, GlassError> {
        let root = self.root();
        if root == 0 {
            return Ok(None);
        }
        let bad = |found: String| GlassError::BadRoot { root, found };
        let says = self.layout.root.read_one(&*self.memory, root);
        let says = says.ok_or_else(|| bad("an address outside guest memory".into()))?;
        let KernelRoot { magic, ncpus, nthreads, nparts, .. } = says;
        if magic != KERNEL_MAGIC {
            return Err(bad(format!("first word {magic:#x}, expected {KERNEL_MAGIC:#x}")));
        }
        if ncpus == 0 || ncpus > MAX_CPUS as u64 {
            return Err(bad(format!("{ncpus} CPUs, expected 1 to {MAX_CPUS}")));
        }
        let most = u64::from(roster::total(MAX_CPUS as u32, MAX_THREADS as u32));
        if nthreads < ncpus || nthreads > most {
            return Err(bad(format!("{nthreads} threads, expected {ncpus} to {most}")));
        }
        if nparts == 0 || nparts > MAX_CPUS as u64 + 1 {
            return Err(bad(format!("{nparts} partitions, expected 1 to {}", MAX_CPUS + 1)));
        }
        let arena = Arena { base: says.threads, stride: self.layout.sizes.thread, count: nthreads as u32 };
        Ok(Some(KernelView { root, says, ncpus: ncpus as u32, arena }))
    }

    /// The names of all threads, by number; none while there is no kernel.
    pub fn thread_names(&self) -> Vec<String> {
        let Ok(Some(kernel)) = self.kernel() else { return Vec::new() };
        (0..kernel.arena.count).map(|n| self.thread_name(kernel.arena.address_of(n))).collect()
    }

    /// The name of the thread at this address, fit to be printed; empty if it cannot be read.
    pub fn thread_name(&self, addr: u64) -> String {
        let place = &self.layout.name.name;
        let mut raw = [0; NAME_LEN];
        let is_read = place.size == 1 && self.memory.read(addr.wrapping_add(place.offset as u64), &mut raw);
        if is_read { text_of(&raw) } else { String::new() }
    }
}
