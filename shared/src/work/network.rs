//! The threads of the network's receive path: workers of soft ring sets, soft rings and squeues, and what polls.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.
//! - The kernel makes a soft ring for each `soft_ring`, an squeue for each `squeue`, and a soft ring set for each interrupt that one of
//!   them names; the others are threads of those.

choices! {
    /// Who passes a soft ring's packets on.
    WorkerOnly { Yes "yes", No "no" }
    /// How packets enter an squeue.
    Enter { Fill "fill", Nodrain "nodrain", Process "process" }
}

workloads! {
    Network, network_workloads;

    /// a MAC soft ring's worker: waits for packets, passes each on to its sink
    soft_ring SoftRing by mac_soft_ring_worker
    needs {
        /// the interrupt that brings packets
        source: interrupt,
    }
    {
        /// who gets them next, an squeue or a further soft ring; without one they end here
        sink: maybe(thread),
        /// us of work a packet
        cost_us: number(0..=1_000_000) = 5,
        /// `yes`: only this thread passes packets on; `no`: with little to do, who brings them does so itself
        worker_only: choice(WorkerOnly) = Yes,
    }

    /// an IP squeue's worker: waits for packets, consumes them
    squeue Squeue by squeue_worker {
        /// us of work a packet
        cost_us: number(0..=1_000_000) = 5,
        /// an interrupt whose packets come here directly, beside what a soft ring passes on
        source: maybe(interrupt),
        /// the stream that they go up, to its reader; without one they end here
        stream: maybe(stream),
        /// who handles packets: only this thread (`fill`), also who brings one and finds nobody (`nodrain`), and then what comes meanwhile as well (`process`)
        enter: choice(Enter) = Fill,
    }

    /// a soft ring set's worker: passes on what the interrupt thread leaves, or all of it with `mac_latency_optimize` = 0
    srs_worker SrsWorker by mac_srs_worker
    needs {
        /// the interrupt whose packets the set gets
        source: interrupt,
    }
    {}

    /// a soft ring set's poll thread: while packets wait, it fetches further ones, and the device does not interrupt
    srs_poll SrsPoll by mac_rx_srs_poll_ring
    needs {
        /// the interrupt whose packets the set gets
        source: interrupt,
    }
    {}

    /// an squeue's poll thread: while the worker has the squeue, it fetches packets from the soft ring, which passes none on
    squeue_poll SqueuePoll by squeue_polling_thread
    needs {
        /// the squeue's worker; the ring is the first whose sink it is
        squeue: thread,
    }
    {}
}

impl SoftRing {
    /// True if only its worker passes packets on.
    pub fn is_worker_only(&self) -> bool {
        self.worker_only == WorkerOnly::Yes
    }
}
