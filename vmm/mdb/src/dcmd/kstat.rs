//! `::kstat`: the kernel's statistics.
//!
//! # Invariants
//! - The values are those of `umpire kstat`, which has more options.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kstats::{self, Kstat, Selector};
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "kstat",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "[-l] [module[:instance[:name[:statistic]]]] ...",
    about: "print kernel statistics",
    help: "Prints the statistics that are asked for, or all of them, one a line. Each part is a glob, or a regular expression between\n\
           slashes; quote what has either in it. `umpire kstat` is the command of the same name outside of the debugger.\n\
           -l  names only",
    examples: &[
        ("::kstat cpu:1:sys:pswitch", "switches of CPU 1"),
        ("::kstat 'cpu:*:sys:/migrate|inv_swtch/'", "migrations and involuntary switches of each"),
        ("::kstat -l unix", "what module unix counts"),
    ],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("l")?;
    let mut selectors = Vec::new();
    for word in options.rest {
        selectors.push(Selector::read(&word.text).map_err(|failure| failure.or_at(&word.at))?);
    }
    if selectors.is_empty() {
        selectors.push(Selector::ANY);
    }
    let mut rows = Vec::new();
    for stat in kstats::all(view)? {
        rows.extend(lines(&stat, &selectors, options.has('l')));
    }
    if rows.is_empty() {
        return Err(Failure::new("no kstat is like that; ::kstat -l lists them"));
    }
    Ok(Answer::rows(rows))
}

fn lines(stat: &Kstat, selectors: &[Selector], only_names: bool) -> Vec<Row> {
    let wanted: Vec<&Selector> = selectors.iter().filter(|selector| selector.takes(stat)).collect();
    let values = stat.printed().into_iter().filter(|(name, _)| wanted.iter().any(|s| s.statistic.takes(name)));
    let line = |(name, value): (&'static str, String)| {
        let (module, instance) = (stat.module, stat.instance);
        let key = format!("{module}:{instance}:{}:{name}", stat.name);
        Row {
            // Statistics that are counted are data for a pipe; times and texts are not.
            value: stat.values.iter().find(|(of, _)| *of == name).map(|_| stat.number(name)),
            text: if only_names { key } else { format!("{key}\t{value}") },
            data: vec![
                ("module", module.into()),
                ("instance", instance.into()),
                ("name", stat.name.as_str().into()),
                ("class", stat.class.into()),
                ("statistic", name.into()),
                ("value", stat.value(name)),
            ],
        }
    };
    values.map(line).collect()
}
