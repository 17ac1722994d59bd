//! Boot: from the first instruction to the kernel's idle loop, on every CPU.
//!
//! # Invariants
//! - The VMM has set up everything that needs ring 0; the first instruction runs at CPL 3 on the idle thread's stack.
//! - Until CPU 0 has built the kernel every other CPU waits, at level 15, in `hlt`.
//! - A CPU's words name its `Cpu` and its idle thread before any kernel code runs there.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use core::ptr;
use core::slice;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::{apic, fault, heap, root, time, words};
use umpire_kernel::{Kernel, Kthread, boot, platform};
use umpire_shared::boot::{BOOT_BLOCK, BOOT_MAGIC, BootBlock, phase};
use umpire_shared::program::Program;

/// 1 once the kernel is built and every CPU may enter it.
static RELEASED: AtomicU32 = AtomicU32::new(0);

/// What the VMM has told the guest.
pub fn boot_block() -> &'static BootBlock {
    // SAFETY: the VMM laid out the boot block there: mapped for good, aligned, and nothing but atomics.
    unsafe { &*ptr::with_exposed_provenance::<BootBlock>(BOOT_BLOCK as usize) }
}

/// The first instruction of every CPU. The stack looks as after a call from address 0.
#[unsafe(no_mangle)]
extern "C" fn _start(cpu: u32) -> ! {
    words::init(cpu, fault::stack_top(cpu));
    apic::enable();
    let boot = boot_block();
    if cpu == 0 {
        build_kernel(boot);
    } else {
        while RELEASED.load(Ordering::Acquire) == 0 {
            platform::halt();
        }
        adopt_idle_thread(cpu);
    }
    let up = boot.cpus_up.fetch_add(1, Ordering::Relaxed) + 1;
    if u64::from(up) == boot.ncpus.load(Ordering::Relaxed) {
        reach(phase::ONLINE);
    }
    boot::cpu_main()
}

// Not inlined: its frame holds a whole kernel for a moment, and would otherwise stay below the idle loop for ever.
#[inline(never)]
fn build_kernel(boot: &'static BootBlock) {
    assert_eq!(
        boot.magic.load(Ordering::Relaxed),
        BOOT_MAGIC,
        "boot block: wrong magic; is the VMM of another build?"
    );
    time::start(boot.tsc_khz.load(Ordering::Relaxed));
    heap::init(boot.heap.load(Ordering::Relaxed), boot.heap_len.load(Ordering::Relaxed));

    let ncpus = boot.ncpus.load(Ordering::Relaxed) as u32;
    let program = program(boot);
    let kernel: &'static Kernel = Box::leak(Box::new(Kernel::new(ncpus, &program)));
    root::set(kernel);
    adopt_idle_thread(0);
    // Release: a host that finds the root finds the kernel behind it complete.
    boot.root.store(ptr::from_ref(kernel).addr() as u64, Ordering::Release);
    reach(phase::KERNEL);
    boot::start(program);

    // Release: a CPU that sees this sees the kernel. The poke is for a CPU that has looked too early:
    //
    //   CPU 0                 another CPU, at level 15
    //                         RELEASED? -> 0
    //   RELEASED = 1
    //   poke                  halt(): returns once the poke is pending
    //                         RELEASED? -> 1
    RELEASED.store(1, Ordering::Release);
    for other in 1..ncpus {
        platform::poke(other);
    }
}

fn program(boot: &BootBlock) -> Program<'static> {
    let at = boot.program.load(Ordering::Relaxed) as usize;
    let len = boot.program_len.load(Ordering::Relaxed) as usize;
    // SAFETY: the VMM wrote so many bytes there before it started the first CPU, and nothing writes them again.
    let bytes = unsafe { slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(at), len) };
    match Program::decode(bytes) {
        Some(program) => program,
        None => {
            panic!("scenario program: {len} bytes at {at:#x} do not decode; is the VMM of another build?")
        }
    }
}

/// Makes the calling code the CPU's idle thread.
fn adopt_idle_thread(cpu: u32) {
    let kernel = platform::kernel();
    let cp = &kernel.k_cpus[cpu as usize];
    cp.cpu_mach.set(Some(words::mach(cpu)));
    words::set_cpu(cp);
    let idle = &kernel.k_threads[cpu as usize];
    words::set_curthread(idle);
    // It has its stack already; this notes the stack's bounds, for a reader that walks it.
    platform::thread_init(idle);
}

/// Notes how far the guest has come.
fn reach(phase: u32) {
    boot_block().phase.fetch_max(phase, Ordering::Release);
}

/// The platform's `thread_main`.
pub fn thread_main(t: &'static Kthread) {
    let first = &boot_block().first_thread_tsc;
    if first.load(Ordering::Relaxed) == 0
        && first.compare_exchange(0, time::counter(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    {
        reach(phase::FIRST_THREAD);
    }
    umpire_workloads::run(t);
}
