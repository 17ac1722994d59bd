//! A view: a target, and everything that a command may ask of it.
//!
//! A live machine, a simulated one, a core: each is a [`Target`], and a view over it is all that a command sees. Commands are
//! functions from a view and arguments to rows. A recording has no memory and is no target: see `recorded/`.
//!
//! # Invariants
//! - A view only reads, but for [`View::write`], which asks the target's own machine to write: only if it was opened for that.
//! - What takes more than one load is copied twice, and again until two copies in a row are alike: then no part of it changed
//!   between the two. How that went is a [`Verdict`], and [`View::verdict`] is the worst since the last [`View::begin`]. Two objects
//!   may still be of different moments; run queues are read under their generation ([`View::snapshot`]).
//! - What the target lacks is an error that names it.

mod naming;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use umpire_machine::memory::GuestMemory;
use umpire_machine::{EpitaphRecord, Registers, Written};
use umpire_reach::core::Told;
use umpire_watch::glass::{
    Asking, Control, Glass, MAX_RETRIES, Needs, Panic, Poke, Root, Sampler, Snapshot, Symbols, Target,
    Verdict,
};

use crate::answer::Row;
use crate::image::GuestImage;
use crate::kernel;
use crate::known::Known;
use crate::lang::Failure;
use crate::named::Named;
use crate::object::{Elements, Object};
use crate::types::{Place, TypeId, Types, steps};
use crate::variables::Variables;
use crate::verdicts;

/// Bytes that one object may have: a structure that the debug information says is longer is not read.
const MAX_OBJECT: u64 = 1 << 20;

/// A target, and what is known of its image.
pub struct View<'t> {
    target: &'t dyn Target,
    memory: Arc<dyn GuestMemory>,
    image: Arc<GuestImage>,
    /// Names of code, if the target runs the image.
    code: Option<Arc<Symbols>>,
    glass: Arc<Glass>,
    variables: Variables,
    worst: Cell<Verdict>,
    console: RefCell<String>,
    verdicts: Vec<Row>,
    /// True if it was opened for writing.
    is_writable: bool,
    /// Which CPUs are asked where they are, if no command says otherwise.
    whom: Asking,
    panic: Option<Panic>,
    cpus: OnceCell<Elements>,
    named: Named,
    known: Known,
    /// What [`View::look`] saw.
    looked: RefCell<Option<Rc<Snapshot>>>,
    /// What [`View::arena`] has found.
    known_arenas: RefCell<HashMap<String, Elements>>,
}

impl<'t> View<'t> {
    /// A view over a target that runs `image`, or whose structures are laid out as that image's.
    pub fn new(target: &'t dyn Target, image: Arc<GuestImage>) -> View<'t> {
        View {
            memory: target.memory(),
            code: target.symbols().ok(),
            glass: Arc::new(Glass::asking(target, Asking::Still)),
            variables: Variables::of(image.types()),
            worst: Cell::new(Verdict::Clean),
            console: RefCell::new(String::new()),
            verdicts: Vec::new(),
            is_writable: false,
            whom: Asking::Still,
            panic: None,
            cpus: OnceCell::new(),
            named: Named::default(),
            known: Known::default(),
            looked: RefCell::new(None),
            known_arenas: RefCell::new(HashMap::new()),
            target,
            image,
        }
    }

    /// The same view, which also knows what the referee found in the run that led here, and what the guest's console had said by
    /// then.
    #[must_use]
    pub fn after_a_run(mut self, verdicts: Vec<Row>, console: &str) -> View<'t> {
        self.verdicts = verdicts;
        self.console = RefCell::new(console.to_owned());
        self
    }

    /// The same view, of a guest that has panicked.
    #[must_use]
    pub fn after_a_panic(mut self, panic: Option<Panic>) -> View<'t> {
        self.panic = panic;
        self
    }

    /// How the guest panicked, if it did: as the view was told, or as the guest's last words in its memory have it.
    pub fn panic(&self) -> Option<Panic> {
        let told = self.panic.clone();
        told.or_else(|| match self.target.root() {
            Root::BootBlock => {
                let epitaph = EpitaphRecord::read(&*self.memory)?;
                Some(Panic { cpu: epitaph.cpu.into(), message: epitaph.message })
            }
            // A simulated kernel is no machine that has a place for them.
            Root::At(_) => None,
        })
    }

    /// The panic as the console of Solaris has it, if there was one: `panic[cpu1]/thread=30018dd6cc0: deadman: ...`.
    pub(crate) fn panic_line(&self) -> Option<String> {
        let panic = self.panic()?;
        let cpus = self.cpus().ok()?;
        let cpu = cpus.addresses().nth(panic.cpu as usize)?;
        let thread = self.object(cpus.of, cpu).ok()?.n("cpu_thread").ok()?;
        Some(format!("panic[cpu{}]/thread={thread:x}: {}", panic.cpu, panic.message))
    }

    /// The same view, opened for writing.
    #[must_use]
    pub fn writable(mut self) -> View<'t> {
        self.is_writable = true;
        self
    }

    /// The same view, which asks CPUs that run where they are: each is kicked out of the guest for the time of one read.
    #[must_use]
    pub fn kicking(mut self) -> View<'t> {
        self.whom = Asking::Running;
        self.glass = Arc::new(Glass::asking(self.target, Asking::Running));
        self
    }

    /// A glass that asks those CPUs where they are, or those that this view asks anyway.
    pub fn glass_asking(&self, whom: Asking) -> Arc<Glass> {
        if whom == self.whom || whom == Asking::Still {
            return Arc::clone(&self.glass);
        }
        Arc::new(Glass::asking(self.target, whom))
    }

    /// What the referee found: by now, or in the run that led here.
    pub fn verdicts(&self) -> Vec<Row> {
        self.target.verdicts().map_or_else(|_| self.verdicts.clone(), |verdicts| verdicts::rows(&verdicts))
    }

    /// What stops the target, lets it go on, and writes into it.
    ///
    /// # Errors
    /// [`Failure`] that says why if nothing does.
    pub fn control(&self) -> Result<Arc<dyn Control>, Failure> {
        self.target.control().map_err(|lacks| Failure::new(lacks.to_string()))
    }

    /// Fails unless the view was opened for writing.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn must_be_writable(&self) -> Result<(), Failure> {
        if self.is_writable {
            return Ok(());
        }
        Err(Failure::new(
            "target is not open for writing; nothing was changed. `umpire mdb -w NAME` opens a VM for writing",
        ))
    }

    /// Has the target's machine overwrite a word, and note it as `what`.
    ///
    /// # Errors
    /// [`Failure`] if the view was not opened for writing, or if the target refuses.
    pub fn write(&self, what: &str, addr: u64, value: u64, bytes: usize) -> Result<Written, Failure> {
        self.must_be_writable()?;
        let poke = Poke { what: what.to_owned(), addr, bytes, value };
        self.control()?.write(&poke).map_err(|e| Failure::new(e.to_string()))
    }

    /// Everything that the guest has written to its console.
    ///
    /// # Errors
    /// [`Failure`] if the target keeps none.
    pub fn console(&self) -> Result<String, Failure> {
        let new = self.target.console().map_err(|lacks| Failure::new(lacks.to_string()))?;
        self.console.borrow_mut().push_str(&new);
        Ok(self.console.borrow().clone())
    }

    /// What a core of this has to tell beside memory and registers.
    pub fn told(&self, zstd: bool) -> Told {
        let console = self.console().unwrap_or_default();
        Told { verdicts: self.target.verdicts().ok(), console, panic: self.panic(), zstd }
    }

    /// What is looked at.
    pub fn target(&self) -> &'t dyn Target {
        self.target
    }

    /// The image.
    pub fn image(&self) -> &GuestImage {
        &self.image
    }

    /// The guest's types.
    pub fn types(&self) -> &Types {
        self.image.types()
    }

    /// The type that a name means: one of `::typedef`, or the guest's.
    ///
    /// # Errors
    /// [`Failure`] if there is none, or if there are several.
    pub fn type_named(&self, name: &str) -> Result<TypeId, Failure> {
        self.named.type_of(name).map_or_else(|| self.known.find(self.types(), name), Ok)
    }

    /// Names that were given at the debugger.
    pub(crate) fn named(&self) -> &Named {
        &self.named
    }

    /// The glass in front of the target: stacks, pictures, names of threads.
    pub fn glass(&self) -> &Glass {
        &self.glass
    }

    /// Begins a new count of how reads go, and forgets what was seen before.
    pub fn begin(&self) {
        self.worst.set(Verdict::Clean);
        self.looked.take();
    }

    /// The pass of the sampler that commands have in common: one since [`View::begin`], so that a thousand calls of a pipeline cost
    /// one look.
    ///
    /// # Errors
    /// As [`View::snapshot`].
    pub fn look(&self) -> Result<Rc<Snapshot>, Failure> {
        if let Some(seen) = self.looked.borrow().as_ref() {
            return Ok(Rc::clone(seen));
        }
        let seen = Rc::new(self.snapshot(Needs::default())?);
        *self.looked.borrow_mut() = Some(Rc::clone(&seen));
        Ok(seen)
    }

    /// How far what was read since [`View::begin`] can be trusted.
    pub fn verdict(&self) -> Verdict {
        self.worst.get()
    }

    /// Takes note of how a read went.
    pub fn note(&self, verdict: Verdict) {
        let rank = |verdict| match verdict {
            Verdict::Clean => (0, 0),
            Verdict::Retried(n) => (1, n),
            Verdict::Stale => (2, 0),
            Verdict::Torn => (3, 0),
        };
        if rank(verdict) > rank(self.worst.get()) {
            self.worst.set(verdict);
        }
    }

    /// Copies memory.
    ///
    /// # Errors
    /// [`Failure`] if some of it is not there.
    pub fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), Failure> {
        let missing = || Failure::new(format!("failed to read data from target: no memory at {addr:#x}"));
        if !self.memory.read(addr, out) {
            return Err(missing());
        }
        if out.len() <= 8 && out.len().is_power_of_two() && addr.is_multiple_of(out.len() as u64) {
            return Ok(());
        }
        let mut before = vec![0; out.len()];
        for retry in 0..=MAX_RETRIES {
            before.copy_from_slice(out);
            if !self.memory.read(addr, out) {
                return Err(missing());
            }
            if before == out {
                self.note(if retry == 0 { Verdict::Clean } else { Verdict::Retried(retry) });
                return Ok(());
            }
        }
        self.note(Verdict::Torn);
        Ok(())
    }

    /// The number that stands at an address, little-endian, 1 to 8 bytes long.
    ///
    /// # Errors
    /// As [`View::read`].
    pub fn number(&self, addr: u64, bytes: usize) -> Result<u64, Failure> {
        let mut raw = [0; 8];
        self.read(addr, &mut raw[..bytes.min(8)])?;
        Ok(u64::from_le_bytes(raw))
    }

    /// Code: the target's memory, or where that has none, what the linker put into the image.
    ///
    /// # Errors
    /// As [`View::read`].
    pub fn read_code(&self, addr: u64, out: &mut [u8]) -> Result<(), Failure> {
        if self.code.is_some() && self.memory.read(addr, out) || self.image.bytes_at(addr, out) {
            return Ok(());
        }
        Err(Failure::new(format!("failed to read instructions: there is no code at {addr:#x}")))
    }

    /// The object of a type at an address.
    ///
    /// # Errors
    /// As [`View::read`].
    pub fn object(&self, of: TypeId, addr: u64) -> Result<Object<'_>, Failure> {
        let size = self.types().size(of);
        if size > MAX_OBJECT {
            let name = self.types().get(of).shown();
            return Err(Failure::new(format!(
                "failed to read {name}: {size} bytes are too many for one object"
            )));
        }
        let mut bytes = vec![0; size as usize];
        self.read(addr, &mut bytes)?;
        Ok(Object::new(self, of, addr, bytes))
    }

    /// The object of a type, given by name, at an address.
    ///
    /// # Errors
    /// [`Failure`] if there is no such type, or no memory.
    pub fn at(&self, name: &str, addr: u64) -> Result<Object<'_>, Failure> {
        self.object(self.type_named(name)?, addr)
    }

    /// The kernel's root object.
    ///
    /// # Errors
    /// [`Failure`] while there is no kernel.
    pub fn kernel(&self) -> Result<Object<'_>, Failure> {
        self.at("Kernel", self.root()?)
    }

    /// What a path from the object of a type at an address leads to. Of the object, which may be large, only that is copied.
    ///
    /// # Errors
    /// As [`View::object`] and [`Object::get`].
    pub fn part(&self, of: TypeId, addr: u64, path: &str) -> Result<Object<'_>, Failure> {
        if let Some((offset, member)) = self.member(of, path) {
            return self.object(member, addr.wrapping_add(offset));
        }
        let all = steps(path)?;
        let (mut at, mut of) = (addr, of);
        for (n, step) in all.iter().enumerate() {
            match self.types().step(of, step)? {
                Place::Inside(offset, member) => (at, of) = (at.wrapping_add(offset), member),
                Place::Behind { .. } => return self.object(of, at)?.follow(&all[n..]),
            }
        }
        self.object(of, at)
    }

    /// The number that such a path leads to.
    ///
    /// # Errors
    /// As [`View::part`] and [`Object::number`].
    pub fn n(&self, of: TypeId, addr: u64, path: &str) -> Result<u64, Failure> {
        self.part(of, addr, path)?.number()
    }

    /// The member of a type that a path leads to without leaving the object.
    pub(crate) fn member(&self, of: TypeId, path: &str) -> Option<(u64, TypeId)> {
        self.known.member(self.types(), of, path)
    }

    /// What a path from the kernel's root object leads to.
    ///
    /// # Errors
    /// As [`View::kernel`] and [`View::part`].
    pub fn kernel_get(&self, path: &str) -> Result<Object<'_>, Failure> {
        self.part(self.known.find(self.types(), "Kernel")?, self.root()?, path)
    }

    /// An array of the kernel, by its path from the root object. Such arrays are made at boot and stay where they are.
    ///
    /// # Errors
    /// As [`View::kernel_get`], and [`Failure`] if it is no array.
    pub fn arena(&self, path: &str) -> Result<Elements, Failure> {
        if let Some(known) = self.known_arenas.borrow().get(path) {
            return Ok(*known);
        }
        let all = self.kernel_get(path)?.elements()?;
        // Before the kernel has made it, it is empty.
        if all.count > 0 {
            self.known_arenas.borrow_mut().insert(path.to_owned(), all);
        }
        Ok(all)
    }

    /// The address of the kernel's root object.
    ///
    /// # Errors
    /// [`Failure`] while there is no kernel.
    pub fn root(&self) -> Result<u64, Failure> {
        match self.glass.root() {
            0 => Err(Failure::new("there is no kernel yet: the guest has not told where its root object is")),
            root => Ok(root),
        }
    }

    /// `gethrtime` as the guest last told it, in ns after boot; late by a tick at most.
    ///
    /// # Errors
    /// [`Failure`] while there is no kernel.
    pub fn now_ns(&self) -> Result<u64, Failure> {
        kernel::now_ns(self)
    }

    /// The address of the thread of a number.
    ///
    /// # Errors
    /// [`Failure`] if there is none.
    pub fn thread_at(&self, number: u64) -> Result<u64, Failure> {
        let all = kernel::threads(self)?;
        all.addresses()
            .nth(number as usize)
            .ok_or_else(|| Failure::new(format!("there is no thread {number}")))
    }

    /// One pass of the sampler: CPUs and run queues, each queue read under its generation.
    ///
    /// # Errors
    /// [`Failure`] while there is no kernel, or if what should be one is none.
    pub fn snapshot(&self, needs: Needs) -> Result<Snapshot, Failure> {
        self.root()?;
        let seen = Sampler::once(Arc::clone(&self.glass), needs).map_err(|e| Failure::new(e.to_string()))?;
        let seen = seen.ok_or_else(|| Failure::new("there is no kernel yet"))?;
        seen.queues().for_each(|(_, queue)| self.note(queue.verdict));
        Ok(seen)
    }

    /// The registers of a CPU; of one that runs if it may be asked.
    ///
    /// # Errors
    /// [`Failure`] that says why if the target has none to show.
    pub fn registers(&self, cpu: u32, whom: Asking) -> Result<Registers, Failure> {
        let at_hand = self.target.registers(cpu);
        let may_ask = whom == Asking::Running || self.whom == Asking::Running;
        if at_hand.is_err() && may_ask {
            let asker =
                self.target.asker(Asking::Running).map_err(|lacks| Failure::new(lacks.to_string()))?;
            if let Some(standing) = asker.standing(cpu) {
                return Ok(standing.registers);
            }
        }
        at_hand.map_err(|lacks| Failure::new(lacks.to_string()))
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("target", &self.target.name()).finish_non_exhaustive()
    }
}
