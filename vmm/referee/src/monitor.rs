//! What gdb's `monitor` asks of a run: the debugger's commands, on the machine as it is.
//!
//! # Invariants
//! - It only looks: it is no way to write past what gdb writes, and nothing goes to a shell of the run's process.
//! - The image's debug information is read when the first command comes, and not before.

use std::sync::{Arc, OnceLock};

use umpire_mdb::image::GuestImage;
use umpire_mdb::session::{Output, Session, Style};
use umpire_mdb::view::View;
use umpire_reach::gdb::Monitor;
use umpire_watch::glass::LiveMachine;

/// What answers for a machine.
pub(super) fn monitor(live: LiveMachine) -> Monitor {
    let image: OnceLock<Result<Arc<GuestImage>, String>> = OnceLock::new();
    Monitor(Box::new(move |command| {
        let read = || GuestImage::built_in().map(Arc::new).map_err(|e| e.to_string());
        match image.get_or_init(read) {
            Ok(image) => answer(&live, Arc::clone(image), command),
            Err(error) => format!("umpire: {error}\n"),
        }
    }))
}

fn answer(live: &LiveMachine, image: Arc<GuestImage>, command: &str) -> String {
    if command.contains('!') {
        return "umpire: no `!` here: there is no shell behind gdb; try `umpire mdb`\n".to_owned();
    }
    let command = if matches!(command.trim(), "" | "help") { "::help" } else { command };
    let view = View::new(live, image);
    let mut text = Vec::new();
    let mut output = Output { to: &mut text, style: Style::Text, requires_clean: false };
    let result = Session::new(&view, false).run(command, &mut output);
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if let Err(failure) = result {
        text += &failure.told(command);
        text.push('\n');
    }
    text
}
