//! A machine on KVM as a target, while it runs and after it has been stopped.
//!
//! # Invariants
//! - Nothing here stops a vCPU or makes it exit, but an asker of CPUs that run, and [`Target::pause`].

use std::sync::Arc;

use umpire_machine::memory::GuestMemory;
use umpire_machine::{MachineView, Registers};

use super::control::{Control, Identity, Verdicts};
use super::layout::Layout;
use super::symbols::Symbols;
use super::target::{Ability, AskCpu, Asking, CpuClocks, Lacks, Pause, Root, Still, Target};

/// A machine, and what is known of the image that it runs.
#[derive(Debug, Clone)]
pub struct LiveMachine {
    view: MachineView,
    layout: Arc<Layout>,
    symbols: Arc<Symbols>,
    identity: Identity,
}

impl LiveMachine {
    /// The machine of this view, which runs the image that `layout` and `symbols` are of.
    pub fn new(
        view: MachineView,
        layout: Arc<Layout>,
        symbols: Arc<Symbols>,
        identity: Identity,
    ) -> LiveMachine {
        LiveMachine { view, layout, symbols, identity }
    }

    /// What only a machine on KVM has: exits, an epitaph, the way its vCPUs ended.
    pub fn view(&self) -> &MachineView {
        &self.view
    }
}

impl Target for LiveMachine {
    fn name(&self) -> &str {
        self.view.kind().name()
    }

    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn memory(&self) -> Arc<dyn GuestMemory> {
        self.view.memory()
    }

    fn root(&self) -> Root {
        Root::BootBlock
    }

    fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout)
    }

    fn symbols(&self) -> Result<Arc<Symbols>, Lacks> {
        Ok(Arc::clone(&self.symbols))
    }

    fn clocks(&self) -> Result<&dyn CpuClocks, Lacks> {
        Ok(self.view.clocks())
    }

    fn registers(&self, cpu: u32) -> Result<Registers, Lacks> {
        let why = "the vCPU is in the guest, or does not exist; stop the machine first";
        self.view.registers(cpu as usize).ok_or_else(|| Lacks::new(self, Ability::Registers, why))
    }

    fn asker(&self, whom: Asking) -> Result<Arc<dyn AskCpu>, Lacks> {
        Ok(match whom {
            Asking::Running => Arc::new(self.view.clone()),
            Asking::Still => Arc::new(Still(self.view.clone())),
        })
    }

    fn console(&self) -> Result<String, Lacks> {
        Ok(self.view.console())
    }

    fn pause(&self) -> Result<Pause<'_>, Lacks> {
        match self.view.pin(None) {
            Ok(pins) => Ok(Pause::until(move || drop(pins))),
            Err(_) => Err(Lacks::new(
                self,
                Ability::Pause,
                "a vCPU did not come out of the guest within 2 s; try again",
            )),
        }
    }

    fn verdicts(&self) -> Result<Verdicts, Lacks> {
        Err(Lacks::new(self, Ability::Verdicts, "they are in the report of its run"))
    }

    fn control(&self) -> Result<Arc<dyn Control>, Lacks> {
        let why = "its own run controls it; `umpire mdb NAME` controls a machine of another `umpire run`";
        Err(Lacks::new(self, Ability::Control, why))
    }
}
