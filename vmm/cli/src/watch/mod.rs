//! `umpire watch`: a live screen of a guest.
//!
//! | file | what |
//! |---|---|
//! | `still.rs` | a moment of the guest, as data |
//! | `state.rs` | the last moments, what is selected, what keys do |
//! | `draw.rs` | the screen |
//! | `source.rs` | where moments come from |
//!
//! # Invariants
//! - The terminal is given back as it was, whatever ends the screen, the first signal too; while the debugger has it, the screen does
//!   not.
//! - Nothing is shown that is not in a still: the screen never looks at the guest itself.

mod draw;
mod source;
mod state;
mod still;

use std::io::{self, IsTerminal};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use umpire_machine::signals;

use self::source::Source;
use self::state::{State, Wish};
use super::Backends;
use super::args::WatchArgs;
use super::exit::Exit;
use super::stand::Image;
use super::streams::Streams;

/// The time from one moment on the screen to the next.
const PACE: Duration = Duration::from_millis(50);

/// Shows the screen until somebody has seen enough.
pub(super) fn watch(
    args: &WatchArgs,
    mut backends: Backends<'_>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        streams.say(
            "umpire: the screen needs a terminal; for a script there is `umpire mdb --run ID -e CMD --json`",
        );
        return Ok(Exit::Usage);
    }
    let mut source = match Source::of(args) {
        Ok(source) => source,
        Err(message) => {
            streams.say(&format!("umpire: {message}"));
            return Ok(Exit::Usage);
        }
    };
    let mut image = Image::read()?;
    let mut state = State::default();
    signals::keep_terminal();
    // The screen is the terminal's: narration would be drawn into it.
    let mut terminal = ratatui::try_init()?;
    loop {
        let wish = show(&mut terminal, &mut source, &mut image, &mut backends, &mut state);
        let Ok(Wish::Debug { at_ns, thread }) = wish else {
            ratatui::restore();
            let exit = if signals::interrupted() { Exit::interrupted() } else { Exit::Pass };
            return wish.map(|_| exit);
        };
        ratatui::restore();
        source.debug(at_ns, thread, &mut image, &mut backends, streams)?;
        terminal = ratatui::try_init()?;
    }
}

/// Shows moments and does what keys say, until a key asks for something that is not of the screen.
fn show(
    terminal: &mut DefaultTerminal,
    source: &mut Source,
    image: &mut Image,
    backends: &mut Backends<'_>,
    state: &mut State,
) -> io::Result<Wish> {
    loop {
        if signals::interrupted() {
            return Ok(Wish::Quit);
        }
        // A simulated guest goes on only when it is asked to: while the screen is frozen it waits.
        let stands = state.is_over || state.is_frozen() && source.waits();
        if !stands {
            match source.next(image, backends) {
                Ok(Some(still)) => state.push(still),
                Ok(None) => state.is_over = true,
                Err(message) => (state.message, state.is_over) = (message, true),
            }
        }
        terminal.draw(|frame| draw::draw(frame, source.title(), state))?;
        while event::poll(PACE)? {
            if let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
            {
                match state.key(key) {
                    Wish::Nothing => {}
                    Wish::Core => {
                        let at_ns = state.shown().map_or(0, |still| still.at_ns);
                        state.message = source.core(at_ns, image, backends);
                    }
                    Wish::Record => {
                        let at_ns = state.shown().map_or(0, |still| still.at_ns);
                        state.message = source.record(at_ns, backends);
                    }
                    wish => return Ok(wish),
                }
            }
            terminal.draw(|frame| draw::draw(frame, source.title(), state))?;
        }
    }
}
