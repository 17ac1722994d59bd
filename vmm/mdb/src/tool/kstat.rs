//! `kstat`: the kernel's statistics (`kstat.c`).
//!
//! # Invariants
//! - Statistics are in the order of their names, whatever the case of the letters, with `crtime` and `snaptime` among them; `class` is
//!   one of them with -p, -C and -l only.

use umpire_rows::Value;

use super::{Moment, Tool};
use crate::answer::{Answer, Row};
use crate::call::{Call, Options};
use crate::kstats::{Kstat, Pattern, Selector};
use crate::lang::Failure;

/// `KSTAT_TYPE_NAMED`: all of these are of that type.
const NAMED: u64 = 1;

/// The tool.
pub(super) static TOOL: Tool = Tool {
    name: "kstat",
    usage: "[-Cjlpq] [-T u|d] [-c class] [-m module] [-i instance] [-n name] [-s statistic] [module:instance:name:statistic ...] [interval [count]]",
    about: "Print kernel statistics",
    help: "  -p  one statistic a line, parsable      -C  the same with a colon instead of the tab\n\
           \x20 -l  names only                          -j  one JSON array a sample\n\
           \x20 -q  nothing: the exit code is 0 if anything is like that, 1 if not\n\
           \x20 -T  in front of each sample the time: u seconds since 1970, d as a date\n\
           \x20 Each part of a name is a glob, or a regular expression between slashes.",
    letters: "CjlpqT:c:m:i:n:s:",
    repeats: true,
    between: "\n",
    check: |call| asked(call).map(drop),
    run,
};

fn run(moment: &Moment<'_, '_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let (options, class, selectors) = asked(call)?;
    let form = Form::of(&options);
    let mut rows = Vec::new();
    for stat in moment.now.kstats.iter().filter(|stat| class.takes(stat.class)) {
        let wanted: Vec<&Selector> = selectors.iter().filter(|selector| selector.takes(stat)).collect();
        let takes = |name: &str| wanted.iter().any(|selector| selector.statistic.takes(name));
        rows.extend(form.rows(stat, &takes));
    }
    if rows.is_empty() {
        return Err(Failure::new("no kstat is like that; umpire kstat -l lists them"));
    }
    match form {
        Form::Quiet => rows.clear(),
        Form::Array => rows = vec![array(&rows)],
        _ => {}
    }
    if let Some(line) = options.argument('T').map(|word| stamp(&word.text)) {
        rows.insert(0, Row::line(line));
    }
    Ok(Answer::rows(rows))
}

/// The options, the class, and what is selected.
fn asked<'c>(call: &Call<'c>) -> Result<(Options<'c>, Pattern, Vec<Selector>), Failure> {
    let (options, operands, _) = TOOL.read(call)?;
    check(&options, !operands.is_empty(), call)?;
    let class = pattern(&options, 'c')?;
    let mut selectors = Vec::new();
    for word in &operands {
        selectors.push(Selector::read(&word.text).map_err(|failure| failure.or_at(&word.at))?);
    }
    if selectors.is_empty() {
        selectors.push(Selector {
            module: pattern(&options, 'm')?,
            instance: pattern(&options, 'i')?,
            name: pattern(&options, 'n')?,
            statistic: pattern(&options, 's')?,
        });
    }
    Ok((options, class, selectors))
}

fn check(options: &Options<'_>, has_operands: bool, call: &Call<'_>) -> Result<(), Failure> {
    if has_operands && ['m', 'i', 'n', 's'].iter().any(|flag| options.has(*flag)) {
        return Err(call.misused("module:instance:name:statistic and -m -i -n -s are mutually exclusive"));
    }
    if options.has('q') && ['l', 'p', 'j'].iter().any(|flag| options.has(*flag)) {
        return Err(call.misused("-q and -lpj are mutually exclusive"));
    }
    match options.argument('T') {
        Some(word) if !["u", "d"].contains(&word.text.as_str()) => Err(call.misused_at(&word.at, "-T takes u or d")),
        _ => Ok(()),
    }
}

fn pattern(options: &Options<'_>, flag: char) -> Result<Pattern, Failure> {
    match options.argument(flag) {
        None => Ok(Pattern::ANY),
        Some(word) => Pattern::read(&word.text).map_err(|failure| failure.or_at(&word.at)),
    }
}

/// How kstats are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A block a kstat, for people.
    Block,
    /// A line a statistic, with this before the value.
    Line(&'static str),
    /// A line a statistic, without the value.
    Name,
    /// One array.
    Array,
    /// Nothing.
    Quiet,
}

impl Form {
    fn of(options: &Options<'_>) -> Form {
        let all = [('q', Form::Quiet), ('j', Form::Array), ('l', Form::Name), ('C', Form::Line(":")), ('p', Form::Line("\t"))];
        all.into_iter().find(|(flag, _)| options.has(*flag)).map_or(Form::Block, |(_, form)| form)
    }

    /// The rows of one kstat: those of its statistics that are wanted.
    fn rows(self, stat: &Kstat, takes: &dyn Fn(&str) -> bool) -> Vec<Row> {
        let mut all = stat.printed();
        if matches!(self, Form::Line(_) | Form::Name) {
            all.push(("class", stat.class.to_owned()));
            all.sort_by_key(|(name, _)| name.to_ascii_lowercase());
        }
        all.retain(|(name, _)| takes(name));
        if all.is_empty() {
            return Vec::new();
        }
        let (module, instance, name) = (stat.module, stat.instance, &stat.name);
        match self {
            Form::Line(between) => {
                let line = |(of, value): &(&'static str, String)| {
                    row(stat, of, format!("{module}:{instance}:{name}:{of}{between}{value}"))
                };
                all.iter().map(line).collect()
            }
            Form::Name => {
                let line = |(of, _): &(&'static str, String)| row(stat, of, format!("{module}:{instance}:{name}:{of}"));
                all.iter().map(line).collect()
            }
            Form::Array | Form::Quiet => vec![Row { data: record(stat, takes), ..Row::default() }],
            Form::Block => {
                let mut text = format!(
                    "module: {module:<30.30}  instance: {instance:<6}\nname:   {name:<30.30}  class:    {:<.30}",
                    stat.class
                );
                all.iter().for_each(|(of, value)| text += &format!("\n\t{of:<30}  {value}"));
                vec![Row { value: None, text: text + "\n", data: record(stat, takes) }]
            }
        }
    }
}

fn row(stat: &Kstat, of: &'static str, text: String) -> Row {
    let data = vec![
        ("module", stat.module.into()),
        ("instance", stat.instance.into()),
        ("name", stat.name.as_str().into()),
        ("class", stat.class.into()),
        ("statistic", of.into()),
        ("value", stat.value(of)),
    ];
    Row { value: None, text, data }
}

/// A kstat as `-j` has it.
fn record(stat: &Kstat, takes: &dyn Fn(&str) -> bool) -> Vec<(&'static str, Value)> {
    let values = stat.values.iter().filter(|(name, _)| takes(name)).map(|(name, value)| (*name, Value::from(value)));
    vec![
        ("module", stat.module.into()),
        ("instance", stat.instance.into()),
        ("name", stat.name.as_str().into()),
        ("class", stat.class.into()),
        ("type", NAMED.into()),
        ("crtime", stat.value("crtime")),
        ("snaptime", stat.value("snaptime")),
        ("data", Value::Record(values.collect())),
    ]
}

/// All as one array, which is one row.
fn array(rows: &[Row]) -> Row {
    let all = Value::List(rows.iter().map(|row| Value::Record(row.data.clone())).collect());
    let text = serde_json::to_string_pretty(&all).expect("invariant: values of strings, numbers and lists become JSON");
    Row { value: None, text, data: vec![("kstats", all)] }
}

/// The host's time of day as `-T` prints it.
fn stamp(how: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if how == "u" { now.to_string() } else { crate::memory::date(now) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kstats::Stat;

    #[test]
    fn numbers_of_a_line_are_numbers_for_machines() {
        let stat = Kstat {
            module: "cpu",
            instance: 1,
            name: "sys".to_owned(),
            class: "misc",
            crtime_ns: 0,
            snaptime_ns: 1_500_000_000,
            values: vec![("pswitch", Stat::Number(7)), ("state", "on-line".into())],
        };
        let rows = Form::Line("\t").rows(&stat, &|_| true);
        let value = |name: &str| {
            let is_it = |row: &&Row| row.data.contains(&("statistic", name.into()));
            let row = rows.iter().find(is_it).unwrap_or_else(|| panic!("no {name}"));
            row.data.iter().find(|(key, _)| *key == "value").map(|(_, value)| value.clone())
        };
        assert_eq!(value("pswitch"), Some(Value::Int(7)));
        assert_eq!(value("snaptime"), Some(Value::Float(1.5)));
        assert_eq!(value("state"), Some("on-line".into()));
        assert_eq!(value("class"), Some("misc".into()));
    }
}
