//! A target: what can be looked at, whatever it is: a machine that runs, here or in another process, a simulated one, a core.
//!
//! # Invariants
//! - Every target has memory, a root and a layout. Asked for anything else, it answers, or says what it lacks and why: nothing
//!   is made up in place of what cannot be had.
//! - No ability has a default: a new target says of each what it can do, and a new ability is a compile error in each target.

use std::fmt;
use std::mem::offset_of;
use std::sync::Arc;

use umpire_machine::memory::GuestMemory;
use umpire_machine::{MachineView, Registers, Standing, VcpuClocks, VcpuState};
use umpire_shared::boot::{BOOT_BLOCK, BootBlock};

use super::control::{Control, Identity, Verdicts};
use super::layout::Layout;
use super::symbols::Symbols;

/// What can be looked at.
pub trait Target {
    /// What it is, in a word, for reports and errors: a kind of KVM, `sim`.
    fn name(&self) -> &str;

    /// Which machine it is: of what run, with how many CPUs.
    fn identity(&self) -> Identity;

    /// Its memory.
    fn memory(&self) -> Arc<dyn GuestMemory>;

    /// How to find its kernel's root object.
    fn root(&self) -> Root;

    /// Where the fields of its kernel's structures lie.
    fn layout(&self) -> Arc<Layout>;

    /// The names of its code's addresses.
    ///
    /// # Errors
    /// [`Lacks`] if its code is not that of an image with symbols.
    fn symbols(&self) -> Result<Arc<Symbols>, Lacks>;

    /// The clocks of its CPUs.
    ///
    /// # Errors
    /// [`Lacks`] if its CPUs do not run: in a core.
    fn clocks(&self) -> Result<&dyn CpuClocks, Lacks>;

    /// The registers of a CPU.
    ///
    /// # Errors
    /// [`Lacks`] if that CPU runs, or if it has none that can be seen.
    fn registers(&self, cpu: u32) -> Result<Registers, Lacks>;

    /// What can ask CPUs where they are.
    ///
    /// # Errors
    /// [`Lacks`] if they cannot be asked.
    fn asker(&self, whom: Asking) -> Result<Arc<dyn AskCpu>, Lacks>;

    /// What the guest has written to its console since the last call.
    ///
    /// # Errors
    /// [`Lacks`] if it was not kept.
    fn console(&self) -> Result<String, Lacks>;

    /// Keeps every CPU from running for as long as the pause lives.
    ///
    /// # Errors
    /// [`Lacks`] if it cannot be stopped.
    fn pause(&self) -> Result<Pause<'_>, Lacks>;

    /// What the referee of its run has found so far.
    ///
    /// # Errors
    /// [`Lacks`] if nobody referees it, or if who does cannot be asked.
    fn verdicts(&self) -> Result<Verdicts, Lacks>;

    /// What stops it, lets it go on, and writes into it.
    ///
    /// # Errors
    /// [`Lacks`] if it does not run.
    fn control(&self) -> Result<Arc<dyn Control>, Lacks>;
}

/// The clocks of a target's CPUs. Asking for those of a machine of this process allocates nothing.
pub trait CpuClocks {
    /// ns that a CPU has run. 0 for a CPU that does not exist.
    fn ran_ns(&self, cpu: usize) -> u64;

    /// ns for which a CPU was ready and its host ran something else: may read a file of /proc, so ask rarely. 0 where that
    /// is not known.
    fn steal_ns(&self, cpu: usize) -> u64;

    /// Whether a CPU runs, or waits for its host to let it run, and for which CPU of the host; that it is not, where that is not
    /// known. May read a file of /proc, so ask rarely.
    fn state(&self, cpu: usize) -> VcpuState;
}

impl CpuClocks for VcpuClocks {
    fn ran_ns(&self, cpu: usize) -> u64 {
        VcpuClocks::ran_ns(self, cpu)
    }

    fn steal_ns(&self, cpu: usize) -> u64 {
        self.steal_ns_of(cpu)
    }

    fn state(&self, cpu: usize) -> VcpuState {
        VcpuClocks::state(self, cpu)
    }
}

/// Which CPUs may be asked where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// Only those that stand still: nothing is stopped for it.
    Still,
    /// Those that run too: each is kicked out of the guest for the time of one read of its registers.
    Running,
}

/// Asks a CPU that runs where it is. It costs the guest some microseconds, so it is for what has been judged.
pub trait AskCpu: Send + Sync {
    /// Where a CPU is; `None` if it gives no answer.
    fn standing(&self, cpu: u32) -> Option<Standing>;
}

/// Asks those that stand still only.
pub(super) struct Still(pub(super) MachineView);

impl AskCpu for Still {
    fn standing(&self, cpu: u32) -> Option<Standing> {
        self.0.standing_still(cpu as usize)
    }
}

impl AskCpu for MachineView {
    fn standing(&self, cpu: u32) -> Option<Standing> {
        MachineView::standing(self, cpu as usize)
    }
}

/// How to find the kernel's root object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// In the boot block, once the guest has put it there.
    BootBlock,
    /// At a known address: a kernel in the simulator.
    At(u64),
}

impl Root {
    /// The address of the root object in this memory, 0 while there is none.
    pub fn find(self, memory: &dyn GuestMemory) -> u64 {
        match self {
            Root::At(addr) => addr,
            Root::BootBlock => {
                let field = BOOT_BLOCK + offset_of!(BootBlock, root) as u64;
                memory.read_u64(field).unwrap_or(0)
            }
        }
    }
}

/// What some targets can and others cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// [`Target::symbols`].
    Symbols,
    /// [`Target::clocks`].
    Clocks,
    /// [`Target::registers`].
    Registers,
    /// [`Target::asker`].
    Asker,
    /// [`Target::console`].
    Console,
    /// [`Target::pause`].
    Pause,
    /// [`Target::verdicts`].
    Verdicts,
    /// [`Target::control`].
    Control,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ability::Symbols => "symbols",
            Ability::Clocks => "running clocks",
            Ability::Registers => "registers to be seen",
            Ability::Asker => "CPUs that can be asked where they are",
            Ability::Console => "console",
            Ability::Pause => "way to be paused",
            Ability::Verdicts => "verdicts",
            Ability::Control => "way to be controlled",
        })
    }
}

/// A target was asked for something that it lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the target `{target}` has no {ability}: {why}")]
pub struct Lacks {
    /// The target's name.
    pub target: String,
    /// What it lacks.
    pub ability: Ability,
    /// Why, and what to do instead if anything can be done.
    pub why: &'static str,
}

impl Lacks {
    /// `target` lacks `ability`.
    pub fn new(target: &dyn Target, ability: Ability, why: &'static str) -> Lacks {
        Lacks { target: target.name().to_owned(), ability, why }
    }
}

/// No CPU of a target runs while this lives.
#[must_use = "the target goes on when the pause is dropped"]
pub struct Pause<'t> {
    resume: Option<Box<dyn FnOnce() + 't>>,
}

impl<'t> Pause<'t> {
    /// The pause of a target that stands still anyway.
    pub fn of_still() -> Pause<'t> {
        Pause { resume: None }
    }

    /// The pause of a target that has been stopped, and that `resume` lets go on.
    pub fn until(resume: impl FnOnce() + 't) -> Pause<'t> {
        Pause { resume: Some(Box::new(resume)) }
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        if let Some(resume) = self.resume.take() {
            resume();
        }
    }
}

impl fmt::Debug for Pause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pause").field("has_stopped_it", &self.resume.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::fake::FakeKernel;
    use std::cell::Cell;

    #[test]
    fn target_says_by_name_what_it_has_not() {
        let kernel = FakeKernel::new(1, 2);
        let lacks = Lacks::new(&kernel, Ability::Clocks, "nothing runs in a core");

        assert_eq!(lacks.to_string(), "the target `fake` has no running clocks: nothing runs in a core");
        assert_eq!(kernel.registers(0).map_err(|l| l.ability), Err(Ability::Registers));
    }

    #[test]
    fn pause_ends_when_it_is_dropped_and_not_before() {
        let resumed = Cell::new(0);
        let pause = Pause::until(|| resumed.set(resumed.get() + 1));
        assert_eq!(resumed.get(), 0);

        drop(pause);

        assert_eq!(resumed.get(), 1);
        drop(Pause::of_still());
    }
}
