//! How the word at the end of a line may go on: commands, walkers, types, members, symbols, variables, and threads of a recording.
//!
//! # Invariants
//! - What is offered can be typed as it is offered.

use super::Session;
use crate::dcmd::fitting;
use crate::recorded::Recorded;
use crate::source::Source;
use crate::types::steps;
use crate::view::View;
use crate::walker;
use umpire_shared::event::Kind;

/// Words that are offered at most.
const MOST: usize = 200;
/// Commands whose first argument is a type.
const TAKES_TYPE: &[&str] = &["print", "sizeof", "offsetof", "list", "array", "enum", "printf", "typedef"];

impl Session<'_> {
    /// Where the word at the end of `line` begins, and how it may go on.
    pub fn complete(&self, line: &str) -> (usize, Vec<String>) {
        let start = line
            .rfind(|c: char| !(c.is_alphanumeric() || "_`-".contains(c)))
            .map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
        let (before, word) = line.split_at(start);
        let mut found: Vec<String> =
            self.candidates(before).into_iter().filter(|c| c.starts_with(word)).collect();
        found.sort_unstable();
        found.dedup();
        found.truncate(MOST);
        (start, found)
    }

    fn candidates(&self, before: &str) -> Vec<String> {
        let owned = |name: &str| name.to_owned();
        if before.ends_with("::") {
            return fitting(self.source)
                .map(|d| d.name)
                .filter(|n| !n.starts_with(['$', ':']))
                .map(owned)
                .collect();
        }
        if before.ends_with('<') {
            return self.variables().map(|(name, _)| owned(name)).collect();
        }
        let command = before.rfind("::").map_or("", |at| &before[at + 2..]);
        // Of `print -a kthread_t t_cldata.` the words are those without options, and the unfinished last one.
        let mut words = command.split_whitespace().filter(|word| !word.starts_with('-'));
        let name = words.next().unwrap_or_default();
        let args: Vec<&str> = words.collect();
        let is_unfinished = !before.ends_with(char::is_whitespace);
        match (name, &args[..]) {
            ("help" | "dcmds", []) => fitting(self.source).map(|d| owned(d.name)).collect(),
            ("walk", []) => walker::fitting(self.source).map(|w| owned(w.name)).collect(),
            (name, args) => match self.source {
                Source::Guest(view) => of_guest(view, name, args, is_unfinished),
                Source::Recording(recorded) => of_recording(recorded, before),
            },
        }
    }
}

/// How a line about a guest may go on behind the command of this name and these arguments.
fn of_guest(view: &View<'_>, name: &str, args: &[&str], is_unfinished: bool) -> Vec<String> {
    let owned = |name: &str| name.to_owned();
    match (name, args) {
        (name, []) if TAKES_TYPE.contains(&name) => {
            let types = view.types();
            let c = crate::types::C_NAMES.iter().map(|(name, _)| owned(name));
            let given = view.named().types().into_iter().map(|(name, _)| name);
            types.names().map(owned).chain(c).chain(given).collect()
        }
        (name, [of, paths @ ..]) if TAKES_TYPE.contains(&name) => {
            let path = paths.last().filter(|_| is_unfinished).copied().unwrap_or_default();
            members(view, of, path.trim_end_matches(['.', '>', '-']))
        }
        _ => view.names().map(owned).collect(),
    }
}

/// How a line about a recording may go on: with the names of its threads, or behind `-p` with those of probes.
fn of_recording(recorded: &Recorded<'_>, before: &str) -> Vec<String> {
    if before.split_whitespace().next_back() == Some("-p") {
        return Kind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
    }
    recorded
        .recording()
        .threads
        .iter()
        .map(|thread| thread.name.clone())
        .filter(|name| !name.is_empty())
        .collect()
}

/// The members of what a path of a type leads to.
fn members(view: &View<'_>, of: &str, path: &str) -> Vec<String> {
    let types = view.types();
    let (Ok(mut at), Ok(steps)) = (view.type_named(of), steps(path)) else { return Vec::new() };
    for step in &steps {
        match types.step(at, step) {
            Ok(crate::types::Place::Inside(_, of)) => at = of,
            Ok(crate::types::Place::Behind { to, is_taken: true, .. }) => at = to,
            Ok(crate::types::Place::Behind { to, .. }) => match types.step(to, step) {
                Ok(crate::types::Place::Inside(_, of)) => at = of,
                _ => return Vec::new(),
            },
            Err(_) => return Vec::new(),
        }
    }
    // A pointer's members are those of what it points to.
    let at = match types.get(types.unwrapped(at)).shape {
        crate::types::Shape::Pointer(Some(to)) => to,
        _ => at,
    };
    types.member_names(at).map(str::to_owned).collect()
}
