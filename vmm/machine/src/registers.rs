//! The registers of a vCPU that is out of the guest.
//!
//! # Invariants
//! - Each register has one name, in one table: who shows them, dumps them or sends them goes through it.

use kvm_bindings::{kvm_regs, kvm_sregs};
use kvm_ioctls::VcpuFd;

macro_rules! registers {
    ($($name:ident: $what:literal),* $(,)?) => {
        /// The registers of a vCPU that has left the guest.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct Registers {
            $(#[doc = $what] pub $name: u64,)*
        }

        impl Registers {
            /// Each with its name.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }

            /// Gives the one of this name a value; false if there is none of that name.
            pub fn set(&mut self, name: &str, value: u64) -> bool {
                match name {
                    $(stringify!($name) => self.$name = value,)*
                    _ => return false,
                }
                true
            }
        }
    };
}

registers! {
    rax: "General.",
    rbx: "General.",
    rcx: "General.",
    rdx: "General.",
    rsi: "General.",
    rdi: "General.",
    rbp: "Frame pointer.",
    rsp: "Stack pointer.",
    r8: "General.",
    r9: "General.",
    r10: "General.",
    r11: "General.",
    r12: "General.",
    r13: "General.",
    r14: "General.",
    r15: "General.",
    rip: "Instruction pointer.",
    rflags: "Flags.",
    cs: "Code segment.",
    ss: "Stack segment.",
    ds: "Data segment.",
    es: "Data segment.",
    fs: "Data segment.",
    gs: "Data segment.",
    fs_base: "Base of `fs`.",
    gs_base: "Base of `gs`.",
}

/// How many of the named ones are general, in their order: those that can be set.
const GENERAL: usize = 18;

impl Registers {
    /// The names of the general registers.
    pub fn general_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.named().take(GENERAL).map(|(name, _)| name)
    }

    /// True if the others are the same as in `other`.
    pub fn has_segments_of(&self, other: &Registers) -> bool {
        self.named().skip(GENERAL).eq(other.named().skip(GENERAL))
    }

    /// Of a vCPU that is out of the guest; `None` if KVM does not say.
    pub(super) fn of(fd: &VcpuFd) -> Option<Registers> {
        let r = fd.get_regs().ok()?;
        let s = fd.get_sregs().ok()?;
        Some(Registers {
            rax: r.rax,
            rbx: r.rbx,
            rcx: r.rcx,
            rdx: r.rdx,
            rsi: r.rsi,
            rdi: r.rdi,
            rbp: r.rbp,
            rsp: r.rsp,
            r8: r.r8,
            r9: r.r9,
            r10: r.r10,
            r11: r.r11,
            r12: r.r12,
            r13: r.r13,
            r14: r.r14,
            r15: r.r15,
            rip: r.rip,
            rflags: r.rflags,
            ..Registers::segments(&s)
        })
    }

    fn segments(s: &kvm_sregs) -> Registers {
        Registers {
            cs: s.cs.selector.into(),
            ss: s.ss.selector.into(),
            ds: s.ds.selector.into(),
            es: s.es.selector.into(),
            fs: s.fs.selector.into(),
            gs: s.gs.selector.into(),
            fs_base: s.fs.base,
            gs_base: s.gs.base,
            ..Registers::default()
        }
    }

    /// What KVM is given: the general ones; segments stay as they are.
    pub(super) fn general(&self) -> kvm_regs {
        kvm_regs {
            rax: self.rax,
            rbx: self.rbx,
            rcx: self.rcx,
            rdx: self.rdx,
            rsi: self.rsi,
            rdi: self.rdi,
            rbp: self.rbp,
            rsp: self.rsp,
            r8: self.r8,
            r9: self.r9,
            r10: self.r10,
            r11: self.r11,
            r12: self.r12,
            r13: self.r13,
            r14: self.r14,
            r15: self.r15,
            rip: self.rip,
            rflags: self.rflags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn general_registers_are_those_up_to_the_flags() {
        let registers = Registers::default();
        assert_eq!(registers.general_names().last(), Some("rflags"));
        assert!(registers.has_segments_of(&Registers { rip: 1, ..registers }));
        assert!(!registers.has_segments_of(&Registers { cs: 1, ..registers }));
    }

    #[test]
    fn named_and_set_know_the_same_registers() {
        let mut registers = Registers::default();
        for (n, (name, _)) in Registers::default().named().enumerate() {
            assert!(registers.set(name, n as u64 + 1), "{name}");
        }
        assert!(registers.named().map(|(_, value)| value).eq(1..=26));
        assert!(!registers.set("xmm0", 1));
    }
}
