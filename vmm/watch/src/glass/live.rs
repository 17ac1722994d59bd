//! A machine on KVM as a target, while it runs and after it has been stopped.
//!
//! # Invariants
//! - Nothing here stops a vCPU or makes it exit, but [`Target::asker`]; [`Target::pause`] is refused.

use std::sync::Arc;

use umpire_machine::memory::GuestMemory;
use umpire_machine::{MachineView, Registers};

use super::layout::Layout;
use super::symbols::Symbols;
use super::target::{Ability, AskCpu, CpuClocks, Lacks, Pause, Root, Target};

/// A machine, and what is known of the image that it runs.
#[derive(Debug, Clone)]
pub struct LiveMachine {
    view: MachineView,
    layout: Arc<Layout>,
    symbols: Arc<Symbols>,
}

impl LiveMachine {
    /// The machine of this view, which runs the image that `layout` and `symbols` are of.
    pub fn new(view: MachineView, layout: Arc<Layout>, symbols: Arc<Symbols>) -> LiveMachine {
        LiveMachine { view, layout, symbols }
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

    fn asker(&self) -> Result<Arc<dyn AskCpu>, Lacks> {
        Ok(Arc::new(self.view.clone()))
    }

    fn console(&self) -> Result<String, Lacks> {
        Ok(self.view.console())
    }

    fn pause(&self) -> Result<Pause<'_>, Lacks> {
        let why = "a machine that is watched is never stopped; every read of it is verified instead";
        Err(Lacks::new(self, Ability::Pause, why))
    }
}
