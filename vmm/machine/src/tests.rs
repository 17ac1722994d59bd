//! The machine on real KVM, with guests of a few instructions.
//!
//! # Invariants
//! - Without a usable /dev/kvm each test says so and proves nothing; with one, none is skipped.
//! - Bounds on time are generous: they tell a machine that hangs from one that does not.

use std::time::{Duration, Instant};

use umpire_shared::boot::IMAGE;

use super::host::HostError;
use super::image::{Facts, ImageError};
use super::*;

/// `jmp .`
const SPIN: &[u8] = &[0xeb, 0xfe];
/// An address that no page table can map: a CPU that delivers anything through it faults three times.
const NOWHERE: u64 = 1 << 50;

/// A few instructions at [`IMAGE`].
struct Code<'a> {
    bytes: &'a [u8],
    gate_vectors: u64,
}

impl Bootable for Code<'_> {
    fn facts(&self) -> Result<Facts, ImageError> {
        Ok(Facts {
            entry: IMAGE,
            end: IMAGE + 4096,
            gate_vectors: self.gate_vectors,
            gate_end: self.gate_vectors,
        })
    }

    fn load(&self, ram: &GuestRam) -> Result<(), ImageError> {
        ram.write(IMAGE, self.bytes).expect("memory reaches beyond the image");
        Ok(())
    }
}

/// A machine of so many CPUs that all begin with `code`; `None`, said aloud, where KVM cannot be used.
pub(super) fn machine(ncpus: u32, code: &[u8], gate_vectors: u64) -> Option<Machine> {
    if let Err(e @ (HostError::Missing { .. } | HostError::Denied { .. } | HostError::NoModule { .. })) =
        Host::probe()
    {
        println!("SKIPPED: {e}");
        return None;
    }
    let config = MachineConfig { image: &[], ncpus, nthreads: 4, program: b"program", trace_records: 0 };
    let built = Machine::assemble(&config, &Code { bytes: code, gate_vectors });
    Some(built.expect("KVM is there and takes the machine"))
}

/// Starts the machine and gives how it ended, which must be within 10 s.
fn run(machine: &mut Machine) -> VcpuEnd {
    machine.start().expect("not started before");
    match machine.wait(10_000_000_000).expect("epoll") {
        WaitEnd::GuestEnded(end) => end,
        other => panic!("the guest should have ended, but {other:?}"),
    }
}

#[test]
fn guest_that_spins_is_stopped_within_bounds() {
    let Some(mut machine) = machine(2, SPIN, NOWHERE) else { return };
    machine.start().expect("not started before");
    assert_eq!(machine.wait(20_000_000).expect("epoll"), WaitEnd::RunTimeOver);
    assert!(machine.view().registers(0).is_none());
    let asked = Instant::now();
    machine.stop().expect("comes out");
    assert!(asked.elapsed() < Duration::from_secs(1));
    assert_eq!((machine.view().exits(), machine.view().guest_end()), (0, None));
    let registers = machine.view().registers(1).expect("left the guest");
    assert_eq!(registers.rip, IMAGE);
    let clocks = machine.view().clocks();
    assert!(clocks.ran_ns(0) > 0 && clocks.ran_ns(0) == clocks.ran_ns(0));
    assert!(matches!(machine.start(), Err(MachineError::StartedBefore)));
}

#[test]
fn guest_that_is_held_stands_still_and_no_time_passes_for_it() {
    let Some(mut machine) = machine(2, SPIN, NOWHERE) else { return };
    machine.start().expect("not started before");
    let view = machine.view().clone();
    view.hold(None).expect("comes out");
    assert!(view.is_frozen() && view.are_held() == [true, true]);
    let ran = [0, 1].map(|cpu| view.clocks().ran_ns(cpu));
    let registers = view.registers(1).expect("out of the guest");
    assert_eq!(registers.rip, IMAGE);
    view.wait_while_held(Duration::from_millis(20));
    assert!(view.held() >= Duration::from_millis(20));
    // Its thread slept: what it ran since is its way to sleep.
    assert!(view.clocks().ran_ns(0) - ran[0] < 10_000_000);
    view.set_registers(1, Registers { rax: 7, ..registers }).expect("held");
    assert_eq!(view.registers(1).map(|r| r.rax), Some(7));

    view.let_go(Some(0)).expect("there is a CPU 0");
    assert!(!view.is_frozen() && view.registers(0).is_none() && view.registers(1).is_some());
    let error = view.set_registers(0, registers).expect_err("it runs");
    assert_eq!(error, HoldError::Runs(0));
    view.let_go(None).expect("there are CPUs");
    while view.clocks().ran_ns(1) < ran[1] + 1_000_000 {
        std::thread::yield_now();
    }
    assert_eq!(view.hold(Some(2)), Err(HoldError::NoSuchCpu { cpu: 2, ncpus: 2 }));
    machine.stop().expect("comes out");
}

#[test]
fn vcpu_that_is_held_again_before_it_has_gone_on_is_where_it_was() {
    let Some(mut machine) = machine(2, SPIN, NOWHERE) else { return };
    machine.start().expect("not started before");
    let view = machine.view().clone();
    view.hold(None).expect("comes out");
    for round in 0..2_000 {
        view.let_go(None).expect("there are CPUs");
        view.hold(None).expect("comes out");
        assert!((0..2).all(|cpu| view.registers(cpu).is_some()), "round {round}");
    }
    machine.stop().expect("comes out");
}

#[test]
fn pins_hold_a_machine_that_others_let_go_and_stopping_for_good_ends_them() {
    let Some(mut machine) = machine(1, SPIN, NOWHERE) else { return };
    machine.start().expect("not started before");
    let view = machine.view().clone();
    let (first, second) = (view.pin(None).expect("comes out"), view.pin(None).expect("is out"));
    drop(first);
    view.let_go(None).expect("there are CPUs");
    assert!(view.is_frozen() && view.registers(0).is_some());
    machine.stop().expect("comes back from being held");
    drop(second);
    assert!(!view.is_frozen());
}

#[test]
fn writer_overwrites_words_of_a_running_guest_and_notes_what_was_there() {
    let Some(mut machine) = machine(1, SPIN, NOWHERE) else { return };
    machine.start().expect("not started before");
    let writer = machine.writer();
    let at = IMAGE + 64;
    let written = writer.write("kpreempt pri\n", at, 0x1_0000_0063, 4).expect("memory");
    assert_eq!((written.what.as_str(), written.old, written.new, written.bytes), ("kpreemptpri", 0, 0x63, 4));
    writer.write("again", at, 7, 8).expect("memory");
    assert_eq!(machine.view().memory().read_u64(at), Some(7));
    assert!(writer.write("beyond", u64::MAX - 3, 1, 4).is_err() && writer.write("odd", at, 1, 3).is_err());
    let log: Vec<u64> = machine.view().writes().iter().map(|w| w.old).collect();
    assert_eq!(log, [0, 0x63]);
    machine.stop().expect("comes out");
}

#[test]
fn guest_that_faults_three_times_ends_with_a_typed_end() {
    // ud2
    let Some(mut machine) = machine(1, &[0x0f, 0x0b], NOWHERE) else { return };
    let end = run(&mut machine);
    assert_eq!((end.cpu, end.reason), (0, EndReason::TripleFault));
    machine.stop().expect("has ended");
}

#[test]
fn guest_that_reads_where_there_is_no_memory_is_reported() {
    // mov eax, DOORBELL; mov ebx, [rax]
    let Some(mut machine) = machine(1, &[0xb8, 0x00, 0xf0, 0xbf, 0xfe, 0x8b, 0x18], NOWHERE) else { return };
    let end = run(&mut machine);
    assert_eq!(end.reason, EndReason::Mmio { addr: 0xfebf_f000, len: 4, is_write: false });
    assert!(end.registers.is_some_and(|r| (IMAGE..IMAGE + 16).contains(&r.rip)), "{end}");
}

#[test]
fn guest_that_ends_takes_the_spinning_cpus_with_it() {
    // test edi, edi; jnz .; mov eax, DOORBELL; mov dword [rax], 1; jmp .
    let code = [
        0x85, 0xff, 0x75, 0xfe, 0xb8, 0x00, 0xf0, 0xbf, 0xfe, 0xc7, 0x00, 0x01, 0x00, 0x00, 0x00, 0xeb, 0xfe,
    ];
    let Some(mut machine) = machine(4, &code, NOWHERE) else { return };
    let end = run(&mut machine);
    assert_eq!((end.cpu, end.reason), (0, EndReason::Stopped));
    machine.stop().expect("all come out");
    assert_eq!(machine.view().exits(), 1);
    assert!((0..4).all(|cpu| machine.view().registers(cpu).is_some()));
}

#[test]
fn console_rung_for_is_read_while_waiting() {
    // mov rdi, [rsi+40] (the boot block's console); mov dword [rdi+16], "hi!\n"; mov qword [rdi], 4;
    // mov eax, DOORBELL; mov dword [rax], 2 (twice); mov dword [rax], 1; jmp .
    let code = [
        0x48, 0x8b, 0x7e, 0x28, 0xc7, 0x47, 0x10, 0x68, 0x69, 0x21, 0x0a, 0x48, 0xc7, 0x07, 0x04, 0x00, 0x00,
        0x00, 0xb8, 0x00, 0xf0, 0xbf, 0xfe, 0xc7, 0x00, 0x02, 0x00, 0x00, 0x00, 0xc7, 0x00, 0x02, 0x00, 0x00,
        0x00, 0xc7, 0x00, 0x01, 0x00, 0x00, 0x00, 0xeb, 0xfe,
    ];
    let Some(mut machine) = machine(1, &code, NOWHERE) else { return };
    assert_eq!(run(&mut machine).reason, EndReason::Stopped);
    assert_eq!(machine.view().console(), "hi!\n");
    assert_eq!((machine.view().console_lost(), machine.view().exits()), (0, 3));
}

#[test]
fn gate_reached_by_int3_shares_its_words_and_its_clock_with_the_kernel() {
    // 00: rdtsc; shl rdx, 32; or rax, rdx; mov gs:[8], rax; int3; mov eax, DOORBELL; mov dword [rax], 1; jmp .
    // 40: mov qword gs:[16], 0x33; iretq        (vector 3)
    let mut code = vec![
        0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x65, 0x48, 0x89, 0x04, 0x25, 0x08, 0x00, 0x00,
        0x00, 0xcc, 0xb8, 0x00, 0xf0, 0xbf, 0xfe, 0xc7, 0x00, 0x01, 0x00, 0x00, 0x00, 0xeb, 0xfe,
    ];
    code.resize(0x40, 0x90);
    code.extend([0x65, 0x48, 0xc7, 0x04, 0x25, 0x10, 0x00, 0x00, 0x00, 0x33, 0x00, 0x00, 0x00, 0x48, 0xcf]);
    let Some(mut machine) = machine(1, &code, IMAGE + 0x40 - 3 * 16) else { return };
    let before = tsc::host_tsc();
    assert_eq!(run(&mut machine).reason, EndReason::Stopped);
    let after = tsc::host_tsc();
    let memory = machine.view().memory();
    let words = tables::gate_words(0);
    assert_eq!(memory.read_u64(words + 16), Some(0x33));
    let guest = memory.read_u64(words + 8).expect("inside");
    if machine.tsc().is_shared() {
        assert!((before..after).contains(&guest), "{before} {guest} {after}");
    }
}

#[test]
fn stop_handle_used_before_or_during_the_wait_ends_it() {
    let Some(mut machine) = machine(1, SPIN, NOWHERE) else { return };
    machine.start().expect("not started before");
    let handle = machine.stop_handle();
    std::thread::scope(|s| {
        s.spawn(move || handle.stop());
        assert_eq!(machine.wait(u64::MAX).expect("epoll"), WaitEnd::Stopped);
    });
    assert_eq!(machine.wait(u64::MAX).expect("epoll"), WaitEnd::Stopped);
    machine.stop().expect("comes out");
}

#[test]
fn kick_at_any_moment_after_the_start_is_never_lost() {
    for round in 0..200_u32 {
        let Some(mut machine) = machine(1 + round % 3, SPIN, NOWHERE) else { return };
        machine.start().expect("not started before");
        for _ in 0..round * 500 {
            std::hint::spin_loop();
        }
        machine.stop().expect("comes out");
    }
}

#[test]
fn vcpu_that_is_asked_where_it_stands_answers_and_goes_on() {
    // inc qword gs:[16]; jmp back to it
    let code = [0x65, 0x48, 0xff, 0x04, 0x25, 0x10, 0x00, 0x00, 0x00, 0xeb, 0xf5];
    let Some(mut machine) = machine(2, &code, NOWHERE) else { return };
    assert!(machine.view().standing(0).is_none(), "nothing runs yet");
    machine.start().expect("not started before");
    for _ in 0..100 {
        for cpu in 0..2 {
            let count = || machine.view().memory().read_u64(tables::gate_words(cpu) + 16).expect("inside");
            let standing = machine.view().standing(cpu as usize).expect("answers");
            assert!((IMAGE..IMAGE + 11).contains(&standing.registers.rip), "{standing:?}");
            assert!(!standing.is_in_gate);
            let before = count();
            while count() == before {
                std::hint::spin_loop();
            }
        }
    }
    assert_eq!((machine.view().exits(), machine.view().guest_end()), (0, None));
    machine.stop().expect("comes out");
    assert!(machine.view().standing(0).is_some(), "it has ended, and is where it was");
    assert!(machine.view().standing(9).is_none(), "there is none");
}

#[test]
fn drop_of_a_running_machine_leaves_no_thread() {
    let Some(mut machine) = machine(3, SPIN, NOWHERE) else { return };
    machine.start().expect("not started before");
    let shared = Arc::downgrade(&machine.view.watched.shared);
    drop(machine);
    assert_eq!(shared.strong_count(), 0, "a vCPU thread still holds the machine's state");
}

#[test]
fn machine_with_a_bad_number_of_cpus_is_refused_before_kvm_is_asked() {
    let config =
        MachineConfig { image: &GUEST_IMAGE, ncpus: 17, nthreads: 0, program: &[], trace_records: 0 };
    assert!(matches!(Machine::build(&config), Err(MachineError::Config(_))));
    let config = MachineConfig { image: b"garbage", ncpus: 1, ..config };
    assert!(matches!(Machine::build(&config), Err(MachineError::Image(_))));
}

#[test]
fn vcpu_that_is_put_aside_does_not_run_and_counts_as_kept_waiting() {
    const AWAY: Duration = Duration::from_millis(100);
    let Some(mut machine) = machine(2, SPIN, NOWHERE) else { return };
    machine.start().expect("not started before");
    let watched = &machine.view().watched;
    let clocks = machine.view().clocks();
    let (began, ran_before, steal_before) = (Instant::now(), clocks.ran_ns(1), clocks.steal_ns_of(1));

    watched.shared.put_aside(1, AWAY.as_nanos() as u64);

    let ran = Duration::from_nanos(clocks.ran_ns(1) - ran_before);
    let kept = Duration::from_nanos(clocks.steal_ns_of(1) - steal_before);
    assert!(kept >= AWAY, "{kept:?}");
    assert!(began.elapsed().saturating_sub(ran) >= AWAY * 9 / 10, "{ran:?} in {:?}", began.elapsed());
    machine.stop().expect("comes out");
}

#[test]
fn machine_whose_vcpus_are_put_aside_stops_at_once() {
    let Some(mut machine) = machine(2, SPIN, NOWHERE) else { return };
    machine.start().expect("not started before");
    let absence = HostAbsence::new(10_000, 1_000_000_000).expect("invariant: within the range");
    machine.disturb(absence, 1).expect("a thread can be started");
    assert_eq!(machine.wait(20_000_000).expect("epoll"), WaitEnd::RunTimeOver);
    let asked = Instant::now();
    machine.stop().expect("comes out");
    assert!(asked.elapsed() < Duration::from_secs(1));
}
