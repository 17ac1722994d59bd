//! Which system calls each kind of thread may make: all that the filters are built from.
//!
//! # Invariants
//! - What is not in a kind's list ends the process, with a message ([`super::told`]): a call is added here when something was seen to
//!   need it, or when a C library may make it in another's place: glibc and musl do not make the same.
//! - No list but the guard's lets a program be run, a process be made or traced, or memory be made executable by a thread that runs
//!   or reads a guest.

use std::mem::size_of;

use kvm_bindings::{kvm_guest_debug, kvm_mp_state, kvm_regs, kvm_sregs};
use syscalls::Sysno;

/// A call, and what its arguments must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// With whatever arguments.
    Any(Sysno),
    /// If the bits of a mask have a value in the low half of the argument of this number. Several rules of one call: any will do.
    If(Sysno, u8, u64, u64),
}

use Rule::{Any, If};

/// The low half of an argument, which is all of a flag word or a domain.
const ALL: u64 = 0xffff_ffff;
const EXEC: u64 = libc::PROT_EXEC as u64;
const THREAD: u64 = libc::CLONE_THREAD as u64;

/// What a thread of a Rust program needs to go on and to end: its memory, its locks, its signals, the time, a message.
pub(super) const THREAD_CALLS: &[Rule] = &[
    Any(Sysno::brk),
    If(Sysno::mmap, 2, EXEC, 0),
    If(Sysno::mprotect, 2, EXEC, 0),
    Any(Sysno::mremap),
    Any(Sysno::munmap),
    Any(Sysno::madvise),
    Any(Sysno::futex),
    Any(Sysno::sched_yield),
    Any(Sysno::sched_getaffinity),
    Any(Sysno::rt_sigprocmask),
    Any(Sysno::rt_sigreturn),
    Any(Sysno::restart_syscall),
    Any(Sysno::sigaltstack),
    Any(Sysno::gettid),
    Any(Sysno::getpid),
    // To kick a vCPU out of the guest, and to abort.
    Any(Sysno::tgkill),
    // musl's pthread_kill and abort know no other, which names no process: glibc's are not given it.
    #[cfg(target_env = "musl")]
    Any(Sysno::tkill),
    Any(Sysno::clock_gettime),
    Any(Sysno::clock_nanosleep),
    Any(Sysno::nanosleep),
    Any(Sysno::gettimeofday),
    Any(Sysno::getrandom),
    Any(Sysno::read),
    Any(Sysno::write),
    Any(Sysno::writev),
    Any(Sysno::pread64),
    Any(Sysno::close),
    Any(Sysno::fcntl),
    Any(Sysno::exit),
    Any(Sysno::exit_group),
];

const KVMIO: u64 = 0xae;

/// The number of one of KVM's requests: `_IO`, `_IOR` (2) or `_IOW` (1) of `linux/kvm.h`.
const fn kvm(direction: u64, size: usize, number: u64) -> u64 {
    direction << 30 | (size as u64) << 16 | KVMIO << 8 | number
}

/// What a vCPU's thread asks of KVM: to run, where it is, to be elsewhere, not halted, to stop after one step.
pub(super) const VCPU_CALLS: &[Rule] = &[
    If(Sysno::ioctl, 1, ALL, kvm(0, 0, 0x80)),
    If(Sysno::ioctl, 1, ALL, kvm(2, size_of::<kvm_regs>(), 0x81)),
    If(Sysno::ioctl, 1, ALL, kvm(1, size_of::<kvm_regs>(), 0x82)),
    If(Sysno::ioctl, 1, ALL, kvm(2, size_of::<kvm_sregs>(), 0x83)),
    If(Sysno::ioctl, 1, ALL, kvm(1, size_of::<kvm_sregs>(), 0x84)),
    If(Sysno::ioctl, 1, ALL, kvm(1, size_of::<kvm_mp_state>(), 0x99)),
    If(Sysno::ioctl, 1, ALL, kvm(1, size_of::<kvm_guest_debug>(), 0x9b)),
];

/// What the sampler does beside looking: it waits for the next moment.
pub(super) const SAMPLER_CALLS: &[Rule] = &[Any(Sysno::timerfd_create), Any(Sysno::timerfd_settime)];

/// What it does where it is to write a core of the machine: files, and threads that compress.
pub(super) const CORE_CALLS: &[Rule] = &[
    Any(Sysno::openat),
    Any(Sysno::statx),
    Any(Sysno::fstat),
    Any(Sysno::newfstatat),
    // The same of musl.
    Any(Sysno::open),
    Any(Sysno::stat),
    Any(Sysno::lstat),
    Any(Sysno::lseek),
    Any(Sysno::ftruncate),
    Any(Sysno::fallocate),
    Any(Sysno::pwrite64),
    Any(Sysno::mkdir),
    Any(Sysno::mkdirat),
    Any(Sysno::rename),
    Any(Sysno::renameat),
    Any(Sysno::renameat2),
    Any(Sysno::unlink),
    Any(Sysno::unlinkat),
    Any(Sysno::fsync),
    Any(Sysno::getcwd),
    // Compression may be done by threads. The new call is answered as by a kernel that does not know it: see `OLD_CLONE`.
    If(Sysno::clone, 0, THREAD, THREAD),
    Any(Sysno::clone3),
    Any(Sysno::set_robust_list),
    Any(Sysno::rseq),
    Any(Sysno::prctl),
];

/// What the main thread does beside all that, and those that serve others: more with files, sockets, a terminal, KVM, threads.
pub(super) const MAIN_CALLS: &[Rule] = &[
    // Memory. A resolver of names may be a library that has to be loaded.
    Any(Sysno::mmap),
    Any(Sysno::mprotect),
    Any(Sysno::msync),
    Any(Sysno::mlock),
    Any(Sysno::mincore),
    Any(Sysno::membarrier),
    Any(Sysno::memfd_create),
    // Files.
    Any(Sysno::readv),
    Any(Sysno::preadv),
    Any(Sysno::pwritev),
    Any(Sysno::creat),
    Any(Sysno::close_range),
    Any(Sysno::statfs),
    Any(Sysno::fstatfs),
    Any(Sysno::access),
    Any(Sysno::faccessat),
    Any(Sysno::faccessat2),
    Any(Sysno::readlink),
    Any(Sysno::readlinkat),
    Any(Sysno::getdents64),
    Any(Sysno::rmdir),
    Any(Sysno::link),
    Any(Sysno::linkat),
    Any(Sysno::fadvise64),
    Any(Sysno::fdatasync),
    Any(Sysno::copy_file_range),
    Any(Sysno::sendfile),
    Any(Sysno::splice),
    Any(Sysno::chmod),
    Any(Sysno::fchmod),
    Any(Sysno::fchmodat),
    Any(Sysno::umask),
    Any(Sysno::flock),
    Any(Sysno::dup),
    Any(Sysno::dup2),
    Any(Sysno::dup3),
    Any(Sysno::pipe),
    Any(Sysno::pipe2),
    Any(Sysno::ioctl),
    // Waiting.
    Any(Sysno::poll),
    Any(Sysno::ppoll),
    Any(Sysno::select),
    Any(Sysno::pselect6),
    Any(Sysno::epoll_create1),
    Any(Sysno::epoll_ctl),
    Any(Sysno::epoll_wait),
    Any(Sysno::epoll_pwait),
    Any(Sysno::eventfd2),
    Any(Sysno::timerfd_gettime),
    // Sockets: of this host's files, and of gdb's port, whose host's name may be looked up.
    If(Sysno::socket, 0, ALL, libc::AF_UNIX as u64),
    If(Sysno::socket, 0, ALL, libc::AF_INET as u64),
    If(Sysno::socket, 0, ALL, libc::AF_INET6 as u64),
    If(Sysno::socket, 0, ALL, libc::AF_NETLINK as u64),
    Any(Sysno::socketpair),
    Any(Sysno::bind),
    Any(Sysno::listen),
    Any(Sysno::accept),
    Any(Sysno::accept4),
    Any(Sysno::connect),
    Any(Sysno::shutdown),
    Any(Sysno::getsockname),
    Any(Sysno::getpeername),
    Any(Sysno::getsockopt),
    Any(Sysno::setsockopt),
    Any(Sysno::sendto),
    Any(Sysno::recvfrom),
    Any(Sysno::sendmsg),
    Any(Sysno::sendmmsg),
    Any(Sysno::recvmsg),
    // Threads, what they are and what they may.
    Any(Sysno::get_robust_list),
    Any(Sysno::set_tid_address),
    Any(Sysno::arch_prctl),
    Any(Sysno::seccomp),
    Any(Sysno::capget),
    Any(Sysno::capset),
    Any(Sysno::landlock_create_ruleset),
    Any(Sysno::landlock_add_rule),
    Any(Sysno::landlock_restrict_self),
    Any(Sysno::rt_sigaction),
    Any(Sysno::rt_sigpending),
    Any(Sysno::rt_sigtimedwait),
    Any(Sysno::getppid),
    Any(Sysno::getuid),
    Any(Sysno::geteuid),
    Any(Sysno::getgid),
    Any(Sysno::getegid),
    Any(Sysno::sched_setaffinity),
    Any(Sysno::sched_getscheduler),
    Any(Sysno::sched_setscheduler),
    Any(Sysno::sched_getparam),
    Any(Sysno::getpriority),
    Any(Sysno::getrusage),
    Any(Sysno::getrlimit),
    Any(Sysno::prlimit64),
    Any(Sysno::times),
    Any(Sysno::time),
    Any(Sysno::clock_getres),
    Any(Sysno::uname),
    Any(Sysno::sysinfo),
];

/// The new way to make a thread hides its flags from a filter. Answered with ENOSYS, the C library takes the old one, whose flags
/// are an argument.
pub(super) const OLD_CLONE: &[Rule] = &[Any(Sysno::clone3)];

/// What nobody needs who debugs or is started by a debugger's `!`; refused with EPERM, for a program that tries has its own message.
pub(super) const GUARDED: &[Rule] = &[
    Any(Sysno::acct),
    Any(Sysno::add_key),
    Any(Sysno::bpf),
    Any(Sysno::chroot),
    Any(Sysno::clock_settime),
    Any(Sysno::delete_module),
    Any(Sysno::finit_module),
    Any(Sysno::fsmount),
    Any(Sysno::fsopen),
    Any(Sysno::init_module),
    Any(Sysno::io_uring_setup),
    Any(Sysno::ioperm),
    Any(Sysno::iopl),
    Any(Sysno::kexec_file_load),
    Any(Sysno::kexec_load),
    Any(Sysno::keyctl),
    Any(Sysno::mount),
    Any(Sysno::move_mount),
    Any(Sysno::open_by_handle_at),
    Any(Sysno::open_tree),
    Any(Sysno::pivot_root),
    Any(Sysno::reboot),
    Any(Sysno::request_key),
    Any(Sysno::setns),
    Any(Sysno::settimeofday),
    Any(Sysno::swapoff),
    Any(Sysno::swapon),
    Any(Sysno::umount2),
    Any(Sysno::unshare),
    Any(Sysno::userfaultfd),
];
