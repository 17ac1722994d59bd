//! How long each vCPU really ran on the host, and how long it was kept waiting.
//!
//! # Invariants
//! - Reading allocates nothing: one system call a value, or none once the vCPU's thread has ended.
//! - A vCPU's running time never goes back, and stays at its last value when its thread has ended.
// The clock of another thread is reached through libc.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Longest `stat` of a thread, in bytes: 52 numbers of up to 20 digits, and a name.
const STAT_MAX: usize = 52 * 21 + 64;

/// The clocks of a machine's vCPU threads; any thread may read them.
#[derive(Debug)]
pub struct VcpuClocks {
    cpus: Box<[VcpuClock]>,
}

/// What a vCPU's thread is at on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VcpuState {
    /// True if it is on a host CPU or waits for one; false if it sleeps in its guest's halt, or does not exist. One that is put
    /// aside waits for a host CPU.
    pub is_ready: bool,
    /// The host CPU that it is on, or waits for; none if it is put aside, sleeps, or the host does not tell.
    pub host_cpu: Option<u32>,
}

impl VcpuClocks {
    /// Clocks for so many vCPUs, all at 0 until their threads call [`VcpuClocks::enter`].
    pub(super) fn new(ncpus: usize) -> VcpuClocks {
        VcpuClocks { cpus: (0..ncpus).map(|_| VcpuClock::default()).collect() }
    }

    /// How many vCPUs there are.
    pub fn len(&self) -> usize {
        self.cpus.len()
    }

    /// True if there is none; a machine always has one.
    pub fn is_empty(&self) -> bool {
        self.cpus.is_empty()
    }

    /// CPU time of a vCPU's thread, in ns: one system call. 0 for a vCPU that does not exist.
    pub fn ran_ns(&self, cpu: usize) -> u64 {
        self.cpus.get(cpu).map_or(0, VcpuClock::ran_ns)
    }

    /// Time for which the vCPUs' threads waited for a host CPU, in ns, summed: reads a file of /proc for each, so do it
    /// rarely. 0 on hosts that do not tell.
    pub fn steal_ns(&self) -> u64 {
        self.cpus.iter().map(VcpuClock::steal_ns).sum()
    }

    /// The same of one vCPU; 0 for one that does not exist.
    pub fn steal_ns_of(&self, cpu: usize) -> u64 {
        self.cpus.get(cpu).map_or(0, VcpuClock::steal_ns)
    }

    /// What a vCPU's thread is at. Reads a file of /proc, so ask rarely.
    pub fn state(&self, cpu: usize) -> VcpuState {
        let Some(clock) = self.cpus.get(cpu).filter(|clock| !clock.ended.load(Ordering::Acquire)) else {
            return VcpuState::default();
        };
        if clock.is_aside.load(Ordering::Relaxed) {
            return VcpuState { is_ready: true, host_cpu: None };
        }
        clock.source.get().map_or_else(VcpuState::default, Source::state)
    }

    /// True if a vCPU's thread is on a host CPU or waits for one, see [`VcpuState::is_ready`].
    pub fn is_ready(&self, cpu: usize) -> bool {
        self.state(cpu).is_ready
    }

    /// Called by a vCPU's thread before anything else.
    pub(super) fn enter(&self, cpu: usize) {
        let clock = &self.cpus[cpu];
        clock.source.get_or_init(Source::of_this_thread);
    }

    /// Called by a vCPU's thread that is going to stay out of the guest on purpose.
    pub(super) fn begin_aside(&self, cpu: usize) {
        self.cpus[cpu].is_aside.store(true, Ordering::Relaxed);
    }

    /// Called by it when it has stayed away for `time`, which counts as a wait for a host CPU.
    pub(super) fn end_aside(&self, cpu: usize, time: Duration) {
        let clock = &self.cpus[cpu];
        clock.aside_ns.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        clock.is_aside.store(false, Ordering::Relaxed);
    }

    /// Called by a vCPU's thread when it is about to end.
    pub(super) fn leave(&self, cpu: usize) {
        let clock = &self.cpus[cpu];
        clock.ran_ns();
        clock.steal_ns();
        clock.ended.store(true, Ordering::Release);
    }
}

#[derive(Debug, Default)]
struct VcpuClock {
    source: OnceLock<Source>,
    /// True when the thread is gone, and its clock and its place under /proc may be those of another.
    ended: AtomicBool,
    last_ran_ns: AtomicU64,
    last_steal_ns: AtomicU64,
    /// True while the thread stays out of the guest on purpose; how long it has done so before. Each is one value that nothing
    /// else is read by, so relaxed will do.
    is_aside: AtomicBool,
    aside_ns: AtomicU64,
}

impl VcpuClock {
    fn ran_ns(&self) -> u64 {
        self.refresh(&self.last_ran_ns, Source::ran_ns)
    }

    fn steal_ns(&self) -> u64 {
        self.refresh(&self.last_steal_ns, Source::steal_ns) + self.aside_ns.load(Ordering::Relaxed)
    }

    /// The value from its source, or the last one if there is no source any more.
    fn refresh(&self, last: &AtomicU64, read: impl Fn(&Source) -> Option<u64>) -> u64 {
        if !self.ended.load(Ordering::Acquire)
            && let Some(now) = self.source.get().and_then(read)
        {
            return last.fetch_max(now, Ordering::Relaxed).max(now);
        }
        last.load(Ordering::Relaxed)
    }
}

/// Where the values of one thread come from.
#[derive(Debug)]
struct Source {
    clock: Option<libc::clockid_t>,
    schedstat: Option<File>,
    stat: Option<File>,
}

impl Source {
    fn of_this_thread() -> Source {
        let mut id = 0;
        // SAFETY: takes no argument and cannot fail.
        let thread = unsafe { libc::pthread_self() };
        // SAFETY: `thread` is the calling thread and `id` outlives the call.
        let failed = unsafe { libc::pthread_getcpuclockid(thread, &raw mut id) };
        // thread-self is resolved when it is opened: the file stays this thread's, whichever thread reads it.
        let [schedstat, stat] =
            ["schedstat", "stat"].map(|f| File::open(format!("/proc/thread-self/{f}")).ok());
        Source { clock: (failed == 0).then_some(id), schedstat, stat }
    }

    fn ran_ns(&self) -> Option<u64> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` outlives the call; an id of a thread that is gone is refused by the kernel.
        let failed = unsafe { libc::clock_gettime(self.clock?, &raw mut time) };
        (failed == 0).then(|| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// The second number of `schedstat`: ns on a run queue without running.
    fn steal_ns(&self) -> Option<u64> {
        let mut text = [0; 96];
        let len = self.schedstat.as_ref()?.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text[..len]).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
    }
}

impl Source {
    /// Of `stat`, behind the name in brackets: the third field, `R` for running or ready, and the 39th, the host CPU.
    fn state(&self) -> VcpuState {
        let mut text = [0; STAT_MAX];
        let len = self.stat.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        let name_end = text[..len].iter().rposition(|&b| b == b')').unwrap_or(len);
        let mut fields = text[name_end..len].split(|&b| b == b' ').skip(1);
        let is_ready = fields.next() == Some(b"R");
        let cpu = fields.nth(39 - 4).and_then(|field| std::str::from_utf8(field).ok()?.parse().ok());
        VcpuState { is_ready, host_cpu: cpu.filter(|_| is_ready) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current_cpu() -> u32 {
        // SAFETY: takes no argument, and fails on no kernel that has it.
        unsafe { libc::sched_getcpu() }.cast_unsigned()
    }

    #[test]
    fn ran_ns_of_a_busy_thread_grows_and_stays_when_it_ends() {
        let clocks = VcpuClocks::new(2);
        std::thread::scope(|s| {
            s.spawn(|| {
                clocks.enter(1);
                let first = clocks.ran_ns(1);
                while clocks.ran_ns(1) < first + 1_000_000 {}
                clocks.leave(1);
            });
        });
        assert!(clocks.ran_ns(1) >= 1_000_000);
        assert_eq!(clocks.ran_ns(1), clocks.ran_ns(1));
        assert_eq!((clocks.ran_ns(0), clocks.is_ready(0)), (0, false));
        assert_eq!(clocks.ran_ns(7), 0);
    }

    #[test]
    fn steal_ns_of_another_running_thread_can_be_read() {
        let clocks = VcpuClocks::new(1);
        let (ready, wait) = std::sync::mpsc::channel::<()>();
        let (done, quit) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|s| {
            let clocks = &clocks;
            s.spawn(move || {
                clocks.enter(0);
                ready.send(()).expect("somebody waits");
                let _gone = quit.recv();
                clocks.leave(0);
            });
            wait.recv().expect("thread started");
            let source = clocks.cpus[0].source.get().expect("entered");
            assert!(source.steal_ns().is_some());
            // It waits for `done`: sooner or later it sleeps, and a thread that asks about itself runs.
            while clocks.is_ready(0) {
                std::thread::yield_now();
            }
            assert_eq!(clocks.state(0), VcpuState::default());
            // Of a thread that runs itself, the host CPU is that on which it is asked.
            let asked = || (current_cpu(), Source::of_this_thread().state(), current_cpu());
            let stayed = std::iter::repeat_with(asked).find(|(before, _, after)| before == after);
            let (cpu, state, _) = stayed.expect("it is asked until it has stayed");
            assert_eq!(state, VcpuState { is_ready: true, host_cpu: Some(cpu) });
            drop(done);
        });
    }
}
