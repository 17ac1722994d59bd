//! Numbers of soft ring sets and soft rings (`sys/mac_soft_ring.h`, `sys/mac_impl.h`).
//!
//! # Invariants
//! - Numbers of soft rings are illumos's. Those of a set's state are ours, as are the letters of its kind: the sheet gives only names.

flags! {
    /// Bits of `srs_state`.
    srs: u32, "SRS_" {
        /// Nobody may drain it.
        BLANK = 0x0001;
        /// Its worker drains it.
        WORKER = 0x0002;
        /// The thread that brought packets drains it.
        PROC_FAST = 0x0004;
        /// Its poll thread drains it.
        POLL_PROC = 0x0008;
        /// Somebody drains it.
        PROC = 0x0010;
        /// Its poll thread has been sent for packets.
        GET_PKTS = 0x0020;
        /// The device's interrupts are off: it is polled.
        POLLING = 0x0040;
        /// Its worker is bound.
        WORKER_BOUND = 0x0100;
        /// Its poll thread is bound.
        POLL_BOUND = 0x0200;
    }
}

flags! {
    /// What a set is: bits of `srs_type`.
    srst: u32, "SRST_" {
        /// Packets are shared out over several places by the hash of their flow (`SRST_FANOUT_SRC_IP`).
        FANOUT_SRC_IP = 0x0001;
        /// It gets packets (`SRST_RX`), as all here do.
        RX = 0x0002;
        /// Its device can be polled.
        POLL_CAPAB = 0x0004;
        /// Who brings packets drains it (`SRS_LATENCY_OPT`).
        LATENCY_OPT = 0x2000_0000;
    }
}

flags! {
    /// Bits of `s_ring_state`.
    sring: u32, "S_RING_" {
        /// Somebody drains it.
        PROC = 0x0001;
        /// Its worker is bound.
        BOUND = 0x0002;
        /// Without descriptors to send.
        BLOCK = 0x0004;
        /// Above its high water mark; for sending.
        TX_HIWAT = 0x0008;
        /// Its client is to be woken; for sending.
        WAKEUP_CLIENT = 0x0010;
        /// It is polled, and passes nothing on by itself.
        BLANK = 0x0020;
        /// Somebody waits for it to be left.
        CLIENT_WAIT = 0x0040;
        /// It ends.
        CONDEMNED = 0x0100;
        /// It has ended.
        CONDEMNED_DONE = 0x0200;
        /// It is to come to rest.
        QUIESCE = 0x0400;
        /// It is at rest.
        QUIESCE_DONE = 0x0800;
        /// It goes on.
        RESTART = 0x1000;
        /// A client waits for it; for sending.
        ENQUEUED = 0x2000;
    }
}

flags! {
    /// Bits of `s_ring_type`.
    srtype: u32, "ST_RING_" {
        /// Only its worker passes packets on.
        WORKER_ONLY = 0x0001;
        /// Packets of any protocol.
        ANY = 0x0002;
        /// Of TCP.
        TCP = 0x0004;
        /// Of UDP.
        UDP = 0x0008;
        /// Of others.
        OTH = 0x0010;
        /// With a limit of bandwidth.
        BW_CTL = 0x0020;
        /// For sending.
        TX = 0x0040;
    }
}
