//! What gdb's packets do to a machine, and that no bytes, whatever they are, make the server panic.
//!
//! # Invariants
//! - The machine is a double: each packet's answer is compared, and what it changed.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;

use rustix::event::{EventfdFlags, eventfd};
use umpire_machine::{DebugError, Go, HoldError, Registers, Stop, Why};

use super::converse::{End, converse};
use super::target::{Debugged, Monitor};

/// A machine of two vCPUs and 64 KiB, which stops at once whenever it is let go.
struct Double {
    bell: OwnedFd,
    memory: RefCell<Vec<u8>>,
    registers: RefCell<[Registers; 2]>,
    breakpoints: RefCell<Vec<u64>>,
    plans: RefCell<Vec<Vec<Go>>>,
}

impl Double {
    fn new() -> Double {
        Double {
            bell: eventfd(0, EventfdFlags::NONBLOCK).expect("an eventfd"),
            memory: RefCell::new((0..=255).cycle().take(64 << 10).collect()),
            registers: RefCell::new(std::array::from_fn(|n| Registers {
                rip: 0x1000 + n as u64,
                cs: 0x23,
                ..Registers::default()
            })),
            breakpoints: RefCell::default(),
            plans: RefCell::default(),
        }
    }

    fn range(addr: u64, len: usize) -> Option<std::ops::Range<usize>> {
        let at = usize::try_from(addr).ok()?;
        at.checked_add(len).filter(|end| *end <= 64 << 10).map(|end| at..end)
    }
}

impl Debugged for Double {
    fn ncpus(&self) -> u32 {
        2
    }

    fn bell(&self) -> &OwnedFd {
        &self.bell
    }

    fn next_stop(&self) -> Option<Stop> {
        rustix::io::read(&self.bell, &mut [0; 8]).ok().map(|_| Stop { cpu: 1, why: Why::Breakpoint(0x1001) })
    }

    fn has_ended(&self) -> bool {
        false
    }

    fn hold(&self) -> Result<(), HoldError> {
        Ok(())
    }

    fn settle(&self) -> Result<(), HoldError> {
        Ok(())
    }

    fn go(&self, plan: &[Go]) {
        self.plans.borrow_mut().push(plan.to_vec());
        rustix::io::write(&self.bell, &1_u64.to_ne_bytes()).expect("not full");
    }

    fn registers(&self, cpu: u32) -> Option<(Registers, bool)> {
        self.registers.borrow().get(cpu as usize).map(|registers| (*registers, cpu == 0))
    }

    fn set_registers(&self, cpu: u32, registers: Registers) -> Result<(), DebugError> {
        let mut all = self.registers.borrow_mut();
        *all.get_mut(cpu as usize).ok_or(HoldError::Runs(cpu))? = registers;
        Ok(())
    }

    fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        let Some(range) = Double::range(addr, out.len()) else { return false };
        out.copy_from_slice(&self.memory.borrow()[range]);
        true
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), DebugError> {
        let range = Double::range(addr, bytes.len())
            .ok_or(DebugError::NoPlace { addr, why: "there is no memory" })?;
        self.memory.borrow_mut()[range].copy_from_slice(bytes);
        Ok(())
    }

    fn set_breakpoint(&self, addr: u64) -> Result<(), DebugError> {
        Double::range(addr, 1).ok_or(DebugError::NoPlace { addr, why: "there is no memory" })?;
        self.breakpoints.borrow_mut().push(addr);
        Ok(())
    }

    fn clear_breakpoint(&self, addr: u64) -> bool {
        let mut all = self.breakpoints.borrow_mut();
        let found = all.iter().position(|at| *at == addr);
        found.map(|n| all.remove(n)).is_some()
    }
}

fn packet(text: &str) -> String {
    let sum = text.bytes().fold(0_u8, u8::wrapping_add);
    format!("${text}#{sum:02x}")
}

/// What the server says to these bytes, and how it ends.
fn say(double: &Double, bytes: &[u8]) -> (String, Result<End, String>) {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let monitor = Monitor(Box::new(|text| format!("you said {text}\n")));
    // More than a socket takes is not said here: nobody reads meanwhile.
    ours.write_all(bytes).expect("room for all of it");
    ours.shutdown(std::net::Shutdown::Write).expect("connected");
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        ours.read_to_end(&mut said).map(|_| said)
    });
    let end = converse(double, Some(&monitor), theirs.into(), &AtomicBool::new(false));
    let said = reader.join().expect("no panic").unwrap_or_default();
    (String::from_utf8_lossy(&said).into_owned(), end)
}

/// The answers to these packets, without their frames.
fn answers(double: &Double, packets: &[&str]) -> Vec<String> {
    let bytes: String = packets.iter().map(|text| packet(text)).collect();
    let (said, _) = say(double, bytes.as_bytes());
    said.split('$')
        .skip(1)
        .filter_map(|answer| answer.split_once('#'))
        .map(|(text, _)| text.to_owned())
        .collect()
}

#[test]
fn threads_memory_and_registers_are_answered_by_number() {
    let double = Double::new();
    let said = answers(
        &double,
        &[
            "?",
            "qfThreadInfo",
            "m10,4",
            "M20,2:abcd",
            "m20,2",
            "Hg2",
            "p10",
            "p0",
            "P10=0800000000000000",
            "p10",
        ],
    );
    assert_eq!(
        said,
        [
            "T05thread:01;",
            "m01,02",
            "10111213",
            "OK",
            "abcd",
            "OK",
            // Bytes of vCPU 1's rip, with gdb's run lengths.
            "0110*)",
            // rax of vCPU 1 is not known.
            "x*,",
            "OK",
            "080**",
        ],
        "{said:?}"
    );
}

#[test]
fn resumption_says_who_runs_and_who_steps() {
    let double = Double::new();
    answers(&double, &["vCont;s:2;c"]);
    answers(&double, &["vCont;s:2"]);
    answers(&double, &["vCont;r1000,1010:1;c"]);
    answers(&double, &["vCont;c"]);
    assert_eq!(
        *double.plans.borrow(),
        [
            vec![Go::On, Go::Step(0..0)],
            vec![Go::Stay, Go::Step(0..0)],
            vec![Go::Step(0x1000..0x1010), Go::On],
            vec![Go::On, Go::On],
        ]
    );
    let said = answers(&double, &["vCont;c"]);
    assert_eq!(said, ["T05thread:02;swbreak:;"]);
}

#[test]
fn breakpoints_are_set_and_cleared_and_what_this_host_cannot_do_is_unsupported() {
    let double = Double::new();
    let said =
        answers(&double, &["Z0,1000,1", "Z0,fffff000,1", "Z1,1000,1", "Z2,1000,8", "Z3,1000,8", "Z4,1000,8"]);
    assert_eq!(said[0], "OK");
    assert!(said[1].starts_with('E'), "{said:?}");
    assert_eq!(said[2..], ["", "", "", ""]);
    assert_eq!(*double.breakpoints.borrow(), [0x1000]);
    assert_eq!(answers(&double, &["z0,1000,1"]), ["OK"]);
    assert!(double.breakpoints.borrow().is_empty());
}

#[test]
fn gdb_finds_its_program_and_its_description_and_may_ask_the_monitor() {
    let double = Double::new();
    let said = answers(&double, &["qSupported:multiprocess+;swbreak+", "qXfer:exec-file:read::0,fff"]);
    assert!(
        said[0].contains("qXfer:exec-file:read+") && said[0].contains("qXfer:features:read+"),
        "{said:?}"
    );
    // The next part, of nothing, says that this was the last.
    assert_eq!(said[1], "m/umpire-guest");
    let said = answers(&double, &["qXfer:features:read:target.xml:0,7fff"]);
    assert!(said[0].starts_with('m') && said[0].contains("i386:x86-64"), "{said:?}");
    let open = |name: &[u8], flags| {
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        answers(&double, &[&format!("vFile:open:{name},{flags},0")]).remove(0)
    };
    assert_eq!(open(b"/umpire-guest", "0"), "F03");
    assert_eq!(open(b"/umpire-guest", "1"), "F-1,0d");
    assert_eq!(open(b"/etc/passwd", "0"), "F-1,02");
    let said = answers(&double, &["vFile:pread:3,4,0", "qRcmd,3a3a7073"]);
    assert_eq!(said[0], "F04;\u{7f}ELF");
    assert!(said[1].starts_with('O'), "{said:?}");
}

#[test]
fn detaching_killing_and_leaving_end_the_conversation() {
    let double = Double::new();
    assert_eq!(say(&double, packet("D").as_bytes()).1, Ok(End::Left));
    assert_eq!(say(&double, packet("k").as_bytes()).1, Ok(End::Kill));
    assert_eq!(say(&double, packet("vCont;c").as_bytes()).1, Ok(End::Left));
    assert_eq!(say(&double, b"").1, Ok(End::Left));
}

#[test]
fn bytes_that_are_no_packets_or_wild_ones_never_panic() {
    let double = Double::new();
    let seeds = [
        "?",
        "g",
        "G",
        "m0,10",
        "mffffffffffffffff,20",
        "m0,ffffffffffffffff",
        "M0,4:00",
        "Mffff,8:0011223344556677",
        "X0,0:",
        "p0",
        "p3b",
        "pffffffffffffffff",
        "P10=00",
        "P28=00",
        "Hg0",
        "Hg-1",
        "Hg7fffffffffffffff",
        "Hcp1.2",
        "vCont?",
        "vCont;s:1",
        "vCont;c",
        "vCont;r0,ffffffffffffffff:1",
        "vCont;s",
        "vCont;s:9",
        "s",
        "c",
        "Z0,ffffffffffffffff,1",
        "z0,0,1",
        "Z2,0,ffffffffffffffff",
        "qSupported:",
        "qXfer:features:read:target.xml:ffff,1",
        "qXfer:features:read:x:0,1",
        "qXfer:exec-file:read:1:ffffffffffffffff,ffff",
        "vFile:open:2f,0,0",
        "vFile:pread:3,ffffffff,ffffffffffffffff",
        "vFile:fstat:3",
        "vFile:close:9",
        "qRcmd,",
        "qRcmd,zz",
        "T9",
        "D",
        "qThreadExtraInfo,7fffffffffffffff",
        "\u{3}",
        "}",
        "*",
    ];
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize % below
    };
    for round in 0..4000 {
        let mut bytes = Vec::new();
        for _ in 0..1 + draw(4) {
            let mut text = seeds[draw(seeds.len())].as_bytes().to_vec();
            if !text.is_empty() && round % 3 > 0 {
                let at = draw(text.len());
                match draw(3) {
                    0 => text[at] = draw(256) as u8,
                    1 => text.truncate(at),
                    _ => text.insert(at, b"0123456789abcdef,;:*}#$"[draw(23)]),
                }
            }
            let sum = text.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
            bytes.push(b'$');
            bytes.extend(text);
            bytes.extend(format!("#{sum:02x}").bytes());
        }
        if round % 7 == 0 {
            bytes.truncate(draw(bytes.len() + 1));
        }
        // What it answers is its affair; that it comes back without a panic is what is asked.
        let _said = say(&double, &bytes);
    }
}
