//! The side of a session that looks: a machine of another process as a target.
//!
//! # Invariants
//! - Memory is read where it lies, without a word to the other process: no vCPU stops or exits for it.
//! - A machine that is gone is told as such; its memory can still be read, as it was last.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use umpire_machine::memory::GuestMemory;
use umpire_machine::{GUEST_IMAGE, Registers, SharedRam, Standing, VcpuState, Written};
use umpire_watch::glass::{
    Ability, AskCpu, Asking, Control, ControlError, CpuClocks, Identity, Lacks, Layout, Pause, Poke, Root,
    Symbols, Target, Verdicts,
};

use crate::names::Directory;
use crate::wire::{self, CpuTimes, MAX_REQUEST, Reply, Request, VERSION, Welcome};

/// For how long a machine's process may take to answer: it may have to wait for 2 s itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a machine cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is none of that name.
    #[error("there is no VM `{name}`; {there}")]
    NoSuchName {
        /// What was asked for.
        name: String,
        /// What there is.
        there: String,
    },
    /// Several have names that begin so.
    #[error("`{name}` may be any of these VMs: {}; say which", names.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// What it may be.
        names: Vec<String>,
    },
    /// The other side said no.
    #[error("the VM `{name}` cannot be attached to: {why}")]
    Refused {
        /// Its name.
        name: String,
        /// What it said.
        why: String,
    },
    /// It runs another image.
    #[error(
        "the VM `{name}` runs the guest of another build of umpire ({theirs}, this is {ours}): attach with the program that \
         runs it, /proc/{pid}/exe"
    )]
    OtherImage {
        /// Its name.
        name: String,
        /// Its process.
        pid: u32,
        /// Its build ID.
        theirs: String,
        /// This program's.
        ours: String,
    },
    /// The host refused something.
    #[error("cannot attach to the VM `{name}`: {source}")]
    Io {
        /// Its name.
        name: String,
        /// What the host said.
        source: io::Error,
    },
}

/// A session: who the other side is, and the memory of its machine.
#[derive(Debug)]
pub struct Connected {
    link: Arc<Link>,
    welcome: Welcome,
    memory: Arc<SharedRam>,
}

impl Connected {
    /// Connects to the VM of a name.
    ///
    /// # Errors
    /// [`AttachError`] if there is none, or if it refuses.
    pub fn to(directory: &Directory, name: &str, writable: bool) -> Result<Connected, AttachError> {
        let io = |source| AttachError::Io { name: name.to_owned(), source };
        let stream = directory.connect(name).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                AttachError::NoSuchName { name: name.to_owned(), there: there(directory) }
            }
            _ => io(e),
        })?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(io)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(io)?;
        wire::send(&stream, &Request::Hello { version: VERSION, writable }, MAX_REQUEST).map_err(io)?;
        let (reply, fd) = wire::receive_with::<Reply>(&stream).map_err(io)?;
        match (reply, fd) {
            (Reply::Welcome(welcome), Some(fd)) => {
                let memory = Arc::new(SharedRam::map(fd.into()).map_err(io)?);
                Ok(Connected { link: Arc::new(Link { stream: Mutex::new(stream) }), welcome, memory })
            }
            (Reply::Refused { why }, _) => Err(AttachError::Refused { name: name.to_owned(), why }),
            _ => Err(AttachError::Refused {
                name: name.to_owned(),
                why: "its answer makes no sense".to_owned(),
            }),
        }
    }

    /// The VM that a word means: its name; or scenario and variant with a colon between; or the beginning of just one name; or nothing
    /// if there is just one VM.
    ///
    /// # Errors
    /// [`AttachError`] if it means none, or several.
    pub fn meant(
        directory: &Directory,
        word: Option<&str>,
        writable: bool,
    ) -> Result<Connected, AttachError> {
        let names = directory.names().unwrap_or_default();
        let word = word.unwrap_or_default();
        let named = names.iter().find(|name| *name == word);
        let of_variant = || {
            let is_it = |c: &Connected| {
                format!("{}:{}", c.welcome.identity.scenario, c.welcome.identity.variant) == word
            };
            names.iter().find(|name| Connected::to(directory, name, false).is_ok_and(|c| is_it(&c)))
        };
        if let Some(name) = named.or_else(of_variant) {
            return Connected::to(directory, name, writable);
        }
        let begin: Vec<String> = names.into_iter().filter(|name| name.starts_with(word)).collect();
        match &begin[..] {
            [] => Err(AttachError::NoSuchName { name: word.to_owned(), there: there(directory) }),
            [one] => Connected::to(directory, one, writable),
            _ => Err(AttachError::Ambiguous { name: word.to_owned(), names: begin }),
        }
    }

    /// Who the other side is.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// True once the other side has ended the session; waits for that for `limit` at most.
    pub fn has_ended(&self, limit: Duration) -> bool {
        let stream = self.link.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        // Nothing was asked: what can be read is the end.
        let mut fds = [PollFd::new(&*stream, PollFlags::IN)];
        poll(&mut fds, Some(&limit)).is_ok_and(|ready| ready > 0)
    }

    /// Turns the session into a line for gdb's remote protocol; `is_ours` if the gdb is known to be of this user.
    ///
    /// # Errors
    /// [`AttachError::Refused`] if another gdb is there already, or what the host says.
    pub fn into_gdb(self, is_ours: bool) -> Result<UnixStream, AttachError> {
        let name = self.welcome.name;
        let io = |source| AttachError::Io { name: name.clone(), source };
        match self.link.ask(&Request::Gdb { is_ours }).map_err(io)? {
            Reply::Done => {}
            Reply::Refused { why } => return Err(AttachError::Refused { name, why }),
            _ => {
                return Err(AttachError::Refused { name, why: "its answer makes no sense".to_owned() });
            }
        }
        let stream = self.link.stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.set_read_timeout(None).map_err(io)?;
        stream.set_write_timeout(None).map_err(io)?;
        stream.try_clone().map_err(io)
    }

    /// The machine as a target, if it runs the image that `layout` and `symbols` are of: this program's.
    ///
    /// # Errors
    /// [`AttachError::OtherImage`].
    pub fn attach(self, layout: Arc<Layout>, symbols: Arc<Symbols>) -> Result<Attached, AttachError> {
        let ours = crate::build_id(&GUEST_IMAGE).unwrap_or_default();
        if ours != self.welcome.build_id {
            let Welcome { name, pid, build_id: theirs, .. } = self.welcome;
            return Err(AttachError::OtherImage { name, pid, theirs, ours });
        }
        Ok(Attached { of: self, layout, symbols, seen: Mutex::new(0) })
    }
}

fn there(directory: &Directory) -> String {
    match directory.names() {
        Ok(names) if !names.is_empty() => format!("there are: {}", names.join(", ")),
        Ok(_) => "none runs: start one with `umpire run`".to_owned(),
        Err(e) => e.to_string(),
    }
}

/// A machine of another process.
#[derive(Debug)]
pub struct Attached {
    of: Connected,
    layout: Arc<Layout>,
    symbols: Arc<Symbols>,
    /// Bytes of the console that were given.
    seen: Mutex<usize>,
}

impl Attached {
    /// Who the other side is.
    pub fn welcome(&self) -> &Welcome {
        &self.of.welcome
    }

    /// True while the other process answers.
    pub fn is_there(&self) -> bool {
        self.of.link.ask(&Request::Held).is_ok()
    }

    /// True while the other process answers and does not hold every CPU.
    pub fn runs(&self) -> bool {
        matches!(self.of.link.ask(&Request::Held), Ok(Reply::Held(held)) if held.contains(&false))
    }

    fn gone(&self, ability: Ability) -> Lacks {
        Lacks::new(self, ability, "the VM has ended; its memory is still here, as it was last")
    }
}

impl Target for Attached {
    fn name(&self) -> &str {
        let Welcome { kind, .. } = self.welcome();
        kind
    }

    fn identity(&self) -> Identity {
        self.of.welcome.identity.clone()
    }

    fn memory(&self) -> Arc<dyn GuestMemory> {
        Arc::<SharedRam>::clone(&self.of.memory)
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
        Ok(&*self.of.link)
    }

    fn registers(&self, cpu: u32) -> Result<Registers, Lacks> {
        match self.of.link.ask(&Request::Registers { cpu }) {
            Ok(Reply::Registers(Some(registers))) => Ok(registers),
            Ok(_) => {
                let why = "the CPU runs, or does not exist; :s stops the machine, -k kicks the CPU out for one read";
                Err(Lacks::new(self, Ability::Registers, why))
            }
            Err(_) => Err(self.gone(Ability::Registers)),
        }
    }

    fn asker(&self, whom: Asking) -> Result<Arc<dyn AskCpu>, Lacks> {
        Ok(Arc::new(Asker { link: Arc::clone(&self.of.link), kick: whom == Asking::Running }))
    }

    fn console(&self) -> Result<String, Lacks> {
        let Ok(Reply::Text(text)) = self.of.link.ask(&Request::Console) else {
            return Err(self.gone(Ability::Console));
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let new = text.get(*seen..).unwrap_or_default().to_owned();
        *seen = text.len();
        Ok(new)
    }

    fn pause(&self) -> Result<Pause<'_>, Lacks> {
        match self.of.link.ask(&Request::Pin) {
            Ok(Reply::Done) => Ok(Pause::until(|| {
                // A process that is gone has let go.
                let _gone_on = self.of.link.ask(&Request::Unpin);
            })),
            Ok(_) => Err(Lacks::new(
                self,
                Ability::Pause,
                "a CPU did not come out of the guest within 2 s; try again",
            )),
            // It stands still for ever.
            Err(_) => Ok(Pause::of_still()),
        }
    }

    fn verdicts(&self) -> Result<Verdicts, Lacks> {
        match self.of.link.ask(&Request::Verdicts) {
            Ok(Reply::Verdicts(verdicts)) => Ok(verdicts),
            _ => Err(self.gone(Ability::Verdicts)),
        }
    }

    fn control(&self) -> Result<Arc<dyn Control>, Lacks> {
        Ok(Arc::<Link>::clone(&self.of.link))
    }
}

/// A connection, used by one request at a time.
#[derive(Debug)]
struct Link {
    stream: Mutex<UnixStream>,
}

impl Link {
    fn ask(&self, request: &Request) -> io::Result<Reply> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        wire::send(&stream, request, MAX_REQUEST)?;
        match wire::receive(&*stream, wire::MAX_REPLY)? {
            Some(reply) => Ok(reply),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn told(&self, request: &Request) -> Result<Reply, ControlError> {
        match self.ask(request) {
            Ok(Reply::Refused { why }) => Err(ControlError(why)),
            Ok(reply) => Ok(reply),
            Err(e) => {
                Err(ControlError(format!("the VM does not answer: it has ended, or is about to ({e})")))
            }
        }
    }

    fn times(&self, cpu: usize) -> CpuTimes {
        match self.ask(&Request::Clocks) {
            Ok(Reply::Clocks(times)) => times.get(cpu).copied().unwrap_or_default(),
            _ => CpuTimes::default(),
        }
    }
}

impl CpuClocks for Link {
    fn ran_ns(&self, cpu: usize) -> u64 {
        self.times(cpu).ran_ns
    }

    fn steal_ns(&self, cpu: usize) -> u64 {
        self.times(cpu).steal_ns
    }

    fn state(&self, cpu: usize) -> VcpuState {
        VcpuState { is_ready: self.times(cpu).is_ready, host_cpu: None }
    }
}

impl Control for Link {
    fn stop(&self, cpu: Option<u32>) -> Result<(), ControlError> {
        self.told(&Request::Stop { cpu }).map(drop)
    }

    fn go(&self, cpu: Option<u32>) -> Result<(), ControlError> {
        self.told(&Request::Go { cpu }).map(drop)
    }

    fn stopped(&self) -> Result<Vec<bool>, ControlError> {
        match self.told(&Request::Held)? {
            Reply::Held(held) => Ok(held),
            _ => Err(senseless()),
        }
    }

    fn write(&self, poke: &Poke) -> Result<Written, ControlError> {
        match self.told(&Request::Write(poke.clone()))? {
            Reply::Written(written) => Ok(written),
            _ => Err(senseless()),
        }
    }

    fn end(&self) -> Result<(), ControlError> {
        self.told(&Request::End).map(drop)
    }
}

fn senseless() -> ControlError {
    ControlError("the VM's answer makes no sense".to_owned())
}

/// Asks the other process where a CPU is.
struct Asker {
    link: Arc<Link>,
    kick: bool,
}

impl AskCpu for Asker {
    fn standing(&self, cpu: u32) -> Option<Standing> {
        match self.link.ask(&Request::Standing { cpu, kick: self.kick }) {
            Ok(Reply::Standing(standing)) => standing,
            _ => None,
        }
    }
}
