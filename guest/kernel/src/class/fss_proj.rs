//! Projects of the fair-share class: shares, usage, and which of them are runnable (`fss.c fssproj_t`, `fssps_t`, `fsszone_t`).
//!
//! A project has an account in each partition: a processor set is divided among the projects that run in it.
//!
//! # Invariants
//! - Everything here but `kpj_shares` changes under its partition's `fssps_displock`, a leaf: it is taken under a
//!   thread's lock, and nothing is taken under it.
//! - `fssz_shares` is the sum of `fssp_shares` of the zone's projects that have runnable threads in the partition;
//!   `fssps_shares` the sum of `fssz_rshares` of the zones that have such projects.
//! - `kpj_shares` may be written at any time; the accounts follow at the next `fss_update`, so relaxed suffices.
//! - Account `n` of partition `p` is at `p * projects + n`; zones are named by the first project that lies in them.
//!
//! # What is not here
//! `fssp_shr_pct`: nothing reads it.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::cell::Cell;
use crate::lock::DispLock;
use crate::platform;
use crate::sys::{Cpupart, Kthread};
use umpire_shared::program::{Program, Project};
use umpire_shared::{NAME_LEN, mutant, pack_name};

/// What is left of a project's usage after a second, in parts of 128 (`FSS_DECAY_USG`).
pub const FSS_DECAY_USG: u64 = 96;
/// The whole that decays are parts of (`FSS_DECAY_BASE`).
pub const FSS_DECAY_BASE: u64 = 128;
/// The least that `fssps_maxfsspri` sinks to: the greatest user-mode priority.
pub const MAXUMDPRI: u64 = 59;

/// What a tick costs and how fast a cost is forgotten, by `nice`; 20 is the ordinary one.
pub struct Nice;

impl Nice {
    /// Usage that a tick costs (`fss_nice_tick`): 1500 to 525.
    pub const fn tick(nice: u8) -> u64 {
        1000 * (60 - nice as u64) / 40
    }

    /// What is left of a thread's `fsspri` after a second, in parts of 128 (`fss_nice_decay`): 83 to 108.
    pub const fn decay(nice: u8) -> u64 {
        83 + 25 * nice as u64 / 39
    }

    /// What is left of a `fsspri` after a second. Computed in 128 bits: few shares beside many fill its word.
    pub fn decayed(fsspri: u64, nice: u8) -> u64 {
        (u128::from(fsspri) * u128::from(Nice::decay(nice)) / u128::from(FSS_DECAY_BASE)) as u64
    }
}

/// `kproject_t`: a project as its owner sees it.
#[repr(C)]
#[derive(Debug)]
pub struct Kproject {
    /// The project's name. For display.
    pub kpj_name: [u8; NAME_LEN],
    /// `project.cpu-shares`.
    pub kpj_shares: AtomicU32,
    /// `project.cpu-cap` in per cent of one CPU, 0 for none; see `disp/cpucaps.rs`. For display.
    pub kpj_cap: AtomicU32,
    /// `zone.cpu-cap` of its zone, likewise.
    pub kpj_zone_cap: AtomicU32,
    /// The first project of its zone.
    pub kpj_zone: u32,
    /// `zone.cpu-shares` of its zone.
    pub kpj_zone_shares: u32,
    /// The project `system`: number 0 of Solaris, which has half of its zone.
    pub kpj_is_system: bool,
}

/// `fssproj_t`: a project's account in a partition.
#[repr(C)]
#[derive(Debug, Default)]
pub struct FssProj {
    /// Its shares.
    pub fssp_shares: AtomicU32,
    /// Runnable threads, those on a CPU included.
    pub fssp_runnable: AtomicU32,
    /// Weighted ticks of this second.
    pub fssp_ticks: AtomicU64,
    /// Decayed usage.
    pub fssp_usage: AtomicU64,
    /// Usage in relation to what the shares entitle the project to.
    pub fssp_shusage: AtomicU64,
}

/// `fsszone_t`: a zone in a partition.
#[repr(C)]
#[derive(Debug, Default)]
pub struct FssZone {
    /// Shares of its projects that have runnable threads.
    pub fssz_shares: AtomicU32,
    /// The zone's own shares.
    pub fssz_rshares: AtomicU32,
}

/// `fsspset_t`: a partition.
#[repr(C)]
#[derive(Debug, Default)]
pub struct FssPset {
    /// Guards the partition's accounts.
    pub fssps_displock: DispLock,
    /// Shares of the zones that have projects with runnable threads.
    pub fssps_shares: AtomicU32,
    /// The greatest `fsspri` lately.
    pub fssps_maxfsspri: AtomicU64,
}

/// What FSS has beside the accounts.
#[repr(C)]
#[derive(Debug)]
pub struct Fss {
    /// Projects, in the scenario's order; one that is called `default` if it has none.
    pub fss_kprojects: Box<[Kproject]>,
    /// Zones by partition and project.
    pub fss_zones: Box<[FssZone]>,
    /// Partitions, the default one first.
    pub fss_psets: Box<[FssPset]>,
    /// The list that `fss_update` begins with.
    pub fss_update_marker: AtomicU32,
}

impl Fss {
    /// The class for this program, and the accounts.
    pub fn new(program: &Program<'_>) -> (Fss, Box<[FssProj]>) {
        let of_all =
            Project { name: pack_name("default"), shares: 1, zone: 0, zone_shares: 1, cap: 0, zone_cap: 0 };
        let only = (program.projects().len() == 0).then_some(of_all);
        let projects = || program.projects().chain(only);
        let kproject = |p: Project| Kproject {
            kpj_name: p.name,
            kpj_shares: AtomicU32::new(p.shares),
            kpj_cap: AtomicU32::new(p.cap),
            kpj_zone_cap: AtomicU32::new(p.zone_cap),
            kpj_zone: projects().position(|other| other.zone == p.zone).unwrap_or(0) as u32,
            kpj_zone_shares: p.zone_shares,
            kpj_is_system: p.name == pack_name("system"),
        };
        let psets = program.psets().len() + 1;
        let account = |p: Project| FssProj { fssp_shares: AtomicU32::new(p.shares), ..FssProj::default() };
        let zone = |p: Project| FssZone { fssz_rshares: AtomicU32::new(p.zone_shares), ..FssZone::default() };
        let fss = Fss {
            fss_kprojects: projects().map(kproject).collect(),
            fss_zones: (0..psets).flat_map(|_| projects().map(zone)).collect(),
            fss_psets: (0..psets).map(|_| FssPset::new()).collect(),
            fss_update_marker: AtomicU32::new(0),
        };
        let accounts = (0..psets).flat_map(|_| projects().map(account)).collect();
        (fss, accounts)
    }
}

impl FssPset {
    fn new() -> FssPset {
        FssPset { fssps_maxfsspri: AtomicU64::new(MAXUMDPRI), ..FssPset::default() }
    }
}

/// Where the account of `t`'s project in its partition is.
pub(super) fn place(t: &Kthread) -> usize {
    place_in(t.part(), t.t_project.get() as usize)
}

fn place_in(part: &Cpupart, project: usize) -> usize {
    part.cp_id as usize * platform::kernel().k_class.fss.fss_kprojects.len() + project
}

/// The account at a place, with its partition. The caller is at `DISP_LEVEL`, and may change them in `change` only.
pub(super) fn with_account<R>(place: usize, change: impl FnOnce(&FssProj, &FssPset) -> R) -> R {
    let kernel = platform::kernel();
    let fss = &kernel.k_class.fss;
    let pset = &fss.fss_psets[place / fss.fss_kprojects.len()];
    pset.fssps_displock.enter_high();
    let result = change(&kernel.k_class.projects[place], pset);
    pset.fssps_displock.exit_high();
    result
}

/// One more thread of the account is runnable (`fss_active`).
pub(super) fn add_runnable(place: usize) {
    with_account(place, |proj, pset| {
        let before = proj.fssp_runnable.get();
        proj.fssp_runnable.set(before + 1);
        if before == 0 {
            sum_shares(place / projects(), pset);
        }
    });
}

/// One thread less of the account is runnable (`fss_inactive`).
pub(super) fn drop_runnable(place: usize) {
    with_account(place, |proj, pset| {
        let after = proj.fssp_runnable.get() - 1;
        proj.fssp_runnable.set(after);
        if after == 0 {
            sum_shares(place / projects(), pset);
        }
    });
}

/// True if both the project and its zone have shares.
pub(super) fn has_shares(place: usize) -> bool {
    let kernel = platform::kernel();
    kernel.k_class.projects[place].fssp_shares.get() != 0 && zone(place).fssz_rshares.get() != 0
}

/// Takes in the last second's usage of every project, and weighs it by the project's shares (`fss_decay_usage`).
pub(super) fn decay_usage(part: usize) {
    let kernel = platform::kernel();
    with_account(part * projects(), |_, pset| {
        pset.fssps_maxfsspri.set(Nice::decayed(pset.fssps_maxfsspri.get(), 20).max(MAXUMDPRI));
        for n in 0..projects() {
            let proj = &kernel.k_class.projects[part * projects() + n];
            let left = if kernel.is_mutant(mutant::FSS_NO_DECAY) { FSS_DECAY_BASE } else { FSS_DECAY_USG };
            let usage = proj.fssp_usage.get() * left / FSS_DECAY_BASE + proj.fssp_ticks.get();
            proj.fssp_usage.set(usage);
            proj.fssp_ticks.set(0);
            proj.fssp_shares.set(kernel.k_class.fss.fss_kprojects[n].kpj_shares.get());
        }
        sum_shares(part, pset);
        for n in 0..projects() {
            let place = part * projects() + n;
            kernel.k_class.projects[place].fssp_shusage.set(shusage(place, n, pset));
        }
    });
}

/// Usage times the square of the ratio of all shares to the project's.
fn shusage(place: usize, project: usize, pset: &FssPset) -> u64 {
    let kernel = platform::kernel();
    let proj = &kernel.k_class.projects[place];
    let usage = proj.fssp_usage.get();
    if !has_shares(place) {
        return 0;
    }
    if kernel.is_mutant(mutant::FSS_IGNORES_SHARES) {
        return usage;
    }
    let zone_int = u128::from(zone(place).fssz_shares.get());
    let zone_ext = u128::from(zone(place).fssz_rshares.get());
    let (all, own) = if kernel.k_class.fss.fss_kprojects[project].kpj_is_system {
        (zone_int, zone_ext)
    } else {
        let all = u128::from(pset.fssps_shares.get()) * zone_int;
        (all, u128::from(proj.fssp_shares.get()) * zone_ext)
    };
    u64::try_from(u128::from(usage).saturating_mul(all * all) / (own * own)).unwrap_or(u64::MAX)
}

/// Adds up the shares of the projects that have runnable threads. A project may come and go, and its shares may change: to
/// begin anew is simpler than to follow, and there are few projects.
fn sum_shares(part: usize, pset: &FssPset) {
    let kernel = platform::kernel();
    let range = part * projects()..(part + 1) * projects();
    for place in range.clone() {
        kernel.k_class.fss.fss_zones[place].fssz_shares.set(0);
    }
    let mut all = 0;
    for place in range {
        let proj = &kernel.k_class.projects[place];
        if proj.fssp_runnable.get() != 0 {
            let zone = zone(place);
            if zone.fssz_shares.get() == 0 && proj.fssp_shares.get() != 0 {
                all += zone.fssz_rshares.get();
            }
            zone.fssz_shares.set(zone.fssz_shares.get() + proj.fssp_shares.get());
        }
    }
    pset.fssps_shares.set(all);
}

fn zone(place: usize) -> &'static FssZone {
    let fss = &platform::kernel().k_class.fss;
    let n = fss.fss_kprojects.len();
    &fss.fss_zones[place / n * n + fss.fss_kprojects[place % n].kpj_zone as usize]
}

fn projects() -> usize {
    platform::kernel().k_class.fss.fss_kprojects.len()
}
