//! `::class`: the scheduling classes.
//!
//! # Invariants
//! - Classes are those of the vocabulary that host and guest share.

use umpire_rows::{Column, Kind, Table};
use umpire_shared::sys::class;

use super::{Address, Dcmd, Run};
use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "class",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "",
    about: "print process scheduler classes",
    help: "Lists the scheduling classes by number. A class of this kernel has no init function of its own; its functions are the\n\
           vector that is named.",
    examples: &[("::class", "every class")],
    run: Run::View(run),
};

struct Class {
    slot: u64,
    name: &'static str,
    functions: Option<String>,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let functions = |name: &str| {
        let of = view.image().named(&format!("class.{}`OPS", name.to_ascii_lowercase()));
        of.first().map(|symbol| symbol.qualified())
    };
    let all = class::NAMES.iter().zip(0..);
    let rows: Vec<Class> = all.map(|(name, slot)| Class { slot, name, functions: functions(name) }).collect();
    let table = Table::nested(vec![
        Column::new("slot", Kind::Count, |c: &Class| c.slot).titled("SLOT", 4),
        Column::new("name", Kind::Text, |c: &Class| c.name).titled("NAME", 10),
        Column::new("init", Kind::Text, |_: &Class| None::<String>).titled("INIT FCN", 24),
        Column::new("functions", Kind::Text, |c: &Class| c.functions.clone()).titled("CLASS FCN", 24),
    ]);
    Ok(Answer::table(&table, &rows, |_| None))
}
