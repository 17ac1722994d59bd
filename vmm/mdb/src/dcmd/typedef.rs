//! `::typedef`: another name for a type.
//!
//! # Invariants
//! - The name is the debugger's: the guest's types stay as they are.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::types::{C_NAMES, TypeId};
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "typedef",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "[-l] [type name]",
    about: "create synthetic types",
    help: "Gives a type another name, by which commands then know it. Without arguments it lists the names that were given so.\n\
           -l  lists the names of C that are known for types of this guest as well",
    examples: &[
        ("::typedef Kthread worker_t; ::sizeof worker_t", "a name of one's own"),
        ("::typedef -l ! head -3", "names of C"),
    ],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("l")?;
    match options.rest {
        [] => {
            let own = view.named().types();
            let mut rows: Vec<Row> = own.iter().map(|(name, of)| row(view, name, *of)).collect();
            if options.has('l') {
                let known = C_NAMES.iter().filter_map(|(c, rust)| Some((*c, view.types().find(rust).ok()?)));
                rows.extend(known.map(|(name, of)| row(view, name, of)));
            }
            Ok(Answer::rows(rows))
        }
        [of @ .., name] if !of.is_empty() => {
            let is_name = name.text.chars().all(|c| c.is_alphanumeric() || c == '_')
                && !name.text.starts_with(|c: char| c.is_ascii_digit());
            if !is_name {
                return Err(call.misused_at(&name.at, format!("`{}` is no name for a type", name.text)));
            }
            let words = of.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
            let of = view.type_named(&words).map_err(|failure| failure.or_at(&of[0].at))?;
            view.named().add_type(&name.text, of);
            Ok(Answer::default())
        }
        [only, ..] => Err(call.misused_at(&only.at, "it needs a type and a name for it")),
    }
}

fn row(view: &View<'_>, name: &str, of: TypeId) -> Row {
    let of = view.types().get(of).shown();
    Row {
        value: None,
        text: format!("typedef {of} {name}"),
        data: vec![("name", name.into()), ("type", of.to_string().into())],
    }
}
