//! A conversation with gdb, from its first byte to its last.
//!
//! # Invariants
//! - It ends when gdb detaches, kills the guest, goes away or sends what is no packet, and when the machine's run is over: gdb is then
//!   told that its program has ended.
//! - However it ends, the debugger that it holds is dropped by its caller: the machine goes on.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use gdbstub::common::Signal;
use gdbstub::conn::Connection;
use gdbstub::stub::state_machine::GdbStubStateMachine;
use gdbstub::stub::{DisconnectReason, GdbStubBuilder, MultiThreadStopReason};
use umpire_machine::{Go, Stop, Why};

use super::line::{Heard, Line};
use super::target::{Debugged, Guest, Monitor, tid_of};

/// Bytes that a packet may have.
const PACKET: usize = 64 << 10;

/// How a conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// gdb let the guest go, or went away.
    Left,
    /// gdb wants the run to end.
    Kill,
}

/// Converses until it is over; `is_over` becomes true, with a ring of the bell, when the run is.
pub(super) fn converse<D: Debugged>(
    debugged: &D,
    monitor: Option<&Monitor>,
    socket: OwnedFd,
    is_over: &AtomicBool,
) -> Result<End, String> {
    let mut guest = Guest::of(debugged, monitor);
    let told = |e: &dyn std::fmt::Display| e.to_string();
    let stub = GdbStubBuilder::new(Line::over(socket)).packet_buffer_size(PACKET).build();
    let mut state =
        stub.map_err(|e| told(&e))?.run_state_machine(&mut guest).map_err(|e| format!("{e:?}"))?;
    loop {
        let next = match state {
            GdbStubStateMachine::Idle(mut idle) => match idle.borrow_conn().read() {
                Ok(Some(byte)) => idle.incoming_data(&mut guest, byte),
                Ok(None) | Err(_) => return Ok(End::Left),
            },
            GdbStubStateMachine::Running(mut running) => {
                // The ring that told of the end may have been spent on a stop that came at the same time.
                let heard = match is_over.load(Ordering::Acquire) {
                    true => Heard::Bell,
                    false => running.borrow_conn().listen(debugged.bell()).map_err(|e| told(&e))?,
                };
                match heard {
                    Heard::Byte(byte) => running.incoming_data(&mut guest, byte),
                    Heard::End => return Ok(End::Left),
                    Heard::Bell => match reason(debugged, is_over) {
                        Some(reason) => running.report_stop(&mut guest, reason),
                        None => Ok(running.into()),
                    },
                }
            }
            GdbStubStateMachine::CtrlCInterrupt(interrupt) => {
                debugged.hold().map_err(|e| told(&e))?;
                let reason =
                    MultiThreadStopReason::SignalWithThread { tid: tid_of(0), signal: Signal::SIGINT };
                interrupt.interrupt_handled(&mut guest, Some(reason))
            }
            GdbStubStateMachine::Disconnected(mut gone) => {
                return Ok(match gone.get_reason() {
                    DisconnectReason::Kill => {
                        // The stub leaves it to us. A gdb that does not wait for it is gone already.
                        let line = gone.borrow_conn();
                        let _told = line.write_all(b"$OK#9a").and_then(|()| line.flush());
                        End::Kill
                    }
                    // Who detaches wants it to go on, whoever else has stopped it; who is cut off has said nothing.
                    _ => {
                        debugged.go(&vec![Go::On; debugged.ncpus() as usize]);
                        End::Left
                    }
                });
            }
        };
        state = next.map_err(|e| format!("{e:?}"))?;
    }
}

/// What gdb is to be told when the bell has rung, if there is anything.
fn reason(debugged: &impl Debugged, is_over: &AtomicBool) -> Option<MultiThreadStopReason<u64>> {
    if let Some(Stop { cpu, why }) = debugged.next_stop() {
        // One that does not come out is seen when gdb asks for its registers.
        let _stuck = debugged.settle();
        let tid = tid_of(cpu);
        return Some(match why {
            Why::Breakpoint(_) => MultiThreadStopReason::SwBreak(tid),
            Why::Step => MultiThreadStopReason::SignalWithThread { tid, signal: Signal::SIGTRAP },
            Why::Ended => MultiThreadStopReason::SignalWithThread { tid, signal: Signal::SIGABRT },
        });
    }
    let ended = match debugged.has_ended() {
        true => MultiThreadStopReason::Terminated(Signal::SIGABRT),
        false => MultiThreadStopReason::Exited(0),
    };
    is_over.load(Ordering::Acquire).then_some(ended)
}
