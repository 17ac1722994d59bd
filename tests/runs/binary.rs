//! The `umpire` binary as a user runs it: arguments in, two streams and an exit code out, within bounded time.
//!
//! # Invariants
//! - A process that does not end in time is killed, and the test that started it fails with what the process had said.
//! - The environment is the same for every test: no colour, no terminal, nothing of the caller's `UMPIRE_*`.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Far beyond what any run here needs, and short enough to fail rather than hang.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What a finished process said, and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub out: String,
    /// What it wrote to stderr.
    pub err: String,
}

/// Runs `umpire` with these arguments to its end.
pub fn umpire<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Said {
    let mut command = command();
    command.args(arguments);
    finish(spawn(&mut command))
}

/// `umpire` without arguments, for a test that needs more than [`umpire`] gives.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_umpire"));
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env("TERM", "dumb");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts it.
pub fn spawn(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"))
}

/// Waits for its end, which must come within [`LIMIT`].
pub fn finish(mut child: Child) -> Said {
    let pid = pid(&child);
    let out = reader(child.stdout.take());
    let err = reader(child.stderr.take());
    let (tell, told) = mpsc::channel();
    let waiter = thread::spawn(move || {
        // If the limit has passed, there is no listener any more.
        let _ = tell.send(child.wait());
    });
    let ended = told.recv_timeout(LIMIT);
    if ended.is_err() {
        // If it ended at this very moment, no other process has its ID yet: an ID comes back only after all others were used.
        let _ = kill_process(pid, Signal::KILL);
    }
    waiter.join().expect("the waiter only waits");
    let (out, err) = (text(out), text(err));
    match ended {
        Ok(status) => Said { code: status.expect("a child can be waited for").code(), out, err },
        Err(_) => panic!("umpire did not end within {LIMIT:?}; stdout:\n{out}\nstderr:\n{err}"),
    }
}

/// Its process ID.
pub fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Collects a stream as it comes, so that a full pipe never stops the process.
fn reader(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before an error is still worth showing.
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text(reader: thread::JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().expect("the reader only reads")).into_owned()
}
