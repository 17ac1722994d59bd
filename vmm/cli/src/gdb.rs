//! `umpire gdb NAME`: gdb's remote protocol for a VM that runs in another process.
//!
//! # Invariants
//! - The VM's own process answers gdb; here bytes are carried from one socket to the other. If this process is killed, the VM's sees
//!   the end of the session and goes on.
//! - Each gdb that connects has a session of its own.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use umpire_machine::signals;
use umpire_reach::AttachError;
use umpire_reach::client::Connected;
use umpire_reach::gdb::{Address, Listener};
use umpire_reach::names::Directory;
use umpire_rows::{Column, Kind, Table, json};

use super::args::GdbArgs;
use super::exit::Exit;
use super::streams::Streams;

/// How often is looked whether the service was interrupted.
const POLL: Duration = Duration::from_millis(100);

/// Where a VM's gdb is served.
struct Served {
    name: String,
    address: String,
}

/// Serves the VM that the arguments name, until it ends.
pub(super) fn gdb(args: &GdbArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let directory = match Directory::of_user() {
        Ok(directory) => directory,
        Err(e) => return refused(&e, streams),
    };
    let connected = match Connected::meant(&directory, args.target.as_deref(), args.stdio) {
        Ok(connected) => connected,
        Err(e) => return refused(&e, streams),
    };
    if args.stdio {
        return match connected.into_gdb(true) {
            Ok(line) => relay_stdio(line),
            Err(e) => refused(&e, streams),
        };
    }
    let name = connected.welcome().name.clone();
    // A run with --gdb serves it at its own address, unless another is wanted.
    if let (Address::Own, Some(address)) = (&args.listen, connected.welcome().gdb.clone()) {
        return wait(&connected, &Served { name, address }, args.json, streams);
    }
    let listener = match Listener::bind(&args.listen, &directory, &name) {
        Ok(listener) => Arc::new(listener),
        Err(e) => return refused(&e, streams),
    };
    let served = Served { name: name.clone(), address: listener.address().to_owned() };
    let accepts = Arc::clone(&listener);
    let acceptor = thread::Builder::new().name("gdb-listener".to_owned()).spawn(move || {
        while let Ok((socket, is_ours)) = accepts.accept() {
            let (directory, name) = (directory.clone(), name.clone());
            // It lives as long as its gdb: nobody waits for it.
            let _relay = thread::Builder::new().name("gdb".to_owned()).spawn(move || {
                if let Err(e) = relay(&directory, &name, socket, is_ours) {
                    eprintln!("umpire: {e}");
                }
            });
        }
    })?;
    let exit = wait(&connected, &served, args.json, streams);
    listener.shut();
    let _joined = acceptor.join();
    exit
}

/// Says where gdb finds the VM, and waits until that ends or the command is interrupted.
fn wait(
    connected: &Connected,
    served: &Served,
    is_json: bool,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let Served { name, address } = served;
    if is_json {
        streams.line(&json::line(&table(), served))?;
    } else {
        streams.line(&format!("target remote {address}"))?;
    }
    let command = umpire_reach::gdb::command(address);
    streams.remark(&format!("umpire: {command} debugs {name}; Ctrl-C ends this"));
    while !connected.has_ended(POLL) {
        if signals::interrupted() {
            return Ok(Exit::interrupted());
        }
    }
    streams.remark(&format!("umpire: the VM {name} has ended"));
    Ok(Exit::Pass)
}

/// The schema of a row: where a VM's gdb is served.
fn table() -> Table<Served> {
    let name = Column::new("name", Kind::Text, |s: &Served| s.name.clone());
    let address = Column::new("address", Kind::Text, |s: &Served| s.address.clone());
    Table::new("umpire.gdb/1", vec![name, address])
}

fn refused(error: &dyn std::error::Error, streams: &mut Streams<'_>) -> io::Result<Exit> {
    streams.say(&format!("umpire: {error}"));
    Ok(Exit::Usage)
}

/// Carries bytes between a gdb and the VM until either is gone.
fn relay(directory: &Directory, name: &str, gdb: OwnedFd, is_ours: bool) -> Result<(), AttachError> {
    // What kind of socket it is makes no difference.
    let gdb = UnixStream::from(gdb);
    let vm = Connected::to(directory, name, true)?.into_gdb(is_ours)?;
    let io = |source| AttachError::Io { name: name.to_owned(), source };
    let (mut to_gdb, mut from_vm) = (gdb.try_clone().map_err(io)?, vm.try_clone().map_err(io)?);
    let back = thread::Builder::new().name("gdb-answers".to_owned()).spawn(move || {
        let _end = carry(&mut from_vm, &mut to_gdb);
        let _closed = to_gdb.shutdown(Shutdown::Both);
    });
    let _end = carry(&mut &gdb, &mut &vm);
    let _closed = vm.shutdown(Shutdown::Write);
    let _joined = back.map_err(io)?.join();
    Ok(())
}

/// The same between the VM and the gdb that has started this process.
fn relay_stdio(vm: UnixStream) -> io::Result<Exit> {
    let mut to_vm = vm.try_clone()?;
    // It ends with the process: standard input cannot be shut.
    let _input = thread::Builder::new().name("gdb-input".to_owned()).spawn(move || {
        let _end = carry(&mut io::stdin().lock(), &mut to_vm);
        let _closed = to_vm.shutdown(Shutdown::Write);
    })?;
    let _end = carry(&mut &vm, &mut io::stdout().lock());
    Ok(Exit::Pass)
}

/// Carries bytes as they come, until there are no more.
fn carry(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        match from.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(len) => {
                to.write_all(&bytes[..len])?;
                to.flush()?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn table_is_declared_rightly() {
        assert_eq!(super::table().faults(), [""; 0]);
    }
}
