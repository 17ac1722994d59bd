//! `psrinfo`: the processors (`psrinfo.c`).
//!
//! # Invariants
//! - A physical processor is a chip of the scenario; its virtual processors are the CPUs on it.
//! - Dates are the guest's: its time of day begins, at 01/01/1970, when it boots.

use umpire_rows::Value;

use super::{Moment, Tool};
use crate::answer::{Answer, Row};
use crate::call::{Call, Options, Word};
use crate::kstats::Kstat;
use crate::lang::Failure;
use crate::{kernel, memory};

/// The tool.
pub(super) static TOOL: Tool = Tool {
    name: "psrinfo",
    usage: "[-psv] [processor ...]",
    about: "Print the processors",
    help: "  -p  physical processors: how many, or with -v which CPUs each has\n\
           \x20 -v  more of each      -s  1 if the processor is on-line, 0 if not",
    letters: "psv",
    repeats: false,
    between: "",
    check: |call| asked(call).map(drop),
    run,
};

/// A CPU.
struct Cpu {
    id: u64,
    chip: u64,
    state: String,
    brand: String,
}

/// A processor that was asked for: how it was typed, and its number.
type Asked<'c> = (&'c Word, u64);

/// The options, and the processors that are wanted by number, if not all.
fn asked<'c>(call: &Call<'c>) -> Result<(Options<'c>, Vec<Asked<'c>>), Failure> {
    let (options, operands, _) = TOOL.read(call)?;
    let numbered = |word: &'c Word| word.text.parse().map(|id| (word, id)).map_err(|_| invalid(word));
    let named = operands.into_iter().map(numbered).collect::<Result<_, _>>()?;
    Ok((options, named))
}

fn invalid(word: &Word) -> Failure {
    Failure::at(word.at.clone(), format!("processor {}: Invalid argument", word.text))
}

fn run(moment: &Moment<'_, '_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let (options, named) = asked(call)?;
    let infos = moment.now.kstats.iter().filter(|stat| stat.module == "cpu_info");
    let mut cpus: Vec<Cpu> = infos.map(cpu).collect();
    let mut wanted = Vec::new();
    for (word, id) in named {
        if !cpus.iter().any(|cpu| cpu.id == id) {
            return Err(invalid(word));
        }
        wanted.push(id);
    }
    cpus.retain(|cpu| wanted.is_empty() || wanted.contains(&cpu.id));
    if options.has('s') && (options.has('v') || cpus.len() != 1) {
        return Err(call.misused("-s takes exactly one processor, and no -v"));
    }
    Ok(match (options.has('p'), options.has('v')) {
        (true, true) => Answer::rows(chips(&cpus).into_iter().map(|(chip, ids)| physical(chip, &ids, &cpus))),
        (true, false) => {
            let count = chips(&cpus).len() as u64;
            Answer::rows([Row::line(count.to_string()).with("physical_processors", count)])
        }
        (false, true) => {
            let now = memory::numeric_date(moment.now.now_ns / 1_000_000_000);
            Answer::rows(cpus.iter().map(|cpu| long(cpu, &now)))
        }
        (false, false) if options.has('s') => {
            let is_online = u64::from(cpus[0].state == "on-line");
            Answer::rows([data(&cpus[0], is_online.to_string())])
        }
        (false, false) => Answer::rows(cpus.iter().map(|cpu| data(cpu, format!("{}\t{:<9} {}", cpu.id, cpu.state, since())))),
    })
}

fn cpu(info: &Kstat) -> Cpu {
    let text = |name: &str| {
        let value = info.values.iter().find(|(of, _)| *of == name);
        value.map(|(_, value)| value.to_string()).unwrap_or_default()
    };
    Cpu { id: info.instance, chip: info.number("chip_id"), state: text("state"), brand: text("brand") }
}

/// Since when a CPU has been in its state: the guest's time of day begins at boot, and no CPU notes a change.
fn since() -> String {
    format!("since {}", memory::numeric_date(0))
}

fn data(cpu: &Cpu, text: String) -> Row {
    let data = vec![
        ("processor", cpu.id.into()),
        ("chip", cpu.chip.into()),
        ("state", cpu.state.as_str().into()),
        ("brand", cpu.brand.as_str().into()),
    ];
    Row { value: Some(cpu.id), text, data }
}

fn long(cpu: &Cpu, now: &str) -> Row {
    let (id, state) = (cpu.id, &cpu.state);
    let text = format!(
        "Status of virtual processor {id} as of: {now}\n  {state} {}.\n  The i386 processor operates at - MHz,\n\tand has an i387 compatible floating point processor.",
        since()
    );
    data(cpu, text)
}

/// Chips with the CPUs of each.
fn chips(cpus: &[Cpu]) -> Vec<(u64, Vec<u64>)> {
    let mut chips: Vec<(u64, Vec<u64>)> = Vec::new();
    for cpu in cpus {
        match chips.iter_mut().find(|(chip, _)| *chip == cpu.chip) {
            Some((_, ids)) => ids.push(cpu.id),
            None => chips.push((cpu.chip, vec![cpu.id])),
        }
    }
    chips.sort_by_key(|(chip, _)| *chip);
    chips
}

fn physical(chip: u64, ids: &[u64], cpus: &[Cpu]) -> Row {
    let brand = cpus.iter().find(|cpu| cpu.chip == chip).map_or("", |cpu| cpu.brand.as_str());
    let (count, set) = (ids.len(), ids.iter().fold(0, |set, id| set | 1 << id));
    let noun = if count == 1 { "processor" } else { "processors" };
    let listed = match count {
        0..=2 => ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
        _ => kernel::ranges(set).replace(' ', ", "),
    };
    let text = format!(
        "The physical processor has {count} virtual {noun} ({listed})\n  x86 (chipid {chip:#x} Umpire)\n\t{brand}"
    );
    let data = vec![
        ("chip", chip.into()),
        ("processors", ids.iter().copied().collect::<Value>()),
        ("brand", brand.into()),
    ];
    Row { value: Some(chip), text, data }
}
