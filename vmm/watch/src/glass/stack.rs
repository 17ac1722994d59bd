//! Stacks of threads that are not running, by their frame pointers. A thread that runs keeps its stack in registers.
//!
//! The guest's switch leaves, from `t_sp` upwards: r15, r14, r13, r12, rbx, rbp, return address. From rbp on,
//! each frame holds the caller's frame pointer and the return address.
//!
//! # Invariants
//! - Nothing outside `[t_stkbase, t_stk)` is read; frame pointers must rise; at most [`MAX_FRAMES`] are followed.
//! - A thread that is some CPU's `cpu_thread`, before or after its stack is read, has no frames: what it left at its last switch is
//!   not its stack any more.
//! - A frame has code: no frame's `pc` is 0.
//! - A stack's verdict is `Torn` if the thread's saved stack pointer changed meanwhile. A thread that ran meanwhile and stopped
//!   at the same depth of its stack is not noticed.

use super::Glass;
use super::cpu::CpuSample;
use super::read::Verdict;
use super::record::record;
use super::symbols::Symbols;

/// Frames that a stack shows at most.
const MAX_FRAMES: usize = 48;
/// Offset of the saved frame pointer from `t_sp`.
const SAVED_RBP: u64 = 5 * 8;
/// Offset of the return address from `t_sp`.
const SAVED_PC: u64 = 6 * 8;

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
        }
        known {}
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Where the frame is: the frame pointer, for the first frame the saved stack pointer.
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
    /// The CPU that it runs on. Its stack needs that CPU's registers, so it then has no frames.
    pub on_cpu: Option<u32>,
    /// `t_sp`; 0 if the platform saves none, as the simulator does.
    pub sp: u64,
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// Torn if the thread's saved stack pointer changed meanwhile.
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
    /// Follows the stack of the thread at this address; one that runs on one of these CPUs has no frames.
    pub fn stack(&self, cpus: &[CpuSample], thread: u64) -> Stack {
        let before = self.runs_on(cpus, thread);
        let of = self.stack_pointers(thread);
        let mut frames = Vec::new();
        if let Some(pc @ 1..) = self.stack_word(of, of.sp.saturating_add(SAVED_PC)) {
            frames.push(Frame::new(of.sp, pc));
            let fp = self.stack_word(of, of.sp.saturating_add(SAVED_RBP)).unwrap_or(0);
            self.follow(of, fp, &mut frames);
        }
        // A thread that ran meanwhile mostly has another saved stack pointer, unless it stopped at the same depth again.
        let is_still = self.stack_pointers(thread).sp == of.sp;
        let verdict = if is_still { Verdict::Clean } else { Verdict::Torn };
        let on_cpu = before.or_else(|| self.runs_on(cpus, thread));
        if on_cpu.is_some() {
            frames.clear();
        }
        Stack { thread, name: self.thread_name(thread), on_cpu, sp: of.sp, frames, verdict }
    }

    /// The number of the CPU whose `cpu_thread` is, now, the thread at this address.
    fn runs_on(&self, cpus: &[CpuSample], thread: u64) -> Option<u32> {
        let runs = |cpu: &&CpuSample| {
            let now: Option<CpuSample> = self.layout.cpu.read_one(&*self.memory, cpu.addr);
            now.is_some_and(|now| now.thread == thread)
        };
        cpus.iter().find(runs).map(|cpu| cpu.id)
    }

    /// Follows the stack of the thread at this address from known registers: of a guest that has stopped.
    pub fn stack_of_the_dead(&self, thread: u64, pc: u64, fp: u64) -> Vec<Frame> {
        let mut frames = vec![Frame::new(fp, pc)];
        self.follow(self.stack_pointers(thread), fp, &mut frames);
        frames
    }

    /// Adds the frames that begin at frame pointer `fp`, innermost first.
    fn follow(&self, of: StackPointers, mut fp: u64, frames: &mut Vec<Frame>) {
        while frames.len() < MAX_FRAMES {
            let next = self.stack_word(of, fp);
            let pc = self.stack_word(of, fp.saturating_add(8));
            let (Some(next), Some(pc @ 1..)) = (next, pc) else { break };
            frames.push(Frame::new(fp, pc));
            if next <= fp {
                break;
            }
            fp = next;
        }
    }

    /// The aligned word at `addr`, if it is inside the stack.
    fn stack_word(&self, of: StackPointers, addr: u64) -> Option<u64> {
        let is_inside = addr >= of.stkbase && addr.checked_add(8).is_some_and(|end| end <= of.stk);
        if is_inside && addr.is_multiple_of(8) { self.memory.read_u64(addr) } else { None }
    }

    /// The bounds of a thread's stack and where it is in it; an empty stack if they cannot be read.
    fn stack_pointers(&self, thread: u64) -> StackPointers {
        self.layout.stack.read_one(&*self.memory, thread).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::fake::FakeKernel;

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

        kernel.set(kernel.cpu_at(0), kernel.layout.cpu.thread, kernel.thread_at(2));
        let switched_out = stack(&kernel);
        assert_eq!((switched_out.on_cpu, switched_out.frames.len()), (None, 3));
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
