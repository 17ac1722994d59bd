//! What /dev/kvm is on this host, and what to do when it is not good enough.
//!
//! # Invariants
//! - Every way in which KVM can be unusable is its own error, and each error says what to do about it.

use std::ffi::CString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use kvm_ioctls::{Cap, Kvm};

/// The KVM API version that every Linux since 2.6.22 has.
pub const API_VERSION: i32 = 12;

/// What an Umpire machine cannot do without.
const NEEDED: &[(Cap, &str)] = &[
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::Irqchip, "KVM_CAP_IRQCHIP"),
    (Cap::MpState, "KVM_CAP_MP_STATE"),
    (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
    (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
    (Cap::GetTscKhz, "KVM_CAP_GET_TSC_KHZ"),
];

/// Which kind of KVM runs the guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKind {
    /// Software KVM (`kvm_pvm`): ring 0 of a guest is emulated, ring 3 runs natively.
    Pvm,
    /// Intel VT-x (`kvm_intel`).
    Vmx,
    /// AMD-V (`kvm_amd`).
    Svm,
    /// None of the modules is visible under /sys/module.
    Unknown,
}

impl HostKind {
    /// Its name in verdicts and JSON.
    pub fn name(self) -> &'static str {
        match self {
            HostKind::Pvm => "pvm",
            HostKind::Vmx => "vmx",
            HostKind::Svm => "svm",
            HostKind::Unknown => "unknown",
        }
    }

    /// The kind whose module is loaded.
    fn detect(modules: &Path) -> HostKind {
        let loaded = |name: &str| modules.join(name).exists();
        // A PVM host may have the hardware modules loaded as well, but then its processor lacks what they need.
        if loaded("kvm_pvm") {
            HostKind::Pvm
        } else if loaded("kvm_intel") {
            HostKind::Vmx
        } else if loaded("kvm_amd") {
            HostKind::Svm
        } else {
            HostKind::Unknown
        }
    }
}

impl fmt::Display for HostKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why KVM cannot be used here.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No such device.
    #[error(
        "cannot open {}: it does not exist; load KVM with `modprobe kvm_intel` or `modprobe kvm_amd` (virtualization \
         must be enabled in the firmware, or nested virtualization by the cloud provider); in a container, start it \
         with `--device /dev/kvm`; or run in the simulator with --sim",
        path.display()
    )]
    Missing {
        /// What was to be opened.
        path: PathBuf,
    },
    /// The device may not be opened.
    #[error(
        "cannot open {}: permission denied; join its group with `sudo usermod -aG kvm $USER` and log in again, or run as \
         a user that may read and write it; or run in the simulator with --sim",
        path.display()
    )]
    Denied {
        /// What was to be opened.
        path: PathBuf,
    },
    /// The device exists but no KVM module stands behind it.
    #[error(
        "cannot open {}: the device node exists but no KVM module answers; load one with `modprobe kvm_intel` or `modprobe \
         kvm_amd`, and see `dmesg | grep -i kvm` if that fails",
        path.display()
    )]
    NoModule {
        /// What was to be opened.
        path: PathBuf,
    },
    /// Any other failure to open.
    #[error("cannot open {}: {source}; check that it is the KVM device (character device 10, 232)", path.display())]
    Open {
        /// What was to be opened.
        path: PathBuf,
        /// What the host said.
        source: std::io::Error,
    },
    /// It opens but does not speak KVM.
    #[error("{} does not answer as KVM does; check that it is the KVM device (character device 10, 232)", path.display())]
    NotKvm {
        /// What was opened.
        path: PathBuf,
    },
    /// Another API version.
    #[error("KVM speaks API version {found}, Umpire needs version {API_VERSION}; use a newer host kernel")]
    ApiVersion {
        /// What KVM reported.
        found: i32,
    },
    /// Too old: something is missing.
    #[error("KVM on this host lacks {name}, which Umpire needs; use a host kernel of 5.10 or newer")]
    Capability {
        /// Name of the missing capability.
        name: &'static str,
    },
}

/// A usable KVM.
#[derive(Debug)]
pub struct Host {
    kvm: Kvm,
    kind: HostKind,
    max_vcpus: usize,
    has_split_irqchip: bool,
}

impl Host {
    /// Opens /dev/kvm and checks that it can do what is needed.
    ///
    /// # Errors
    /// A [`HostError`] that says what to do.
    pub fn probe() -> Result<Host, HostError> {
        Host::probe_at(Path::new("/dev/kvm"))
    }

    /// Like [`Host::probe`], with another device.
    ///
    /// # Errors
    /// A [`HostError`] that says what to do.
    pub fn probe_at(path: &Path) -> Result<Host, HostError> {
        let kvm = open(path)?;
        let version = kvm.get_api_version();
        if version < 0 {
            return Err(HostError::NotKvm { path: path.to_owned() });
        }
        if version != API_VERSION {
            return Err(HostError::ApiVersion { found: version });
        }
        if let Some((_, name)) = NEEDED.iter().find(|(cap, _)| !kvm.check_extension(*cap)) {
            return Err(HostError::Capability { name });
        }
        let kind = HostKind::detect(Path::new("/sys/module"));
        let max_vcpus = kvm.get_max_vcpus();
        let has_split_irqchip = kvm.check_extension(Cap::SplitIrqchip);
        Ok(Host { kvm, kind, max_vcpus, has_split_irqchip })
    }

    /// Which kind it is.
    pub fn kind(&self) -> HostKind {
        self.kind
    }

    /// Most virtual CPUs that KVM gives one machine.
    pub fn max_vcpus(&self) -> usize {
        self.max_vcpus
    }

    /// True if KVM can emulate local APICs without the legacy interrupt controllers.
    pub fn has_split_irqchip(&self) -> bool {
        self.has_split_irqchip
    }

    /// The device.
    pub(super) fn kvm(&self) -> &Kvm {
        &self.kvm
    }
}

fn open(path: &Path) -> Result<Kvm, HostError> {
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|e| HostError::Open { path: path.to_owned(), source: e.into() })?;
    Kvm::new_with_path(&name).map_err(|e| {
        let path = path.to_owned();
        match e.errno() {
            libc::ENOENT => HostError::Missing { path },
            libc::EACCES | libc::EPERM => HostError::Denied { path },
            libc::ENODEV | libc::ENXIO => HostError::NoModule { path },
            errno => HostError::Open { path, source: std::io::Error::from_raw_os_error(errno) },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_of_a_missing_device_says_how_to_get_one() {
        let error = Host::probe_at(Path::new("/nonexistent/kvm")).expect_err("missing");
        assert!(matches!(error, HostError::Missing { .. }));
        let text = error.to_string();
        assert!(text.contains("modprobe kvm_intel") && text.contains("--device /dev/kvm"), "{text}");
    }

    #[test]
    fn probe_of_another_device_says_it_is_not_kvm() {
        let error = Host::probe_at(Path::new("/dev/null")).expect_err("not KVM");
        assert!(matches!(error, HostError::NotKvm { .. }), "{error}");
    }

    #[test]
    fn probe_of_a_directory_gives_what_the_host_said() {
        let error = Host::probe_at(Path::new("/")).expect_err("not a device");
        assert!(matches!(error, HostError::Open { .. }), "{error}");
    }

    #[test]
    fn detect_prefers_the_module_that_runs_guests() {
        assert_eq!(HostKind::detect(Path::new("/nonexistent")), HostKind::Unknown);
        assert_eq!(HostKind::Pvm.to_string(), "pvm");
    }
}
