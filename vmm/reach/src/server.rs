//! The side of a session that runs the machine: a socket under a name, and a thread for each that has connected.
//!
//! # Invariants
//! - Only processes of this user (or root) are answered.
//! - A client is bounded: in how many there are, in the length of what it sends, in the time that it may take to say who it is or to
//!   take an answer. What it sends is an answer or a refusal, never the end of the run, but for [`Request::End`].
//! - What a client stopped goes on when that client is gone; what the run itself holds stays held, also if the client let it go for a
//!   while and stopped it again.
//! - Nothing here runs in a thread of the machine or of the sampler.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::{Shutdown, shutdown};
use rustix::process::geteuid;
use umpire_machine::confine::{self, Role};
use umpire_machine::{Debugger, GUEST_IMAGE, HoldError, MachineView, Pins, StopHandle, Writer};
use umpire_watch::glass::{Identity, Poke};

use crate::bulletin::Bulletin;
use crate::gdb::{self, Monitor};
use crate::names::{Directory, Name};
use crate::wire::{self, CpuTimes, MAX_REQUEST, Reply, Request, VERSION, Welcome};

/// Clients at once.
const MAX_CLIENTS: usize = 64;
/// For how long a client may take to say who it is, and to take an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A machine that others may reach.
#[derive(Debug)]
pub struct Exposed {
    /// What can be seen of it, and held.
    pub view: MachineView,
    /// What can write into it.
    pub writer: Writer,
    /// Ends its run.
    pub stop: StopHandle,
    /// Which it is.
    pub identity: Identity,
    /// What its referee has found.
    pub bulletin: Arc<Bulletin>,
    /// ns from one pass of the sampler to the next.
    pub period_ns: u64,
    /// Set by a client that ends the run; nothing else hangs on it.
    pub must_end: Arc<AtomicBool>,
    /// What gdb's `monitor` asks, if anything.
    pub monitor: Option<Monitor>,
    /// Where gdb is served without being asked for by a client, once it is.
    pub gdb: OnceLock<String>,
    /// True from the moment at which the run is over, and a gdb that waits is to be told so.
    pub is_over: AtomicBool,
}

impl Exposed {
    /// Ends the run.
    pub(crate) fn end(&self) {
        self.must_end.store(true, Ordering::Release);
        self.stop.stop();
    }

    /// The run is over: tells those who wait for the guest.
    pub fn close(&self) {
        self.is_over.store(true, Ordering::Release);
        self.writer.ring_debugger();
    }
}

/// The session of one machine, until it is dropped.
#[derive(Debug)]
pub struct Server {
    name: Arc<Name>,
    listener: Arc<UnixListener>,
    clients: Arc<Clients>,
    acceptor: Option<JoinHandle<()>>,
}

/// Those that have connected: a stream each, by which it is cut off, and its thread. The lock is never held while something is
/// waited for.
#[derive(Debug, Default)]
struct Clients(Mutex<Vec<(UnixStream, JoinHandle<()>)>>);

impl Server {
    /// Exposes a machine under its scenario's name, or with its variant's where that is taken.
    ///
    /// # Errors
    /// If no name can be had, or no thread.
    pub fn start(directory: &Directory, exposed: Arc<Exposed>) -> io::Result<Server> {
        let Identity { scenario, variant, .. } = &exposed.identity;
        let (name, listener) = directory.claim(&[scenario.clone(), format!("{scenario}:{variant}")])?;
        let (name, listener) = (Arc::new(name), Arc::new(listener));
        let clients = Arc::<Clients>::default();
        let host = Arc::new(Host { exposed, name: Arc::clone(&name), since: Instant::now() });
        let (accepts, theirs) = (Arc::clone(&listener), Arc::clone(&clients));
        let live = move || accept(&accepts, &host, &theirs);
        let acceptor = thread::Builder::new().name("session".to_owned()).spawn(live)?;
        Ok(Server { name, listener, clients, acceptor: Some(acceptor) })
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A listener that is shut down ends `accept`.
        let _ended = shutdown(&*self.listener, Shutdown::Both);
        let _joined = self.acceptor.take().map(JoinHandle::join);
        let clients = std::mem::take(&mut *self.clients.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (stream, thread) in clients {
            // What was said last still reaches the client.
            let _cut = stream.shutdown(std::net::Shutdown::Read);
            let _joined = thread.join();
        }
    }
}

fn accept(listener: &UnixListener, host: &Arc<Host>, clients: &Clients) {
    // Who is let in is served by a thread of this one's, which has what this one has.
    let _confined = confine::enter(Role::Service);
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            // Too many open files, say: the others go on.
            Err(e) if e.kind() != io::ErrorKind::InvalidInput => {
                thread::sleep(Duration::from_millis(10));
                continue;
            }
            Err(_) => return,
        };
        let mut all = clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, thread)| !thread.is_finished());
        let _bounded = stream.set_write_timeout(Some(PATIENCE));
        if all.len() >= MAX_CLIENTS {
            let _told =
                wire::send(&stream, &refused(format!("{MAX_CLIENTS} inspectors are here already")), 4096);
            continue;
        }
        let (Ok(own), host) = (stream.try_clone(), Arc::clone(host)) else { continue };
        let live = move || {
            // A client that breaks the protocol, or goes away in the middle of it, has only itself to blame.
            let _ended = Client {
                host: &host,
                stream: &own,
                is_writable: false,
                touched: Touched::default(),
                pins: None,
            }
            .serve();
            // The acceptor has a descriptor of the stream as well: closing this one alone would tell the client nothing.
            let _closed = own.shutdown(std::net::Shutdown::Both);
        };
        if let Ok(thread) = thread::Builder::new().name("inspector".to_owned()).spawn(live) {
            all.push((stream, thread));
        }
    }
}

/// What all clients of a machine share.
#[derive(Debug)]
struct Host {
    exposed: Arc<Exposed>,
    name: Arc<Name>,
    since: Instant,
}

struct Client<'h> {
    host: &'h Host,
    stream: &'h UnixStream,
    is_writable: bool,
    touched: Touched,
    pins: Option<Pins>,
}

/// What a client has changed about who is held.
#[derive(Debug, Default)]
struct Touched {
    /// Ran, and was stopped by the client.
    stopped: BTreeSet<u32>,
    /// Was held by somebody else, and the client let it go.
    let_go: BTreeSet<u32>,
}

impl Touched {
    /// The client stops a CPU, or all; `held` says who is held now.
    fn stops(&mut self, cpu: Option<u32>, held: &[bool]) {
        for n in which(cpu, held).filter(|n| !held[*n as usize]) {
            // What it let go itself is back where it was.
            if !self.let_go.remove(&n) {
                self.stopped.insert(n);
            }
        }
    }

    /// The client lets a CPU, or all, go on.
    fn goes(&mut self, cpu: Option<u32>, held: &[bool]) {
        for n in which(cpu, held).filter(|n| held[*n as usize]) {
            if !self.stopped.remove(&n) {
                self.let_go.insert(n);
            }
        }
    }
}

/// The CPUs that a request is about, as far as they exist.
fn which(cpu: Option<u32>, held: &[bool]) -> impl Iterator<Item = u32> + use<> {
    (0..held.len() as u32).filter(move |n| cpu.is_none_or(|cpu| cpu == *n))
}

impl Client<'_> {
    fn serve(&mut self) -> io::Result<()> {
        if !is_ours(self.stream) {
            let why = "this VM belongs to another user".to_owned();
            return wire::send(self.stream, &refused(why), 4096);
        }
        self.stream.set_read_timeout(Some(PATIENCE))?;
        match wire::receive(self.stream, MAX_REQUEST)? {
            Some(Request::Hello { version: VERSION, writable }) => self.is_writable = writable,
            Some(Request::Hello { version, .. }) => {
                let why = format!(
                    "it speaks version {VERSION} of the session protocol, and you speak {version}: use the same umpire"
                );
                return wire::send(self.stream, &refused(why), 4096);
            }
            _ => return wire::send(self.stream, &refused("say hello first".to_owned()), 4096),
        }
        match self.host.exposed.view.memory().share() {
            Ok(memory) => wire::send_with(self.stream, &Reply::Welcome(self.host.welcome()), &memory)?,
            Err(e) => return wire::send(self.stream, &refused(e.to_string()), 4096),
        }
        self.stream.set_read_timeout(None)?;
        while let Some(request) = wire::receive(self.stream, MAX_REQUEST)? {
            if let Request::Gdb { is_ours } = request {
                return self.debug(is_ours);
            }
            let reply = self.answer(request);
            wire::send(self.stream, &reply, wire::MAX_REPLY)?;
        }
        Ok(())
    }

    fn answer(&mut self, request: Request) -> Reply {
        let view = &self.host.exposed.view;
        match request {
            Request::Hello { .. } => refused("you have said hello before".to_owned()),
            Request::Gdb { .. } => refused("it is the last request of a session".to_owned()),
            Request::Clocks => {
                let clocks = view.clocks();
                let times = |cpu| CpuTimes {
                    ran_ns: clocks.ran_ns(cpu),
                    steal_ns: clocks.steal_ns_of(cpu),
                    is_ready: clocks.is_ready(cpu),
                };
                Reply::Clocks((0..clocks.len()).map(times).collect())
            }
            Request::Registers { cpu } => Reply::Registers(view.registers(cpu as usize)),
            Request::Standing { cpu, kick } => {
                let cpu = cpu as usize;
                Reply::Standing(if kick { view.standing(cpu) } else { view.standing_still(cpu) })
            }
            Request::Console => Reply::Text(view.console_so_far()),
            Request::Verdicts => {
                let verdicts = self.host.exposed.bulletin.read(view.is_frozen());
                Reply::Verdicts(umpire_watch::glass::Verdicts { writes: view.writes(), ..verdicts })
            }
            Request::Held => Reply::Held(view.are_held()),
            Request::Stop { cpu } => {
                self.touched.stops(cpu, &view.are_held());
                done(view.hold(cpu))
            }
            Request::Go { cpu } => {
                self.touched.goes(cpu, &view.are_held());
                done(view.let_go(cpu))
            }
            Request::Pin => match view.pin(None) {
                Ok(pins) => {
                    self.pins = Some(pins);
                    Reply::Done
                }
                Err(e) => refused(e.to_string()),
            },
            Request::Unpin => {
                self.pins = None;
                Reply::Done
            }
            Request::Write(poke) => self.write(&poke),
            Request::End => {
                self.host.exposed.end();
                done(view.let_go(None))
            }
        }
    }

    /// From here on the session is gdb's.
    fn debug(&self, is_ours: bool) -> io::Result<()> {
        let exposed = &self.host.exposed;
        if !self.is_writable {
            let why = "gdb writes: attach with that said".to_owned();
            return wire::send(self.stream, &refused(why), wire::MAX_REPLY);
        }
        let debugger = match Debugger::attach(&exposed.writer) {
            Ok(debugger) => debugger,
            Err(e) => return wire::send(self.stream, &refused(e.to_string()), wire::MAX_REPLY),
        };
        wire::send(self.stream, &Reply::Done, wire::MAX_REPLY)?;
        // A gdb whose user thinks takes its time.
        self.stream.set_write_timeout(None)?;
        gdb::serve(&debugger, exposed, self.stream.try_clone()?.into(), is_ours).map_err(io::Error::other)
    }

    fn write(&self, Poke { what, addr, bytes, value }: &Poke) -> Reply {
        if !self.is_writable {
            return refused("target is not open for writing: attach with -w".to_owned());
        }
        match self.host.exposed.writer.write(what, *addr, *value, *bytes) {
            Ok(written) => Reply::Written(written),
            Err(e) => refused(e.to_string()),
        }
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        for cpu in &self.touched.stopped {
            // A CPU that exists can be let go.
            let _gone_on = self.host.exposed.view.let_go(Some(*cpu));
        }
    }
}

impl Host {
    fn welcome(&self) -> Welcome {
        let Exposed { view, identity, period_ns, gdb, .. } = &*self.exposed;
        Welcome {
            version: VERSION,
            name: self.name.as_str().to_owned(),
            pid: std::process::id(),
            kind: view.kind().name().to_owned(),
            identity: identity.clone(),
            build_id: crate::build_id(&GUEST_IMAGE).unwrap_or_default(),
            is_held: view.is_frozen(),
            held: view.are_held(),
            age_ms: self.since.elapsed().as_millis() as u64,
            period_ns: *period_ns,
            gdb: gdb.get().cloned(),
        }
    }
}

fn done(result: Result<(), HoldError>) -> Reply {
    result.map_or_else(|e| refused(e.to_string()), |()| Reply::Done)
}

fn refused(why: String) -> Reply {
    Reply::Refused { why }
}

/// True if the process at the other end is of this user, or root's.
pub(crate) fn is_ours(stream: &UnixStream) -> bool {
    let peer = rustix::net::sockopt::socket_peercred(stream);
    peer.is_ok_and(|peer| peer.uid == geteuid() || peer.uid.is_root())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client owes after these requests (`true` stops), of a machine of which these CPUs were held before.
    fn owed(mut held: Vec<bool>, requests: &[(bool, Option<u32>)]) -> Vec<u32> {
        let mut touched = Touched::default();
        for &(is_stop, cpu) in requests {
            if is_stop {
                touched.stops(cpu, &held)
            } else {
                touched.goes(cpu, &held)
            }
            which(cpu, &held).for_each(|n| held[n as usize] = is_stop);
        }
        touched.stopped.into_iter().collect()
    }

    #[test]
    fn what_a_client_stopped_goes_on_and_what_was_held_before_stays_held() {
        assert_eq!(owed(vec![false, false], &[(true, None)]), [0, 1]);
        assert_eq!(owed(vec![false, false], &[(true, Some(1)), (false, None)]), [0; 0]);
        assert_eq!(owed(vec![true, false], &[(true, None)]), [1]);
        assert_eq!(owed(vec![true, true], &[(false, Some(0)), (true, None)]), [0; 0]);
        assert_eq!(owed(vec![true, true], &[(false, None), (true, Some(1))]), [0; 0]);
        assert_eq!(owed(vec![false, true], &[(true, Some(7)), (false, Some(9))]), [0; 0]);
    }
}
