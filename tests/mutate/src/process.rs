//! A program that is watched: its lines as they come, and an end if none come any more.
//!
//! # Invariants
//! - The program is gone when this returns, whatever it did.
//! - Silence is counted in the program's own CPU time: on a busy machine a program that is not let run says nothing either.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Clock ticks a second in which Linux tells a process's times.
const TICKS: u64 = 100;

/// The shortest wait for a line.
const POLL: Duration = Duration::from_millis(100);

/// How many times the silence may last by the wall clock, if the program does not even use its CPU time.
const PATIENCE: u32 = 20;

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
    let (mut spoke, mut used) = (Instant::now(), Duration::ZERO);
    let end = loop {
        match coming.recv_timeout(silence.saturating_sub(cpu_time(child.id()).saturating_sub(used)).max(POLL))
        {
            Ok(line) if see(&line) => (spoke, used) = (Instant::now(), cpu_time(child.id())),
            Ok(_) => break kill(&mut child, End::Enough),
            Err(RecvTimeoutError::Timeout) => {
                let is_silent = cpu_time(child.id()).saturating_sub(used) >= silence;
                if is_silent || spoke.elapsed() >= silence * PATIENCE {
                    break kill(&mut child, End::Silent);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break End::Exited(child.wait().map_err(cannot)?.code()),
        }
    };
    drop(coming);
    let _ = reader.join();
    Ok((end, narrator.join().unwrap_or_default()))
}

/// CPU time that a process has used; none if it cannot be read.
fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may have anything in it; utime and stime are the 12th and 13th fields after it.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks = after.split_ascii_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 1000 / TICKS)
}

fn kill(child: &mut Child, end: End) -> End {
    // A program that has just ended by itself is as gone as one that was killed.
    let _ = child.kill();
    let _ = child.wait();
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_that_is_busy_and_says_nothing_is_ended_and_one_that_waits_is_waited_for() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let silence = Duration::from_millis(200);
        let mut seen = Vec::new();
        let (end, _) = watch(shell("sleep 0.4; echo late"), silence, |line| {
            seen.push(line.to_owned());
            true
        })
        .expect("there is a shell");
        assert_eq!((end, seen), (End::Exited(Some(0)), vec!["late".to_owned()]));
        let (end, _) = watch(shell("while :; do :; done"), silence, |_| true).expect("there is a shell");
        assert_eq!(end, End::Silent);
        let (end, _) = watch(shell("echo a; echo b"), silence, |_| false).expect("there is a shell");
        assert_eq!(end, End::Enough);
    }
}
