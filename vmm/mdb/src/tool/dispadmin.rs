//! `dispadmin`: the classes' dispatcher parameter tables (`dispadmin.c`).
//!
//! # Invariants
//! - A table is the one in force: the scenario's if it brings one, else the image's own, of TS and IA the one that
//!   `ts_dispatch_extended` chooses.
//! - Quanta are in units of 1/RES s, rounded up.

use umpire_shared::sys::class;

use super::{Moment, Tool, no_operands};
use crate::answer::{Answer, Row};
use crate::call::{Call, Word};
use crate::classes;
use crate::lang::Failure;
use crate::object::Object;
use crate::view::View;

/// The tool.
pub(super) static TOOL: Tool = Tool {
    name: "dispadmin",
    usage: "-l | -c class -g [-r res]",
    about: "Print the classes' dispatcher parameters",
    help: "  -l  the classes                 -c  a class: TS, IA, FX, FSS, RT\n\
           \x20 -g  its table                   -r  the resolution of quanta in units a second (1000)",
    letters: "lc:gr:",
    repeats: false,
    between: "",
    check: |call| asked(call).map(drop),
    run,
};

/// Rows that a table has at most.
const MAX_ROWS: usize = 64;

/// The class whose table is wanted, and the resolution of its times; none if the list of classes is.
fn asked<'c>(call: &Call<'c>) -> Result<Option<(&'c Word, u64)>, Failure> {
    let (options, operands, _) = TOOL.read(call)?;
    no_operands(&operands, call)?;
    if options.has('l') {
        return Ok(None);
    }
    let Some(word) = options.argument('c').filter(|_| options.has('g')) else {
        return Err(call.misused("it needs -l, or -c class with -g"));
    };
    match word.text.as_str() {
        "TS" | "IA" | "FX" | "RT" | "FSS" => {}
        "SYS" | "SDC" => {
            return Err(Failure::at(word.at.clone(), format!("{} has no dispatcher table", word.text)));
        }
        other => return Err(call.misused_at(&word.at, format!("there is no class `{other}`"))),
    }
    match options.argument('r').map(|word| (word, word.text.parse())) {
        None => Ok(Some((word, 1000))),
        Some((_, Ok(res @ 1..=1_000_000_000))) => Ok(Some((word, res))),
        Some((word, _)) => Err(call.misused_at(&word.at, "-r takes 1 to 1000000000")),
    }
}

fn run(moment: &Moment<'_, '_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let Some((word, res)) = asked(call)? else {
        let row = |class: classes::ClassName| {
            Row::line(format!("{}\t({})", class.name, class.long)).with("class", class.name).with("description", class.long)
        };
        let title = Row { text: "CONFIGURED CLASSES\n==================\n".to_owned(), ..Row::default() };
        return Ok(Answer::rows(std::iter::once(title).chain(classes::all().map(row))));
    };
    let hz = moment.view.kernel()?.n("hz")?.max(1);
    let unit = Unit { res, hz };
    let cid = class::NAMES.iter().position(|name| *name == word.text).unwrap_or(usize::MAX);
    match word.text.as_str() {
        "TS" | "IA" => time_sharing(moment.view, cid, &word.text, unit),
        "FX" | "RT" => quanta(moment.view, cid, &word.text, unit),
        _ => fair_share(moment.view, cid, unit),
    }
}

/// Units of quanta.
#[derive(Clone, Copy)]
struct Unit {
    res: u64,
    hz: u64,
}

impl Unit {
    /// Ticks in units.
    fn of(self, ticks: i64) -> i64 {
        let product = i128::from(ticks) * i128::from(self.res);
        let hz = i128::from(self.hz);
        i64::try_from((product + hz - 1).div_euclid(hz)).unwrap_or(i64::MAX)
    }
}

/// The rows of the scenario's table of a class; empty if the built-in one is in force.
fn replaced(view: &View<'_>, cid: usize) -> Result<Vec<Vec<i64>>, Failure> {
    let table = view.kernel()?.get(&format!("k_class.class_tables[{cid}]"))?.get("rows")?;
    let rows = table.elements()?;
    let mut all = Vec::new();
    for addr in rows.addresses().take(MAX_ROWS) {
        let row = view.object(rows.of, addr)?;
        let values = row.elements()?;
        let value = |n: u64| row.inside(n * values.stride, values.of)?.number().map(|value| value as i64);
        all.push((0..values.count).map(value).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(all)
}

/// A built-in table: the image's static of this name, as rows of `members`, or of one number each if there are none.
fn built_in(view: &View<'_>, symbol: &str, of: &str, members: &[&str]) -> Result<Vec<Vec<i64>>, Failure> {
    let (symbol, of) = (view.elf_symbol(symbol)?, view.types().find(of)?);
    let size = view.types().size(of).max(1);
    let mut rows = Vec::new();
    for n in 0..(symbol.size / size).min(MAX_ROWS as u64) {
        let mut bytes = vec![0; size as usize];
        if !view.image().bytes_at(symbol.value + n * size, &mut bytes) {
            return Err(Failure::new(format!("the image has no bytes of {}", symbol.name)));
        }
        let row = Object::new(view, of, symbol.value + n * size, bytes);
        let values = match members {
            [] => vec![row.number()? as i64],
            members => members.iter().map(|member| row.signed(member)).collect::<Result<Vec<_>, _>>()?,
        };
        rows.push(values);
    }
    Ok(rows)
}

const TS_COLUMNS: [(&str, usize); 5] =
    [("ts_quantum", 10), ("ts_tqexp", 10), ("ts_slpret", 10), ("ts_maxwait", 12), ("ts_lwait", 10)];

fn time_sharing(view: &View<'_>, cid: usize, name: &str, unit: Unit) -> Result<Answer, Failure> {
    let mut rows = replaced(view, cid)?;
    if rows.is_empty() {
        let table = if tunable(view, "ts_dispatch_extended")? > 0 { "TS_DPTBL_EXTENDED" } else { "TS_DPTBL" };
        rows = built_in(view, table, "TsRow", &TS_COLUMNS.map(|(column, _)| column))?;
    }
    let title = if name == "TS" { "Time Sharing" } else { "Interactive" };
    let head = format!(
        "# {title} Dispatcher Configuration\nRES={}\n\n# ts_quantum  ts_tqexp  ts_slpret  ts_maxwait ts_lwait  PRIORITY LEVEL",
        unit.res
    );
    let line = |(level, values): (usize, &Vec<i64>)| {
        let cell = |(n, (key, width)): (usize, &(&'static str, usize))| {
            let value = values.get(n).copied().unwrap_or(0);
            let value = if n == 0 { unit.of(value) } else { value };
            (*key, value, format!("{value:>width$}"))
        };
        let cells: Vec<_> = TS_COLUMNS.iter().enumerate().map(cell).collect();
        let text: String = cells.iter().map(|(_, _, text)| text.as_str()).collect();
        let mut row = Row { text: format!("{text}        #   {level:>3}"), ..Row::default() };
        row.data.extend(cells.iter().map(|(key, value, _)| (*key, (*value).into())));
        row.data.extend([("level", (level as u64).into()), ("res", unit.res.into())]);
        row
    };
    Ok(answer(head, rows.iter().enumerate().map(line)))
}

fn quanta(view: &View<'_>, cid: usize, name: &str, unit: Unit) -> Result<Answer, Failure> {
    let mut rows = replaced(view, cid)?;
    if rows.is_empty() {
        rows = built_in(view, &format!("{name}_DPTBL"), "i32", &[])?;
    }
    let (title, column) = if name == "RT" { ("Real Time", "rt_quantum") } else { ("Fixed Priority", "fx_quantum") };
    let head = format!(
        "# {title} Dispatcher Configuration\nRES={}\n\n# TIME QUANTUM                    PRIORITY\n# ({column})                      LEVEL",
        unit.res
    );
    let line = |(level, values): (usize, &Vec<i64>)| {
        let quantum = unit.of(values.first().copied().unwrap_or(0));
        let mut row = Row { text: format!("{quantum:>10}                    #      {level:>3}"), ..Row::default() };
        row.data.extend([("quantum", quantum.into()), ("level", (level as u64).into()), ("res", unit.res.into())]);
        row
    };
    Ok(answer(head, rows.iter().enumerate().map(line)))
}

/// The value of a tunable.
fn tunable(view: &View<'_>, name: &str) -> Result<i64, Failure> {
    Ok(view.number(view.symbol(name)?, 8)? as i64)
}

fn fair_share(view: &View<'_>, cid: usize, unit: Unit) -> Result<Answer, Failure> {
    let rows = replaced(view, cid)?;
    let ticks = match rows.first().and_then(|row| row.first()) {
        Some(ticks) => *ticks,
        None => tunable(view, "fss_quantum")?,
    };
    let quantum = unit.of(ticks);
    let text = format!(
        "#\n# Fair Share Scheduler Configuration\n#\nRES={}\n#\n# Time Quantum\n#\nQUANTUM={quantum}",
        unit.res
    );
    let mut row = Row { text, ..Row::default() };
    row.data.extend([("quantum", quantum.into()), ("res", unit.res.into())]);
    Ok(Answer::rows([row]))
}

/// A table below its comments, which machines do not get.
fn answer(head: String, rows: impl Iterator<Item = Row>) -> Answer {
    Answer { header: Some(head), rows: rows.collect(), ended: None }
}
