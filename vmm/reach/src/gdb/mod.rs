//! gdb's remote protocol, served to whoever of this user asks: over a session, a socket of the file system, or a port of the loopback.
//!
//! - `address`: where.
//! - `arch`: gdb's registers; `files`: the guest's image for gdb; `target`: the guest as gdb's stub asks for it.
//! - `line` and `converse`: one gdb.
//!
//! # Invariants
//! - The machine's process serves; a gdb is a client as an inspector is one. It has one thread here, and none of it is a thread of the
//!   machine or of the sampler.
//! - When a gdb is gone, however it went, its breakpoints are gone and the machine goes on. When the run is over, gdb is told so.
//! - A port can be reached by every user of this host: it is opened only where it was asked for by number.

mod address;
mod arch;
mod converse;
mod files;
mod line;
mod target;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use umpire_machine::Debugger;
use umpire_machine::confine::{self, Role};

pub use address::Address;
pub use target::Monitor;

use crate::names::{Directory, Name, bind_private};
use crate::server::{Exposed, is_ours};
use converse::{End, converse};

/// What to type to debug the machine that is served at an address. There are no hardware watchpoints, which gdb would ask for.
pub fn command(address: &str) -> String {
    format!("gdb -iex 'set can-use-hw-watchpoints 0' -ex 'target remote {address}'")
}

/// Gdbs that may knock at once; one of them debugs.
const MAX_CLIENTS: usize = 8;

/// Listens at an address, for as long as it is wanted.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// As gdb's `target remote` takes it.
    address: String,
    /// Keeps the name of a socket of our own.
    _name: Option<Name>,
    /// The path of a socket that is to be removed.
    path: Option<PathBuf>,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Begins to listen; a socket of its own is called `name`.
    ///
    /// # Errors
    /// If the host refuses, or something is at the path already.
    pub fn bind(address: &Address, directory: &Directory, name: &str) -> io::Result<Listener> {
        let told = |e: io::Error| io::Error::new(e.kind(), format!("cannot serve gdb at {address}: {e}"));
        match address {
            Address::Own => {
                let folder = Directory::at(directory.path().join("gdb"))?;
                let (name, socket) = folder.claim(&[name.to_owned()])?;
                let address = folder.path().join(name.as_str()).display().to_string();
                Ok(Listener { socket: Socket::Unix(socket), address, _name: Some(name), path: None })
            }
            Address::Path(path) => {
                match fs::symlink_metadata(path) {
                    Ok(found) if found.is_dir() => {
                        let what = "it is a directory; give the path that the socket is to have";
                        return Err(told(io::Error::other(what)));
                    }
                    Ok(found) if !is_socket(&found) => {
                        return Err(told(io::Error::other(
                            "there is a file of that name already; give another",
                        )));
                    }
                    _ => {}
                }
                if UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
                    // Left by a process that is gone.
                    fs::remove_file(path).map_err(told)?;
                }
                let socket = bind_private(path).map_err(told)?;
                let (address, path) = (path.display().to_string(), Some(path.clone()));
                Ok(Listener { socket: Socket::Unix(socket), address, _name: None, path })
            }
            Address::Port(port) => {
                let socket = TcpListener::bind(port).map_err(told)?;
                let address = socket.local_addr().map_err(told)?.to_string();
                Ok(Listener { socket: Socket::Tcp(socket), address, _name: None, path: None })
            }
        }
    }

    /// Where it listens, as gdb's `target remote` takes it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits for the next one to connect, and says whether it is known to be of this user; one that is known to be of another is
    /// not heard.
    ///
    /// # Errors
    /// What the host says; also when the listener was shut down.
    pub fn accept(&self) -> io::Result<(OwnedFd, bool)> {
        loop {
            let accepted = match &self.socket {
                Socket::Unix(socket) => {
                    socket.accept().map(|(stream, _)| is_ours(&stream).then(|| (OwnedFd::from(stream), true)))
                }
                Socket::Tcp(socket) => socket.accept().map(|(stream, _)| {
                    // Packets are short and each waits for its answer.
                    let _as_it_is = stream.set_nodelay(true);
                    Some((OwnedFd::from(stream), false))
                }),
            };
            match accepted {
                Ok(Some(accepted)) => return Ok(accepted),
                Ok(None) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Ends [`Listener::accept`], now and from now on.
    pub fn shut(&self) {
        // A listener that is shut down ends `accept`.
        let _ended = match &self.socket {
            Socket::Unix(socket) => shutdown(socket, Shutdown::Both),
            Socket::Tcp(socket) => shutdown(socket, Shutdown::Both),
        };
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _gone = fs::remove_file(path);
        }
    }
}

fn is_socket(found: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&found.file_type())
}

/// Serves one gdb until it is gone. The monitor's commands can write files of this user's, so only who `is_ours` has them.
///
/// # Errors
/// Why it cannot be served; or what it said that is no packet.
pub(crate) fn serve(
    debugger: &Debugger,
    exposed: &Exposed,
    socket: OwnedFd,
    is_ours: bool,
) -> Result<(), String> {
    let monitor = exposed.monitor.as_ref().filter(|_| is_ours);
    let end = converse(debugger, monitor, socket, &exposed.is_over)?;
    if end == End::Kill {
        exposed.end();
    }
    Ok(())
}

/// Serves gdb for a machine at an address, until it is dropped.
#[derive(Debug)]
pub struct Gdb {
    listener: Arc<Listener>,
    clients: Arc<Clients>,
    acceptor: Option<JoinHandle<()>>,
}

/// Those that have connected: a descriptor each, by which it is cut off, and its thread. The lock is never held while something is
/// waited for.
#[derive(Debug, Default)]
struct Clients(Mutex<Vec<(OwnedFd, JoinHandle<()>)>>);

impl Gdb {
    /// Serves from now on.
    ///
    /// # Errors
    /// If the host refuses a thread.
    pub fn serve(listener: Listener, exposed: Arc<Exposed>) -> io::Result<Gdb> {
        let (listener, clients) = (Arc::new(listener), Arc::<Clients>::default());
        let (accepts, theirs) = (Arc::clone(&listener), Arc::clone(&clients));
        let live = move || accept(&accepts, &exposed, &theirs);
        let acceptor = thread::Builder::new().name("gdb-listener".to_owned()).spawn(live)?;
        Ok(Gdb { listener, clients, acceptor: Some(acceptor) })
    }

    /// Where, as gdb's `target remote` takes it.
    pub fn address(&self) -> &str {
        self.listener.address()
    }
}

impl Drop for Gdb {
    fn drop(&mut self) {
        self.listener.shut();
        let _joined = self.acceptor.take().map(JoinHandle::join);
        let clients = std::mem::take(&mut *self.clients.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (socket, thread) in clients {
            // A gdb that waits for the guest has just been told that it ended: the rest of what was said still reaches it.
            let _cut = shutdown(&socket, Shutdown::Read);
            let _joined = thread.join();
        }
    }
}

fn accept(listener: &Listener, exposed: &Arc<Exposed>, clients: &Clients) {
    // Each gdb is served by a thread of this one's, which has what this one has.
    let _confined = confine::enter(Role::Service);
    loop {
        let (socket, is_ours) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(_) if exposed.is_over.load(Ordering::Acquire) => return,
            // It was shut down.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => return,
            // Too many open files, say: the others go on.
            Err(_) => {
                thread::sleep(Duration::from_millis(10));
                continue;
            }
        };
        let mut all = clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, thread)| !thread.is_finished());
        let Ok(own) = socket.as_fd().try_clone_to_owned() else { continue };
        if all.len() >= MAX_CLIENTS {
            continue;
        }
        let exposed = Arc::clone(exposed);
        let live = move || {
            // The second gdb finds its connection closed. One that breaks the protocol has only itself to blame.
            if let Ok(debugger) = Debugger::attach(&exposed.writer) {
                let _ended =
                    own.as_fd().try_clone_to_owned().map(|to| serve(&debugger, &exposed, to, is_ours));
            }
            let _closed = shutdown(&own, Shutdown::Both);
        };
        if let Ok(thread) = thread::Builder::new().name("gdb".to_owned()).spawn(live) {
            all.push((socket, thread));
        }
    }
}
