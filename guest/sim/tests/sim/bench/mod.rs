//! The bench on which the tests put kernels: a builder for programs, and a simulation that must not end by itself.
//!
//! # Invariants
//! - A simulation that ends by itself fails the test that runs it, with its seed.

pub mod caps;
pub mod draw;
pub mod load;
pub mod queue;
pub mod side_by_side;
pub mod streams;

use std::ops::{Deref, DerefMut};

use umpire_shared::work::Workload;
use umpire_shared::{mutant, pack_name, program};
use umpire_sim::{Sim, SimConfig, SimState};

/// ns in a millisecond.
pub const MS: u64 = 1_000_000;
/// ns in a second.
pub const SECOND: u64 = 1000 * MS;

/// A program being written.
pub struct Program {
    ncpus: u32,
    header: program::Header,
    threads: Vec<program::Thread>,
    interrupts: Vec<program::Interrupt>,
    projects: Vec<program::Project>,
    psets: Vec<program::Pset>,
    events: Vec<program::Event>,
    tables: Vec<program::TableRow>,
}

/// A thread of this class, priority, CPU (-1: none) and workload; TS threads have an LWP.
pub fn thread(name: &str, class: u32, pri: i32, cpu: i32, work: impl Into<Workload>) -> program::Thread {
    let mut t = program::Thread::named(name, pri, work);
    t.class = class;
    t.cpu = cpu;
    t.lwp = class == program::class::TS;
    t
}

impl Program {
    /// An empty program for so many CPUs.
    pub fn new(ncpus: u32) -> Program {
        Program {
            ncpus,
            header: program::Header::default(),
            threads: Vec::new(),
            interrupts: Vec::new(),
            projects: Vec::new(),
            psets: Vec::new(),
            events: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// Sets a tunable.
    pub fn tunable(mut self, n: usize, value: i64) -> Program {
        self.header.tunables[n] = value;
        self
    }

    /// Breaks a rule.
    pub fn mutant(mut self, mutants: impl Into<mutant::Set>) -> Program {
        self.header.mutants = self.header.mutants.and(mutants);
        self
    }

    /// Records events.
    pub fn traced(mut self) -> Program {
        self.header.trace = umpire_shared::program::trace::ALL;
        self
    }

    /// Adds a thread.
    pub fn thread(mut self, t: program::Thread) -> Program {
        self.threads.push(t);
        self
    }

    /// Adds an interrupt source.
    pub fn interrupt(mut self, name: &str, cpu: u32, pil: u32, rate_hz: u64) -> Program {
        self.interrupts.push(program::Interrupt::named(name, cpu, pil, rate_hz));
        self
    }

    /// Adds an interrupt source with specialities.
    pub fn device(mut self, device: program::Interrupt) -> Program {
        self.interrupts.push(device);
        self
    }

    /// Adds a project of the global zone.
    pub fn project(mut self, name: &str, shares: u32) -> Program {
        self.projects.push(program::Project {
            name: pack_name(name),
            shares,
            zone: 0,
            zone_shares: 1,
            cap: 0,
            zone_cap: 0,
        });
        self
    }

    /// Caps the project that was added last, in per cent of one CPU.
    pub fn cap(mut self, percent: u32) -> Program {
        self.projects.last_mut().expect("a project").cap = percent;
        self
    }

    /// Puts the project that was added last into a zone, which is capped in per cent of one CPU, 0 for not at all.
    pub fn zone(mut self, zone: u32, cap: u32) -> Program {
        let project = self.projects.last_mut().expect("a project");
        (project.zone, project.zone_cap) = (zone, cap);
        self
    }

    /// Puts each project into a zone of its own with these shares.
    pub fn zones(mut self, shares: [u32; 2]) -> Program {
        for (n, (project, zone_shares)) in self.projects.iter_mut().zip(shares).enumerate() {
            (project.zone, project.zone_shares) = (n as u32, zone_shares);
        }
        self
    }

    /// Adds a processor set.
    pub fn pset(mut self, name: &str, cpus: u64) -> Program {
        self.psets.push(program::Pset { name: pack_name(name), cpus });
        self
    }

    /// Adds an event; events come by time.
    pub fn event(mut self, at_ns: u64, verb: program::Verb, target: u32, args: &[i64]) -> Program {
        let mut all = [program::NO_CHANGE; program::EVENT_ARGS];
        all[..args.len()].copy_from_slice(args);
        self.events.push(program::Event { at_ns, verb, target, args: all });
        self
    }

    /// Gives the machine chips, cores and strands.
    pub fn topology(mut self, chips: u32, cores: u32, strands: u32) -> Program {
        (self.header.chips, self.header.cores, self.header.strands) = (chips, cores, strands);
        self
    }

    /// Gives the kernel so many bytes to allocate from when it runs.
    pub fn memory(mut self, bytes: u64) -> Program {
        self.header.memory = bytes;
        self
    }

    /// Gives the kernel so many threads for task queues.
    pub fn pool(mut self, threads: u32) -> Program {
        self.header.pool = threads;
        self
    }

    /// Divides the CPUs into locality groups.
    pub fn lgroups(mut self, n: u32) -> Program {
        self.header.lgroups = n;
        self
    }

    /// Replaces a class's dispatcher table.
    pub fn table(mut self, class: u32, rows: &[[i64; program::ROW_VALUES]]) -> Program {
        self.tables.extend(rows.iter().map(|&values| program::TableRow { class, values }));
        self
    }

    /// Boots it with a seed.
    pub fn boot(&self, seed: u64) -> Bench {
        let lists = program::Lists {
            threads: &self.threads,
            interrupts: &self.interrupts,
            projects: &self.projects,
            psets: &self.psets,
            taskqs: &[],
            streams: &[],
            events: &self.events,
            tables: &self.tables,
        };
        let mut bytes = vec![0; program::encoded_len(&lists)];
        program::encode(&self.header, &lists, &mut bytes).expect("the buffer fits");
        let config = SimConfig { ncpus: self.ncpus, program: &bytes, seed, absence: None };
        Bench { sim: Sim::new(&config).expect("a valid program"), seed }
    }
}

/// A simulation with its seed, for messages.
pub struct Bench {
    sim: Sim,
    /// The seed.
    pub seed: u64,
}

impl Bench {
    /// Runs to a time and insists that the guest still lives.
    #[track_caller]
    pub fn run_until_ok(&mut self, time_ns: u64) {
        let state = self.sim.run_until(time_ns);
        assert_eq!(state, SimState::Running, "seed {}", self.seed);
    }
}

impl Deref for Bench {
    type Target = Sim;

    fn deref(&self) -> &Sim {
        &self.sim
    }
}

impl DerefMut for Bench {
    fn deref_mut(&mut self) -> &mut Sim {
        &mut self.sim
    }
}

/// What a thread is called.
pub fn name(t: &umpire_kernel::Kthread) -> String {
    t.name(&mut [0; umpire_shared::NAME_LEN]).to_string()
}
