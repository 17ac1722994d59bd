//! Least privilege: what the process and each of its threads give up before a guest runs, or somebody else's file is read.
//!
//! ```text
//!   main, and who serves      no_new_privs, no capability but those over files; a list of calls, and the places it may write to
//!     sampler                 no capability; what it takes to look and to wait (and to write a core, if one is wanted)
//!     vCPU                    no capability; KVM_RUN and a handful
//!   a debugger                as main, but only the calls that nobody needs are taken away: its `!` runs programs
//! ```
//!
//! # Invariants
//! - What was given up is not had again: each step holds for this thread and all that it starts, and filters only add up.
//! - What the host does not know is left out, and `umpire doctor` says so. Nothing else is left out but by [`without_filters`].
//! - A call that is not allowed is never made, and is seen: the process ends with [`CAUGHT`] and a message.

mod lists;
mod places;
#[cfg(test)]
mod tests;
mod told;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use lists::Rule;

pub use places::{Places, write_only};
pub use told::CAUGHT;

/// What a thread is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The main thread of a command that runs no program; what it starts may do as much.
    Main,
    /// The main thread of a command that may run programs, or has them started.
    Debugger,
    /// A thread that answers who has connected. It has its starter's filters.
    Service,
    /// Looks at the guest.
    Sampler,
    /// Looks at the guest, and writes a core of it.
    SamplerWithCore,
    /// Runs the guest.
    Vcpu,
}

/// Set once, by the program's entry, before there is a second thread: relaxed will do.
static ARE_FILTERS_OFF: AtomicBool = AtomicBool::new(false);

/// From now on no thread gets a filter of system calls. All else is given up as before.
pub fn without_filters() {
    ARE_FILTERS_OFF.store(true, Ordering::Relaxed);
}

/// Capabilities that a main thread keeps, if it has them: it opens what its user names, which in a container may be another's.
const OVER_FILES: CapabilitySet = CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH);

/// What a thread got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confined {
    /// True if no program that it runs gets more than it has.
    pub no_new_privs: bool,
    /// The capabilities that it has left, as a mask; `None` if the host does not say.
    pub capabilities: Option<u64>,
    /// Whether its system calls are filtered.
    pub filter: Filter,
}

/// Whether system calls are filtered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// So many are allowed.
    Allows(usize),
    /// So many are refused.
    Refuses(usize),
    /// As in the thread that started this one.
    Inherited,
    /// The user does not want them to be.
    Off,
    /// The host could not, for this reason.
    Failed(String),
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Filter::Allows(calls) => write!(f, "{calls} calls allowed"),
            Filter::Refuses(calls) => write!(f, "{calls} calls refused"),
            Filter::Inherited => f.write_str("as its starter"),
            Filter::Off => f.write_str("off"),
            Filter::Failed(why) => write!(f, "not to be had: {why}"),
        }
    }
}

/// Gives up what a thread in this role does not need: for the calling thread, and all that it starts from then on.
pub fn enter(role: Role) -> Confined {
    let no_new_privs = set_no_new_privs(true).is_ok();
    let keep = if matches!(role, Role::Main | Role::Debugger) { OVER_FILES } else { CapabilitySet::empty() };
    let capabilities = drop_capabilities(keep);
    Confined { no_new_privs, capabilities, filter: filter(role) }
}

fn drop_capabilities(keep: CapabilitySet) -> Option<u64> {
    let had = capabilities(None).ok()?;
    let kept = had.permitted & keep;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    // To give up is always allowed; what a thread has is asked again all the same.
    let _dropped = set_capabilities(None, sets);
    capabilities(None).ok().map(|has| has.permitted.bits())
}

/// How many system calls a role allows, or refuses.
pub fn filter_of(role: Role) -> Filter {
    let (lists, _) = rules(role);
    let calls = programs_rules(lists).len();
    match role {
        Role::Debugger => Filter::Refuses(calls),
        Role::Service => Filter::Inherited,
        _ => Filter::Allows(calls),
    }
}

fn filter(role: Role) -> Filter {
    if ARE_FILTERS_OFF.load(Ordering::Relaxed) {
        return Filter::Off;
    }
    told::call_me(role.name());
    settle_in_the_heap();
    for program in programs(role) {
        if let Err(e) = seccompiler::apply_filter(program) {
            return Filter::Failed(e.to_string());
        }
    }
    filter_of(role)
}

/// A C library gives a thread its part of the heap at its first allocation, and may look into a file for the number of CPUs then:
/// that is done before the filter is there.
fn settle_in_the_heap() {
    drop(std::hint::black_box(Vec::<u64>::with_capacity(8)));
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 6] =
        [Role::Main, Role::Debugger, Role::Service, Role::Sampler, Role::SamplerWithCore, Role::Vcpu];

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Role::Main => "main",
            Role::Debugger => "debugger",
            Role::Service => "service",
            Role::Sampler => "sampler",
            Role::SamplerWithCore => "sampler that writes a core",
            Role::Vcpu => "vcpu",
        }
    }
}

/// The lists of a role, and what becomes of what is not on them.
fn rules(role: Role) -> (&'static [&'static [Rule]], bool) {
    match role {
        Role::Main => {
            (&[lists::THREAD_CALLS, lists::SAMPLER_CALLS, lists::CORE_CALLS, lists::MAIN_CALLS], true)
        }
        Role::Debugger => (&[lists::GUARDED], false),
        Role::Service => (&[], false),
        Role::Sampler => (&[lists::THREAD_CALLS, lists::SAMPLER_CALLS], true),
        Role::SamplerWithCore => (&[lists::THREAD_CALLS, lists::SAMPLER_CALLS, lists::CORE_CALLS], true),
        Role::Vcpu => (&[lists::THREAD_CALLS, lists::VCPU_CALLS], true),
    }
}

/// The filters of a role, compiled once a process.
fn programs(role: Role) -> &'static [BpfProgram] {
    static COMPILED: [OnceLock<Vec<BpfProgram>>; Role::ALL.len()] =
        [const { OnceLock::new() }; Role::ALL.len()];
    COMPILED[role as usize].get_or_init(|| {
        let refused = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
        match (role, rules(role)) {
            (Role::Service, _) => Vec::new(),
            (_, (lists, true)) => vec![
                compile(&[lists::OLD_CLONE], SeccompAction::Allow, refused(libc::ENOSYS)),
                compile(lists, SeccompAction::Trap, SeccompAction::Allow),
            ],
            (_, (lists, false)) => vec![compile(lists, SeccompAction::Allow, refused(libc::EPERM))],
        }
    })
}

fn compile(lists: &[&[Rule]], otherwise: SeccompAction, if_listed: SeccompAction) -> BpfProgram {
    let filter = SeccompFilter::new(programs_rules(lists), otherwise, if_listed, TargetArch::x86_64);
    filter.and_then(BpfProgram::try_from).expect("invariant: the lists of system calls make a filter")
}

/// Lists as the compiler of filters takes them: no rule for a call, whatever its arguments, or those of which one must fit.
fn programs_rules(lists: &[&[Rule]]) -> BTreeMap<i64, Vec<SeccompRule>> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let all = || lists.iter().flat_map(|list| list.iter());
    for rule in all() {
        if let Rule::If(call, argument, mask, value) = *rule {
            let operator = SeccompCmpOp::MaskedEq(mask);
            let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value);
            let rule = condition.and_then(|condition| SeccompRule::new(vec![condition]));
            rules.entry(call as i64).or_default().push(rule.expect("invariant: a call has six arguments"));
        }
    }
    for rule in all() {
        if let Rule::Any(call) = *rule {
            rules.insert(call as i64, Vec::new());
        }
    }
    rules
}
