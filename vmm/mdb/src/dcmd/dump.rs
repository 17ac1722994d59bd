//! `::dump`: the target as a core.
//!
//! # Invariants
//! - A file that is there is not overwritten, and the target goes on when the core is written.

use std::path::PathBuf;

use umpire_reach::core::write;
use umpire_reach::names::safe;

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "dump",
    aliases: &[],
    address: Address::None,
    takes_all: false,
    usage: "[-z] [file]",
    about: "write a core of the target",
    help: "Writes the target's memory and the registers of its CPUs to a file, SCENARIO.core if none is named, which `umpire mdb FILE`\n\
           and gdb read. A machine that runs stands still meanwhile; that is charged to nobody.\n\
           -z  compress it with zstd; gdb does not read that",
    examples: &[("::dump", "SCENARIO.core, here"), ("::dump -z hang.core.zst", "compressed, under another name")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("z")?;
    let zstd = options.has('z');
    let path = match options.rest {
        [] => {
            let name = safe(&view.target().identity().scenario);
            PathBuf::from(format!("{name}.core{}", if zstd { ".zst" } else { "" }))
        }
        [path] => PathBuf::from(&path.text),
        _ => return Err(call.misused("it takes one file")),
    };
    let written = write(view.target(), &view.told(zstd), &path).map_err(|e| Failure::new(e.to_string()))?;
    let (data, memory) = (written.data >> 10, written.memory >> 20);
    let shown = path.display().to_string();
    let text = format!("{shown}: {data} KiB of {memory} MiB of memory");
    Ok(Answer::rows([Row::line(text)
        .with("file", shown.as_str())
        .with("data_bytes", written.data)
        .with("memory_bytes", written.memory)]))
}
