//! `::log`: what is typed and what comes back, into a file.
//!
//! # Invariants
//! - Only output of the debugger goes there, and a file that cannot be written is an error at once.

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::session::Session;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "log",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "[-d | [-e] file]",
    about: "log session to a file",
    help: "Appends what is typed from now on, and what comes back, to a file. Without arguments it says whether that is done.\n\
           -e  does it (as without an option)      -d  ends it",
    examples: &[("::log", "whether the session is logged"), ("::log -d", "no more")],
    run: Run::Session(run),
};

fn run(session: &mut Session<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("de")?;
    match (options.has('d'), options.rest) {
        (true, []) => match session.end_log() {
            Some(file) => Ok(Answer::line(format!("mdb: ending log to file \"{file}\""))),
            None => Err(Failure::new("the session is not logged")),
        },
        (false, []) => Ok(Answer::line(match session.log_file() {
            Some(file) => format!("logging to file \"{file}\""),
            None => "no log file".to_owned(),
        })),
        (false, [file]) => {
            session.begin_log(&file.text).map_err(|failure| failure.or_at(&file.at))?;
            Ok(Answer::line(format!("mdb: logging to \"{}\"", file.text)))
        }
        (_, [.., more]) => Err(call.misused_at(&more.at, format!("unexpected argument `{}`", more.text))),
    }
}
