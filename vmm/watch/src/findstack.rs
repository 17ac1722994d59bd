//! `::findstack`: the stack of a thread as mdb would draw it, below a line with the thread's name.
//!
//! ```text
//! mac_soft_ring_worker:
//! stack pointer for thread ffffff0007e01c40: ffffff0007e01b60
//! [ ffffff0007e01b60 _resume_from_idle+0xf1() ]
//!   ffffff0007e01b90 swtch+0x1e6()
//! ```
//!
//! # Invariants
//! - A stack that could not be read says so in one line, and so does a thread that runs where no registers are to be had; nothing
//!   is made up.

use std::fmt::{self, Write};

use crate::glass::Stack;

/// One thread's stack below a line with its name. Where code has no name its address stands for it.
pub fn findstack(stack: &Stack) -> String {
    let name = if stack.name.is_empty() { "(no name)" } else { &stack.name };
    format!("{name}:\n{}", frames(stack, ""))
}

/// One thread's stack, with a description of the thread behind its address unless that is empty.
pub fn frames(stack: &Stack, description: &str) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = draw(&mut out, stack, description);
    out
}

fn draw(out: &mut String, stack: &Stack, description: &str) -> fmt::Result {
    write!(out, "stack pointer for thread {:x}", stack.thread)?;
    if !description.is_empty() {
        write!(out, " ({description})")?;
    }
    let note = stack.note.as_deref();
    if let Some(cpu) = stack.on_cpu
        && stack.frames.is_empty()
    {
        let why = note.map(|note| format!(": {note}")).unwrap_or_default();
        return writeln!(out, ": it runs on cpu {cpu}, and its stack needs that CPU's registers{why}");
    }
    if stack.sp == 0 {
        return writeln!(out, ": none is saved (the simulator keeps stacks to itself)");
    }
    let about = match stack.on_cpu {
        Some(cpu) => format!(" (on cpu {cpu}{})", note.map(|note| format!(": {note}")).unwrap_or_default()),
        None if stack.verdict.is_trusted() => String::new(),
        None => " (torn: the thread ran meanwhile)".to_owned(),
    };
    writeln!(out, ": {:x}{about}", stack.sp)?;
    if stack.frames.is_empty() {
        return writeln!(out, "  (it points to no frame inside the thread's stack)");
    }
    for (n, frame) in stack.frames.iter().enumerate() {
        let at = frame.at;
        let code = frame.code.clone().unwrap_or_else(|| format!("{:#x}", frame.pc));
        if n == 0 {
            writeln!(out, "[ {at:016x} {code}() ]")?;
        } else {
            writeln!(out, "  {at:016x} {code}()")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::{Frame, Verdict};

    fn worker() -> Stack {
        let frame = |at, pc, code: &str| Frame { code: Some(code.to_owned()), ..Frame::new(at, pc) };
        Stack {
            thread: 0xffff_ff00_07e0_1c40,
            name: "mac_soft_ring_worker".into(),
            on_cpu: None,
            note: None,
            sp: 0xffff_ff00_07e0_1b60,
            frames: vec![
                frame(0xffff_ff00_07e0_1b60, 1, "_resume_from_idle+0xf1"),
                frame(0xffff_ff00_07e0_1b90, 2, "swtch+0x1e6"),
                frame(0xffff_ff00_07e0_1bc0, 3, "cv_wait+0x7f"),
                frame(0xffff_ff00_07e0_1c20, 4, "mac_soft_ring_worker+0xc5"),
                frame(0xffff_ff00_07e0_1c30, 5, "thread_start+8"),
            ],
            verdict: Verdict::Clean,
        }
    }

    #[track_caller]
    fn check(stack: &Stack, expect: &str) {
        let drawn = findstack(stack);
        assert_eq!(drawn, expect, "\n{drawn}");
    }

    #[test]
    fn findstack_worker_of_1532_is_drawn_as_in_the_report() {
        check(
            &worker(),
            "\
mac_soft_ring_worker:
stack pointer for thread ffffff0007e01c40: ffffff0007e01b60
[ ffffff0007e01b60 _resume_from_idle+0xf1() ]
  ffffff0007e01b90 swtch+0x1e6()
  ffffff0007e01bc0 cv_wait+0x7f()
  ffffff0007e01c20 mac_soft_ring_worker+0xc5()
  ffffff0007e01c30 thread_start+8()
",
        );
    }

    #[test]
    fn findstack_simulated_thread_says_that_there_is_no_stack() {
        check(
            &Stack { sp: 0, frames: Vec::new(), thread: 0x1000, ..worker() },
            "\
mac_soft_ring_worker:
stack pointer for thread 1000: none is saved (the simulator keeps stacks to itself)
",
        );
    }

    #[test]
    fn findstack_thread_that_runs_says_where_and_shows_no_frame() {
        for sp in [0, worker().sp] {
            check(
                &Stack { on_cpu: Some(3), sp, frames: Vec::new(), thread: 0x1000, ..worker() },
                "\
mac_soft_ring_worker:
stack pointer for thread 1000: it runs on cpu 3, and its stack needs that CPU's registers
",
            );
        }
    }

    #[test]
    fn findstack_thread_that_runs_is_drawn_from_its_registers_or_says_why_not() {
        let note = || Some("it was in the gate".to_owned());
        let drawn = findstack(&Stack { on_cpu: Some(3), ..worker() });
        assert!(drawn.contains("ffffff0007e01b60 (on cpu 3)\n[ ffffff0007e01b60 _resume"), "{drawn}");
        let drawn = findstack(&Stack { on_cpu: Some(3), note: note(), ..worker() });
        assert!(drawn.contains("ffffff0007e01b60 (on cpu 3: it was in the gate)\n"), "{drawn}");
        let drawn = findstack(&Stack { on_cpu: Some(3), note: note(), frames: Vec::new(), ..worker() });
        assert!(drawn.contains("needs that CPU's registers: it was in the gate\n"), "{drawn}");
    }

    #[test]
    fn findstack_thread_that_ran_meanwhile_is_marked() {
        let mut stack = Stack { verdict: Verdict::Torn, ..worker() };
        stack.frames[1].code = None;
        let drawn = findstack(&stack);

        assert!(drawn.contains("ffffff0007e01b60 (torn: the thread ran meanwhile)\n"), "{drawn}");
        assert!(drawn.contains("  ffffff0007e01b90 0x2()\n"), "{drawn}");
    }
}
