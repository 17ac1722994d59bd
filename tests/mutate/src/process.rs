//! A program that is watched: its lines as they come, and an end if none come any more.
//!
//! # Invariants
//! - The program is gone when this returns, whatever it did.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code; none if a signal ended it.
    Exited(Option<i32>),
    /// It said nothing for too long.
    Silent,
    /// Whoever read it had seen enough.
    Enough,
}

/// Runs a program and shows each line of its output to `see`, until that returns false. Gives the end and what the program said
/// on its other stream.
///
/// # Errors
///
/// The program cannot be run.
pub fn watch(
    mut command: Command,
    silence: Duration,
    mut see: impl FnMut(&str) -> bool,
) -> Result<(End, String), String> {
    let name = format!("{command:?}");
    let cannot = |e: std::io::Error| format!("cannot run {name}: {e}");
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(cannot)?;
    let (lines, coming) = mpsc::channel();
    let stdout = child.stdout.take().expect("invariant: it was asked for");
    let stderr = child.stderr.take().expect("invariant: it was asked for");
    let reader = thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    let narrator = thread::spawn(move || {
        let mut said = Vec::new();
        let _ = BufReader::new(stderr).read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    let end = loop {
        match coming.recv_timeout(silence) {
            Ok(line) if see(&line) => {}
            Ok(_) => break kill(&mut child, End::Enough),
            Err(RecvTimeoutError::Timeout) => break kill(&mut child, End::Silent),
            Err(RecvTimeoutError::Disconnected) => break End::Exited(child.wait().map_err(cannot)?.code()),
        }
    };
    drop(coming);
    let _ = reader.join();
    Ok((end, narrator.join().unwrap_or_default()))
}

fn kill(child: &mut Child, end: End) -> End {
    // A program that has just ended by itself is as gone as one that was killed.
    let _ = child.kill();
    let _ = child.wait();
    end
}
