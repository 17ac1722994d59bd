//! Waiting for a running machine: for its time, signals, the vCPUs' ends, and requests to stop.
//!
//! # Invariants
//! - The first thing that happens is reported; of several at once the guest's own end comes first.
//! - Waiting costs the guest nothing: the loop sleeps until something happens.

use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::timerfd::TimerFd;

use super::MachineError;
use super::console::Console;
use super::exit::VcpuEnd;
use super::memory::GuestRam;
use super::signals;
use super::vcpu::Shared;
use super::write::Written;

/// Why [`super::Machine::wait`] came back.
#[allow(clippy::large_enum_variant, reason = "there is one a run")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitEnd {
    /// The time was over.
    RunTimeOver,
    /// SIGINT or SIGTERM arrived; only after [`super::signals::install`].
    Interrupted,
    /// A [`StopHandle`] asked for it.
    Stopped,
    /// A vCPU ended by itself; the others are being stopped.
    GuestEnded(VcpuEnd),
}

/// Ends the wait for a machine from any thread.
#[derive(Debug, Clone)]
pub struct StopHandle {
    eventfd: Arc<EventFd>,
}

impl StopHandle {
    /// A handle that has not been used yet.
    pub(super) fn new() -> Result<StopHandle, MachineError> {
        let eventfd = EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)
            .map_err(|e| MachineError::os("create an eventfd", e))?;
        Ok(StopHandle { eventfd: Arc::new(eventfd) })
    }

    /// Ends the wait, now or when it begins. To call it more than once changes nothing.
    pub fn stop(&self) {
        // It fails only if it is readable 2^64 - 2 times over.
        let _full = self.eventfd.write(1);
    }
}

/// What a wait looks at.
#[derive(Debug)]
pub(super) struct Watched {
    pub shared: Arc<Shared>,
    pub stop: StopHandle,
    pub ram: Arc<GuestRam>,
    pub console: Arc<Mutex<Console>>,
    /// What was written from outside. Nothing else is locked under it but the vCPUs' state.
    pub writes: Mutex<Vec<Written>>,
    /// Where the gate's text lies.
    pub gate: Range<u64>,
}

impl Watched {
    /// Reads what the guest has written to its console.
    pub(super) fn drain_console(&self) {
        self.console.lock().unwrap_or_else(PoisonError::into_inner).drain(self.ram.as_ref());
    }

    /// Sleeps until one of [`WaitEnd`] happens. `run_ns` is in ns; `u64::MAX` sets no limit.
    ///
    /// # Errors
    /// [`MachineError::Os`] if the host refuses a timer or epoll.
    pub(super) fn wait(self: &Arc<Self>, run_ns: u64) -> Result<WaitEnd, MachineError> {
        let mut timer = TimerFd::new().map_err(|e| MachineError::os("create a timer", e.into()))?;
        if run_ns != u64::MAX {
            timer
                .reset(Duration::from_nanos(run_ns.max(1)), None)
                .map_err(|e| MachineError::os("start a timer", e.into()))?;
        }
        let waiter =
            Arc::new(Mutex::new(Waiter { watched: Arc::clone(self), timer, end: None, failed: false }));
        let mut epoll = EventManager::<Arc<Mutex<Waiter>>>::new().map_err(epoll_error)?;
        epoll.add_subscriber(Arc::clone(&waiter));
        loop {
            match epoll.run() {
                Ok(_) => {}
                Err(event_manager::Error::Epoll(e)) if e.errno() == libc::EINTR => {}
                Err(e) => return Err(epoll_error(e)),
            }
            let waiter = waiter.lock().unwrap_or_else(PoisonError::into_inner);
            if waiter.failed {
                return Err(MachineError::os("watch the machine", std::io::Error::other("epoll_ctl failed")));
            }
            if let Some(end) = waiter.end {
                return Ok(end);
            }
        }
    }
}

fn epoll_error(e: event_manager::Error) -> MachineError {
    MachineError::os("watch the machine", std::io::Error::other(e.to_string()))
}

/// The one subscriber to what epoll finds readable.
struct Waiter {
    watched: Arc<Watched>,
    timer: TimerFd,
    end: Option<WaitEnd>,
    failed: bool,
}

impl Waiter {
    fn sources(&self) -> impl Iterator<Item = RawFd> + use<> {
        let own = [&self.watched.shared.ended, &self.watched.shared.bell, self.watched.stop.eventfd.as_ref()];
        let fds = own.map(AsRawFd::as_raw_fd);
        fds.into_iter().chain([self.timer.as_raw_fd()]).chain(signals::eventfd().map(AsRawFd::as_raw_fd))
    }

    /// What the source that became readable means, if it means an end.
    fn end_of(&self, source: RawFd) -> Option<WaitEnd> {
        let shared = &self.watched.shared;
        if let Some(end) = shared.first_end() {
            return Some(WaitEnd::GuestEnded(end));
        }
        if source == shared.bell.as_raw_fd() {
            // The bell is emptied first: a ring that comes while the console is read is heard again.
            let _rings = shared.bell.read();
            self.watched.drain_console();
            return None;
        }
        if source == self.watched.stop.eventfd.as_raw_fd() {
            return Some(WaitEnd::Stopped);
        }
        if source == self.timer.as_raw_fd() {
            return Some(WaitEnd::RunTimeOver);
        }
        signals::interrupted().then_some(WaitEnd::Interrupted)
    }
}

impl MutEventSubscriber for Waiter {
    fn process(&mut self, ready: Events, _: &mut EventOps<'_>) {
        let end = self.end_of(ready.fd());
        if !matches!(self.end, Some(WaitEnd::GuestEnded(_))) {
            self.end = end.or(self.end);
        }
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        for fd in self.sources() {
            self.failed |= ops.add(Events::new_raw(fd, EventSet::IN)).is_err();
        }
    }
}
