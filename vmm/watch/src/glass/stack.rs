//! Stacks of threads, by their frame pointers: of one that does not run from what its last switch saved, of one that runs from
//! its CPU's registers.
//!
//! The guest's switch leaves, from `t_sp` upwards: r15, r14, r13, r12, rbx, rbp, return address. From rbp on,
//! each frame holds the caller's frame pointer and the return address.
//!
//! # Invariants
//! - Nothing outside `[t_stkbase, t_stk)` is read; frame pointers must rise; at most [`MAX_FRAMES`] are followed.
//! - A thread that is some CPU's `cpu_thread`, before or after its stack is read, has no frames but those that begin with that
//!   CPU's registers: what it left at its last switch is not its stack any more.
//! - A frame has code: no frame's `pc` is 0.
//! - A saved stack is clean only if the thread's context was on no CPU (`t_lock`), and it came onto none (`t_runs`), from before
//!   the first of its words was read to after the last.

use umpire_machine::Standing;

use super::Glass;
use super::cpu::CpuSample;
use super::read::Verdict;
use super::record::record;
use super::symbols::Symbols;
use super::target::Asking;

/// Frames that a stack shows at most.
const MAX_FRAMES: usize = 48;
/// Offset of the saved frame pointer from `t_sp`.
const SAVED_RBP: u64 = 5 * 8;
/// Offset of the return address from `t_sp`.
const SAVED_PC: u64 = 6 * 8;
/// Times that a stack is read again because its thread ran meanwhile.
const MAX_TRIES: u32 = 3;

record! {
    /// The stack of a thread, as the kernel keeps it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct StackPointers / StackPlaces of Kthread {
        read {
            /// `t_sp`: the saved stack pointer.
            sp: u64 = number "t_sp",
            /// `t_stkbase`: the lowest address of its stack.
            stkbase: u64 = number "t_stkbase",
            /// `t_stk`: the first address above it.
            stk: u64 = number "t_stk",
            /// `t_runs`: times that it came onto a CPU.
            runs: u32 = number "t_runs",
            /// `t_lock`: its context is on a CPU, or on its way there or from there.
            lock: bool = number "t_lock",
        }
        known {}
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Where the frame is: the frame pointer, for the first frame the stack pointer.
    pub at: u64,
    /// Where the code goes on.
    pub pc: u64,
    /// The name of that place, as `swtch+0x495`; `None` until [`Stack::name_code`] has looked it up.
    pub code: Option<String>,
}

impl Frame {
    /// The frame at `at`, whose code goes on at `pc`.
    pub fn new(at: u64, pc: u64) -> Frame {
        Frame { at, pc, code: None }
    }
}

/// The stack of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Address of the `Kthread`.
    pub thread: u64,
    /// Its name.
    pub name: String,
    /// The CPU that it runs on; its frames are then those of that CPU's registers.
    pub on_cpu: Option<u32>,
    /// What is to be said of the frames of a thread that runs: why there are none, or that its CPU was in the gate.
    pub note: Option<String>,
    /// `t_sp`, or the CPU's stack pointer if it runs; 0 if the platform saves none, as the simulator does.
    pub sp: u64,
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// Torn if the thread ran meanwhile.
    pub verdict: Verdict,
}

impl Stack {
    /// Gives each frame the name of its code.
    pub fn name_code(&mut self, symbols: &Symbols) {
        for (n, frame) in self.frames.iter_mut().enumerate() {
            frame.code = Some(symbols.frame_name(n, frame.pc));
        }
    }
}

impl Glass {
    /// Follows the stack of the thread at this address. If it runs on one of these CPUs, that CPU is asked for its registers.
    pub fn stack(&self, cpus: &[CpuSample], thread: u64) -> Stack {
        let mut of = StackPointers::default();
        let mut frames = Vec::new();
        for tries in 0..=MAX_TRIES {
            if let Some(cpu) = self.runs_on(cpus, thread)
                && let Some(stack) = self.stack_on(cpu, cpus, thread)
            {
                return stack;
            }
            of = self.stack_pointers(thread);
            frames = self.saved_frames(of);
            let is_still = self.stack_pointers(thread) == of && !of.lock;
            if is_still && self.runs_on(cpus, thread).is_none() {
                let verdict = if tries == 0 { Verdict::Clean } else { Verdict::Retried(tries) };
                return Stack { frames, verdict, ..self.no_frames(of, thread) };
            }
        }
        Stack { frames, verdict: Verdict::Torn, ..self.no_frames(of, thread) }
    }

    /// The stack of a thread that runs on this CPU, by that CPU's registers; `None` if it has left the CPU by now.
    fn stack_on(&self, cpu: u32, cpus: &[CpuSample], thread: u64) -> Option<Stack> {
        let of = self.stack_pointers(thread);
        let none = Stack { on_cpu: Some(cpu), verdict: Verdict::Clean, ..self.no_frames(of, thread) };
        let noted = |note: String| Some(Stack { note: Some(note), ..none.clone() });
        let asker = match &self.asker {
            Ok(asker) => asker,
            Err(lacks) => return noted(lacks.why.to_owned()),
        };
        let Some(standing) = asker.standing(cpu) else {
            return noted(match self.whom {
                Asking::Running => "the CPU did not answer when it was asked for them".to_owned(),
                Asking::Still => "the CPU runs; -k kicks it out of the guest for one read of them".to_owned(),
            });
        };
        let at = standing.registers;
        if !(of.stkbase..of.stk).contains(&at.rsp) {
            // Mostly the CPU has switched since.
            self.runs_on(cpus, thread)?;
            return noted(format!("its stack pointer {:x} is outside the thread's stack", at.rsp));
        }
        let mut frames = Vec::new();
        if at.rip != 0 {
            frames.push(Frame::new(at.rsp, at.rip));
        }
        self.follow(of, at.rbp, Some(&standing), &mut frames);
        let note = standing
            .is_in_gate
            .then(|| "it was in the gate; this is what the gate had interrupted".to_owned());
        Some(Stack { note, sp: at.rsp, frames, ..none })
    }

    /// The stack of a thread that has been switched out.
    fn saved_frames(&self, of: StackPointers) -> Vec<Frame> {
        let mut frames = Vec::new();
        if let Some(pc @ 1..) = self.stack_word(of, of.sp.saturating_add(SAVED_PC), None) {
            frames.push(Frame::new(of.sp, pc));
            let fp = self.stack_word(of, of.sp.saturating_add(SAVED_RBP), None).unwrap_or(0);
            self.follow(of, fp, None, &mut frames);
        }
        frames
    }

    fn no_frames(&self, of: StackPointers, thread: u64) -> Stack {
        let name = self.thread_name(thread);
        let (on_cpu, note, frames, verdict) = (None, None, Vec::new(), Verdict::Stale);
        Stack { thread, name, on_cpu, note, sp: of.sp, frames, verdict }
    }

    /// The number of the CPU whose `cpu_thread` is, now, the thread at this address.
    fn runs_on(&self, cpus: &[CpuSample], thread: u64) -> Option<u32> {
        // One word of each CPU: a stack is asked for a thousand times in a row, on sixteen of them.
        let place = self.layout.cpu.thread.offset as u64;
        let runs = |cpu: &&CpuSample| self.memory.read_u64(cpu.addr.wrapping_add(place)) == Some(thread);
        cpus.iter().find(runs).map(|cpu| cpu.id)
    }

    /// Follows the stack of the thread at this address from known registers: of a guest that has stopped.
    pub fn stack_of_the_dead(&self, thread: u64, pc: u64, fp: u64) -> Vec<Frame> {
        let mut frames = vec![Frame::new(fp, pc)];
        self.follow(self.stack_pointers(thread), fp, None, &mut frames);
        frames
    }

    /// Adds the frames that begin at frame pointer `fp`, innermost first. What a CPU's answer holds of the stack is taken from it.
    fn follow(&self, of: StackPointers, mut fp: u64, standing: Option<&Standing>, frames: &mut Vec<Frame>) {
        while frames.len() < MAX_FRAMES {
            let next = self.stack_word(of, fp, standing);
            let pc = self.stack_word(of, fp.saturating_add(8), standing);
            let (Some(next), Some(pc @ 1..)) = (next, pc) else { break };
            frames.push(Frame::new(fp, pc));
            if next <= fp {
                break;
            }
            fp = next;
        }
    }

    /// The aligned word at `addr`, if it is inside the stack.
    fn stack_word(&self, of: StackPointers, addr: u64, standing: Option<&Standing>) -> Option<u64> {
        let is_inside = addr >= of.stkbase && addr.checked_add(8).is_some_and(|end| end <= of.stk);
        if !is_inside || !addr.is_multiple_of(8) {
            return None;
        }
        standing.and_then(|standing| standing.word(addr)).or_else(|| self.memory.read_u64(addr))
    }

    /// The bounds of a thread's stack and where it is in it; an empty stack if they cannot be read.
    fn stack_pointers(&self, thread: u64) -> StackPointers {
        self.layout.stack.read_one(&*self.memory, thread).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::AskCpu;
    use crate::glass::fake::FakeKernel;
    use std::sync::Arc;
    use umpire_machine::Registers;

    const STACK: u64 = 0x13_0000;

    /// Thread 1 of a fake kernel, switched out at `STACK + 0x80` with a chain of two frames above.
    fn kernel() -> FakeKernel {
        let kernel = FakeKernel::new(1, 4);
        let (thread, t) = (kernel.thread_at(1), &kernel.layout.stack);
        kernel.set(thread, t.stkbase, STACK);
        kernel.set(thread, t.stk, STACK + 0x1000);
        kernel.set(thread, t.sp, STACK + 0x80);
        kernel.memory.put_u64(STACK + 0x80 + SAVED_RBP, STACK + 0x100);
        kernel.memory.put_u64(STACK + 0x80 + SAVED_PC, 0x1111);
        kernel.memory.put_u64(STACK + 0x100, STACK + 0x200);
        kernel.memory.put_u64(STACK + 0x108, 0x2222);
        kernel.memory.put_u64(STACK + 0x208, 0x3333);
        kernel
    }

    /// The stack of thread 1, beside the one CPU.
    fn stack(kernel: &FakeKernel) -> Stack {
        let cpus = [CpuSample { id: 0, addr: kernel.cpu_at(0), ..CpuSample::default() }];
        kernel.glass().stack(&cpus, kernel.thread_at(1))
    }

    fn frames(kernel: &FakeKernel) -> Vec<(u64, u64)> {
        let stack = stack(kernel);
        stack.frames.iter().map(|f| (f.at - STACK, f.pc)).collect()
    }

    #[test]
    fn stack_sound_chain_returns_its_frames() {
        assert_eq!(frames(&kernel()), [(0x80, 0x1111), (0x100, 0x2222), (0x200, 0x3333)]);
    }

    #[test]
    fn stack_chain_that_turns_back_or_leaves_the_stack_ends_there() {
        let kernel = kernel();
        kernel.memory.put_u64(STACK + 0x200, STACK + 0x100);
        assert_eq!(frames(&kernel).len(), 3);

        kernel.memory.put_u64(STACK + 0x100, STACK + 0x0ffc);
        assert_eq!(frames(&kernel).len(), 2);

        kernel.memory.put_u64(STACK + 0x80 + SAVED_RBP, u64::MAX);
        assert_eq!(frames(&kernel).len(), 1);
    }

    #[test]
    fn stack_saved_pointer_outside_the_stack_returns_no_frames() {
        let kernel = kernel();
        for sp in [0, STACK - 0x80, STACK + 0x1000, u64::MAX] {
            kernel.set(kernel.thread_at(1), kernel.layout.stack.sp, sp);
            assert_eq!(frames(&kernel), []);
        }
    }

    #[test]
    fn stack_of_a_thread_that_runs_has_a_cpu_and_no_stale_frames() {
        let kernel = kernel();
        kernel.set(kernel.cpu_at(0), kernel.layout.cpu.thread, kernel.thread_at(1));
        let running = stack(&kernel);
        assert_eq!((running.on_cpu, running.frames.len()), (Some(0), 0));
        assert_eq!(running.note.as_deref(), Some("nothing runs in it"));

        kernel.set(kernel.cpu_at(0), kernel.layout.cpu.thread, kernel.thread_at(2));
        let switched_out = stack(&kernel);
        assert_eq!((switched_out.on_cpu, switched_out.frames.len()), (None, 3));
    }

    #[test]
    fn stack_of_a_thread_that_runs_begins_with_its_cpu_s_registers() {
        let mut kernel = kernel();
        kernel.set(kernel.cpu_at(0), kernel.layout.cpu.thread, kernel.thread_at(1));
        let at = |rsp| Registers { rip: 0x9999, rsp, rbp: STACK + 0x100, ..Registers::default() };
        kernel.asker = Some(Arc::new(Answers(Standing::of(at(STACK + 0x40), &*kernel.memory))));

        assert_eq!(frames(&kernel), [(0x40, 0x9999), (0x100, 0x2222), (0x200, 0x3333)]);
        assert_eq!((stack(&kernel).on_cpu, stack(&kernel).note), (Some(0), None));

        kernel.asker = Some(Arc::new(Answers(Standing::of(at(STACK - 8), &*kernel.memory))));
        let elsewhere = stack(&kernel);
        assert_eq!((elsewhere.frames.len(), elsewhere.on_cpu), (0, Some(0)));
        assert!(elsewhere.note.is_some_and(|note| note.contains("outside the thread's stack")));
    }

    #[test]
    fn stack_of_a_thread_that_ran_meanwhile_is_read_again_and_torn_if_it_never_rests() {
        let kernel = kernel();
        assert_eq!(stack(&kernel).verdict, Verdict::Clean);

        let runs = kernel.thread_at(1) + kernel.layout.stack.runs.offset as u64;
        kernel.memory.count_up_when_read(runs, 1);
        assert_eq!(stack(&kernel).verdict, Verdict::Retried(1));
        kernel.memory.count_up_when_read(runs, u64::MAX);
        assert_eq!(stack(&kernel).verdict, Verdict::Torn);
        kernel.memory.count_up_when_read(runs, 0);

        kernel.set(kernel.thread_at(1), kernel.layout.stack.lock, 1);
        assert_eq!(stack(&kernel).verdict, Verdict::Torn);
    }

    /// A CPU that always gives the same answer.
    #[derive(Debug)]
    struct Answers(Standing);

    impl AskCpu for Answers {
        fn standing(&self, _cpu: u32) -> Option<Standing> {
            Some(self.0.clone())
        }
    }

    #[test]
    fn stack_word_of_zero_where_code_should_be_is_no_frame() {
        let kernel = kernel();
        kernel.memory.put_u64(STACK + 0x80 + SAVED_PC, 0);
        assert_eq!(frames(&kernel), []);
    }

    #[test]
    fn stack_of_the_dead_begins_with_its_registers() {
        let kernel = kernel();

        let frames = kernel.glass().stack_of_the_dead(kernel.thread_at(1), 0x9999, STACK + 0x100);

        assert_eq!(frames.iter().map(|f| f.pc).collect::<Vec<_>>(), [0x9999, 0x2222, 0x3333]);
    }
}
