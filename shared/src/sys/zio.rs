//! What a ZFS I/O is, and which task queues serve it (`sys/zio.h`, `spa.c zio_taskqs`).
//!
//! # Invariants
//! - Types, kinds of queues and their numbers of threads are illumos's.
//! - Host and guest count threads and queues by the functions here.

values! {
    /// Types of I/O.
    zio_type: u8, "ZIO_TYPE_" {
        /// None: a root, or work for the pool's configuration.
        NULL = 0;
        /// Reads.
        READ = 1;
        /// Writes.
        WRITE = 2;
        /// Frees blocks.
        FREE = 3;
        /// Claims the blocks of the intent log.
        CLAIM = 4;
        /// Asks the device for something.
        IOCTL = 5;
        /// Tells the device what is not used.
        TRIM = 6;
    }
}

values! {
    /// Priorities of I/O.
    zio_priority: u8, "ZIO_PRIORITY_" {
        /// Somebody waits for what is read.
        SYNC_READ = 0;
        /// Somebody waits for what is written.
        SYNC_WRITE = 1;
        /// Read ahead.
        ASYNC_READ = 2;
        /// Written by txg sync.
        ASYNC_WRITE = 3;
        /// At once.
        NOW = 9;
    }
}

values! {
    /// Kinds of task queues that a type of I/O has.
    zio_taskq: u8, "ZIO_TASKQ_" {
        /// Begins I/O, and does what may block.
        ISSUE = 0;
        /// The same for who is in a hurry.
        ISSUE_HIGH = 1;
        /// Goes on when the device has answered.
        INTERRUPT = 2;
        /// The same for who is in a hurry.
        INTERRUPT_HIGH = 3;
    }
}

/// Types of I/O.
pub const ZIO_TYPES: usize = 7;
/// Kinds of queues.
pub const ZIO_TASKQ_TYPES: usize = 4;
/// Entries that such a queue keeps.
pub const ZIO_TASKQ_MINALLOC: u32 = 50;
/// Threads that a pool has beside those of its queues: txg sync and quiesce.
pub const POOL_THREADS: u32 = 2;
/// Threads of pageout: itself, and its scanner.
pub const PAGEOUT_THREADS: u32 = 2;

/// What queues a type has of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zti {
    /// None.
    None,
    /// So many queues of so many threads each (`ZTI_N`, `ZTI_P`).
    Fixed(u32, u32),
    /// One whose threads are a percentage of the CPUs (`ZTI_BATCH`).
    Batch,
}

/// The queues, by type and kind.
pub const ZIO_TASKQS: [[Zti; ZIO_TASKQ_TYPES]; ZIO_TYPES] = {
    use Zti::{Batch, Fixed, None};
    [
        [Fixed(1, 1), None, Fixed(1, 1), None],
        [Fixed(1, 8), None, Fixed(8, 12), None],
        [Batch, Fixed(1, 5), Fixed(1, 8), Fixed(1, 5)],
        [Fixed(8, 12), None, Fixed(1, 1), None],
        [Fixed(1, 1), None, Fixed(1, 1), None],
        [Fixed(1, 1), None, Fixed(1, 1), None],
        [Fixed(1, 4), None, Fixed(1, 1), None],
    ]
};

/// What the queues are called, in the order of [`ZIO_TASKQS`].
pub const ZIO_QUEUE_NAMES: [&str; ZIO_QUEUES as usize] = [
    "zio_null_issue",
    "zio_null_intr",
    "zio_read_issue",
    "zio_read_intr_0",
    "zio_read_intr_1",
    "zio_read_intr_2",
    "zio_read_intr_3",
    "zio_read_intr_4",
    "zio_read_intr_5",
    "zio_read_intr_6",
    "zio_read_intr_7",
    "zio_write_issue",
    "zio_write_issue_high",
    "zio_write_intr",
    "zio_write_intr_high",
    "zio_free_issue_0",
    "zio_free_issue_1",
    "zio_free_issue_2",
    "zio_free_issue_3",
    "zio_free_issue_4",
    "zio_free_issue_5",
    "zio_free_issue_6",
    "zio_free_issue_7",
    "zio_free_intr",
    "zio_claim_issue",
    "zio_claim_intr",
    "zio_ioctl_issue",
    "zio_ioctl_intr",
    "z_trim_issue",
    "z_trim_intr",
];
/// What the threads are called that a pool and paging have beside those of the queues.
pub const DAEMON_NAMES: [&str; (POOL_THREADS + PAGEOUT_THREADS) as usize] =
    ["txg_sync_thread", "txg_quiesce", "pageout", "pageout_scanner"];

impl Zti {
    /// How many queues.
    pub const fn queues(self) -> u32 {
        match self {
            Zti::None => 0,
            Zti::Fixed(queues, _) => queues,
            Zti::Batch => 1,
        }
    }
}

/// The queues before those of a type and a kind.
pub const fn queues_before(ty: usize, kind: usize) -> u32 {
    let (mut n, mut cell) = (0, 0);
    while cell < ty * ZIO_TASKQ_TYPES + kind {
        n += ZIO_TASKQS[cell / ZIO_TASKQ_TYPES][cell % ZIO_TASKQ_TYPES].queues();
        cell += 1;
    }
    n
}

/// All queues of a pool.
pub const ZIO_QUEUES: u32 = queues_before(ZIO_TYPES, 0);

/// Threads of all queues of a pool on a machine of so many CPUs, with a batch queue of so many per cent of them.
pub fn threads(ncpus: u32, batch_pct: u32) -> u32 {
    let of = |zti: Zti| match zti {
        Zti::None => 0,
        Zti::Fixed(queues, threads) => queues * threads,
        Zti::Batch => (ncpus * batch_pct / 100).max(1),
    };
    ZIO_TASKQS.iter().flatten().map(|zti| of(*zti)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_thirty_queues_and_zio_write_intr_is_one_of_eight_threads() {
        assert_eq!(ZIO_QUEUES, 30);
        assert_eq!(
            ZIO_TASKQS[usize::from(zio_type::WRITE)][usize::from(zio_taskq::INTERRUPT)],
            Zti::Fixed(1, 8)
        );
        assert_eq!(threads(4, 75), 2 + 8 + 96 + 3 + 18 + 97 + 2 + 2 + 5);
        let at =
            |ty: u8, kind: u8| ZIO_QUEUE_NAMES[queues_before(usize::from(ty), usize::from(kind)) as usize];
        assert_eq!(at(zio_type::READ, zio_taskq::INTERRUPT), "zio_read_intr_0");
        assert_eq!(at(zio_type::WRITE, zio_taskq::INTERRUPT), "zio_write_intr");
        assert_eq!(at(zio_type::FREE, zio_taskq::INTERRUPT), "zio_free_intr");
        assert_eq!(at(zio_type::TRIM, zio_taskq::INTERRUPT), "z_trim_intr");
    }
}
