//! `sys/strsubr.h`: perimeters and stream heads.
//!
//! # Invariants
//! - Numbers are Solaris's.

flags! {
    /// Bits of `sq_flags`.
    sq: u16, "SQ_" {
        /// One thread has the perimeter for itself.
        EXCL = 0x01;
        /// `qprocsoff`, or a change of the outer perimeter's list.
        BLOCKED = 0x02;
        /// `freezestr`.
        FROZEN = 0x04;
        /// A writer of the outer perimeter is inside or wants to come in.
        WRITER = 0x08;
        /// Messages are parked here.
        MESSAGES = 0x10;
        /// Threads sleep on `sq_wait`.
        WANTWAKEUP = 0x20;
        /// Threads sleep on `sq_exitwait`.
        WANTEXWAKEUP = 0x40;
        /// `qwriter` functions wait here.
        EVENTS = 0x80;
    } masks {
        /// Something is parked.
        QUEUED = MESSAGES | EVENTS;
        /// Nobody new may come in, and nothing is to be drained.
        STAYAWAY = BLOCKED | FROZEN | WRITER;
        /// Whoever wants the outer perimeter has to wait.
        GOAWAY = EXCL | BLOCKED | FROZEN | WRITER | MESSAGES | EVENTS;
        /// What the last one out has to look after.
        TAIL = MESSAGES | EVENTS | WANTWAKEUP | WANTEXWAKEUP;
    }
}

flags! {
    /// Bits of `sq_type`.
    sqtype: u16, "SQ_" {
        /// One syncq for all instances.
        PERMOD = 0x01;
        /// Put procedures share the inner perimeter.
        CIPUT = 0x100;
        /// Service procedures share the inner perimeter.
        CISVC = 0x200;
        /// Opens and closes share the inner perimeter.
        CIOC = 0x400;
        /// Callbacks share the inner perimeter.
        CICB = 0x800;
        /// Put procedures share the outer perimeter.
        COPUT = 0x1000;
        /// Service procedures share the outer perimeter.
        COSVC = 0x2000;
        /// Opens and closes share the outer perimeter.
        COOC = 0x4000;
        /// Callbacks share the outer perimeter.
        COCB = 0x8000;
    } masks {
        /// Every kind shares the inner perimeter.
        CI = CIPUT | CISVC | CIOC | CICB;
        /// Every kind shares the outer perimeter.
        CO = COPUT | COSVC | COOC | COCB;
        /// Entry by a put procedure.
        PUT = CIPUT | COPUT;
        /// Entry by a service procedure.
        SVC = CISVC | COSVC;
        /// Entry by an open or a close.
        OPENCLOSE = CIOC | COOC;
        /// Entry by a callback.
        CALLBACK = CICB | COCB;
    }
}

flags! {
    /// Bits of `sq_svcflags`.
    sqsvc: u16, "SQ_" {
        /// A background thread drains it.
        SERVICE = 0x1;
        /// It is on the list of the background thread.
        BGTHREAD = 0x2;
        /// No background thread is to be called.
        DISABLED = 0x4;
    }
}

flags! {
    /// Bits of `q_sqflags`.
    qsq: u32, "Q_" {
        /// On its syncq's list.
        SQQUEUED = 0x1;
        /// A drain has chosen it.
        SQDRAINING = 0x2;
    }
}

flags! {
    /// Bits of `sd_svcflags`.
    strs: u32, "STRS_" {
        /// A thread has promised to run what is enabled now.
        WILLSERVICE = 0x1;
        /// A background thread has been called.
        SCHEDULED = 0x2;
    }
}

/// Most that a push takes a stream to (`nstrpush`).
pub const NSTRPUSH: i64 = 9;
/// Deferred frees of `esballoc` buffers that are worth a task (`esbq_max_qlen`).
pub const ESBQ_MAX_QLEN: u32 = 0x16;
/// Ticks that they wait otherwise (`esbq_timeout`).
pub const ESBQ_TIMEOUT: u64 = 8;
