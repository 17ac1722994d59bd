//! The prompt of `umpire mdb`: lines are edited, remembered and completed.
//!
//! # Invariants
//! - A history that cannot be read or written is no reason to fail: the session goes on without it.
//! - Ctrl-C at the prompt throws the line away, and during a command is for that command. SIGTERM and SIGHUP end the prompt at once, and
//!   the terminal is as it was.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::{Debugger, Streams, signals};

/// Lines that are remembered.
const REMEMBERED: usize = 1000;

/// Asks for lines and carries them out, until there are no more.
pub(super) fn converse(debugger: &mut Debugger<'_, '_>, streams: &mut Streams<'_>) -> io::Result<()> {
    let config = Config::builder().completion_type(CompletionType::List).max_history_size(REMEMBERED);
    let config = config.map_err(io::Error::other)?.auto_add_history(true).build();
    let mut editor: Editor<Words<'_, '_, '_>, _> = Editor::with_config(config).map_err(io::Error::other)?;
    let history = history();
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    signals::keep_terminal();
    let debugger = RefCell::new(debugger);
    editor.set_helper(Some(Words(&debugger)));
    let result = loop {
        let prompt = debugger.borrow().session.prompt().to_owned();
        signals::forget_interrupt();
        match signals::at_once(|| editor.readline(&prompt)) {
            Ok(line) => {
                let mut debugger = debugger.borrow_mut();
                debugger.carry_out(&line, streams)?;
                if debugger.session.is_over() {
                    break Ok(());
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break Ok(()),
            Err(error) => break Err(io::Error::other(error)),
        }
    };
    if let Some(path) = &history {
        let _ = path.parent().map(std::fs::create_dir_all);
        let _ = editor.save_history(path);
    }
    result
}

/// Where lines are remembered: `umpire/mdb_history` in the user's state directory.
fn history() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("umpire").join("mdb_history"))
}

/// The words that a line may go on with.
struct Words<'w, 'd, 'v>(&'w RefCell<&'w mut Debugger<'d, 'v>>);

impl Completer for Words<'_, '_, '_> {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..at).unwrap_or(line);
        Ok(self.0.borrow().session.complete(before))
    }
}

impl Hinter for Words<'_, '_, '_> {
    type Hint = String;
}

impl Highlighter for Words<'_, '_, '_> {}
impl Validator for Words<'_, '_, '_> {}
impl Helper for Words<'_, '_, '_> {}
