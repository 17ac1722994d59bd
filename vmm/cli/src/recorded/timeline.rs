//! `umpire timeline`: a recording as a picture, or for a viewer of traces.
//!
//! # Invariants
//! - The kind of file is told by its name's ending, and by nothing else.
//! - What is read is never written over, and a picture that was asked for of some time has something in it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::super::Backends;
use super::super::args::TimelineArgs;
use super::super::exit::Exit;
use super::super::output;
use super::super::streams::Streams;
use super::{told, with_recording};
use umpire_record::{Recording, chrome, html, perfetto, svg};

/// Writes the file that the arguments name.
pub(in super::super) fn timeline(
    args: &TimelineArgs,
    backends: Backends<'_>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let ending = args.out.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let Some((_, draw)) = FORMATS.iter().find(|(name, _)| *name == ending) else {
        let names: Vec<String> = FORMATS.iter().map(|(name, _)| format!(".{name}")).collect();
        let names = names.join(", ");
        streams.say(&format!(
            "umpire: cannot tell what to write to {}: its name ends with none of {names}",
            args.out.display()
        ));
        return Ok(Exit::Usage);
    };
    if output::is_same(&args.out, Path::new(&args.of.source)) {
        let out = args.out.display();
        streams
            .say(&format!("umpire: cannot write to {out}: it is what is to be drawn; give -o another path"));
        return Ok(Exit::Usage);
    }
    let interval = args.from_ns.unwrap_or(0)..=args.to_ns.unwrap_or(u64::MAX);
    with_recording(&args.of, interval.clone(), backends, streams, |recording, streams| {
        if recording.records.is_empty() && interval != (0..=u64::MAX) {
            streams.say(&format!(
                "umpire: nothing is drawn: no event of {} lies {}; `umpire events` lists them with their times",
                args.of.source.display(),
                told(&interval)
            ));
            return Ok(Exit::Usage);
        }
        match write(&args.out, recording, *draw) {
            Ok(()) => {
                streams.narrate(&format!("{}: {} events", args.out.display(), recording.records.len()));
                Ok(Exit::Pass)
            }
            Err(cause) => {
                let out = args.out.display();
                streams
                    .say(&format!("umpire: cannot write {out}: {cause}; give -o a path that can be written"));
                Ok(Exit::Usage)
            }
        }
    })
}

type Draw = fn(&Recording, &mut BufWriter<File>) -> io::Result<()>;

/// The endings of files, and what is written to each.
const FORMATS: &[(&str, Draw)] = &[
    ("html", |recording, out| html(recording, out)),
    ("svg", |recording, out| out.write_all(svg(recording, 0..=u64::MAX).as_bytes())),
    ("pftrace", |recording, out| out.write_all(&perfetto(recording))),
    ("json", |recording, out| chrome(recording, out)),
];

fn write(path: &Path, recording: &Recording, draw: Draw) -> io::Result<()> {
    let mut out = BufWriter::new(output::create(path)?);
    draw(recording, &mut out)?;
    out.flush()
}
