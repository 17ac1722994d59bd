//! Which threads own the locks that other threads wait for: the turnstiles of a kernel.
//!
//! # Invariants
//! - A chain of turnstiles is read under its own generation. What is read of the owner and of the waiters is single words.
//! - The numbers of chains and turnstiles are not believed beyond what a kernel can have. A turnstile is on one chain at most, so all
//!   chains together have no more than there are turnstiles: chains that share one are torn.

use super::layout::Layout;
use super::look::Look;
use super::read;
use super::record::record;
use super::root::KernelView;
use super::snapshot::Snapshot;
use super::walk::Arena;
use umpire_shared::sys::mutex;
use umpire_shared::sys::rwlock::rw;
use umpire_shared::sys::sobject::sobj;
use umpire_shared::{MAX_CPUS, MAX_THREADS, roster};

/// Chains of the turnstile table that are read at most.
const MAX_CHAINS: u64 = 1024;

record! {
    /// A chain of turnstiles.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Chain / ChainPlaces of TurnstileChain {
        read {
            /// The word of `tc_lock`: the generation.
            generation: u64 = number "tc_lock.generation",
            /// The first turnstile.
            first: u64 = pointer "tc_first",
        }
        known {}
    }
}

record! {
    /// A turnstile: a lock that a thread waits for.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Turnstile / TurnstilePlaces of Turnstile {
        read {
            /// Next of the chain.
            next: u64 = pointer "ts_next",
            /// The lock.
            sobj: u64 = number "ts_sobj",
            /// What it is: one of [`sobj`].
            kind: u8 = number "ts_kind",
            /// The best of one of its two lists of sleepers.
            writer: u64 = pointer "ts_sleepq.0.sq_first",
            /// The best of the other.
            reader: u64 = pointer "ts_sleepq.1.sq_first",
        }
        known {}
    }
}

record! {
    /// A thread that owns a lock, or waits for it.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Party / PartyPlaces of Kthread {
        read {
            /// `t_pri`: its own priority.
            own: i16 = number "t_pri",
            /// `t_epri`: what it inherits.
            epri: i16 = number "t_epri",
            /// `t_cpu`: where it runs or last ran.
            cpu: u64 = pointer "t_cpu",
        }
        known {
            /// Its number.
            index: u32,
        }
    }
}

impl Party {
    /// Its effective priority.
    fn pri(&self) -> i16 {
        self.own.max(self.epri)
    }
}

/// A lock that a thread waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnerSample {
    /// The number of its turnstile.
    pub turnstile: u32,
    /// Its address.
    pub sobj: u64,
    /// What it is: one of [`umpire_shared::sys::sobject::sobj`].
    pub kind: u8,
    /// The owner; `None` while readers hold it.
    pub owner: Option<u32>,
    /// The owner's effective priority.
    pub owner_pri: i16,
    /// The owner's own priority.
    pub owner_own: i16,
    /// The best of the threads that wait.
    pub waiter: u32,
    /// That thread's effective priority.
    pub waiter_pri: i16,
    /// That thread's own priority.
    pub waiter_own: i16,
    /// Address of the CPU on which the waiter went to sleep.
    pub waiter_cpu: u64,
}

/// Where the turnstiles lie, and room for a copy of the table of chains.
#[derive(Debug)]
pub(super) struct Turnstiles {
    all: Arena,
    chains: u64,
    table: Vec<u8>,
}

impl Turnstiles {
    pub(super) fn new(kernel: &KernelView, layout: &Layout) -> Turnstiles {
        let most = roster::total(MAX_CPUS as u32, MAX_THREADS as u32);
        let count = u32::try_from(kernel.says.nturnstiles).unwrap_or(u32::MAX).min(most);
        let bytes = kernel.says.nchains.min(MAX_CHAINS) * layout.sizes.chain;
        Turnstiles {
            all: Arena { base: kernel.says.turnstiles, stride: layout.sizes.turnstile, count },
            chains: kernel.says.chains,
            table: vec![0; bytes as usize],
        }
    }

    /// Walks the chains that are not empty. Nearly all chains are empty, and one copy of the table tells which.
    pub(super) fn look(&mut self, look: &mut Look<'_>, into: &mut Snapshot) {
        into.owners.clear();
        into.torn_chains = 0;
        if self.table.is_empty() || !look.memory.copy(self.chains, &mut self.table) {
            return;
        }
        let size = look.layout.sizes.chain;
        for (n, chain) in self.table.chunks_exact(size as usize).enumerate() {
            if look.layout.chain.first.in_copy(chain) == Some(0) {
                continue;
            }
            let addr = self.chains.wrapping_add((n as u64).wrapping_mul(size));
            let before = into.owners.len();
            let generation = addr.wrapping_add(look.layout.chain.generation.offset as u64);
            let memory = look.memory;
            let verdict = read::verified(memory, generation, || {
                into.owners.truncate(before);
                self.chain(look, addr, into)
            });
            if !verdict.is_trusted() {
                into.owners.truncate(before);
                into.torn_chains += 1;
            }
        }
    }

    /// Reads the turnstiles of a chain; false if one of them cannot be read.
    fn chain(&self, look: &mut Look<'_>, addr: u64, into: &mut Snapshot) -> bool {
        let mut chain = Chain::default();
        if !look.layout.chain.read(look.memory, addr, look.room, &mut chain) {
            return false;
        }
        let mut next = chain.first;
        // Each turnstile is on one chain once, so no chain is longer than the arena.
        for _ in 0..self.all.count {
            if into.owners.len() >= self.all.count as usize {
                return false;
            }
            let Some(index) = self.all.index_of(next) else { break };
            let mut turnstile = Turnstile::default();
            if !look.layout.turnstile.read(look.memory, next, look.room, &mut turnstile) {
                return false;
            }
            next = turnstile.next;
            into.owners.extend(owner(look, index, &turnstile));
        }
        true
    }
}

/// The owner of a turnstile's lock, and the best of the threads that wait for it. `None` if the lock has no owner and is no
/// rwlock (which readers hold together), or if its words or its threads cannot be read.
fn owner(look: &mut Look<'_>, index: u32, turnstile: &Turnstile) -> Option<OwnerSample> {
    let &Turnstile { sobj, kind, writer, reader, .. } = turnstile;
    let word = look.memory.read_u64(sobj)?;
    let owner = match kind {
        sobj::MUTEX => Some(word & mutex::OWNER as u64),
        sobj::RWLOCK if word & rw::WRITE_LOCKED as u64 != 0 => Some(word & rw::OWNER as u64),
        _ => None,
    };
    let owner = owner.filter(|&addr| look.arena.index_of(addr).is_some());
    if owner.is_none() && kind != sobj::RWLOCK {
        return None;
    }
    let waiter =
        [writer, reader].into_iter().filter_map(|addr| party(look, addr)).max_by_key(|w| (w.pri(), w.own))?;
    let owner = match owner {
        Some(addr) => Some(party(look, addr)?),
        None => None,
    };
    Some(OwnerSample {
        turnstile: index,
        sobj,
        kind,
        owner: owner.map(|owner| owner.index),
        owner_pri: owner.map_or(0, |owner| owner.pri()),
        owner_own: owner.map_or(0, |owner| owner.own),
        waiter: waiter.index,
        waiter_pri: waiter.pri(),
        waiter_own: waiter.own,
        waiter_cpu: waiter.cpu,
    })
}

/// The thread at an address, if one begins there.
fn party(look: &mut Look<'_>, addr: u64) -> Option<Party> {
    let index = look.arena.index_of(addr)?;
    let mut party = Party { index, ..Party::default() };
    look.layout.party.read(look.memory, addr, look.room, &mut party).then_some(party)
}
