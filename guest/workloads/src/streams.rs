//! Workloads over STREAMS.
//!
//! # Invariants
//! - What comes back is what was sent, in its order: a difference is a panic that says so.

use crate::turn::finish_turn;
use umpire_kernel::Kthread;
use umpire_kernel::streams::modules::DRIVERS;
use umpire_kernel::streams::queue::Fmodsw;
use umpire_kernel::streams::stdata::Stdata;
use umpire_kernel::streams::strops::{find_module, strclose, stropen, strpush};
use umpire_kernel::streams::strread::{Wait, strread, strwrite};
use umpire_shared::work::streams::{Module, StreamEcho, Streams};

umpire_shared::streams_workloads!();

/// Bytes that are written and read at a time.
const PIECE: usize = 256;

/// Writes to a stream and reads back what the loopback driver at its end returns.
fn stream_echo(t: &'static Kthread, work: StreamEcho) {
    let StreamEcho { modules, module, bytes, think_us, rest_ticks, reopen } = work;
    let driver =
        DRIVERS.iter().find(|fp| fp.f_name == "loop").expect("invariant: a loopback driver is there");
    let mut stp = open(driver, modules, module);
    let mut turn: u64 = 0;
    loop {
        let mut left = bytes as usize;
        while left != 0 {
            let n = left.min(PIECE);
            echo(stp, turn, n);
            left -= n;
        }
        turn += 1;
        if reopen != 0 && turn.is_multiple_of(reopen) {
            strclose(stp, driver);
            stp = open(driver, modules, module);
        }
        finish_turn(t, think_us, rest_ticks);
    }
}

fn open(driver: &'static Fmodsw, modules: u64, module: Module) -> &'static Stdata {
    let stp = stropen(driver, 0)
        .unwrap_or_else(|e| panic!("stream_echo: open the driver: errno {e}; raise strmem"));
    let name = Module::WORDS[module as usize];
    let module = find_module(name).expect("invariant: every word is a module");
    for _ in 0..modules {
        strpush(stp, module).unwrap_or_else(|e| panic!("stream_echo: push {name}: errno {e}; raise strmem"));
    }
    stp
}

fn echo(stp: &'static Stdata, turn: u64, n: usize) {
    let mut piece = [0_u8; PIECE];
    piece[..n].iter_mut().enumerate().for_each(|(k, byte)| *byte = b'a' + ((turn as usize + k) % 26) as u8);
    let mut back = [0_u8; PIECE];
    let wrote = strwrite(stp, &piece[..n], Wait::Block);
    assert_eq!(wrote, Ok(n), "stream_echo: write");
    let mut got = 0;
    while got < n {
        match strread(stp, &mut back[got..n], Wait::Block) {
            Ok(more) if more != 0 => got += more,
            other => panic!("stream_echo: read {n} bytes: {other:?} after {got}"),
        }
    }
    assert!(piece[..n] == back[..n], "stream_echo: another message came back than was sent");
}
