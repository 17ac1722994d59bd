//! Makes a machine out of KVM's parts, memory and an image.
//!
//! # Invariants
//! - Nothing runs yet when this module is done; each step's time is measured.
//! - Guest address n of RAM is byte n of the memfd.
// Handing memory to KVM, and duplicating a vCPU's descriptor, are promises that only a caller can keep.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::time::Instant;

use kvm_bindings::{
    CpuId, KVM_CAP_SPLIT_IRQCHIP, KVM_MAX_CPUID_ENTRIES, KVM_MP_STATE_RUNNABLE, KVM_VCPU_TSC_CTRL,
    KVM_VCPU_TSC_OFFSET, kvm_device_attr, kvm_enable_cap, kvm_mp_state, kvm_userspace_memory_region,
};
use kvm_ioctls::{DeviceFd, VcpuFd, VmFd};

use super::MachineError;
use super::boot;
use super::host::{Host, HostKind};
use super::layout::Layout;
use super::memory::GuestRam;

/// Where Intel's KVM may put the three pages that it needs to emulate real mode; no RAM is there.
const TSS_PAGES: usize = 0xfffb_d000;
/// Interrupt routes of a split irqchip, whose I/O APIC would be ours: nothing uses one, but KVM refuses 0.
const IOAPIC_ROUTES: u64 = 24;

/// How often KVM is asked again for a VM when a signal interrupts it.
const CREATE_TRIES: u32 = 5;

/// How long the steps of building a machine took, in ns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BuildTimes {
    /// To open and check /dev/kvm.
    pub open_ns: u64,
    /// KVM_CREATE_VM.
    pub vm_ns: u64,
    /// The interrupt controllers.
    pub irqchip_ns: u64,
    /// KVM_CREATE_VCPU and the second mapping, all vCPUs together.
    pub vcpus_ns: u64,
    /// To read and check the image and plan the memory.
    pub plan_ns: u64,
    /// To make guest memory and copy the image, the tables and the program into it, which happens while KVM creates its objects.
    pub load_ns: u64,
    /// What was left of that when KVM had created its objects, and to give KVM the memory.
    pub memory_ns: u64,
    /// CPUID and registers, all vCPUs together.
    pub registers_ns: u64,
}

impl BuildTimes {
    /// What KVM takes to create its objects: VM, interrupt controllers and vCPUs.
    pub fn create_ns(&self) -> u64 {
        self.vm_ns + self.irqchip_ns + self.vcpus_ns
    }
}

/// Measures consecutive steps.
#[derive(Debug)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    pub(super) fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Time since the last call, in ns.
    pub(super) fn lap(&mut self) -> u64 {
        let now = Instant::now();
        let lap = now - self.0;
        self.0 = now;
        u64::try_from(lap.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A VM with its vCPUs, each with a second mapping of its `kvm_run` for the kicker.
#[derive(Debug)]
pub(super) struct Parts {
    pub vm: VmFd,
    pub vcpus: Vec<(VcpuFd, VcpuFd)>,
    /// The guest's time-stamp counter in kHz.
    pub tsc_khz: u64,
    /// True if the guest's time-stamp counter reads the same as the host's.
    pub has_host_tsc: bool,
}

/// Creates KVM's objects.
///
/// # Errors
/// [`MachineError::Kvm`] with the step that KVM refused.
pub(super) fn create(host: &Host, ncpus: u32, times: &mut BuildTimes) -> Result<Parts, MachineError> {
    let mut watch = Stopwatch::start();
    let vm = create_vm(host).map_err(MachineError::kvm("create a virtual machine"))?;
    if host.kind() == HostKind::Vmx {
        vm.set_tss_address(TSS_PAGES).map_err(MachineError::kvm("reserve the pages for real mode"))?;
    }
    times.vm_ns = watch.lap();
    create_irqchip(host, &vm)?;
    times.irqchip_ns = watch.lap();
    let vcpus = (0..u64::from(ncpus)).map(|n| create_vcpu(&vm, n)).collect::<Result<Vec<_>, _>>()?;
    times.vcpus_ns = watch.lap();
    let khz = vcpus[0]
        .0
        .get_tsc_khz()
        .map_err(MachineError::kvm("read the frequency of the time-stamp counter"))?;
    let has_host_tsc = vcpus.iter().all(|(vcpu, _)| share_tsc(vcpu).is_ok());
    Ok(Parts { vm, vcpus, tsc_khz: u64::from(khz), has_host_tsc })
}

/// A signal interrupts KVM_CREATE_VM, which waits for the host's memory management: it is asked again.
fn create_vm(host: &Host) -> Result<VmFd, kvm_ioctls::Error> {
    let mut tries = 0..CREATE_TRIES;
    loop {
        match host.kvm().create_vm() {
            Err(e) if e.errno() == libc::EINTR && tries.next().is_some() => {}
            created => return created,
        }
    }
}

/// Local APICs only where KVM can do that: no legacy controllers, whose creation waits for other CPUs.
fn create_irqchip(host: &Host, vm: &VmFd) -> Result<(), MachineError> {
    if host.has_split_irqchip() {
        let cap = kvm_enable_cap {
            cap: KVM_CAP_SPLIT_IRQCHIP,
            args: [IOAPIC_ROUTES, 0, 0, 0],
            ..Default::default()
        };
        return vm.enable_cap(&cap).map_err(MachineError::kvm("create the local APICs"));
    }
    vm.create_irq_chip().map_err(MachineError::kvm("create the interrupt controllers"))
}

fn create_vcpu(vm: &VmFd, n: u64) -> Result<(VcpuFd, VcpuFd), MachineError> {
    let vcpu = vm.create_vcpu(n).map_err(MachineError::kvm("create a virtual CPU"))?;
    let fd = duplicate(&vcpu)?;
    // SAFETY: `fd` is a vCPU of this VM, just duplicated, and given away here.
    let kicker = unsafe { vm.create_vcpu_from_rawfd(fd) };
    Ok((vcpu, kicker.map_err(MachineError::kvm("map a virtual CPU a second time"))?))
}

fn duplicate(vcpu: &VcpuFd) -> Result<RawFd, MachineError> {
    // SAFETY: the descriptor is open for as long as `vcpu` is borrowed.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(vcpu.as_raw_fd()) };
    let own =
        fd.try_clone_to_owned().map_err(|e| MachineError::os("duplicate a virtual CPU's descriptor", e))?;
    Ok(own.into_raw_fd())
}

/// Makes a vCPU's time-stamp counter read as the host's does, so that both sides share a clock.
fn share_tsc(vcpu: &VcpuFd) -> Result<(), MachineError> {
    let fd = duplicate(vcpu)?;
    // SAFETY: `fd` was just duplicated and is given away here. A vCPU understands KVM_SET_DEVICE_ATTR, and the value
    // is used for nothing else.
    let attributes = unsafe { DeviceFd::from_raw_fd(fd) };
    let offset: u64 = 0;
    let attr = kvm_device_attr {
        group: KVM_VCPU_TSC_CTRL,
        attr: u64::from(KVM_VCPU_TSC_OFFSET),
        addr: &raw const offset as u64,
        flags: 0,
    };
    attributes.set_device_attr(&attr).map_err(MachineError::kvm("set the time-stamp counter's offset"))
}

/// Gives the guest its memory.
///
/// # Errors
/// [`MachineError::Kvm`] if KVM refuses it.
pub(super) fn give_memory(vm: &VmFd, ram: &GuestRam) -> Result<(), MachineError> {
    let region = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: ram.len(),
        userspace_addr: ram.host_address(),
    };
    // SAFETY: the region is exactly the mapping that `ram` owns, and every thread that runs a vCPU keeps `ram`.
    unsafe { vm.set_user_memory_region(region) }.map_err(MachineError::kvm("give the guest its memory"))
}

/// Gives each vCPU its CPUID and registers.
///
/// # Errors
/// [`MachineError::Kvm`] with the step that KVM refused.
pub(super) fn registers(host: &Host, parts: &Parts, layout: &Layout, entry: u64) -> Result<(), MachineError> {
    let supported = host
        .kvm()
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(MachineError::kvm("read what the host's CPUID offers"))?;
    parts
        .vcpus
        .iter()
        .enumerate()
        .try_for_each(|(n, (vcpu, _))| set_state(vcpu, n, &supported, layout, entry))
}

fn set_state(
    vcpu: &VcpuFd,
    n: usize,
    supported: &CpuId,
    layout: &Layout,
    entry: u64,
) -> Result<(), MachineError> {
    let cpu = n as u64;
    vcpu.set_cpuid2(&boot::cpuid(supported, n as u32))
        .map_err(MachineError::kvm("set a virtual CPU's CPUID"))?;
    let reset = vcpu.get_sregs().map_err(MachineError::kvm("read a virtual CPU's system registers"))?;
    vcpu.set_sregs(&boot::sregs(&reset, cpu, boot::has_fsgsbase(supported)))
        .map_err(MachineError::kvm("set a virtual CPU's system registers"))?;
    vcpu.set_regs(&boot::regs(layout, entry, cpu))
        .map_err(MachineError::kvm("set a virtual CPU's registers"))?;
    let runnable = kvm_mp_state { mp_state: KVM_MP_STATE_RUNNABLE };
    vcpu.set_mp_state(runnable).map_err(MachineError::kvm("make a virtual CPU runnable"))
}
