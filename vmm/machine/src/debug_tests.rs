//! The debugger on real KVM, on a guest of a few instructions with a gate of its own.
//!
//! # Invariants
//! - Without a usable /dev/kvm each test says so and proves nothing; with one, none is skipped.

use std::time::{Duration, Instant};

use umpire_shared::boot::{DEBUG_TRAP, IMAGE};

use super::memory::GuestMemory;
use super::tests::machine;
use super::{DebugError, Debugger, Go, HoldError, Machine, Registers, Stop, Why};

/// Where the gate of these guests begins.
const GATE: u64 = IMAGE + 0x100;
const NOP: u64 = IMAGE + 3;
const JUMP: u64 = IMAGE + 4;

/// `inc rax; nop; jmp` back, and a gate that tells of vectors 1 and 3.
fn counting(ncpus: u32) -> Option<Machine> {
    let mut code = vec![0x48, 0xff, 0xc0, 0x90, 0xeb, 0xfa];
    for vector in [1, 3_u8] {
        code.resize(0x100 + 16 * usize::from(vector), 0x90);
        // push 0; push vector; push rax; mov eax, DEBUG_TRAP; mov eax, [rax]; jmp .
        code.extend([0x6a, 0, 0x6a, vector, 0x50, 0xb8]);
        code.extend((DEBUG_TRAP as u32).to_le_bytes());
        code.extend([0x8b, 0x00, 0xeb, 0xfe]);
    }
    let mut machine = machine(ncpus, &code, GATE)?;
    machine.start().expect("not started before");
    Some(machine)
}

/// The next stop, which must come within 10 s.
fn stop(debugger: &Debugger) -> Stop {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(10) {
        if let Some(stop) = debugger.next_stop() {
            debugger.settle().expect("they come out");
            return stop;
        }
        std::thread::yield_now();
    }
    panic!("nothing stopped");
}

fn at(debugger: &Debugger, cpu: u32) -> Registers {
    debugger.registers(cpu).expect("out of the guest").0
}

#[test]
fn breakpoint_is_hit_stepped_over_and_gone_from_memory() {
    let Some(mut machine) = counting(1) else { return };
    let debugger = Debugger::attach(&machine.writer()).expect("the first");
    // It was stopped anywhere: a CPU that stands at the breakpoint would be there at once.
    let begin = at(&debugger, 0);
    debugger.set_registers(0, Registers { rip: IMAGE, ..begin }).expect("out of the guest");
    debugger.set_breakpoint(NOP).expect("memory");
    debugger.set_breakpoint(NOP).expect("there already");
    for _ in 0..3 {
        let before = at(&debugger, 0);
        debugger.go(&[Go::On]);
        assert_eq!(stop(&debugger), Stop { cpu: 0, why: Why::Breakpoint(NOP) });
        let now = at(&debugger, 0);
        assert!(now.rip == NOP && now.rax > before.rax && now.rflags & 1 << 8 == 0, "{now:x?}");
        assert!((now.cs, now.ss) == (before.cs, before.ss));
        debugger.clear_breakpoint(NOP);
        for (expected, more) in [(JUMP, 0), (IMAGE, 0), (NOP, 1), (JUMP, 1)] {
            debugger.go(&[Go::Step(0..0)]);
            assert_eq!(stop(&debugger).why, Why::Step);
            assert_eq!((at(&debugger, 0).rip, at(&debugger, 0).rax), (expected, now.rax + more));
        }
        debugger.set_breakpoint(NOP).expect("memory");
    }
    let mut seen = [0; 2];
    assert!(debugger.read(NOP, &mut seen));
    assert_eq!(seen, [0x90, 0xeb], "a breakpoint is not to be seen");
    let memory = machine.view().memory();
    assert_eq!(memory.read_u8(NOP), Some(0xcc));
    drop(debugger);
    assert_eq!(memory.read_u8(NOP), Some(0x90));
    assert!(!machine.view().is_frozen());
    let mut log = machine.view().writes();
    log.retain(|written| written.what != "cpu0.rip");
    assert!(log.len() == 1 && log[0].what == "breakpoint:0x100003" && log[0].addr == NOP, "{log:?}");
    machine.stop().expect("comes out");
}

#[test]
fn step_goes_on_while_it_is_in_its_range_and_one_cpu_may_step_alone() {
    let Some(mut machine) = counting(2) else { return };
    let debugger = Debugger::attach(&machine.writer()).expect("the first");
    let other = at(&debugger, 0);
    debugger.go(&[Go::Stay, Go::Step(0..0)]);
    assert_eq!(stop(&debugger), Stop { cpu: 1, why: Why::Step });
    while at(&debugger, 1).rip != NOP {
        debugger.go(&[Go::Stay, Go::Step(0..0)]);
        stop(&debugger);
    }
    let before = at(&debugger, 1);
    debugger.go(&[Go::Stay, Go::Step(NOP..IMAGE + 6)]);
    stop(&debugger);
    assert_eq!(at(&debugger, 1), Registers { rip: IMAGE, ..before });
    assert_eq!(at(&debugger, 0), other, "the other has stayed");
    machine.stop().expect("comes out");
}

#[test]
fn registers_and_memory_that_are_set_are_the_guests_and_are_noted() {
    let Some(mut machine) = counting(1) else { return };
    let debugger = Debugger::attach(&machine.writer()).expect("the first");
    debugger.set_breakpoint(NOP).expect("memory");
    let before = at(&debugger, 0);
    debugger.set_registers(0, Registers { rax: 41, rip: IMAGE, ..before }).expect("out of the guest");
    debugger.go(&[Go::On]);
    stop(&debugger);
    assert_eq!(at(&debugger, 0).rax, 42);
    // Over the breakpoint: it stays, and what was written is below it.
    debugger.write(NOP - 1, &[0xc0, 0x90, 0xeb]).expect("memory");
    assert_eq!(machine.view().memory().read_u8(NOP), Some(0xcc));
    let what: Vec<String> = machine.view().writes().into_iter().map(|w| w.what).collect();
    assert!(
        what.contains(&"cpu0.rax".to_owned()) && what.contains(&"breakpoint:0x100003".to_owned()),
        "{what:?}"
    );
    assert!(what.iter().any(|what| what.starts_with("gdb:")), "{what:?}");
    assert!(matches!(debugger.set_breakpoint(1 << 40), Err(DebugError::NoPlace { .. })));
    assert!(debugger.write(1 << 40, &[1]).is_err());
    debugger.go(&[Go::On]);
    assert!(matches!(debugger.set_registers(0, before), Err(DebugError::Hold(HoldError::Runs(0))) | Ok(())));
    machine.stop().expect("comes out");
}

#[test]
fn second_debugger_is_refused_and_the_next_after_it_is_not() {
    let Some(mut machine) = counting(1) else { return };
    for _ in 0..20 {
        let debugger = Debugger::attach(&machine.writer()).expect("nobody else");
        assert!(matches!(Debugger::attach(&machine.writer()), Err(DebugError::Taken)));
        debugger.set_breakpoint(NOP).expect("memory");
        debugger.go(&[Go::On]);
        // Whether it has hit or not: it goes away, and the guest goes on.
        drop(debugger);
        let before = machine.view().clocks().ran_ns(0);
        while machine.view().clocks().ran_ns(0) < before + 100_000 {
            std::thread::yield_now();
        }
        assert_eq!(machine.view().guest_end(), None);
    }
    machine.stop().expect("comes out");
}
