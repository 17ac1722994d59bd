//! A variant as the bytes that the kernel reads.
//!
//! # Invariants
//! - What is encoded here decodes to the same records; nothing is checked or changed on the way.

use umpire_shared::program::{self, Event, Header, Lists};

use super::file::Scenario;
use super::taskq;
use super::topology::Topology;
use super::variant::{Tracing, Variant};

impl Variant {
    /// Threads of the kernel's before its system threads: the scenario's own, and those that its task queues may have.
    pub fn roster_threads(&self, scenario: &Scenario) -> u32 {
        self.threads.len() as u32 + taskq::pool(self, scenario.cpus)
    }

    /// The scenario program of this variant, in the format of [`umpire_shared::program`].
    pub fn program(&self, scenario: &Scenario, tracing: Tracing) -> Vec<u8> {
        let topology = scenario.topology.unwrap_or_else(|| Topology::flat(scenario.cpus));
        let header = Header {
            mutants: self.mutants,
            trace: tracing.number(),
            console: self.console,
            script_class: self.script.class,
            script_pri: self.script.pri,
            chips: topology.chips,
            cores: topology.cores,
            strands: topology.strands,
            lgroups: topology.lgroups,
            memory: scenario.memory,
            pool: taskq::pool(self, scenario.cpus),
            tunables: self.tunables,
        };
        let events: Vec<Event> = self.events.iter().map(|scripted| scripted.event).collect();
        let lists = Lists {
            threads: &self.threads,
            interrupts: &self.interrupts,
            projects: &scenario.projects,
            psets: &scenario.psets,
            taskqs: &self.taskqs,
            streams: &self.streams,
            events: &events,
            tables: &self.tables,
        };
        let len = program::encoded_len(&lists);
        let mut bytes = vec![0; len];
        program::encode(&header, &lists, &mut bytes)
            .expect("invariant: a buffer of encoded_len bytes holds the program");
        bytes
    }
}
