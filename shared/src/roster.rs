//! Which thread has which number: the order of the kernel's thread arena, which stacks follow.
//!
//! ```text
//! 0 .. ncpus                    idle threads, one a CPU
//! ncpus .. ncpus + nthreads     the scenario's threads, in its order, then those of task queues
//! then, for each CPU in turn    INTR_THREADS interrupt threads, the pause thread, CALLOUT_THREADS callout threads
//! then                          the script thread, which makes the scenario's events happen
//! last                          the threads that STREAMS leave work to
//! ```
//!
//! # Invariants
//! - Host and guest use these functions and no arithmetic of their own.

/// Interrupt threads that a CPU has, one for each level up to `LOCK_LEVEL`: a level whose thread is blocked stays masked, so
/// a pool of so many never runs dry (`NINTR_THREADS`, 10 on sun4).
pub const INTR_THREADS: u32 = 10;
/// Threads of a CPU's `callout_taskq` (`callout.c callout_threads`).
pub const CALLOUT_THREADS: u32 = 2;
/// System threads that a CPU has besides its idle thread.
pub const THREADS_PER_CPU: u32 = INTR_THREADS + 1 + CALLOUT_THREADS;
/// System threads that a machine has once.
pub const THREADS_ONCE: u32 = 1 + STREAMS_THREADS;
/// Threads that STREAMS leave work to; they are set up if there are STREAMS.
pub const STREAMS_THREADS: u32 = 4;

/// What the system threads are called; they are of class SYS.
pub mod name {
    /// The interrupt threads.
    pub const INTR: &str = "intr";
    /// The pause threads.
    pub const PAUSE: &str = "pause";
    /// The callout threads.
    pub const CALLOUT: &str = "callout_taskq";
    /// The script thread.
    pub const SCRIPT: &str = "script";
    /// Runs service procedures and frees external buffers.
    pub const QBKGRND: &str = "streams_qbkgrnd";
    /// Drains perimeters.
    pub const SQBKGRND: &str = "streams_sqbkgrnd";
    /// Runs writers of outer perimeters.
    pub const QWRITER: &str = "streams_qwriter";
    /// Calls back who waits for message memory.
    pub const BUFCALL: &str = "streams_bufcall";
    /// All of these.
    pub const ALL: [&str; 8] = [INTR, PAUSE, CALLOUT, SCRIPT, QBKGRND, SQBKGRND, QWRITER, BUFCALL];
}

/// Threads of a machine, system threads included.
pub const fn total(ncpus: u32, nthreads: u32) -> u32 {
    ncpus + nthreads + ncpus * THREADS_PER_CPU + THREADS_ONCE
}

/// Number of interrupt thread `n` of a CPU.
pub const fn intr_thread(ncpus: u32, nthreads: u32, cpu: u32, n: u32) -> u32 {
    ncpus + nthreads + cpu * THREADS_PER_CPU + n
}

/// Number of a CPU's pause thread.
pub const fn pause_thread(ncpus: u32, nthreads: u32, cpu: u32) -> u32 {
    intr_thread(ncpus, nthreads, cpu, INTR_THREADS)
}

/// Number of callout thread `n` of a CPU.
pub const fn callout_thread(ncpus: u32, nthreads: u32, cpu: u32, n: u32) -> u32 {
    pause_thread(ncpus, nthreads, cpu) + 1 + n
}

/// The CPU that system thread `did` is there for. The script thread has none, and must not be asked about.
pub const fn system_thread_cpu(ncpus: u32, nthreads: u32, did: u32) -> u32 {
    (did - ncpus - nthreads) / THREADS_PER_CPU
}

/// Number of the script thread.
pub const fn script_thread(ncpus: u32, nthreads: u32) -> u32 {
    ncpus + nthreads + ncpus * THREADS_PER_CPU
}

/// Number of thread `n` of those that STREAMS leave work to.
pub const fn streams_thread(ncpus: u32, nthreads: u32, n: u32) -> u32 {
    script_thread(ncpus, nthreads) + 1 + n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_given_once() {
        let (ncpus, nthreads) = (3, 5);
        let mut numbers: [u32; 64] = [0; 64];
        let mut count = 0;
        let mut give = |n: u32| {
            numbers[n as usize] += 1;
            count += 1;
        };
        (0..ncpus + nthreads).for_each(&mut give);
        for cpu in 0..ncpus {
            (0..INTR_THREADS).for_each(|n| give(intr_thread(ncpus, nthreads, cpu, n)));
            give(pause_thread(ncpus, nthreads, cpu));
            (0..CALLOUT_THREADS).for_each(|n| give(callout_thread(ncpus, nthreads, cpu, n)));
            let last = callout_thread(ncpus, nthreads, cpu, CALLOUT_THREADS - 1);
            assert_eq!(system_thread_cpu(ncpus, nthreads, last), cpu);
            assert_eq!(system_thread_cpu(ncpus, nthreads, intr_thread(ncpus, nthreads, cpu, 0)), cpu);
        }
        give(script_thread(ncpus, nthreads));
        (0..STREAMS_THREADS).for_each(|n| give(streams_thread(ncpus, nthreads, n)));
        assert_eq!(count, total(ncpus, nthreads));
        assert!(numbers[..count as usize].iter().all(|&n| n == 1));
    }
}
