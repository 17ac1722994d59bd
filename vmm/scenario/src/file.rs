//! A scenario, and where it comes from: a built-in ID, a path to a file, or standard input.
//!
//! # Invariants
//! - A file is read once, up to [`MAX_BYTES`]; a device or an endless pipe cannot hang or fill the referee.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use umpire_shared::program::{Project, Pset};

use umpire_watch::monitor::BoundSpec;
use umpire_watch::probes::ProbeBound;

use super::error::{ScenarioError, Text};
use super::event::ScriptedEvent;
use super::plain;
use super::suggest::hint;
use super::table::Shelf;
use super::topology::Topology;
use super::variant::Variant;
use super::{builtin, parse};

/// Bytes that a scenario file may have.
pub const MAX_BYTES: u64 = 1 << 20;
/// The word of a command line for standard input.
pub const STDIN: &str = "-";
/// Samples a second when the file asks for no other rate.
pub const DEFAULT_SAMPLE_HZ: u32 = 1000;

/// What to run, under which settings, and what to expect of it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its ID: lower-case letters, digits, `_` and `-`.
    pub id: String,
    /// What it shows, in one line.
    pub title: String,
    /// The report or text that it comes from.
    pub source: String,
    /// What it teaches, in one line.
    pub teaches: String,
    /// How the command line names it: its ID if it is built in, else the path, which may not be text.
    pub origin: OsString,
    /// Virtual CPUs, 1 to 16.
    pub cpus: u32,
    /// How they share chips and cores, if the file says so.
    pub topology: Option<Topology>,
    /// Bytes of memory that the kernel allocates from when it runs.
    pub memory: u64,
    /// How long a variant runs, in ns of guest time.
    pub run_ns: u64,
    /// Samples a second.
    pub sample_hz: u32,
    /// Projects, in the order of the file.
    pub projects: Vec<Project>,
    /// Processor sets at the start, in the order of the file.
    pub psets: Vec<Pset>,
    /// What must hold, in the order of the file.
    pub bounds: Vec<BoundSpec>,
    /// What must hold of the records of the guest's probes, in the order of the file.
    pub probes: Vec<ProbeBound>,
    /// The settings under which it runs, in the order of the file; at least one.
    pub variants: Vec<Variant>,
}

impl Scenario {
    /// Reads a scenario from its text. `origin` is the name of the file in messages; dispatcher tables are looked for
    /// beside it.
    ///
    /// # Errors
    /// A [`ScenarioError::Fault`] that points to the first mistake.
    pub fn parse(text: &str, origin: &str) -> Result<Scenario, ScenarioError> {
        Ok(parse::scenario(Text { file: origin, text }, &Shelf::beside(Path::new(origin)))?)
    }

    /// As [`Scenario::parse`], with the dispatcher tables that are built in.
    pub(super) fn builtin(text: &str, origin: &str) -> Result<Scenario, ScenarioError> {
        Ok(parse::scenario(Text { file: origin, text }, &Shelf::Builtin)?)
    }

    /// From one sample to the next, in ns; not 0.
    pub fn period_ns(&self) -> u64 {
        (1_000_000_000 / u64::from(self.sample_hz.max(1))).max(1)
    }

    /// Every event of any variant, by time, each once.
    pub fn script(&self) -> Vec<&ScriptedEvent> {
        let mut events: Vec<&ScriptedEvent> = Vec::new();
        for event in self.variants.iter().flat_map(|variant| &variant.events) {
            if !events.contains(&event) {
                events.push(event);
            }
        }
        events.sort_by_key(|event| event.event.at_ns);
        events
    }

    /// Reads a scenario from a file.
    ///
    /// # Errors
    /// [`ScenarioError::Read`] if there is no such file or it is too long, else as [`Scenario::parse`].
    pub fn read(path: &Path) -> Result<Scenario, ScenarioError> {
        let unreadable = |cause| ScenarioError::Read { path: path.to_owned(), cause };
        let bytes = plain::open(path).and_then(bounded).map_err(unreadable)?;
        let text = text(&bytes, &path.to_string_lossy())?;
        let mut scenario =
            parse::scenario(Text { file: &path.to_string_lossy(), text }, &Shelf::beside(path))?;
        scenario.origin = path.into();
        Ok(scenario)
    }

    /// Reads a scenario from standard input, where it can be had once: what was read is kept for whoever asks again. Dispatcher tables
    /// are looked for in the current directory.
    ///
    /// # Errors
    /// As [`Scenario::read`]; also if standard input is a terminal.
    pub fn read_stdin() -> Result<Scenario, ScenarioError> {
        static READ: Mutex<Option<Vec<u8>>> = Mutex::new(None);
        let unreadable = |cause| ScenarioError::Read { path: STDIN.into(), cause };
        if io::stdin().is_terminal() {
            let message = "standard input is a terminal: `umpire run - < FILE`";
            return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, message)));
        }
        let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match &mut *read {
            Some(bytes) => bytes,
            none => none.insert(bounded(io::stdin()).map_err(unreadable)?),
        };
        Scenario::parse_bytes(bytes, STDIN)
    }

    /// As [`Scenario::parse`], for bytes that may not even be text.
    ///
    /// # Errors
    /// As [`Scenario::parse`].
    pub fn parse_bytes(bytes: &[u8], origin: &str) -> Result<Scenario, ScenarioError> {
        Scenario::parse(text(bytes, origin)?, origin)
    }
}

/// Bytes as the text that they should be.
fn text<'b>(bytes: &'b [u8], origin: &str) -> Result<&'b str, ScenarioError> {
    std::str::from_utf8(bytes).map_err(|e| {
        let lossy = String::from_utf8_lossy(bytes);
        let at = e.valid_up_to();
        let message = format!("expected UTF-8 text, found the byte {:#04x}", bytes[at]);
        Text { file: origin, text: &lossy }.fault(at..at, message).into()
    })
}

/// Everything that there is to read, if it is not more than a scenario needs.
fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let message = format!("it has more than {MAX_BYTES} bytes, which no scenario needs");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(bytes)
}

/// The scenario that a word of the command line names: a built-in ID, a path, or `-` for standard input.
///
/// # Errors
/// [`ScenarioError::Unknown`] for a word that is neither, else as [`Scenario::read`].
pub fn load(word: impl AsRef<OsStr>) -> Result<Scenario, ScenarioError> {
    let path = Path::new(word.as_ref());
    // An ID is text; what is none can only be a path.
    let Some(word) = word.as_ref().to_str() else { return Scenario::read(path) };
    if let Some(builtin) = builtin::find(word) {
        return builtin.scenario();
    }
    if word == STDIN {
        return Scenario::read_stdin();
    }
    if word.contains('/') || word.ends_with(".toml") || path.is_file() {
        return Scenario::read(path);
    }
    let ids: Vec<&str> = builtin::BUILTIN.iter().map(|b| b.id).collect();
    Err(ScenarioError::Unknown { id: super::error::quoted(word), hint: hint(word, &ids) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_of_a_misspelt_id_suggests_the_nearest() {
        let error = load("i1352").expect_err("no such ID").to_string();
        assert!(error.contains("`i1352`; did you mean `i1532`?"), "{error}");
    }

    #[test]
    fn load_of_a_missing_path_says_what_to_do() {
        let error = load("no/such.toml").expect_err("no such file").to_string();
        assert!(error.contains("no/such.toml") && error.contains("umpire list"), "{error}");
    }

    #[test]
    fn load_of_an_endless_file_ends() {
        assert!(matches!(Scenario::read(Path::new("/dev/zero")), Err(ScenarioError::Read { .. })));
    }

    #[test]
    fn parse_of_bytes_that_are_not_text_points_to_the_byte() {
        let error =
            Scenario::parse_bytes(b"id = \"x\"\nt\xff = 1\n", "b.toml").expect_err("not UTF-8").to_string();
        assert!(error.starts_with("b.toml:2:2: expected UTF-8 text, found the byte 0xff"), "{error}");
    }
}
