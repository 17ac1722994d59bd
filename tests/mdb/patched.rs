//! Cores of simulated machines in whose memory words are made wrong.
//!
//! # Invariants
//! - Whoever reads a word that is wrong sees that in every read that takes a part of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use umpire_machine::memory::GuestMemory;
use umpire_machine::{GUEST_IMAGE, Registers};
use umpire_reach::core::CoreFile;
use umpire_watch::glass::{
    AskCpu, Asking, Control, CpuClocks, Identity, Lacks, Layout, Pause, Root, Symbols, Target, Verdicts,
};

use crate::answer;

/// The core of a simulated machine.
pub fn core_of(scenario: &str, at: &str, folder: &Path) -> CoreFile {
    // Each test has a folder of its own, but may look at the same machine again.
    let path = folder.join(format!("{scenario}.{}.core", fs::read_dir(folder).map_or(0, Iterator::count)));
    let written = answer(&["--run", scenario, "--sim", "--at", at], &format!("::dump {}", path.display()));
    assert!(written.contains(" of memory"), "{written}");
    let layout = Layout::from_elf(&GUEST_IMAGE).expect("invariant: the built-in image has a layout");
    let symbols = Symbols::from_elf(&GUEST_IMAGE).expect("invariant: the built-in image has symbols");
    CoreFile::open(&path, Arc::new(layout), Arc::new(symbols)).unwrap_or_else(|e| panic!("{e}"))
}

/// The memory of a core with words that are wrong.
pub struct Patched {
    sound: Arc<dyn GuestMemory>,
    /// Where, and what stands there; none: another number whenever it is read.
    words: Mutex<BTreeMap<u64, Option<u64>>>,
    /// How often it was read.
    pub reads: AtomicU64,
    /// Aligned words that were read, with their values, while somebody wants to know.
    pub seen: Mutex<Option<BTreeMap<u64, u64>>>,
}

impl Patched {
    /// That of a core, which is sound yet.
    pub fn of(core: &CoreFile) -> Arc<Patched> {
        let (words, seen) = (Mutex::default(), Mutex::new(None));
        Arc::new(Patched { sound: core.memory(), words, reads: AtomicU64::new(0), seen })
    }

    /// Has one word be wrong, or none.
    pub fn set(&self, word: Option<(u64, u64)>) {
        *self.words() = word.into_iter().map(|(at, value)| (at, Some(value))).collect();
        self.reads.store(0, Ordering::Relaxed);
    }

    /// Has one word more be wrong.
    pub fn add(&self, at: u64, value: u64) {
        self.words().insert(at, Some(value));
    }

    /// From now on a word changes under whoever reads it.
    pub fn stir(&self, at: u64) {
        *self.words() = BTreeMap::from([(at, None)]);
    }

    /// A word of the core.
    pub fn sound_word(&self, addr: u64) -> u64 {
        self.sound.read_u64(addr).unwrap_or(0)
    }

    fn words(&self) -> MutexGuard<'_, BTreeMap<u64, Option<u64>>> {
        self.words.lock().expect("no test panics with it")
    }
}

impl GuestMemory for Patched {
    fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        if !self.sound.read(addr, out) {
            return false;
        }
        let end = addr + out.len() as u64;
        if let Some(seen) = &mut *self.seen.lock().expect("no test panics with it") {
            let aligned = (addr.next_multiple_of(8)..end).step_by(8).filter(|at| at + 8 <= end);
            seen.extend(aligned.map(|at| (at, self.sound_word(at))));
        }
        for (&at, value) in self.words().range(addr.saturating_sub(7)..end) {
            for (n, byte) in value.unwrap_or(reads).to_le_bytes().into_iter().enumerate() {
                let place = (at + n as u64).checked_sub(addr).filter(|place| *place < out.len() as u64);
                place.into_iter().for_each(|place| out[place as usize] = byte);
            }
        }
        true
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        self.sound.ranges()
    }
}

/// A core whose memory is not as it was.
pub struct Corrupt<'c> {
    /// What it was.
    pub core: &'c CoreFile,
    /// Its memory now.
    pub memory: Arc<Patched>,
}

impl Target for Corrupt<'_> {
    fn name(&self) -> &str {
        self.core.name()
    }

    fn identity(&self) -> Identity {
        self.core.identity()
    }

    fn memory(&self) -> Arc<dyn GuestMemory> {
        Arc::<Patched>::clone(&self.memory)
    }

    fn root(&self) -> Root {
        self.core.root()
    }

    fn layout(&self) -> Arc<Layout> {
        self.core.layout()
    }

    fn symbols(&self) -> Result<Arc<Symbols>, Lacks> {
        self.core.symbols()
    }

    fn clocks(&self) -> Result<&dyn CpuClocks, Lacks> {
        self.core.clocks()
    }

    fn registers(&self, cpu: u32) -> Result<Registers, Lacks> {
        self.core.registers(cpu)
    }

    fn asker(&self, whom: Asking) -> Result<Arc<dyn AskCpu>, Lacks> {
        self.core.asker(whom)
    }

    fn console(&self) -> Result<String, Lacks> {
        self.core.console()
    }

    fn pause(&self) -> Result<Pause<'_>, Lacks> {
        self.core.pause()
    }

    fn verdicts(&self) -> Result<Verdicts, Lacks> {
        self.core.verdicts()
    }

    fn control(&self) -> Result<Arc<dyn Control>, Lacks> {
        self.core.control()
    }
}
