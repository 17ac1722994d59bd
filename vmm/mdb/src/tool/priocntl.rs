//! `priocntl`: the classes, and what each thread of a class has been given (`priocntl.c`).
//!
//! # Invariants
//! - It reads only: -s and -e of Solaris's command would write into the guest.

use super::{Moment, Tool, no_operands};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::classes::{self, Range};
use crate::lang::Failure;

/// The tool.
pub(super) static TOOL: Tool = Tool {
    name: "priocntl",
    usage: "-l",
    about: "Print the scheduling classes",
    help: "  -l  the classes that are configured, and the range of priorities that a user of each may ask for\n\
           \x20 A scenario's events set priorities (priocntl); nothing here writes into a guest.",
    letters: "l",
    repeats: false,
    between: "",
    check,
    run,
};

fn check(call: &Call<'_>) -> Result<(), Failure> {
    let (options, operands, _) = TOOL.read(call)?;
    no_operands(&operands, call)?;
    if options.has('l') { Ok(()) } else { Err(call.misused("-l is what there is")) }
}

fn run(_: &Moment<'_, '_>, call: &Call<'_>) -> Result<Answer, Failure> {
    check(call)?;
    let mut rows = vec![Row { text: "CONFIGURED CLASSES\n==================\n".to_owned(), ..Row::default() }];
    for class in classes::all() {
        let (name, long) = (class.name, class.long);
        let mut row = Row { text: format!("{name} ({long})\n"), ..Row::default() };
        row.data.extend([("class", name.into()), ("description", long.into())]);
        match class.range {
            Range::None => {}
            Range::User(least, greatest) => {
                row.text += &format!("\tConfigured {name} User Priority Range: {least} through {greatest}\n");
                row.data.extend([("least", i64::from(least).into()), ("greatest", i64::from(greatest).into())]);
            }
            Range::Maximum(greatest) => {
                row.text += &format!("\tMaximum Configured {name} Priority: {greatest}\n");
                row.data.push(("greatest", i64::from(greatest).into()));
            }
        }
        rows.push(row);
    }
    Ok(Answer::rows(rows))
}
