//! The machine's CPUs: how many, how they share chips and cores, how near they are to each other, and which processor sets they
//! are in at the start.
//!
//! # Invariants
//! - A CPU is in one processor set at most, and the default set keeps at least one.
//! - Locality groups have equally many CPUs: whole chips, or whole cores of one chip.

use umpire_shared::program::{Project, Pset};
use umpire_shared::sys::class;
use umpire_shared::{MAX_CPUS, pack_name};

use super::error::Fault;
use super::field::{Fields, Value};
use super::namespace::Namespace;
use super::thread;

/// Shares that a project or zone may have (`project.cpu-shares`).
const SHARES: (i64, i64) = (0, class::MAX_SHARES as i64);
/// The greatest cap for each CPU of the machine, in per cent.
const CAP_A_CPU: u32 = 100;
/// The greatest number of a zone; 0 is the global one.
pub(super) const MAX_ZONE: i64 = 63;
/// Projects and processor sets that a scenario may have.
const MAX_PROJECTS: usize = 64;

/// How CPUs share chips and cores. CPU `n` is strand `n % strands` of a core, cores in turn of a chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topology {
    /// Chips.
    pub chips: u32,
    /// Cores a chip.
    pub cores: u32,
    /// Strands a core.
    pub strands: u32,
    /// Locality groups. CPU `n` is in group `n * lgroups / cpus`.
    pub lgroups: u32,
}

impl Topology {
    /// So many CPUs, each a core of its own, on one chip.
    pub fn flat(cpus: u32) -> Topology {
        Topology { chips: 1, cores: cpus, strands: 1, lgroups: 1 }
    }

    /// CPUs in all.
    pub fn cpus(self) -> u32 {
        self.chips * self.cores * self.strands
    }

    /// The CPUs of a locality group, a bit each.
    pub fn lgroup(self, n: u32) -> u64 {
        let size = self.cpus() / self.lgroups;
        ((1 << size) - 1) << (n * size)
    }

    /// True if no locality group cuts a core, or cuts a chip without lying within it.
    fn is_even(self) -> bool {
        let (size, chip) = (self.cpus() / self.lgroups, self.cores * self.strands);
        self.cpus().is_multiple_of(self.lgroups)
            && size.is_multiple_of(self.strands)
            && (size.is_multiple_of(chip) || chip.is_multiple_of(size))
    }
}

/// Reads `cpus = 4` or `cpus = { chips = 2, cores = 2, strands = 4, lgroups = 2 }`.
pub(super) fn read(value: &Value<'_>) -> Result<Topology, Box<Fault>> {
    let max = MAX_CPUS as i64;
    if !value.is_table() {
        return value.number(1, max).map(|cpus| Topology::flat(cpus as u32));
    }
    let fields = value.table("`cpus`", &["chips", "cores", "strands", "lgroups"])?;
    let count = |key| Ok::<u32, Box<Fault>>(fields.optional(key, |v| v.number(1, max))?.unwrap_or(1) as u32);
    let (chips, cores, strands) = (count("chips")?, count("cores")?, count("strands")?);
    let topology = Topology { chips, cores, strands, lgroups: count("lgroups")? };
    if topology.cpus() as usize > MAX_CPUS {
        let message = format!("a machine has 1 to {MAX_CPUS} CPUs, found {}", topology.cpus());
        return Err(value.fault(message).help("chips x cores x strands is the number of CPUs"));
    }
    if let Some(lgroups) = fields.get("lgroups").filter(|_| !topology.is_even()) {
        let message =
            format!("{} CPUs do not divide into {} locality groups", topology.cpus(), topology.lgroups);
        return Err(lgroups.fault(message).help("a group is whole chips, or whole cores of one chip"));
    }
    Ok(topology)
}

/// Reads one `[[project]]` table of a machine with so many CPUs, after the tables before it. The zone's first project gives the
/// values of the zone; its other projects may only repeat them.
fn project(value: &Value<'_>, cpus: u32, before: &[Project]) -> Result<Project, Box<Fault>> {
    let keys = ["name", "shares", "zone", "zone_shares", "cap", "zone_cap"];
    let fields = value.table("[[project]]", &keys)?;
    let zone = fields.optional("zone", |v| v.number(0, MAX_ZONE))?.unwrap_or(0) as u32;
    let first = before.iter().find(|other| other.zone == zone);
    let of_zone = |key, found: Option<u32>, said: Option<u32>, default: u32| match (found, said) {
        (Some(found), Some(said)) if found != said => {
            let name = first.map_or("", |first| umpire_shared::unpack_name(&first.name));
            let message =
                format!("`{key}` is {found} here, and {said} for the same zone {zone} in project `{name}`");
            let help = "say it with the first project of the zone; the others may leave it out";
            Err(fields.need(key, "1")?.fault(message).help(help))
        }
        (found, said) => Ok(said.or(found).unwrap_or(default)),
    };
    let zone_shares = fields.optional("zone_shares", |v| v.number(SHARES.0, SHARES.1))?.map(|n| n as u32);
    let zone_cap = fields.optional("zone_cap", |v| cap(v, cpus))?;
    Ok(Project {
        name: pack_name(thread::name(&fields)?),
        shares: fields.need("shares", "1")?.number(SHARES.0, SHARES.1)? as u32,
        zone,
        zone_shares: of_zone("zone_shares", zone_shares, first.map(|p| p.zone_shares), 1)?,
        cap: fields.optional("cap", |v| cap(v, cpus))?.unwrap_or(0),
        zone_cap: of_zone("zone_cap", zone_cap, first.map(|p| p.zone_cap), 0)?,
    })
}

/// Reads a cap in per cent of one CPU, for a machine with so many CPUs.
pub(super) fn cap(value: &Value<'_>, cpus: u32) -> Result<u32, Box<Fault>> {
    let percent = value.number(1, i64::from(CAP_A_CPU * cpus));
    percent.map(|n| n as u32).map_err(|fault| fault.help("per cent of one CPU, so 150 is one and a half"))
}

/// Reads one `[[pset]]` table.
fn pset(value: &Value<'_>, namespace: &Namespace) -> Result<Pset, Box<Fault>> {
    let fields = value.table("[[pset]]", &["name", "cpus"])?;
    let name = thread::name(&fields)?;
    if name == "default" {
        let message = "`default` is the set of every CPU that is in no other";
        return Err(fields.need("name", "\"a\"")?.fault(message));
    }
    let mut cpus = 0;
    for cpu in fields.need("cpus", "[1]")?.list()? {
        let bit = 1_u64 << namespace.cpu(&cpu)?;
        let elsewhere = namespace.psets.iter().any(|set| set.cpus & bit != 0);
        if elsewhere || cpus & bit != 0 {
            return Err(cpu.fault("this CPU is already in a processor set"));
        }
        cpus |= bit;
    }
    let all = namespace.psets.iter().fold(cpus, |all, set| all | set.cpus);
    if all.count_ones() == namespace.cpus {
        let message = "no CPU is left for the default processor set";
        return Err(fields.need("cpus", "[1]")?.fault(message));
    }
    Ok(Pset { name: pack_name(name), cpus })
}

/// A namespace of the CPUs, projects and processor sets of a scenario, and nothing else yet.
pub(super) fn places(root: &Fields<'_>, topology: Topology) -> Result<Namespace, Box<Fault>> {
    let cpus = topology.cpus();
    let mut namespace = Namespace { cpus, topology: Some(topology), ..Namespace::default() };
    for table in root.get("project").map(|list| list.list()).transpose()?.unwrap_or_default() {
        let project = project(&table, cpus, &namespace.projects)?;
        namespace.projects.push(project);
    }
    for set in root.get("pset").map(|list| list.list()).transpose()?.unwrap_or_default() {
        let set = pset(&set, &namespace)?;
        namespace.psets.push(set);
    }
    for (key, count) in [("project", namespace.projects.len()), ("pset", namespace.psets.len())] {
        if count > MAX_PROJECTS {
            let message = format!("a scenario has at most {MAX_PROJECTS} [[{key}]] tables, found {count}");
            return Err(super::namespace::at_list(root, key, message));
        }
    }
    Ok(namespace)
}
